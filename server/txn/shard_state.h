// ShardState: what a shard knows of transactions; a function of its log, equal on every replica.
// The commands' functions (prepare.h, resolve.h, ...) change it and stage what they changed.
//
// Invariants:
//  T1 `locks` holds just the keys of `prepared`;
//  T2 an id that has a tombstone has no locks here, and takes none; nor does one with a record take
//     any, or with issued < forgotten;
//  T3 an id with a record has no locks here, and keeps its outcome;
//  T4 a record that committed is dropped only after it was settled; every slot that it lists has
//     then applied its Resolve;
//  T5 whatever was dropped of an id had a stamp of at most `forgotten`, above the id's issued: so
//  an
//     id without a trace and with issued >= forgotten left none, ever;
//  T6 `ages` holds just the tombstones and the settled records, each by its stamp; `open` just the
//     records that are not settled.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/txn/lock_table.h"
#include "server/txn/rows.h"
#include "server/txn/types.h"

namespace basalt::txn {

struct ShardState {
  SlotRange range;
  LockTable locks;
  std::map<std::pair<TxnId, Slot>, Prepared> prepared;
  // Of as many as are remembered, a hundred thousand perhaps. Walked only where order is nothing.
  std::unordered_map<TxnId, Resolved, TxnIdHash> resolved;
  std::unordered_map<TxnId, Record, TxnIdHash> records;
  Stamp forgotten = 0;
  std::set<std::tuple<Stamp, RowKind, TxnId>> ages;
  std::set<TxnId> open;
  std::vector<Staged> staged;
};

// Each changes the state and stages the row.
void PutPrepared(ShardState& state, const TxnId& id, Slot slot, Prepared prepared);
void DropPrepared(ShardState& state, const TxnId& id, Slot slot);
void PutResolved(ShardState& state, const TxnId& id, const Resolved& resolved);
void PutRecord(ShardState& state, const TxnId& id, Record record);
void DropRecord(ShardState& state, const TxnId& id);
// The tombstone or settled record that is oldest; there is one. Raises `forgotten`, not its row.
void DropOldest(ShardState& state);

// From a row of the store; stages nothing.
void Load(ShardState& state, Row row);

const Record* FindRecord(const ShardState& state, const TxnId& id);
// What is known here to be final.
struct Decision {
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;
};
std::optional<Decision> FindDecision(const ShardState& state, const TxnId& id);
// The slots in which `id` has locks, in order.
std::vector<Slot> PreparedSlots(const ShardState& state, const TxnId& id);

// CHECKs T1, T3, T5 and T6. Looks at everything.
void CheckInvariants(const ShardState& state);

}  // namespace basalt::txn
