// SnapshotGate: when a replica may read at a timestamp S, and when a leader must raise the ceiling
// for that. Pure; the group loop's, one for each of its groups.
//
// A read at S must see all that is ever committed with a stamp at or below S. Two things tell:
//
//   - Something with a stamp above S is applied. Stamps rise along the log, so all at or below S
//     comes before it. On any replica; the shard is closed at S.
//   - This replica leads in term T and has applied an entry of that term; then its clock passed S;
//     then all was applied that it had in its log at that moment (the caller's part), and a ceiling
//     above S whose entry is of T or of an earlier term. No other entry follows with a stamp at or
//     below S, for whatever follows in the log has a term of at least T, because an entry of T is
//     applied. What is of T was stamped behind S. A leader of a later term T' has the ceiling's
//     entry: that is committed, and entries of T' do not come before it in the log. It begins above
//     the ceilings that it has applied (GroupLoop::BeginToServe).
//
// So no lease and no round is needed: a leader that was replaced without knowing answers right, as
// does one that loses its leadership between that moment and the read. What would not do is a
// ceiling of a later leader T' > T: its entries behind the ceiling may have stamps between the two.
// Hence IsCovered wants T to be the term of the last entry applied.
#pragma once

#include <algorithm>
#include <optional>

#include "raft/core/types.h"
#include "server/clock/hybrid_clock.h"

namespace basalt::server {

class SnapshotGate {
 public:
  // What the replica has applied: when it is opened, after each run, after an install.
  void Applied(raft::Term term, Stamp highest_stamp, Stamp ceiling) {
    applied_term_ = term;
    highest_stamp_ = std::max(highest_stamp_, highest_stamp);
    ceiling_ = std::max(ceiling_, ceiling);
  }

  bool IsClosed(Stamp at) const { return at < highest_stamp_; }
  // For a replica that leads in `term` and served in it when its clock passed `at`.
  bool IsCovered(Stamp at, raft::Term term) const { return term == applied_term_ && at < ceiling_; }

  // The ceiling that the leader of `term` should propose for a read at `at`; nothing: one that is
  // high enough is there or on its way. `known_milliseconds`: KnownTime's.
  std::optional<Stamp> Due(Stamp at, raft::Term term, uint64_t known_milliseconds) {
    const Stamp have = asked_in_ == term ? std::max(asked_, ceiling_) : ceiling_;
    const Stamp wanted = std::max(at + 1, StampOf(known_milliseconds + kAheadMs));
    // Before it is needed, so that the reads of those who go on reading do not wait for it.
    if (wanted <= have || at + StampOf(kEarlyMs) < have) return std::nullopt;
    asked_in_ = term;
    asked_ = wanted;
    return wanted;
  }

  Stamp ceiling() const { return ceiling_; }

 private:
  static constexpr uint64_t kAheadMs = 5'000;
  static constexpr uint64_t kEarlyMs = 1'000;
  static constexpr Stamp StampOf(uint64_t milliseconds) {
    return milliseconds << kStampCounterBits;
  }

  raft::Term applied_term_;
  Stamp highest_stamp_ = 0;
  Stamp ceiling_ = 0;
  raft::Term asked_in_;
  Stamp asked_ = 0;
};

}  // namespace basalt::server
