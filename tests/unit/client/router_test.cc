#include "client/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "base/slot.h"

namespace basalt::client {
namespace {

ClusterView ThreeNodes() {
  ClusterView view;
  view.cluster_id = "0123456789abcdef";
  for (uint64_t id = 1; id <= 3; ++id)
    view.nodes.push_back({.node_id = id, .client_address = "n" + std::to_string(id)});
  view.shards.push_back({.shard_id = 0, .epoch = 1, .nodes = {1, 2, 3}});
  view.shards.push_back(
      {.shard_id = 1, .epoch = 1, .first_slot = 0, .slot_count = 8192, .nodes = {1, 2, 3}});
  view.shards.push_back(
      {.shard_id = 2, .epoch = 1, .first_slot = 8192, .slot_count = 8192, .nodes = {1, 2, 3}});
  view.leaders.push_back({.shard_id = 1, .node_id = 2, .term = 5});
  return view;
}

uint64_t NodeOf(const Router& router, uint64_t shard) { return router.RouteShard(shard)->node_id; }

TEST(RouterTest, KeysGoToTheShardOfTheirSlot) {
  Router router;
  EXPECT_FALSE(router.RouteKey("a").has_value());
  ASSERT_TRUE(router.TakeMap(ThreeNodes()));
  for (const char* key : {"a", "b", "123456789", "{user1}:a", "{user1}:b"}) {
    const uint64_t expected = base::SlotOf(key) < 8192 ? 1 : 2;
    EXPECT_EQ(router.RouteKey(key)->shard_id, expected) << key;
  }
  EXPECT_EQ(router.RouteKey("{user1}:a")->shard_id, router.RouteKey("{user1}:b")->shard_id);
}

TEST(RouterTest, AHoleInTheSlotTableHasNoRoute) {
  ClusterView view = ThreeNodes();
  view.shards.pop_back();
  Router router;
  ASSERT_TRUE(router.TakeMap(view));
  int holes = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "k" + std::to_string(i);
    const bool hole = base::SlotOf(key) >= 8192;
    holes += hole ? 1 : 0;
    EXPECT_EQ(router.RouteKey(key).has_value(), !hole);
  }
  EXPECT_GT(holes, 0);
}

TEST(RouterTest, LeadersOfTheMapAreFollowedAndOthersSpread) {
  Router router;
  router.TakeMap(ThreeNodes());
  EXPECT_EQ(NodeOf(router, 1), 2U);
  EXPECT_EQ(NodeOf(router, 2), 3U);  // no leader known: shard 2 starts at its third replica
}

TEST(RouterTest, AMapOfAnotherClusterIsNotTaken) {
  Router router;
  router.TakeMap(ThreeNodes());
  ClusterView other = ThreeNodes();
  other.cluster_id = "fedcba9876543210";
  other.shards[1].epoch = 9;
  EXPECT_FALSE(router.TakeMap(other));
  EXPECT_EQ(router.RouteShard(1)->shard_epoch, 1U);
  other.cluster_id.clear();
  EXPECT_FALSE(router.TakeMap(other));
}

TEST(RouterTest, EpochsDoNotGoBack) {
  Router router;
  router.TakeMap(ThreeNodes());
  ShardView moved{.shard_id = 1, .epoch = 3, .first_slot = 0, .slot_count = 100, .nodes = {3}};
  EXPECT_TRUE(router.TakeDescriptor(moved));
  moved.epoch = 2;
  moved.slot_count = 8192;
  EXPECT_FALSE(router.TakeDescriptor(moved));
  router.TakeMap(ThreeNodes());
  EXPECT_EQ(router.RouteShard(1)->shard_epoch, 3U);
  EXPECT_EQ(router.Find(1)->slot_count, 100U);
  EXPECT_EQ(NodeOf(router, 1), 3U);  // the old target is no replica any more
}

TEST(RouterTest, AShardThatMovesItsFirstSlotLeavesNothingBehind) {
  Router router;
  router.TakeMap(ThreeNodes());
  router.TakeDescriptor(
      {.shard_id = 2, .epoch = 2, .first_slot = 12000, .slot_count = 4384, .nodes = {1}});
  EXPECT_EQ(router.DataShards().size(), 2U);
  for (int i = 0; i < 200; ++i) {
    const std::string key = "k" + std::to_string(i);
    const uint32_t slot = base::SlotOf(key);
    const auto route = router.RouteKey(key);
    EXPECT_EQ(route.has_value(), slot < 8192 || slot >= 12000);
  }
}

TEST(RouterTest, MalformedDescriptorsAreNotTaken) {
  Router router;
  router.TakeMap(ThreeNodes());
  EXPECT_FALSE(
      router.TakeDescriptor({.shard_id = 1, .epoch = 9, .first_slot = 0, .slot_count = 100}));
  EXPECT_FALSE(router.TakeDescriptor(
      {.shard_id = 1, .epoch = 9, .first_slot = 16000, .slot_count = 1000, .nodes = {1}}));
  EXPECT_FALSE(router.TakeDescriptor(
      {.shard_id = 1, .epoch = 9, .first_slot = 1, .slot_count = 0xffffffff, .nodes = {1}}));
  EXPECT_FALSE(router.TakeDescriptor(
      {.shard_id = 1, .epoch = 9, .first_slot = 0, .slot_count = 100, .nodes = {1, 0}}));
  EXPECT_EQ(router.RouteShard(1)->shard_epoch, 1U);
}

TEST(RouterTest, AHintIsFollowedAtOnceAndOnlyForward) {
  Router router;
  router.TakeMap(ThreeNodes());
  EXPECT_TRUE(router.OnNotLeader(1, 2, {.shard_id = 1, .node_id = 3, .term = 6}));
  EXPECT_EQ(NodeOf(router, 1), 3U);
  // A late answer with an older hint does not take the route back.
  EXPECT_TRUE(router.OnNotLeader(1, 2, {.shard_id = 1, .node_id = 1, .term = 4}));
  EXPECT_EQ(NodeOf(router, 1), 3U);
}

TEST(RouterTest, AHintAtAnUnknownNodeIsNotFollowed) {
  Router router;
  router.TakeMap(ThreeNodes());
  router.OnNotLeader(1, 2, {.shard_id = 1, .node_id = 99, .term = 6});
  EXPECT_EQ(NodeOf(router, 1), 3U);  // the next replica instead
}

TEST(RouterTest, WithoutAHintReplicasAreTriedInTurnOnceForManyAnswers) {
  Router router;
  router.TakeMap(ThreeNodes());
  for (int i = 0; i < 10; ++i) router.OnNotLeader(1, 2, {});
  EXPECT_EQ(NodeOf(router, 1), 3U);
  router.OnNotLeader(1, 3, {});
  EXPECT_EQ(NodeOf(router, 1), 1U);
  router.OnUnserved(1, 1);
  EXPECT_EQ(NodeOf(router, 1), 2U);
}

TEST(RouterTest, ALostNodeIsNotRoutedToUntilItIsBack) {
  Router router;
  router.TakeMap(ThreeNodes());
  router.OnNodeLost(2);
  EXPECT_EQ(NodeOf(router, 1), 3U);
  // Its followers have not noticed yet.
  router.OnNotLeader(1, 3, {.shard_id = 1, .node_id = 2, .term = 5});
  EXPECT_EQ(NodeOf(router, 1), 1U);
  router.TakeMap(ThreeNodes());
  EXPECT_EQ(NodeOf(router, 1), 1U);
  EXPECT_TRUE(router.TakeElected().empty());
  // Elected again, and still out of this client's reach.
  EXPECT_TRUE(router.OnNotLeader(1, 1, {.shard_id = 1, .node_id = 2, .term = 7}));
  EXPECT_EQ(NodeOf(router, 1), 3U);
  router.OnNodeBack(2);
  EXPECT_EQ(NodeOf(router, 1), 2U);
}

TEST(RouterTest, AnElectionOfALostNodeIsNewsOnce) {
  Router router;
  router.TakeMap(ThreeNodes());
  router.OnNodeLost(2);
  for (int i = 0; i < 3; ++i) {
    router.OnNotLeader(1, 1, {.shard_id = 1, .node_id = 2, .term = 7});
    EXPECT_EQ(router.TakeElected(), i == 0 ? std::vector<uint64_t>{2} : std::vector<uint64_t>{});
  }
  router.OnNotLeader(1, 1, {.shard_id = 1, .node_id = 2, .term = 8});
  EXPECT_EQ(router.TakeElected(), std::vector<uint64_t>{2});
  // Another was elected after it.
  EXPECT_TRUE(router.OnNotLeader(1, 1, {.shard_id = 1, .node_id = 3, .term = 9}));
  EXPECT_EQ(NodeOf(router, 1), 3U);
  router.OnNodeBack(2);
  EXPECT_EQ(NodeOf(router, 1), 3U);
}

TEST(RouterTest, ALeaderWhoseLinkHadAHiccupIsFollowedAgainInItsTerm) {
  Router router;
  router.TakeMap(ThreeNodes());
  router.OnNodeLost(2);
  router.OnNodeBack(2);
  EXPECT_EQ(NodeOf(router, 1), 3U);
  EXPECT_TRUE(router.OnNotLeader(1, 3, {.shard_id = 1, .node_id = 2, .term = 5}));
  EXPECT_EQ(NodeOf(router, 1), 2U);
}

TEST(RouterTest, WhenAllAreLostTheFirstThatIsBackIsAsked) {
  Router router;
  router.TakeMap(ThreeNodes());
  for (const uint64_t node : {2, 3, 1}) router.OnNodeLost(node);
  router.OnNodeBack(3);
  EXPECT_EQ(NodeOf(router, 1), 3U);
  EXPECT_EQ(NodeOf(router, 2), 3U);
  EXPECT_FALSE(router.OnNotLeader(1, 3, {}));  // nobody else is within reach
  EXPECT_EQ(NodeOf(router, 1), 3U);
}

// Whatever happens, a route leads out of reach only when every replica is.
TEST(RouterTest, RoutesStayWithinReach) {
  int out_of_reach = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    base::Random random(seed);
    Router router;
    router.TakeMap(ThreeNodes());
    std::set<uint64_t> lost;
    for (int step = 0; step < 200; ++step) {
      const uint64_t node = random.Between(1, 3);
      const uint64_t shard = random.Between(1, 2);
      switch (random.Below(6)) {
        case 0:
          router.OnNodeLost(node);
          lost.insert(node);
          break;
        case 1:
          router.OnNodeBack(node);
          lost.erase(node);
          break;
        case 2:
          router.OnNotLeader(
              shard, node,
              {.shard_id = shard, .node_id = random.Below(5), .term = random.Below(300)});
          break;
        case 3:
          router.OnUnserved(shard, node);
          break;
        case 4:
          router.TakeMap(ThreeNodes());
          break;
        default: {
          ShardView view = *router.Find(shard);
          view.epoch += 1;
          view.nodes = {node, node % 3 + 1};
          router.TakeDescriptor(view);
        }
      }
      for (const uint64_t id : {1, 2}) {
        const std::vector<uint64_t>& nodes = router.Find(id)->nodes;
        const auto reachable =
            std::ranges::count_if(nodes, [&](uint64_t n) { return !lost.contains(n); });
        ASSERT_TRUE(reachable == 0 || !lost.contains(NodeOf(router, id)));
        out_of_reach += reachable == 0 ? 1 : 0;
      }
    }
  }
  EXPECT_GT(out_of_reach, 1000);
}

TEST(RouterTest, ASingleReplicaIsTriedAgain) {
  ClusterView view = ThreeNodes();
  view.shards[1].nodes = {2};
  Router router;
  router.TakeMap(view);
  router.OnNodeLost(2);
  EXPECT_EQ(NodeOf(router, 1), 2U);
  EXPECT_FALSE(router.OnUnserved(1, 2));
}

}  // namespace
}  // namespace basalt::client
