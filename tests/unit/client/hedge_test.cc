#include "client/hedge.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "client/dispatcher.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(HedgingTest, TheBudgetIsAShareOfReads) {
  for (const uint32_t percent : {0U, 1U, 5U, 20U, 100U}) {
    Hedging hedging(percent);
    uint32_t hedged = 0;
    for (int read = 0; read < 10'000; ++read) {
      hedging.OnRead();
      hedged += hedging.Take() ? 1 : 0;
    }
    EXPECT_EQ(hedged, percent * 100);
  }
}

TEST(HedgingTest, WhatIsSavedUpIsBounded) {
  Hedging hedging(5);
  EXPECT_FALSE(hedging.Take());
  for (int read = 0; read < 1'000'000; ++read) hedging.OnRead();
  int hedged = 0;
  while (hedging.Take()) ++hedged;
  EXPECT_EQ(hedged, 10);
}

TEST(HedgingTest, WaitsForThe95thPercentileOfTheLastAnswers) {
  Hedging hedging(5);
  EXPECT_EQ(hedging.wait(), milliseconds(50));
  for (int round = 0; round < 10; ++round) {
    for (int i = 1; i <= 100; ++i) hedging.OnAnswered(milliseconds(i));
  }
  EXPECT_GE(hedging.wait(), milliseconds(90));
  EXPECT_LE(hedging.wait(), milliseconds(100));
  // What was long ago plays no part.
  for (int i = 0; i < 256; ++i) hedging.OnAnswered(milliseconds(7));
  EXPECT_EQ(hedging.wait(), milliseconds(7));
  for (int i = 0; i < 256; ++i) hedging.OnAnswered(Span(10));
  EXPECT_EQ(hedging.wait(), milliseconds(1));
}

TEST(HedgingTest, AFewSlowAnswersDoNotMoveIt) {
  Hedging hedging(5);
  for (int i = 0; i < 256; ++i) hedging.OnAnswered(i % 32 == 0 ? seconds(9) : milliseconds(3));
  EXPECT_EQ(hedging.wait(), milliseconds(3));
}

ClusterView ThreeReplicas() {
  ClusterView view{.cluster_id = "0123456789abcdef"};
  ShardView shard{.shard_id = 1, .epoch = 1, .first_slot = 0, .slot_count = 16384};
  for (uint64_t id = 1; id <= 3; ++id) {
    view.nodes.push_back({.node_id = id, .client_address = "n" + std::to_string(id)});
    shard.nodes.push_back(id);
  }
  view.shards.push_back(shard);
  view.leaders.push_back({.shard_id = 1, .node_id = 1, .term = 1});
  return view;
}

// Reads by index over three replicas, in a dispatcher whose world the test plays.
class HedgedReads : public ::testing::Test {
 protected:
  explicit HedgedReads(uint32_t percent = 100)
      : dispatcher_(1, {.policy = ReplicaPolicy::kRoundRobin, .hedge_percent = percent}) {
    dispatcher_.OnMap(ThreeReplicas());
  }

  int Start(OperationKind kind, ReadMode mode, Span timeout = seconds(5)) {
    const int number = next_++;
    dispatcher_.Start(
        std::make_shared<Operation>(Operation{.kind = kind, .read_mode = mode, .key = "k"}), now_,
        now_ + timeout, [this, number](CallResult result) {
          EXPECT_FALSE(results_.contains(number)) << "D2";
          results_[number] = std::move(result);
        });
    return number;
  }
  int StartGet(Span timeout = seconds(5)) {
    return Start(OperationKind::kGet, ReadMode::kReadIndex, timeout);
  }
  std::vector<Send> Turn() {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    probes_.insert(probes_.end(), effects.probes.begin(), effects.probes.end());
    return std::move(effects.sends);
  }
  std::vector<Send> After(Span span) {
    now_ += span;
    dispatcher_.OnTime(now_);
    return Turn();
  }
  void Answer(const Send& send, SendEnd end = SendEnd::kOk, const std::string& value = "") {
    std::vector<client::Answer> answers(1);
    answers[0].send_id = send.send_id;
    answers[0].report = {.end = end, .outcome = Outcome::kNotApplied};
    answers[0].payload.kind = Payload::Kind::kGet;
    answers[0].payload.value = value;
    dispatcher_.OnAnswers(send.to.node_id, answers, now_);
  }

  Dispatcher dispatcher_;
  Time now_ = seconds(1000);
  std::map<int, CallResult> results_;
  std::vector<uint64_t> probes_;
  int next_ = 0;
};

TEST_F(HedgedReads, ASlowReadIsSentToAnotherReplicaAndTheFirstAnswerWins) {
  for (const bool second_wins : {false, true}) {
    const int get = StartGet();
    const Send first = Turn().at(0);
    EXPECT_TRUE(After(milliseconds(49)).empty());
    const std::vector<Send> hedges = After(milliseconds(1));
    ASSERT_EQ(hedges.size(), 1U);
    EXPECT_NE(hedges[0].to.node_id, first.to.node_id);
    EXPECT_NE(hedges[0].send_id, first.send_id);
    Answer(second_wins ? hedges[0] : first, SendEnd::kOk, "winner");
    EXPECT_TRUE(Turn().empty());
    ASSERT_TRUE(results_.contains(get));
    EXPECT_EQ(results_[get].payload.value, "winner");
    EXPECT_EQ(dispatcher_.open_calls(), 0U);
    Answer(second_wins ? first : hedges[0], SendEnd::kOk, "loser");  // dropped
    EXPECT_TRUE(Turn().empty());
    EXPECT_EQ(results_[get].payload.value, "winner");
    EXPECT_EQ(dispatcher_.NextWake(), kNever);
  }
}

TEST_F(HedgedReads, OneThatFailsLeavesTheOther) {
  for (const bool first_fails : {false, true}) {
    for (const bool unsent : {false, true}) {
      const int get = StartGet();
      const Send first = Turn().at(0);
      const Send second = After(milliseconds(50)).at(0);
      const Send& fails = first_fails ? first : second;
      if (unsent) {
        dispatcher_.OnSendsLost(fails.to.node_id, {fails.send_id}, now_);
      } else {
        Answer(fails, SendEnd::kUnavailable);
      }
      EXPECT_TRUE(Turn().empty());
      EXPECT_FALSE(results_.contains(get));
      Answer(first_fails ? second : first);
      Turn();
      EXPECT_TRUE(results_.at(get).status.ok());
    }
  }
}

TEST_F(HedgedReads, WhenBothFailTheReadGoesOn) {
  const int get = StartGet();
  const Send first = Turn().at(0);
  const Send second = After(milliseconds(50)).at(0);
  Answer(second, SendEnd::kUnavailable);
  Answer(first, SendEnd::kUnavailable);
  std::vector<Send> again = Turn();
  while (again.empty()) again = After(milliseconds(1));
  EXPECT_EQ(again.size(), 1U);
  Answer(again[0]);
  Turn();
  EXPECT_TRUE(results_.at(get).status.ok());
}

TEST_F(HedgedReads, TheOneThatLostStillTellsOfItsNode) {
  StartGet();
  const Send first = Turn().at(0);
  Answer(After(milliseconds(50)).at(0));
  Turn();
  EXPECT_EQ(dispatcher_.open_calls(), 0U);
  // Its node owes an answer, and says nothing.
  for (int i = 0; i < 20; ++i) After(milliseconds(100));
  ASSERT_FALSE(probes_.empty());
  EXPECT_EQ(probes_[0], first.to.node_id);
  // At the call's deadline it is forgotten, and its node out of reach.
  After(seconds(5));
  EXPECT_EQ(dispatcher_.NextWake(), kNever);
  for (int i = 0; i < 6; ++i) {
    StartGet();
    const Send send = Turn().at(0);
    EXPECT_NE(send.to.node_id, first.to.node_id);
    Answer(send);
  }
}

TEST_F(HedgedReads, OnlyReadsThatAnyReplicaMayAnswer) {
  Start(OperationKind::kGet, ReadMode::kLinearizable);
  Start(OperationKind::kPut, ReadMode::kReadIndex);
  Start(OperationKind::kDelete, ReadMode::kReadIndex);
  EXPECT_EQ(Turn().size(), 3U);
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(After(milliseconds(100)).empty());
}

TEST_F(HedgedReads, NotOneThatIsToBeExplained) {
  std::optional<CallResult> result;
  dispatcher_.Start(std::make_shared<Operation>(Operation{.kind = OperationKind::kGet,
                                                          .read_mode = ReadMode::kReadIndex,
                                                          .key = "k",
                                                          .explain = true}),
                    now_, now_ + seconds(5), [&](CallResult ended) { result = std::move(ended); });
  const Send send = Turn().at(0);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(After(milliseconds(100)).empty());
  Answer(send);
  Turn();
  ASSERT_TRUE(result.has_value());
  ASSERT_EQ(result->story->attempts.size(), 1U);
  EXPECT_EQ(result->story->attempts[0].node_id, send.to.node_id);
}

TEST_F(HedgedReads, ClosingForgetsTheOneThatLost) {
  StartGet();
  Turn();
  Answer(After(milliseconds(50)).at(0));
  dispatcher_.Close();
  Turn();
  EXPECT_EQ(dispatcher_.NextWake(), kNever);
}

// Any answers, losses and times: each read ends once; it has at most two sends open, at different
// nodes; hedges are a share.
class RandomReads {
 public:
  explicit RandomReads(uint64_t seed)
      : random_(seed), dispatcher_(seed, {.policy = ReplicaPolicy::kLeastOutstanding}) {
    dispatcher_.OnMap(ThreeReplicas());
  }

  void Step() {
    const uint64_t dice = random_.Below(100);
    if (dice < 30) {
      Start();
    } else if (dice < 65) {
      if (const std::optional<Send> send = TakeOne()) Answer(*send);
    } else if (dice < 70) {
      if (const std::optional<Send> send = TakeOne()) {
        dispatcher_.OnSendsLost(send->to.node_id, {send->send_id}, now_);
      }
    } else if (dice < 72) {
      BreakLink(random_.Between(1, 3));
    } else {
      now_ += milliseconds(random_.Between(1, 60));
      dispatcher_.OnTime(now_);
    }
    Turn();
  }

  void RunOut() {
    now_ += seconds(3);
    dispatcher_.OnTime(now_);
    Turn();
    for (const auto& [key, call] : calls_) ASSERT_TRUE(call.ended) << "D2";
    ASSERT_EQ(dispatcher_.open_calls(), 0U);
    ASSERT_EQ(dispatcher_.NextWake(), kNever);
    ASSERT_LE(hedges_ * 100, calls_.size() * 5);
  }

  uint64_t reads() const { return calls_.size(); }
  uint64_t hedges() const { return hedges_; }
  uint64_t ended_beside_another() const { return ended_beside_another_; }

 private:
  struct Call {
    std::vector<Send> open;
    bool ended = false;
  };

  void Start() {
    const std::string key = "k" + std::to_string(calls_.size());
    Call& call = calls_[key];
    auto get = std::make_shared<const Operation>(
        Operation{.kind = OperationKind::kGet, .read_mode = ReadMode::kReadIndex, .key = key});
    dispatcher_.Start(std::move(get), now_, now_ + milliseconds(random_.Between(1, 2000)),
                      [&call](const CallResult&) {
                        ASSERT_FALSE(call.ended) << "D2";
                        call.ended = true;
                      });
  }
  // Some open send is over, perhaps the second answer of a call that has ended.
  std::optional<Send> TakeOne() {
    for (auto& [key, call] : calls_) {
      if (call.open.empty() || !random_.OneIn(3)) continue;
      const size_t at = random_.Below(call.open.size());
      const Send send = call.open[at];
      call.open.erase(call.open.begin() + static_cast<ptrdiff_t>(at));
      ended_beside_another_ += call.open.empty() ? 0 : 1;
      return send;
    }
    return std::nullopt;
  }
  void Answer(const Send& send) {
    std::vector<client::Answer> answers(1);
    answers[0].send_id = send.send_id;
    answers[0].payload.kind = Payload::Kind::kGet;
    if (random_.OneIn(3)) answers[0].report.end = SendEnd::kUnavailable;
    dispatcher_.OnAnswers(send.to.node_id, answers, now_);
  }
  void BreakLink(uint64_t node) {
    for (auto& [key, call] : calls_) {
      std::erase_if(call.open, [&](const Send& send) { return send.to.node_id == node; });
    }
    dispatcher_.OnLinkBroken(node, {}, now_);
  }
  void Turn() {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    for (const Send& send : effects.sends) {
      Call& call = calls_.at(send.operation->key);
      if (!call.open.empty()) {
        ASSERT_EQ(call.open.size(), 1U) << "D1";
        ASSERT_NE(call.open[0].to.node_id, send.to.node_id) << "D1";
        ++hedges_;
      }
      call.open.push_back(send);
    }
    for (const uint64_t node : effects.trials) dispatcher_.OnAlive(node, now_);
  }

  base::Random random_;
  Dispatcher dispatcher_;
  Time now_ = seconds(1);
  std::map<std::string, Call> calls_;  // by key, which is each call's own
  uint64_t hedges_ = 0;
  uint64_t ended_beside_another_ = 0;
};

TEST(HedgedReadsRandom, EventsInAnyOrder) {
  uint64_t reads = 0;
  uint64_t hedges = 0;
  uint64_t ended_beside_another = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    RandomReads world(seed);
    for (int step = 0; step < 400; ++step) world.Step();
    world.RunOut();
    ASSERT_FALSE(::testing::Test::HasFatalFailure()) << "seed " << seed;
    reads += world.reads();
    hedges += world.hedges();
    ended_beside_another += world.ended_beside_another();
  }
  EXPECT_GT(hedges, reads / 50);
  EXPECT_GT(ended_beside_another, 300U);
}

}  // namespace
}  // namespace basalt::client
