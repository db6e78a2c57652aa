// HybridClock: timestamps that rise strictly and stay close to physical time (Kulkarni et al.,
// "Logical Physical Clocks", OPODIS 2014).
//
// A stamp is 64 bits: physical milliseconds above 16 bits of counter. Physical time is the wall
// clock read once at start, carried on by the monotonic clock, and moved as KnownTime slews its
// own: a wall clock that jumps moves no stamp at once. Safety rests on none of this, only on "rises
// strictly and passes all that it saw".
//
// Pure: the time is an argument. One owner.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "server/clock/clock.h"

namespace basalt::server {

using Stamp = uint64_t;

inline constexpr int kStampCounterBits = 16;

inline constexpr uint64_t StampMilliseconds(Stamp stamp) { return stamp >> kStampCounterBits; }

class HybridClock {
 public:
  HybridClock(uint64_t wall_milliseconds_at_start, MonotonicTime start)
      : wall_at_start_(wall_milliseconds_at_start), start_(start) {}

  // `count` stamps in a row, all above every stamp given out or seen; returns the first.
  Stamp Take(MonotonicTime now, uint64_t count) {
    BASALT_CHECK(count > 0);
    const Stamp first = std::max(last_ + 1, PhysicalStamp(now));
    last_ = first + count - 1;
    return first;
  }

  // Moves physical time, either way. What was given out or seen stays below what follows.
  void Shift(int64_t milliseconds) { wall_at_start_ += static_cast<uint64_t>(milliseconds); }

  // From now on every stamp is above `stamp`.
  void Pass(Stamp stamp) { last_ = std::max(last_, stamp); }

  // The highest stamp given out or seen, or physical time when that is higher.
  Stamp Read(MonotonicTime now) const { return std::max(last_, PhysicalStamp(now)); }

 private:
  Stamp PhysicalStamp(MonotonicTime now) const {
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_);
    return (wall_at_start_ + static_cast<uint64_t>(elapsed.count())) << kStampCounterBits;
  }

  uint64_t wall_at_start_;
  MonotonicTime start_;
  Stamp last_ = 0;
};

}  // namespace basalt::server
