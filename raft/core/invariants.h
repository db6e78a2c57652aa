// Invariants: a class whose only job is to check another. After every input it looks at what always
// holds and at what holds between one moment and the next, and ends the process when it does not: a
// core that has gone wrong must not speak.
//
// The cheap part (comparisons of a few numbers) runs in every build; walking the log is an option
// of the core. Fields carry the numbers that bind them.
//
//   Always
//    (4) applied <= handed_to_apply            (7) commit <= last
//    (8) handed_to_apply <= min(commit, durable), while no checkpoint is being installed
//    (5) base <= applied                        (9) durable <= last
//   (10) each follower: match < next <= last + 1, match <= last, a window only while replicating
//   (11) a leader has voted for itself, durably (12) a leader's log ends in its own term
//   (13) read rounds rise, none is above the newest sent
//   (14) last_term <= term                     (15) finished persists <= issued ones
//   (17) a checkpoint under install is above what is handed out to apply
//   (18) (19) log.h, only when asked for
//   (22) the configuration in force is well formed or, before the first checkpoint, empty; only
//        when asked for: log.h
//   (23) a leader's followers are the members in force but itself, in their order
//   (24) at most one configuration entry of a leader's own term is uncommitted
//   (25) a leader outside the voters in force leads only until that configuration is committed,
//        and a committed joint one has its final behind it, once its own term has committed
//   (26) a candidate votes in a configuration that is known to be committed, or in a later one
//   (31) rounds were sent at rising times, none in the future
//   (33) after TimeoutNow, and before an entry of its own term is applied, a leader has no lease
//   (34) a transfer goes to another replica    (35) a leader was heard in the past
//   (36) questions for read indexes are bounded, a follower's open ones and a leader's of each
//   (37) a leader takes no turns
//   Between one moment and the next
//    (1) the term never falls                   (2) within a term the vote is set at most once
//    (3) commit, (4) applied, (5) base and (15) persists never fall
//    (6) durable falls only by a truncation, never below what was committed
//   (16) the entry at the old commit index keeps its term
//   (20) within a term a leader stays or steps down for good, and its log never shrinks
//   (21) a leader raises commit only to an entry of its own term
//   (30) time never falls, nor (35) when a leader was heard
//   (32) a lease ends within its length from now, and its end rises only with what a quorum answers
//   (33) within a term a lease that was given up stays so
#pragma once

#include <optional>

#include "raft/core/core_state.h"

namespace basalt::raft {

class Invariants {
 public:
  explicit Invariants(const CoreState& state) : before_(Take(state)) {}

  // Against the state at the last call.
  void Check(const CoreState& state);

 private:
  struct Moment {
    HardState hard_state;
    bool leads = false;
    LogIndex base;
    LogIndex last;
    LogIndex durable;
    LogIndex commit;
    Term commit_term;
    LogIndex applied;
    PersistId issued;
    PersistId finished;
    Time time;
    std::optional<Time> leader_heard_at;
    bool lease_given_up = false;
    std::optional<Time> lease_end;
    Round answered;  // with lease_end only
  };

  static Moment Take(const CoreState& state);
  static void CheckAlways(const CoreState& state);
  static void CheckLeader(const CoreState& state, const LeaderRole& leader);
  static void CheckMembership(const CoreState& state);
  void CheckChange(const CoreState& state, const Moment& now) const;
  void CheckLeaseChange(const CoreState& state, const Moment& now) const;

  Moment before_;
};

}  // namespace basalt::raft
