// A replica's contents in RocksDB: puts that are applied and answered, gets that are read there.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"
#include "server/node/apply_loop.h"
#include "server/node/cluster_view.h"
#include "server/node/lease_reads.h"
#include "server/rpc/dispatch.h"
#include "server/shard/replica_state_machine.h"
#include "server/shard/shard_commands.h"
#include "server/shard/shard_reads.h"
#include "storage/memory_engine.h"
#include "storage/posix_file_system.h"
#include "storage/rocksdb_engine.h"
#include "tests/bench/stage.h"
#include "tests/bench/workpiece.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"

namespace basalt::bench {
namespace {

constexpr uint64_t kShard = 1;
constexpr uint32_t kSlots = base::kSlotCount / 2;  // as in testing::MakeMap
constexpr size_t kKeys = 2048;

v1::ShardDescriptor Descriptor() {
  v1::ClusterMap map;
  for (uint64_t id = 1; id <= 3; ++id) *map.add_nodes() = testing::MakeNode(id);
  testing::AddShard(map, kShard, 0, kSlots);
  return map.shards(0);
}

std::shared_ptr<server::ReplicaStateMachine> MakeMachine(const storage::ReplicaStore::Ports& ports,
                                                         const std::string& directory) {
  const v1::ShardDescriptor descriptor = Descriptor();
  CheckOk(server::ReplicaStateMachine::Create(ports, directory, descriptor,
                                              server::FoundingConfiguration(descriptor)));
  auto machine = server::ReplicaStateMachine::Open(
      ports, directory, std::make_unique<server::ShardCommands>(server::ShardCommandsOptions{}),
      nullptr);
  CheckOk(machine.status());
  return *std::move(machine);
}

storage::RocksDbSizes WithHotRows(size_t bytes) {
  storage::RocksDbSizes sizes;
  sizes.hot_rows_bytes = bytes;
  return sizes;
}

// A replica that holds a value under each of kKeys keys. What it reads it finds in RocksDB.
class Replica {
 public:
  explicit Replica(const std::string& directory, size_t hot_rows_bytes = 0)
      : files_(storage::NewPosixFileSystem()),
        resources_(WithHotRows(hot_rows_bytes)),
        machine_(MakeMachine({*files_, engines_}, directory + "/shard")) {
    for (size_t first = 0; first < kKeys; first += kBatch) {
      Apply(NextEntry({keys_.begin() + static_cast<ptrdiff_t>(first),
                       keys_.begin() + static_cast<ptrdiff_t>(first + kBatch)}));
    }
  }

  raft::Entry NextEntry(const std::vector<std::string>& keys) {
    ++index_;
    return {raft::LogIndex(index_), raft::Term(1), raft::EntryKind::kCommands,
            raft::MakePayload(MakeCommands(random_, keys, (uint64_t{1} << 40) + index_ * kBatch))};
  }
  raft::Entry NextEntry() { return NextEntry(Draw(random_, keys_)); }
  void Apply(const raft::Entry& entry) { CheckOk(machine_->Apply(std::span(&entry, 1))); }

  // Into a file of which all blocks are cached.
  void Settle() {
    machine_->Flush();
    const server::ShardReads reads(machine_->store().engine());
    for (const std::string& key : keys_) BASALT_CHECK(reads.Get(key).value().has_value());
  }

  const std::vector<std::string>& keys() const { return keys_; }
  base::Random& random() { return random_; }
  const std::shared_ptr<server::ReplicaStateMachine>& machine() const { return machine_; }

 private:
  base::Random random_{31};
  const std::vector<std::string> keys_ = MakeKeys(random_, kKeys, kSlots);
  uint64_t index_ = 0;
  const std::unique_ptr<storage::FileSystem> files_;
  const storage::RocksDbResources resources_;
  storage::RocksDbEngineFactory engines_{resources_};
  const std::shared_ptr<server::ReplicaStateMachine> machine_;
};

class ApplyPut final : public Stage {
 public:
  explicit ApplyPut(const std::string& directory) : replica_(directory) {}
  void Prepare() override { entry_ = replica_.NextEntry(); }
  void Run() override { replica_.Apply(entry_); }

 private:
  Replica replica_;
  raft::Entry entry_;
};

// What follows when a buffer is full: its rows, in the order of their keys, enter the memtable.
class DrainPut final : public Stage {
 public:
  explicit DrainPut(const std::string& directory) : replica_(directory) {}
  void Prepare() override {
    for (size_t entry = 0; entry < kEntries; ++entry) replica_.Apply(replica_.NextEntry());
  }
  void Run() override {
    // Who wants the order of all keys waits for the drain.
    BASALT_CHECK(replica_.machine()->store().engine()->TakeSnapshot() != nullptr);
  }
  size_t operations() const override { return kEntries * kBatch; }

 private:
  static constexpr size_t kEntries = 128;

  Replica replica_;
};

class EngineGet : public Stage {
 public:
  explicit EngineGet(const std::string& directory, size_t hot_rows_bytes = 0)
      : replica_(directory, hot_rows_bytes) {
    replica_.Settle();
  }
  void Prepare() override { wanted_ = Draw(replica_.random(), replica_.keys()); }
  void Run() override {
    const server::ShardReads reads(replica_.machine()->store().engine());
    for (const std::string& key : wanted_) BASALT_CHECK(reads.Get(key).value().has_value());
  }

 private:
  Replica replica_;
  std::vector<std::string> wanted_;
};

class HotGet final : public EngineGet {
 public:
  explicit HotGet(const std::string& directory) : EngineGet(directory, size_t{32} << 20) {}
};

class Inbox final : public server::GroupInbox {
 public:
  void Put(server::GroupEvent event) override { last_ = std::move(event); }

 private:
  std::optional<server::GroupEvent> last_;
};

class LastReplies final : public server::ReplySink {
 public:
  void Deliver(std::vector<v1::Response> responses) override { last = std::move(responses); }
  std::vector<v1::Response> last;
};

// A message of gets, answered under a lease in the thread that decoded it.
class DispatchGet final : public Stage {
 public:
  explicit DispatchGet(const std::string& directory) : replica_(directory) {
    replica_.Settle();
    view_.Set(testing::MakeMap());
    const raft::GroupId group(kShard);
    lease_reads_.Add(group, replica_.machine());
    const server::MonotonicTime end = clock_.now + std::chrono::seconds(1);
    lease_reads_.Publish(group, raft::LeaseGrant{raft::Time(static_cast<uint64_t>(end.count())),
                                                 replica_.machine()->applied().index});
  }
  void Prepare() override {
    replies_->last.clear();
    gets_ = MakeGets(replica_.random(), replica_.keys());
  }
  void Run() override {
    dispatch_.Handle(replies_, std::move(gets_));
    BASALT_CHECK(replies_->last.size() == kBatch);
  }

 private:
  Replica replica_;
  server::ClusterView view_;
  Inbox inbox_;
  server::RequestBudget budget_{100u << 20};
  testing::FakeClock clock_;
  server::LeaseReads lease_reads_;
  server::Dispatch dispatch_{{}, {view_, inbox_, budget_, clock_, lease_reads_}};
  const std::shared_ptr<LastReplies> replies_ = std::make_shared<LastReplies>();
  std::vector<v1::Request> gets_;
};

// What becomes of an entry's puts, from its being proposed to their answers on their stream; the
// contents apart.
class AnswerPut final : public Stage {
 public:
  AnswerPut() { loop_.AddReplica(*machine_); }
  void Prepare() override {
    entry_.index = raft::LogIndex(entry_.index.value() + 1);
    entry_.term = raft::Term(1);
    proposed_ = {raft::GroupId(kShard), entry_.index, entry_.term, {}};
    outcomes_.clear();
    for (size_t i = 0; i < kBatch; ++i) {
      server::PendingWrite write;
      write.sink = replies_;
      write.request_id = i;
      write.deadline = clock_.now + std::chrono::seconds(5);
      write.arrived = clock_.now;
      proposed_.writes.push_back(std::move(write));
      outcomes_.push_back({server::CommandOutcome::Verdict::kApplied, 1000 + i, false});
    }
    replies_->last.clear();
  }
  void Run() override {
    loop_.Handle(std::move(proposed_));
    loop_.OnApplied(raft::GroupId(kShard), entry_, outcomes_);
    loop_.FinishRound();
    BASALT_CHECK(replies_->last.size() == kBatch);
  }

 private:
  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  const std::shared_ptr<server::ReplicaStateMachine> machine_ =
      MakeMachine({files_, engines_}, "/shard");
  Inbox inbox_;
  testing::FakeClock clock_;
  server::ApplyLoop loop_{{inbox_, clock_, [](uint64_t) { return v1::LeaderHint(); },
                           [](const absl::Status& status) { CheckOk(status); }}};
  const std::shared_ptr<LastReplies> replies_ = std::make_shared<LastReplies>();
  raft::Entry entry_;
  server::WritesProposed proposed_;
  std::vector<server::CommandOutcome> outcomes_;
};

}  // namespace

std::vector<StageKind> ShardStages() {
  return {
      {"apply_put", MakeStage<ApplyPut>},   {"drain_put", MakeStage<DrainPut>},
      {"answer_put", MakeStage<AnswerPut>}, {"engine_get", MakeStage<EngineGet>},
      {"hot_get", MakeStage<HotGet>},       {"dispatch_get", MakeStage<DispatchGet>},
  };
}

}  // namespace basalt::bench
