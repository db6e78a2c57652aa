// OneShard: a transaction whose keys are all in one shard, in one entry. Operations on one key are
// judged by the same rule: FindBlocker (conflict.h), with the key they read or write.
//
// One that is turned away changed nothing and leaves no session result: it may be proposed again
// under its number.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

OneShardAnswer ApplyOneShard(ShardState& state, const OneShard& command, Stamp stamp,
                             VersionStore& store);

}  // namespace basalt::txn
