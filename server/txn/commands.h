// What transactions put into a shard's log, and what applying it answers. Each command may come any
// number of times, in any order, from any leader: it is idempotent by the transaction's id.
//
// An answer is sent only once its command is applied, and speaks of what the log holds: it stays
// true whoever leads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/txn/types.h"

namespace basalt::txn {

// Validates and locks `parts`, all or nothing.
struct Prepare {
  TxnId id;
  Age age;
  std::vector<Part> parts;
  // The coordinator's own Prepare, the one that holds the anchor slot: every slot of the
  // transaction. It makes the transaction's record. Empty: another participant's.
  std::vector<Slot> all_slots;
  // False: nothing is compared, and the answer says what the keys hold under their locks.
  bool compares_versions = true;
};

// Ends the transaction's locks in the shards that own `slots`; the values kept beside them become
// versions at `commit`.
struct Resolve {
  TxnId id;
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;  // committed: below this command's own stamp
  std::vector<Slot> slots;
};

// To the owner of the anchor slot. The first one in the log wins.
struct Decide {
  TxnId id;
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;  // committed: the highest stamp of the prepares
  // For an abort without a record: the slots to be told, as far as they are known.
  std::vector<Slot> slots;
};

// Every slot's owner has acknowledged Resolve as applied: the outcome's retention starts.
struct Settle {
  TxnId id;
};

// Drops outcomes and tombstones whose stamp is at most `through`, then the oldest until at most
// `kept_max` are left.
struct Forget {
  Stamp through = 0;
  uint64_t kept_max = UINT64_MAX;
};

// A transaction whose keys are all in one shard: validates and writes at its own stamp.
struct OneShard {
  std::vector<Read> reads;
  std::vector<Write> writes;
};

// A command's entry is stamped above this: its leader passes its clock first.
inline Stamp FloorOf(const Prepare& prepare) { return prepare.id.issued; }
inline Stamp FloorOf(const Resolve& resolve) {
  return resolve.commit > resolve.id.issued ? resolve.commit : resolve.id.issued;
}
inline Stamp FloorOf(const Decide& decide) {
  return decide.commit > decide.id.issued ? decide.commit : decide.id.issued;
}
inline Stamp FloorOf(const Settle& settle) { return settle.id.issued; }

// Who is in the way.
struct Blocker {
  std::string key;
  TxnId holder;

  bool operator==(const Blocker&) const = default;
};

struct ReadValue {
  std::string key;
  Newest newest;

  bool operator==(const ReadValue&) const = default;
};

struct PrepareAnswer {
  enum class Verdict : uint8_t {
    kPrepared,
    kChanged,    // a key no longer has the version that was read, and never will again
    kLocked,     // `blocker` is in the way; nothing was locked
    kDecided,    // `outcome` is final; nothing was locked
    kForgotten,  // what happened to this id may have been forgotten; nothing was locked
    kNotOwner,   // of one of the slots; nothing was locked
  };
  Verdict verdict = Verdict::kPrepared;
  Stamp prepared = 0;  // kPrepared: the highest stamp at which one of the parts was locked
  std::string changed;
  std::optional<Blocker> blocker;
  Outcome outcome = Outcome::kAborted;
  std::vector<ReadValue> values;  // kPrepared, when versions were not compared

  bool operator==(const PrepareAnswer&) const = default;
};

struct ResolveAnswer {
  std::vector<Slot> resolved;   // applied, now or earlier: no lock of the id is left there
  std::vector<Slot> not_owned;  // nothing was done there

  bool operator==(const ResolveAnswer&) const = default;
};

struct DecideAnswer {
  enum class Verdict : uint8_t {
    kDecided,    // `outcome` and `commit` are final, whichever command was first
    kNoRecord,   // a commit found no live prepare record: it can never commit
    kForgotten,  // it ended long ago, or never began and never will
    kNotOwner,   // of the anchor slot; nothing was done
  };
  Verdict verdict = Verdict::kDecided;
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;

  bool operator==(const DecideAnswer&) const = default;
};

struct OneShardAnswer {
  enum class Verdict : uint8_t {
    kApplied,   // every write has this command's stamp
    kChanged,   // a key no longer has the version that was read
    kLocked,    // `blocker` is in the way; it may be proposed again
    kNotOwner,  // of one of the keys' slots
  };
  Verdict verdict = Verdict::kApplied;
  std::string changed;
  std::optional<Blocker> blocker;

  bool operator==(const OneShardAnswer&) const = default;
};

}  // namespace basalt::txn
