#include "raft/core/lease.h"

#include "raft/core/core_state.h"
#include "raft/core/quorum.h"

namespace basalt::raft {
namespace {

// The votes of an election that the leader itself asked for by TimeoutNow are given though that
// leader is heard (dissertation, 4.2.3). Safe: the candidate takes TimeoutNow only from the leader
// of its own term t, campaigns at once in t + 1, and says `transfer` in no other term. The leader
// of t had given up its lease for the rest of t before TimeoutNow left, whether the transfer was
// aborted since or not, so what this replica promised to it binds nobody. A leader of an earlier
// term has no lease either: none lived when the leader of t was elected, by this same argument or
// by its voters' promises. A TimeoutNow that is late arrives in a later term, and is ignored, or in
// t, where the lease is still off.
//
// The rule of restarted replicas has no exception, though the argument would allow one: what that
// costs is one failed transfer within an election timeout of a restart.
bool MayVoteByTransfer(const VoteRequest& request) { return request.transfer && !request.pre_vote; }

// Whatever has happened since to role and term: a promise is not taken back.
bool HeardWithin(const CoreState& state, Time length) {
  return state.leader_heard_at && state.now - *state.leader_heard_at < length.value();
}

void CountMissedHeartbeats(CoreState& state) {
  const CoreOptions& options = state.options;
  const uint64_t interval =
      options.election_timeout.value() / options.election_timeout_ticks * options.heartbeat_ticks;
  if (interval == 0 || !state.leader_heard_at) return;
  const uint64_t intervals = (state.now - *state.leader_heard_at) / interval;
  if (intervals >= 2) state.heartbeats_missed += intervals - 1;
}

}  // namespace

Time PromiseLength(const CoreOptions& options) {
  return options.promise != Time(0) ? options.promise : options.election_timeout;
}

void RoundSent(CoreState& state) {
  LeaderRole& leading = *state.leader();
  // Here too, for a leader without followers hears nobody.
  leading.round_times.ForgetBelow(AnsweredByQuorum(state));
  leading.round_times.Sent(leading.round, state.now);
}

Round AnsweredByQuorum(const CoreState& state) {
  const LeaderRole& leading = *state.leader();
  return ReachedByQuorum<Round>(state.configuration(), [&](ReplicaId replica) {
    if (replica == state.self()) return leading.round;
    for (const FollowerProgress& follower : leading.followers) {
      if (follower.replica == replica) return follower.acknowledged_round;
    }
    return Round(0);
  });
}

std::optional<LeaseGrant> CurrentLease(const CoreState& state) {
  const LeaderRole* leading = state.leader();
  if (!state.options.leases || leading == nullptr || leading->lease_given_up) return std::nullopt;
  if (state.applied < leading->first_of_term) return std::nullopt;
  // Asked anew each time: a configuration that has just changed needs answers of its own quorum.
  const std::optional<Time> from = leading->round_times.SentAt(AnsweredByQuorum(state));
  if (!from) return std::nullopt;
  return LeaseGrant{*from + state.options.lease_duration.value(), state.commit};
}

void LeaderWasHeard(CoreState& state) {
  CountMissedHeartbeats(state);
  state.election_elapsed_ticks = 0;
  state.leader_heard_at = state.now;
  state.succession.reset();
}

bool IsLeaderHeard(const CoreState& state) {
  if (state.leader() != nullptr) return true;  // or check-quorum would have ended it
  if (state.options.election_timeout != Time(0)) {
    return HeardWithin(
        state, state.succession ? PromiseLength(state.options) : state.options.election_timeout);
  }
  const auto* follower = std::get_if<FollowerRole>(&state.role);
  return follower != nullptr && follower->leader != ReplicaId(0) &&
         state.election_elapsed_ticks < state.options.election_timeout_ticks;
}

bool IsNewlyRestarted(const CoreState& state) {
  if (!state.restarted || state.options.election_timeout == Time(0)) return false;
  return !state.started_at ||
         state.now - *state.started_at < state.options.election_timeout.value();
}

bool IsOwnVoteHeldBack(const CoreState& state) {
  return IsNewlyRestarted(state) || HeardWithin(state, PromiseLength(state.options));
}

bool IsVoteHeldBack(const CoreState& state, const VoteRequest& request) {
  if (IsNewlyRestarted(state)) return true;
  return IsLeaderHeard(state) && !MayVoteByTransfer(request);
}

}  // namespace basalt::raft
