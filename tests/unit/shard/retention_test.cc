// How long a shard keeps versions: what sets it, and that it is kept. When the horizon rises by it:
// tests/unit/server/version_retention_test.cc.
#include <gtest/gtest.h>

#include <string>

#include "server/shard/command_entry.h"
#include "storage/state_rows.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/hex.h"
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

raft::Entry Set(uint64_t index, uint64_t stamp, uint64_t retention_ms) {
  EntryBuilder entry(index, stamp);
  entry.Add().mutable_set_version_retention()->set_retention_ms(retention_ms);
  return entry.Build();
}

class RetentionRow : public ::testing::TestWithParam<EngineKind> {
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
  uint64_t retention() const { return machine_->totals().versions.retention_ms; }
  std::optional<std::string> Row() {
    return *machine_->store().engine()->Get(storage::Family::kState, storage::kRetentionRow);
  }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  std::unique_ptr<ReplicaStateMachine> machine_;
};

TEST_P(RetentionRow, IsSetRaisedLoweredAndTakenBack) {
  EXPECT_EQ(retention(), 0u);
  ASSERT_TRUE(Apply(Set(1, 10, 60'000)).ok());
  EXPECT_EQ(retention(), 60'000u);
  EXPECT_EQ(testing::ToHex(Row().value()), "000000000000ea60");
  ASSERT_TRUE(Apply(Set(2, 20, 60'000)).ok());
  ASSERT_TRUE(Apply(Set(3, 30, 1'000)).ok());
  EXPECT_EQ(retention(), 1'000u);
  ASSERT_TRUE(Apply(Set(4, 40, 0)).ok());
  EXPECT_EQ(retention(), 0u);
  EXPECT_FALSE(Row().has_value());
  ASSERT_TRUE(Apply(Set(5, 50, 0)).ok());
  EXPECT_EQ(noted_.Take(), "1: 10\n2: 20\n3: 30\n4: 40\n5: 50\n") << "also where it was so already";
}

TEST_P(RetentionRow, OfOneEntryTheLastCounts) {
  EntryBuilder entry(1, 10);
  entry.Add().mutable_set_version_retention()->set_retention_ms(5'000);
  entry.Add().mutable_set_version_retention();
  entry.Add().mutable_set_version_retention()->set_retention_ms(7'000);
  ASSERT_TRUE(Apply(entry.Build()).ok());
  EXPECT_EQ(retention(), 7'000u);
  machine_->Flush();
  Open("r");
  EXPECT_EQ(retention(), 7'000u);
}

TEST_P(RetentionRow, SurvivesARestartAndTravelsInCheckpoints) {
  ASSERT_TRUE(Apply(Set(1, 10, 2'592'000'000)).ok());
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  machine_->Flush();
  Open("r");
  EXPECT_EQ(retention(), 2'592'000'000u);
  Make("follower");
  EXPECT_EQ(retention(), 0u);
  ASSERT_TRUE(machine_->Install(bench_.Path("staged"), *base).ok());
  EXPECT_EQ(retention(), 2'592'000'000u);
  ASSERT_TRUE(Apply(Set(2, 20, 0)).ok());
  machine_->Flush();
  Open("follower");
  EXPECT_EQ(retention(), 0u);
}

// A replica that had its own is given a checkpoint of one that has none.
TEST_P(RetentionRow, ACheckpointWithoutOneTakesItBack) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  Make("follower");
  ASSERT_TRUE(Apply(Set(1, 10, 5'000)).ok());
  ASSERT_TRUE(machine_->Install(bench_.Path("staged"), *base).ok());
  EXPECT_EQ(retention(), 0u);
}

TEST_P(RetentionRow, ADamagedRowIsToldOf) {
  storage::Batch batch;
  batch.Put(storage::Family::kState, storage::kRetentionRow, storage::EncodeRetentionRow(999));
  machine_->store().engine()->Write(batch);
  machine_->Flush();
  machine_.reset();
  const auto opened = ReplicaStateMachine::Open(
      ports_, bench_.Path("r"), std::make_unique<ShardCommands>(ShardCommandsOptions{}), nullptr);
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(std::string(opened.status().message()).find("the row of the retention is damaged"),
            std::string::npos)
      << opened.status();
  EXPECT_FALSE(storage::DecodeRetentionRow("short"));
  EXPECT_FALSE(storage::DecodeRetentionRow(storage::EncodeRetentionRow(0)));
  EXPECT_TRUE(storage::DecodeRetentionRow(storage::EncodeRetentionRow(1'000)));
}

INSTANTIATE_TEST_SUITE_P(Engines, RetentionRow,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

TEST(RetentionEntry, OneOutOfRangeStopsTheReplica) {
  v1::CommandBatch batch;
  for (const uint64_t good : {uint64_t{0}, uint64_t{1'000}, uint64_t{2'592'000'000}}) {
    EXPECT_TRUE(DecodeEntry(Set(1, 10, good), batch).ok()) << good;
  }
  for (const uint64_t bad : {uint64_t{1}, uint64_t{999}, uint64_t{2'592'000'001}, ~uint64_t{0}}) {
    const absl::Status decoded = DecodeEntry(Set(1, 10, bad), batch);
    EXPECT_NE(std::string(decoded.message()).find("a retention out of range"), std::string::npos)
        << bad << ": " << decoded;
  }
}

TEST(RetentionEntry, TheMetaShardHasNone) {
  EngineBench bench(EngineKind::kMemory);
  const storage::ReplicaStore::Ports ports{bench.files(), bench.factory()};
  ASSERT_TRUE(ReplicaStateMachine::Create(ports, bench.Path("meta"), Descriptor(0, 0, 0),
                                          FoundingConfiguration(Descriptor(0, 0, 0)))
                  .ok());
  NotedOutcomes noted;
  auto machine = ReplicaStateMachine::Open(ports, bench.Path("meta"),
                                           std::make_unique<MetaCommands>(nullptr), &noted);
  ASSERT_TRUE(machine.ok());
  ASSERT_TRUE(ApplyOne(**machine, Set(1, 10, 5'000)).ok());
  EXPECT_EQ(noted.Take(), "1: wrong-shard\n");
  EXPECT_EQ((*machine)->totals().versions.retention_ms, 0u);
}

}  // namespace
}  // namespace basalt::server
