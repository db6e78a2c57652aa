// ClusterView: what this node knows of its cluster, for every thread to read: the map (nodes and
// shards), the routing table made from it, and who leads what.
#pragma once

#include <map>
#include <memory>

#include "base/mutex.h"
#include "proto/types.pb.h"
#include "raft/core/types.h"
#include "server/node/work.h"
#include "server/routing/routing_table.h"

namespace basalt::server {

// nullopt: the map's shards do not cover all slots once.
std::optional<RoutingTable> BuildRoutingTable(const v1::ClusterMap& map);

// Thread-safe.
class ClusterView final : public LeaderObserver {
 public:
  struct Known {
    v1::ClusterMap map;  // without leaders
    RoutingTable routing;
  };

  // nullptr until the node belongs to a cluster.
  std::shared_ptr<const Known> known() const BASALT_EXCLUDES(mutex_);
  // A CHECK refuses a map whose shards do not cover the slots: whoever takes it in looks first.
  void Set(v1::ClusterMap map) BASALT_EXCLUDES(mutex_);
  // A node told its addresses; true when they are news.
  bool SetNode(const v1::NodeDescriptor& node) BASALT_EXCLUDES(mutex_);

  void OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) override
      BASALT_EXCLUDES(mutex_);
  v1::LeaderHint leader(uint64_t shard_id) const BASALT_EXCLUDES(mutex_);
  // 0: there is no cluster yet.
  uint64_t ShardOf(uint32_t slot) const BASALT_EXCLUDES(mutex_);
  // Whom to send what is for the shard's leader. A node hears who leads the shards of which it has
  // a replica; of others, one of the nodes that have one, another in each turn. 0: nobody is known.
  raft::NodeId NodeToAsk(uint64_t shard_id, uint64_t turn) const BASALT_EXCLUDES(mutex_);
  // Shards of the map with no known leader.
  uint32_t leaderless() const BASALT_EXCLUDES(mutex_);

  // Map and leaders together, as clients get it; without a cluster id while there is no cluster.
  v1::ClusterMap MapWithLeaders() const BASALT_EXCLUDES(mutex_);

 private:
  struct Leader {
    raft::NodeId node;
    raft::Term term;
  };

  mutable base::Mutex mutex_;
  std::shared_ptr<const Known> known_ BASALT_GUARDED_BY(mutex_);
  std::map<uint64_t, Leader> leaders_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::server
