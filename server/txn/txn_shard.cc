#include "server/txn/txn_shard.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/slot.h"
#include "server/txn/decide.h"
#include "server/txn/forget.h"
#include "server/txn/one_shard.h"
#include "server/txn/prepare.h"
#include "server/txn/resolve.h"
#include "server/txn/settle.h"

namespace basalt::txn {
namespace {

std::optional<Blocker> BlockerOf(const ShardState& state, std::string_view key, LockMode mode) {
  const Holder* holder = state.locks.InTheWay(key, mode);
  if (holder == nullptr) return std::nullopt;
  return Blocker{std::string(key), holder->id};
}

// Whether one of them writes the key, and may have committed at or below the timestamp.
bool Blocks(const ShardState& state, const std::string& key, const std::vector<Holder>& holders,
            Stamp at) {
  return std::any_of(holders.begin(), holders.end(), [&](const Holder& holder) {
    if (holder.mode != LockMode::kExclusive) return false;
    return at == 0 || state.prepared.at({holder.id, base::SlotOf(key)}).stamp <= at;
  });
}

}  // namespace

TxnShard::TxnShard(SlotRange range, std::vector<Row> rows) : TxnShard(range) {
  for (Row& row : rows) Load(state_, std::move(row));
}

PrepareAnswer TxnShard::Apply(const Prepare& prepare, Stamp stamp, VersionStore& store) {
  return ApplyPrepare(state_, prepare, stamp, store);
}

ResolveAnswer TxnShard::Apply(const Resolve& resolve, Stamp stamp) {
  return ApplyResolve(state_, resolve, stamp);
}

DecideAnswer TxnShard::Apply(const Decide& decide, Stamp stamp, VersionStore& store) {
  return ApplyDecide(state_, decide, stamp, store);
}

void TxnShard::Apply(const Settle& settle, Stamp stamp) { ApplySettle(state_, settle, stamp); }

void TxnShard::Apply(const Forget& forget, Stamp /*stamp*/) { ApplyForget(state_, forget); }

OneShardAnswer TxnShard::Apply(const OneShard& command, Stamp stamp, VersionStore& store) {
  return ApplyOneShard(state_, command, stamp, store);
}

void TxnShard::NarrowTo(SlotRange range) {
  std::vector<std::pair<TxnId, Slot>> prepared;
  for (const auto& [id_and_slot, locks] : state_.prepared) {
    if (!range.Contains(id_and_slot.second)) prepared.push_back(id_and_slot);
  }
  for (const auto& [id, slot] : prepared) DropPrepared(state_, id, slot);
  std::vector<TxnId> records;
  for (const auto& [id, record] : state_.records) {
    if (!range.Contains(id.anchor)) records.push_back(id);
  }
  std::sort(records.begin(), records.end());  // what is staged has the same order on every replica
  for (const TxnId& id : records) DropRecord(state_, id);
  state_.range = range;
}

std::optional<Blocker> TxnShard::BlockerOfRead(std::string_view key) const {
  return BlockerOf(state_, key, LockMode::kShared);
}

std::optional<Blocker> TxnShard::BlockerOfWrite(std::string_view key) const {
  return BlockerOf(state_, key, LockMode::kExclusive);
}

bool TxnShard::BlocksRead(std::string_view key, Stamp at) const {
  const std::vector<Holder>& holders = state_.locks.HoldersOf(key);
  return !holders.empty() && Blocks(state_, std::string(key), holders, at);
}

bool TxnShard::BlocksScan(std::string_view from, std::string_view to, Stamp at) const {
  return state_.locks.AnyOf(from, to,
                            [this, at](const std::string& key, const std::vector<Holder>& holders) {
                              return Blocks(state_, key, holders, at);
                            });
}

}  // namespace basalt::txn
