#include "client/retry_policy.h"

#include <gtest/gtest.h>

#include <vector>

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Time kNow = seconds(100);
constexpr Time kDeadline = seconds(105);

const std::vector<SendEnd> kAllFailures = {
    SendEnd::kInvalid,    SendEnd::kWrongShard, SendEnd::kNotLeader,  SendEnd::kUnavailable,
    SendEnd::kOverloaded, SendEnd::kDeadline,   SendEnd::kReadOnly,   SendEnd::kInternal,
    SendEnd::kNotFormed,  SendEnd::kNotSent,    SendEnd::kLinkBroken, SendEnd::kGarbled,
    SendEnd::kForgotten};

// It has one number however often it is sent: the next answer tells what became of it.
TEST(RetryPolicyTest, AWriteInDoubtGoesOnUntilTheDeadlineAndStaysInDoubt) {
  for (const SendEnd end : kAllFailures) {
    if (end == SendEnd::kNotSent) continue;
    const bool final = end == SendEnd::kInvalid || end == SendEnd::kForgotten;
    RetryPolicy policy(1);
    CallHistory history;
    Time now = kNow;
    Verdict verdict;
    int sends = 0;
    do {
      verdict = policy.OnSendEnded(CallKind::kWrite, history, {.end = end}, now, kDeadline);
      now += verdict.delay;
      ++sends;
    } while (verdict.retry && sends < 1000);
    EXPECT_EQ(sends == 1, final) << static_cast<int>(end);
    EXPECT_EQ(verdict.status.outcome(), Outcome::kUnknown) << static_cast<int>(end);
  }
}

// It settles what was in doubt.
TEST(RetryPolicyTest, AWriteWhoseNumberIsTakenIsNotAppliedForGood) {
  for (const auto& [end, code] : {std::pair(SendEnd::kFenced, Code::kFenced),
                                  std::pair(SendEnd::kAnotherRan, Code::kInvalidArgument)}) {
    RetryPolicy policy(1);
    CallHistory history;
    EXPECT_TRUE(
        policy
            .OnSendEnded(CallKind::kWrite, history, {.end = SendEnd::kLinkBroken}, kNow, kDeadline)
            .retry);
    const Verdict verdict = policy.OnSendEnded(
        CallKind::kWrite, history, {.end = end, .outcome = Outcome::kNotApplied}, kNow, kDeadline);
    EXPECT_FALSE(verdict.retry);
    EXPECT_EQ(verdict.status.code(), code);
    EXPECT_EQ(verdict.status.outcome(), Outcome::kNotApplied);
  }
}

TEST(RetryPolicyTest, AWriteGoesOnWhenTheAnswerSaysNotApplied) {
  for (const SendEnd end :
       {SendEnd::kWrongShard, SendEnd::kNotLeader, SendEnd::kUnavailable, SendEnd::kOverloaded}) {
    RetryPolicy policy(1);
    CallHistory history;
    const Verdict verdict = policy.OnSendEnded(
        CallKind::kWrite, history, {.end = end, .outcome = Outcome::kNotApplied}, kNow, kDeadline);
    EXPECT_TRUE(verdict.retry) << static_cast<int>(end);
  }
}

TEST(RetryPolicyTest, AWriteThatNeverLeftGoesOn) {
  RetryPolicy policy(1);
  CallHistory history;
  EXPECT_TRUE(
      policy.OnSendEnded(CallKind::kWrite, history, {.end = SendEnd::kNotSent}, kNow, kDeadline)
          .retry);
  EXPECT_EQ(policy.OnDeadline(CallKind::kWrite, history, false).outcome(), Outcome::kNotApplied);
}

TEST(RetryPolicyTest, OneDoubtfulSendMakesTheWholeUnknown) {
  RetryPolicy policy(1);
  CallHistory history;
  policy.OnSendEnded(CallKind::kWrite, history,
                     {.end = SendEnd::kNotLeader, .outcome = Outcome::kNotApplied}, kNow,
                     kDeadline);
  EXPECT_TRUE(
      policy.OnSendEnded(CallKind::kWrite, history, {.end = SendEnd::kLinkBroken}, kNow, kDeadline)
          .retry);
  // A later send that was refused for certain says nothing of the earlier one.
  const Verdict verdict = policy.OnSendEnded(
      CallKind::kWrite, history, {.end = SendEnd::kInvalid, .outcome = Outcome::kNotApplied}, kNow,
      kDeadline);
  EXPECT_FALSE(verdict.retry);
  EXPECT_EQ(verdict.status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(policy.OnDeadline(CallKind::kWrite, history, false).outcome(), Outcome::kUnknown);
}

TEST(RetryPolicyTest, ADeadlineWithASendOpenIsUnknownForWritesOnly) {
  const RetryPolicy policy(1);
  EXPECT_EQ(policy.OnDeadline(CallKind::kWrite, {}, true).outcome(), Outcome::kUnknown);
  EXPECT_EQ(policy.OnDeadline(CallKind::kWrite, {}, false).outcome(), Outcome::kNotApplied);
  EXPECT_EQ(policy.OnDeadline(CallKind::kRead, {}, true).outcome(), Outcome::kNotApplied);
  EXPECT_EQ(policy.OnClosed(CallKind::kWrite, {}, true).outcome(), Outcome::kUnknown);
  EXPECT_EQ(policy.OnClosed(CallKind::kWrite, {}, false).outcome(), Outcome::kNotApplied);
}

TEST(RetryPolicyTest, ReadsGoOnUntilTheDeadline) {
  for (const SendEnd end : kAllFailures) {
    const bool final =
        end == SendEnd::kInvalid || end == SendEnd::kReadOnly || end == SendEnd::kForgotten;
    RetryPolicy policy(1);
    CallHistory history;
    Time now = kNow;
    Verdict verdict;
    int sends = 0;
    do {
      verdict = policy.OnSendEnded(CallKind::kRead, history, {.end = end, .message = "m"}, now,
                                   kDeadline);
      now += verdict.delay;
      ++sends;
    } while (verdict.retry && sends < 1000);
    EXPECT_EQ(sends == 1, final) << static_cast<int>(end);
    EXPECT_EQ(verdict.status.outcome(), Outcome::kNotApplied);
    EXPECT_LT(now, kDeadline + milliseconds(200));
    EXPECT_NE(verdict.status.message().find('m'), std::string::npos);
  }
}

TEST(RetryPolicyTest, RefusalsAreFinalAndKeepTheirOutcome) {
  RetryPolicy policy(1);
  CallHistory history;
  const Verdict verdict = policy.OnSendEnded(CallKind::kWrite, history,
                                             {.end = SendEnd::kReadOnly,
                                              .outcome = Outcome::kNotApplied,
                                              .retry_after = seconds(3),
                                              .message = "disk"},
                                             kNow, kDeadline);
  EXPECT_FALSE(verdict.retry);
  EXPECT_EQ(verdict.status.code(), Code::kReadOnly);
  EXPECT_EQ(verdict.status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(verdict.status.retry_after(), seconds(3));
}

// An earlier send may wait for the lock that turned this one away: who begins anew under another
// number while it does, may have it done twice.
TEST(RetryPolicyTest, WhatALockTurnsAwayIsBegunAnewOnlyIfNoOtherSendMayRun) {
  const SendReport locked{.end = SendEnd::kLocked, .outcome = Outcome::kNotApplied};
  RetryPolicy policy(1);
  CallHistory history;
  Verdict verdict = policy.OnSendEnded(CallKind::kWrite, history, locked, kNow, kDeadline);
  EXPECT_FALSE(verdict.retry);
  EXPECT_EQ(verdict.status.code(), Code::kAborted);
  EXPECT_EQ(verdict.status.outcome(), Outcome::kNotApplied);

  policy.OnSendEnded(CallKind::kWrite, history, {.end = SendEnd::kLinkBroken}, kNow, kDeadline);
  verdict = policy.OnSendEnded(CallKind::kWrite, history, locked, kNow, kDeadline);
  EXPECT_TRUE(verdict.retry);
  verdict = policy.OnSendEnded(CallKind::kWrite, history, locked, kDeadline, kDeadline);
  EXPECT_NE(verdict.status.code(), Code::kAborted);
  EXPECT_EQ(verdict.status.outcome(), Outcome::kUnknown);
}

TEST(RetryPolicyTest, AnErrorAfterApplyingSaysApplied) {
  RetryPolicy policy(1);
  CallHistory history;
  const Verdict verdict = policy.OnSendEnded(
      CallKind::kWrite, history, {.end = SendEnd::kInternal, .outcome = Outcome::kApplied}, kNow,
      kDeadline);
  EXPECT_FALSE(verdict.retry);
  EXPECT_EQ(verdict.status.outcome(), Outcome::kApplied);
}

TEST(RetryPolicyTest, ANewRouteIsTriedAtOnceButNotForEver) {
  RetryPolicy policy(1);
  CallHistory history;
  int at_once = 0;
  int waits = 0;
  for (int i = 0; i < 20; ++i) {
    const Verdict verdict = policy.OnSendEnded(
        CallKind::kRead, history, {.end = SendEnd::kNotLeader, .rerouted = true}, kNow, kDeadline);
    ASSERT_TRUE(verdict.retry);
    ++(verdict.delay == Span(0) ? at_once : waits);
  }
  EXPECT_EQ(at_once, 15);
  EXPECT_EQ(waits, 5);
}

TEST(RetryPolicyTest, TheServersAdviceIsKept) {
  RetryPolicy policy(1);
  CallHistory history;
  const SendReport overloaded{.end = SendEnd::kOverloaded,
                              .outcome = Outcome::kNotApplied,
                              .rerouted = true,
                              .retry_after = milliseconds(700)};
  const Verdict verdict =
      policy.OnSendEnded(CallKind::kWrite, history, overloaded, kNow, kDeadline);
  EXPECT_TRUE(verdict.retry);
  EXPECT_GE(verdict.delay, milliseconds(700));
  // And when it leaves no time, the call ends now rather than at the deadline.
  const Verdict late = policy.OnSendEnded(CallKind::kWrite, history, overloaded,
                                          kDeadline - milliseconds(100), kDeadline);
  EXPECT_FALSE(late.retry);
  EXPECT_EQ(late.status.code(), Code::kOverloaded);
  EXPECT_EQ(late.status.outcome(), Outcome::kNotApplied);
  EXPECT_GE(late.status.retry_after(), milliseconds(700));
}

TEST(RetryPolicyTest, BackoffGrowsIsBoundedAndDependsOnTheSeedAlone) {
  RetryPolicy one(7);
  RetryPolicy same(7);
  RetryPolicy other(8);
  bool differs = false;
  for (uint32_t i = 0; i < 40; ++i) {
    const Span full = std::min<Span>(milliseconds(200), milliseconds(2) * (1 << std::min(i, 10U)));
    const Span backoff = one.Backoff(i);
    EXPECT_GE(backoff, full / 2);
    EXPECT_LE(backoff, full);
    EXPECT_EQ(backoff, same.Backoff(i));
    differs = differs || backoff != other.Backoff(i);
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace basalt::client
