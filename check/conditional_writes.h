// Whether conditional writes were done exactly where their conditions held.
//
// Needs keys that nothing else writes, and every value written once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

struct ConditionalWrite {
  // Without a condition, a put, or where `value` is unset a delete.
  enum class Condition : uint8_t { kNone, kVersion, kValue } condition = Condition::kNone;
  std::string key;
  std::optional<std::string> value;  // what it writes
  uint64_t if_version = 0;           // kVersion: that of the key's value; 0: it has none
  std::string if_value;              // kValue
  int64_t invoked_ns = 0;
  std::optional<int64_t> responded_ns;  // unset: no answer came
  Outcome outcome = Outcome::kUnknown;
  // It was answered that the condition did not hold; then the outcome is kNotApplied.
  bool failed = false;
  // kApplied: of what was written; failed: of the value that there was, 0: none.
  uint64_t version = 0;
};

// Judges by every version that was ever applied. One line per thing that cannot be:
//   - a write is stored behind something that its condition does not hold of, or twice;
//   - one that was told to be applied is not, at the version that was told;
//   - one that was told not to be is;
//   - one failed for a value that there never was, of which its condition holds, or which was not
//     there any more when it was asked for.
std::vector<std::string> FindConditionalViolations(const std::vector<ConditionalWrite>& writes,
                                                   const StoredVersions& stored);

}  // namespace basalt::check
