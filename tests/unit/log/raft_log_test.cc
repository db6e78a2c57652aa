// RaftLog: what goes in comes out, across reopening, reuse of segments and failures.
#include "storage/raft_log/raft_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_file_system.h"
#include "tests/unit/log/log_model.h"

namespace basalt::storage {
namespace {

using basalt::testing::FakeFileSystem;

class RaftLogTest : public ::testing::Test {
 protected:
  void Open() {
    auto log = RaftLog::Open(files_, kLogDirectory, options_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
  }
  void Reopen() {
    log_.reset();
    files_.Kill();
    Open();
  }
  void Create(uint64_t group) {
    const std::vector<NewGroup> groups = {TestGroup(group)};
    ASSERT_TRUE(log_->CreateGroups(groups).ok());
    model_.Create(groups[0]);
  }
  void Commit(std::vector<raft::LogWrite> writes) {
    ASSERT_TRUE(log_->Commit(writes).ok());
    for (const raft::LogWrite& write : writes) model_.Apply(write);
  }
  void Advance(uint64_t group, uint64_t index, uint64_t term) {
    raft::LogWrite write = TestAppend(group, 1, 0, 0, 0);
    write.persist.base = TestBase(index, term);
    Commit({write});
  }
  void ExpectModel() {
    auto held = LogModel::Of(*log_);
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_EQ(model_.Difference(*held), "");
  }

  FakeFileSystem files_;
  RaftLogOptions options_ = SmallLogOptions();
  std::unique_ptr<RaftLog> log_;
  LogModel model_;
};

TEST_F(RaftLogTest, HoldsWhatWasCommitted) {
  Open();
  Create(1);
  Create(2);
  raft::LogWrite vote = TestAppend(1, 1, 2, 5, 100);
  vote.persist.hard_state = raft::HardState{raft::Term(5), raft::ReplicaId(12)};
  Commit({vote, TestAppend(2, 1, 3, 4, 0)});
  ExpectModel();
  Reopen();
  ExpectModel();
  EXPECT_EQ(log_->Recover(raft::GroupId(3)).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RaftLogTest, OneSyncForAllGroups) {
  Open();
  for (uint64_t group = 1; group <= 5; ++group) Create(group);
  const uint64_t before = files_.syncs();
  std::vector<raft::LogWrite> writes;
  for (uint64_t group = 1; group <= 5; ++group) writes.push_back(TestAppend(group, 1, 2, 1, 50));
  Commit(writes);
  EXPECT_EQ(files_.syncs() - before, 1u);
  EXPECT_EQ(log_->counters().writes, 5u);
}

TEST_F(RaftLogTest, EntriesReplaceASuffix) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 6, 1, 30)});
  Commit({TestAppend(1, 4, 1, 2, 30)});
  ExpectModel();
  EXPECT_EQ(log_->Recover(raft::GroupId(1))->entries.size(), 4u);
  Reopen();
  ExpectModel();
}

TEST_F(RaftLogTest, ABaseDropsWhatItCoversOrEverything) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 6, 1, 30)});
  Advance(1, 4, 1);
  EXPECT_EQ(log_->Recover(raft::GroupId(1))->entries.size(), 2u);
  Reopen();
  ExpectModel();
  Advance(1, 5, 7);  // another term: what is behind it is another history
  EXPECT_EQ(log_->Recover(raft::GroupId(1))->entries.size(), 0u);
  Commit({TestAppend(1, 6, 2, 7, 30)});
  Reopen();
  ExpectModel();
}

TEST_F(RaftLogTest, ReadsAreCutByBytesButNeverEmpty) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 5, 1, 100)});
  Commit({TestAppend(1, 6, 5, 1, 100)});
  const auto read = [this](uint64_t first, uint64_t last, size_t bytes) {
    auto entries = log_->Read(raft::GroupId(1), raft::LogIndex(first), raft::LogIndex(last), bytes);
    return entries.ok() ? entries->size() : 0;
  };
  EXPECT_EQ(read(1, 10, 1 << 20), 10u);
  EXPECT_EQ(read(3, 7, 1 << 20), 5u);
  EXPECT_EQ(read(3, 7, 1), 1u);
  EXPECT_EQ(read(3, 7, 250), 3u);
  EXPECT_EQ(read(9, 100, 1 << 20), 2u);
  Advance(1, 4, 1);
  EXPECT_EQ(log_->Read(raft::GroupId(1), raft::LogIndex(4), raft::LogIndex(6), 1).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(log_->Read(raft::GroupId(1), raft::LogIndex(11), raft::LogIndex(11), 1).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(log_->Read(raft::GroupId(9), raft::LogIndex(1), raft::LogIndex(1), 1).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(RaftLogTest, ReadFindsDamageAtRest) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 1, 1, 100)});
  const std::string path = "/log/00000001.log";
  const size_t at = files_.Contents(path).find(std::string(100, 'j'));
  ASSERT_NE(at, std::string::npos);
  files_.FlipBit(path, at * 8 + 3);
  const auto entries = log_->Read(raft::GroupId(1), raft::LogIndex(1), raft::LogIndex(1), 1 << 20);
  EXPECT_EQ(entries.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(entries.status().ToString(), ::testing::HasSubstr(path));
}

TEST_F(RaftLogTest, ABatchLargerThanASegmentIsSplit) {
  Open();
  Create(1);
  Create(2);
  const uint64_t before = log_->counters().batches;
  Commit({TestAppend(1, 1, 30, 1, 700), TestAppend(2, 1, 3, 1, 3000)});
  EXPECT_GE(log_->counters().batches - before, 3u);
  ExpectModel();
  Reopen();
  ExpectModel();
}

TEST_F(RaftLogTest, DroppedReplicasStayDropped) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 3, 1, 30)});
  ASSERT_TRUE(log_->DropGroup(raft::GroupId(1), raft::ReplicaId(11)).ok());
  model_.Drop(raft::GroupId(1), raft::ReplicaId(11));
  EXPECT_TRUE(log_->Commit(std::vector{TestAppend(1, 4, 1, 1, 30)}).ok()) << "a late write is void";
  ExpectModel();
  Reopen();
  ExpectModel();
  const NewGroup successor{raft::GroupId(1), raft::ReplicaId(14), TestBase(0, 0)};
  ASSERT_TRUE(log_->CreateGroups(std::vector{successor}).ok());
  model_.Create(successor);
  Reopen();
  ExpectModel();
}

TEST_F(RaftLogTest, SegmentsAreReusedAndStatesCarriedForward) {
  Open();
  for (uint64_t group = 1; group <= 8; ++group) Create(group);
  raft::LogWrite vote = TestAppend(8, 1, 1, 3, 10);
  vote.persist.hard_state = raft::HardState{raft::Term(3), raft::ReplicaId(2)};
  Commit({vote});  // group 8 never writes again
  ASSERT_TRUE(log_->DropGroup(raft::GroupId(7), raft::ReplicaId(71)).ok());
  model_.Drop(raft::GroupId(7), raft::ReplicaId(71));
  for (uint64_t i = 1; i <= 200; ++i) {
    Commit({TestAppend(1 + i % 6, 1 + (i - 1) / 6, 1, 3, 500)});
    if (i > 12) Advance(1 + i % 6, (i - 1) / 6, 3);
  }
  ExpectModel();
  EXPECT_GT(log_->counters().rolls, 10u);
  EXPECT_GT(log_->counters().states_forwarded, 0u);
  EXPECT_GT(log_->counters().entries_copied, 0u);
  EXPECT_LE(files_.List(kLogDirectory)->size(), 8u);
  Reopen();
  ExpectModel();
  files_.CutPower();
  Open();
  ExpectModel();
}

TEST_F(RaftLogTest, GroupsThatPinAreNamed) {
  Open();
  Create(1);
  Create(2);
  options_.copy_segment_bytes_max = 100;
  Reopen();
  Commit({TestAppend(2, 1, 3, 1, 100)});
  for (uint64_t i = 1; i <= 60; ++i) Commit({TestAppend(1, i, 1, 1, 400)});
  const auto pinning = log_->GroupsPinning();
  ASSERT_EQ(pinning.size(), 2u);
  EXPECT_EQ(pinning[1].group, raft::GroupId(2));
  EXPECT_EQ(pinning[1].through, raft::LogIndex(3));
  const uint64_t live = log_->counters().segments_live;
  EXPECT_GT(live, options_.segments_kept);
  Advance(2, 3, 1);
  Advance(1, 60, 1);
  while (!log_->MarkIdle().value()) {
  }
  EXPECT_EQ(log_->GroupsPinning().size(), 0u);
  EXPECT_LE(log_->counters().segments_live, options_.segments_kept);
  Reopen();
  ExpectModel();
}

// A group without a quorum: what it holds is in no state machine, and no flush lets it go.
TEST_F(RaftLogTest, WhatCannotBeAppliedPinsNoSegmentForEver) {
  options_.copy_segment_bytes_max = 100;
  Open();
  Create(1);
  Create(2);
  for (uint64_t i = 1; i <= 3; ++i) Commit({TestAppend(2, i, 1, 1, 1000)});
  uint64_t most = 0;
  for (uint64_t i = 1; i <= 400; ++i) {
    Commit({TestAppend(1, i, 1, 1, 900)});
    if (i > 2) Advance(1, i - 2, 1);
    most = std::max<uint64_t>(most, log_->counters().segments_live);
  }
  EXPECT_GT(log_->counters().rolls, 50u);
  EXPECT_GT(log_->counters().entries_copied, 3u);
  EXPECT_LE(most, 6u) << "twice what is kept, and what a turn adds";
  ExpectModel();
  Reopen();
  ExpectModel();
  files_.CutPower();
  Open();
  ExpectModel();
  const uint64_t copied = log_->counters().entries_copied;
  int calls = 0;
  while (!log_->MarkIdle().value()) ASSERT_LT(++calls, 100) << "an idle log copies in a circle";
  EXPECT_LE(log_->counters().entries_copied - copied, 10u);
}

// More live entries than the segments that are kept can hold: emptying must not go in a circle.
TEST_F(RaftLogTest, EmptyingEndsWhenEverythingIsNeeded) {
  options_.copy_segment_bytes_max = 1 << 20;
  Open();
  Create(1);
  for (uint64_t i = 1; i <= 60; ++i) Commit({TestAppend(1, i, 1, 1, 900)});
  int calls = 0;
  while (!log_->MarkIdle().value()) ASSERT_LT(++calls, 200);
  EXPECT_GT(log_->counters().segments_live, options_.segments_kept);
  ExpectModel();
}

TEST_F(RaftLogTest, SparesWrittenAheadAreTakenFirst) {
  Open();
  Create(1);
  const auto number = log_->OrderSpare();
  ASSERT_TRUE(number.has_value());
  auto spare = RaftLog::PrepareSpare(files_, kLogDirectory, *number, options_.segment_bytes);
  ASSERT_TRUE(spare.ok());
  log_->AddSpare(*std::move(spare));
  EXPECT_FALSE(log_->OrderSpare().has_value());
  Commit({TestAppend(1, 1, 1, 1, 100)});
  EXPECT_EQ(log_->counters().rolls, 1u) << "the first file grows, the other does not";
  EXPECT_EQ(files_.Contents("/log/00000002.log").size(), options_.segment_bytes);
  Reopen();
  ExpectModel();
}

TEST_F(RaftLogTest, IdleMarkerIsWrittenOnce) {
  Open();
  Create(1);
  EXPECT_TRUE(log_->MarkIdle().value());
  const uint64_t syncs = files_.syncs();
  EXPECT_TRUE(log_->MarkIdle().value());
  EXPECT_EQ(files_.syncs(), syncs);
  Commit({TestAppend(1, 1, 1, 1, 100)});
  EXPECT_TRUE(log_->MarkIdle().value());
  EXPECT_EQ(files_.syncs(), syncs + 2);
  Reopen();
  ExpectModel();
}

// Restarting over and over must not gather files.
TEST_F(RaftLogTest, RestartsDoNotPileUpSegments) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 3, 1, 100)});
  for (int i = 0; i < 40; ++i) {
    Reopen();
    while (!log_->MarkIdle().value()) {
    }
  }
  ExpectModel();
  EXPECT_LE(files_.List(kLogDirectory)->size(), 6u);
}

TEST_F(RaftLogTest, NoSpaceFailsTheCommitAndLosesNothing) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 2, 1, 300)});
  files_.SetFreeBytes(100);
  const std::vector<raft::LogWrite> writes = {TestAppend(1, 3, 1, 1, 3000)};
  EXPECT_EQ(log_->Commit(writes).code(), absl::StatusCode::kResourceExhausted);
  files_.SetFreeBytes(1 << 20);
  Reopen();
  ExpectModel();
}

TEST_F(RaftLogTest, AfterAFailedSyncNothingIsTaken) {
  Open();
  Create(1);
  files_.FailNextSync();
  const std::vector<raft::LogWrite> writes = {TestAppend(1, 1, 1, 1, 100)};
  EXPECT_FALSE(log_->Commit(writes).ok());
  EXPECT_EXIT(log_->Commit(writes).IgnoreError(), ::testing::ExitedWithCode(70), "failed_");
}

TEST_F(RaftLogTest, MisuseIsABug) {
  Open();
  Create(1);
  Commit({TestAppend(1, 1, 3, 1, 10)});
  EXPECT_EXIT(Commit({TestAppend(2, 1, 1, 1, 10)}), ::testing::ExitedWithCode(70), "never created");
  EXPECT_EXIT(Commit({TestAppend(1, 5, 1, 1, 10)}), ::testing::ExitedWithCode(70), "gap");
  EXPECT_EXIT(Create(1), ::testing::ExitedWithCode(70), "never used again");
  Advance(1, 2, 1);
  EXPECT_EXIT(Advance(1, 1, 1), ::testing::ExitedWithCode(70), "never goes back");
}

}  // namespace
}  // namespace basalt::storage
