// CommitDriver: carries one transaction over several shards to its decision; in the memory of the
// leader that owns its anchor slot, and lost with that leadership: whoever leads next knows nothing
// of it.
//
// All Prepares leave at once, to every slot that the coordinator's shard does not own. When all
// have answered "prepared" it proposes to commit, with the shard's own parts (decide.h); at the
// first refusal, or at the deadline, to abort. Not before the decision is applied is anything
// decided: another one may be first in the log, and one to commit may find that it cannot.
//
// What has no answer is sent again: Prepares, and a Decide to abort. One to commit stays in the
// leader's queue or its log until it is applied or refused, or this leader leads no more.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/txn/commands.h"
#include "server/txn/types.h"

namespace basalt::txn {

// What a client asks to have committed.
struct Transaction {
  TxnId id;
  Age age;
  std::vector<Part> parts;        // one for each slot, by slot; not empty
  bool compares_versions = true;  // false: the answer says what was read, under locks
};

enum class AbortReason : uint8_t {
  kNone,
  kChanged,    // something that was read is no longer the newest: read again
  kLocked,     // an older transaction is in the way: try again, with the same age
  kDeadline,   // some shard did not answer in time
  kNewLeader,  // the coordinator's leader changed
  kForgotten,  // a participant may have forgotten this id: try again under a new one
};

class CommitDriver {
 public:
  // What is to be done now.
  struct Step {
    std::vector<Slot> prepare;     // send PrepareOf(these)
    std::optional<Decide> decide;  // to commit: offer to the queue of locks; to abort: propose
  };

  // `own`: what the coordinator's shard owns; outlives this.
  CommitDriver(Transaction transaction, const SlotRange* own, Milliseconds deadline,
               Milliseconds resend_after);

  Step Start(Milliseconds now);
  // An answer to PrepareOf(slots). A request that was refused before it was proposed counts as
  // kLocked, one that did not reach the owner of all of its slots as kNotOwner.
  Step OnPrepareAnswer(const std::vector<Slot>& slots, const PrepareAnswer& answer,
                       Milliseconds now);
  // The Decide to commit was refused before it was proposed.
  Step OnRefused(Milliseconds now);
  // The Decide to commit held a part that is another shard's by now: that has to prepare.
  Step OnMoved(Milliseconds now);
  Step OnTick(Milliseconds now);

  // The parts of these slots, which rise.
  Prepare PrepareOf(const std::vector<Slot>& slots) const;

  // Those that the coordinator's shard does not own.
  std::vector<Slot> OthersSlots() const;
  const Age& age() const { return transaction_.age; }
  AbortReason reason() const { return reason_; }
  // Of a transaction that compared no versions: what was read under its locks, and `own`, by the
  // Decide that committed. Nothing: that was not this driver's, which has not heard of all keys.
  std::optional<std::map<std::string, Newest>> TakeValues(const std::vector<ReadValue>& own);

 private:
  struct Slip {
    Stamp prepared = 0;  // 0: no answer yet
    Milliseconds sent = 0;
    Milliseconds pause = 0;  // until it is sent again; doubles each time
  };

  std::vector<Slot> Slots() const;
  bool Commits() const { return proposal_ == Outcome::kCommitted; }
  Step Abort(AbortReason reason, Milliseconds now);
  Step Propose(Outcome outcome, Milliseconds now);
  Step ProposeAgain(Milliseconds now);
  Decide DecideOf(Outcome outcome) const;
  Step ProposeIfPrepared(Milliseconds now);
  Step PrepareOthers(Milliseconds now);
  void KeepValues(const std::vector<ReadValue>& values);

  const Transaction transaction_;
  const SlotRange& own_;
  const Milliseconds deadline_;
  const Milliseconds resend_after_;
  std::map<Slot, Slip> slots_;  // the shard's own too, which do not prepare
  std::optional<Outcome> proposal_;
  Milliseconds proposed_at_ = 0;
  AbortReason reason_ = AbortReason::kNone;
  std::map<std::string, Newest> values_;
  size_t value_bytes_ = 0;
};

}  // namespace basalt::txn
