// What a run of a virtual cluster saw, and how it is brought home from a process of its own: a
// CHECK that fails ends that process, and is a finding like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace basalt::testing {

struct RunReport {
  std::vector<std::string> violations;
  std::map<std::string, uint64_t> reached;  // what happened how often
};

// Runs `run` in a child process and waits for it.
RunReport RunInChild(const std::function<RunReport()>& run);

}  // namespace basalt::testing
