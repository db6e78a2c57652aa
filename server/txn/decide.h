// Decide: what becomes of a transaction; in the log of the owner of its anchor slot, where the
// first decision wins. Applying it also ends the transaction's locks in this shard.
//
// A commit needs a live prepare record: it is what a driver that has seen every Prepare succeed
// proposes, while a new leader that finds the record undecided proposes an abort; whichever is
// first in the log makes the other one an echo. An abort without a record writes one, so that the
// coordinator's Prepare, should it still come, is refused.
//
// Of an id that has no record and was issued below `forgotten`, nothing is written: had it
// committed with a lock left anywhere, its record would be here (T4), and no Prepare of it can
// succeed here any more (T2). Whoever holds a lock of it may take it for aborted.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

DecideAnswer ApplyDecide(ShardState& state, const Decide& decide, Stamp stamp);

}  // namespace basalt::txn
