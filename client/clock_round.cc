#include "client/clock_round.h"

#include <algorithm>
#include <utility>

namespace basalt::client {

Operation ClockOf(const ShardView& shard, ReadMode mode) {
  Operation operation{.kind = OperationKind::kClock, .read_mode = mode};
  operation.page = {
      .shard_id = shard.shard_id, .first_slot = shard.first_slot, .slot_count = shard.slot_count};
  return operation;
}

bool ClockRound::Take(CallResult result) {
  --open_;
  if (!result.status.ok()) {
    failure_ = std::move(result.status);
  } else {
    timestamp_ = std::max(timestamp_, result.payload.clock);
  }
  return open_ == 0;
}

Result<uint64_t> ClockRound::timestamp() const {
  if (!failure_.ok()) return failure_;
  return std::max(timestamp_, token_);
}

}  // namespace basalt::client
