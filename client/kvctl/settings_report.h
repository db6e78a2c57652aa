// How long each data shard keeps old versions, from what the nodes say of their replicas. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/kvctl/node_answers.h"
#include "client/router.h"

namespace basalt::kvctl {

struct ShardRetention {
  uint64_t shard_id = 0;
  // The leader's node, or that of the replica that has applied most; 0: no replica was heard of,
  // and the rest says nothing.
  uint64_t node_id = 0;
  uint64_t own_ms = 0;   // the shard's; 0: it has none
  uint64_t node_ms = 0;  // that the node was started with; 0: it does not say
  bool differs = false;  // most shards that were heard of go by another

  uint64_t in_force_ms() const { return own_ms != 0 ? own_ms : node_ms; }
};

// By shard.
std::vector<ShardRetention> RetentionsOf(const client::ClusterView& map,
                                         const std::vector<NodeAnswer>& answers);

// For people: SHARD, VERSION RETENTION, FROM, and a mark on those that differ.
std::string RetentionTable(const std::vector<ShardRetention>& shards);

}  // namespace basalt::kvctl
