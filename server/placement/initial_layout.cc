#include "server/placement/initial_layout.h"

#include <algorithm>

#include "base/check.h"
#include "base/slot.h"

namespace basalt::server {

std::vector<PlannedShard> PlanInitialLayout(std::vector<uint64_t> node_ids, uint32_t shards,
                                            uint32_t replicas) {
  BASALT_CHECK(!node_ids.empty() && shards >= 1 && shards <= base::kSlotCount && replicas >= 1);
  std::sort(node_ids.begin(), node_ids.end());
  const uint32_t nodes = static_cast<uint32_t>(node_ids.size());
  uint64_t next_replica = 1;
  const auto place = [&](uint32_t first_node, uint32_t count) {
    std::vector<PlannedReplica> placed;
    for (uint32_t i = 0; i < std::min(count, nodes); ++i) {
      placed.push_back({next_replica++, node_ids[(first_node + i) % nodes]});
    }
    return placed;
  };
  std::vector<PlannedShard> layout;
  layout.push_back({0, 0, 0, place(0, nodes >= 5 ? 5 : 3)});
  for (uint32_t i = 0; i < shards; ++i) {
    const uint32_t first = static_cast<uint32_t>(uint64_t{base::kSlotCount} * i / shards);
    const uint32_t end = static_cast<uint32_t>(uint64_t{base::kSlotCount} * (i + 1) / shards);
    layout.push_back({i + 1, first, end - first, place(i % nodes, replicas)});
  }
  return layout;
}

}  // namespace basalt::server
