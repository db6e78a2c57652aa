// The replicated ceiling of a shard: what raises it, whom it binds, and that it is kept.
#include <gtest/gtest.h>

#include <string>

#include "server/shard/command_entry.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using testing::ApplyOne;
using testing::Descriptor;
using testing::EngineBench;
using testing::EngineKind;
using testing::EntryBuilder;
using testing::NotedOutcomes;
using testing::OpenShard;

raft::Entry InTerm(uint64_t term, raft::Entry entry) {
  entry.term = raft::Term(term);
  return entry;
}

raft::Entry Raise(uint64_t index, uint64_t stamp, uint64_t ceiling, uint64_t term = 1) {
  EntryBuilder entry(index, stamp);
  entry.batch().add_commands()->mutable_raise_ceiling()->set_ceiling(ceiling);
  return InTerm(term, entry.Build());
}

class Ceiling : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override { Make("r"); }
  void Make(const std::string& name) {
    machine_.reset();
    ASSERT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path(name), Descriptor(7),
                                            FoundingConfiguration(Descriptor(7)))
                    .ok());
    Open(name);
  }
  void Open(const std::string& name) {
    machine_.reset();
    machine_ = OpenShard(ports_, bench_.Path(name), &noted_);
    ASSERT_NE(machine_, nullptr);
  }
  absl::Status Apply(const raft::Entry& entry) { return ApplyOne(*machine_, entry); }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  std::unique_ptr<ReplicaStateMachine> machine_;
};

TEST_P(Ceiling, OnlyRises) {
  EXPECT_EQ(machine_->totals().ceiling, 0u);
  ASSERT_TRUE(Apply(Raise(1, 10, 500)).ok());
  EXPECT_EQ(machine_->totals().ceiling, 500u);
  ASSERT_TRUE(Apply(Raise(2, 20, 500)).ok());
  ASSERT_TRUE(Apply(Raise(3, 30, 400)).ok());
  EXPECT_EQ(machine_->totals().ceiling, 500u);
  EXPECT_EQ(machine_->totals().highest_stamp, 30u) << "it closes nothing";
  EXPECT_EQ(noted_.Take(), "1: 10\n2: no-effect\n3: no-effect\n");
}

TEST_P(Ceiling, SurvivesARestartAndTravelsInCheckpoints) {
  ASSERT_TRUE(Apply(Raise(1, 10, 500)).ok());
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  machine_->Flush();
  Open("r");
  EXPECT_EQ(machine_->ceiling(), 500u);
  Make("follower");
  EXPECT_EQ(machine_->ceiling(), 0u);
  ASSERT_TRUE(machine_->Install(bench_.Path("staged"), *base).ok());
  EXPECT_EQ(machine_->ceiling(), 500u);
  EXPECT_DEATH(Apply(InTerm(2, EntryBuilder(2, 500).Put("a", "1").Build())).IgnoreError(),
               "under the ceiling 500 of term 1");
}

TEST_P(Ceiling, BindsLaterLeadersAndNotItsOwn) {
  ASSERT_TRUE(Apply(Raise(1, 10, 500)).ok());
  ASSERT_TRUE(Apply(EntryBuilder(2, 20).Put("a", "1").Build()).ok()) << "of the same term";
  const raft::Entry later = InTerm(3, EntryBuilder(3, 501).Put("a", "2").Build());
  EXPECT_DEATH(Apply(InTerm(3, EntryBuilder(3, 500).Put("a", "2").Build())).IgnoreError(),
               "stamp 500 under the ceiling 500 of term 1");
  ASSERT_TRUE(Apply(later).ok());
  ASSERT_TRUE(Apply(Raise(4, 600, 900, 3)).ok());
  ASSERT_TRUE(Apply(InTerm(3, EntryBuilder(5, 700).Put("a", "3").Build())).ok());
}

TEST_P(Ceiling, ADamagedRowIsToldOf) {
  storage::Batch batch;
  batch.Put(storage::Family::kState, storage::kCeilingRow, "short");
  machine_->store().engine()->Write(batch);
  machine_->Flush();
  machine_.reset();
  const auto opened = ReplicaStateMachine::Open(
      ports_, bench_.Path("r"), std::make_unique<ShardCommands>(ShardCommandsOptions{}), nullptr);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(std::string(opened.status().message()).find("the row of the ceiling is damaged"),
            std::string::npos)
      << opened.status();
}

INSTANTIATE_TEST_SUITE_P(Engines, Ceiling,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

TEST(CeilingEntry, OneThatNoClockCouldPassStopsTheReplica) {
  v1::CommandBatch batch;
  EXPECT_TRUE(DecodeEntry(Raise(1, 10, uint64_t{1} << 62), batch).ok());
  EXPECT_FALSE(DecodeEntry(Raise(1, 10, ~uint64_t{0}), batch).ok());
}

}  // namespace
}  // namespace basalt::server
