#include "server/txn/shard_state.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace basalt::txn {
namespace {

void IndexPrepared(ShardState& state, const TxnId& id, const Prepared& prepared) {
  for (const HeldKey& held : prepared.keys) {
    state.locks.Add(held.key, {id, prepared.age, held.mode});
  }
}

// Stamps rise: it is the last, but when rows are loaded.
void NoteAge(ShardState& state, Stamp stamp, RowKind kind, const TxnId& id) {
  state.ages.emplace_hint(state.ages.end(), stamp, kind, id);
}

void IndexRecord(ShardState& state, const TxnId& id, const Record& record) {
  if (record.settled) {
    NoteAge(state, record.stamp, RowKind::kRecord, id);
    state.open.erase(id);
  } else {
    state.open.insert(id);
  }
}

struct RowLoader {
  ShardState& state;

  void operator()(PreparedRow& row) const {
    IndexPrepared(state, row.id, row.prepared);
    state.prepared.emplace(std::pair(row.id, row.slot), std::move(row.prepared));
  }
  void operator()(const ResolvedRow& row) const {
    NoteAge(state, row.resolved.stamp, RowKind::kResolved, row.id);
    state.resolved.emplace(row.id, row.resolved);
  }
  void operator()(RecordRow& row) const {
    IndexRecord(state, row.id, row.record);
    state.records.emplace(row.id, std::move(row.record));
  }
  void operator()(const ForgottenRow& row) const { state.forgotten = row.forgotten; }
};

}  // namespace

void PutPrepared(ShardState& state, const TxnId& id, Slot slot, Prepared prepared) {
  IndexPrepared(state, id, prepared);
  state.staged.emplace_back(PutRow{PreparedRow{id, slot, prepared}});
  const bool fresh = state.prepared.emplace(std::pair(id, slot), std::move(prepared)).second;
  BASALT_CHECK(fresh);
}

void DropPrepared(ShardState& state, const TxnId& id, Slot slot) {
  const auto place = state.prepared.find({id, slot});
  BASALT_CHECK(place != state.prepared.end());
  for (const HeldKey& held : place->second.keys) state.locks.Remove(held.key, id);
  state.prepared.erase(place);
  state.staged.emplace_back(DeleteRow{{RowKind::kPrepared, id, slot}});
}

void PutResolved(ShardState& state, const TxnId& id, const Resolved& resolved) {
  const bool fresh = state.resolved.emplace(id, resolved).second;
  BASALT_CHECK(fresh);
  NoteAge(state, resolved.stamp, RowKind::kResolved, id);
  state.staged.emplace_back(PutRow{ResolvedRow{id, resolved}});
}

void PutRecord(ShardState& state, const TxnId& id, Record record) {
  IndexRecord(state, id, record);
  state.staged.emplace_back(PutRow{RecordRow{id, record}});
  state.records.insert_or_assign(id, std::move(record));
}

void DropRecord(ShardState& state, const TxnId& id) {
  const auto place = state.records.find(id);
  BASALT_CHECK(place != state.records.end());
  state.ages.erase({place->second.stamp, RowKind::kRecord, id});
  state.open.erase(id);
  state.records.erase(place);
  state.staged.emplace_back(DeleteRow{{RowKind::kRecord, id, 0}});
}

void DropOldest(ShardState& state) {
  BASALT_CHECK(!state.ages.empty());
  const auto [stamp, kind, id] = *state.ages.begin();
  if (kind == RowKind::kRecord) {
    DropRecord(state, id);
  } else {
    state.ages.erase(state.ages.begin());
    state.resolved.erase(id);
    state.staged.emplace_back(DeleteRow{{kind, id, 0}});
  }
  state.forgotten = std::max(state.forgotten, stamp);
}

void Load(ShardState& state, Row row) { std::visit(RowLoader{state}, row); }

const Record* FindRecord(const ShardState& state, const TxnId& id) {
  const auto place = state.records.find(id);
  return place == state.records.end() ? nullptr : &place->second;
}

std::optional<Decision> FindDecision(const ShardState& state, const TxnId& id) {
  const Record* record = FindRecord(state, id);
  if (record != nullptr) return Decision{record->outcome, record->commit};
  const auto place = state.resolved.find(id);
  if (place == state.resolved.end()) return std::nullopt;
  return Decision{place->second.outcome, place->second.commit};
}

std::vector<Slot> PreparedSlots(const ShardState& state, const TxnId& id) {
  std::vector<Slot> slots;
  for (auto place = state.prepared.lower_bound({id, 0});
       place != state.prepared.end() && place->first.first == id; ++place) {
    slots.push_back(place->first.second);
  }
  return slots;
}

void CheckInvariants(const ShardState& state) {
  LockTable locks;
  size_t held = 0;
  for (const auto& [id_and_slot, prepared] : state.prepared) {
    const auto& [id, slot] = id_and_slot;
    BASALT_CHECK(state.range.Contains(slot));
    BASALT_CHECK(prepared.stamp > id.issued);
    for (const HeldKey& key : prepared.keys) {
      locks.Add(key.key,
                {id, prepared.age, key.mode});  // two that exclude each other: CHECKed here
      const std::vector<Holder>& holders = state.locks.HoldersOf(key.key);
      for (const Holder& holder : holders) held += holder.id == id ? 1 : 0;
      BASALT_CHECK(!holders.empty());
      --held;
    }
    BASALT_CHECK(FindRecord(state, id) == nullptr);  // T3
    BASALT_CHECK(!state.resolved.contains(id));      // T2
  }
  BASALT_CHECK(held == 0 && locks.keys() == state.locks.keys());  // T1
  size_t aged = state.resolved.size();
  for (const auto& [id, record] : state.records) {
    aged += record.settled ? 1 : 0;
    BASALT_CHECK(record.stamp > id.issued && state.range.Contains(id.anchor));
    BASALT_CHECK(record.settled != state.open.contains(id));  // T6
  }
  BASALT_CHECK(aged == state.ages.size());
  BASALT_CHECK(state.open.size() + aged == state.records.size() + state.resolved.size());
}

}  // namespace basalt::txn
