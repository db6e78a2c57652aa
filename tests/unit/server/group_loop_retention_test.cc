// What the group loop keeps of its log, and when it lets go.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/node/group_loop.h"
#include "tests/unit/server/group_loop_fixture.h"

namespace basalt::server {
namespace {

class GroupLoopRetentionTest : public GroupLoopTest {
 protected:
  static constexpr uint64_t kRetained = 10'000;
  static constexpr size_t kValue = 1000;  // an entry of one is somewhat more

  static GroupLoopOptions Options() {
    GroupLoopOptions options;
    options.retained_log_bytes = kRetained;
    options.ticks_per_compaction_check = 1;
    return options;
  }
  // One entry each, applied, and looked at for compaction.
  void WriteEntries(int count) {
    for (int i = 0; i < count; ++i) {
      Handle(Writes({next_write_++}, kValue));
      Persist();
      Apply();
      Handle(TickPassed{});
      Persist();
    }
  }
  // One follower has them too.
  void WriteFlushedEntries(int count) {
    for (int i = 0; i < count; ++i) {
      Handle(Writes({next_write_++}, kValue));
      Persist();
      Acknowledge(Status().last.value());
      Apply();
      Flushed(Status().applied);
    }
  }
  void Flushed(raft::LogIndex index) {
    Handle(StateFlushed{kGroup, raft::ReplicaId(1), index});
    Handle(TickPassed{});
    Persist();
  }
  raft::CoreStatus Status() {
    raft::CoreStatus status;
    Handle(StatesAsked{[&](std::vector<GroupState> all) { status = all.at(0).core; }});
    return status;
  }

  uint64_t next_write_ = 1;
};

// What is flushed only after the writes have ended is let go all the same.
TEST_F(GroupLoopRetentionTest, ALateFlushLetsGoWhatIsOlderThanWhatIsRetained) {
  MakeLeaderAlone(Options());
  WriteEntries(30);
  EXPECT_EQ(Status().base, raft::LogIndex(0)) << "nothing is flushed";
  Flushed(Status().last);
  const raft::CoreStatus status = Status();
  EXPECT_GE(status.last - status.base, kRetained / (kValue + 200));
  EXPECT_LE(status.last - status.base, kRetained / kValue + 2);
}

TEST_F(GroupLoopRetentionTest, ARestartRemembersHowMuchThereIs) {
  std::vector<raft::Entry> entries;
  for (uint64_t index = 1; index <= 30; ++index) {
    entries.push_back({raft::LogIndex(index), raft::Term(1), raft::EntryKind::kCommands,
                       std::make_shared<const std::string>(kValue, 'v')});
  }
  Make(1, Options(), std::move(entries));
  for (int i = 0; i < 3; ++i) {
    Persist();
    Apply();
  }
  Handle(TickPassed{});
  Persist();
  const raft::CoreStatus status = Status();
  EXPECT_GE(status.last - status.base, kRetained / (kValue + 200));
  EXPECT_LE(status.last - status.base, kRetained / kValue + 3);
}

TEST_F(GroupLoopRetentionTest, WhatKeepsAnOldSegmentIsLetGoOnceItIsFlushed) {
  MakeLeaderAlone(Options());
  WriteEntries(5);
  const raft::LogIndex last = Status().last;
  Handle(StateFlushed{kGroup, raft::ReplicaId(1), last - 2, last - 1});
  Handle(TickPassed{});
  Persist();
  EXPECT_EQ(Status().base, last - 2);
  Flushed(last);
  EXPECT_EQ(Status().base, last - 1);
}

// Else it would need the next one as soon as it has installed the last, for ever.
TEST_F(GroupLoopRetentionTest, AFollowerThatInstalledACheckpointFindsTheLogBehindIt) {
  MakeLeaderOfThree(Options());
  WriteFlushedEntries(30);
  const auto accept = [&](raft::LogIndex index) {
    FromPeer(3, 1,
             raft::AppendReply{.accepted = true,
                               .index = index,
                               .hint_index = {},
                               .hint_term = {},
                               .round = NewestRound()});
  };
  ASSERT_GT(Status().base, raft::LogIndex(0));
  FromPeer(3, 1, raft::HeartbeatReply{.round = NewestRound()});
  ASSERT_EQ(around_.feeds.size(), 1u);
  const raft::LogIndex asked_at = Status().applied;
  WriteFlushedEntries(30);
  EXPECT_LE(Status().base, asked_at) << "it will be of this index at least";
  const raft::LogIndex made_at = Status().applied;
  Handle(CheckpointMade{kGroup, raft::ReplicaId(3), made_at});
  WriteFlushedEntries(30);
  EXPECT_EQ(Status().base, made_at);

  Handle(CheckpointSent{kGroup, raft::ReplicaId(3), raft::Term(1), made_at});
  accept(made_at);
  WriteFlushedEntries(30);
  EXPECT_EQ(around_.feeds.size(), 1u) << "no other is asked for";
  EXPECT_EQ(Status().base, made_at) << "it has not acknowledged more";
  accept(Status().last);
  WriteFlushedEntries(1);
  EXPECT_GT(Status().base, made_at);
  EXPECT_EQ(loop_->counters().checkpoint_logs_given_up, 0u);
}

// A transfer that is given up for an earlier term tells nothing of the one that follows it.
TEST_F(GroupLoopRetentionTest, AFailureOfAnEarlierTermLeavesTheNextCheckpointAlone) {
  MakeLeaderOfThree(Options());
  WriteFlushedEntries(30);
  const auto hears = [&] { FromPeer(3, 1, raft::HeartbeatReply{.round = NewestRound()}); };
  hears();
  Handle(CheckpointSent{kGroup, raft::ReplicaId(3), raft::Term(0), std::nullopt});
  hears();
  EXPECT_EQ(around_.feeds.size(), 1u);
  Handle(CheckpointSent{kGroup, raft::ReplicaId(3), raft::Term(1), std::nullopt});
  hears();
  EXPECT_EQ(around_.feeds.size(), 2u);
}

}  // namespace
}  // namespace basalt::server
