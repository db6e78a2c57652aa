// CommitDriver: carries one transaction over several shards to its decision; in the memory of the
// leader that owns its anchor slot, and lost with that leadership: whoever leads next aborts it.
//
// All Prepares leave at once. When every slot has answered "prepared" it proposes to commit at the
// highest of their stamps; at the first refusal, or at the deadline, to abort. Not before the
// decision is applied is anything decided: another one may be first in the log.
//
// What has no answer is sent again: Prepare and Decide are idempotent.
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
    std::optional<Decide> decide;  // propose
  };

  CommitDriver(Transaction transaction, Milliseconds deadline, Milliseconds resend_after);

  Step Start(Milliseconds now);
  // An answer to PrepareOf(slots). A request that was refused before it was proposed counts as
  // kLocked, one that did not reach the owner of all of its slots as kNotOwner.
  Step OnPrepareAnswer(const std::vector<Slot>& slots, const PrepareAnswer& answer,
                       Milliseconds now);
  Step OnTick(Milliseconds now);
  // A commit found no live prepare record.
  Step OnNoRecord(Milliseconds now);

  // The parts of these slots, which rise; the coordinator's own Prepare if the anchor is among
  // them.
  Prepare PrepareOf(const std::vector<Slot>& slots) const;

  AbortReason reason() const { return reason_; }
  // Of a transaction that compared no versions: what was read under its locks.
  const std::map<std::string, Newest>& values() const { return values_; }

 private:
  struct Slip {
    Stamp prepared = 0;  // 0: no answer yet
    Milliseconds sent = 0;
    Milliseconds pause = 0;  // until it is sent again; doubles each time
  };

  std::vector<Slot> Slots() const;
  Step Abort(AbortReason reason, Milliseconds now);
  Step Propose(Milliseconds now);
  Step ProposeIfPrepared(Milliseconds now);

  const Transaction transaction_;
  const Milliseconds deadline_;
  const Milliseconds resend_after_;
  std::map<Slot, Slip> slots_;
  std::optional<Decide> proposal_;
  Milliseconds proposed_at_ = 0;
  AbortReason reason_ = AbortReason::kNone;
  std::map<std::string, Newest> values_;
  size_t value_bytes_ = 0;
};

}  // namespace basalt::txn
