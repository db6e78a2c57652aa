#include "raft/core/invariants.h"

#include <algorithm>

#include "base/check.h"
#include "raft/core/follower_reads.h"
#include "raft/core/lease.h"
#include "raft/core/membership.h"

namespace basalt::raft {

Invariants::Moment Invariants::Take(const CoreState& state) {
  const LeaderRole* leader = state.leader();
  const std::optional<LeaseGrant> lease = CurrentLease(state);
  return {state.hard_state,
          leader != nullptr,
          state.log.base().index,
          state.log.last(),
          state.durable(),
          state.commit,
          state.log.TermAt(state.commit).value_or(Term(0)),
          state.applied,
          state.persists.issued(),
          state.persists.finished(),
          state.now,
          state.leader_heard_at,
          leader != nullptr && leader->lease_given_up,
          lease ? std::optional<Time>(lease->end) : std::nullopt,
          lease ? AnsweredByQuorum(state) : Round(0)};
}

void Invariants::Check(const CoreState& state) {
  CheckAlways(state);
  if (const LeaderRole* leader = state.leader()) CheckLeader(state, *leader);
  CheckMembership(state);
  const Moment now = Take(state);
  CheckChange(state, now);
  CheckLeaseChange(state, now);
  before_ = now;
  if (state.options.check_thoroughly) BASALT_CHECK(state.log.IsConsistent());  // (18) (19) (22)
}

void Invariants::CheckAlways(const CoreState& state) {
  BASALT_CHECK(state.applied <= state.handed_to_apply);                            // (4)
  BASALT_CHECK(state.log.base().index <= state.applied);                           // (5)
  BASALT_CHECK(state.commit <= state.log.last());                                  // (7)
  BASALT_CHECK(state.handed_to_apply <= std::min(state.commit, state.durable()));  // (8)
  BASALT_CHECK(state.durable() <= state.log.last());                               // (9)
  BASALT_CHECK(state.log.last_term() <= state.term());                             // (14)
  BASALT_CHECK(state.persists.finished() <= state.persists.issued());              // (15)
  BASALT_CHECK(!state.installing || state.installing->index > state.applied);      // (17)
  BASALT_CHECK(!state.leader_heard_at || *state.leader_heard_at <= state.now);     // (35)
  BASALT_CHECK(state.asked_reads.size() <= kAskedReadsMax);                        // (36)
}

void Invariants::CheckLeader(const CoreState& state, const LeaderRole& leader) {
  BASALT_CHECK(state.hard_state.voted_for == state.self());  // (11)
  BASALT_CHECK(state.persists.IsHardStateDurable());         // (11)
  BASALT_CHECK(state.log.last_term() == state.term());       // (12)
  for (const FollowerProgress& follower : leader.followers) {
    BASALT_CHECK(follower.match < follower.next);         // (10)
    BASALT_CHECK(follower.next <= state.log.last() + 1);  // (10)
    BASALT_CHECK(follower.mode == FollowerStatus::Mode::kReplicate || follower.window.empty());
    BASALT_CHECK(follower.acknowledged_round <= leader.round);  // (13)
    BASALT_CHECK(follower.reads_waiting <= kAskedReadsMax);     // (36)
  }
  BASALT_CHECK(leader.round_times.newest() <= leader.round);                          // (31)
  BASALT_CHECK(leader.round_times.newest_at() <= state.now);                          // (31)
  BASALT_CHECK(!leader.transfer || leader.transfer->to != state.self());              // (34)
  BASALT_CHECK(!state.succession);                                                    // (37)
  BASALT_CHECK(!leader.transfer || !leader.transfer->told || leader.lease_given_up);  // (33)
  if (!leader.read_rounds.empty()) {
    BASALT_CHECK(leader.read_rounds.back().round <= leader.round);                      // (13)
    BASALT_CHECK(leader.read_rounds.front().round <= leader.read_rounds.back().round);  // (13)
  }
}

void Invariants::CheckMembership(const CoreState& state) {
  const Configuration& in_force = state.configuration();
  BASALT_CHECK(in_force.members.empty() ? state.log.last() == LogIndex(0)
                                        : IsWellFormed(in_force));  // (22)
  const bool campaigns = std::holds_alternative<PreCandidateRole>(state.role) ||
                         std::holds_alternative<CandidateRole>(state.role);
  BASALT_CHECK(!campaigns || MayCampaign(state));  // (26)
  const LeaderRole* leader = state.leader();
  if (leader == nullptr) return;
  auto follower = leader->followers.begin();
  for (const Member& member : in_force.members) {
    if (member.replica == state.self()) continue;
    BASALT_CHECK(follower != leader->followers.end() && follower->replica == member.replica &&
                 follower->node == member.node);  // (23)
    ++follower;
  }
  BASALT_CHECK(follower == leader->followers.end());  // (23)
  const auto& placed = state.log.configurations();
  const auto own_uncommitted = std::count_if(placed.begin(), placed.end(), [&](const auto& one) {
    return one.index > state.commit && one.index >= leader->first_of_term;
  });
  BASALT_CHECK(own_uncommitted <= 1);  // (24)
  if (state.commit < leader->first_of_term) return;
  if (state.log.configuration_index() > state.commit) return;
  BASALT_CHECK(IsVoter(in_force, state.self()) && !IsJoint(in_force));  // (25)
}

void Invariants::CheckChange(const CoreState& state, const Moment& now) const {
  const Moment& before = before_;
  BASALT_CHECK(now.hard_state.term >= before.hard_state.term);  // (1)
  const bool same_term = now.hard_state.term == before.hard_state.term;
  BASALT_CHECK(!same_term || before.hard_state.voted_for == ReplicaId(0) ||
               now.hard_state.voted_for == before.hard_state.voted_for);         // (2)
  BASALT_CHECK(now.commit >= before.commit);                                     // (3)
  BASALT_CHECK(now.applied >= before.applied);                                   // (4)
  BASALT_CHECK(now.base >= before.base);                                         // (5)
  BASALT_CHECK(now.durable >= std::min(before.durable, before.commit));          // (6)
  BASALT_CHECK(now.issued >= before.issued && now.finished >= before.finished);  // (15)
  BASALT_CHECK(before.commit < now.base ||
               state.log.Holds(before.commit, before.commit_term));  // (16)
  if (same_term && before.leads && now.leads) {
    BASALT_CHECK(now.last >= before.last);  // (20)
  }
  if (now.leads && now.commit > before.commit) {
    BASALT_CHECK(now.commit_term == now.hard_state.term);  // (21)
  }
}

void Invariants::CheckLeaseChange(const CoreState& state, const Moment& now) const {
  const Moment& before = before_;
  BASALT_CHECK(now.time >= before.time);                        // (30)
  BASALT_CHECK(now.leader_heard_at >= before.leader_heard_at);  // (35)
  const bool same_term = now.hard_state.term == before.hard_state.term;
  BASALT_CHECK(!same_term || !now.leads || !before.lease_given_up || now.lease_given_up);  // (33)
  if (!now.lease_end) return;
  BASALT_CHECK(now.leads && !now.lease_given_up);                                   // (33)
  BASALT_CHECK(state.applied >= state.leader()->first_of_term);                     // (33)
  BASALT_CHECK(*now.lease_end <= now.time + state.options.lease_duration.value());  // (32)
  if (same_term && before.lease_end && *now.lease_end > *before.lease_end) {
    BASALT_CHECK(now.answered > before.answered);  // (32)
  }
}

}  // namespace basalt::raft
