#include "server/node/layout_check.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <set>

#include "base/status.h"
#include "raft/core/configuration.h"
#include "server/node/cluster_view.h"
#include "server/shard/replica_state_machine.h"

namespace basalt::server {
namespace {

constexpr size_t kClusterIdBytes = 16;

absl::Status CheckReplicas(const v1::ShardDescriptor& shard, std::set<uint64_t> free_nodes) {
  if (!raft::IsWellFormed(FoundingConfiguration(shard))) {
    return base::FailedPrecondition(
        fmt::format("the replicas of shard {} are no configuration", shard.shard_id()));
  }
  for (const v1::Replica& replica : shard.replicas()) {
    if (free_nodes.erase(replica.node_id()) == 0) {
      return base::FailedPrecondition(
          fmt::format("replica {} of shard {} is on node {}, which the layout does not name or "
                      "which has one already",
                      replica.replica_id(), shard.shard_id(), replica.node_id()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLayout(const v1::ClusterMap& layout) {
  if (layout.cluster_id().size() != kClusterIdBytes) {
    return base::FailedPrecondition("the layout has no cluster id");
  }
  std::set<uint64_t> nodes;
  for (const v1::NodeDescriptor& node : layout.nodes()) {
    if (node.node_id() == 0 || !nodes.insert(node.node_id()).second) {
      return base::FailedPrecondition("two nodes of the layout have one id, or one has none");
    }
  }
  std::set<uint64_t> shards;
  for (const v1::ShardDescriptor& shard : layout.shards()) {
    if (!shards.insert(shard.shard_id()).second) {
      return base::FailedPrecondition(
          fmt::format("the layout has two shards {}", shard.shard_id()));
    }
    BASALT_RETURN_IF_ERROR(CheckReplicas(shard, nodes));
  }
  if (!shards.contains(0)) return base::FailedPrecondition("the layout has no meta shard");
  if (!BuildRoutingTable(layout)) {
    return base::FailedPrecondition("the shards of the layout do not cover all slots once");
  }
  return absl::OkStatus();
}

}  // namespace basalt::server
