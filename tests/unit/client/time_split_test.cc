#include "client/time_split.h"

#include <gtest/gtest.h>

#include <utility>

#include "base/random.h"

namespace basalt::client {
namespace {

Attempt MakeAttempt(uint64_t node, int64_t sent, int64_t written, int64_t ended,
                    SendEnd end = SendEnd::kOk) {
  return {.node_id = node,
          .sent = Time(sent),
          .written = Time(written),
          .ended = Time(ended),
          .end = end};
}

std::unique_ptr<ServerStory> Server(const std::vector<int64_t>& stages) {
  auto server = std::make_unique<ServerStory>();
  for (const int64_t took : stages) server->stages.push_back({"s", Span(took)});
  return server;
}

TEST(TimeSplitTest, ACallOfOneAttempt) {
  CallStory story{.started = Time(100), .ended = Time(1100)};
  story.attempts.push_back(MakeAttempt(1, 110, 150, 1100));
  story.attempts.back().server = Server({200, 300});
  const TimeSplit split = SplitTime(story);
  EXPECT_EQ(split.total, Span(1000));
  EXPECT_EQ(split.earlier_attempts, Span(0));
  EXPECT_EQ(split.client_queue, Span(50));
  EXPECT_EQ(split.network, Span(450));
  EXPECT_EQ(split.server, Span(500));
  EXPECT_TRUE(split.server_known);
  EXPECT_EQ(split.waited, Span(0));
  ASSERT_EQ(split.stages.size(), 2U);
  EXPECT_EQ(split.stages[1].took, Span(300));
}

TEST(TimeSplitTest, ACallOfTwoAttemptsToAnOldServer) {
  CallStory story{.started = Time(100), .ended = Time(900)};
  story.attempts.push_back(MakeAttempt(1, 100, 120, 300, SendEnd::kNotLeader));
  story.attempts.push_back(MakeAttempt(2, 400, 450, 900));
  const TimeSplit split = SplitTime(story);
  EXPECT_EQ(split.total, Span(800));
  EXPECT_EQ(split.earlier_attempts, Span(300));
  EXPECT_EQ(split.client_queue, Span(50));
  EXPECT_EQ(split.network, Span(450));
  EXPECT_FALSE(split.server_known);
}

TEST(TimeSplitTest, ACallThatIsGivenUpBetweenTwoAttempts) {
  CallStory story{.started = Time(100), .ended = Time(900)};
  story.attempts.push_back(MakeAttempt(1, 100, 0, 300, SendEnd::kUnavailable));
  const TimeSplit split = SplitTime(story);
  EXPECT_EQ(split.total, Span(800));
  EXPECT_EQ(split.network, Span(200));
  EXPECT_EQ(split.waited, Span(600));
  CallStory never{.started = Time(5), .ended = Time(30)};
  EXPECT_EQ(SplitTime(never).waited, Span(25));
}

TEST(TimeSplitTest, WhatTheServerClaimsBeyondTheRoundTripIsTakenOff) {
  CallStory story{.started = Time(0), .ended = Time(100)};
  story.attempts.push_back(MakeAttempt(1, 0, 20, 100));
  story.attempts.back().server = Server({50, 50, 1000, -4});
  const TimeSplit split = SplitTime(story);
  EXPECT_EQ(split.network, Span(0));
  EXPECT_EQ(split.server, Span(80));
  EXPECT_EQ(split.stages[1].took, Span(30));
  EXPECT_EQ(split.stages[2].took, Span(0));
  EXPECT_EQ(split.stages[3].took, Span(0));
}

// Whatever was noted, in whatever order.
TEST(TimeSplitTest, PartsAreNeverNegativeAndSumToTheTotal) {
  base::Random random(3);
  const auto some = [&] { return static_cast<int64_t>(random.Below(1000)); };
  for (int round = 0; round < 5000; ++round) {
    const int64_t started = some();
    CallStory story{.started = Time(started), .ended = Time(started + some())};
    for (uint64_t i = random.Below(4); i > 0; --i) {
      story.attempts.push_back(MakeAttempt(i, some(), some(), some()));
      if (random.Below(2) == 0) story.attempts.back().server = Server({some(), some() - 200});
    }
    const TimeSplit split = SplitTime(story);
    Span server{0};
    for (const ServerStory::Stage& stage : split.stages) {
      ASSERT_GE(stage.took, Span(0));
      server += stage.took;
    }
    ASSERT_EQ(server, split.server);
    for (const Span part :
         {split.earlier_attempts, split.client_queue, split.network, split.server, split.waited}) {
      ASSERT_GE(part, Span(0));
    }
    ASSERT_EQ(split.total, story.ended - story.started);
    ASSERT_EQ(split.total, split.earlier_attempts + split.client_queue + split.network +
                               split.server + split.waited);
  }
}

}  // namespace
}  // namespace basalt::client
