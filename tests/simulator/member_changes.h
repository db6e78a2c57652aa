// MemberChanges: what a placement does: makes replicas on nodes, asks leaders for other members,
// ends replicas that have left, and tells nodes who is where. What it asks for is drawn at random
// and often refused: voters leave or become learners, the leader too; learners are promoted before
// they have caught up; two changes are asked for at once.
//
// What is certain it knows from the highest committed configuration that it has seen. A replica is
// ended once it has left in one of those; one that never was in any, only in the end. So no replica
// that some quorum may need is ended.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "proto/types.pb.h"
#include "raft/core/raft_core.h"

namespace basalt::testing {

class VirtualCluster;

class MemberChanges {
 public:
  // The cluster outlives it. `founding` has data shards only.
  MemberChanges(VirtualCluster& cluster, const v1::ClusterMap& founding);

  // One random step in the shard.
  void Step(uint64_t shard_id);
  // No new changes: what is under way comes to its end.
  void Follow();
  // And what never was a member goes. True when every replica that lives is a member of its group,
  // and the other way round. Once all that was ever asked of a leader has been answered.
  bool Settle();

  // What nodes tell clients: the voters of the newest configuration that is known.
  const v1::ClusterMap& map() const { return map_; }

 private:
  struct Shard {
    uint64_t id = 0;
    v1::ShardDescriptor founding;
    raft::LogIndex newest;        // of a committed configuration that was seen
    raft::Configuration members;  // that one
    std::set<raft::ReplicaId> joined;
    std::map<raft::ReplicaId, uint64_t> left;  // and may live on: the node
    uint64_t next_replica = 0;
  };

  void Look(Shard& shard);
  void Publish(const Shard& shard);
  void EndThoseWhoLeft(Shard& shard, bool at_once);
  void EndStrangers(const Shard& shard);
  void MakeSomewhere(Shard& shard);
  raft::Configuration Draw(const Shard& shard, const raft::Configuration& present);
  void Ask(const Shard& shard, uint64_t node, raft::Configuration target);
  bool IsSettled(const Shard& shard);

  VirtualCluster& cluster_;
  const uint64_t voters_wanted_;
  v1::ClusterMap map_;
  std::map<uint64_t, Shard> shards_;
};

}  // namespace basalt::testing
