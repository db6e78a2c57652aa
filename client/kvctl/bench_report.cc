#include "client/kvctl/bench_report.h"

#include <absl/synchronization/mutex.h>
#include <fmt/format.h>

#include <random>
#include <string>

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

uint64_t Failed(const BenchReport& report, Outcome outcome) {
  const auto it = report.failed_puts.find(outcome);
  return it == report.failed_puts.end() ? 0 : it->second;
}

std::string ToJson(const BenchPlan& plan, const BenchReport& report) {
  const client::Histogram& latency = report.latency_ns;
  const Json json = {{"workload", bench::NameOf(plan.workload)},
                     {"clients", plan.clients},
                     {"value_size", plan.value_size},
                     {"keys", plan.keys},
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
  return json.dump() + "\n";
}

std::string ToTable(const BenchPlan& plan, const BenchReport& report) {
  const client::Histogram& latency = report.latency_ns;
  const auto us = [&](double share) {
    return fmt::format("{:.0f} us", Microseconds(latency.Percentile(share)));
  };
  std::string text = fmt::format(
      "{} by {} clients{}, values of {}, {:.1f} s\n\n", bench::NameOf(plan.workload), plan.clients,
      plan.unary ? " (unary)" : "", BytesForPeople(plan.value_size), report.seconds);
  TextTable table({"OPS", "OPS/S", "ERRORS", "P50", "P90", "P99", "P99.9", "MAX", "CPU/OP"});
  table.Add({CountForPeople(report.operations()),
             CountForPeople(static_cast<uint64_t>(Rate(report))), CountForPeople(report.errors()),
             us(0.5), us(0.9), us(0.99), us(0.999),
             fmt::format("{:.0f} us", Microseconds(latency.max())),
             fmt::format("{:.1f} us", report.cpu_us_per_op)});
  text += table.ToString();
  if (report.errors() > 0) {
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
  if (report.verified_keys > 0) {
    text += fmt::format("\nread back: {} keys, {} not as acknowledged\n", report.verified_keys,
                        report.lost_keys);
  }
  return text;
}

}  // namespace

ExitCode RunBenchAgainst(bench::Target* target, const Arguments& arguments) {
  // Else a build of Abseil with its assertions on searches for deadlocks at each of gRPC's locks.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const BenchPlan& plan = arguments.bench;
  bench::BenchRun run(target, plan, std::random_device{}());
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
  if (report.operations() == 0 && report.errors() > 0) {
    Complain("no operation succeeded: " + report.first_failure);
    return Failed(report, Outcome::kUnknown) > 0 ? kUnknown : kUnavailable;
  }
  return Report(verified);
}

}  // namespace basalt::kvctl
