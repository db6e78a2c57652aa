#include "server/shard/shard_commands.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"

namespace basalt::server {

using storage::VersionKind;
using Verdict = CommandOutcome::Verdict;

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
  written_.clear();
  remembers_ = std::any_of(batches.begin(), batches.end(), [](const v1::CommandBatch* batch) {
    return std::any_of(batch->commands().begin(), batch->commands().end(),
                       [](const v1::Command& command) { return command.has_delete_(); });
  });
}

absl::StatusOr<CommandOutcome> ShardCommands::Apply(const v1::Command& command, uint64_t stamp,
                                                    storage::Engine& engine, storage::Batch& batch,
                                                    storage::AppliedHash& hash) {
  switch (command.operation_case()) {
    case v1::Command::kPut:
      return Put(command.put(), stamp, engine, batch, hash);
    case v1::Command::kDelete:
      return Delete(command.delete_(), stamp, engine, batch, hash);
    case v1::Command::kAdvanceHorizon:
      return AdvanceHorizon(command.advance_horizon().horizon(), stamp, batch);
    case v1::Command::kFormCluster:
    case v1::Command::kSetNode:
      return CommandOutcome{Verdict::kWrongShard};  // the meta shard's
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
  const std::string_view row =
      storage::StageVersion(batch, put.key(), stamp, VersionKind::kValue, put.value());
  versions_.bytes += row.size();
  hash.Add(slot, row);
  Note(put.key(), VersionKind::kValue);
  return CommandOutcome{Verdict::kApplied, stamp};
}

absl::StatusOr<CommandOutcome> ShardCommands::Delete(const v1::DeleteCommand& command,
                                                     uint64_t stamp, storage::Engine& engine,
                                                     storage::Batch& batch,
                                                     storage::AppliedHash& hash) {
  const uint32_t slot = base::SlotOf(command.key());
  if (!Owns(slot)) return CommandOutcome{Verdict::kWrongShard};
  BASALT_ASSIGN_OR_RETURN(const bool existed, HasValue(command.key(), stamp, engine));
  const std::string_view row =
      storage::StageVersion(batch, command.key(), stamp, VersionKind::kTombstone, {});
  versions_.bytes += row.size();
  hash.Add(slot, row);
  Note(command.key(), VersionKind::kTombstone);
  return CommandOutcome{Verdict::kApplied, stamp, existed};
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
    return place->second == VersionKind::kValue;
  }
  BASALT_ASSIGN_OR_RETURN(const std::optional<storage::VersionHead> head,
                          storage::ReadNewestHead(engine, key));
  BASALT_CHECK(!head || head->stamp < stamp);
  return head && head->kind == VersionKind::kValue;
}

void ShardCommands::Note(std::string_view key, VersionKind kind) {
  if (remembers_) written_.insert_or_assign(key, kind);
}

}  // namespace basalt::server
