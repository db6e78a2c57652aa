// Resolve: ends a transaction's locks with what was decided, all that it has in the shard, and
// leaves a tombstone even where no Prepare came: one that comes later takes no lock. It names
// slots, and the answer says of which this shard is the owner: a shard that owns none of them does
// nothing.
//
// The first outcome that a shard hears stays. A later one that differs can only be an abort that
// was answered when nothing was known of the id any more (see decide.h); by then no slot of a
// transaction that committed has locks.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

ResolveAnswer ApplyResolve(ShardState& state, const Resolve& resolve, Stamp stamp);

// Of a shard that decides for itself (decide.h). The decision is final.
void ResolveHere(ShardState& state, const TxnId& id, const Decision& decision, Stamp stamp);

}  // namespace basalt::txn
