#include "client/kvctl/cluster_map.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "client/admin.h"

namespace basalt::kvctl {

using client::ClusterView;

Result<ClusterView> FetchAnyMap(const Arguments& arguments) {
  std::optional<ClusterView> not_formed;
  std::string failures;
  for (const std::string& endpoint : arguments.endpoints) {
    const auto timeout = std::min(arguments.timeout, std::chrono::milliseconds(2000));
    Result<ClusterView> map = client::FetchMap(endpoint, timeout);
    if (map.ok() && !map->cluster_id.empty()) {
      std::sort(map->shards.begin(), map->shards.end(),
                [](const auto& a, const auto& b) { return a.shard_id < b.shard_id; });
      return map;
    }
    if (map.ok()) {
      not_formed = std::move(map).value();
    } else {
      failures += (failures.empty() ? "" : "; ") + map.status().message();
    }
  }
  if (not_formed.has_value()) return std::move(*not_formed);
  return Status(Code::kUnavailable, Outcome::kNotApplied, failures);
}

Result<ClusterView> FetchFormedMap(const Arguments& arguments) {
  Result<ClusterView> map = FetchAnyMap(arguments);
  if (map.ok() && map->cluster_id.empty()) {
    return Status(Code::kNotFormed, Outcome::kNotApplied,
                  "the nodes belong to no cluster yet (kvctl cluster init)");
  }
  return map;
}

uint64_t LeaderOf(const ClusterView& map, uint64_t shard_id) {
  uint64_t leader = 0;
  uint64_t term = 0;
  for (const client::LeaderView& hint : map.leaders) {
    if (hint.shard_id != shard_id || hint.term < term) continue;
    leader = hint.node_id;
    term = hint.term;
  }
  return leader;
}

}  // namespace basalt::kvctl
