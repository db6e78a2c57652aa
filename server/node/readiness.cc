#include "server/node/readiness.h"

#include <algorithm>

namespace basalt::server {

std::vector<std::string> WhyNotCaughtUp(std::span<const v1::ReplicaStatus> replicas) {
  std::vector<std::string> reasons;
  for (const v1::ReplicaStatus& replica : replicas) {
    const std::string shard = "shard " + std::to_string(replica.shard_id());
    if (replica.leader_node() == 0) reasons.push_back(shard + " has no leader");
    const uint64_t committed = std::max(replica.commit_index(), replica.group_commit_index());
    if (committed > replica.applied_index() + kEntriesBehindMax) {
      reasons.push_back(shard + " is behind");
    }
  }
  return reasons;
}

}  // namespace basalt::server
