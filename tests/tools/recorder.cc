// basalt_recorder: a client that writes down what the cluster told it, for tests and the demo.
//
//   basalt_recorder write --endpoints H:P,.. --out F [--prefix P] [--lanes N] [--rate R]
//                         [--value-size B] [--duration SECONDS] [--timeout SECONDS]
//       writes until the duration is over, or SIGTERM or SIGINT comes
//   basalt_recorder read  --endpoints H:P,.. --record F --out F [--timeout SECONDS]
//
// Exit: 0 done, 1 it could not be done or a read failed, 2 usage.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "tests/tools/read_back.h"
#include "tests/tools/write_load.h"

namespace basalt::tools {
namespace {

std::atomic<bool> stop_requested{false};

void RequestStop(int /*signal*/) { stop_requested.store(true, std::memory_order_relaxed); }

using Flags = std::map<std::string, std::string, std::less<>>;

std::optional<Flags> ParseFlags(int count, char** arguments) {
  Flags flags;
  for (int i = 2; i < count; i += 2) {
    const std::string_view name = arguments[i];
    if (!name.starts_with("--") || i + 1 == count) return std::nullopt;
    flags.emplace(name.substr(2), arguments[i + 1]);
  }
  return flags;
}

// Takes a flag out of the set; what is left at the end is unknown.
std::string Take(Flags& flags, std::string_view name, std::string_view absent) {
  const auto found = flags.find(name);
  if (found == flags.end()) return std::string(absent);
  std::string value = found->second;
  flags.erase(found);
  return value;
}

std::optional<uint32_t> TakeNumber(Flags& flags, std::string_view name, uint32_t absent) {
  const std::string text = Take(flags, name, fmt::format("{}", absent));
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string> SplitCommas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    if (comma > begin) parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

int Fail(int code, std::string_view message) {
  std::cerr << "basalt_recorder: " << message << "\n";
  return code;
}

int Write(Client& client, const LoadOptions& options, std::ostream& out) {
  // The cluster may be saturated or half dead: SIGPIPE must not end the record.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGTERM, RequestStop);
  std::signal(SIGINT, RequestStop);
  const LoadTotals totals = RecordWrites(client, options, stop_requested, out);
  std::cerr << fmt::format("acknowledged {}, unknown {}, refused {}\n", totals.acks,
                           totals.unknowns, totals.refusals);
  return out.good() ? 0 : Fail(1, "the record could not be written");
}

int Read(Client& client, const std::string& record, std::chrono::milliseconds timeout,
         std::ostream& out) {
  std::ifstream in(record);
  if (!in) return Fail(1, fmt::format("cannot open {}", record));
  std::string error;
  const std::vector<std::string> keys = KeysOfRecord(in, &error);
  if (!error.empty()) return Fail(1, fmt::format("{}: {}", record, error));
  const ReadTotals totals = ReadBack(client, keys, timeout, out);
  std::cerr << fmt::format("found {}, absent {}, failed {}\n", totals.found, totals.absent,
                           totals.failed);
  return totals.failed == 0 && out.good() ? 0 : 1;
}

int Run(const std::string& verb, Flags flags) {
  const std::vector<std::string> endpoints = SplitCommas(Take(flags, "endpoints", ""));
  const std::string out_path = Take(flags, "out", "");
  const std::string record = Take(flags, "record", "");
  LoadOptions load;
  load.prefix = Take(flags, "prefix", load.prefix);
  const auto lanes = TakeNumber(flags, "lanes", load.lanes);
  const auto rate = TakeNumber(flags, "rate", load.rate);
  const auto value_bytes = TakeNumber(flags, "value-size", load.value_bytes);
  const auto duration_s = TakeNumber(flags, "duration", 0);
  const auto timeout_s = TakeNumber(flags, "timeout", 5);
  if (!flags.empty()) return Fail(2, fmt::format("unknown flag --{}", flags.begin()->first));
  if (!lanes || !rate || !value_bytes || !duration_s || !timeout_s || *lanes == 0 ||
      *lanes > 4096) {
    return Fail(2, "a flag's value is not a number in its range");
  }
  if (endpoints.empty() || out_path.empty()) return Fail(2, "--endpoints and --out are needed");
  load.lanes = *lanes;
  load.rate = *rate;
  load.value_bytes = *value_bytes;
  load.duration = std::chrono::seconds(*duration_s);
  load.timeout = std::chrono::seconds(*timeout_s);

  std::ofstream out(out_path, std::ios::binary | std::ios::trunc);
  if (!out) return Fail(1, fmt::format("cannot write {}", out_path));
  Result<Client> client = Client::Connect({.endpoints = endpoints, .timeout = load.timeout});
  if (!client.ok()) return Fail(1, client.status().ToString());
  if (verb == "write") return Write(*client, load, out);
  return Read(*client, record, load.timeout, out);
}

int Main(int count, char** arguments) {
  const std::string verb = count > 1 ? arguments[1] : "";
  if (verb != "write" && verb != "read") return Fail(2, "write or read?");
  const std::optional<Flags> flags = ParseFlags(count, arguments);
  if (!flags) return Fail(2, "flags are pairs: --name value");
  return Run(verb, *flags);
}

}  // namespace
}  // namespace basalt::tools

int main(int count, char** arguments) { return basalt::tools::Main(count, arguments); }
