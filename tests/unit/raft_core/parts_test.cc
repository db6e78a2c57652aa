// The core's small parts: quorum arithmetic, windows, what is durable, what a follower is sent.

#include "gtest/gtest.h"

#include "raft/core/flow_window.h"
#include "raft/core/follower_progress.h"
#include "raft/core/persist_queue.h"
#include "raft/core/quorum.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

uint64_t Reached(std::vector<uint64_t> numbers) { return ReachedByMajority(numbers); }

TEST(Quorum, TheHighestNumberThatAMajorityReached) {
  EXPECT_EQ(Reached({}), 0u);
  EXPECT_EQ(Reached({7}), 7u);
  EXPECT_EQ(Reached({7, 3}), 3u);
  EXPECT_EQ(Reached({7, 3, 5}), 5u);
  EXPECT_EQ(Reached({9, 1, 8, 2}), 2u);
  EXPECT_EQ(Reached({9, 1, 8, 2, 4}), 4u);
}

TEST(Quorum, VotesOfThreeAndFour) {
  const Configuration three = MakeConfiguration(3);
  VoteTally votes;
  EXPECT_EQ(votes.Result(three), VoteResult::kPending);
  votes.Record(ReplicaId(1), true);
  EXPECT_EQ(votes.Result(three), VoteResult::kPending);
  votes.Record(ReplicaId(2), false);
  EXPECT_EQ(votes.Result(three), VoteResult::kPending);
  votes.Record(ReplicaId(3), false);
  EXPECT_EQ(votes.Result(three), VoteResult::kLost);

  const Configuration four = MakeConfiguration(4);
  VoteTally half;
  half.Record(ReplicaId(1), true);
  half.Record(ReplicaId(2), true);
  EXPECT_EQ(half.Result(four), VoteResult::kPending) << "half is no majority";
  half.Record(ReplicaId(3), true);
  EXPECT_EQ(half.Result(four), VoteResult::kWon);
  VoteTally against;
  against.Record(ReplicaId(1), false);
  against.Record(ReplicaId(2), false);
  EXPECT_EQ(against.Result(four), VoteResult::kLost) << "two of four can stop it";
}

TEST(Quorum, TheFirstAnswerStandsAndStrangersDoNotCount) {
  const Configuration three = MakeConfiguration(3);
  VoteTally votes;
  votes.Record(ReplicaId(1), true);
  votes.Record(ReplicaId(2), false);
  votes.Record(ReplicaId(2), true);
  votes.Record(ReplicaId(9), true);
  EXPECT_EQ(votes.Result(three), VoteResult::kPending);
}

TEST(FlowWindow, ReleasesWholeSteps) {
  FlowWindow window;
  window.Push(LogIndex(3), 10);
  window.Push(LogIndex(5), 20);
  window.ReleaseUpTo(LogIndex(4));
  EXPECT_EQ(window.size(), 1u);
  EXPECT_EQ(window.bytes(), 20u);
  window.ReleaseUpTo(LogIndex(5));
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(window.bytes(), 0u);
}

class PersistQueueTest : public ::testing::Test {
 protected:
  void Append(uint64_t term) { log_.Append({log_.last() + 1, Term(term), EntryKind::kNoOp, {}}); }
  void Truncate(uint64_t first) {
    log_.TruncateFrom(LogIndex(first));
    queue_.Truncated(LogIndex(first));
  }
  Persist Take() { return *queue_.Take(hard_state_, log_); }

  HardState hard_state_;
  Log log_{MakeBase(0, 0), {}};
  PersistQueue queue_{LogIndex(0)};
};

TEST_F(PersistQueueTest, NothingChangedNothingToWrite) {
  EXPECT_FALSE(queue_.HasWork(log_));
  EXPECT_FALSE(queue_.Take(hard_state_, log_).has_value());
  Append(1);
  const Persist persist = Take();
  EXPECT_EQ(persist.id, PersistId(1));
  EXPECT_FALSE(persist.hard_state || persist.base);
  EXPECT_EQ(persist.entries.size(), 1u);
  EXPECT_FALSE(queue_.Take(hard_state_, log_).has_value()) << "handed out once";
}

TEST_F(PersistQueueTest, OneCompletionMayCoverSeveral) {
  Append(1);
  Take();
  Append(1);
  Take();
  queue_.Finish(PersistId(2));
  EXPECT_EQ(queue_.durable(), LogIndex(2));
}

TEST_F(PersistQueueTest, AReplacedSuffixIsNotDurableByTheOldWrite) {
  for (int i = 0; i < 3; ++i) Append(1);
  Take();  // #1: 1..3
  Append(1);
  Take();  // #2: 4
  Truncate(2);
  Append(2);
  Append(2);
  Append(2);
  Take();  // #3: 2..4 of term 2
  queue_.Finish(PersistId(1));
  EXPECT_EQ(queue_.durable(), LogIndex(1));
  queue_.Finish(PersistId(2));
  EXPECT_EQ(queue_.durable(), LogIndex(1));
  queue_.Finish(PersistId(3));
  EXPECT_EQ(queue_.durable(), LogIndex(4));
}

TEST_F(PersistQueueTest, ATruncationOfDurableEntriesLowersWhatIsDurable) {
  for (int i = 0; i < 3; ++i) Append(1);
  Take();
  queue_.Finish(PersistId(1));
  EXPECT_EQ(queue_.durable(), LogIndex(3));
  Truncate(3);
  EXPECT_EQ(queue_.durable(), LogIndex(2));
  Append(2);
  const Persist persist = Take();
  EXPECT_EQ(persist.entries.front().index, LogIndex(3));
}

TEST_F(PersistQueueTest, HardStateIsDurableWithItsOwnWrite) {
  Append(1);
  Take();  // #1
  hard_state_ = {Term(2), ReplicaId(1)};
  queue_.HardStateChanged();
  EXPECT_FALSE(queue_.IsHardStateDurable());
  Take();  // #2
  queue_.Finish(PersistId(1));
  EXPECT_FALSE(queue_.IsHardStateDurable());
  queue_.Finish(PersistId(2));
  EXPECT_TRUE(queue_.IsHardStateDurable());
}

TEST_F(PersistQueueTest, ADroppedLogForgetsItsWritesUnderWay) {
  for (int i = 0; i < 3; ++i) Append(1);
  Take();  // #1
  log_.ResetTo(MakeBase(100, 4));
  queue_.LogDropped(LogIndex(100));
  EXPECT_EQ(queue_.durable(), LogIndex(100));
  log_.Append({LogIndex(101), Term(4), EntryKind::kNoOp, {}});
  const Persist persist = Take();  // #2
  EXPECT_EQ(persist.base->index, LogIndex(100));
  EXPECT_EQ(persist.entries.front().index, LogIndex(101));
  queue_.Finish(PersistId(1));
  EXPECT_EQ(queue_.durable(), LogIndex(100));
  queue_.Finish(PersistId(2));
  EXPECT_EQ(queue_.durable(), LogIndex(101));
}

TEST_F(PersistQueueTest, ACheckpointInsideTheLogKeepsTheSuffixUnderWay) {
  for (int i = 0; i < 4; ++i) Append(1);
  Take();  // #1: 1..4
  log_.CompactTo(LogIndex(3));
  queue_.CheckpointCovers(LogIndex(3));
  EXPECT_EQ(queue_.durable(), LogIndex(3));
  const Persist persist = Take();
  EXPECT_TRUE(persist.entries.empty()) << "4 is on its way already";
  queue_.Finish(PersistId(1));
  EXPECT_EQ(queue_.durable(), LogIndex(4));
}

class FollowerProgressTest : public ::testing::Test {
 protected:
  FollowerProgress follower_{{ReplicaId(2), NodeId(2)}, LogIndex(10), 0};
  CoreOptions options_;
};

TEST_F(FollowerProgressTest, ProbesOneAtATime) {
  EXPECT_TRUE(follower_.MaySendEntries(options_));
  follower_.Sent(LogIndex(12), 100);
  EXPECT_FALSE(follower_.MaySendEntries(options_));
  EXPECT_EQ(follower_.next, LogIndex(10)) << "a probe's entries count when it is answered";
  follower_.Accepted(LogIndex(12));
  EXPECT_EQ(follower_.mode, FollowerProgress::Mode::kReplicate);
  EXPECT_EQ(follower_.next, LogIndex(13));
}

TEST_F(FollowerProgressTest, WindowsAreBoundedInAppendsAndBytes) {
  follower_.Accepted(LogIndex(9));
  options_.inflight_appends_max = 2;
  options_.inflight_bytes_max = 100;
  follower_.Sent(LogIndex(10), 10);
  EXPECT_TRUE(follower_.MaySendEntries(options_));
  follower_.Sent(LogIndex(11), 10);
  EXPECT_FALSE(follower_.MaySendEntries(options_));
  follower_.Accepted(LogIndex(11));
  follower_.Sent(LogIndex(12), 100);
  EXPECT_FALSE(follower_.MaySendEntries(options_));
}

TEST_F(FollowerProgressTest, LateRefusalsTellNothing) {
  EXPECT_TRUE(follower_.IsNews(LogIndex(9)));
  EXPECT_FALSE(follower_.IsNews(LogIndex(7)));
  follower_.Accepted(LogIndex(9));
  EXPECT_FALSE(follower_.IsNews(LogIndex(9))) << "it has matched since";
  EXPECT_TRUE(follower_.IsNews(LogIndex(12)));
  follower_.BecomeCheckpoint();
  EXPECT_FALSE(follower_.IsNews(LogIndex(12)));
  EXPECT_FALSE(follower_.MaySendEntries(options_));
}

TEST_F(FollowerProgressTest, AProbeNeverGoesBelowTheMatch) {
  follower_.Accepted(LogIndex(9));
  follower_.BecomeProbe(LogIndex(3));
  EXPECT_EQ(follower_.next, LogIndex(10));
}

}  // namespace
}  // namespace basalt::raft
