#include "server/node/replica_set.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/shard/shard_commands.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/stopping_file_system.h"

namespace basalt::server {
namespace {

using raft::GroupId;
using raft::NodeId;
using raft::ReplicaId;

constexpr GroupId kGroup(1);

v1::ShardDescriptor Shard(uint64_t shard_id, const std::vector<uint64_t>& replicas) {
  v1::ShardDescriptor shard;
  shard.set_shard_id(shard_id);
  shard.set_epoch(1);
  shard.set_slot_count(16384);
  for (size_t i = 0; i < replicas.size(); ++i) {
    v1::Replica& replica = *shard.add_replicas();
    replica.set_replica_id(replicas[i]);
    replica.set_node_id(i + 1);
  }
  return shard;
}

// Shard 1 has replicas 11, 12, 13 on nodes 1, 2, 3; shard 2 has none on node 1.
v1::ClusterMap Layout() {
  v1::ClusterMap layout;
  *layout.add_shards() = Shard(1, {11, 12, 13});
  *layout.add_shards() = Shard(2, {});
  return layout;
}

// Node 1's disk, and a process on it.
class ReplicaSetTest : public ::testing::Test {
 protected:
  struct Process {
    std::unique_ptr<storage::MemoryEngineFactory> engines;
    std::unique_ptr<ReplicaSet> set;
    std::unique_ptr<storage::RaftLog> log;
    std::vector<OpenedReplica> replicas;
  };

  ReplicaSetTest() { EXPECT_TRUE(disk_->CreateDirectory("/shards").ok()); }

  absl::StatusOr<Process> Begin(storage::FileSystem& files) {
    Process process;
    process.engines = std::make_unique<storage::MemoryEngineFactory>(
        files, storage::MemoryEngineOptions{.flush_every_bytes = 1u << 20});
    process.set = std::make_unique<ReplicaSet>(
        NodeId(1), "/shards", "/log",
        ReplicaSet::Ports{files, *process.engines, [](uint64_t) {
                            return std::make_unique<ShardCommands>(ShardCommandsOptions{});
                          }});
    storage::RaftLogOptions options;
    options.identity_for_new_log = 7;
    options.segment_bytes = 64u << 10;
    BASALT_ASSIGN_OR_RETURN(process.log, storage::RaftLog::Open(files, "/log", options));
    BASALT_RETURN_IF_ERROR(process.set->Found(*process.log, Layout()));
    BASALT_ASSIGN_OR_RETURN(process.replicas, process.set->OpenAll(*process.log, Layout()));
    return process;
  }
  Process MustBegin() {
    auto process = Begin(*disk_);
    EXPECT_TRUE(process.ok()) << process.status();
    return *std::move(process);
  }

  static absl::Status Make(Process& process, GroupId group, ReplicaId replica) {
    BASALT_RETURN_IF_ERROR(ReplicaSet::MayMake(*process.log, group, replica));
    const storage::NewGroup made{group, replica, raft::LogBase{}};
    BASALT_RETURN_IF_ERROR(process.log->CreateGroups({&made, 1}));
    BASALT_ASSIGN_OR_RETURN(
        OpenedReplica opened,
        process.set->Open(*process.log, group,
                          Layout().shards(static_cast<int>(group.value()) - 1)));
    process.replicas.push_back(std::move(opened));
    return absl::OkStatus();
  }
  static absl::Status Remove(Process& process, GroupId group, ReplicaId replica) {
    BASALT_RETURN_IF_ERROR(process.log->DropGroup(group, replica));
    std::erase_if(process.replicas, [&](const OpenedReplica& r) { return r.group == group; });
    return process.set->RemoveFiles(group, replica);
  }
  std::vector<std::string> Folders() {
    auto names = disk_->List("/shards");
    EXPECT_TRUE(names.ok());
    return *names;
  }

  std::unique_ptr<testing::FakeFileSystem> disk_ = std::make_unique<testing::FakeFileSystem>();
};

TEST_F(ReplicaSetTest, FoundsWhatTheLayoutNamesOnce) {
  for (int start = 0; start < 2; ++start) {
    const Process process = MustBegin();
    ASSERT_EQ(process.replicas.size(), 1u);
    const OpenedReplica& replica = process.replicas[0];
    EXPECT_EQ(replica.group, kGroup);
    EXPECT_EQ(replica.self, ReplicaId(11));
    EXPECT_EQ(replica.recovered.base.configuration.members.size(), 3u);
    EXPECT_EQ(replica.machine->applied().configuration.members.size(), 3u);
    EXPECT_TRUE(replica.founds);
  }
}

TEST_F(ReplicaSetTest, AReplicaMadeLaterIsEmptyAndOutlivesARestart) {
  {
    Process process = MustBegin();
    ASSERT_TRUE(Make(process, GroupId(2), ReplicaId(25)).ok());
  }
  const Process process = MustBegin();
  ASSERT_EQ(process.replicas.size(), 2u);
  const OpenedReplica& made = process.replicas[1];
  EXPECT_EQ(made.self, ReplicaId(25));
  EXPECT_TRUE(made.recovered.base.configuration.members.empty());
  EXPECT_TRUE(made.machine->applied().configuration.members.empty());
  EXPECT_FALSE(made.founds);
}

TEST_F(ReplicaSetTest, ARemovedReplicaNeverComesBack) {
  {
    Process process = MustBegin();
    ASSERT_TRUE(Remove(process, kGroup, ReplicaId(11)).ok());
    EXPECT_TRUE(Folders().empty());
    EXPECT_FALSE(ReplicaSet::MayMake(*process.log, kGroup, ReplicaId(11)).ok());
    EXPECT_FALSE(ReplicaSet::MayMake(*process.log, kGroup, ReplicaId(10)).ok());
  }
  // Though the layout names it.
  Process process = MustBegin();
  EXPECT_TRUE(process.replicas.empty());
  EXPECT_FALSE(ReplicaSet::MayMake(*process.log, kGroup, ReplicaId(11)).ok());
  ASSERT_TRUE(Make(process, kGroup, ReplicaId(14)).ok());
  // One replica of a group a node.
  EXPECT_FALSE(ReplicaSet::MayMake(*process.log, kGroup, ReplicaId(15)).ok());
}

TEST_F(ReplicaSetTest, AStoreThatTheLogDoesNotKnowIsLossOfVotes) {
  { MustBegin(); }
  ASSERT_TRUE(disk_->RemoveTree("/log").ok());
  const absl::Status status = Begin(*disk_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

// One that no layout names, too: it would be made again under its id, over what it had voted for.
TEST_F(ReplicaSetTest, AStoreOfALaterReplicaThatTheLogDoesNotKnowIsLossOfVotes) {
  {
    Process process = MustBegin();
    ASSERT_TRUE(Remove(process, kGroup, ReplicaId(11)).ok());
    ASSERT_TRUE(Make(process, GroupId(2), ReplicaId(25)).ok());
  }
  ASSERT_TRUE(disk_->RemoveTree("/log").ok());
  const absl::Status status = Begin(*disk_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

TEST_F(ReplicaSetTest, ALogOfAnotherLayoutIsRefused) {
  Process process;
  {
    process = MustBegin();
    ASSERT_TRUE(process.log->DropGroup(kGroup, ReplicaId(1)).ok());  // any tombstone below
  }
  v1::ClusterMap other = Layout();
  other.mutable_shards(0)->mutable_replicas(0)->set_replica_id(31);
  process.replicas.clear();
  const absl::Status status = process.set->OpenAll(*process.log, other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

// Stops at every operation of `change`, and then looks at what a kill and a power cut leave.
template <typename Change, typename Judge>
void AtEveryStep(testing::FakeFileSystem& disk, Change change, Judge judge) {
  bool finished = false;
  for (uint64_t step = 1; !finished; ++step) {
    ASSERT_LT(step, 200u);
    for (const bool power : {false, true}) {
      std::unique_ptr<testing::FakeFileSystem> copy = disk.Clone();
      testing::StoppingFileSystem stopping(*copy);
      finished = false;
      try {
        change(stopping, [&] { copy->StopAfter(step); });
        finished = true;
      } catch (const testing::Stopped&) {
      }
      power ? copy->CutPower() : copy->Kill();
      judge(*copy, finished);
    }
  }
}

TEST_F(ReplicaSetTest, DeathAtAnyStepOfMakingLeavesAllOrNothing) {
  { MustBegin(); }
  int there = 0;
  int absent = 0;
  AtEveryStep(
      *disk_,
      [&](storage::FileSystem& files, const std::function<void()>& stop_soon) {
        auto process = Begin(files);
        EXPECT_TRUE(process.ok()) << process.status();
        stop_soon();
        EXPECT_TRUE(Make(*process, GroupId(2), ReplicaId(25)).ok());
      },
      [&](testing::FakeFileSystem& files, bool finished) {
        auto process = Begin(files);
        ASSERT_TRUE(process.ok()) << process.status();
        const bool made = process->replicas.size() == 2;
        ASSERT_TRUE(made || !finished);
        ++(made ? there : absent);
        // An interrupted attempt can be made again under the same id, or stands.
        if (!made) {
          EXPECT_TRUE(Make(*process, GroupId(2), ReplicaId(25)).ok());
        }
      });
  EXPECT_GT(there, 1);
  EXPECT_GT(absent, 0);
}

TEST_F(ReplicaSetTest, DeathAtAnyStepOfRemovingLeavesAllOrNothing) {
  { MustBegin(); }
  int there = 0;
  int absent = 0;
  AtEveryStep(
      *disk_,
      [&](storage::FileSystem& files, const std::function<void()>& stop_soon) {
        auto process = Begin(files);
        EXPECT_TRUE(process.ok()) << process.status();
        stop_soon();
        EXPECT_TRUE(Remove(*process, kGroup, ReplicaId(11)).ok());
      },
      [&](testing::FakeFileSystem& files, bool finished) {
        auto process = Begin(files);
        ASSERT_TRUE(process.ok()) << process.status();
        const bool lives = process->replicas.size() == 1;
        ASSERT_TRUE(!lives || !finished);
        ++(lives ? there : absent);
        const auto names = files.List("/shards");
        ASSERT_TRUE(names.ok());
        EXPECT_EQ(names->size(), lives ? 1u : 0u);
      });
  EXPECT_GT(there, 0);
  EXPECT_GT(absent, 0);
}

}  // namespace
}  // namespace basalt::server
