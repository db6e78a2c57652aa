// Cluster maps for tests: three nodes, the meta shard and two data shards.
#pragma once

#include <string>

#include "proto/types.pb.h"

namespace basalt::testing {

inline v1::NodeDescriptor MakeNode(uint64_t id, const std::string& store = "") {
  v1::NodeDescriptor node;
  node.set_node_id(id);
  node.set_peer_address("peer-" + std::to_string(id));
  node.set_client_address("client-" + std::to_string(id));
  node.set_store_id(store.empty() ? "store-" + std::to_string(id) : store);
  return node;
}

inline void AddShard(v1::ClusterMap& map, uint64_t id, uint32_t first_slot, uint32_t slots) {
  v1::ShardDescriptor& shard = *map.add_shards();
  shard.set_shard_id(id);
  shard.set_epoch(3);
  shard.set_first_slot(first_slot);
  shard.set_slot_count(slots);
  for (const v1::NodeDescriptor& node : map.nodes()) {
    v1::Replica& replica = *shard.add_replicas();
    replica.set_replica_id(10 * id + node.node_id());
    replica.set_node_id(node.node_id());
  }
}

// Shard 1 has the lower half of the slots, shard 2 the upper one, shard 0 is the meta shard.
inline v1::ClusterMap MakeMap() {
  v1::ClusterMap map;
  map.set_cluster_id("0123456789abcdef");
  for (uint64_t id = 1; id <= 3; ++id) *map.add_nodes() = MakeNode(id);
  AddShard(map, 0, 0, 0);
  AddShard(map, 1, 0, 8192);
  AddShard(map, 2, 8192, 8192);
  return map;
}

}  // namespace basalt::testing
