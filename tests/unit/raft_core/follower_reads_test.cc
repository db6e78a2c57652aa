// ReadIndex for followers: one answer to each question, from the leader that was asked, whatever is
// lost, late or doubled.

#include "raft/core/follower_reads.h"

#include <vector>

#include "gtest/gtest.h"

#include "tests/unit/raft_core/timed_core.h"

namespace basalt::raft {
namespace {

class FollowerReads : public ::testing::Test {
 protected:
  FollowerReads() : one_(TimedCore::Fresh(3)) {
    one_.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  }
  void Ask(uint64_t id) {
    one_.core.RequestRead(ReadId(id));
    one_.Turn();
  }
  static ReadReply Confirmed(uint64_t id, uint64_t index, uint64_t life = 17) {
    return {ReadId(id), life, true, LogIndex(index)};
  }

  TimedCore one_;
};

TEST_F(FollowerReads, AreServedAtTheIndexThatTheLeaderTells) {
  Ask(1);
  ASSERT_TRUE(one_.Last<ReadRequest>(2).has_value());
  EXPECT_EQ(one_.Last<ReadRequest>(2)->id, ReadId(1));
  EXPECT_EQ(one_.Last<ReadRequest>(2)->life, 17u);
  EXPECT_TRUE(one_.reads.empty());
  one_.Hear(2, 1, Confirmed(1, 9));
  ASSERT_EQ(one_.reads.size(), 1u);
  EXPECT_EQ(one_.reads[0].id, ReadId(1));
  EXPECT_EQ(one_.reads[0].index, LogIndex(9)) << "not in its log yet: it waits until it is applied";
}

TEST_F(FollowerReads, ADoubledAnswerIsTakenOnce) {
  Ask(1);
  one_.Hear(2, 1, Confirmed(1, 9));
  one_.Hear(2, 1, Confirmed(1, 9));
  EXPECT_EQ(one_.reads.size(), 1u);
  EXPECT_TRUE(one_.refused.empty());
}

TEST_F(FollowerReads, AnAnswerToAnEarlierLifeIsNone) {
  Ask(1);
  one_.Hear(2, 1, Confirmed(1, 3, 16));
  EXPECT_TRUE(one_.reads.empty());
  one_.Hear(2, 1, Confirmed(1, 9));
  ASSERT_EQ(one_.reads.size(), 1u);
  EXPECT_EQ(one_.reads[0].index, LogIndex(9));
}

TEST_F(FollowerReads, AnAnswerToAnotherQuestionIsNone) {
  Ask(1);
  one_.Hear(2, 1, Confirmed(2, 9));
  one_.Hear(3, 1, Confirmed(1, 9));  // not whom it asked
  EXPECT_TRUE(one_.reads.empty());
}

TEST_F(FollowerReads, ALostAnswerIsARefusalAfterAnElectionTimeout) {
  Ask(1);
  for (int i = 0; i < 9; ++i) {
    one_.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(2)});
    one_.Tick();
  }
  EXPECT_TRUE(one_.refused.empty());
  one_.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(2)});
  one_.Tick();
  EXPECT_EQ(one_.refused, std::vector<ReadId>{ReadId(1)});
  one_.Hear(2, 1, Confirmed(1, 9));
  EXPECT_TRUE(one_.reads.empty()) << "it was answered already";
}

TEST_F(FollowerReads, AChangeOfLeaderRefusesThem) {
  Ask(1);
  one_.Hear(3, 2, HeartbeatRequest{LogIndex(0), Round(1)});
  EXPECT_EQ(one_.refused, std::vector<ReadId>{ReadId(1)});
  Ask(2);
  EXPECT_EQ(one_.Last<ReadRequest>(3)->id, ReadId(2));
}

TEST_F(FollowerReads, AreRefusedWithoutALeader) {
  TimedCore alone(TimedCore::Fresh(3));
  alone.core.RequestRead(ReadId(1));
  alone.Turn();
  EXPECT_EQ(alone.refused, std::vector<ReadId>{ReadId(1)});
}

TEST_F(FollowerReads, OpenQuestionsAreBounded) {
  for (uint64_t id = 1; id <= kAskedReadsMax + 3; ++id) Ask(id);
  EXPECT_EQ(one_.refused.size(), 3u);
}

class ReadsAtTheLeader : public ::testing::Test {
 protected:
  ReadsAtTheLeader() : one_(TimedCore::Fresh(3)) {
    one_.Lead();
    one_.Acknowledge(2);
  }
  size_t Answers(bool confirmed) const {
    size_t count = 0;
    for (const Message& message : one_.sent) {
      const auto* reply = std::get_if<ReadReply>(&message.body);
      count += reply != nullptr && reply->confirmed == confirmed ? 1 : 0;
    }
    return count;
  }

  TimedCore one_;
};

TEST_F(ReadsAtTheLeader, WaitForARoundThatWasSentAfterTheQuestion) {
  one_.Tick(2);  // round 2
  one_.Hear(3, 1, ReadRequest{ReadId(5), 99});
  one_.Hear(2, 1, HeartbeatReply{Round(2)});
  EXPECT_EQ(Answers(true), 0u) << "round 2 was sent before it came";
  const Round round = one_.NewestRound();
  EXPECT_GT(round, Round(2));
  one_.Hear(2, 1, HeartbeatReply{round});
  const std::optional<ReadReply> reply = one_.Last<ReadReply>(3);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->id, ReadId(5));
  EXPECT_EQ(reply->life, 99u);
  EXPECT_TRUE(reply->confirmed);
  EXPECT_EQ(reply->index, LogIndex(1));
}

TEST_F(ReadsAtTheLeader, AreBoundedPerFollower) {
  for (uint64_t id = 1; id <= kAskedReadsMax + 3; ++id) one_.Hear(3, 1, ReadRequest{ReadId(id), 1});
  EXPECT_EQ(Answers(false), 3u);
  one_.Hear(2, 1, ReadRequest{ReadId(1), 1});
  EXPECT_EQ(Answers(false), 3u) << "another follower has room of its own";
  // Answered ones make room again.
  for (int i = 0; i < 20; ++i) one_.Hear(2, 1, HeartbeatReply{one_.NewestRound()});
  EXPECT_EQ(Answers(true), kAskedReadsMax + 1);
  one_.Hear(3, 1, ReadRequest{ReadId(99), 1});
  EXPECT_EQ(Answers(false), 3u);
}

TEST_F(ReadsAtTheLeader, WhoDoesNotLeadRefuses) {
  one_.Hear(3, 2, HeartbeatRequest{LogIndex(0), Round(1)});
  one_.sent.clear();
  one_.Hear(2, 2, ReadRequest{ReadId(5), 99});
  EXPECT_EQ(Answers(false), 1u);
}

}  // namespace
}  // namespace basalt::raft
