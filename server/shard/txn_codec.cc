#include "server/shard/txn_codec.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/slot.h"
#include "base/status.h"
#include "storage/big_endian.h"
#include "storage/state_rows.h"

namespace basalt::server {
namespace {

using storage::AppendBigEndian;

constexpr size_t kKeyMax = 4096;

// --- problems ---

bool IsOutcome(v1::TxnOutcome outcome, uint64_t commit) {
  if (outcome == v1::TXN_OUTCOME_ABORTED) return commit == 0;
  return outcome == v1::TXN_OUTCOME_COMMITTED && commit > 0 && commit <= kTxnStampMax;
}

template <typename Slots>
bool AreSlots(const Slots& slots) {
  const bool rise = std::adjacent_find(slots.begin(), slots.end(), [](uint32_t a, uint32_t b) {
                      return a >= b;
                    }) == slots.end();
  return rise && (slots.empty() || *std::prev(slots.end()) < base::kSlotCount);
}

// Adds up what a transaction takes.
struct Sizes {
  size_t operations = 0;
  size_t bytes = 0;
};

template <typename Operations>
std::optional<std::string> KeysProblem(const Operations& operations, Sizes& sizes) {
  const std::string* last = nullptr;
  for (const auto& operation : operations) {
    const std::string& key = operation.key();
    if (key.empty() || key.size() > kKeyMax) return "a key has 1 to 4096 bytes";
    if (last != nullptr && *last >= key) return "keys do not rise";
    last = &key;
    ++sizes.operations;
    sizes.bytes += key.size();
  }
  return std::nullopt;
}

using Reads = google::protobuf::RepeatedPtrField<v1::TxnRead>;
using Writes = google::protobuf::RepeatedPtrField<v1::TxnWrite>;
using Parts = google::protobuf::RepeatedPtrField<v1::TxnPart>;

std::optional<std::string> OperationsProblem(const Reads& reads, const Writes& writes,
                                             Sizes& sizes) {
  if (auto problem = KeysProblem(reads, sizes)) return problem;
  if (auto problem = KeysProblem(writes, sizes)) return problem;
  for (const v1::TxnWrite& write : writes) {
    if (write.what_case() == v1::TxnWrite::WHAT_NOT_SET) return "a write of nothing";
    if (write.value().size() > kTxnValueMax) return "a value has at most 8388608 bytes";
    sizes.bytes += write.value().size();
  }
  if (reads.empty() && writes.empty()) return "nothing is read or written";
  return std::nullopt;
}

std::optional<std::string> SizesProblem(const Sizes& sizes) {
  if (sizes.operations > kTxnOperationsMax) return "a transaction has at most 10000 operations";
  if (sizes.bytes > kTxnBytesMax) return "a transaction has at most 15 MiB of keys and values";
  return std::nullopt;
}

template <typename Operations>
bool AllIn(uint32_t slot, const Operations& operations) {
  return std::all_of(operations.begin(), operations.end(), [slot](const auto& operation) {
    return base::SlotOf(operation.key()) == slot;
  });
}

std::optional<std::string> PartsProblem(const Parts& parts) {
  Sizes sizes;
  const v1::TxnPart* last = nullptr;
  for (const v1::TxnPart& part : parts) {
    if (last != nullptr && last->slot() >= part.slot()) return "slots do not rise";
    last = &part;
    if (!AllIn(part.slot(), part.reads()) || !AllIn(part.slot(), part.writes())) {
      return "a key lies in another slot";
    }
    if (auto problem = OperationsProblem(part.reads(), part.writes(), sizes)) return problem;
  }
  if (last == nullptr) return "no part";
  return SizesProblem(sizes);
}

// --- values ---

txn::Outcome ToOutcome(v1::TxnOutcome outcome) {
  return outcome == v1::TXN_OUTCOME_COMMITTED ? txn::Outcome::kCommitted : txn::Outcome::kAborted;
}

v1::TxnOutcome FromOutcome(txn::Outcome outcome) {
  return outcome == txn::Outcome::kCommitted ? v1::TXN_OUTCOME_COMMITTED : v1::TXN_OUTCOME_ABORTED;
}

template <typename Operations>
std::vector<txn::Read> ReadsOf(const Operations& reads) {
  std::vector<txn::Read> values;
  values.reserve(static_cast<size_t>(reads.size()));
  for (const v1::TxnRead& read : reads) values.push_back({read.key(), read.version()});
  return values;
}

template <typename Operations>
std::vector<txn::Write> WritesOf(const Operations& writes) {
  std::vector<txn::Write> values;
  values.reserve(static_cast<size_t>(writes.size()));
  for (const v1::TxnWrite& write : writes) {
    values.push_back({write.key(), std::nullopt});
    if (write.has_value()) values.back().value = write.value();
  }
  return values;
}

void AddParts(const std::vector<txn::Part>& parts,
              google::protobuf::RepeatedPtrField<v1::TxnPart>& to) {
  for (const txn::Part& part : parts) {
    v1::TxnPart& added = *to.Add();
    added.set_slot(part.slot);
    for (const txn::Read& read : part.reads) {
      v1::TxnRead& one = *added.add_reads();
      one.set_key(read.key);
      one.set_version(read.version);
    }
    for (const txn::Write& write : part.writes) {
      v1::TxnWrite& one = *added.add_writes();
      one.set_key(write.key);
      if (write.value) {
        one.set_value(*write.value);
      } else {
        one.set_deletes(true);
      }
    }
  }
}

template <typename Slots>
std::vector<txn::Slot> SlotsOf(const Slots& slots) {
  return {slots.begin(), slots.end()};
}

// --- rows ---

absl::Status Damaged() { return base::DataLoss("a row of the transactions is damaged"); }

std::string RowKeyBytes(const txn::RowKey& key) {
  std::string bytes(kTxnRowPrefix);
  AppendBigEndian<uint8_t>(static_cast<uint8_t>(key.kind), bytes);
  if (key.kind == txn::RowKind::kForgotten) return bytes;
  AppendBigEndian<uint32_t>(key.id.anchor, bytes);
  AppendBigEndian<uint64_t>(key.id.issued, bytes);
  AppendBigEndian<uint64_t>(key.id.client.high, bytes);
  AppendBigEndian<uint64_t>(key.id.client.low, bytes);
  AppendBigEndian<uint64_t>(key.id.number, bytes);
  if (key.kind == txn::RowKind::kPrepared) AppendBigEndian<uint32_t>(key.slot, bytes);
  return bytes;
}

std::optional<txn::RowKey> ParseRowKey(std::string_view bytes) {
  storage::BigEndianReader reader(bytes);
  txn::RowKey key;
  const auto kind = reader.Take<uint8_t>();
  if (kind < 1 || kind > static_cast<uint8_t>(txn::RowKind::kForgotten)) return std::nullopt;
  key.kind = static_cast<txn::RowKind>(kind);
  if (key.kind != txn::RowKind::kForgotten) {
    key.id.anchor = reader.Take<uint32_t>();
    key.id.issued = reader.Take<uint64_t>();
    key.id.client.high = reader.Take<uint64_t>();
    key.id.client.low = reader.Take<uint64_t>();
    key.id.number = reader.Take<uint64_t>();
  }
  if (key.kind == txn::RowKind::kPrepared) key.slot = reader.Take<uint32_t>();
  if (!reader.ok() || !reader.AtEnd()) return std::nullopt;
  if (key.kind == txn::RowKind::kForgotten) return key;
  if (key.id.anchor >= base::kSlotCount || key.id.number == 0 || key.id.issued > kTxnStampMax ||
      key.slot >= base::kSlotCount) {
    return std::nullopt;
  }
  return key;
}

struct RowBytes {
  std::string operator()(const txn::PreparedRow& row) const {
    v1::TxnPreparedRow to;
    const txn::Prepared& prepared = row.prepared;
    to.mutable_age()->set_issued(prepared.age.issued);
    to.mutable_age()->set_client_high(prepared.age.client.high);
    to.mutable_age()->set_client_low(prepared.age.client.low);
    to.mutable_age()->set_number(prepared.age.number);
    to.set_stamp(prepared.stamp);
    for (const txn::HeldKey& held : prepared.keys) {
      v1::TxnHeldKey& key = *to.add_keys();
      key.set_key(held.key);
      if (held.mode == txn::LockMode::kShared) continue;
      key.set_exclusive(true);
      if (held.value) {
        key.set_value(*held.value);
      } else {
        key.set_deletes(true);
      }
    }
    return to.SerializeAsString();
  }
  std::string operator()(const txn::ResolvedRow& row) const {
    v1::TxnResolvedRow to;
    to.set_outcome(FromOutcome(row.resolved.outcome));
    to.set_commit(row.resolved.commit);
    to.set_stamp(row.resolved.stamp);
    return to.SerializeAsString();
  }
  std::string operator()(const txn::RecordRow& row) const {
    v1::TxnRecordRow to;
    to.set_outcome(FromOutcome(row.record.outcome));
    to.set_commit(row.record.commit);
    to.set_stamp(row.record.stamp);
    to.mutable_slots()->Add(row.record.slots.begin(), row.record.slots.end());
    to.set_settled(row.record.settled);
    return to.SerializeAsString();
  }
  std::string operator()(const txn::ForgottenRow& row) const {
    v1::TxnForgottenRow to;
    to.set_forgotten(row.forgotten);
    return to.SerializeAsString();
  }
};

std::optional<txn::Row> ParsePrepared(const txn::RowKey& key, std::string_view bytes) {
  v1::TxnPreparedRow from;
  if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  txn::PreparedRow row{key.id, key.slot, {ToValue(from.age()), from.stamp(), {}}};
  std::set<std::string_view> keys;
  for (const v1::TxnHeldKey& held : from.keys()) {
    if (!keys.insert(held.key()).second || base::SlotOf(held.key()) != key.slot) {
      return std::nullopt;
    }
    const bool writes = held.what_case() != v1::TxnHeldKey::WHAT_NOT_SET;
    if (held.exclusive() != writes) return std::nullopt;
    txn::HeldKey value{held.key(),
                       held.exclusive() ? txn::LockMode::kExclusive : txn::LockMode::kShared,
                       std::nullopt};
    if (held.has_value()) value.value = held.value();
    row.prepared.keys.push_back(std::move(value));
  }
  if (row.prepared.keys.empty() || row.prepared.stamp <= key.id.issued) return std::nullopt;
  return row;
}

std::optional<txn::Row> ParseResolved(const txn::RowKey& key, std::string_view bytes) {
  v1::TxnResolvedRow from;
  if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !IsOutcome(from.outcome(), from.commit()) || from.stamp() <= key.id.issued) {
    return std::nullopt;
  }
  return txn::ResolvedRow{key.id, {ToOutcome(from.outcome()), from.commit(), from.stamp()}};
}

std::optional<txn::Row> ParseRecord(const txn::RowKey& key, std::string_view bytes) {
  v1::TxnRecordRow from;
  if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  if (!IsOutcome(from.outcome(), from.commit())) return std::nullopt;
  if (from.stamp() <= key.id.issued || !AreSlots(from.slots())) return std::nullopt;
  txn::RecordRow row{key.id, {}};
  row.record.outcome = ToOutcome(from.outcome());
  row.record.commit = from.commit();
  row.record.stamp = from.stamp();
  row.record.slots = SlotsOf(from.slots());
  row.record.settled = from.settled();
  return row;
}

std::optional<txn::Row> ParseRow(const txn::RowKey& key, std::string_view bytes) {
  switch (key.kind) {
    case txn::RowKind::kPrepared:
      return ParsePrepared(key, bytes);
    case txn::RowKind::kResolved:
      return ParseResolved(key, bytes);
    case txn::RowKind::kRecord:
      return ParseRecord(key, bytes);
    case txn::RowKind::kForgotten: {
      v1::TxnForgottenRow from;
      if (!from.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
      return txn::ForgottenRow{from.forgotten()};
    }
  }
  return std::nullopt;
}

// Locks and records are of slots that the shard owns; tombstones are of any.
bool LiesIn(txn::SlotRange range, const txn::RowKey& key) {
  if (key.kind == txn::RowKind::kPrepared) return range.Contains(key.slot);
  return key.kind != txn::RowKind::kRecord || range.Contains(key.id.anchor);
}

// Whether a state can be made of them: CHECKs of server/txn hold then (T1, T2, T3).
class Standing {
 public:
  bool Admit(const txn::Row& row) {
    return std::visit([this](const auto& one) { return Admit(one); }, row);
  }
  bool IsWhole() const {
    return std::none_of(holders_.begin(), holders_.end(),
                        [this](const txn::TxnId& id) { return ended_.contains(id); });
  }

 private:
  bool Admit(const txn::PreparedRow& row) {
    holders_.insert(row.id);
    return std::all_of(row.prepared.keys.begin(), row.prepared.keys.end(),
                       [this](const txn::HeldKey& held) {
                         const bool exclusive = held.mode == txn::LockMode::kExclusive;
                         const auto [place, first] = modes_.try_emplace(held.key, held.mode);
                         return first || (!exclusive && place->second == held.mode);
                       });
  }
  bool Admit(const txn::ResolvedRow& row) {
    ended_.insert(row.id);
    return true;
  }
  bool Admit(const txn::RecordRow& row) {
    ended_.insert(row.id);
    return true;
  }
  bool Admit(const txn::ForgottenRow&) { return true; }

  std::map<std::string, txn::LockMode> modes_;
  std::set<txn::TxnId> holders_;
  std::set<txn::TxnId> ended_;
};

uint64_t HashOf(const txn::Row& row) {
  const std::string bytes = RowKeyBytes(txn::KeyOf(row)) + std::visit(RowBytes{}, row);
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace

std::optional<std::string> TxnOperationsProblem(const Reads& reads, const Writes& writes) {
  Sizes sizes;
  if (auto problem = OperationsProblem(reads, writes, sizes)) return problem;
  return SizesProblem(sizes);
}

std::optional<std::string> TxnPartsProblem(const Parts& parts) { return PartsProblem(parts); }

std::vector<txn::Part> ToValue(const Parts& parts) {
  std::vector<txn::Part> values;
  for (const v1::TxnPart& part : parts) {
    values.push_back({part.slot(), ReadsOf(part.reads()), WritesOf(part.writes())});
  }
  return values;
}

std::optional<std::string> TxnReadsProblem(
    const google::protobuf::RepeatedPtrField<v1::TxnRead>& reads) {
  Sizes sizes;
  if (reads.empty()) return "nothing is read";
  if (auto problem = KeysProblem(reads, sizes)) return problem;
  return SizesProblem(sizes);
}

std::vector<txn::Read> ToValue(const google::protobuf::RepeatedPtrField<v1::TxnRead>& reads) {
  return ReadsOf(reads);
}

bool IsTxnId(const v1::TxnId& id) {
  return id.anchor() < base::kSlotCount && id.number() > 0 && id.issued() <= kTxnStampMax;
}

std::optional<std::string> TxnProblem(const v1::OneShardCommand& command) {
  return TxnOperationsProblem(command.reads(), command.writes());
}

std::optional<std::string> TxnProblem(const v1::PrepareCommand& command) {
  if (!IsTxnId(command.id())) return "its id is none";
  return PartsProblem(command.parts());
}

std::optional<std::string> TxnProblem(const v1::DecideCommand& command) {
  if (!IsTxnId(command.id())) return "its id is none";
  const auto& all = command.slots();
  if (!AreSlots(all)) return "its slots do not rise";
  if (command.outcome() == v1::TXN_OUTCOME_ABORTED) {
    return command.prepared() == 0 && command.parts().empty()
               ? std::nullopt
               : std::optional<std::string>("an abort writes nothing");
  }
  if (command.outcome() != v1::TXN_OUTCOME_COMMITTED || command.prepared() > kTxnStampMax) {
    return "its outcome is none";
  }
  if (auto problem = PartsProblem(command.parts())) return problem;
  const auto is_named = [&all](uint32_t slot) {
    return std::binary_search(all.begin(), all.end(), slot);
  };
  if (!is_named(command.id().anchor())) return "its slots do not name the anchor";
  for (const v1::TxnPart& part : command.parts()) {
    if (!is_named(part.slot())) return "its slots do not name a part";
  }
  return std::nullopt;
}

std::optional<std::string> TxnProblem(const v1::ResolveCommand& command) {
  if (!IsTxnId(command.id())) return "its id is none";
  if (!IsOutcome(command.outcome(), command.commit())) return "its outcome is none";
  if (command.slots().empty() || !AreSlots(command.slots())) return "its slots are none";
  return std::nullopt;
}

std::optional<std::string> TxnProblem(const v1::SettleCommand& command) {
  if (command.ids().empty()) return "it names none";
  const bool all_are = std::all_of(command.ids().begin(), command.ids().end(), IsTxnId);
  return all_are ? std::nullopt : std::optional<std::string>("its id is none");
}

txn::TxnId ToValue(const v1::TxnId& id) {
  return {id.anchor(), id.issued(), {id.client_high(), id.client_low()}, id.number()};
}

txn::Age ToValue(const v1::TxnAge& age) {
  return {age.issued(), {age.client_high(), age.client_low()}, age.number()};
}

txn::OneShard ToValue(const v1::OneShardCommand& command) {
  return {ReadsOf(command.reads()), WritesOf(command.writes())};
}

txn::Prepare ToValue(const v1::PrepareCommand& command) {
  return {ToValue(command.id()), ToValue(command.age()), ToValue(command.parts()),
          command.compares_versions()};
}

txn::Decide ToValue(const v1::DecideCommand& command) {
  return {ToValue(command.id()),    ToOutcome(command.outcome()), command.prepared(),
          SlotsOf(command.slots()), ToValue(command.parts()),     command.compares_versions()};
}

txn::Resolve ToValue(const v1::ResolveCommand& command) {
  return {ToValue(command.id()), ToOutcome(command.outcome()), command.commit(),
          SlotsOf(command.slots())};
}

txn::Settle ToValue(const v1::SettleCommand& command) {
  txn::Settle settle;
  for (const v1::TxnId& id : command.ids()) settle.ids.push_back(ToValue(id));
  return settle;
}

txn::Forget ToValue(const v1::ForgetTransactionsCommand& command) {
  return {command.through(), command.kept_max()};
}

void ToProto(const txn::TxnId& id, v1::TxnId& to) {
  to.set_anchor(id.anchor);
  to.set_issued(id.issued);
  to.set_client_high(id.client.high);
  to.set_client_low(id.client.low);
  to.set_number(id.number);
}

void ToProto(const txn::Prepare& prepare, v1::PrepareCommand& to) {
  ToProto(prepare.id, *to.mutable_id());
  to.mutable_age()->set_issued(prepare.age.issued);
  to.mutable_age()->set_client_high(prepare.age.client.high);
  to.mutable_age()->set_client_low(prepare.age.client.low);
  to.mutable_age()->set_number(prepare.age.number);
  AddParts(prepare.parts, *to.mutable_parts());
  to.set_compares_versions(prepare.compares_versions);
}

void ToProto(const txn::Decide& decide, v1::DecideCommand& to) {
  ToProto(decide.id, *to.mutable_id());
  to.set_outcome(FromOutcome(decide.outcome));
  to.set_prepared(decide.prepared);
  to.mutable_slots()->Add(decide.slots.begin(), decide.slots.end());
  AddParts(decide.parts, *to.mutable_parts());
  to.set_compares_versions(decide.compares_versions);
}

void ToProto(const txn::Resolve& resolve, v1::ResolveCommand& to) {
  ToProto(resolve.id, *to.mutable_id());
  to.set_outcome(FromOutcome(resolve.outcome));
  to.set_commit(resolve.commit);
  to.mutable_slots()->Add(resolve.slots.begin(), resolve.slots.end());
}

void ToProto(const txn::Settle& settle, v1::SettleCommand& to) {
  for (const txn::TxnId& id : settle.ids) ToProto(id, *to.add_ids());
}

void StageRow(const txn::PutRow& put, storage::Batch& batch) {
  batch.Put(storage::Family::kState, RowKeyBytes(txn::KeyOf(put.row)),
            std::visit(RowBytes{}, put.row));
}

void StageRow(const txn::DeleteRow& deleted, storage::Batch& batch) {
  batch.Delete(storage::Family::kState, RowKeyBytes(deleted.key));
}

absl::StatusOr<std::vector<txn::Row>> ReadTxnRows(storage::Engine& engine, txn::SlotRange range) {
  std::vector<txn::Row> rows;
  Standing standing;
  const auto stored = engine.NewIterator(storage::Family::kState, nullptr);
  for (stored->Seek(kTxnRowPrefix); stored->Valid(); stored->Next()) {
    std::string_view bytes = stored->key();
    if (!bytes.starts_with(kTxnRowPrefix)) break;
    bytes.remove_prefix(kTxnRowPrefix.size());
    const std::optional<txn::RowKey> key = ParseRowKey(bytes);
    if (!key) return Damaged();
    std::optional<txn::Row> row = ParseRow(*key, stored->value());
    if (!row || !LiesIn(range, *key) || !standing.Admit(*row)) return Damaged();
    rows.push_back(*std::move(row));
  }
  BASALT_RETURN_IF_ERROR(stored->status());
  if (!standing.IsWhole()) return Damaged();
  return rows;
}

uint64_t TxnDigest(const txn::ShardState& state) {
  uint64_t digest = HashOf(txn::ForgottenRow{state.forgotten});
  for (const auto& [id_and_slot, prepared] : state.prepared) {
    digest += HashOf(txn::PreparedRow{id_and_slot.first, id_and_slot.second, prepared});
  }
  for (const auto& [id, resolved] : state.resolved)
    digest += HashOf(txn::ResolvedRow{id, resolved});
  for (const auto& [id, record] : state.records) digest += HashOf(txn::RecordRow{id, record});
  return digest;
}

}  // namespace basalt::server
