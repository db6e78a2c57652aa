// Entries of the replicated log, decoded and applied by two replicas in runs of different lengths:
// what one refuses the other refuses, and what they hold is equal.
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"
#include "raft/core/configuration.h"
#include "server/shard/command_entry.h"
#include "server/shard/meta_commands.h"
#include "server/shard/replica_state_machine.h"
#include "server/shard/shard_commands.h"
#include "server/shard/shard_reads.h"
#include "server/shard/txn_codec.h"
#include "server/txn/parts.h"
#include "storage/memory_engine.h"
#include "storage/state_rows.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_message.h"

namespace basalt::server {
namespace {

using fuzz::Fill;
using fuzz::FuzzInput;
using fuzz::KnownBytes;
using fuzz::MakeMessage;

constexpr char kDirectory[] = "/1-1";

class Outcomes final : public ApplyObserver {
 public:
  void OnApplied(raft::GroupId, const raft::Entry&,
                 std::span<const CommandOutcome> outcomes) override {
    all.insert(all.end(), outcomes.begin(), outcomes.end());
  }
  std::vector<CommandOutcome> all;
};

class Maps final : public ClusterMapObserver {
 public:
  void OnClusterMap(std::shared_ptr<const v1::ClusterMap> map) override {
    last = map->SerializeAsString();
  }
  std::string last;
};

class Replica {
 public:
  Replica(const v1::ShardDescriptor& descriptor, bool is_meta) : is_meta_(is_meta) {
    const raft::Configuration members = FoundingConfiguration(descriptor);
    BASALT_CHECK(ReplicaStateMachine::Create(ports_, kDirectory, descriptor, members).ok());
    Open();
  }

  // Again from disk; what was not flushed is gone.
  void Reopen() {
    machine_->Flush();
    machine_.reset();
    files_.Kill();
    Open();
  }

  // A checkpoint, as another node would receive it.
  std::string TakeCheckpoint() {
    const auto base = machine_->CreateCheckpoint("/checkpoint");
    BASALT_CHECK(base.ok() && *base == machine_->applied());
    return files_.Contents("/checkpoint/IMAGE");
  }

  absl::Status Install(const std::string& image, const raft::LogBase& base) {
    BASALT_CHECK(files_.CreateDirectory("/incoming").ok());
    auto file = files_.Open("/incoming/IMAGE", storage::FileSystem::OpenMode::kCreate);
    BASALT_CHECK(file.ok() && (*file)->WriteAt(0, image).ok() && (*file)->Sync().ok());
    file->reset();
    return machine_->Install("/incoming", base);
  }

  ReplicaStateMachine& machine() { return *machine_; }
  // As its observer was told last; empty while there is none.
  const std::string& map() const { return maps_.last; }
  const std::vector<CommandOutcome>& outcomes() const { return outcomes_.all; }

  // And what is kept of transactions.
  std::string Stored() {
    const txn::TxnShard* const shard = machine_->txn();
    if (shard != nullptr) shard->CheckInvariants();
    auto scan = StoredScan::Open(machine_->store().engine());
    BASALT_CHECK(scan.ok());
    const raft::LogBase& base = (*scan)->applied().base;
    std::string text = std::to_string(base.index.value()) + " " +
                       std::to_string((*scan)->applied_hash()) + " " +
                       std::to_string(shard == nullptr ? 0 : TxnDigest(shard->state()));
    for (const raft::Member& member : base.configuration.members) {
      text += " " + std::to_string(member.replica.value()) + ":" +
              std::to_string(static_cast<int>(member.role));
    }
    for (;;) {
      const auto rows = (*scan)->Next(1000);
      BASALT_CHECK(rows.ok());
      if (rows->empty()) return text;
      for (const StoredScan::Row& row : *rows) {
        text += "\n" + row.key + "@" + std::to_string(row.stamp) + "=" + row.value;
      }
    }
  }

 private:
  void Open() {
    std::unique_ptr<CommandSet> commands;
    if (is_meta_) {
      commands = std::make_unique<MetaCommands>(&maps_);
    } else {
      commands = std::make_unique<ShardCommands>(ShardCommandsOptions{.check_every_key = true});
    }
    auto opened = ReplicaStateMachine::Open(ports_, kDirectory, std::move(commands), &outcomes_);
    BASALT_CHECK_MSG(opened.ok(), base::Message(opened.status()));
    machine_ = *std::move(opened);
  }

  const bool is_meta_;
  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  const storage::ReplicaStore::Ports ports_{files_, engines_};
  Outcomes outcomes_;
  Maps maps_;
  std::unique_ptr<ReplicaStateMachine> machine_;
};

// Commands whose nested bytes are mostly what they ought to be.
void FillMetaCommand(FuzzInput& input, v1::Command& command) {
  if (input.Flag()) {
    auto map = MakeMessage<v1::ClusterMap>(input);
    for (uint64_t id = input.Below(3); id > 0; --id) map.add_nodes()->set_node_id(id);
    command.mutable_form_cluster()->set_map(map.SerializeAsString());
  } else {
    auto node = MakeMessage<v1::NodeDescriptor>(input);
    node.set_node_id(input.Below(3));
    command.mutable_set_node()->set_node(node.SerializeAsString());
  }
}

// Of a later release; in the operation itself, or beside it.
void AddUnknownField(bool in_operation, v1::Command& command) {
  google::protobuf::Message* message = &command;
  if (in_operation && command.has_put()) message = command.mutable_put();
  if (in_operation && command.has_delete_()) message = command.mutable_delete_();
  if (in_operation && command.has_compare_and_set()) message = command.mutable_compare_and_set();
  if (in_operation && command.has_increment()) message = command.mutable_increment();
  if (in_operation && command.has_fence()) message = command.mutable_fence();
  if (in_operation && command.has_forget_sessions()) message = command.mutable_forget_sessions();
  if (in_operation && command.has_advance_horizon()) message = command.mutable_advance_horizon();
  if (in_operation && command.has_raise_ceiling()) message = command.mutable_raise_ceiling();
  if (in_operation && command.has_set_version_retention()) {
    message = command.mutable_set_version_retention();
  }
  message->GetReflection()->MutableUnknownFields(message)->AddVarint(1999, 1);
}

// Few clients and numbers, so that they come again.
void FillId(FuzzInput& input, v1::CommandId& id) {
  if (input.OneIn(16)) return Fill(input, id);
  id.set_client_low(input.Below(3));
  id.set_sequence(1 + input.Below(4));
  id.set_lowest_open(1 + input.Below(4));
  id.set_issued(input.Number());
}

void FillCondition(FuzzInput& input, v1::Condition& condition) {
  switch (input.Below(4)) {
    case 0:
      condition.set_value(input.Text(5));
      break;
    case 1:
      condition.set_absent(input.Flag());
      break;
    case 2:
      condition.set_version(input.Number());
      break;
    default:
      break;  // none that this release knows
  }
}

void FillKeyCommand(FuzzInput& input, const std::string& key, v1::Command& command) {
  switch (input.Below(7)) {
    case 6:
      command.mutable_fence()->set_slot(base::SlotOf(key));
      break;
    case 0:
      command.mutable_compare_and_set()->set_key(key);
      command.mutable_compare_and_set()->set_value(input.Text(5));
      FillCondition(input, *command.mutable_compare_and_set()->mutable_condition());
      break;
    case 1:
      command.mutable_increment()->set_key(key);
      command.mutable_increment()->set_by(static_cast<int64_t>(input.U64()));
      break;
    case 2:
    case 3:
      command.mutable_delete_()->set_key(key);
      break;
    default:
      command.mutable_put()->set_key(key);
      command.mutable_put()->set_value(input.Flag() ? std::to_string(input.Below(100))
                                                    : input.Text(5));
  }
}

// Few of them, so that commands meet each other.
txn::TxnId MakeTxnId(FuzzInput& input, const std::string& key) {
  txn::TxnId id;
  id.anchor = base::SlotOf(key);
  id.issued = input.Below(8);
  id.number = 1 + input.Below(3);
  return id;
}

// Mostly one that a coordinator would propose; what was prepared elsewhere: see KeepPromises.
txn::Decide MakeDecide(FuzzInput& input, const txn::TxnId& id, std::vector<txn::Part> parts) {
  txn::Decide decide{id, txn::Outcome::kAborted, 0, {}, {}, true};
  std::set<txn::Slot> slots{id.anchor};
  for (const txn::Part& part : parts) slots.insert(part.slot);
  if (input.Flag()) slots.insert(static_cast<txn::Slot>(input.Below(base::kSlotCount)));
  if (input.OneIn(16)) slots.erase(slots.begin());
  if (!input.OneIn(4)) {
    decide.outcome = txn::Outcome::kCommitted;
  } else if (!input.OneIn(8)) {
    if (input.Flag()) decide.slots.assign(slots.begin(), slots.end());
    return decide;
  }
  decide.slots.assign(slots.begin(), slots.end());
  decide.prepared = input.Flag() ? input.Number() : 0;
  decide.compares_versions = input.Flag();
  if (!input.OneIn(16)) decide.parts = std::move(parts);
  return decide;
}

// Mostly of what was decided before it.
txn::Settle MakeSettle(FuzzInput& input, const txn::TxnId& decided) {
  txn::Settle settle;
  if (!input.OneIn(16)) settle.ids.push_back(decided);
  for (uint64_t left = input.Below(3); left > 0; --left) {
    txn::TxnId id = decided;
    id.issued = input.Below(8);
    id.number = input.OneIn(16) ? 0 : 1 + input.Below(3);
    settle.ids.push_back(id);
  }
  return settle;
}

// Commits are filled in by what leaders promise: see KeepPromises.
void FillTxnCommand(FuzzInput& input, const std::string& key, v1::CommandBatch& batch,
                    v1::Command& command) {
  const txn::TxnId id = MakeTxnId(input, key);
  const txn::Outcome outcome = input.Flag() ? txn::Outcome::kCommitted : txn::Outcome::kAborted;
  std::vector<txn::Read> reads;
  if (input.Flag()) reads.push_back({key, input.Number()});
  std::vector<txn::Write> writes{{key + (input.Flag() ? "a" : ""), input.Text(3)}};
  if (input.OneIn(4)) writes[0].value.reset();
  switch (input.Below(6)) {
    case 0: {
      v1::PrepareCommand parts;
      ToProto(txn::Prepare{id, {}, txn::PartsOf(reads, writes), true}, parts);
      for (v1::TxnPart& part : *parts.mutable_parts()) {
        command.mutable_one_shard()->mutable_reads()->MergeFrom(part.reads());
        command.mutable_one_shard()->mutable_writes()->MergeFrom(part.writes());
      }
      break;
    }
    case 1:
    case 2:
      ToProto(txn::Prepare{id, AgeOfFirstAttempt(id), txn::PartsOf(reads, writes), input.Flag()},
              *command.mutable_prepare());
      break;
    case 3:
      ToProto(MakeDecide(input, id, txn::PartsOf(reads, writes)), *command.mutable_decide());
      if (input.Flag()) ToProto(MakeSettle(input, id), *batch.add_commands()->mutable_settle());
      break;
    case 4:
      ToProto(txn::Resolve{id, outcome, 0, {id.anchor}}, *command.mutable_resolve());
      break;
    default:
      command.mutable_forget_transactions()->set_through(input.Number());
      command.mutable_forget_transactions()->set_kept_max(input.Below(3));
  }
}

// What a leader sees to, and apply CHECKs: what is told of a commit is at or above all that was
// prepared before.
bool Promised(const v1::CommandBatch& batch, uint64_t stamp_before) {
  for (int i = 0; i < batch.commands_size(); ++i) {
    const v1::Command& command = batch.commands(i);
    const uint64_t before =
        i == 0 ? stamp_before : batch.first_stamp() + static_cast<uint64_t>(i) - 1;
    const uint64_t commit = command.resolve().commit();
    if (commit != 0 && commit < before) return false;
  }
  return true;
}

void KeepPromises(v1::CommandBatch& batch) {
  uint64_t below = batch.first_stamp() - 1;
  for (v1::Command& command : *batch.mutable_commands()) {
    if (command.decide().prepared() > below) command.mutable_decide()->set_prepared(below);
    if (command.resolve().outcome() == v1::TXN_OUTCOME_COMMITTED) {
      command.mutable_resolve()->set_commit(below);
    }
    ++below;
  }
}

v1::CommandBatch MakeBatch(FuzzInput& input, bool is_meta) {
  v1::CommandBatch batch;
  if (input.OneIn(4)) return MakeMessage<v1::CommandBatch>(input);
  for (uint64_t left = input.Below(5); left > 0; --left) {
    v1::Command& command = *batch.add_commands();
    const size_t key_bytes = 1 + input.Below(2);
    const std::string key(key_bytes, static_cast<char>('a' + input.Below(4)));
    if (is_meta && input.Flag()) {
      FillMetaCommand(input, command);
    } else if (input.OneIn(8)) {
      command.mutable_advance_horizon()->set_horizon(input.Number());
    } else if (input.OneIn(8)) {
      command.mutable_forget_sessions()->set_through(input.Number());
      command.mutable_forget_sessions()->set_bytes_max(input.Below(2) * 2000);
    } else if (input.OneIn(16)) {
      command.mutable_raise_ceiling()->set_ceiling(input.Number());
    } else if (input.OneIn(16)) {
      command.mutable_set_version_retention()->set_retention_ms(500 * input.Below(8));
    } else if (!is_meta && input.OneIn(2)) {
      FillTxnCommand(input, key, batch, command);
      continue;
    } else {
      FillKeyCommand(input, key, command);
    }
    if (input.Flag()) FillId(input, *command.mutable_id());
    if (input.OneIn(32)) AddUnknownField(input.Flag(), command);
  }
  batch.set_first_stamp(input.OneIn(16) ? input.U64() : input.Number());
  return batch;
}

// Mostly of a configuration.
std::string MakeConfigurationBytes(FuzzInput& input) {
  raft::Configuration configuration;
  for (uint64_t replica = 1; replica <= 1 + input.Below(4); ++replica) {
    configuration.members.push_back({raft::ReplicaId(replica), raft::NodeId(1 + input.Below(9)),
                                     static_cast<raft::MemberRole>(1 + input.Below(5))});
  }
  if (!raft::IsWellFormed(configuration)) return input.Text(20);
  return input.OneIn(8) ? input.Damaged(raft::EncodeConfiguration(configuration))
                        : raft::EncodeConfiguration(configuration);
}

raft::Entry MakeEntry(FuzzInput& input, uint64_t index, bool is_meta, uint64_t& stamp) {
  raft::Entry entry{raft::LogIndex(index), raft::Term(1), raft::EntryKind::kCommands, nullptr};
  if (input.OneIn(8)) {
    entry.kind = static_cast<raft::EntryKind>(input.Below(5));
    if (entry.kind == raft::EntryKind::kNoOp) return entry;
    if (entry.kind == raft::EntryKind::kConfiguration) {
      entry.payload = raft::MakePayload(MakeConfigurationBytes(input));
      return entry;
    }
  }
  v1::CommandBatch batch = MakeBatch(input, is_meta);
  // Stamps rise along the log: a leader's promise, which apply checks.
  if (batch.first_stamp() <= stamp && stamp < std::numeric_limits<uint64_t>::max()) {
    batch.set_first_stamp(stamp + 1);
  }
  KeepPromises(batch);
  std::string bytes = batch.SerializeAsString();
  if (input.OneIn(8)) bytes = input.Damaged(std::move(bytes));
  entry.payload = raft::MakePayload(std::move(bytes));
  return entry;
}

// Whether this release may apply the entry; if so, moves `stamp` past it.
bool TryDecode(const raft::Entry& entry, uint64_t& stamp) {
  v1::CommandBatch batch;
  const absl::Status status = DecodeEntry(entry, batch);
  if (!status.ok()) {
    BASALT_CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
    return false;
  }
  if (entry.kind != raft::EntryKind::kCommands) {
    BASALT_CHECK(batch.commands_size() == 0);
    return true;
  }
  BASALT_CHECK(KnownBytes(batch) == batch.SerializeAsString());
  const uint64_t last = LastStamp(batch);
  BASALT_CHECK(last >= batch.first_stamp());
  for (const v1::Command& command : batch.commands()) {
    BASALT_CHECK(command.operation_case() != v1::Command::OPERATION_NOT_SET);
  }
  v1::CommandBatch again;
  raft::Entry copy = entry;
  copy.payload = raft::MakePayload(batch.SerializeAsString());
  BASALT_CHECK(DecodeEntry(copy, again).ok());
  BASALT_CHECK(again.SerializeAsString() == batch.SerializeAsString());
  // Damage may have made a batch whose stamp does not rise: no leader proposes it.
  if (batch.first_stamp() <= stamp || !Promised(batch, stamp)) return false;
  stamp = last;
  return true;
}

// Something else than `base`, as a header may say it.
raft::LogBase Misstated(FuzzInput& input, raft::LogBase base) {
  std::vector<raft::Member>& members = base.configuration.members;
  switch (input.Below(3)) {
    case 0:
      ++base.index;
      break;
    case 1:
      base.term = raft::Term(base.term.value() + 1);
      break;
    default:
      members.push_back({raft::ReplicaId(1000), raft::NodeId(1000), raft::MemberRole::kLearner});
  }
  return base;
}

// One of the rows that a replica reads when it is opened.
void SpoilRow(FuzzInput& input, Replica& replica) {
  const std::shared_ptr<storage::Engine> engine = replica.machine().store().engine();
  std::vector<std::string> keys{std::string(storage::kMapRow), std::string(storage::kAppliedRow),
                                std::string(storage::kDescriptorRow), storage::HashRowKey(0),
                                std::string(storage::kForgottenRow)};
  const auto rows = engine->NewIterator(storage::Family::kState, nullptr);
  rows->Seek(kTxnRowPrefix);
  if (rows->Valid() && rows->key().starts_with(kTxnRowPrefix)) keys.emplace_back(rows->key());
  rows->Seek(storage::kSessionRowPrefix);
  if (rows->Valid() && rows->key().starts_with(storage::kSessionRowPrefix)) {
    keys.emplace_back(rows->key());
  }
  const std::string& key = keys[input.Below(keys.size())];
  const auto row = engine->Get(storage::Family::kState, key);
  BASALT_CHECK(row.ok());
  storage::Batch batch;
  batch.Put(storage::Family::kState, key, input.Damaged(row->value_or("")));
  engine->Write(batch);
}

// A replica that starts from a checkpoint holds what the one holds that made it. One of another
// shard, one that is not what its sender says and one that is damaged are refused, and the replica
// keeps its own. What it took it can open again.
void TryCheckpoint(FuzzInput& input, Replica& from, v1::ShardDescriptor descriptor, bool is_meta) {
  const std::string theirs = from.Stored();
  const raft::LogBase base = from.machine().applied();
  raft::LogBase said = base;
  bool spoiled = false;
  switch (input.Below(6)) {
    case 0:
      descriptor.set_shard_id(descriptor.shard_id() + 1);
      break;
    case 1:
      said = Misstated(input, base);
      break;
    case 2:
    case 3:
      spoiled = true;
      SpoilRow(input, from);
      break;
    default:
      break;
  }
  const bool fits = descriptor.shard_id() == from.machine().descriptor().shard_id() && said == base;
  std::string image = from.TakeCheckpoint();
  if (input.OneIn(8)) {
    const std::string good = image;
    image = input.Damaged(std::move(image));
    spoiled = spoiled || image != good;
  }
  Replica to(descriptor, is_meta);
  const std::string before = to.Stored();
  const bool installed = to.Install(image, said).ok();
  BASALT_CHECK(installed ? fits : (spoiled || !fits));
  const std::string after = to.Stored();
  if (!installed) BASALT_CHECK(after == before);
  if (!spoiled) BASALT_CHECK(after == (installed ? theirs : before));
  to.Reopen();
  BASALT_CHECK(to.Stored() == after);
  if (installed) BASALT_CHECK(to.machine().applied() == said);
}

void Fuzz(FuzzInput& input) {
  const bool is_meta = input.OneIn(3);
  v1::ShardDescriptor descriptor;
  descriptor.set_shard_id(is_meta ? 0 : 1);
  *descriptor.add_replicas() = MakeMessage<v1::Replica>(input);
  if (!is_meta) {
    descriptor.set_first_slot(input.Flag() ? 0 : 8192);
    descriptor.set_slot_count(input.Flag() ? 16384 : 8192);
  }
  Replica one(descriptor, is_meta);
  Replica other(descriptor, is_meta);
  std::vector<raft::Entry> run;
  uint64_t stamp = 0;
  for (uint64_t index = 1; index < 12 && !input.empty(); ++index) {
    raft::Entry entry = MakeEntry(input, index, is_meta, stamp);
    uint64_t after = stamp;
    if (!TryDecode(entry, after)) {
      v1::CommandBatch batch;
      if (DecodeEntry(entry, batch).ok()) break;
      // Skipping it would let replicas drift apart: the machine stops before it, for good.
      const std::string before = one.Stored();
      BASALT_CHECK(!one.machine().Apply(std::span(&entry, 1)).ok());
      BASALT_CHECK(!one.machine().Apply({}).ok());
      BASALT_CHECK(one.Stored() == before);
      break;
    }
    stamp = after;
    BASALT_CHECK(one.machine().Apply(std::span(&entry, 1)).ok());
    BASALT_CHECK(one.machine().highest_stamp() == stamp);
    run.push_back(std::move(entry));
  }
  BASALT_CHECK(other.machine().Apply(run).ok());
  BASALT_CHECK(one.outcomes() == other.outcomes());
  BASALT_CHECK(one.map() == other.map());
  BASALT_CHECK(one.Stored() == other.Stored());
  other.Reopen();
  BASALT_CHECK(one.Stored() == other.Stored());
  BASALT_CHECK(other.machine().flushed() == other.machine().applied().index);
  TryCheckpoint(input, other, descriptor, is_meta);
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
