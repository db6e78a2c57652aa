#include "raft/core/membership.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raft/core/configuration.h"
#include "raft/core/election.h"
#include "raft/core/replication.h"

namespace basalt::raft {
namespace {

bool IsChangeUnderWay(const CoreState& state) {
  return IsJoint(state.configuration()) || state.log.configuration_index() > state.commit;
}

void SortByReplica(Configuration& configuration) {
  std::sort(configuration.members.begin(), configuration.members.end(),
            [](const Member& a, const Member& b) { return a.replica < b.replica; });
}

// An id stands for one replica on one node for ever. What the log still knows is checked here; who
// hands out the ids answers for the rest.
bool IsIdUsedBefore(const CoreState& state, const Member& member) {
  const auto differs = [&](const Configuration& earlier) {
    const Member* known = FindMember(earlier, member.replica);
    if (known == nullptr) return false;
    return known->node != member.node ||
           FindMember(state.configuration(), member.replica) == nullptr;
  };
  if (differs(state.log.base().configuration)) return true;
  const auto& placed = state.log.configurations();
  return std::any_of(placed.begin(), placed.end(),
                     [&](const auto& earlier) { return differs(earlier.configuration); });
}

std::optional<ChangeRefusal> WhyNotTarget(const Configuration& target) {
  const auto& members = target.members;
  if (std::any_of(members.begin(), members.end(), [](const Member& member) {
        return member.role != MemberRole::kVoter && member.role != MemberRole::kLearner;
      })) {
    return ChangeRefusal::kMalformed;
  }
  if (std::none_of(members.begin(), members.end(),
                   [](const Member& member) { return member.role == MemberRole::kVoter; })) {
    return ChangeRefusal::kNoVoter;
  }
  if (!IsWellFormed(target)) return ChangeRefusal::kMalformed;
  return std::nullopt;
}

std::optional<ChangeRefusal> WhyNotMember(CoreState& state, const Member& member) {
  if (IsIdUsedBefore(state, member)) return ChangeRefusal::kReplicaIdUsed;
  if (member.role != MemberRole::kVoter || IsVoter(state.configuration(), member.replica)) {
    return std::nullopt;
  }
  if (FindMember(state.configuration(), member.replica) == nullptr) {
    return ChangeRefusal::kVoterWasNoLearner;
  }
  // A leader is never a learner of a committed configuration, so this is another's.
  const FollowerProgress* follower = state.FindFollower(member.replica);
  if (follower == nullptr || !IsCaughtUp(state, *follower)) return ChangeRefusal::kNotCaughtUp;
  return std::nullopt;
}

std::optional<ChangeRefusal> WhyNot(CoreState& state, const Configuration& target) {
  if (state.leader() == nullptr) return ChangeRefusal::kNotLeader;
  // Else two leaders could each take a step from the same configuration (D. Ongaro, "bug in
  // single-server membership changes", raft-dev, 2015). Joint steps would still meet in its voters;
  // with this rule nothing rests on that.
  if (state.commit < state.leader()->first_of_term) return ChangeRefusal::kNothingCommittedInTerm;
  if (IsChangeUnderWay(state)) return ChangeRefusal::kChangeUnderWay;
  if (state.leader()->transfer) return ChangeRefusal::kTransferring;
  if (const auto refusal = WhyNotTarget(target)) return refusal;
  for (const Member& member : target.members) {
    if (const auto refusal = WhyNotMember(state, member)) return refusal;
  }
  if (target == state.configuration()) return ChangeRefusal::kUnchanged;
  return std::nullopt;
}

LogIndex AppendConfiguration(CoreState& state, const Configuration& configuration) {
  const LogIndex index =
      AppendOwn(state, EntryKind::kConfiguration, MakePayload(EncodeConfiguration(configuration)));
  LeaderRole& leading = *state.leader();
  leading.followers = FollowersOf(state, std::move(leading.followers));
  return index;
}

// Tells everybody what is committed, and the best of them to campaign at once.
void HandOverAndStepDown(CoreState& state) {
  const FollowerProgress* best = nullptr;
  for (const FollowerProgress& follower : state.leader()->followers) {
    if (!IsVoter(state.configuration(), follower.replica)) continue;
    if (best == nullptr || follower.match > best->match) best = &follower;
  }
  SendHeartbeats(state);
  if (best != nullptr && best->match >= state.log.configuration_index()) {
    state.Send(best->replica, TimeoutNow{});
  }
  BecomeFollower(state, state.term(), ReplicaId(0));
}

}  // namespace

std::variant<Proposed, ChangeRefusal> ChangeMembership(CoreState& state, Configuration target) {
  SortByReplica(target);
  if (const auto refusal = WhyNot(state, target)) return *refusal;
  const LogIndex index = AppendConfiguration(state, StepTowards(state.configuration(), target));
  return Proposed{index, state.term()};
}

void ContinueMembershipChange(CoreState& state) {
  const LeaderRole* leading = state.leader();
  if (leading == nullptr || state.commit < leading->first_of_term) return;
  if (state.log.configuration_index() > state.commit) return;
  if (IsJoint(state.configuration())) {
    AppendConfiguration(state, FinalOf(state.configuration()));
  } else if (!IsVoter(state.configuration(), state.self())) {
    HandOverAndStepDown(state);
  }
}

bool MayCampaign(const CoreState& state) {
  if (IsVoter(state.log.ConfigurationAt(state.commit), state.self())) return true;
  const auto& placed = state.log.configurations();
  return std::any_of(placed.rbegin(), placed.rend(), [&](const auto& later) {
    return later.index > state.commit && IsVoter(later.configuration, state.self());
  });
}

bool IsCaughtUp(const CoreState& state, const FollowerProgress& follower) {
  const LeaderRole& leading = *state.leader();
  return follower.mode == FollowerProgress::Mode::kReplicate &&
         leading.ticks - follower.heard_at_ticks < state.options.election_timeout_ticks &&
         follower.match >= std::max(leading.first_of_term, leading.commit_before_last_heartbeat);
}

void NoteHeartbeat(CoreState& state) {
  LeaderRole& leading = *state.leader();
  leading.commit_before_last_heartbeat =
      std::exchange(leading.commit_at_last_heartbeat, state.commit);
}

std::vector<FollowerProgress> FollowersOf(const CoreState& state,
                                          std::vector<FollowerProgress> before) {
  const uint64_t now_ticks = state.leader() == nullptr ? 0 : state.leader()->ticks;
  std::vector<FollowerProgress> followers;
  for (const Member& member : state.configuration().members) {
    if (member.replica == state.self()) continue;
    const auto known = std::find_if(
        before.begin(), before.end(),
        [&](const FollowerProgress& follower) { return follower.replica == member.replica; });
    if (known != before.end()) {
      followers.push_back(std::move(*known));
    } else {
      followers.emplace_back(member, state.log.last() + 1, now_ticks);
    }
  }
  return followers;
}

}  // namespace basalt::raft
