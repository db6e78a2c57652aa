// What a shard's transactions leave in its store, as plain values: the storage layer encodes them
// into the batch of the entry that made them, and gives all of them back when it opens.
//
// A row is known by its kind, its id and, where there is one for each slot, its slot. Prepared and
// Record move with their slot when a shard splits, Resolved and Forgotten are copied to both
// halves.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "server/txn/types.h"

namespace basalt::txn {

// A key that is locked, and for an exclusive lock what it shall hold.
struct HeldKey {
  std::string key;
  LockMode mode = LockMode::kShared;
  std::optional<std::string> value;  // exclusive; nothing: a delete

  bool operator==(const HeldKey&) const = default;
};

// The locks of a transaction in one slot.
struct Prepared {
  Age age;
  Stamp stamp = 0;  // of the Prepare that took them
  std::vector<HeldKey> keys;

  bool operator==(const Prepared&) const = default;
};

// The prepare tombstone of a shard: no Prepare of this id takes a lock here any more.
struct Resolved {
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;  // 0: aborted
  Stamp stamp = 0;   // of the first command that said so

  bool operator==(const Resolved&) const = default;
};

// The coordinator's: what was decided.
struct Record {
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;         // committed
  Stamp stamp = 0;          // of the command that changed it last
  std::vector<Slot> slots;  // whose owners have to acknowledge Resolve
  bool settled = false;     // they have, or there are none

  bool operator==(const Record&) const = default;
};

struct PreparedRow {
  TxnId id;
  Slot slot = 0;
  Prepared prepared;
};
struct ResolvedRow {
  TxnId id;
  Resolved resolved;
};
struct RecordRow {
  TxnId id;
  Record record;
};
// One for each shard: the highest stamp of any outcome or tombstone that it has dropped.
struct ForgottenRow {
  Stamp forgotten = 0;
};
using Row = std::variant<PreparedRow, ResolvedRow, RecordRow, ForgottenRow>;

// On disk: values are never reused.
enum class RowKind : uint8_t { kPrepared = 1, kResolved = 2, kRecord = 3, kForgotten = 4 };

struct RowKey {
  RowKind kind = RowKind::kForgotten;
  TxnId id;
  Slot slot = 0;  // kPrepared

  auto operator<=>(const RowKey&) const = default;
};
RowKey KeyOf(const Row& row);

struct PutRow {
  Row row;
};
struct DeleteRow {
  RowKey key;
};
// A version of a user's key. Its stamp is a transaction's commit, or that of the command itself; it
// is above every other version of the key.
struct WriteVersion {
  std::string key;
  Stamp stamp = 0;
  std::optional<std::string> value;  // nothing: a tombstone
};
// Written in this order, all into the batch of the entry.
using Staged = std::variant<PutRow, DeleteRow, WriteVersion>;

}  // namespace basalt::txn
