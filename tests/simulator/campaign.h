// Campaign: runs of many seeds, some at a time, each in a process of its own, and what they add up
// to.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/simulator/run.h"

namespace basalt::testing {

struct Failure {
  RunOptions options;
  std::vector<std::string> violations;
  uint64_t trace_hash = 0;  // as far as it came; 0: the process ended before its first event
};

// What many runs add up to.
struct Tally {
  void Add(const RunOptions& options, RunReport report);

  uint64_t runs = 0;
  uint64_t operations = 0;
  server::MonotonicTime virtual_time{};
  std::map<std::string, uint64_t> runs_by_family;
  std::map<std::string, uint64_t> reached;
  std::map<std::string, uint64_t> faults;
  std::vector<Failure> failures;
};

struct CampaignOptions {
  std::vector<Family> families;  // in turn
  uint64_t first_seed = 1;
  std::chrono::seconds budget{60};
  uint64_t runs_max = UINT64_MAX;
  unsigned jobs = 2;
  size_t failures_max = 5;  // ends it
  server::MonotonicTime duration = kDefaultDuration;
};

// Prints failures with their replay commands as they come.
Tally RunCampaign(const CampaignOptions& options);

// In a process of its own. However it ends, the report has the trace's hash as far as it came.
RunReport RunApart(const RunOptions& options);

// Runs each of them, `jobs` at a time.
Tally RunEach(const std::vector<RunOptions>& runs, unsigned jobs);

}  // namespace basalt::testing
