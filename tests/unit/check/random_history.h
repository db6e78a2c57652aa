// Random histories of a register that works, and lies about them.
#pragma once

#include "base/random.h"
#include "check/history.h"

namespace basalt::check {

struct HistoryShape {
  size_t operations = 7;
  size_t clients = 3;
  size_t values = 0;  // that puts write; 0: each its own
  // One write in so many; 0: none.
  uint64_t unknown_one_in = 4;
  uint64_t refused_one_in = 8;
  uint64_t deletes_one_in = 5;
  int64_t longest_ns = 12;
};

struct RandomHistory {
  History history;        // of key "k"
  StoredVersions stored;  // all that was applied
};

// Each client does one operation after the other; each takes effect at a moment of its own between
// invocation and answer, or, unknown, some time later or never. Versions follow the effects.
RandomHistory MakeRandomHistory(const HistoryShape& shape, base::Random& random);

// Changes what one answer said, so that it may be, and often is, impossible.
void TellLie(RandomHistory& run, base::Random& random);

}  // namespace basalt::check
