// One run of the simulator: a family and a seed decide everything.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "tests/simulator/fault_plan.h"
#include "tests/simulator/run_report.h"
#include "tests/simulator/virtual_cluster.h"

namespace basalt::testing {

inline constexpr server::MonotonicTime kDefaultDuration = seconds(20);

struct RunOptions {
  Family family = Family::kEverything;
  uint64_t seed = 1;
  server::MonotonicTime duration = kDefaultDuration;  // before healing
  // For kLawless: leases all the same, tried hard. A checker must object; not so when the clocks
  // keep to the bound after all.
  bool leases_all_the_same = false;
  bool clocks_within_bound = false;
  // A planted bug: a CHECK fails then; 0: none does.
  milliseconds check_fails_after{};
  std::string trace;                            // a file that gets one line an event; empty: none
  std::atomic<uint64_t>* trace_hash = nullptr;  // its hash so far goes there
};

// The cluster that a family and a seed give.
VirtualClusterOptions ClusterOf(const RunOptions& options);

// And what will be done to it.
std::vector<Fault> PlanOf(const RunOptions& options);

RunReport RunSimulation(const RunOptions& options);

// The command that gives this run again.
std::string ReplayCommand(const RunOptions& options);

}  // namespace basalt::testing
