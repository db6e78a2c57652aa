// RoutingTable: which shard owns a slot, as this node knows it. Pure and immutable once built; a
// change of placement builds another.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace basalt::server {

struct ShardRange {
  uint64_t shard_id = 0;
  uint64_t epoch = 0;
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;

  bool Owns(uint32_t slot) const { return slot >= first_slot && slot - first_slot < slot_count; }
  bool operator==(const ShardRange&) const = default;
};

class RoutingTable {
 public:
  // `ranges` may come in any order and include the meta shard, which owns no slots. Ranges that
  // overlap, lie outside of the slots or leave one without an owner are refused with nullopt.
  static std::optional<RoutingTable> Build(std::vector<ShardRange> ranges);

  const ShardRange& OwnerOf(uint32_t slot) const;
  const ShardRange* Find(uint64_t shard_id) const;

  // What a request for `slot`, addressed to (shard_id, epoch), meets. nullptr: go ahead. Else the
  // shard that owns the slot now. shard_id 0 asks for no particular shard.
  const ShardRange* CheckAddress(uint32_t slot, uint64_t shard_id, uint64_t epoch) const;

  // Data shards in the order of their slots.
  const std::vector<ShardRange>& ranges() const { return ranges_; }

 private:
  explicit RoutingTable(std::vector<ShardRange> ranges) : ranges_(std::move(ranges)) {}

  std::vector<ShardRange> ranges_;  // sorted, contiguous, covering all slots
};

}  // namespace basalt::server
