#include "server/shard/shard_commands.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"

namespace basalt::server {

using storage::VersionKind;
using Verdict = CommandOutcome::Verdict;

namespace {

// Whether what a command does depends on what there is.
bool Looks(const v1::Command& command) {
  return command.has_delete_() || command.has_compare_and_set() || command.has_increment();
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
  BASALT_ASSIGN_OR_RETURN(const storage::AppliedRow applied, storage::ReadAppliedRow(engine));
  if (applied.highest_stamp > versions_.horizon) ++versions_.bytes;  // there may be some
  return absl::OkStatus();
}

absl::Status ShardCommands::CheckLoad(storage::Engine& engine) const {
  BASALT_RETURN_IF_ERROR(storage::ReadHorizon(engine).status());
  return ReadDescriptor(engine).status();
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
}

absl::StatusOr<CommandOutcome> ShardCommands::Apply(const v1::Command& command, uint64_t stamp,
                                                    storage::Engine& engine, storage::Batch& batch,
                                                    storage::AppliedHash& hash) {
  switch (command.operation_case()) {
    case v1::Command::kPut:
      return Put(command.put(), stamp, engine, batch, hash);
    case v1::Command::kDelete:
      return Delete(command.delete_(), stamp, engine, batch, hash);
    case v1::Command::kCompareAndSet:
      return CompareAndSet(command.compare_and_set(), stamp, engine, batch, hash);
    case v1::Command::kIncrement:
      return Increment(command.increment(), stamp, engine, batch, hash);
    case v1::Command::kAdvanceHorizon:
      return AdvanceHorizon(command.advance_horizon().horizon(), stamp, batch);
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

CommandOutcome ShardCommands::AdvanceHorizon(uint64_t horizon, uint64_t stamp,
                                             storage::Batch& batch) {
  // One at or above its own stamp would let go what is newest for who reads next to it.
  if (horizon <= versions_.horizon || horizon >= stamp) return CommandOutcome{Verdict::kNoEffect};
  versions_.horizon = horizon;
  batch.Put(storage::Family::kState, storage::kHorizonRow, storage::EncodeHorizonRow(horizon));
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
