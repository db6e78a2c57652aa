#include "tests/simulator/speed.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "tests/simulator/fault_injector.h"
#include "tests/simulator/run.h"

namespace basalt::testing {
namespace {

constexpr int kSamples = 9;
constexpr server::MonotonicTime kDuration = seconds(60);
constexpr double kOperationsPerSecondLeast = 100;

double ProcessorSeconds() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// One fault in each virtual second, of all kinds in turn with a random victim.
std::vector<Fault> FaultEachSecond(uint64_t seed) {
  std::vector<Fault> faults = PlanFaults({Family::kEverything, seed, seconds(400), 3, 3});
  faults.resize(static_cast<size_t>(kDuration / seconds(1)));
  for (size_t i = 0; i < faults.size(); ++i) {
    faults[i].at = seconds(i) + milliseconds(100);
    faults[i].lasts = std::min<server::MonotonicTime>(faults[i].lasts, milliseconds(900));
  }
  return faults;
}

VirtualClusterOptions ClusterOfGoal(uint64_t seed) {
  VirtualClusterOptions options;
  options.seed = seed;
  options.shards = 3;
  options.workload.clients = 3;
  options.workload.calls_per_client = 4;
  options.workload.think_max = milliseconds(60);
  return options;
}

}  // namespace

bool MeasureSpeed() {
  std::vector<double> rates;
  bool passed = true;
  double all_seconds = 0;
  uint64_t all_operations = 0;
  std::printf("{\"samples\": [\n");
  for (int sample = 0; sample < kSamples; ++sample) {
    const double before = ProcessorSeconds();
    VirtualCluster cluster(ClusterOfGoal(static_cast<uint64_t>(sample) + 1));
    FaultInjector injector(cluster);
    injector.Plan(FaultEachSecond(static_cast<uint64_t>(sample) + 1));
    cluster.RunFor(kDuration);
    injector.Stop();
    const RunReport report = cluster.Finish();
    const double took = ProcessorSeconds() - before;
    const double virtual_seconds = std::chrono::duration<double>(report.virtual_time).count();
    rates.push_back(virtual_seconds / took);
    all_seconds += virtual_seconds;
    all_operations += report.operations;
    uint64_t faults = 0;
    for (const auto& [kind, count] : report.faults) faults += count;
    for (const std::string& violation : report.violations) {
      std::fprintf(stderr, "violation: %s\n", violation.c_str());
      passed = false;
    }
    std::printf(
        " {\"virtual_seconds\": %.1f, \"processor_seconds\": %.3f, \"operations\": %llu, "
        "\"faults\": %llu}%s\n",
        virtual_seconds, took, static_cast<unsigned long long>(report.operations),
        static_cast<unsigned long long>(faults), sample + 1 < kSamples ? "," : "");
  }
  const double operations_per_second = static_cast<double>(all_operations) / all_seconds;
  if (operations_per_second < kOperationsPerSecondLeast) {
    std::fprintf(stderr, "%.0f operations in a virtual second are too few\n",
                 operations_per_second);
    passed = false;
  }
  std::sort(rates.begin(), rates.end());
  std::printf("], \"operations_per_virtual_second\": %.1f, \"virtual_seconds_per_second\": %.1f}\n",
              operations_per_second, rates[rates.size() / 2]);
  return passed;
}

}  // namespace basalt::testing
