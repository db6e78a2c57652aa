// KnownTime: what a node knows of physical time.
//
// Its own clock: the wall clock read once, at start, carried on by the monotonic clock, and slewed
// towards the wall clock while the two are more than a second apart: so a wall clock that jumps
// moves nothing at once, and one that was set right is followed without a restart.
//
// The highest time known: its own, or what a peer said, which knew it from its clock or from
// others. No rule of safety rests on it. It bounds what a client's timestamp may do: one that lies
// far above what any node calls time would carry every clock away with it.
//
// Whether the own clock lies far off those of the other nodes. The timestamps of a shard follow the
// clock of its leader, and everybody's follow them: such a node had better not lead.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>

#include "base/mutex.h"
#include "server/clock/clock.h"

namespace basalt::server {

// A client's timestamp may lie so far above the time that a node knows, and so may stamps, for
// they lie above such.
inline constexpr uint64_t kAheadMaxMs = 10'000;
// A clock so far from the median of all is far off.
inline constexpr int64_t kFarOffMs = 5'000;

class KnownTime {
 public:
  // `clock` outlives it.
  explicit KnownTime(const Clock& clock);

  // The highest that is known, since 1970.
  uint64_t Milliseconds() const { return Carry(ahead_); }
  // The own clock, since 1970.
  uint64_t OwnMilliseconds() const { return Carry(own_ahead_); }

  // What lies beyond the year 4200 is no time.
  void Hear(uint64_t milliseconds);
  // What the node's own clock says just now.
  void HearClock(uint64_t node, uint64_t milliseconds) BASALT_EXCLUDES(mutex_);

  // To be called again and again. By how many milliseconds the own clock was moved: 5 for a second
  // since it was last looked at, at most, either way.
  int64_t Slew() BASALT_EXCLUDES(mutex_);

  // By how much the own clock is ahead of the median of all nodes' that were heard within the last
  // five seconds, its own among them, in milliseconds; below 0: behind. Of an even number the one
  // of the two in the middle that is nearer counts: of two nodes neither is off.
  int64_t AheadOfMedian() const BASALT_EXCLUDES(mutex_);

  const Clock& clock() const { return clock_; }

 private:
  struct Peer {
    int64_t ahead;  // of this node's monotonic clock
    MonotonicTime heard;
  };

  uint64_t Carry(const std::atomic<int64_t>& ahead) const {
    return static_cast<uint64_t>(ahead.load(std::memory_order_relaxed) + Elapsed(clock_.Now()));
  }
  static int64_t Elapsed(MonotonicTime now) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  }

  const Clock& clock_;
  // Of the monotonic clock, in milliseconds.
  std::atomic<int64_t> own_ahead_;
  std::atomic<int64_t> ahead_;
  mutable base::Mutex mutex_;
  MonotonicTime slewed_ BASALT_GUARDED_BY(mutex_);
  std::map<uint64_t, Peer> peers_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::server
