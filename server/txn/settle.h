// Settle: the owners of all slots of these transactions have acknowledged Resolve as applied. From
// here on their outcomes are retained like tombstones, and may be forgotten.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

void ApplySettle(ShardState& state, const Settle& settle, Stamp stamp);

}  // namespace basalt::txn
