// Decide: what becomes of a transaction; in the log of the owner of its anchor slot, where the
// first decision wins. It makes the transaction's record.
//
// One to commit is the coordinator's own part as well: the last agent of a two-phase commit votes
// and decides in one step (Samaras, Britton, Citron and Mohan, "Two-phase commit optimizations and
// tradeoffs in the commercial environment", ICDE 1993). It is proposed only when every other
// participant has prepared. If nobody is in the way here and all that was read here is still the
// newest, the transaction commits at the command's own stamp, which is above those of all Prepares
// (FloorOf), and what it writes here is written at once, without ever being locked. If not, this
// very command decides to abort.
//
// An abort writes a record too, so that a decision to commit that comes later is an echo.
//
// Of an id that has no record and was issued below `forgotten`, nothing is written: had it
// committed with a lock left anywhere, its record would be here (T4), and it can commit no more.
// Whoever holds a lock of it may take it for aborted.
#pragma once

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"

namespace basalt::txn {

DecideAnswer ApplyDecide(ShardState& state, const Decide& decide, Stamp stamp, VersionStore& store);

}  // namespace basalt::txn
