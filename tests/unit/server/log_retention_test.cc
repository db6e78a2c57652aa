#include "server/node/log_retention.h"

#include <gtest/gtest.h>

namespace basalt::server {
namespace {

using raft::LogIndex;
using raft::ReplicaId;

constexpr uint64_t kRetained = 10'000;
constexpr uint64_t kCheckpointBytesMax = 100'000;
constexpr uint64_t kEntry = 1000;
constexpr ReplicaId kFollower(2);

// A leader whose one follower lags. Everything is applied and flushed at once.
class LogRetentionTest : public ::testing::Test {
 protected:
  LogRetentionTest() { status_.followers.push_back({.replica = kFollower, .match = LogIndex(0)}); }

  // Appends `count` entries; where the log may end then.
  LogIndex Log(int count) {
    for (int i = 0; i < count; ++i) {
      const raft::Entry entry{++status_.last, raft::Term(1), raft::EntryKind::kCommands,
                              raft::MakePayload(std::string(kEntry - 32, 'v'))};
      retention_.Appended({&entry, 1});
      node_bytes_ += kEntry;
      status_.applied = status_.last;
      through_ = retention_.MayDropThrough(status_, status_.last, node_bytes_);
    }
    return through_;
  }

  raft::CoreStatus status_;
  uint64_t node_bytes_ = 0;
  LogIndex through_;
  LogRetention retention_{{kRetained, kCheckpointBytesMax}};
};

TEST_F(LogRetentionTest, KeepsTheNewestBytesAndNothingBelow) {
  EXPECT_EQ(Log(10), LogIndex(0));
  EXPECT_EQ(Log(20), LogIndex(20));
  EXPECT_EQ(retention_.MayDropThrough(status_, LogIndex(7), node_bytes_), LogIndex(7)) << "flushed";
  status_.applied = LogIndex(5);
  EXPECT_EQ(retention_.MayDropThrough(status_, status_.last, node_bytes_), LogIndex(5));
}

TEST_F(LogRetentionTest, WhatAFollowerNeedsBehindItsCheckpointIsKeptUntilItIsUp) {
  Log(20);
  retention_.BringUp(kFollower, LogIndex(20), node_bytes_);
  EXPECT_EQ(Log(30), LogIndex(20));
  retention_.CheckpointSent(kFollower, true);
  EXPECT_EQ(Log(5), LogIndex(20));
  status_.followers[0].match = LogIndex(40);
  EXPECT_EQ(Log(5), LogIndex(40)) << "what it has acknowledged may go";
  status_.followers[0].match = LogIndex(58);
  EXPECT_EQ(Log(1), LogIndex(51)) << "it is as near as any follower may be";
  EXPECT_EQ(Log(20), LogIndex(71)) << "and gets nothing beyond that any more";
  EXPECT_EQ(retention_.given_up(), 0u);
}

TEST_F(LogRetentionTest, ACheckpointThatFailedKeepsNothing) {
  Log(20);
  retention_.BringUp(kFollower, LogIndex(20), node_bytes_);
  retention_.CheckpointSent(kFollower, false);
  EXPECT_EQ(Log(30), LogIndex(40));
}

TEST_F(LogRetentionTest, WhoLeadsNoMoreKeepsNothing) {
  Log(20);
  retention_.BringUp(kFollower, LogIndex(20), node_bytes_);
  status_.followers.clear();
  EXPECT_EQ(Log(30), LogIndex(40));
  EXPECT_EQ(retention_.given_up(), 0u);
}

// Counted are the bytes of all groups: they share segments.
TEST_F(LogRetentionTest, AFollowerIsGivenUpBeforeItCostsTheDisk) {
  Log(20);
  retention_.BringUp(kFollower, LogIndex(20), node_bytes_);
  node_bytes_ += kCheckpointBytesMax - 2 * kEntry;
  EXPECT_EQ(Log(2), LogIndex(12));
  EXPECT_EQ(Log(20), LogIndex(32));
  EXPECT_EQ(retention_.given_up(), 1u);
}

// A start finds old entries; they are as old as the newest that follow them say.
TEST_F(LogRetentionTest, WhatAStartFindsCounts) {
  std::vector<raft::Entry> found;
  for (uint64_t index = 1; index <= 30; ++index) {
    found.push_back({LogIndex(index), raft::Term(1), raft::EntryKind::kCommands,
                     raft::MakePayload(std::string(kEntry - 32, 'v'))});
  }
  LogRetention retention({kRetained, kCheckpointBytesMax});
  retention.Recovered(found);
  status_.last = status_.applied = LogIndex(30);
  EXPECT_EQ(retention.MayDropThrough(status_, LogIndex(30), 0), LogIndex(20));
}

TEST_F(LogRetentionTest, WhatIsLetGoIsNotRetained) {
  Log(8);
  retention_.LetGo(LogIndex(6));
  EXPECT_EQ(Log(1), LogIndex(6));
  retention_.LetGo(LogIndex(3));
  EXPECT_EQ(Log(1), LogIndex(6));
  retention_.BringUp(kFollower, LogIndex(6), node_bytes_);
  retention_.LetGo(LogIndex(9));
  EXPECT_EQ(Log(1), LogIndex(6)) << "a follower that is brought up needs it";
}

}  // namespace
}  // namespace basalt::server
