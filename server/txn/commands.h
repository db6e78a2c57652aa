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

// Validates and locks `parts`, all or nothing. The coordinator's own parts need none: see Decide.
struct Prepare {
  TxnId id;
  Age age;
  std::vector<Part> parts;
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

// To the owner of the anchor slot. The first one in the log wins, and makes the transaction's
// record. One to commit is proposed when all other participants have prepared; it validates the
// coordinator's own parts and writes them at its own stamp, or else decides to abort: the
// coordinator is the last agent of its two-phase commit, and locks nothing.
struct Decide {
  TxnId id;
  Outcome outcome = Outcome::kAborted;
  Stamp prepared = 0;       // to commit: the highest stamp of the prepares; 0: there were none
  std::vector<Slot> slots;  // of the transaction: all to commit; to abort, as far as they are known
  // To commit: those whose slots the coordinator owns.
  std::vector<Part> parts;
  bool compares_versions = true;  // see Prepare
};

// The owners of all slots have acknowledged Resolve as applied: the outcomes' retention starts.
struct Settle {
  std::vector<TxnId> ids;
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
  return decide.prepared > decide.id.issued ? decide.prepared : decide.id.issued;
}
inline Stamp FloorOf(const Settle& settle) {
  Stamp floor = 0;
  for (const TxnId& id : settle.ids) floor = id.issued > floor ? id.issued : floor;
  return floor;
}

// Who is in the way.
struct Blocker {
  std::string key;
  TxnId holder;

  bool operator==(const Blocker&) const = default;
};

// What forbids a part, if anything does.
struct Obstacle {
  std::optional<std::string> changed;  // a key that no longer has the version that was read
  std::optional<Blocker> blocker;      // else

  bool any() const { return changed || blocker; }
  bool operator==(const Obstacle&) const = default;
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
    kForgotten,  // it ended long ago, or never began and never will
    kNotOwner,   // of the anchor slot; nothing was done
    kMoved,      // one of the parts is another shard's by now; nothing was done
  };
  Verdict verdict = Verdict::kDecided;
  Outcome outcome = Outcome::kAborted;
  Stamp commit = 0;  // committed: this command's stamp, or that of the one that was first
  // Of the one to commit that was first and had to abort: why.
  Obstacle obstacle;
  std::vector<ReadValue> values;  // of the one that committed, when versions were not compared

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
