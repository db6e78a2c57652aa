// Whether increments by one, of keys that nothing else writes, were each applied once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

struct Increment {
  uint64_t client = 0;
  std::string key;
  int64_t invoked_ns = 0;
  std::optional<int64_t> responded_ns;  // unset: no answer came
  Outcome outcome = Outcome::kUnknown;
  int64_t number = 0;  // as answered, when applied
};

// Judges by every version that was ever applied. One line per thing that cannot be:
//   - the values of a key are not 1, 2, 3... in the order of their versions, or one is deleted;
//   - two increments were answered with one number, or one with a number that is not stored;
//   - more are stored than may have been applied, or than were;
//   - one that ended before another began got the higher number.
std::vector<std::string> FindCounterViolations(const std::vector<Increment>& increments,
                                               const StoredVersions& stored);

}  // namespace basalt::check
