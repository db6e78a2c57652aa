// Writes that have a request, and read tokens, as the dispatcher numbers and ends them.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "client/dispatcher.h"

namespace basalt::client {
namespace {

constexpr Span kTimeout = std::chrono::seconds(5);

// One node, which leads all slots.
class DispatcherRequestTest : public ::testing::Test {
 protected:
  DispatcherRequestTest() : dispatcher_(1) {
    ClusterView view;
    view.cluster_id = "0123456789abcdef";
    view.nodes.push_back({.node_id = 1, .client_address = "n1"});
    view.shards.push_back(
        {.shard_id = 1, .epoch = 1, .first_slot = 0, .slot_count = 16384, .nodes = {1}});
    view.leaders.push_back({.shard_id = 1, .node_id = 1, .term = 1});
    dispatcher_.OnMap(view);
  }

  // A put, if nothing else is said; its result lands in results_[number].
  int Start(Operation operation) {
    const int number = next_++;
    if (operation.kind == OperationKind::kGet && operation.at == 0) {
      operation.kind = OperationKind::kPut;
    }
    operation.key = "k";
    dispatcher_.Start(std::make_shared<Operation>(std::move(operation)), now_, now_ + kTimeout,
                      [this, number](CallResult result) { results_[number] = std::move(result); });
    return number;
  }
  int StartRequest(OperationKind kind, const RequestToken& request) {
    return Start({.kind = kind, .request = request});
  }
  std::vector<Send> Turn() {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    return std::move(effects.sends);
  }
  void Give(uint64_t node, Answer answer) {
    std::vector<Answer> answers;
    answers.push_back(std::move(answer));
    dispatcher_.OnAnswers(node, answers, now_);
  }
  static Answer Ok(const Send& send) {
    Answer answer{.send_id = send.send_id};
    const bool reads = send.operation->kind == OperationKind::kGet;
    answer.payload.kind = reads ? Payload::Kind::kGet : Payload::Kind::kWrite;
    return answer;
  }
  static Answer Refused(const Send& send, SendEnd end) {
    Answer answer{.send_id = send.send_id};
    answer.report = {.end = end, .outcome = Outcome::kNotApplied, .message = "refused"};
    return answer;
  }

  Dispatcher dispatcher_;
  Time now_ = kTimeout;
  int next_ = 0;
  std::map<int, CallResult> results_;
};

// Its number was fixed before it was sent, maybe by a process that is gone.
TEST_F(DispatcherRequestTest, AWriteWithARequestHasItsNumberAndIsInDoubtFromTheStart) {
  const RequestToken request{
      .slot = 3, .client_high = 5, .client_low = 6, .sequence = 7, .issued = 400};
  const int put = StartRequest(OperationKind::kPut, request);
  const Send first = Turn().at(0);
  EXPECT_EQ(first.number.sequence, 7U);
  EXPECT_EQ(first.number.lowest_open, 1U);
  EXPECT_EQ(first.number.issued, 400U);
  // Not of this client's: the next one of it is its first.
  const int other = Start({});
  const Send plain = Turn().at(0);
  EXPECT_EQ(plain.number.sequence, 1U);
  Give(1, Ok(plain));
  Give(1, Refused(first, SendEnd::kInvalid));
  Turn();
  EXPECT_TRUE(results_.at(other).status.ok());
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
}

TEST_F(DispatcherRequestTest, AWriteWithARequestIsNeverMadeAnew) {
  const int put = StartRequest(OperationKind::kPut, {.slot = 3, .sequence = 1, .issued = 400});
  Answer forgotten{.send_id = Turn().at(0).send_id, .clock = 900};
  forgotten.report = {.end = SendEnd::kForgotten, .message = "who?"};
  Give(1, std::move(forgotten));
  EXPECT_TRUE(Turn().empty());
  EXPECT_EQ(results_.at(put).status.code(), Code::kForgotten);
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
}

// Below it would be what somebody has read a snapshot of already; `issued` tells what may have been
// forgotten and stays.
TEST_F(DispatcherRequestTest, AWriteWithARequestLiesAboveWhatIsKnownWhenItIsSent) {
  dispatcher_.Observe(5000);
  StartRequest(OperationKind::kPut, {.slot = 3, .sequence = 1, .issued = 400});
  const Send first = Turn().at(0);
  EXPECT_EQ(first.number.issued, 400U);
  EXPECT_EQ(first.number.above, 5000U);
}

TEST_F(DispatcherRequestTest, ARefusalOfWhatIsFencedIsTheEnd) {
  const RequestToken request{.slot = 3, .sequence = 1, .issued = 400};
  const int put = StartRequest(OperationKind::kPut, request);
  const int question = StartRequest(OperationKind::kOutcome, request);
  for (const Send& send : Turn()) Give(1, Refused(send, SendEnd::kFenced));
  Turn();
  for (const int call : {put, question}) {
    EXPECT_EQ(results_.at(call).status.code(), Code::kFenced);
    EXPECT_EQ(results_.at(call).status.outcome(), Outcome::kNotApplied);
  }
  // Of a write that named no request it makes no sense.
  const int plain = Start({});
  Give(1, Refused(Turn().at(0), SendEnd::kFenced));
  Turn();
  EXPECT_FALSE(results_.contains(plain));
}

TEST_F(DispatcherRequestTest, ARequestThatAnotherWriteHadIsTheEndOfThisOne) {
  const int put = StartRequest(OperationKind::kPut, {.slot = 3, .sequence = 1, .issued = 400});
  Give(1, Refused(Turn().at(0), SendEnd::kAnotherRan));
  Turn();
  EXPECT_EQ(results_.at(put).status.code(), Code::kInvalidArgument);
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kNotApplied);
  const int plain = Start({});  // whose number the library chose
  Give(1, Refused(Turn().at(0), SendEnd::kAnotherRan));
  Turn();
  EXPECT_FALSE(results_.contains(plain));
}

TEST_F(DispatcherRequestTest, WhatIsWrittenLiesAboveATokenForOneCallOrAll) {
  Start({});
  EXPECT_EQ(Turn().at(0).number.issued, 0U);
  auto with_token =
      std::make_shared<Operation>(Operation{.kind = OperationKind::kPut, .key = "k", .token = 700});
  dispatcher_.Start(with_token, now_, now_ + kTimeout, [](const CallResult&) {});
  EXPECT_EQ(Turn().at(0).number.issued, 700U);
  EXPECT_EQ(dispatcher_.highest_clock(), 0U);
  dispatcher_.Observe(600);
  dispatcher_.Observe(500);
  Start({});
  EXPECT_EQ(Turn().at(0).number.issued, 600U);
}

// Of a snapshot that a token made: what follows comes after it.
TEST_F(DispatcherRequestTest, WhatWasReadAtATimestampIsKnownFromThenOn) {
  Start({.at = 800});
  const Send send = Turn().at(0);
  EXPECT_EQ(dispatcher_.highest_clock(), 0U);
  Give(1, Ok(send));
  EXPECT_EQ(dispatcher_.highest_clock(), 800U);
}

Operation Setting(uint64_t shard_id = 1) {
  Operation operation{.kind = OperationKind::kSetRetention};
  operation.retention = std::chrono::seconds(30);
  operation.page = {.shard_id = shard_id, .first_slot = 0, .slot_count = 16384};
  return operation;
}

// Nothing is lost when it runs twice: so it is sent again, and no number is spent.
TEST_F(DispatcherRequestTest, ASettingIsRepeatedWithoutANumber) {
  const int setting = Start(Setting());
  const Send first = Turn().at(0);
  EXPECT_EQ(first.to.shard_id, 1U);
  EXPECT_EQ(first.number.sequence, 0U);
  dispatcher_.OnSendsLost(1, {first.send_id}, now_);
  now_ += std::chrono::seconds(1);
  dispatcher_.OnTime(now_);
  const Send second = Turn().at(0);
  EXPECT_NE(second.send_id, first.send_id);
  EXPECT_FALSE(results_.contains(setting));
  Give(1, {.send_id = second.send_id, .clock = 70});
  EXPECT_TRUE(Turn().empty());
  EXPECT_TRUE(results_.at(setting).status.ok());
  EXPECT_EQ(dispatcher_.highest_clock(), 70U);
  Start({});
  EXPECT_EQ(Turn().at(0).number.sequence, 1U);
}

TEST_F(DispatcherRequestTest, ASettingThatNobodyAnsweredIsUnknown) {
  const int lost = Start(Setting());
  const Send send = Turn().at(0);
  dispatcher_.OnTime(now_ + kTimeout);
  for (const Withdrawal& taken : dispatcher_.TakeEffects().withdrawals) {
    EXPECT_EQ(taken.send_id, send.send_id);
    dispatcher_.OnWithdrawn(taken.send_id, false, now_ + kTimeout);
  }
  Turn();
  EXPECT_EQ(results_.at(lost).status.outcome(), Outcome::kUnknown);
}

TEST_F(DispatcherRequestTest, ASettingThatWasRefusedIsNotApplied) {
  const int refused = Start(Setting());
  Give(1, Refused(Turn().at(0), SendEnd::kInvalid));
  Turn();
  EXPECT_EQ(results_.at(refused).status.code(), Code::kInvalidArgument);
  EXPECT_EQ(results_.at(refused).status.outcome(), Outcome::kNotApplied);
  // The result of a write fits it as little as that of a read.
  const int odd = Start(Setting());
  Give(1, Ok(Turn().at(0)));
  Turn();
  EXPECT_FALSE(results_.contains(odd));
}

// What was asked of a shard that was cut meanwhile may have been taken before.
TEST_F(DispatcherRequestTest, ASettingInDoubtStaysSoWhenTheSlotsChange) {
  const int setting = Start(Setting());
  const Send first = Turn().at(0);
  dispatcher_.OnSendsLost(1, {first.send_id}, now_);
  ClusterView view;
  view.cluster_id = "0123456789abcdef";
  view.nodes.push_back({.node_id = 1, .client_address = "n1"});
  view.shards.push_back(
      {.shard_id = 1, .epoch = 2, .first_slot = 0, .slot_count = 8192, .nodes = {1}});
  view.leaders.push_back({.shard_id = 1, .node_id = 1, .term = 1});
  dispatcher_.OnMap(view);
  dispatcher_.OnTime(now_ + std::chrono::seconds(1));
  EXPECT_TRUE(Turn().empty());
  EXPECT_EQ(results_.at(setting).status.outcome(), Outcome::kUnknown);
}

}  // namespace
}  // namespace basalt::client
