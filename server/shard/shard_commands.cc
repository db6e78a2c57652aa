#include "server/shard/shard_commands.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"
#include "server/shard/txn_codec.h"

namespace basalt::server {

using storage::VersionKind;
using Verdict = CommandOutcome::Verdict;

namespace {

// Whether what a command does depends on what there is.
bool Looks(const v1::Command& command) {
  switch (command.operation_case()) {
    case v1::Command::kDelete:
    case v1::Command::kCompareAndSet:
    case v1::Command::kIncrement:
    case v1::Command::kOneShard:
    case v1::Command::kPrepare:
    case v1::Command::kDecide:
      return true;
    default:
      return false;
  }
}

// All of `text` and nothing else, as std::to_string writes it or with leading zeros.
std::optional<int64_t> ToNumber(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

absl::Status ShardCommands::Load(storage::Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const v1::ShardDescriptor descriptor, ReadDescriptor(engine));
  first_slot_ = descriptor.first_slot();
  slot_count_ = descriptor.slot_count();
  BASALT_ASSIGN_OR_RETURN(versions_.horizon, storage::ReadHorizon(engine));
  BASALT_ASSIGN_OR_RETURN(versions_.retention_ms, storage::ReadRetention(engine));
  BASALT_ASSIGN_OR_RETURN(const storage::AppliedRow applied, storage::ReadAppliedRow(engine));
  if (applied.highest_stamp > versions_.horizon) ++versions_.bytes;  // there may be some
  BASALT_ASSIGN_OR_RETURN(std::vector<txn::Row> rows,
                          ReadTxnRows(engine, {first_slot_, slot_count_}));
  locks_->BeginReplacement();
  published_.clear();
  locks_->Clear();
  for (const txn::Row& row : rows) {
    if (const auto* prepared = std::get_if<txn::PreparedRow>(&row)) Publish(*prepared);
  }
  txn_ = txn::TxnShard({first_slot_, slot_count_}, std::move(rows));
  locks_->EndReplacement();
  return absl::OkStatus();
}

absl::Status ShardCommands::CheckLoad(storage::Engine& engine) const {
  BASALT_RETURN_IF_ERROR(storage::ReadHorizon(engine).status());
  BASALT_RETURN_IF_ERROR(storage::ReadRetention(engine).status());
  BASALT_ASSIGN_OR_RETURN(const v1::ShardDescriptor descriptor, ReadDescriptor(engine));
  return ReadTxnRows(engine, {descriptor.first_slot(), descriptor.slot_count()}).status();
}

void ShardCommands::BeginRun(std::span<const v1::CommandBatch* const> batches) {
  EndRun();
  remembers_ = std::any_of(batches.begin(), batches.end(), [](const v1::CommandBatch* batch) {
    return std::any_of(batch->commands().begin(), batch->commands().end(), Looks);
  });
}

void ShardCommands::EndRun() {
  written_.clear();
  made_.clear();
  for (const std::string& key : unlocked_) {
    // It may have been locked anew by the same run.
    if (!txn_.BlockerOfRead(key)) locks_->Remove(key);
  }
  std::move(unlocked_.begin(), unlocked_.end(), std::back_inserter(readable_));
  unlocked_.clear();
}

absl::StatusOr<CommandOutcome> ShardCommands::Apply(const v1::Command& command, uint64_t stamp,
                                                    storage::Engine& engine, storage::Batch& batch,
                                                    storage::AppliedHash& hash) {
  const Work work{stamp, engine, batch, hash};
  switch (command.operation_case()) {
    case v1::Command::kOneShard:
      return RunOneShard(command.one_shard(), work);
    case v1::Command::kPrepare:
      return RunTransaction(command.prepare(), work);
    case v1::Command::kDecide:
      return RunTransaction(command.decide(), work);
    case v1::Command::kResolve:
      return RunTransaction(command.resolve(), work);
    case v1::Command::kSettle:
      txn_.Apply(ToValue(command.settle()), stamp);
      StageTransactions(work);
      return CommandOutcome{Verdict::kApplied, stamp};
    case v1::Command::kForgetTransactions:
      txn_.Apply(ToValue(command.forget_transactions()), stamp);
      StageTransactions(work);
      return CommandOutcome{Verdict::kApplied, stamp};
    case v1::Command::kPut:
      return Put(command.put(), stamp, engine, batch, hash);
    case v1::Command::kDelete:
      return Delete(command.delete_(), stamp, engine, batch, hash);
    case v1::Command::kCompareAndSet:
      return CompareAndSet(command.compare_and_set(), stamp, engine, batch, hash);
    case v1::Command::kIncrement:
      return Increment(command.increment(), stamp, engine, batch, hash);
    case v1::Command::kFence:  // that it leaves a result is all that it does
      if (!Owns(command.fence().slot())) return CommandOutcome{Verdict::kWrongShard};
      return CommandOutcome{.verdict = Verdict::kFenced, .version = stamp};
    case v1::Command::kAdvanceHorizon:
      return AdvanceHorizon(command.advance_horizon().horizon(), stamp, batch);
    case v1::Command::kSetVersionRetention:
      return SetRetention(command.set_version_retention().retention_ms(), stamp, batch);
    case v1::Command::kFormCluster:
    case v1::Command::kSetNode:
      return CommandOutcome{Verdict::kWrongShard};  // the meta shard's
    case v1::Command::kRaiseCeiling:
    case v1::Command::kForgetSessions:  // the state machine's own
    case v1::Command::OPERATION_NOT_SET:
      break;  // refused when the entry was decoded
  }
  base::CheckFailed("known operation", __FILE__, __LINE__);
}

absl::StatusOr<CommandOutcome> ShardCommands::Put(const v1::PutCommand& put, uint64_t stamp,
                                                  storage::Engine& engine, storage::Batch& batch,
                                                  storage::AppliedHash& hash) {
  const uint32_t slot = base::SlotOf(put.key());
  if (!Owns(slot)) return CommandOutcome{Verdict::kWrongShard};
  if (IsLocked(put.key())) return CommandOutcome{Verdict::kLocked};
  if (options_.check_every_key) {
    BASALT_RETURN_IF_ERROR(HasValue(put.key(), stamp, engine).status());
  }
  Stage(slot, put.key(), stamp, VersionKind::kValue, put.value(), batch, hash);
  return CommandOutcome{Verdict::kApplied, stamp};
}

absl::StatusOr<CommandOutcome> ShardCommands::Delete(const v1::DeleteCommand& command,
                                                     uint64_t stamp, storage::Engine& engine,
                                                     storage::Batch& batch,
                                                     storage::AppliedHash& hash) {
  const uint32_t slot = base::SlotOf(command.key());
  if (!Owns(slot)) return CommandOutcome{Verdict::kWrongShard};
  if (IsLocked(command.key())) return CommandOutcome{Verdict::kLocked};
  BASALT_ASSIGN_OR_RETURN(const bool existed, HasValue(command.key(), stamp, engine));
  Stage(slot, command.key(), stamp, VersionKind::kTombstone, {}, batch, hash);
  return CommandOutcome{.verdict = Verdict::kApplied, .version = stamp, .existed = existed};
}

absl::StatusOr<CommandOutcome> ShardCommands::CompareAndSet(const v1::CompareAndSetCommand& command,
                                                            uint64_t stamp, storage::Engine& engine,
                                                            storage::Batch& batch,
                                                            storage::AppliedHash& hash) {
  const uint32_t slot = base::SlotOf(command.key());
  if (!Owns(slot)) return CommandOutcome{Verdict::kWrongShard};
  if (IsLocked(command.key())) return CommandOutcome{Verdict::kLocked};
  BASALT_ASSIGN_OR_RETURN(const std::optional<Newest> newest,
                          NewestOf(command.key(), stamp, engine));
  const uint64_t version = newest ? newest->stamp : 0;
  const v1::Condition& condition = command.condition();
  bool holds = false;
  switch (condition.what_case()) {
    case v1::Condition::kValue:
      holds = newest && newest->value == condition.value();
      break;
    case v1::Condition::kAbsent:
      holds = newest.has_value() != condition.absent();
      break;
    case v1::Condition::kVersion:
      holds = version == condition.version();
      break;
    case v1::Condition::WHAT_NOT_SET:
      break;
  }
  if (!holds) return CommandOutcome{.verdict = Verdict::kConditionFailed, .version = version};
  Stage(slot, command.key(), stamp, VersionKind::kValue, command.value(), batch, hash);
  return CommandOutcome{.verdict = Verdict::kApplied, .version = stamp};
}

absl::StatusOr<CommandOutcome> ShardCommands::Increment(const v1::IncrementCommand& command,
                                                        uint64_t stamp, storage::Engine& engine,
                                                        storage::Batch& batch,
                                                        storage::AppliedHash& hash) {
  const uint32_t slot = base::SlotOf(command.key());
  if (!Owns(slot)) return CommandOutcome{Verdict::kWrongShard};
  if (IsLocked(command.key())) return CommandOutcome{Verdict::kLocked};
  BASALT_ASSIGN_OR_RETURN(const std::optional<Newest> newest,
                          NewestOf(command.key(), stamp, engine));
  const std::optional<int64_t> number = newest ? ToNumber(newest->value) : 0;
  int64_t sum = 0;
  if (!number || __builtin_add_overflow(*number, command.by(), &sum)) {
    return CommandOutcome{.verdict = Verdict::kNotANumber, .version = newest ? newest->stamp : 0};
  }
  const std::string& value = made_.emplace_back(std::to_string(sum));
  Stage(slot, command.key(), stamp, VersionKind::kValue, value, batch, hash);
  return CommandOutcome{.verdict = Verdict::kApplied, .version = stamp, .number = sum};
}

void ShardCommands::Stage(uint32_t slot, std::string_view key, uint64_t stamp, VersionKind kind,
                          std::string_view value, storage::Batch& batch,
                          storage::AppliedHash& hash) {
  const std::string_view row = storage::StageVersion(batch, key, stamp, kind, value);
  versions_.bytes += row.size();
  hash.Add(slot, row);
  if (remembers_) written_.insert_or_assign(key, Written{stamp, kind, value});
}

// What the machines of transactions ask of the versions, as of the command that runs.
class ShardCommands::Versions final : public txn::VersionStore {
 public:
  Versions(ShardCommands& commands, storage::Engine& engine)
      : commands_(commands), engine_(engine) {}

  txn::Newest NewestOf(const std::string& key) override {
    absl::StatusOr<txn::Newest> newest = commands_.NewestWithDeletes(key, engine_);
    if (newest.ok()) return *std::move(newest);
    status_.Update(newest.status());
    return {};
  }
  txn::Stamp VersionOf(const std::string& key) override {
    const absl::StatusOr<txn::Stamp> version = commands_.NewestStamp(key, engine_);
    if (version.ok()) return *version;
    status_.Update(version.status());
    return 0;
  }

  // Not OK: something that was asked for is damaged, and what was answered means nothing.
  const absl::Status& status() const { return status_; }

 private:
  ShardCommands& commands_;
  storage::Engine& engine_;
  absl::Status status_;
};

// A delete at or below the horizon counts as nothing at all: whether it is stored yet, or was
// written by this very run of entries, differs from replica to replica and must decide nothing.
absl::StatusOr<txn::Newest> ShardCommands::NewestWithDeletes(const std::string& key,
                                                             storage::Engine& engine) {
  const auto deleted_at = [this](txn::Stamp stamp) {
    return stamp <= versions_.horizon ? txn::Newest{} : txn::Newest{stamp, std::nullopt};
  };
  if (const auto place = written_.find(key); place != written_.end()) {
    const Written& written = place->second;
    if (written.kind == VersionKind::kTombstone) return deleted_at(written.stamp);
    return txn::Newest{written.stamp, std::string(written.value)};
  }
  BASALT_ASSIGN_OR_RETURN(std::optional<storage::Version> version,
                          storage::ReadNewestVersion(engine, key));
  if (!version) return txn::Newest{};
  if (version->kind == VersionKind::kValue) {
    return txn::Newest{version->stamp, std::move(version->value)};
  }
  return deleted_at(version->stamp);
}

absl::StatusOr<txn::Stamp> ShardCommands::NewestStamp(const std::string& key,
                                                      storage::Engine& engine) {
  storage::VersionHead newest;
  if (const auto place = written_.find(key); place != written_.end()) {
    newest = {place->second.stamp, place->second.kind};
  } else {
    BASALT_ASSIGN_OR_RETURN(const std::optional<storage::VersionHead> stored,
                            storage::ReadNewestHead(engine, key));
    if (stored) newest = *stored;
  }
  const bool is_gone = newest.kind == VersionKind::kTombstone && newest.stamp <= versions_.horizon;
  return is_gone ? 0 : newest.stamp;
}

absl::StatusOr<CommandOutcome> ShardCommands::RunOneShard(const v1::OneShardCommand& command,
                                                          Work work) {
  using Answer = txn::OneShardAnswer;
  Versions versions(*this, work.engine);
  Answer answer = txn_.Apply(ToValue(command), work.stamp, versions);
  BASALT_RETURN_IF_ERROR(versions.status());
  StageTransactions(work);
  CommandOutcome outcome;
  switch (answer.verdict) {
    case Answer::Verdict::kApplied:
      return CommandOutcome{.verdict = Verdict::kApplied, .version = work.stamp};
    case Answer::Verdict::kNotOwner:
      return CommandOutcome{.verdict = Verdict::kWrongShard};
    case Answer::Verdict::kChanged:
      return CommandOutcome{.verdict = Verdict::kConditionFailed};
    case Answer::Verdict::kLocked:
      outcome.verdict = Verdict::kLocked;
      outcome.txn = std::make_shared<const TxnAnswer>(TxnAnswer{{}, std::move(answer)});
      return outcome;
  }
  return outcome;
}

template <typename Command>
absl::StatusOr<CommandOutcome> ShardCommands::RunTransaction(const Command& command, Work work) {
  Versions versions(*this, work.engine);
  CommandOutcome outcome{.verdict = Verdict::kTransaction, .version = work.stamp};
  const auto value = ToValue(command);
  if constexpr (std::is_same_v<Command, v1::ResolveCommand>) {
    outcome.txn =
        std::make_shared<const TxnAnswer>(TxnAnswer{value.id, txn_.Apply(value, work.stamp)});
  } else {
    outcome.txn = std::make_shared<const TxnAnswer>(
        TxnAnswer{value.id, txn_.Apply(value, work.stamp, versions)});
  }
  BASALT_RETURN_IF_ERROR(versions.status());
  StageTransactions(work);
  return outcome;
}

absl::StatusOr<bool> ShardCommands::Validate(const std::vector<txn::Read>& reads, uint64_t clock,
                                             storage::Engine& engine) {
  Versions versions(*this, engine);
  const txn::ValidateAnswer answer = txn_.Validate(reads, clock, versions_.horizon, versions);
  BASALT_RETURN_IF_ERROR(versions.status());
  return answer.verdict == txn::ValidateAnswer::Verdict::kValid;
}

void ShardCommands::Publish(const txn::PreparedRow& row) {
  std::vector<std::string> keys;
  for (const txn::HeldKey& held : row.prepared.keys) {
    if (held.mode != txn::LockMode::kExclusive) continue;
    locks_->Add(held.key);
    keys.push_back(held.key);
  }
  if (!keys.empty()) published_.emplace(std::pair(row.id, row.slot), std::move(keys));
}

// Versions that were prepared lie below the stamp of the command that made them: their keys were
// locked since, so that nothing newer was written.
void ShardCommands::StageTransactions(Work work) {
  for (txn::Staged& staged : txn_.TakeStaged()) {
    if (const auto* put = std::get_if<txn::PutRow>(&staged)) {
      StageRow(*put, work.batch);
      if (const auto* prepared = std::get_if<txn::PreparedRow>(&put->row)) Publish(*prepared);
    } else if (const auto* deleted = std::get_if<txn::DeleteRow>(&staged)) {
      StageRow(*deleted, work.batch);
      if (deleted->key.kind == txn::RowKind::kPrepared) {
        auto ended = published_.extract({deleted->key.id, deleted->key.slot});
        if (ended.empty()) continue;
        for (std::string& key : ended.mapped()) unlocked_.push_back(std::move(key));
      }
    } else {
      auto& version = std::get<txn::WriteVersion>(staged);
      const std::string& key = made_.emplace_back(std::move(version.key));
      const bool deletes = !version.value;
      const std::string& value = made_.emplace_back(std::move(version.value).value_or(""));
      Stage(base::SlotOf(key), key, version.stamp,
            deletes ? VersionKind::kTombstone : VersionKind::kValue, value, work.batch, work.hash);
    }
  }
}

CommandOutcome ShardCommands::AdvanceHorizon(uint64_t horizon, uint64_t stamp,
                                             storage::Batch& batch) {
  // One at or above its own stamp would let go what is newest for who reads next to it.
  if (horizon <= versions_.horizon || horizon >= stamp) return CommandOutcome{Verdict::kNoEffect};
  versions_.horizon = horizon;
  batch.Put(storage::Family::kState, storage::kHorizonRow, storage::EncodeHorizonRow(horizon));
  return CommandOutcome{Verdict::kApplied, stamp};
}

// Applied also where nothing changes: whoever asks again is told so.
CommandOutcome ShardCommands::SetRetention(uint64_t retention_ms, uint64_t stamp,
                                           storage::Batch& batch) {
  versions_.retention_ms = retention_ms;
  if (retention_ms == 0) {
    batch.Delete(storage::Family::kState, storage::kRetentionRow);
  } else {
    batch.Put(storage::Family::kState, storage::kRetentionRow,
              storage::EncodeRetentionRow(retention_ms));
  }
  return CommandOutcome{Verdict::kApplied, stamp};
}

bool ShardCommands::Owns(uint32_t slot) const {
  return slot >= first_slot_ && slot - first_slot_ < slot_count_;
}

absl::StatusOr<bool> ShardCommands::HasValue(std::string_view key, uint64_t stamp,
                                             storage::Engine& engine) {
  if (const auto place = written_.find(key); place != written_.end()) {
    return place->second.kind == VersionKind::kValue;
  }
  BASALT_ASSIGN_OR_RETURN(const std::optional<storage::VersionHead> head,
                          storage::ReadNewestHead(engine, key));
  BASALT_CHECK(!head || head->stamp < stamp);
  return head && head->kind == VersionKind::kValue;
}

absl::StatusOr<std::optional<ShardCommands::Newest>> ShardCommands::NewestOf(
    std::string_view key, uint64_t stamp, storage::Engine& engine) {
  if (const auto place = written_.find(key); place != written_.end()) {
    const Written& written = place->second;
    if (written.kind != VersionKind::kValue) return std::nullopt;
    return Newest{written.stamp, std::string(written.value)};
  }
  BASALT_ASSIGN_OR_RETURN(std::optional<storage::Version> version,
                          storage::ReadNewestVersion(engine, key));
  BASALT_CHECK(!version || version->stamp < stamp);
  if (!version || version->kind != VersionKind::kValue) return std::nullopt;
  return Newest{version->stamp, std::move(version->value)};
}

}  // namespace basalt::server
