// basalt_etcd_bench: what `kvctl bench` does, done to etcd, by the same generator.
//
//   basalt_etcd_bench --endpoints H:P,... [--txn-puts N] [flags of kvctl bench]
//
// A transfer is a Txn of one compare and a put for each key, which reads nothing: its accounts have
// no books to verify. One connection for each endpoint that is named. Prints what `kvctl bench`
// prints, and with
// --txn-puts how full transactions were, on standard error.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <string_view>
#include <vector>

#include "client/kvctl/bench_report.h"
#include "client/kvctl/command_line.h"
#include "client/kvctl/verbs.h"
#include "tests/bench/etcd_target.h"

namespace basalt::bench {
namespace {

constexpr uint32_t kTxnPutsMax = 128;  // etcd's --max-txn-ops

int Fail(std::string_view message) {
  fmt::print(stderr, "basalt_etcd_bench: {}\n", message);
  return kvctl::kUsage;
}

// Takes "--txn-puts N" out of the words. 0: malformed.
uint32_t TakeTxnPuts(std::vector<const char*>& words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (std::string_view(words[i]) != "--txn-puts") continue;
    uint32_t puts = 0;
    if (i + 1 < words.size()) {
      const std::string_view text = words[i + 1];
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), puts);
      if (error != std::errc{} || end != text.data() + text.size()) puts = 0;
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    }
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(i));
    return puts <= kTxnPutsMax ? puts : 0;
  }
  return 1;
}

int Main(int argc, char** argv) {
  std::vector<const char*> words(argv + 1, argv + argc);
  const uint32_t txn_puts = TakeTxnPuts(words);
  if (txn_puts == 0) return Fail(fmt::format("--txn-puts takes 1 to {}", kTxnPutsMax));
  words.insert(words.begin(), {argv[0], "bench"});
  kvctl::CommandLine line =
      kvctl::ParseCommandLine(static_cast<int>(words.size()), words.data(), nullptr);
  if (!line.arguments.has_value()) {
    if (line.code != kvctl::kDone) return Fail(line.text);
    kvctl::Print(line.text);
    return kvctl::kDone;
  }
  BenchPlan& plan = line.arguments->bench;
  if (plan.workload == Workload::kTxn) plan.verify = false;
  if (plan.unary) return Fail("--unary: etcd has no other way");
  if (txn_puts > 1 && plan.mix().pattern != KeyPattern::kOwn) {
    return Fail("--txn-puts: clients of this workload race for keys, which may meet in one Txn");
  }
  const auto target = EtcdTarget::Connect({.endpoints = line.arguments->endpoints,
                                           .timeout = line.arguments->timeout,
                                           .txn_puts = txn_puts});
  if (!target.ok()) return kvctl::Report(target.status());
  const kvctl::ExitCode code = kvctl::RunBenchAgainst(target->get(), *line.arguments);
  if ((*target)->txns() > 0) {
    fmt::print(
        stderr, "txns: {}, puts each: {:.1f}\n", (*target)->txns(),
        static_cast<double>((*target)->puts_in_txns()) / static_cast<double>((*target)->txns()));
  }
  return code;
}

}  // namespace
}  // namespace basalt::bench

int main(int argc, char** argv) { return basalt::bench::Main(argc, argv); }
