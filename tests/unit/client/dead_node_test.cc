// What a node that hangs or is gone costs the calls of one client, over a fake transport in virtual
// time: each send there that comes to nothing is counted.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/dispatcher.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Span kRoundTrip = milliseconds(1);
constexpr Span kAskLimit = seconds(1);  // of opening a link and of asking whether a node lives

// Three nodes, one shard, and one client whose calls follow each other. A node that does not lead
// says so without a hint: the search for a leader goes through all replicas.
class World {
 public:
  enum class Node : uint8_t { kServes, kHangs, kGone };

  explicit World(uint64_t seed, ReadSpread spread = {}, bool unary = false)
      : dispatcher_(seed, std::move(spread)), unary_(unary) {
    ClusterView view{.cluster_id = "0123456789abcdef"};
    ShardView shard{.shard_id = 1, .epoch = 1, .first_slot = 0, .slot_count = 16384};
    for (uint64_t id = 1; id <= 3; ++id) {
      view.nodes.push_back({.node_id = id,
                            .client_address = "n" + std::to_string(id),
                            .zone = "z" + std::to_string(id)});
      shard.nodes.push_back(id);
      nodes_[id] = Node::kServes;
      linked_[id] = true;
    }
    view.shards.push_back(shard);
    view.leaders.push_back({.shard_id = 1, .node_id = 1, .term = 1});
    dispatcher_.OnMap(view);
  }

  // What becomes of one call; other events go on meanwhile.
  CallResult Run(OperationKind kind, Span timeout, ReadMode mode = ReadMode::kLinearizable) {
    std::optional<CallResult> result;
    auto operation =
        std::make_shared<Operation>(Operation{.kind = kind, .read_mode = mode, .key = "k"});
    paid_by_call_.push_back(0);
    const Time begin = now_;
    dispatcher_.Start(operation, now_, now_ + timeout,
                      [&](CallResult ended) { result = std::move(ended); });
    while (!result.has_value()) {
      CarryOut();
      if (!result.has_value()) Advance();
    }
    CarryOut();
    took_ = now_ - begin;
    // Held up here at the end of its time, and answered by nobody.
    if (held_by_node_ > 0 && !result->status.ok()) ++paid_by_call_.back();
    held_by_node_ = 0;
    return std::move(*result);
  }
  void Pass(Span span) {
    const Time end = now_ + span;
    At(end, [] {});
    while (now_ < end) Advance();
  }

  void Set(uint64_t node, Node state) { nodes_[node] = state; }
  void Lead(uint64_t node, uint64_t known_term = 0) {
    leader_ = node;
    term_ = known_term;
  }
  void At(Time when, std::function<void()> event) { events_.emplace(when, std::move(event)); }

  Time now() const { return now_; }
  Span took() const { return took_; }
  // For each call, how many of its sends came to nothing at a node that hangs.
  const std::vector<int>& paid() const { return paid_by_call_; }
  int paid_in_all() const {
    int sum = 0;
    for (const int paid : paid_by_call_) sum += paid;
    return sum;
  }
  std::map<uint64_t, int>& sent() { return sent_; }
  int trials() const { return trials_; }

 private:
  void Advance() {
    Time next = dispatcher_.NextWake();
    if (!events_.empty()) next = std::min(next, events_.begin()->first);
    ASSERT_NE(next, kNever);
    now_ = std::max(now_, next);
    while (!events_.empty() && events_.begin()->first <= now_) {
      const auto event = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      event();
      CarryOut();
    }
    dispatcher_.OnTime(now_);
    CarryOut();
  }
  void CarryOut() {
    Effects effects = dispatcher_.TakeEffects();
    for (Finished& finished : effects.finished) finished.done(std::move(finished.result));
    for (const Send& send : effects.sends) Deliver(send);
    for (const uint64_t node : effects.probes) {
      if (!unary_) AskWhetherAlive(node);
    }
    for (const uint64_t node : effects.trials) {
      ++trials_;
      AskWhetherAlive(node);
    }
    for (const Withdrawal& withdrawal : effects.withdrawals) {
      dispatcher_.OnWithdrawn(withdrawal.send_id, !linked_[withdrawal.node_id], now_);
    }
    if (effects.fetch_map) At(now_ + kRoundTrip, [this] { dispatcher_.OnMapUnavailable(); });
    if (!effects.withdrawals.empty()) CarryOut();
  }
  void Deliver(const Send& send) {
    const uint64_t node = send.to.node_id;
    ++sent_[node];
    switch (nodes_[node]) {
      case Node::kServes:
        linked_[node] = true;
        At(now_ + kRoundTrip, [this, send] { Answer(send); });
        break;
      case Node::kGone:
        linked_[node] = false;
        At(now_ + kRoundTrip,
           [this, node, id = send.send_id] { dispatcher_.OnUnsent(node, {id}, now_); });
        break;
      case Node::kHangs:
        ++held_by_node_;
        if (linked_[node]) break;
        At(now_ + kAskLimit, [this, node, id = send.send_id] {
          Pay();
          dispatcher_.OnUnsent(node, {id}, now_);
        });
        break;
    }
  }
  void Answer(const Send& send) {
    const uint64_t node = send.to.node_id;
    if (nodes_[node] != Node::kServes) return;
    std::vector<client::Answer> answers(1);
    answers[0].send_id = send.send_id;
    const bool by_index = send.operation->read_mode == ReadMode::kReadIndex;
    if (node == leader_ || (by_index && serves_by_index_)) {
      answers[0].payload.kind =
          send.operation->kind == OperationKind::kGet ? Payload::Kind::kGet : Payload::Kind::kWrite;
    } else {
      answers[0].report = {.end = SendEnd::kNotLeader, .outcome = Outcome::kNotApplied};
      if (term_ > 0) answers[0].leader = {.shard_id = 1, .node_id = leader_, .term = term_};
    }
    dispatcher_.OnAnswers(node, answers, now_);
  }
  void AskWhetherAlive(uint64_t node) {
    const Span limit = nodes_[node] == Node::kHangs ? kAskLimit : kRoundTrip;
    At(now_ + limit, [this, node] {
      if (nodes_[node] == Node::kServes) {
        dispatcher_.OnAlive(node, now_);
      } else if (std::exchange(linked_[node], false)) {
        Pay();
        dispatcher_.OnLinkBroken(node, {}, now_);
      } else {
        dispatcher_.OnUnsent(node, {}, now_);
      }
    });
  }
  void Pay() {
    if (held_by_node_ == 0) return;
    ++paid_by_call_.back();
    held_by_node_ = 0;
  }

 public:
  bool serves_by_index_ = true;  // of those that do not lead

 private:
  Dispatcher dispatcher_;
  const bool unary_;  // sends are calls of their own: asking whether a node lives breaks nothing
  Time now_ = seconds(1000);
  Span took_{0};
  std::multimap<Time, std::function<void()>> events_;
  std::map<uint64_t, Node> nodes_;
  std::map<uint64_t, bool> linked_;
  uint64_t leader_ = 1;
  uint64_t term_ = 0;     // 0: the others do not know who leads
  int held_by_node_ = 0;  // sends of the call under way that a node that hangs took
  std::vector<int> paid_by_call_;
  std::map<uint64_t, int> sent_;
  int trials_ = 0;
};

using Node = World::Node;

class DeadNode : public ::testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Seeds, DeadNode, ::testing::Range<uint64_t>(1, 21));

TEST_P(DeadNode, AHungLeaderCostsOneCallOneTimeout) {
  World world(GetParam());
  ASSERT_TRUE(world.Run(OperationKind::kGet, seconds(5)).status.ok());
  world.Set(1, Node::kHangs);
  world.Lead(0);
  world.At(world.now() + seconds(4), [&] { world.Lead(3); });
  world.sent().clear();
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(world.Run(OperationKind::kGet, seconds(5)).status.ok());
    world.Pass(milliseconds(50));
  }
  EXPECT_EQ(world.paid_in_all(), 1);
  EXPECT_EQ(world.sent()[1], 1);
  EXPECT_GT(world.trials(), 2);
}

TEST_P(DeadNode, AHungLeaderCostsOneCallOneTimeoutWhenTimeoutsAreShort) {
  for (const bool unary : {false, true}) {
    World world(GetParam(), {}, unary);
    ASSERT_TRUE(world.Run(OperationKind::kPut, seconds(5)).status.ok());
    world.Set(1, Node::kHangs);
    world.Lead(0);
    world.At(world.now() + seconds(2), [&] { world.Lead(2); });
    world.sent().clear();
    const CallResult first = world.Run(OperationKind::kPut, milliseconds(300));
    EXPECT_EQ(first.status.outcome(), Outcome::kUnknown);  // it was sent
    int applied = 0;
    for (int i = 0; i < 100; ++i) {
      const Status status = world.Run(OperationKind::kPut, milliseconds(300)).status;
      EXPECT_TRUE(status.ok() || status.outcome() == Outcome::kNotApplied) << status.ToString();
      applied += status.ok() ? 1 : 0;
      world.Pass(milliseconds(20));
    }
    EXPECT_EQ(world.paid_in_all(), 1);
    EXPECT_EQ(world.sent()[1], 1);
    EXPECT_GT(applied, 80);
  }
}

TEST_P(DeadNode, ANodeThatIsGoneIsAskedOnce) {
  World world(GetParam());
  world.Set(1, Node::kGone);
  world.Lead(2);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(world.Run(OperationKind::kPut, seconds(5)).status.ok());
    EXPECT_LT(world.took(), milliseconds(20));
    world.Pass(milliseconds(10));
  }
  EXPECT_EQ(world.sent()[1], 1);
  EXPECT_EQ(world.sent()[2], 100);
}

TEST_P(DeadNode, WithAllHungAWriteIsNotApplied) {
  World world(GetParam());
  for (const uint64_t node : {1, 2, 3}) world.Set(node, Node::kHangs);
  // The first finds out about all, or about as many as it has time for.
  for (int i = 0; i < 3; ++i) world.Run(OperationKind::kGet, milliseconds(400));
  world.sent().clear();
  for (int i = 0; i < 20; ++i) {
    const Status status = world.Run(OperationKind::kPut, milliseconds(400)).status;
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_EQ(status.outcome(), Outcome::kNotApplied) << status.ToString();
  }
  EXPECT_TRUE(world.sent().empty());
}

TEST_P(DeadNode, ANodeThatLivesAgainIsUsedSoon) {
  for (const Node state : {Node::kHangs, Node::kGone}) {
    World world(GetParam());
    world.Set(1, state);
    EXPECT_FALSE(world.Run(OperationKind::kGet, seconds(5)).status.ok());  // it leads
    world.Set(1, Node::kServes);
    EXPECT_TRUE(world.Run(OperationKind::kGet, seconds(5)).status.ok());
    EXPECT_LT(world.took(), milliseconds(1800));  // a trial under way, and one wait
  }
}

TEST_P(DeadNode, OneThatIsElectedIsAskedAtOnceWhetherItIsBack) {
  World world(GetParam());
  world.Set(1, Node::kGone);
  world.Lead(2, 2);
  // Long enough for the longest waits between trials.
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE(world.Run(OperationKind::kPut, seconds(5)).status.ok());
    world.Pass(milliseconds(10));
  }
  const int trials = world.trials();
  world.Set(1, Node::kServes);
  world.Lead(1, 3);
  EXPECT_TRUE(world.Run(OperationKind::kPut, seconds(5)).status.ok());
  EXPECT_LE(world.took(), milliseconds(10));
  EXPECT_LE(world.trials(), trials + 1);
}

TEST_P(DeadNode, OldNewsOfAnElectionHastenNothing) {
  World world(GetParam());
  world.Set(1, Node::kGone);
  world.Lead(1, 4);  // as the others go on saying
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(world.Run(OperationKind::kPut, milliseconds(100)).status.ok());
  }
  EXPECT_GT(world.sent()[2], 20);
  // 2 s: 20, 40, 80, 160, 320, 500, 500 ms at most, half of it at least, and one hastened.
  EXPECT_LE(world.trials(), 13);
}

TEST_P(DeadNode, AReadByIndexPassesTheDeadReplicaOver) {
  for (const ReplicaPolicy policy : {ReplicaPolicy::kLeastOutstanding, ReplicaPolicy::kRoundRobin,
                                     ReplicaPolicy::kWeighted, ReplicaPolicy::kRandom}) {
    World world(GetParam(), {.policy = policy});
    world.Set(3, Node::kHangs);
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(world.Run(OperationKind::kGet, seconds(5), ReadMode::kReadIndex).status.ok());
      world.Pass(milliseconds(50));
    }
    EXPECT_LE(world.paid_in_all(), 1);
    EXPECT_LE(world.sent()[3], 1);
    EXPECT_GT(world.sent()[1], 25);
    EXPECT_GT(world.sent()[2], 25);
  }
}

TEST(ReadSpread, OnlyGetsByIndexLeaveTheLeader) {
  World world(1, {.policy = ReplicaPolicy::kRoundRobin});
  for (int i = 0; i < 30; ++i) {
    world.Run(OperationKind::kGet, seconds(5));
    world.Run(OperationKind::kPut, seconds(5), ReadMode::kReadIndex);
  }
  EXPECT_EQ(world.sent(), (std::map<uint64_t, int>{{1, 60}}));
  for (int i = 0; i < 30; ++i) world.Run(OperationKind::kGet, seconds(5), ReadMode::kReadIndex);
  EXPECT_EQ(world.sent(), (std::map<uint64_t, int>{{1, 70}, {2, 10}, {3, 10}}));
}

TEST(ReadSpread, ZonesAndWeightsAreThoseOfTheNodes) {
  World near(1, {.policy = ReplicaPolicy::kNearestZone, .zone = "z2"});
  World weighted(1, {.policy = ReplicaPolicy::kWeighted, .weights = {{1, 0}, {3, 4}}});
  for (int i = 0; i < 30; ++i) {
    near.Run(OperationKind::kGet, seconds(5), ReadMode::kReadIndex);
    weighted.Run(OperationKind::kGet, seconds(5), ReadMode::kReadIndex);
  }
  EXPECT_EQ(near.sent(), (std::map<uint64_t, int>{{2, 30}}));
  EXPECT_EQ(weighted.sent(), (std::map<uint64_t, int>{{2, 6}, {3, 24}}));
}

TEST(ReadSpread, WithoutAPolicyTheLeaderAnswersReadsByIndex) {
  World world(1);
  for (int i = 0; i < 30; ++i) world.Run(OperationKind::kGet, seconds(5), ReadMode::kReadIndex);
  EXPECT_EQ(world.sent(), (std::map<uint64_t, int>{{1, 30}}));
}

TEST(ReadSpread, AReplicaThatCannotServeCostsOneMoreTryAtTheLeader) {
  World world(1, {.policy = ReplicaPolicy::kRoundRobin});
  world.serves_by_index_ = false;
  for (int i = 0; i < 30; ++i) {
    EXPECT_TRUE(world.Run(OperationKind::kGet, seconds(5), ReadMode::kReadIndex).status.ok());
  }
  EXPECT_EQ(world.sent(), (std::map<uint64_t, int>{{1, 30}, {2, 10}, {3, 10}}));
}

}  // namespace
}  // namespace basalt::client
