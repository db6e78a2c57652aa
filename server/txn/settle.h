// Settle: the owners of all slots of a decided transaction have acknowledged Resolve as applied.
// From here on its outcome is retained like a tombstone, and may be forgotten.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

void ApplySettle(ShardState& state, const Settle& settle, Stamp stamp);

}  // namespace basalt::txn
