// Forget: drops old tombstones and settled outcomes; `forgotten` rises to what was dropped. An
// outcome that is not settled stays, however old.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

void ApplyForget(ShardState& state, const Forget& forget);

}  // namespace basalt::txn
