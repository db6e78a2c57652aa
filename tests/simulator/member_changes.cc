#include "tests/simulator/member_changes.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "raft/core/configuration.h"
#include "tests/simulator/virtual_cluster.h"

namespace basalt::testing {
namespace {

using raft::ChangeRefusal;
using raft::MemberRole;

std::string_view MarkOf(ChangeRefusal refusal) {
  switch (refusal) {
    case ChangeRefusal::kNotLeader:
      return "a change was asked of a replica that did not lead";
    case ChangeRefusal::kNothingCommittedInTerm:
      return "a change was asked of a leader that had committed nothing";
    case ChangeRefusal::kChangeUnderWay:
      return "a change was asked for while another was under way";
    case ChangeRefusal::kNotCaughtUp:
      return "a learner was not promoted because it lagged";
    case ChangeRefusal::kTransferring:
      return "a change was asked for during a transfer";
    case ChangeRefusal::kNoVoter:
      return "a change was refused that left no voter";
    case ChangeRefusal::kUnchanged:
      return "a change was refused that changed nothing";
    default:
      return "a change was refused for other reasons";
  }
}

}  // namespace

MemberChanges::MemberChanges(VirtualCluster& cluster, const v1::ClusterMap& founding)
    : cluster_(cluster), voters_wanted_(cluster.options().replicas), map_(founding) {
  for (const v1::ShardDescriptor& descriptor : founding.shards()) {
    Shard& shard = shards_[descriptor.shard_id()];
    shard.id = descriptor.shard_id();
    shard.founding = descriptor;
    for (const v1::Replica& replica : descriptor.replicas()) {
      shard.next_replica = std::max(shard.next_replica, replica.replica_id() + 1);
    }
  }
}

void MemberChanges::Step(uint64_t shard_id) {
  base::Random& random = cluster_.random();
  Shard& shard = shards_.at(shard_id);
  Look(shard);
  EndThoseWhoLeft(shard, /*at_once=*/false);
  if (random.OneIn(2)) MakeSomewhere(shard);
  const uint64_t leader = cluster_.LeaderOf(shard_id);
  if (leader == 0) cluster_.findings().Mark("a change was wanted and nobody led");
  const uint64_t any = random.Between(1, cluster_.options().nodes);
  const uint64_t at = leader == 0 || random.OneIn(10) ? any : leader;
  const auto status = cluster_.StatusOf(at, shard_id);
  if (!status) return;
  const raft::Configuration present =
      status->is_joint ? raft::FinalOf(status->configuration) : status->configuration;
  Ask(shard, at, Draw(shard, present));
  if (random.OneIn(4)) Ask(shard, at, Draw(shard, present));
}

void MemberChanges::Look(Shard& shard) {
  const auto status = cluster_.StatusOf(cluster_.LeaderOf(shard.id), shard.id);
  if (!status || status->configuration_index > status->commit) return;
  if (!shard.members.members.empty() && status->configuration_index <= shard.newest) return;
  const raft::Configuration before = std::exchange(shard.members, status->configuration);
  shard.newest = status->configuration_index;
  for (const raft::Member& member : shard.members.members) shard.joined.insert(member.replica);
  for (const raft::Member& member : before.members) {
    if (raft::FindMember(shard.members, member.replica) == nullptr) {
      shard.left[member.replica] = member.node.value();
    }
  }
  if (!before.members.empty() && before != shard.members) Publish(shard);
}

void MemberChanges::Publish(const Shard& shard) {
  for (v1::ShardDescriptor& descriptor : *map_.mutable_shards()) {
    if (descriptor.shard_id() != shard.id) continue;
    descriptor.set_epoch(descriptor.epoch() + 1);
    descriptor.clear_replicas();
    for (const raft::Member& member : shard.members.members) {
      if (!raft::IsVoting(member.role)) continue;
      v1::Replica& replica = *descriptor.add_replicas();
      replica.set_replica_id(member.replica.value());
      replica.set_node_id(member.node.value());
    }
  }
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    cluster_.Visit(node, 0, [map = map_](VirtualProcess& process) { process.view().Set(map); });
  }
}

// Not at once: for a while it goes on as if nothing had happened.
void MemberChanges::EndThoseWhoLeft(Shard& shard, bool at_once) {
  const raft::GroupId group(shard.id);
  for (auto place = shard.left.begin(); place != shard.left.end();) {
    const auto [replica, node] = *place;
    const auto living = cluster_.ReplicaOf(node, shard.id);
    if (living && *living != replica) {
      place = shard.left.erase(place);
      continue;
    }
    ++place;
    if (!at_once && !cluster_.random().OneIn(2)) continue;
    cluster_.Visit(node, 0, [group, ended = replica](VirtualProcess& process) {
      process.RemoveReplica(group, ended);
    });
  }
}

void MemberChanges::MakeSomewhere(Shard& shard) {
  std::vector<uint64_t> nodes;
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    if (cluster_.ReplicaOf(node, shard.id) == raft::ReplicaId(0)) nodes.push_back(node);
  }
  if (nodes.empty()) return;
  const uint64_t node = nodes[cluster_.random().Below(nodes.size())];
  const raft::ReplicaId replica(shard.next_replica++);
  cluster_.Visit(node, 0, [founding = shard.founding, replica](VirtualProcess& process) {
    process.MakeReplica(founding, replica);
  });
}

// Replicas tend to be as many as the founders were.
raft::Configuration MemberChanges::Draw(const Shard& shard, const raft::Configuration& present) {
  base::Random& random = cluster_.random();
  uint64_t voters = 0;
  for (const raft::Member& member : present.members) {
    if (member.role == MemberRole::kVoter) ++voters;
  }
  const bool promotes = random.OneIn(2);
  const uint64_t leaves_one_in = voters > voters_wanted_ ? 3 : voters == voters_wanted_ ? 8 : 40;
  raft::Configuration target;
  for (raft::Member member : present.members) {
    if (random.OneIn(leaves_one_in)) continue;
    if (member.role == MemberRole::kVoter) {
      if (random.OneIn(leaves_one_in)) member.role = MemberRole::kLearner;
    } else if (promotes) {
      member.role = MemberRole::kVoter;
    }
    target.members.push_back(member);
  }
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    const auto replica = cluster_.ReplicaOf(node, shard.id);
    if (!replica || *replica == raft::ReplicaId(0) || shard.joined.contains(*replica) ||
        raft::FindMember(present, *replica) != nullptr) {
      continue;
    }
    if (random.OneIn(3)) continue;
    target.members.push_back({*replica, raft::NodeId(node), MemberRole::kLearner});
  }
  return target;
}

void MemberChanges::Ask(const Shard& shard, uint64_t node, raft::Configuration target) {
  Findings& findings = cluster_.findings();
  const raft::GroupId group(shard.id);
  cluster_.Visit(node, 0, [&findings, group, target = std::move(target)](VirtualProcess& process) {
    process.Put(server::GroupEvent(server::MembershipChangeAsked{
        group, target, [&findings](std::variant<raft::Proposed, ChangeRefusal> answer) {
          const auto* refusal = std::get_if<ChangeRefusal>(&answer);
          findings.Mark(refusal == nullptr ? "changes of members begun" : MarkOf(*refusal));
        }}));
  });
}

// Of a leader that has committed something in its term and has no change under way: what its
// members do not name, no log names that could still be committed.
void MemberChanges::EndStrangers(const Shard& shard) {
  const raft::GroupId group(shard.id);
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    const auto replica = cluster_.ReplicaOf(node, shard.id);
    if (!replica || *replica == raft::ReplicaId(0) || shard.left.contains(*replica)) continue;
    if (raft::FindMember(shard.members, *replica) != nullptr) continue;
    cluster_.Visit(node, 0, [group, ended = *replica](VirtualProcess& process) {
      process.RemoveReplica(group, ended);
    });
  }
}

bool MemberChanges::IsSettled(const Shard& shard) {
  uint64_t living = 0;
  for (uint64_t node = 1; node <= cluster_.options().nodes; ++node) {
    const auto replica = cluster_.ReplicaOf(node, shard.id);
    if (!replica) return false;
    if (*replica == raft::ReplicaId(0)) continue;
    ++living;
    const raft::Member* member = raft::FindMember(shard.members, *replica);
    if (member == nullptr || member->node != raft::NodeId(node)) return false;
  }
  return living == shard.members.members.size();
}

void MemberChanges::Follow() {
  for (auto& [id, shard] : shards_) {
    Look(shard);
    EndThoseWhoLeft(shard, /*at_once=*/true);
  }
}

bool MemberChanges::Settle() {
  Follow();
  bool settled = true;
  for (const auto& [id, shard] : shards_) {
    const auto status = cluster_.StatusOf(cluster_.LeaderOf(id), id);
    const bool at_rest = status && status->applied_own_term && !status->is_joint &&
                         status->configuration_index <= status->commit &&
                         status->configuration == shard.members;
    if (at_rest) EndStrangers(shard);
    settled = settled && at_rest && IsSettled(shard);
  }
  return settled;
}

}  // namespace basalt::testing
