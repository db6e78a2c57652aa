// Who is told what became of commands, and of the cluster map: the server, which answers clients.
// Called on the apply thread, once what is told can be read; must only hand it on.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>

#include "proto/types.pb.h"
#include "raft/core/types.h"
#include "server/txn/commands.h"

namespace basalt::server {

// What a command of a transaction answered. Its locks are what the next command may wait for.
struct TxnAnswer {
  txn::TxnId id;  // none of a one-shard one
  std::variant<txn::OneShardAnswer, txn::PrepareAnswer, txn::DecideAnswer, txn::ResolveAnswer> what;

  bool operator==(const TxnAnswer&) const = default;
};

struct CommandOutcome {
  enum class Verdict : uint8_t {
    kApplied,
    kWrongShard,  // turned away: the shard does not own the key's slot. Not applied.
    kNoEffect,    // understood, and there was nothing to do (or nothing it may do). Not applied.
    // Ran, and changed nothing; a retry gives the same. `version` is that of the key's value, 0:
    // none.
    kConditionFailed,
    kNotANumber,
    kFenced,  // its number was asked about before it ran, or by this command: it never runs
    // Turned away by what the shard remembers of the client (storage/sessions.h):
    kAnotherRan,   // another write has run under its number: not applied, for good
    kTooManyOpen,  // not applied; the number may come again
    kForgotten,    // it may have run once, and what it gave is not known any more
    // Turned away: a transaction has locked a key. Not applied; it may be proposed again.
    kLocked,
    // Of a transaction; see `txn`.
    kTransaction,
  };
  Verdict verdict = Verdict::kNoEffect;
  uint64_t version = 0;                            // kApplied: the stamp of what was written
  bool existed = false;                            // delete: whether there was a value
  int64_t number = 0;                              // increment: what the value is now
  bool repeated = false;                           // it ran before, and this is what it gave then
  std::shared_ptr<const TxnAnswer> txn = nullptr;  // kTransaction; and kLocked, of a one-shard one

  bool operator==(const CommandOutcome& other) const {
    const bool same_answer =
        txn == other.txn || (txn != nullptr && other.txn != nullptr && *txn == *other.txn);
    return same_answer && verdict == other.verdict && version == other.version &&
           existed == other.existed && number == other.number && repeated == other.repeated;
  }
};

// Of the versions of a replica: what its horizon is, how much was ever written, and for how long
// they are kept.
struct VersionTotals {
  uint64_t horizon = 0;
  // Of the rows of all versions applied since the replica was opened, and of what it held then
  // above the horizon at least 1. Rises.
  uint64_t bytes = 0;
  uint64_t retention_ms = 0;  // 0: what the node was started with
};

// Of what a replica remembers of its clients.
struct SessionTotals {
  uint64_t bytes = 0;      // in memory
  uint64_t oldest = 0;     // the last stamp of the client that was silent for longest; 0: none
  uint64_t forgotten = 0;  // no client that was dropped had a stamp above it
};

// Of outcomes of transactions that are kept for a while only.
struct OutcomeTotals {
  uint64_t kept = 0;
  uint64_t oldest = 0;     // stamp; 0: none is kept
  uint64_t forgotten = 0;  // none that was dropped had a stamp above it
};

// Of what a replica has applied.
struct StateTotals {
  uint64_t highest_stamp = 0;
  VersionTotals versions;
  SessionTotals sessions;
  uint64_t ceiling = 0;  // a leader of a later term stamps nothing at or below it
  OutcomeTotals outcomes = {};
};

class ApplyObserver {
 public:
  virtual ~ApplyObserver() = default;
  // For every entry in order; outcome i is that of command i. An entry of kind no-op has none.
  virtual void OnApplied(raft::GroupId group, const raft::Entry& entry,
                         std::span<const CommandOutcome> outcomes) = 0;
};

class ClusterMapObserver {
 public:
  virtual ~ClusterMapObserver() = default;
  // The map as the meta shard holds it: when it is opened, installed, changed. Without leaders.
  virtual void OnClusterMap(std::shared_ptr<const v1::ClusterMap> map) = 0;
};

}  // namespace basalt::server
