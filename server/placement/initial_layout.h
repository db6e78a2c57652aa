// The layout of a new cluster: which slots make a shard, which nodes hold its replicas. Pure.
#pragma once

#include <cstdint>
#include <vector>

namespace basalt::server {

struct PlannedReplica {
  uint64_t replica_id = 0;
  uint64_t node_id = 0;
};

struct PlannedShard {
  uint64_t shard_id = 0;
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;  // 0: the meta shard
  // The first one campaigns first, so that leaders start out spread over the nodes.
  std::vector<PlannedReplica> replicas;
};

// Shard 0 is the meta shard; data shards 1..shards share the slots evenly, in order. `node_ids` are
// distinct and not empty; `shards` is 1 to 4096; `replicas` at least 1 (fewer nodes give fewer).
// The meta shard has at most three replicas, five from five nodes on. Replicas of neighbouring
// shards start at neighbouring nodes, in the order of node ids.
std::vector<PlannedShard> PlanInitialLayout(std::vector<uint64_t> node_ids, uint32_t shards,
                                            uint32_t replicas);

}  // namespace basalt::server
