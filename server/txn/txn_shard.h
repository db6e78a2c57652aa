// TxnShard: one shard's part in transactions, as participant and as coordinator; what is replicated
// of it. Commands in, answers out, and what they leave as staged rows and versions.
//
// Pure and deterministic: equal commands at equal stamps over equal versions give equal states. The
// caller applies commands in the log's order, each with its stamp, and puts what TakeStaged returns
// into the batch of the entry that the commands came in. Stamps rise strictly along the log.
//
// What only a leader does, and loses with its leadership, is elsewhere: lock_queue.h,
// coordinator.h, inquirer.h. One owner: the apply thread.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "server/txn/commands.h"
#include "server/txn/shard_state.h"
#include "server/txn/validate.h"

namespace basalt::txn {

class TxnShard {
 public:
  explicit TxnShard(SlotRange range) { state_.range = range; }
  // With all rows that were staged and not deleted since, in any order.
  TxnShard(SlotRange range, std::vector<Row> rows);

  PrepareAnswer Apply(const Prepare& prepare, Stamp stamp, VersionStore& store);
  ResolveAnswer Apply(const Resolve& resolve, Stamp stamp);
  DecideAnswer Apply(const Decide& decide, Stamp stamp, VersionStore& store);
  void Apply(const Settle& settle, Stamp stamp);
  void Apply(const Forget& forget, Stamp stamp);
  OneShardAnswer Apply(const OneShard& command, Stamp stamp, VersionStore& store);
  // A split is applied: what moved to the other half goes. The other half is made of the same rows.
  void NarrowTo(SlotRange range);

  // Whether an operation on one key may run; who forbids it. A read that is forbidden waits for the
  // decision, whatever it would have returned.
  std::optional<Blocker> BlockerOfRead(std::string_view key) const;
  std::optional<Blocker> BlockerOfWrite(std::string_view key) const;

  // Whether a read of what a key, or a range of keys, held at a timestamp has to wait: somebody has
  // prepared to write it at or below that. 0: now. `to` empty: no end.
  bool BlocksRead(std::string_view key, Stamp at) const;
  bool BlocksScan(std::string_view from, std::string_view to, Stamp at) const;

  // See validate.h.
  ValidateAnswer Validate(const std::vector<Read>& reads, Stamp clock, Stamp horizon,
                          VersionStore& store) const {
    return txn::Validate(state_, reads, clock, horizon, store);
  }

  // What was staged since the last call, in order.
  std::vector<Staged> TakeStaged() { return std::exchange(state_.staged, {}); }

  const ShardState& state() const { return state_; }
  void CheckInvariants() const { txn::CheckInvariants(state_); }

 private:
  ShardState state_;
};

}  // namespace basalt::txn
