#include "client/circuit_breaker.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "client/node_health.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kStart = seconds(100);

// When the trial is due, to the millisecond.
std::optional<Span> WaitFor(CircuitBreaker& breaker, Time from) {
  for (Span wait(0); wait <= seconds(3); wait += milliseconds(1)) {
    if (breaker.TakeTrial(from + wait)) return wait;
  }
  return std::nullopt;
}

TEST(CircuitBreakerTest, AFailedConnectionOpensAndWordCloses) {
  CircuitBreaker breaker(1);
  EXPECT_TRUE(breaker.closed());
  EXPECT_FALSE(breaker.TakeTrial(kStart));  // nothing to try
  breaker.OnConnectionFailed(kStart);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kOpen);
  EXPECT_FALSE(breaker.TakeTrial(kStart));
  breaker.OnWord();
  EXPECT_TRUE(breaker.closed());
}

TEST(CircuitBreakerTest, OneTrialAtATime) {
  CircuitBreaker breaker(1);
  breaker.OnConnectionFailed(kStart);
  const Time due = kStart + *WaitFor(breaker, kStart);
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::kHalfOpen);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(breaker.TakeTrial(due + milliseconds(i)));
  breaker.OnWord();
  EXPECT_TRUE(breaker.closed());
}

TEST(CircuitBreakerTest, WaitsDoubleUpToTheMostAndStartAnewAfterWord) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    CircuitBreaker breaker(seed);
    Time now = kStart;
    for (const int full : {20, 40, 80, 160, 320, 500, 500, 500}) {
      breaker.OnConnectionFailed(now);
      const std::optional<Span> wait = WaitFor(breaker, now);
      ASSERT_TRUE(wait.has_value());
      EXPECT_GE(*wait, milliseconds(full / 2));
      EXPECT_LE(*wait, milliseconds(full));
      now += *wait;
    }
    breaker.OnWord();
    breaker.OnConnectionFailed(now);
    EXPECT_LE(WaitFor(breaker, now), milliseconds(20));
  }
}

TEST(CircuitBreakerTest, WaitsDifferByTheSeedAndOnlyByThat) {
  std::set<Span> waits;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    CircuitBreaker one(seed);
    CircuitBreaker two(seed);
    one.OnConnectionFailed(kStart);
    two.OnConnectionFailed(kStart);
    const Span wait = *WaitFor(one, kStart);
    EXPECT_EQ(wait, WaitFor(two, kStart));
    waits.insert(wait);
  }
  EXPECT_GT(waits.size(), 5U);
}

TEST(CircuitBreakerTest, ManySendsLostTogetherCountOnce) {
  CircuitBreaker breaker(1);
  for (int i = 0; i < 1000; ++i) breaker.OnConnectionFailed(kStart + Span(i));
  EXPECT_LE(WaitFor(breaker, kStart), milliseconds(20));
}

TEST(CircuitBreakerTest, ATimeoutAfterLongSilenceOpensWithATrialAtOnce) {
  CircuitBreaker breaker(1);
  breaker.OnTimeout(kStart, kStart + milliseconds(250));
  EXPECT_FALSE(breaker.closed());
  EXPECT_TRUE(breaker.TakeTrial(kStart + milliseconds(250)));
}

TEST(CircuitBreakerTest, ShortTimeoutsOpenWhenThereAreSeveralInARow) {
  CircuitBreaker breaker(1);
  Time now = kStart;
  for (int i = 0; i < 2; ++i) {
    breaker.OnTimeout(now, now + milliseconds(10));
    now += milliseconds(10);
  }
  EXPECT_TRUE(breaker.closed());
  breaker.OnWord();  // it spoke: the row begins anew
  for (int i = 0; i < 2; ++i) {
    breaker.OnTimeout(now, now + milliseconds(10));
    now += milliseconds(10);
  }
  EXPECT_TRUE(breaker.closed());
  breaker.OnTimeout(now, now + milliseconds(10));
  EXPECT_FALSE(breaker.closed());
}

TEST(CircuitBreakerTest, ShortTimeoutsSideBySideAreOne) {
  CircuitBreaker breaker(1);
  for (int i = 0; i < 100; ++i) breaker.OnTimeout(kStart, kStart + milliseconds(10));
  EXPECT_TRUE(breaker.closed());
}

TEST(CircuitBreakerTest, ATrialThatNeverEndsHasFailed) {
  CircuitBreaker breaker(1);
  breaker.OnConnectionFailed(kStart);
  const Time trial = kStart + *WaitFor(breaker, kStart);
  EXPECT_FALSE(breaker.TakeTrial(trial + milliseconds(1999)));
  const std::optional<Span> again = WaitFor(breaker, trial + seconds(2));
  ASSERT_TRUE(again.has_value());
  EXPECT_GE(*again, milliseconds(20));  // of the second wait
  EXPECT_LE(*again, milliseconds(40));
}

TEST(CircuitBreakerTest, WhatOthersSayHastensOneTrial) {
  CircuitBreaker breaker(1);
  EXPECT_FALSE(breaker.Hasten());  // closed: no trial is needed
  for (int i = 0; i < 6; ++i) {
    breaker.OnConnectionFailed(kStart);
    ASSERT_TRUE(i == 0 ? WaitFor(breaker, kStart) > Span(0)
                       : breaker.TakeTrial(kStart + seconds(1)));
  }
  breaker.OnConnectionFailed(kStart);
  EXPECT_FALSE(breaker.TakeTrial(kStart));
  EXPECT_FALSE(breaker.Hasten());
  EXPECT_FALSE(breaker.closed());
  EXPECT_TRUE(breaker.TakeTrial(kStart));
  EXPECT_FALSE(breaker.TakeTrial(kStart));  // B2
  breaker.Hasten();                         // while one is under way: the next
  EXPECT_FALSE(breaker.TakeTrial(kStart));
  breaker.OnConnectionFailed(kStart);
  EXPECT_TRUE(breaker.TakeTrial(kStart));
  breaker.OnConnectionFailed(kStart);
  EXPECT_GE(WaitFor(breaker, kStart), milliseconds(250));  // waits are as long as before
}

TEST(NodeHealthTest, CountsOpenSendsAndSaysWhenReachabilityChanges) {
  NodeHealth health(1);
  health.OnSent(1, kStart);
  health.OnSent(1, kStart);
  health.OnSent(2, kStart);
  EXPECT_EQ(health.outstanding(1), 2U);
  EXPECT_EQ(health.outstanding(), 3U);
  health.OnLanded(1);
  EXPECT_EQ(health.outstanding(1), 1U);
  EXPECT_TRUE(health.OnConnectionFailed(1, kStart));
  EXPECT_FALSE(health.OnConnectionFailed(1, kStart));
  EXPECT_FALSE(health.IsReachable(1));
  EXPECT_TRUE(health.IsReachable(2));
  EXPECT_TRUE(health.IsReachable(3));
  EXPECT_TRUE(health.OnWord(1, kStart));
  EXPECT_FALSE(health.OnWord(1, kStart));
  EXPECT_TRUE(health.IsReachable(1));
}

TEST(NodeHealthTest, ASendThatTimesOutWhileTheNodeSpeaksSaysNothingOfTheNode) {
  NodeHealth health(1);
  health.OnSent(1, kStart);
  EXPECT_FALSE(health.OnWord(1, kStart + milliseconds(1)));
  EXPECT_FALSE(health.OnTimeout(1, kStart, kStart + seconds(5)));
  EXPECT_TRUE(health.IsReachable(1));
}

TEST(NodeHealthTest, ToAskWhetherItLivesIsNotWordFromIt) {
  NodeHealth health(1);
  health.OnSent(1, kStart);
  EXPECT_TRUE(health.TakeQuiet(milliseconds(750), kStart + milliseconds(700)).empty());
  EXPECT_EQ(health.TakeQuiet(milliseconds(750), kStart + milliseconds(800)).size(), 1U);
  EXPECT_TRUE(health.TakeQuiet(milliseconds(750), kStart + milliseconds(900)).empty());
  EXPECT_TRUE(health.OnTimeout(1, kStart, kStart + seconds(1)));
}

TEST(NodeHealthTest, OnlyNodesOutOfReachAreTried) {
  NodeHealth health(1);
  health.OnSent(1, kStart);
  health.OnConnectionFailed(2, kStart);
  health.OnConnectionFailed(3, kStart);
  EXPECT_TRUE(health.TakeTrials(kStart).empty());
  EXPECT_EQ(health.TakeTrials(kStart + seconds(1)), (std::vector<uint64_t>{2, 3}));
  EXPECT_TRUE(health.TakeTrials(kStart + seconds(1)).empty());
}

}  // namespace
}  // namespace basalt::client
