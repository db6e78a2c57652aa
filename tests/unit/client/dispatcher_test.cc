#include "client/dispatcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

ClusterView MapOf(uint64_t nodes, uint64_t leader, uint64_t term) {
  ClusterView view;
  view.cluster_id = "0123456789abcdef";
  ShardView shard{.shard_id = 1, .epoch = 1, .first_slot = 0, .slot_count = 16384};
  for (uint64_t id = 1; id <= nodes; ++id) {
    view.nodes.push_back({.node_id = id, .client_address = "n" + std::to_string(id)});
    shard.nodes.push_back(id);
  }
  view.shards.push_back(shard);
  view.leaders.push_back({.shard_id = 1, .node_id = leader, .term = term});
  return view;
}

// A dispatcher with the world around it played by the test.
class DispatcherTest : public ::testing::Test {
 protected:
  DispatcherTest() : dispatcher_(1) { dispatcher_.OnMap(MapOf(3, 1, 1)); }

  // Starts a call; its result lands in results_[number].
  int Start(OperationKind kind, Span timeout = seconds(5), bool explain = false) {
    const int number = next_++;
    auto operation = std::make_shared<Operation>(
        Operation{.kind = kind, .key = "k", .value = "v", .explain = explain});
    if (kind == OperationKind::kScan) operation->page = {.shard_id = 1, .slot_count = 16384};
    dispatcher_.Start(operation, now_, now_ + timeout, [this, number](CallResult result) {
      EXPECT_FALSE(results_.contains(number)) << "D2: a call ends once";
      results_[number] = std::move(result);
    });
    return number;
  }
  // Carries effects out; the sends of this turn.
  std::vector<Send> Turn() {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    probes_ = effects.probes;
    map_fetches_ += effects.fetch_map ? 1 : 0;
    trials_ = effects.trials;
    withdrawals_ = effects.withdrawals;
    for (const Withdrawal& withdrawal : effects.withdrawals) {
      if (has_left_.has_value()) Tell(withdrawal, *has_left_);
    }
    return std::move(effects.sends);
  }
  void Tell(const Withdrawal& withdrawal, bool has_left) {
    dispatcher_.OnWithdrawn(withdrawal.send_id, !has_left, now_);
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
  }
  void Give(uint64_t node, Answer answer) {
    std::vector<Answer> answers;
    answers.push_back(std::move(answer));
    dispatcher_.OnAnswers(node, answers, now_);
  }
  static Answer Ok(const Send& send) {
    Answer answer{.send_id = send.send_id};
    switch (send.operation->kind) {
      case OperationKind::kGet:
        answer.payload.kind = Payload::Kind::kGet;
        break;
      case OperationKind::kScan:
        answer.payload.kind = Payload::Kind::kScan;
        break;
      default:
        answer.payload.kind = Payload::Kind::kWrite;
        break;
    }
    return answer;
  }
  static Answer Refused(const Send& send, SendEnd end, LeaderView leader = {}) {
    Answer answer{.send_id = send.send_id, .leader = leader};
    answer.report = {.end = end, .outcome = Outcome::kNotApplied, .message = "refused"};
    return answer;
  }
  // Lets time pass until something is sent.
  std::vector<Send> RunUntilSend(Span at_most = seconds(10)) {
    const Time end = now_ + at_most;
    while (now_ < end) {
      std::vector<Send> sends = Turn();
      if (!sends.empty()) return sends;
      const Time wake = dispatcher_.NextWake();
      if (wake == kNever) return {};
      now_ = std::max(now_, wake);
      dispatcher_.OnTime(now_);
    }
    return {};
  }

  Dispatcher dispatcher_;
  Time now_ = seconds(1000);
  std::map<int, CallResult> results_;
  std::vector<uint64_t> probes_;
  std::vector<uint64_t> trials_;
  std::vector<Withdrawal> withdrawals_;
  std::optional<bool> has_left_ = true;  // what is said of sends at their deadline
  int map_fetches_ = 0;
  int next_ = 0;
};

TEST_F(DispatcherTest, ACallThatAsksComesWithItsStory) {
  const int plain = Start(OperationKind::kPut);
  const int call = Start(OperationKind::kPut, seconds(5), true);
  const Time started = now_;
  auto sends = Turn();
  ASSERT_EQ(sends.size(), 2U);
  EXPECT_FALSE(sends[0].operation->explain);
  Give(1, Ok(sends[0]));
  now_ += milliseconds(3);
  Give(1, Refused(sends[1], SendEnd::kNotLeader, {.shard_id = 1, .node_id = 2, .term = 2}));
  sends = Turn();
  ASSERT_EQ(sends.size(), 1U);
  now_ += milliseconds(4);
  Answer answer = Ok(sends[0]);
  answer.written = now_ - milliseconds(1);
  answer.server =
      std::make_unique<ServerStory>(ServerStory{.term = 2, .stages = {{"log", Span(9)}}});
  Give(2, std::move(answer));
  Turn();
  EXPECT_EQ(results_[plain].story, nullptr);
  ASSERT_NE(results_[call].story, nullptr);
  const CallStory& story = *results_[call].story;
  EXPECT_EQ(story.started, started);
  EXPECT_EQ(story.ended, now_);
  ASSERT_EQ(story.attempts.size(), 2U);
  EXPECT_EQ(story.attempts[0].node_id, 1U);
  EXPECT_EQ(story.attempts[0].end, SendEnd::kNotLeader);
  EXPECT_EQ(story.attempts[0].message, "refused");
  EXPECT_EQ(story.attempts[0].ended, started + milliseconds(3));
  EXPECT_EQ(story.attempts[0].server, nullptr);
  EXPECT_EQ(story.attempts[1].node_id, 2U);
  EXPECT_EQ(story.attempts[1].shard_id, 1U);
  EXPECT_EQ(story.attempts[1].end, SendEnd::kOk);
  EXPECT_EQ(story.attempts[1].sent, started + milliseconds(3));
  EXPECT_EQ(story.attempts[1].written, started + milliseconds(6));
  EXPECT_EQ(story.attempts[1].ended, now_);
  ASSERT_NE(story.attempts[1].server, nullptr);
  EXPECT_EQ(story.attempts[1].server->term, 2U);
}

TEST_F(DispatcherTest, TheStoryOfACallThatNobodyAnswersEndsAtItsDeadline) {
  const int call = Start(OperationKind::kPut, milliseconds(100), true);
  ASSERT_EQ(Turn().size(), 1U);
  now_ += milliseconds(100);
  dispatcher_.OnTime(now_);
  Turn();
  ASSERT_NE(results_[call].story, nullptr);
  const CallStory& story = *results_[call].story;
  ASSERT_EQ(story.attempts.size(), 1U);
  EXPECT_EQ(story.attempts[0].end, SendEnd::kDeadline);
  EXPECT_EQ(story.attempts[0].ended - story.started, milliseconds(100));
  EXPECT_EQ(story.ended, now_);
}

TEST_F(DispatcherTest, ACallGoesToTheLeaderAndEndsWithItsAnswer) {
  const int call = Start(OperationKind::kGet);
  const auto sends = Turn();
  ASSERT_EQ(sends.size(), 1U);
  EXPECT_EQ(sends[0].to.node_id, 1U);
  EXPECT_EQ(sends[0].to.shard_id, 1U);
  EXPECT_EQ(sends[0].to.shard_epoch, 1U);
  EXPECT_GT(sends[0].timeout_ms, 4000U);
  EXPECT_LT(sends[0].timeout_ms, 5000U);  // the server should speak before the deadline
  Answer answer = Ok(sends[0]);
  answer.payload.found = true;
  answer.payload.value = "v";
  Give(1, std::move(answer));
  Turn();
  ASSERT_TRUE(results_.contains(call));
  EXPECT_TRUE(results_[call].status.ok());
  EXPECT_EQ(results_[call].payload.value, "v");
  EXPECT_EQ(dispatcher_.open_calls(), 0U);
  EXPECT_EQ(dispatcher_.open_bytes(), 0U);
  EXPECT_EQ(dispatcher_.NextWake(), kNever);
}

TEST_F(DispatcherTest, AHintIsFollowedAtOnceUnderAFreshId) {
  const int call = Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  Give(1, Refused(first, SendEnd::kNotLeader, {.shard_id = 1, .node_id = 3, .term = 2}));
  const Send second = Turn().at(0);
  EXPECT_EQ(second.to.node_id, 3U);
  EXPECT_NE(second.send_id, first.send_id);
  EXPECT_EQ(second.number.sequence, first.number.sequence);
  EXPECT_EQ(second.number.issued, first.number.issued);
  // A late copy of the first answer is for nobody (D1).
  Give(1, Ok(first));
  Turn();
  EXPECT_FALSE(results_.contains(call));
  Give(3, Ok(second));
  Turn();
  EXPECT_TRUE(results_.at(call).status.ok());
}

TEST_F(DispatcherTest, WhatWasUnderWayOnABrokenLinkIsSentAgain) {
  for (const OperationKind kind : {OperationKind::kPut, OperationKind::kGet}) {
    const int call = Start(kind);
    const Send first = Turn().at(0);
    dispatcher_.OnLinkBroken(first.to.node_id, {}, now_);
    const auto again = RunUntilSend(milliseconds(500));
    ASSERT_EQ(again.size(), 1U);
    EXPECT_EQ(again[0].operation->kind, kind);
    EXPECT_NE(again[0].to.node_id, first.to.node_id);
    EXPECT_FALSE(results_.contains(call));
    EXPECT_GT(map_fetches_, 0);
    Give(again[0].to.node_id, Ok(again[0]));
    Turn();
    EXPECT_TRUE(results_.at(call).status.ok());
  }
}

TEST_F(DispatcherTest, WhatABrokenLinkNeverSentIsSentElsewhere) {
  const int put = Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  dispatcher_.OnLinkBroken(1, {first.send_id}, now_);
  const auto again = Turn();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_NE(again[0].to.node_id, 1U);
  EXPECT_FALSE(results_.contains(put));
}

TEST_F(DispatcherTest, WithNoNodeReachableAWriteEndsAsNotApplied) {
  const int put = Start(OperationKind::kPut, milliseconds(800));
  std::set<uint64_t> tried;
  for (auto sends = RunUntilSend(); !sends.empty(); sends = RunUntilSend()) {
    tried.insert(sends[0].to.node_id);
    dispatcher_.OnUnsent(sends[0].to.node_id, {sends[0].send_id}, now_);
  }
  ASSERT_TRUE(results_.contains(put));
  EXPECT_EQ(results_[put].status.code(), Code::kUnavailable);
  EXPECT_EQ(results_[put].status.outcome(), Outcome::kNotApplied);
  EXPECT_EQ(tried, (std::set<uint64_t>{1, 2, 3}));
}

TEST_F(DispatcherTest, TheDeadlineEndsACallThatNobodyAnswers) {
  const int put = Start(OperationKind::kPut, milliseconds(500));
  const int get = Start(OperationKind::kGet, milliseconds(700));
  const Send sent = Turn().at(0);
  now_ += milliseconds(500);
  dispatcher_.OnTime(now_);
  Turn();
  EXPECT_EQ(results_.at(put).status.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
  EXPECT_FALSE(results_.contains(get));
  now_ += milliseconds(200);
  dispatcher_.OnTime(now_);
  Turn();
  EXPECT_EQ(results_.at(get).status.outcome(), Outcome::kNotApplied);
  Give(1, Ok(sent));  // too late
  Turn();
}

TEST_F(DispatcherTest, WithoutAMapCallsWaitForOne) {
  Dispatcher fresh(1);
  CallResult result;
  bool ended = false;
  fresh.Start(std::make_shared<Operation>(Operation{.kind = OperationKind::kGet, .key = "k"}), now_,
              now_ + seconds(5), [&](CallResult r) {
                result = std::move(r);
                ended = true;
              });
  Effects effects = fresh.TakeEffects();
  EXPECT_TRUE(effects.fetch_map);
  EXPECT_TRUE(effects.sends.empty());
  fresh.OnMap(MapOf(3, 2, 1));
  now_ = fresh.NextWake();
  fresh.OnTime(now_);
  effects = fresh.TakeEffects();
  ASSERT_EQ(effects.sends.size(), 1U);
  EXPECT_EQ(effects.sends[0].to.node_id, 2U);
  EXPECT_FALSE(ended);
}

TEST_F(DispatcherTest, AStaleEpochIsMendedByTheAnswer) {
  Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  Answer answer = Refused(first, SendEnd::kWrongShard);
  answer.descriptor = std::make_unique<ShardView>(
      ShardView{.shard_id = 1, .epoch = 4, .slot_count = 16384, .nodes = {1, 2, 3}});
  Give(1, std::move(answer));
  const Send second = Turn().at(0);
  EXPECT_EQ(second.to.shard_epoch, 4U);
  EXPECT_GT(map_fetches_, 0);
}

TEST_F(DispatcherTest, AScanIsRefusedWhenItsShardChanged) {
  const int scan = Start(OperationKind::kScan);
  const Send first = Turn().at(0);
  Answer answer = Refused(first, SendEnd::kWrongShard);
  answer.descriptor = std::make_unique<ShardView>(
      ShardView{.shard_id = 1, .epoch = 4, .slot_count = 100, .nodes = {1, 2, 3}});
  Give(1, std::move(answer));
  EXPECT_TRUE(Turn().empty());
  EXPECT_EQ(results_.at(scan).status.code(), Code::kUnavailable);
}

TEST_F(DispatcherTest, AnAnswerOfAnotherKindIsNoSuccess) {
  const int put = Start(OperationKind::kPut);
  Answer answer{.send_id = Turn().at(0).send_id};
  answer.payload.kind = Payload::Kind::kGet;
  Give(1, std::move(answer));
  EXPECT_TRUE(Turn().empty());
  EXPECT_FALSE(results_.contains(put));  // it goes on, and is in doubt
  now_ += seconds(5);
  dispatcher_.OnTime(now_);
  Turn();
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
}

// A result that another kind of operation has is none.
TEST_F(DispatcherTest, AResultOfAnotherKindIsNoSuccess) {
  const int put = Start(OperationKind::kPut);
  Answer failed = Ok(Turn().at(0));
  failed.payload.failed = true;
  Give(1, std::move(failed));
  EXPECT_FALSE(results_.contains(put));
  const Send again = RunUntilSend().at(0);
  Give(again.to.node_id, Refused(again, SendEnd::kNotANumber));
  EXPECT_FALSE(results_.contains(put));
}

TEST_F(DispatcherTest, AnswersToIdsNeverGivenAreIgnored) {
  Start(OperationKind::kGet);
  const Send send = Turn().at(0);
  for (const uint64_t id : {uint64_t{0}, uint64_t{1}, send.send_id + 1,
                            send.send_id ^ (uint64_t{1} << 40), ~uint64_t{0}}) {
    Answer answer = Ok(send);
    answer.send_id = id;
    Give(1, std::move(answer));
  }
  Turn();
  EXPECT_TRUE(results_.empty());
}

TEST_F(DispatcherTest, AQuietNodeThatOwesAnswersIsProbed) {
  Start(OperationKind::kGet, seconds(30));
  Turn();
  const Time begin = now_;
  while (probes_.empty() && now_ < begin + seconds(5)) {
    now_ = dispatcher_.NextWake();
    dispatcher_.OnTime(now_);
    Turn();
  }
  EXPECT_EQ(probes_, std::vector<uint64_t>{1});
  EXPECT_LE(now_ - begin, milliseconds(1100));
}

TEST_F(DispatcherTest, ANodeThatAnswersIsNotProbed) {
  for (int i = 0; i < 40; ++i) {
    Start(OperationKind::kGet, seconds(30));
    const auto sends = Turn();
    ASSERT_EQ(sends.size(), 1U);
    now_ += milliseconds(100);
    dispatcher_.OnTime(now_);
    Turn();
    EXPECT_TRUE(probes_.empty());
    Give(1, Ok(sends[0]));
  }
}

TEST_F(DispatcherTest, NumbersOfMutations) {
  Start(OperationKind::kPut);
  Start(OperationKind::kDelete);
  Start(OperationKind::kGet);
  auto sends = Turn();
  EXPECT_EQ(sends.at(0).number.sequence, 1U);
  EXPECT_EQ(sends.at(1).number.sequence, 2U);
  EXPECT_EQ(sends.at(2).number.sequence, 0U);
  EXPECT_EQ(sends.at(1).number.lowest_open, 1U);
  Answer second = Ok(sends[1]);
  second.clock = 77;
  Give(1, std::move(second));
  Start(OperationKind::kPut);
  const Send third = Turn().at(0);
  EXPECT_EQ(third.number.lowest_open, 1U);  // the first is still open
  EXPECT_EQ(third.number.issued, 77U);
  Give(1, Ok(sends[0]));
  Start(OperationKind::kPut);
  EXPECT_EQ(Turn().at(0).number.lowest_open, 3U);
}

// Who wrote after having seen it is above it, on whatever shard.
TEST_F(DispatcherTest, WhatWasReadIsBelowWhatIsWrittenNext) {
  Start(OperationKind::kGet);
  Answer answer = Ok(Turn().at(0));
  answer.payload.version = 88;
  Give(1, std::move(answer));
  Start(OperationKind::kPut);
  EXPECT_EQ(Turn().at(0).number.issued, 88U);
}

TEST_F(DispatcherTest, IssuedStaysWhatItWasAtTheFirstSend) {
  Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  Answer answer = Refused(first, SendEnd::kNotLeader, {.shard_id = 1, .node_id = 2, .term = 2});
  answer.clock = 500;
  Give(1, std::move(answer));
  EXPECT_EQ(Turn().at(0).number.issued, first.number.issued);
}

// Else a shard that has forgotten anybody takes each new client for one of those.
TEST_F(DispatcherTest, AClientsFirstWriteKnowsTheTimeOfTheMap) {
  ClusterView map = MapOf(3, 1, 2);
  map.clock = 300;
  dispatcher_.OnMap(map);
  Start(OperationKind::kPut);
  EXPECT_EQ(Turn().at(0).number.issued, 300U);
  map.cluster_id = "another cluster!";
  map.clock = 400;
  EXPECT_FALSE(dispatcher_.OnMap(map));
  Start(OperationKind::kPut);
  EXPECT_EQ(Turn().at(0).number.issued, 300U);
}

// A retry under its number is the point of numbers.
TEST_F(DispatcherTest, AWriteInDoubtIsSentAgainUnderItsNumber) {
  const int put = Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  dispatcher_.OnLinkBroken(1, {}, now_);
  EXPECT_FALSE(results_.contains(put));
  dispatcher_.OnMap(MapOf(3, 2, 2));
  const Send second = RunUntilSend().at(0);
  EXPECT_EQ(second.to.node_id, 2U);
  EXPECT_EQ(second.number.sequence, first.number.sequence);
  EXPECT_EQ(second.number.line, first.number.line);
  EXPECT_EQ(second.number.issued, first.number.issued);
  Give(2, Ok(second));
  Turn();
  EXPECT_TRUE(results_.at(put).status.ok());
}

TEST_F(DispatcherTest, OneSendThatTheShardForgotIsMadeAnew) {
  const int put = Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  Answer forgotten{.send_id = first.send_id, .clock = 900};
  forgotten.report = {.end = SendEnd::kForgotten, .message = "who?"};
  Give(1, std::move(forgotten));
  const Send second = RunUntilSend().at(0);
  EXPECT_GT(second.number.sequence, first.number.sequence);
  EXPECT_EQ(second.number.issued, 900U);
  EXPECT_EQ(second.number.lowest_open, second.number.sequence);
  Give(1, Ok(second));
  Turn();
  EXPECT_TRUE(results_.at(put).status.ok());
}

// What was refused for certain is no doubt.
TEST_F(DispatcherTest, ARefusalBeforeItWasForgottenIsNoDoubt) {
  const int put = Start(OperationKind::kPut);
  Give(1, Refused(Turn().at(0), SendEnd::kNotLeader, {.shard_id = 1, .node_id = 2, .term = 2}));
  const Send second = RunUntilSend().at(0);
  Answer forgotten{.send_id = second.send_id, .clock = 900};
  forgotten.report = {.end = SendEnd::kForgotten, .message = "who?"};
  Give(2, std::move(forgotten));
  const Send third = RunUntilSend().at(0);
  EXPECT_GT(third.number.sequence, second.number.sequence);
  Give(third.to.node_id, Ok(third));
  Turn();
  EXPECT_TRUE(results_.at(put).status.ok());
}

TEST_F(DispatcherTest, OfTwoSendsThatTheShardForgotTheOutcomeIsUnknown) {
  const int put = Start(OperationKind::kPut);
  Turn();
  dispatcher_.OnLinkBroken(1, {}, now_);
  dispatcher_.OnMap(MapOf(3, 2, 2));
  const Send second = RunUntilSend().at(0);
  Answer forgotten{.send_id = second.send_id, .clock = 900};
  forgotten.report = {.end = SendEnd::kForgotten, .message = "who?"};
  Give(2, std::move(forgotten));
  Turn();
  EXPECT_EQ(results_.at(put).status.code(), Code::kForgotten);
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
}

// That it could not be sent to another node, meanwhile, takes back no doubt.
TEST_F(DispatcherTest, ADoubtfulSendAndOneThatNeverLeftAreNotOne) {
  const int put = Start(OperationKind::kPut);
  const Send first = Turn().at(0);
  dispatcher_.OnLinkBroken(1, {}, now_);
  dispatcher_.OnMap(MapOf(3, 2, 2));
  const Send second = RunUntilSend().at(0);
  dispatcher_.OnUnsent(2, {second.send_id}, now_);
  dispatcher_.OnMap(MapOf(3, 3, 3));
  const Send third = RunUntilSend().at(0);
  EXPECT_EQ(third.number.sequence, first.number.sequence);
  Answer forgotten{.send_id = third.send_id, .clock = 900};
  forgotten.report = {.end = SendEnd::kForgotten, .message = "who?"};
  Give(3, std::move(forgotten));
  Turn();
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
}

TEST_F(DispatcherTest, ClosingEndsEveryCall) {
  const int put = Start(OperationKind::kPut);
  Turn();
  const int get = Start(OperationKind::kGet);
  dispatcher_.Close();
  Turn();
  EXPECT_EQ(results_.at(put).status.code(), Code::kCancelled);
  EXPECT_EQ(results_.at(put).status.outcome(), Outcome::kUnknown);
  EXPECT_EQ(results_.at(get).status.code(), Code::kCancelled);
  EXPECT_EQ(dispatcher_.open_calls(), 0U);
}

TEST_F(DispatcherTest, AWriteThatHadNotLeftAtItsDeadlineIsNotApplied) {
  for (const bool has_left : {false, true}) {
    has_left_ = has_left;
    const int put = Start(OperationKind::kPut, milliseconds(100), true);
    ASSERT_EQ(Turn().size(), 1U);
    now_ += milliseconds(100);
    dispatcher_.OnTime(now_);
    EXPECT_TRUE(Turn().empty());
    ASSERT_TRUE(results_.contains(put));
    EXPECT_EQ(results_[put].status.code(), Code::kDeadlineExceeded);
    EXPECT_EQ(results_[put].status.outcome(), has_left ? Outcome::kUnknown : Outcome::kNotApplied);
    EXPECT_EQ(results_[put].story->attempts.at(0).end,
              has_left ? SendEnd::kDeadline : SendEnd::kNotSent);
    EXPECT_EQ(dispatcher_.open_calls(), 0U);
  }
}

TEST_F(DispatcherTest, NewsOfASendMayBeFasterThanWhetherItHadLeft) {
  has_left_ = std::nullopt;  // not told yet
  for (const int news : {0, 1, 2, 3, 4}) {
    const int put = Start(OperationKind::kPut, milliseconds(100));
    const Send send = Turn().at(0);
    now_ += milliseconds(100);
    dispatcher_.OnTime(now_);
    EXPECT_TRUE(Turn().empty());
    ASSERT_EQ(withdrawals_.size(), 1U);
    const Withdrawal withdrawal = withdrawals_[0];
    EXPECT_EQ(withdrawal.send_id, send.send_id);
    EXPECT_EQ(withdrawal.node_id, send.to.node_id);
    EXPECT_FALSE(results_.contains(put));
    EXPECT_EQ(dispatcher_.open_calls(), 1U);
    Outcome outcome = Outcome::kUnknown;
    switch (news) {
      case 0:
        Give(send.to.node_id, Ok(send));
        outcome = Outcome::kApplied;
        break;
      case 1:
        Give(send.to.node_id, Refused(send, SendEnd::kNotLeader, {1, 2, 9}));
        outcome = Outcome::kNotApplied;
        break;
      case 2:
        dispatcher_.OnUnsent(send.to.node_id, {send.send_id}, now_);
        outcome = Outcome::kNotApplied;
        break;
      case 3:
        dispatcher_.OnLinkBroken(send.to.node_id, {}, now_);
        break;
      default:
        dispatcher_.Close();
    }
    EXPECT_TRUE(Turn().empty());
    ASSERT_TRUE(results_.contains(put));
    EXPECT_EQ(results_[put].status.outcome(), outcome) << news;
    Tell(withdrawal, true);  // D2: once
    Tell(withdrawal, false);
    for (const uint64_t node : {1, 2, 3}) dispatcher_.OnAlive(node, now_);
  }
}

TEST_F(DispatcherTest, ATrialUnderWayIsHurriedWhenItsNodeIsElected) {
  dispatcher_.OnUnsent(3, {}, now_);
  now_ += seconds(1);
  Start(OperationKind::kGet);
  const Send send = Turn().at(0);
  EXPECT_EQ(trials_, std::vector<uint64_t>{3});
  for (const bool news : {true, false}) {
    Start(OperationKind::kGet);
    Give(1, Refused(Turn().at(0), SendEnd::kNotLeader, {1, 3, 9}));
    EXPECT_EQ(Turn().at(0).to.node_id, 2U);
    EXPECT_EQ(trials_, news ? std::vector<uint64_t>{3} : std::vector<uint64_t>{});
    dispatcher_.OnMap(MapOf(3, 1, 8));  // to node 1 again
  }
  dispatcher_.OnAlive(3, now_);
  Give(1, Refused(send, SendEnd::kNotLeader));
  EXPECT_EQ(Turn().at(0).to.node_id, 3U);
}

TEST_F(DispatcherTest, OnlyWritesAreWithdrawn) {
  const int get = Start(OperationKind::kGet, milliseconds(100));
  Turn();
  now_ += milliseconds(100);
  dispatcher_.OnTime(now_);
  Turn();
  EXPECT_TRUE(withdrawals_.empty());
  EXPECT_EQ(results_.at(get).status.outcome(), Outcome::kNotApplied);
}

// Any mixture of events: every call ends exactly once and by its deadline, at most one send of it
// is open, nothing is applied twice, a write is acknowledged only if it was applied, and "not
// applied" is said only if it never was.
class RandomWorld {
 public:
  explicit RandomWorld(uint64_t seed)
      : random_(seed), dispatcher_(seed), applied_one_in_(seed % 2 == 0 ? 2 : 20) {
    dispatcher_.OnMap(MapOf(3, 1, 1));
  }

  void Step() {
    const uint64_t dice = random_.Below(100);
    if (dice < 30) {
      StartPut();
    } else if (dice < 70 && !open_.empty()) {
      // Where refusals are the rule, all get theirs, so that some calls end between two sends.
      for (size_t n = applied_one_in_ > 2 ? open_.size() : 1; n > 0; --n) AnswerOne();
    } else if (dice < 78) {
      BreakLink(random_.Between(1, 3));
    } else {
      now_ += milliseconds(random_.Between(1, 50));
      dispatcher_.OnTime(now_);
    }
    Turn();
    CheckSends();
  }

  void RunOut() {
    now_ += seconds(10);
    dispatcher_.OnTime(now_);
    late_is_fine_ = true;
    Turn();
    for (const auto& [operation, write] : writes_) {
      ASSERT_TRUE(write.result.has_value()) << "D2";
      ASSERT_LE(write.times_applied, 1U) << "applied twice";
      const Outcome outcome = write.result->status.outcome();
      ASSERT_FALSE(outcome == Outcome::kApplied && write.times_applied == 0);
      ASSERT_FALSE(outcome == Outcome::kNotApplied && write.times_applied > 0);
      ++outcomes_[outcome];
    }
  }

  const std::map<Outcome, int>& outcomes() const { return outcomes_; }

 private:
  struct Write {
    std::shared_ptr<const Operation> operation;
    Time deadline{0};
    uint32_t times_applied = 0;
    std::optional<CallResult> result;
  };

  void StartPut() {
    auto put = std::make_shared<Operation>(Operation{.kind = OperationKind::kPut, .key = "k"});
    Write& write = writes_[put.get()];
    write.operation = put;
    write.deadline = now_ + milliseconds(random_.Between(1, 3000));
    dispatcher_.Start(put, now_, write.deadline, [this, &write](CallResult result) {
      ASSERT_FALSE(write.result.has_value()) << "D2";
      ASSERT_TRUE(late_is_fine_ || now_ <= write.deadline + milliseconds(50));
      write.result = std::move(result);
    });
  }
  void AnswerOne() {
    const size_t at = random_.Below(open_.size());
    const Send send = open_[at];
    open_.erase(open_.begin() + static_cast<ptrdiff_t>(at));
    AnswerSend(send);
  }
  void AnswerSend(const Send& send) {
    std::vector<Answer> answers(1);
    answers[0].send_id = send.send_id;
    answers[0].clock = ++clock_;
    if (applied_.contains(NumberOf(send)) || random_.OneIn(applied_one_in_)) {
      Apply(send);
      answers[0].payload.kind = Payload::Kind::kWrite;
    } else if (random_.OneIn(8)) {
      forgotten_.insert(NumberOf(send));
      answers[0].report = {.end = SendEnd::kForgotten};
    } else {
      const SendEnd ends[] = {SendEnd::kNotLeader, SendEnd::kUnavailable, SendEnd::kOverloaded,
                              SendEnd::kWrongShard};
      answers[0].report = {.end = ends[random_.Below(4)], .outcome = Outcome::kNotApplied};
      answers[0].leader = {.shard_id = 1, .node_id = random_.Below(5), .term = random_.Below(9)};
    }
    lost_.erase(send.to.node_id);
    dispatcher_.OnAnswers(send.to.node_id, answers, now_);
  }
  // As a shard does: a number runs once, and never once its client was told that it is forgotten.
  void Apply(const Send& send) {
    if (forgotten_.contains(NumberOf(send)) || !applied_.insert(NumberOf(send)).second) return;
    ++writes_.at(send.operation.get()).times_applied;
  }
  static std::pair<uint32_t, uint64_t> NumberOf(const Send& send) {
    return {send.number.line, send.number.sequence};
  }
  // Of what was under way, some never left, some was applied, and some was lost.
  void BreakLink(uint64_t node) {
    std::vector<uint64_t> unsent;
    std::erase_if(open_, [&](const Send& send) {
      if (send.to.node_id != node) return false;
      if (random_.OneIn(2)) {
        unsent.push_back(send.send_id);
      } else if (random_.OneIn(2)) {
        Apply(send);
      }
      return true;
    });
    lost_.insert(node);
    dispatcher_.OnLinkBroken(node, unsent, now_);
  }
  void Turn() {
    Effects effects = dispatcher_.TakeEffects();
    for (Send& send : effects.sends) {
      ASSERT_FALSE(lost_.contains(send.to.node_id)) << "sent to a node out of reach";
      open_.push_back(std::move(send));
    }
    for (const uint64_t node : effects.trials) {
      if (random_.OneIn(4)) {
        dispatcher_.OnUnsent(node, {}, now_);
      } else if (!random_.OneIn(4)) {  // else nothing comes of it
        lost_.erase(node);
        dispatcher_.OnAlive(node, now_);
      }
    }
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    for (const Withdrawal& withdrawal : effects.withdrawals) Withdraw(withdrawal);
  }
  // Some have not left, some have, and of some the answer is faster.
  void Withdraw(const Withdrawal& withdrawal) {
    const auto send = std::find_if(open_.begin(), open_.end(), [&](const Send& open) {
      return open.send_id == withdrawal.send_id;
    });
    ASSERT_NE(send, open_.end());
    ASSERT_EQ(send->to.node_id, withdrawal.node_id);
    const uint64_t dice = random_.Below(4);
    const bool unsent = dice == 0;
    const Send taken = *send;
    if (dice < 2) open_.erase(send);
    if (dice == 1) AnswerSend(taken);
    dispatcher_.OnWithdrawn(withdrawal.send_id, unsent, now_);
    Turn();
  }
  void CheckSends() {
    std::set<std::pair<uint32_t, uint64_t>> sequences;
    for (const Send& send : open_) {
      ASSERT_LE(send.number.lowest_open, send.number.sequence) << "D4";
      if (writes_.at(send.operation.get()).result.has_value()) continue;  // its deadline passed
      ASSERT_TRUE(sequences.insert(NumberOf(send)).second) << "D1";
    }
  }

  base::Random random_;
  Dispatcher dispatcher_;
  const uint64_t applied_one_in_;  // answers; the others refuse
  Time now_ = seconds(1);
  std::map<const Operation*, Write> writes_;
  // Numbers, by line.
  std::set<std::pair<uint32_t, uint64_t>> applied_;
  std::set<std::pair<uint32_t, uint64_t>> forgotten_;
  std::vector<Send> open_;
  std::set<uint64_t> lost_;  // their links broke, and no word came since
  std::map<Outcome, int> outcomes_;
  uint64_t clock_ = 0;
  bool late_is_fine_ = false;
};

TEST(DispatcherRandomTest, EventsInAnyOrderKeepTheInvariants) {
  std::map<Outcome, int> reached;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomWorld world(seed);
    for (int step = 0; step < 400 && !::testing::Test::HasFatalFailure(); ++step) world.Step();
    world.RunOut();
    ASSERT_FALSE(::testing::Test::HasFatalFailure());
    for (const auto& [outcome, count] : world.outcomes()) reached[outcome] += count;
  }
  // A run that never met an outcome proved nothing about it.
  for (const Outcome outcome : {Outcome::kNotApplied, Outcome::kApplied, Outcome::kUnknown}) {
    EXPECT_GT(reached[outcome], 100);
  }
}

}  // namespace
}  // namespace basalt::client
