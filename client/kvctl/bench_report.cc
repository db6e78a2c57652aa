#include "client/kvctl/bench_report.h"

#include <absl/synchronization/mutex.h>
#include <fmt/format.h>

#include <map>
#include <random>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "client/bench/bench_run.h"
#include "client/kvctl/quantities.h"
#include "client/kvctl/text_table.h"
#include "client/kvctl/verbs.h"

namespace basalt::kvctl {
namespace {

using Json = nlohmann::ordered_json;
using bench::BenchPlan;
using bench::BenchReport;

constexpr uint64_t kKeysReadBack = 1000;

double Microseconds(uint64_t ns) { return static_cast<double>(ns) / 1000; }

double Rate(const BenchReport& report) {
  return report.seconds <= 0 ? 0 : static_cast<double>(report.operations()) / report.seconds;
}

uint64_t CountOf(const std::map<Outcome, uint64_t>& counts, Outcome outcome) {
  const auto it = counts.find(outcome);
  return it == counts.end() ? 0 : it->second;
}

uint64_t Failed(const BenchReport& report, Outcome outcome) {
  return CountOf(report.failed_puts, outcome);
}

uint64_t FailedTransfers(const BenchReport& report, Outcome outcome) {
  return CountOf(report.failed_transfers, outcome);
}

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : 100 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string ToJson(const BenchPlan& plan, const BenchReport& report) {
  const client::Histogram& latency = report.latency_ns;
  Json json = {{"workload", bench::NameOf(plan.workload)},
               {"clients", plan.clients},
               {"value_size", plan.value_size},
               {"keys", plan.keys},
               {"zipf", plan.mix().pattern == bench::KeyPattern::kZipf},
               {"unary", plan.unary},
               {"rate", plan.rate},
               {"seconds", report.seconds},
               {"throughput", Rate(report)},
               {"puts", report.puts},
               {"gets", report.gets},
               {"absent", report.absent},
               {"scans", report.scans},
               {"rows", report.rows},
               {"read_modify_writes", report.read_modify_writes},
               {"unstarted", report.unstarted},
               {"errors", report.errors()},
               {"errors_by",
                {{"put_not_applied", Failed(report, Outcome::kNotApplied)},
                 {"put_unknown", Failed(report, Outcome::kUnknown)},
                 {"transfer_not_applied", FailedTransfers(report, Outcome::kNotApplied)},
                 {"transfer_unknown", FailedTransfers(report, Outcome::kUnknown)},
                 {"get", report.failed_gets},
                 {"scan", report.failed_scans}}},
               {"latency_us",
                {{"p50", Microseconds(latency.Percentile(0.5))},
                 {"p90", Microseconds(latency.Percentile(0.9))},
                 {"p99", Microseconds(latency.Percentile(0.99))},
                 {"p999", Microseconds(latency.Percentile(0.999))},
                 {"max", Microseconds(latency.max())}}},
               {"first_failure", report.first_failure},
               {"cpu_us_per_op", report.cpu_us_per_op},
               {"verified_keys", report.verified_keys},
               {"lost_keys", report.lost_keys}};
  if (plan.mix().transfers > 0) {
    json["txn"] = {
        {"keys_each", plan.keys_per_txn},
        {"zipf", plan.zipf},
        {"transfers", report.transfers},
        {"runs", report.transfer_runs},
        {"over_shards_percent", Percent(report.transfers_over_shards, report.transfers)},
        {"over_leaders_percent", Percent(report.transfers_over_leaders, report.transfers)},
        {"not_applied", FailedTransfers(report, Outcome::kNotApplied)},
        {"unknown", FailedTransfers(report, Outcome::kUnknown)},
        {"wrong_books", report.wrong_books}};
  }
  return json.dump() + "\n";
}

std::string TransfersForPeople(const BenchPlan& plan, const BenchReport& report) {
  if (plan.mix().transfers == 0) return "";
  std::string text = fmt::format(
      "\ntransfers among {} keys: {:.0f} % with each in a shard of its own, {:.0f} % over "
      "several "
      "leaders; {:.2f} runs each\n",
      plan.keys_per_txn, Percent(report.transfers_over_shards, report.transfers),
      Percent(report.transfers_over_leaders, report.transfers),
      Percent(report.transfer_runs, report.transfers) / 100);
  if (report.errors() > 0) {
    text += fmt::format("\nerrors: {} not applied, {} unknown; first: {}\n",
                        FailedTransfers(report, Outcome::kNotApplied),
                        FailedTransfers(report, Outcome::kUnknown), report.first_failure);
  }
  if (report.verified_keys > 0) {
    text +=
        fmt::format("\nread back: {} accounts, {}\n", report.verified_keys,
                    report.wrong_books.empty() ? "whose sum is what it was" : report.wrong_books);
  }
  return text;
}

std::string ToTable(const BenchPlan& plan, const BenchReport& report) {
  const client::Histogram& latency = report.latency_ns;
  const auto us = [&](double share) {
    return fmt::format("{:.0f} us", Microseconds(latency.Percentile(share)));
  };
  std::string text = fmt::format(
      "{} by {} clients{}{}, values of {}, {:.1f} s\n\n", bench::NameOf(plan.workload),
      plan.clients, plan.unary ? " (unary)" : "", plan.zipf ? ", keys by Zipf's law" : "",
      BytesForPeople(plan.value_size), report.seconds);
  TextTable table({"OPS", "OPS/S", "ERRORS", "P50", "P90", "P99", "P99.9", "MAX", "CPU/OP"});
  table.Add({CountForPeople(report.operations()),
             CountForPeople(static_cast<uint64_t>(Rate(report))), CountForPeople(report.errors()),
             us(0.5), us(0.9), us(0.99), us(0.999),
             fmt::format("{:.0f} us", Microseconds(latency.max())),
             fmt::format("{:.1f} us", report.cpu_us_per_op)});
  text += table.ToString();
  text += TransfersForPeople(plan, report);
  if (report.errors() > 0 && plan.mix().transfers == 0) {
    text += fmt::format(
        "\nerrors: {} puts not applied, {} puts unknown, {} gets, {} scans; "
        "first: {}\n",
        Failed(report, Outcome::kNotApplied), Failed(report, Outcome::kUnknown), report.failed_gets,
        report.failed_scans, report.first_failure);
  }
  if (report.absent > 0) {
    text += fmt::format("\n{} gets found nothing\n", CountForPeople(report.absent));
  }
  if (report.scans > 0) {
    text += fmt::format("\n{} rows in {} scans\n", CountForPeople(report.rows),
                        CountForPeople(report.scans));
  }
  if (report.unstarted > 0) {
    text +=
        fmt::format("\n{} operations were due and not started; latencies count what they waited\n",
                    CountForPeople(report.unstarted));
  }
  if (report.verified_keys > 0 && plan.mix().transfers == 0) {
    text += fmt::format("\nread back: {} keys, {} not as acknowledged\n", report.verified_keys,
                        report.lost_keys);
  }
  return text;
}

}  // namespace

ExitCode RunBenchAgainst(bench::Target* target, const Arguments& arguments,
                         bench::PlaceOfKey place_of) {
  // Else a build of Abseil with its assertions on searches for deadlocks at each of gRPC's locks.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const BenchPlan& plan = arguments.bench;
  bench::BenchRun run(target, plan, std::random_device{}(), std::move(place_of));
  if (plan.mix().reads() && plan.load) {
    const Status loaded = run.Load();
    if (!loaded.ok()) return Report(loaded);
  }
  BenchReport report = run.Run();
  Status verified;
  if (plan.mix().writes() && plan.verify) verified = run.Verify(kKeysReadBack, &report);
  Print(arguments.output == OutputFormat::kJson ? ToJson(plan, report) : ToTable(plan, report));
  if (report.lost_keys > 0) {
    Complain(fmt::format("{} acknowledged writes are not there", report.lost_keys));
    return kNotFound;
  }
  if (!report.wrong_books.empty()) {
    Complain(report.wrong_books);
    return kNotFound;
  }
  if (report.operations() == 0 && report.errors() > 0) {
    Complain("no operation succeeded: " + report.first_failure);
    const uint64_t in_doubt =
        Failed(report, Outcome::kUnknown) + FailedTransfers(report, Outcome::kUnknown);
    return in_doubt > 0 ? kUnknown : kUnavailable;
  }
  return Report(verified);
}

}  // namespace basalt::kvctl
