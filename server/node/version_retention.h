// VersionRetention: how far a shard's horizon may rise. Pure; the group loop's, one for each of its
// groups, fed on followers too, so that a new leader does not begin anew.
//
// A version is kept for the retention, counted from when it was replaced; that is the shard's own
// (SetVersionRetention), or the node's where the shard has none. No wall clock decides
// that: as entries are applied, samples are taken of the replica's own monotonic clock with the
// highest stamp applied by then, and what a sample says has been applied for as long as it is old.
// The horizon may rise to the stamp of any sample older than the retention that was in force when
// it was taken, or, for what was replaced before a lower one came into force, one lower retention
// after that. Whatever is lost on the way (a restart, a leader that applied later than another)
// makes it rise later, never earlier.
//
// A bound on the bytes of versions above the horizon makes it rise before that.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "server/clock/clock.h"
#include "server/clock/hybrid_clock.h"
#include "server/shard/apply_observer.h"

namespace basalt::server {

class VersionRetention {
 public:
  struct Limits {
    MonotonicTime retention = std::chrono::minutes(10);  // above 0; of shards without their own
    // Of rows of versions above the horizon; 0: no bound.
    uint64_t bytes_max = 0;
  };

  explicit VersionRetention(const Limits& limits)
      : limits_(limits), latest_{.retention = limits.retention} {}

  // What the replica has applied: when it is opened, after each run, after an install. Neither
  // `now` nor `highest_stamp` falls.
  void Applied(MonotonicTime now, Stamp highest_stamp, const VersionTotals& totals);

  // Takes a sample, if one is due. Called again and again.
  void Tick(MonotonicTime now);

  // The horizon that a leader should propose, above the one that there is. Says the same again only
  // after a while, for a proposal may get lost.
  std::optional<Stamp> Due(MonotonicTime now);

 private:
  struct Sample {
    MonotonicTime at{};
    Stamp stamp = 0;            // the highest applied
    uint64_t bytes = 0;         // of versions at or below it, VersionTotals
    MonotonicTime retention{};  // in force then
  };

  MonotonicTime Step() const { return latest_.retention / kStepsPerRetention; }
  void TakeSample(MonotonicTime now);
  void PassHorizon(Stamp horizon);
  const Sample* OldEnough(MonotonicTime now) const;
  const Sample* UnderTheBound() const;

  static constexpr int kStepsPerRetention = 10;

  const Limits limits_;
  Sample latest_;  // of now: what the next sample will say
  std::deque<Sample> samples_;
  Stamp horizon_ = 0;
  // Bytes at or below the horizon are between these two, as far as samples tell.
  uint64_t let_go_least_ = 0;
  uint64_t let_go_most_ = 0;
  std::optional<MonotonicTime> proposed_at_;
};

}  // namespace basalt::server
