// basalt_call_times: one client that makes one call after another and prints what each cost.
//
//   basalt_call_times get|put ENDPOINTS leader|round-robin TIMEOUT_MS
//
// Gets are by read index, from whom the third word says. A line on standard output for each call,
// as it ends: its microseconds, and "ok", "not-applied" or "unknown". Until standard input ends.
//
// Exit: 0 done, 1 no cluster, 2 usage.
#include <poll.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>

#include "basalt/client.h"

namespace basalt::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kKeys = 64;  // over all shards of a small cluster

bool InputEnded() {
  pollfd input{.fd = 0, .events = POLLIN, .revents = 0};
  return poll(&input, 1, 0) > 0;
}

std::string_view NameOf(const Status& status) {
  if (status.ok()) return "ok";
  return status.outcome() == Outcome::kNotApplied ? "not-applied" : "unknown";
}

void MakeCalls(Client& client, bool puts) {
  for (uint64_t call = 0; !InputEnded(); ++call) {
    const std::string key = "call-times-" + std::to_string(call % kKeys);
    const auto begin = Clock::now();
    const Status status =
        puts ? client.Put(key, "v") : client.Get(key, {.read_mode = ReadMode::kReadIndex}).status();
    const auto took =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
    std::cout << took << ' ' << NameOf(status) << std::endl;
  }
}

int Main(int count, char** arguments) {
  if (count != 5) return 2;
  const std::string_view verb = arguments[1];
  const std::string_view from = arguments[3];
  const std::string_view timeout = arguments[4];
  uint32_t timeout_ms = 0;
  const auto [end, error] =
      std::from_chars(timeout.data(), timeout.data() + timeout.size(), timeout_ms);
  if (error != std::errc{} || (verb != "get" && verb != "put")) return 2;
  if (from != "leader" && from != "round-robin") return 2;
  ClientOptions options;
  options.timeout = std::chrono::milliseconds(timeout_ms);
  if (from == "round-robin") options.replica_policy = ReplicaPolicy::kRoundRobin;
  std::string_view rest = arguments[2];
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    options.endpoints.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  Result<Client> client = Client::Connect(options);
  if (!client.ok()) {
    std::cerr << "basalt_call_times: " << client.status().ToString() << "\n";
    return 1;
  }
  MakeCalls(*client, verb == "put");
  return 0;
}

}  // namespace
}  // namespace basalt::tools

int main(int count, char** arguments) { return basalt::tools::Main(count, arguments); }
