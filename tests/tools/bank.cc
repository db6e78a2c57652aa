// basalt_bank: a bank whose clients move money until SIGTERM comes, and whether its books are
// right.
//
//   basalt_bank --endpoints H:P,.. --slow-calls F [--accounts N] [--clients N] [--readers N]
//               [--timeout SECONDS] [--anchor-first SLOT --anchor-count N]
//
// Each client has connections and a client id of its own (bank_load.h). Prints a line a second on
// standard error while it runs, there too what it objects to, and a line of JSON at the end. Exit:
// 0 nothing to object to; 1 something, or it could not begin; 2 usage.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <ctime>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "tests/tools/bank_load.h"

namespace basalt::tools {
namespace {

constexpr size_t kViolationsShown = 20;

template <typename Number>
bool ToNumber(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc{} && end == text.data() + text.size();
}

bool TakeFlag(std::string_view name, const std::string& value, BankOptions* options) {
  if (name == "--slow-calls") {
    options->slow_calls = value;
    return true;
  }
  if (name == "--endpoints") {
    for (size_t begin = 0; begin < value.size();) {
      const size_t comma = std::min(value.find(',', begin), value.size());
      options->endpoints.push_back(value.substr(begin, comma - begin));
      begin = comma + 1;
    }
    return true;
  }
  if (name == "--anchor-first") return ToNumber(value, &options->anchor_first);
  if (name == "--anchor-count") return ToNumber(value, &options->anchor_count);
  const std::map<std::string_view, uint64_t*> numbers{{"--accounts", &options->accounts},
                                                      {"--clients", &options->clients},
                                                      {"--readers", &options->readers},
                                                      {"--timeout", &options->timeout_s}};
  const auto place = numbers.find(name);
  return place != numbers.end() && ToNumber(value, place->second) && *place->second > 0;
}

bool Parse(int count, char** arguments, BankOptions* options) {
  for (int i = 1; i + 1 < count; i += 2) {
    if (!TakeFlag(arguments[i], arguments[i + 1], options)) return false;
  }
  return count % 2 == 1 && !options->endpoints.empty() && !options->slow_calls.empty() &&
         options->accounts >= 2;
}

void Print(const BankReport& report) {
  for (const std::string& failure : report.failures) std::cerr << failure << "\n";
  for (size_t i = 0; i < std::min(report.violations.size(), kViolationsShown); ++i) {
    std::cerr << "basalt_bank: " << report.violations[i] << "\n";
  }
  std::cout << fmt::format(
      "{{\"acknowledged\": {}, \"unknown\": {}, \"aborted\": {}, \"refused\": {}, "
      "\"snapshots\": {}, \"audits\": {}, \"failed_reads\": {}, \"traces\": {}, "
      "\"violations\": {}, \"seconds\": {:.3f}, \"closing_seconds\": {:.3f}}}\n",
      report.acknowledged, report.unknown, report.aborted, report.refused, report.snapshots,
      report.audits, report.failed_reads, report.traces, report.violations.size(), report.seconds,
      report.closing_seconds);
}

int Main(int count, char** arguments) {
  BankOptions options;
  if (!Parse(count, arguments, &options)) {
    std::cerr << "basalt_bank: --endpoints H:P,.. --slow-calls F [--accounts N] [--clients N] "
                 "[--readers N] [--timeout SECONDS] [--anchor-first SLOT --anchor-count N]\n";
    return 2;
  }
  // Of all threads that are started from here on: SIGTERM is this one's to take.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  BankLoad load(options);
  if (const Status opened = load.Open(); !opened.ok()) {
    std::cerr << "basalt_bank: " << opened.ToString() << "\n";
    return 1;
  }
  load.Start();
  constexpr timespec kSecond{.tv_sec = 1, .tv_nsec = 0};
  while (::sigtimedwait(&signals, nullptr, &kSecond) != SIGTERM) {
    std::cerr << load.Progress() << "\n";
  }
  const BankReport report = load.Finish();
  Print(report);
  return report.violations.empty() ? 0 : 1;
}

}  // namespace
}  // namespace basalt::tools

int main(int count, char** arguments) { return basalt::tools::Main(count, arguments); }
