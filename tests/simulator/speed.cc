#include "tests/simulator/speed.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "tests/simulator/fault_injector.h"
#include "tests/simulator/run.h"
#include "tests/simulator/workload.h"

namespace basalt::testing {
namespace {

constexpr int kSamples = 9;
constexpr server::MonotonicTime kDuration = seconds(60);
constexpr double kOperationsPerSecondLeast = 100;
constexpr double kFaultsPerSecondLeast = 1;

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

bool MeasureSpeed(double least) {
  constexpr double kVirtualSeconds = std::chrono::duration<double>(kDuration).count();
  double all_took = 0;
  bool passed = true;
  uint64_t all_operations = 0;
  uint64_t all_faults = 0;
  std::printf("{\"samples\": [\n");
  for (int sample = 0; sample < kSamples; ++sample) {
    const double before = ProcessorSeconds();
    VirtualCluster cluster(ClusterOfGoal(static_cast<uint64_t>(sample) + 1));
    FaultInjector injector(cluster);
    injector.Plan(FaultEachSecond(static_cast<uint64_t>(sample) + 1));
    cluster.RunFor(kDuration);
    injector.Stop();
    const uint64_t operations = cluster.workload().operations();
    // Healing and judging cost, and what goes by meanwhile does not count.
    const RunReport report = cluster.Finish();
    const double took = ProcessorSeconds() - before;
    all_took += took;
    uint64_t faults = 0;
    for (const auto& [kind, count] : report.faults) faults += count;
    all_operations += operations;
    all_faults += faults;
    for (const std::string& violation : report.violations) {
      std::fprintf(stderr, "violation: %s\n", violation.c_str());
      passed = false;
    }
    std::printf(" {\"processor_seconds\": %.3f, \"operations\": %llu, \"faults\": %llu}%s\n", took,
                static_cast<unsigned long long>(operations),
                static_cast<unsigned long long>(faults), sample + 1 < kSamples ? "," : "");
  }
  // All samples together, so that time, operations and faults are of the same seconds.
  constexpr double kAllVirtualSeconds = kSamples * kVirtualSeconds;
  const double rate = kAllVirtualSeconds / all_took;
  const double operations_per_second = static_cast<double>(all_operations) / kAllVirtualSeconds;
  const double faults_per_second = static_cast<double>(all_faults) / kAllVirtualSeconds;
  std::printf(
      "], \"virtual_seconds\": %.0f, \"operations_per_virtual_second\": %.1f, "
      "\"faults_per_virtual_second\": %.2f, \"virtual_seconds_per_second\": %.1f}\n",
      kVirtualSeconds, operations_per_second, faults_per_second, rate);
  if (operations_per_second < kOperationsPerSecondLeast ||
      faults_per_second < kFaultsPerSecondLeast) {
    std::fprintf(stderr, "too few operations or faults to say anything\n");
    passed = false;
  }
  if (rate < least) {
    std::fprintf(stderr, "%.1f virtual seconds a second, not the %.1f wanted\n", rate, least);
    passed = false;
  }
  return passed;
}

}  // namespace basalt::testing
