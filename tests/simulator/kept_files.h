// The two files that are kept beside the simulator: marks.txt, what a long run must reach, and
// seeds.txt, seeds that once found something.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "tests/simulator/run.h"

namespace basalt::testing {

// A line of marks.txt: the hazards that the mark stands for, how often a run of two minutes and
// one of an hour must reach it, and the mark.
struct WantedMark {
  std::string hazards;
  uint64_t least_in_two_minutes = 0;
  uint64_t least_in_an_hour = 0;
  std::string mark;
};

absl::StatusOr<std::vector<WantedMark>> ReadMarks(const std::string& path);

// Those that `reached` is below of, one line each. `ran_seconds`: below two minutes
// nothing is wanted.
std::vector<std::string> FindUnreached(const std::vector<WantedMark>& wanted,
                                       const std::map<std::string, uint64_t>& reached,
                                       uint64_t ran_seconds);

// A line of seeds.txt: family, seed, seconds, and why it is kept.
absl::StatusOr<std::vector<RunOptions>> ReadSeeds(const std::string& path);

}  // namespace basalt::testing
