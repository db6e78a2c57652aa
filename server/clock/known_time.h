// KnownTime: the highest physical time that a node knows of: its own, or what a peer said, which
// knew it from its clock or from others. Both are carried on by this node's monotonic clock.
//
// No rule of safety rests on it. It bounds what a client's timestamp may do: one that lies far
// above what any node calls time would carry every clock away with it.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "server/clock/clock.h"

namespace basalt::server {

// A client's timestamp may lie so far above the time that a node knows, and so may stamps, for
// they lie above such.
inline constexpr uint64_t kAheadMaxMs = 10'000;

class KnownTime {
 public:
  // Reads the wall clock, this once. `clock` outlives it.
  explicit KnownTime(const Clock& clock)
      : clock_(clock),
        ahead_(static_cast<int64_t>(clock.WallMilliseconds()) - Elapsed(clock.Now())) {}

  // Since 1970.
  uint64_t Milliseconds() const {
    return static_cast<uint64_t>(ahead_.load(std::memory_order_relaxed) + Elapsed(clock_.Now()));
  }

  // What lies beyond the year 4200 is no time.
  void Hear(uint64_t milliseconds) {
    constexpr uint64_t kMost = uint64_t{1} << 46;
    if (milliseconds > kMost) return;
    const int64_t ahead = static_cast<int64_t>(milliseconds) - Elapsed(clock_.Now());
    int64_t known = ahead_.load(std::memory_order_relaxed);
    while (ahead > known &&
           !ahead_.compare_exchange_weak(known, ahead, std::memory_order_relaxed)) {
    }
  }

  const Clock& clock() const { return clock_; }

 private:
  static int64_t Elapsed(MonotonicTime now) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  }

  const Clock& clock_;
  std::atomic<int64_t> ahead_;  // of the monotonic clock, in milliseconds
};

}  // namespace basalt::server
