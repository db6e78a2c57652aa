// PersistQueue: which part of a core's state has been handed to the disk, and which part of that is
// durable.
//
// Several persists are under way at a time and complete in order. A suffix of the log that is
// replaced while a persist holds it must not be taken as durable when that persist completes,
// though the same indexes were written: so every replacement lowers what each persist on its way
// vouches for. Acts on numbers only; the owner keeps the log.
//
// Invariants (numbers of invariants.h): (6) durable() falls only by a truncation, never below what
// was committed; (15) finished() <= issued(), and neither falls.
#pragma once

#include <deque>
#include <optional>

#include "raft/core/effects.h"
#include "raft/core/log.h"
#include "raft/core/types.h"

namespace basalt::raft {

class PersistQueue {
 public:
  // Everything up to `durable` is on disk already.
  explicit PersistQueue(LogIndex durable) : durable_(durable), unwritten_first_(durable + 1) {}

  // What changed. Appended entries need no word.
  void HardStateChanged() { hard_state_changed_ = true; }
  void BaseChanged() { base_changed_ = true; }
  // Entry `first` and all behind it are gone from the log, others may take their place.
  void Truncated(LogIndex first);
  // The state machine durably holds everything up to `base`, and so does the log that goes on
  // behind it.
  void CheckpointCovers(LogIndex base);
  // As above, but the log was dropped and starts behind `base`.
  void LogDropped(LogIndex base);

  bool HasWork(const Log& log) const {
    return hard_state_changed_ || base_changed_ || unwritten_first_ <= log.last();
  }
  // Everything that changed since the last call, as one batch; nothing when nothing did.
  std::optional<Persist> Take(const HardState& hard_state, const Log& log);
  // Persists up to `id` are durable.
  void Finish(PersistId id);

  // All entries up to here are durable as the log holds them now.
  LogIndex durable() const { return durable_; }
  bool IsHardStateDurable() const { return !hard_state_changed_ && finished_ >= hard_state_in_; }
  PersistId issued() const { return issued_; }
  PersistId finished() const { return finished_; }

 private:
  struct UnderWay {
    PersistId id;
    LogIndex vouches_for;  // durable up to here once it completes
  };

  LogIndex durable_;
  LogIndex unwritten_first_;  // from here on nothing was handed out
  bool hard_state_changed_ = false;
  bool base_changed_ = false;
  PersistId issued_;
  PersistId finished_;
  PersistId hard_state_in_;  // the last persist that held one
  std::deque<UnderWay> under_way_;
};

}  // namespace basalt::raft
