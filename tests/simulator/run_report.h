// What a run saw.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "server/clock/clock.h"

namespace basalt::testing {

struct RunReport {
  std::vector<std::string> violations;
  std::map<std::string, uint64_t> reached;  // what happened how often
  std::map<std::string, uint64_t> faults;   // of which kind how many
  uint64_t trace_hash = 0;
  uint64_t operations = 0;
  server::MonotonicTime virtual_time{};

  bool operator==(const RunReport&) const = default;
};

}  // namespace basalt::testing
