#include "tests/unit/raft_core/random_changes.h"

#include "raft/core/configuration.h"

namespace basalt::raft {

Configuration RandomChanges::Target(const Configuration& present) {
  constexpr size_t kMembersMax = 6;
  Configuration target;
  const bool promotes = random_.OneIn(2);
  for (Member member : present.members) {
    if (random_.OneIn(8)) continue;
    if (member.role == MemberRole::kVoter && random_.OneIn(8)) member.role = MemberRole::kLearner;
    if (member.role == MemberRole::kLearner && promotes) member.role = MemberRole::kVoter;
    target.members.push_back(member);
  }
  if (next_spare_ <= cluster_.ids().size() && target.members.size() < kMembersMax &&
      random_.OneIn(2)) {
    target.members.push_back({ReplicaId(next_spare_), NodeId(next_spare_), MemberRole::kLearner});
    ++next_spare_;
  }
  return target;
}

// The members of the leader's configuration, if that is committed.
void RandomChanges::NoteMembers() {
  const std::optional<ReplicaId> leader = cluster_.Leader();
  if (!leader) return;
  const CoreStatus status = cluster_.replica(*leader).core->status();
  if (status.configuration_index > status.commit) return;
  for (const Member& member : status.configuration.members) joined_.insert(member.replica);
}

void RandomChanges::Ask() {
  NoteMembers();
  const ReplicaId any = cluster_.ids()[random_.Below(cluster_.ids().size())];
  const ReplicaId at = random_.OneIn(8) ? any : cluster_.Leader().value_or(any);
  if (!cluster_.replica(at).running()) return;
  const Configuration& present = cluster_.replica(at).core->configuration();
  cluster_.ChangeMembership(at, Target(IsJoint(present) ? FinalOf(present) : present));
}

void RandomChanges::Retire() {
  NoteMembers();
  const std::optional<ReplicaId> leader = cluster_.Leader();
  if (!leader) return;
  const CoreStatus status = cluster_.replica(*leader).core->status();
  if (status.is_joint || status.configuration_index > status.commit) return;
  for (ReplicaId id : cluster_.ids()) {
    if (joined_.count(id) == 0 || FindMember(status.configuration, id) != nullptr) continue;
    if (!random_.OneIn(2)) continue;
    cluster_.Crash(id);
    retired_.insert(id);
  }
}

}  // namespace basalt::raft
