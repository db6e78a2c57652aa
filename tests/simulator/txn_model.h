// TxnModel: which transactions lock, write and end in a shard's log, by docs/transactions.md and by
// code that shares nothing with server/txn. No shard is split here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "check/history.h"
#include "proto/command.pb.h"

namespace basalt::testing {

// anchor, issued, client's two halves, number
using TxnKey = std::tuple<uint32_t, uint64_t, uint64_t, uint64_t, uint64_t>;
TxnKey KeyOf(const v1::TxnId& id);

// What a command of a transaction came to.
enum class TxnFate : uint8_t {
  kNone,  // it is no command of a transaction, or changes nothing
  kPrepared,
  kPreparedAgain,
  kLocked,     // a Prepare met a lock
  kChanged,    // a Prepare compared another version
  kEnded,      // a Prepare came when the outcome was there
  kForgotten,  // a Prepare or Decide came whose outcome may have been forgotten
  kCommitted,
  kAborted,
  kHadToAbort,  // a Decide to commit met a lock, or another version
  kOtherwise,   // a Decide that was not the first, and says something else than that
  kResolved,    // locks ended
  kTombstone,   // there was no lock, and there will be none
  kSettled,
};

class TxnModel {
 public:
  enum class OneShard : uint8_t { kApplied, kChanged, kLocked };

  // Before anything else.
  void Own(uint32_t first_slot, uint32_t slot_count) {
    first_slot_ = first_slot;
    slot_count_ = slot_count;
  }
  bool IsLocked(const std::string& key) const { return HasLock(key, true, nullptr); }
  // What a one-shard transaction comes to; writes nothing.
  OneShard Judge(const v1::OneShardCommand& command, const check::StoredVersions& versions,
                 uint64_t horizon) const;
  // Every command of a transaction over several shards, in the order of the log. What it writes
  // goes into `versions`.
  TxnFate Apply(const v1::Command& command, uint64_t stamp, uint64_t horizon,
                check::StoredVersions& versions);
  // How many outcomes the command drops.
  uint64_t Forget(const v1::ForgetTransactionsCommand& forget);

 private:
  struct Lock {
    std::string key;
    bool exclusive = false;
    std::optional<std::string> value;
  };
  struct Outcome {
    bool committed = false;
    uint64_t commit = 0;
    uint64_t stamp = 0;  // of the command from which on its retention counts
  };
  struct Record {
    Outcome outcome;
    bool settled = false;
  };
  using Ages = std::set<std::tuple<uint64_t, bool, TxnKey>>;  // stamp, is a record, id

  bool Owns(uint32_t slot) const { return slot >= first_slot_ && slot - first_slot_ < slot_count_; }
  bool HasLock(const std::string& key, bool to_write, const TxnKey* spared) const;
  std::optional<Outcome> OutcomeOf(const TxnKey& id) const;
  TxnFate Prepare(const v1::PrepareCommand& prepare, uint64_t horizon,
                  const check::StoredVersions& versions);
  TxnFate Decide(const v1::DecideCommand& decide, uint64_t stamp, uint64_t horizon,
                 check::StoredVersions& versions);
  TxnFate Settle(const v1::SettleCommand& settle, uint64_t stamp);
  // Nothing: nobody is in the way, and what was read is the newest.
  template <typename Command>
  std::optional<TxnFate> Obstacle(const Command& command, const v1::TxnPart& part, uint64_t horizon,
                                  const check::StoredVersions& versions) const;
  TxnFate Resolve(const v1::ResolveCommand& resolve, uint64_t stamp,
                  check::StoredVersions& versions);
  bool End(const TxnKey& id, const Outcome& outcome, uint64_t stamp,
           check::StoredVersions& versions);
  Ages FindAges() const;

  std::map<TxnKey, std::map<uint32_t, std::vector<Lock>>> prepared_;  // by slot
  std::map<TxnKey, Record> records_;
  std::map<TxnKey, Outcome> tombstones_;
  uint32_t first_slot_ = 0;
  uint32_t slot_count_ = 0;
  uint64_t forgotten_ = 0;
};

}  // namespace basalt::testing
