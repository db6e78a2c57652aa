// Prepare: takes a transaction's locks in one shard, if nobody is in the way and, unless it
// compares no versions, all that it read is still the newest. The coordinator prepares nothing: its
// own parts come with the decision (decide.h).
//
// Of parts that are locked already nothing is judged again: their lock has kept them as they were.
// The rest is locked whole or not at all. A refusal leaves no trace, so a copy that comes later may
// succeed where an earlier one was refused; the decision ends its locks like all others.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

PrepareAnswer ApplyPrepare(ShardState& state, const Prepare& prepare, Stamp stamp,
                           VersionStore& store);

}  // namespace basalt::txn
