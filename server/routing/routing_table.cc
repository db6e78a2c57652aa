#include "server/routing/routing_table.h"

#include <algorithm>

#include "base/check.h"
#include "base/slot.h"

namespace basalt::server {

std::optional<RoutingTable> RoutingTable::Build(std::vector<ShardRange> ranges) {
  std::erase_if(ranges, [](const ShardRange& range) { return range.shard_id == 0; });
  std::sort(ranges.begin(), ranges.end(),
            [](const ShardRange& a, const ShardRange& b) { return a.first_slot < b.first_slot; });
  uint64_t next_slot = 0;
  for (const ShardRange& range : ranges) {
    if (range.first_slot != next_slot || range.slot_count == 0) return std::nullopt;
    next_slot += range.slot_count;
  }
  if (next_slot != base::kSlotCount) return std::nullopt;
  return RoutingTable(std::move(ranges));
}

const ShardRange& RoutingTable::OwnerOf(uint32_t slot) const {
  BASALT_CHECK(slot < base::kSlotCount);
  auto after = std::upper_bound(
      ranges_.begin(), ranges_.end(), slot,
      [](uint32_t wanted, const ShardRange& range) { return wanted < range.first_slot; });
  return *std::prev(after);
}

const ShardRange* RoutingTable::Find(uint64_t shard_id) const {
  for (const ShardRange& range : ranges_) {
    if (range.shard_id == shard_id) return &range;
  }
  return nullptr;
}

const ShardRange* RoutingTable::CheckAddress(uint32_t slot, uint64_t shard_id,
                                             uint64_t epoch) const {
  const ShardRange& owner = OwnerOf(slot);
  if (shard_id == 0) return nullptr;
  return owner.shard_id == shard_id && owner.epoch == epoch ? nullptr : &owner;
}

}  // namespace basalt::server
