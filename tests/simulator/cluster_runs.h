// Runs a scenario over many seeds, each in a process of its own, and sums up what was reached.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "tests/fakes/under_asan.h"
#include "tests/simulator/child_run.h"
#include "tests/simulator/virtual_cluster.h"

namespace basalt::testing {

using ClusterScenario = std::function<void(VirtualCluster&)>;

// Under AddressSanitizer a third of the seeds are run, and a third is reached at least.
inline constexpr uint64_t kShareOfSeeds = kUnderAsan ? 3 : 1;
constexpr uint64_t Least(uint64_t of_all_seeds) { return of_all_seeds / kShareOfSeeds; }

inline RunReport RunOnce(VirtualClusterOptions options, uint64_t seed,
                         const ClusterScenario& scenario) {
  options.seed = seed;
  VirtualCluster cluster(options);
  scenario(cluster);
  return cluster.Finish();
}

// The command that gives this run of the present test again; build/<preset> is its place.
inline std::string ReplayOf(uint64_t seed) {
  const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
  return "  to see it again: BASALT_CLUSTER_SEED=" + std::to_string(seed) +
         " test-bin/simulator_test --gtest_filter=" + test.test_suite_name() + "." + test.name();
}

// BASALT_CLUSTER_SEED=n runs seed n alone, in this process: for a debugger.
inline std::map<std::string, uint64_t> RunSeeds(const VirtualClusterOptions& options,
                                                uint64_t all_seeds,
                                                const ClusterScenario& scenario) {
  const uint64_t seeds = std::max<uint64_t>(1, all_seeds / kShareOfSeeds);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* const only = std::getenv("BASALT_CLUSTER_SEED");
  std::map<std::string, uint64_t> reached;
  for (uint64_t seed = only != nullptr ? std::stoull(only) : 1; seed <= seeds || only != nullptr;
       ++seed) {
    const auto run = [&] { return RunOnce(options, seed, scenario); };
    const RunReport report = only != nullptr ? run() : RunInChild(run);
    for (const std::string& violation : report.violations) {
      ADD_FAILURE() << violation << "\n" << ReplayOf(seed);
    }
    for (const auto& [name, count] : report.reached) reached[name] += count;
    if (only != nullptr || ::testing::Test::HasFailure()) break;
  }
  std::string text;
  for (const auto& [name, count] : reached)
    text += "  " + std::to_string(count) + " " + name + "\n";
  std::printf("%s", text.c_str());
  return reached;
}

}  // namespace basalt::testing
