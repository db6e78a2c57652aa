// basalt_increments: one key incremented a given number of times by many at once, and whether the
// answers are those of increments that ran once each: every number from 1 up, each to one caller.
//
//   basalt_increments --endpoints H:P,.. --key K --count N [--clients N] [--timeout SECONDS]
//
// Each client has connections, a client id and numbers of its own, and starts its next increment
// when its last one has ended. Prints a line a second while it runs (acknowledged so far) and a
// line of JSON at the end. Exit: 0 done and each acknowledged number is its own; 1 not so, or a
// call failed; 2 usage.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "basalt/client.h"
#include "base/mutex.h"

namespace basalt::tools {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::vector<std::string> endpoints;
  std::string key;
  uint64_t count = 0;
  uint64_t clients = 64;
  uint64_t timeout_s = 10;
};

class Load {
 public:
  Load(std::vector<Client>& clients, const Options& options)
      : clients_(clients), options_(options), answered_(options.count + 1) {}

  // Whether each increment was acknowledged with a number of its own, from 1 to the count.
  bool Run() {
    for (Client& client : clients_) Next(client);
    const Clock::time_point began = Clock::now();
    base::MutexLock lock(mutex_);
    while (open_ > 0) {
      changed_.WaitFor(mutex_, std::chrono::seconds(1));
      std::cerr << fmt::format("{:.1f} s: {}\n",
                               std::chrono::duration<double>(Clock::now() - began).count(),
                               acknowledged_);
    }
    std::cout << fmt::format(
        "{{\"acknowledged\": {}, \"unknown\": {}, \"not_applied\": {}, \"repeated_answers\": {}, "
        "\"seconds\": {:.3f}}}\n",
        acknowledged_, unknown_, not_applied_, repeated_,
        std::chrono::duration<double>(Clock::now() - began).count());
    if (!first_failure_.empty()) std::cerr << "basalt_increments: " << first_failure_ << "\n";
    return acknowledged_ == options_.count && repeated_ == 0;
  }

 private:
  void Next(Client& client) {
    {
      base::MutexLock lock(mutex_);
      if (started_ == options_.count) return;
      ++started_;
      ++open_;
    }
    client.IncrementAsync(options_.key, 1, [this, &client](const Result<int64_t>& number) {
      Note(number);
      Next(client);
      base::MutexLock lock(mutex_);
      if (--open_ == 0) changed_.NotifyAll();
    });
  }

  void Note(const Result<int64_t>& number) {
    base::MutexLock lock(mutex_);
    if (!number.ok()) {
      ++(number.status().outcome() == Outcome::kNotApplied ? not_applied_ : unknown_);
      if (first_failure_.empty()) first_failure_ = number.status().ToString();
      return;
    }
    ++acknowledged_;
    const bool fits = *number >= 1 && static_cast<uint64_t>(*number) <= options_.count;
    if (!fits || answered_[static_cast<size_t>(*number)]) {
      ++repeated_;
    } else {
      answered_[static_cast<size_t>(*number)] = true;
    }
  }

  std::vector<Client>& clients_;
  const Options options_;
  base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<bool> answered_ BASALT_GUARDED_BY(mutex_);  // by number
  uint64_t started_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t open_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t acknowledged_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t unknown_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t not_applied_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t repeated_ BASALT_GUARDED_BY(mutex_) = 0;
  std::string first_failure_ BASALT_GUARDED_BY(mutex_);
};

bool ToNumber(std::string_view text, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc{} && end == text.data() + text.size() && *number > 0;
}

bool Parse(int count, char** arguments, Options* options) {
  const std::map<std::string_view, uint64_t*> numbers{{"--count", &options->count},
                                                      {"--clients", &options->clients},
                                                      {"--timeout", &options->timeout_s}};
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view name = arguments[i];
    const std::string value = arguments[i + 1];
    if (name == "--key") {
      options->key = value;
    } else if (name == "--endpoints") {
      for (size_t begin = 0; begin < value.size();) {
        const size_t comma = std::min(value.find(',', begin), value.size());
        options->endpoints.push_back(value.substr(begin, comma - begin));
        begin = comma + 1;
      }
    } else if (const auto place = numbers.find(name);
               place == numbers.end() || !ToNumber(value, place->second)) {
      return false;
    }
  }
  return count % 2 == 1 && !options->endpoints.empty() && !options->key.empty() &&
         options->count > 0;
}

int Main(int count, char** arguments) {
  Options options;
  if (!Parse(count, arguments, &options)) {
    std::cerr << "basalt_increments: --endpoints H:P,.. --key K --count N [--clients N] "
                 "[--timeout SECONDS]\n";
    return 2;
  }
  std::vector<Client> clients;
  for (uint64_t i = 0; i < options.clients; ++i) {
    Result<Client> client = Client::Connect(
        {.endpoints = options.endpoints, .timeout = std::chrono::seconds(options.timeout_s)});
    if (!client.ok()) {
      std::cerr << "basalt_increments: " << client.status().ToString() << "\n";
      return 1;
    }
    clients.push_back(std::move(client).value());
  }
  Load load(clients, options);
  return load.Run() ? 0 : 1;
}

}  // namespace
}  // namespace basalt::tools

int main(int count, char** arguments) { return basalt::tools::Main(count, arguments); }
