#include "server/shard/replica_state_machine.h"

#include <fmt/format.h>
#include <google/protobuf/arena.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "raft/core/configuration.h"
#include "server/shard/command_entry.h"
#include "server/shard/command_mark.h"
#include "storage/state_rows.h"

namespace basalt::server {

using storage::Family;

namespace {

// On disk: kinds of a SessionResult, the verdict above.
constexpr uint8_t kExisted = 1;
constexpr uint8_t kConditionFailed = 2;
constexpr uint8_t kNotANumber = 4;
constexpr uint8_t kFenced = 8;

// Whether the command ran, so that a retry must give the same.
bool Ran(const CommandOutcome& outcome) {
  using Verdict = CommandOutcome::Verdict;
  return outcome.verdict == Verdict::kApplied || outcome.verdict == Verdict::kConditionFailed ||
         outcome.verdict == Verdict::kNotANumber || outcome.verdict == Verdict::kFenced;
}

OutcomeTotals OutcomesOf(const txn::TxnShard* shard) {
  if (shard == nullptr) return {};
  const txn::ShardState& state = shard->state();
  const uint64_t oldest = state.ages.empty() ? 0 : std::get<0>(*state.ages.begin());
  return {state.ages.size(), oldest, state.forgotten};
}

storage::CommandKey KeyOf(const v1::CommandId& id) {
  return {{id.client_high(), id.client_low()}, id.sequence(), id.lowest_open(), id.issued()};
}

storage::SessionResult ResultOf(const CommandOutcome& outcome, uint32_t mark) {
  uint8_t kinds = outcome.existed ? kExisted : 0;
  if (outcome.verdict == CommandOutcome::Verdict::kConditionFailed) kinds |= kConditionFailed;
  if (outcome.verdict == CommandOutcome::Verdict::kNotANumber) kinds |= kNotANumber;
  if (outcome.verdict == CommandOutcome::Verdict::kFenced) kinds |= kFenced;
  return {.version = outcome.version,
          .number = static_cast<uint64_t>(outcome.number),
          .mark = mark,
          .kinds = kinds};
}

// 0: not told. What a fence left is every command's.
bool IsAnother(const storage::SessionResult& first, uint32_t mark) {
  return first.mark != 0 && mark != 0 && first.mark != mark;
}

CommandOutcome OutcomeOf(const storage::SessionResult& result) {
  using Verdict = CommandOutcome::Verdict;
  return {.verdict = (result.kinds & kConditionFailed) != 0 ? Verdict::kConditionFailed
                     : (result.kinds & kNotANumber) != 0    ? Verdict::kNotANumber
                     : (result.kinds & kFenced) != 0        ? Verdict::kFenced
                                                            : Verdict::kApplied,
          .version = result.version,
          .existed = (result.kinds & kExisted) != 0,
          .number = static_cast<int64_t>(result.number),
          .repeated = true};
}

}  // namespace

absl::StatusOr<v1::ShardDescriptor> ReadDescriptor(storage::Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          engine.Get(Family::kState, storage::kDescriptorRow));
  v1::ShardDescriptor descriptor;
  if (!bytes) return base::DataLoss("the shard's descriptor is missing");
  if (!descriptor.ParseFromString(*bytes)) {
    return base::DataLoss("the shard's descriptor is damaged");
  }
  return descriptor;
}

raft::Configuration FoundingConfiguration(const v1::ShardDescriptor& descriptor) {
  raft::Configuration configuration;
  std::vector<raft::Member>& members = configuration.members;
  for (const v1::Replica& replica : descriptor.replicas()) {
    members.push_back({raft::ReplicaId(replica.replica_id()), raft::NodeId(replica.node_id()),
                       raft::MemberRole::kVoter});
  }
  std::sort(members.begin(), members.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.replica < b.replica; });
  return configuration;
}

absl::Status ReplicaStateMachine::Create(const storage::ReplicaStore::Ports& ports,
                                         const std::string& directory,
                                         const v1::ShardDescriptor& descriptor,
                                         const raft::Configuration& configuration) {
  storage::AppliedRow applied;
  applied.base.configuration = configuration;
  storage::Batch rows;
  rows.Put(Family::kState, storage::kDescriptorRow, descriptor.SerializeAsString());
  return storage::ReplicaStore::Create(ports, directory, applied, std::move(rows));
}

absl::StatusOr<std::unique_ptr<ReplicaStateMachine>> ReplicaStateMachine::Open(
    const storage::ReplicaStore::Ports& ports, const std::string& directory,
    std::unique_ptr<CommandSet> commands, ApplyObserver* observer) {
  BASALT_ASSIGN_OR_RETURN(auto store, storage::ReplicaStore::Open(ports, directory));
  const auto in_directory = [&](const absl::Status& why) {
    return base::MakeStatus(why.code(), fmt::format("{}: {}", directory, base::Message(why)));
  };
  const absl::StatusOr<v1::ShardDescriptor> descriptor = ReadDescriptor(*store->engine());
  if (!descriptor.ok()) return in_directory(descriptor.status());
  std::unique_ptr<ReplicaStateMachine> machine(new ReplicaStateMachine(
      raft::GroupId(descriptor->shard_id()), std::move(store), std::move(commands), observer));
  if (const absl::Status loaded = machine->Load(); !loaded.ok()) return in_directory(loaded);
  return machine;
}

absl::Status ReplicaStateMachine::Load() {
  const std::shared_ptr<storage::Engine> engine = store_->engine();
  BASALT_ASSIGN_OR_RETURN(descriptor_, ReadDescriptor(*engine));
  BASALT_CHECK(descriptor_.shard_id() == group_.value());  // what is installed is checked for it
  BASALT_RETURN_IF_ERROR(hash_.Load(*engine->NewIterator(Family::kState, nullptr)));
  BASALT_RETURN_IF_ERROR(sessions_.Load(*engine));
  BASALT_ASSIGN_OR_RETURN(ceiling_, storage::ReadCeiling(*engine));
  return commands_->Load(*engine);
}

absl::Status ReplicaStateMachine::Stop(const absl::Status& why) {
  stopped_ = base::MakeStatus(
      why.code(), fmt::format("shard {} stops: {}", group_.value(), base::Message(why)));
  return stopped_;
}

absl::Status ReplicaStateMachine::Apply(std::span<const raft::Entry> entries) {
  if (!stopped_.ok()) return stopped_;
  google::protobuf::Arena arena;
  std::vector<const v1::CommandBatch*> batches;
  batches.reserve(entries.size());
  absl::Status decoded;
  for (const raft::Entry& entry : entries) {
    auto* batch = google::protobuf::Arena::CreateMessage<v1::CommandBatch>(&arena);
    decoded = DecodeEntry(entry, *batch);
    if (!decoded.ok()) break;
    batches.push_back(batch);
  }
  if (!batches.empty()) {
    const absl::Status applied = ApplyRun(entries.first(batches.size()), batches);
    if (!applied.ok()) return Stop(applied);
  }
  return decoded.ok() ? decoded : Stop(decoded);
}

absl::Status ReplicaStateMachine::ApplyRun(std::span<const raft::Entry> entries,
                                           std::span<const v1::CommandBatch* const> batches) {
  const std::shared_ptr<storage::Engine> engine = store_->engine();
  storage::AppliedRow applied = store_->applied();
  batch_.Clear();
  outcomes_.clear();
  commands_->BeginRun(batches);
  for (size_t i = 0; i < entries.size(); ++i) {
    const raft::Entry& entry = entries[i];
    const v1::CommandBatch& commands = *batches[i];
    BASALT_CHECK_MSG(entry.index == applied.base.index + 1,
                     fmt::format("shard {}: entry {} behind {}", group_.value(),
                                 entry.index.value(), applied.base.index.value()));
    BASALT_CHECK(entry.term >= applied.base.term);
    applied.base.index = entry.index;
    applied.base.term = entry.term;
    if (entry.kind == raft::EntryKind::kConfiguration) {
      applied.base.configuration = *raft::ConfigurationOf(entry);
    }
    if (entry.kind != raft::EntryKind::kCommands) continue;
    CheckStamps(entry, commands.first_stamp(), applied.highest_stamp);
    uint64_t stamp = commands.first_stamp();
    for (const v1::Command& command : commands.commands()) {
      auto outcome = Run(command, stamp++, entry.term, *engine);
      if (!outcome.ok()) {
        return base::MakeStatus(outcome.status().code(),
                                fmt::format("entry {} of term {}: {}", entry.index.value(),
                                            entry.term.value(), base::Message(outcome.status())));
      }
      outcomes_.push_back(*outcome);
    }
    applied.highest_stamp = LastStamp(commands);
    sessions_.EndEntry(entry.index.value(), batch_);
  }
  hash_.StageChanged(batch_);
  store_->Commit(batch_, std::move(applied));
  commands_->EndRun();
  if (observer_ == nullptr) return absl::OkStatus();
  std::span<const CommandOutcome> rest(outcomes_);
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto count = static_cast<size_t>(batches[i]->commands_size());
    observer_->OnApplied(group_, entries[i], rest.first(count));
    rest = rest.subspan(count);
  }
  return absl::OkStatus();
}

void ReplicaStateMachine::CheckStamps(const raft::Entry& entry, uint64_t first_stamp,
                                      uint64_t highest_stamp) const {
  BASALT_CHECK_MSG(first_stamp > highest_stamp,
                   fmt::format("shard {}, entry {}: stamp {} after {}", group_.value(),
                               entry.index.value(), first_stamp, highest_stamp));
  // Else reads that were answered by the ceiling have missed it.
  BASALT_CHECK_MSG(
      entry.term <= ceiling_.term || first_stamp > ceiling_.ceiling,
      fmt::format("shard {}, entry {} of term {}: stamp {} under the ceiling {} of term {}",
                  group_.value(), entry.index.value(), entry.term.value(), first_stamp,
                  ceiling_.ceiling, ceiling_.term.value()));
}

absl::StatusOr<CommandOutcome> ReplicaStateMachine::Run(const v1::Command& command, uint64_t stamp,
                                                        raft::Term term, storage::Engine& engine) {
  using SessionVerdict = storage::SessionTable::Verdict;
  if (!command.has_id()) return RunAnew(command, stamp, term, engine);
  const storage::CommandKey key = KeyOf(command.id());
  const storage::SessionTable::Judged judged = sessions_.Judge(key);
  switch (judged.verdict) {
    case SessionVerdict::kRuns:
      break;
    case SessionVerdict::kRepeated:
      if (IsAnother(judged.result, MarkOf(command))) {
        return CommandOutcome{.verdict = CommandOutcome::Verdict::kAnotherRan};
      }
      return OutcomeOf(judged.result);
    case SessionVerdict::kTooMany:
      return CommandOutcome{.verdict = CommandOutcome::Verdict::kTooManyOpen};
    case SessionVerdict::kGivenUp:
    case SessionVerdict::kForgotten:
      return CommandOutcome{.verdict = CommandOutcome::Verdict::kForgotten};
  }
  absl::StatusOr<CommandOutcome> outcome = RunAnew(command, stamp, term, engine);
  if (outcome.ok() && Ran(*outcome)) {
    sessions_.Record(key, stamp, ResultOf(*outcome, MarkOf(command)));
  }
  return outcome;
}

absl::StatusOr<CommandOutcome> ReplicaStateMachine::RunAnew(const v1::Command& command,
                                                            uint64_t stamp, raft::Term term,
                                                            storage::Engine& engine) {
  if (command.has_raise_ceiling()) {
    return RaiseCeiling(command.raise_ceiling().ceiling(), stamp, term);
  }
  if (!command.has_forget_sessions()) {
    return commands_->Apply(command, stamp, engine, batch_, hash_);
  }
  const v1::ForgetSessionsCommand& forget = command.forget_sessions();
  const uint64_t bytes_max =
      forget.bytes_max() == 0 ? std::numeric_limits<uint64_t>::max() : forget.bytes_max();
  const size_t dropped = sessions_.Forget(forget.through(), bytes_max, batch_);
  return CommandOutcome{.verdict = dropped > 0 ? CommandOutcome::Verdict::kApplied
                                               : CommandOutcome::Verdict::kNoEffect,
                        .version = stamp};
}

CommandOutcome ReplicaStateMachine::RaiseCeiling(uint64_t ceiling, uint64_t stamp,
                                                 raft::Term term) {
  if (ceiling <= ceiling_.ceiling) return CommandOutcome{CommandOutcome::Verdict::kNoEffect};
  ceiling_ = {ceiling, term};
  batch_.Put(Family::kState, storage::kCeilingRow, storage::EncodeCeilingRow(ceiling_));
  return CommandOutcome{CommandOutcome::Verdict::kApplied, stamp};
}

StateTotals ReplicaStateMachine::totals() const {
  return {highest_stamp(),
          versions(),
          {sessions_.bytes(), sessions_.oldest(), sessions_.forgotten()},
          ceiling_.ceiling,
          OutcomesOf(txn())};
}

absl::StatusOr<raft::LogBase> ReplicaStateMachine::CreateCheckpoint(const std::string& directory) {
  if (!stopped_.ok()) return stopped_;
  return store_->CreateCheckpoint(directory);
}

absl::Status ReplicaStateMachine::CheckCheckpoint(storage::Engine& engine,
                                                  const raft::LogBase& base) const {
  BASALT_ASSIGN_OR_RETURN(const v1::ShardDescriptor theirs, ReadDescriptor(engine));
  if (theirs.shard_id() != descriptor_.shard_id()) {
    return base::FailedPrecondition(fmt::format("a checkpoint of shard {} for shard {}",
                                                theirs.shard_id(), descriptor_.shard_id()));
  }
  BASALT_ASSIGN_OR_RETURN(const storage::AppliedRow row, storage::ReadAppliedRow(engine));
  if (row.base != base) {
    return base::InvalidArgument(fmt::format(
        "a checkpoint of entry {}, term {}, {} members, sent as one of entry {}, term {}, {} "
        "members",
        row.base.index.value(), row.base.term.value(), row.base.configuration.members.size(),
        base.index.value(), base.term.value(), base.configuration.members.size()));
  }
  storage::AppliedHash hash;
  BASALT_RETURN_IF_ERROR(hash.Load(*engine.NewIterator(Family::kState, nullptr)));
  storage::SessionTable sessions;
  BASALT_RETURN_IF_ERROR(sessions.Load(engine));
  BASALT_RETURN_IF_ERROR(storage::ReadCeiling(engine).status());
  return commands_->CheckLoad(engine);
}

absl::Status ReplicaStateMachine::Install(const std::string& directory, const raft::LogBase& base) {
  commands_->BeginReplacement();
  absl::Status installed = store_->Install(
      directory, [&](storage::Engine& engine) { return CheckCheckpoint(engine, base); });
  if (!installed.ok()) {
    commands_->EndReplacement();
    return installed;
  }
  // It could be read a moment ago.
  if (const absl::Status loaded = Load(); !loaded.ok()) base::DiskFailed(base::Message(loaded));
  return absl::OkStatus();
}

}  // namespace basalt::server
