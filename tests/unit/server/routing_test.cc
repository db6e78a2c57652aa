// Where keys live: the routing table, the first layout, a node's view of its cluster, and stamps.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/slot.h"
#include "server/clock/hybrid_clock.h"
#include "server/node/cluster_view.h"
#include "server/placement/initial_layout.h"
#include "server/routing/routing_table.h"
#include "tests/unit/server/cluster_maps.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using testing::MakeMap;
using testing::MakeNode;

std::vector<ShardRange> TwoHalves() { return {{2, 7, 8192, 8192}, {0, 1, 0, 0}, {1, 5, 0, 8192}}; }

TEST(RoutingTableTest, EverySlotHasOneOwner) {
  const auto table = RoutingTable::Build(TwoHalves());
  ASSERT_TRUE(table.has_value());
  EXPECT_EQ(table->OwnerOf(0).shard_id, 1u);
  EXPECT_EQ(table->OwnerOf(8191).shard_id, 1u);
  EXPECT_EQ(table->OwnerOf(8192).shard_id, 2u);
  EXPECT_EQ(table->OwnerOf(16383).shard_id, 2u);
  EXPECT_EQ(table->Find(2)->epoch, 7u);
  EXPECT_EQ(table->Find(0), nullptr) << "the meta shard has no user keys";
  EXPECT_EQ(table->Find(3), nullptr);
}

TEST(RoutingTableTest, HolesOverlapsAndExcessAreRefused) {
  EXPECT_FALSE(RoutingTable::Build({}));
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 1, 16383}})) << "slot 0 has no owner";
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 0, 16383}})) << "the last slot has no owner";
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 0, 8192}, {2, 1, 8191, 8193}})) << "overlap";
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 0, 8192}, {2, 1, 8193, 8191}})) << "hole";
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 0, 16384}, {2, 1, 16384, 1}})) << "too many";
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 0, 16384}, {2, 1, 0, 0}})) << "an empty shard";
  EXPECT_FALSE(RoutingTable::Build({{1, 1, 0, 1}, {2, 1, 1, UINT32_MAX}})) << "no wrap-around";
}

TEST(RoutingTableTest, StaleAddressGetsTheOwner) {
  const auto table = RoutingTable::Build(TwoHalves());
  EXPECT_EQ(table->CheckAddress(10, 1, 5), nullptr);
  EXPECT_EQ(table->CheckAddress(10, 0, 99), nullptr) << "no shard named";
  EXPECT_EQ(table->CheckAddress(10, 1, 4)->epoch, 5u);
  EXPECT_EQ(table->CheckAddress(10, 1, 6)->epoch, 5u) << "newer than known is not known either";
  EXPECT_EQ(table->CheckAddress(10, 2, 7)->shard_id, 1u);
}

TEST(InitialLayoutTest, SharesSlotsAndSpreadsLeaders) {
  for (const uint32_t shards : {1u, 3u, 8u, 4096u}) {
    for (const uint64_t nodes : {1u, 2u, 3u, 5u, 9u}) {
      std::vector<uint64_t> ids;
      for (uint64_t id = nodes; id >= 1; --id) ids.push_back(id * 10);
      const auto layout = PlanInitialLayout(ids, shards, 3);
      ASSERT_EQ(layout.size(), shards + 1);
      EXPECT_EQ(layout[0].slot_count, 0u);
      EXPECT_EQ(layout[0].replicas.size(), nodes >= 5 ? 5 : std::min<uint64_t>(3, nodes));
      std::set<uint64_t> replica_ids;
      std::map<uint64_t, uint32_t> first_on;
      uint32_t next_slot = 0;
      size_t placed = 0;
      for (const PlannedShard& shard : layout) {
        std::set<uint64_t> on;
        for (const PlannedReplica& replica : shard.replicas) {
          on.insert(replica.node_id);
          replica_ids.insert(replica.replica_id);
        }
        placed += shard.replicas.size();
        EXPECT_EQ(on.size(), shard.replicas.size()) << "two replicas of a shard on one node";
        if (shard.shard_id == 0) continue;
        EXPECT_EQ(shard.first_slot, next_slot);
        EXPECT_NEAR(shard.slot_count, 16384.0 / shards, 1.0);
        EXPECT_EQ(shard.replicas.size(), std::min<uint64_t>(3, nodes));
        next_slot += shard.slot_count;
        ++first_on[shard.replicas[0].node_id];
      }
      EXPECT_EQ(next_slot, base::kSlotCount);
      EXPECT_EQ(replica_ids.size(), placed) << "a replica id used twice";
      EXPECT_FALSE(replica_ids.contains(0));
      for (const auto& [node, count] : first_on) EXPECT_LE(count, (shards + nodes - 1) / nodes);
    }
  }
}

TEST(ClusterViewTest, MapRoutingAndLeadersTogether) {
  ClusterView view;
  EXPECT_EQ(view.known(), nullptr);
  EXPECT_TRUE(view.MapWithLeaders().cluster_id().empty());
  EXPECT_FALSE(view.SetNode(MakeNode(1))) << "nothing known yet";
  v1::ClusterMap map = MakeMap();
  map.add_leaders()->set_node_id(9);
  view.Set(map);
  EXPECT_EQ(view.known()->map.leaders_size(), 0);
  EXPECT_EQ(view.known()->routing.OwnerOf(9000).shard_id, 2u);
  EXPECT_EQ(view.leader(1).node_id(), 0u);
  view.OnLeader(raft::GroupId(1), raft::NodeId(3), raft::Term(4));
  view.OnLeader(raft::GroupId(2), raft::NodeId(0), raft::Term(5));
  EXPECT_EQ(view.leader(1).node_id(), 3u);
  EXPECT_EQ(view.leader(1).term(), 4u);
  EXPECT_EQ(view.leaderless(), 1u);
  EXPECT_EQ(view.MapWithLeaders().leaders_size(), 2);
}

TEST(ClusterViewTest, NodesMayMoveButNotChangeTheirStore) {
  ClusterView view;
  view.Set(MakeMap());
  const auto before = view.known();
  v1::NodeDescriptor moved = MakeNode(2);
  moved.set_peer_address("elsewhere");
  EXPECT_TRUE(view.SetNode(moved));
  EXPECT_FALSE(view.SetNode(moved)) << "no news";
  EXPECT_EQ(view.known()->map.nodes(1).peer_address(), "elsewhere");
  EXPECT_EQ(before->map.nodes(1).peer_address(), "peer-2") << "who holds the old map keeps it";
  moved = MakeNode(2, "another store");
  EXPECT_FALSE(view.SetNode(moved));
  EXPECT_FALSE(view.SetNode(MakeNode(4)));
}

TEST(ClusterViewTest, MapsWithHolesAreSeen) {
  v1::ClusterMap map = MakeMap();
  EXPECT_TRUE(BuildRoutingTable(map));
  map.mutable_shards(2)->set_slot_count(8191);
  EXPECT_FALSE(BuildRoutingTable(map));
}

TEST(HybridClockTest, StampsRiseAndFollowPhysicalTime) {
  HybridClock clock(1000, milliseconds(50));
  const Stamp first = clock.Take(milliseconds(50), 1);
  EXPECT_EQ(StampMilliseconds(first), 1000u);
  EXPECT_EQ(clock.Take(milliseconds(50), 5), first + 1);
  EXPECT_EQ(clock.Take(milliseconds(50), 1), first + 6) << "five were taken";
  EXPECT_EQ(StampMilliseconds(clock.Take(milliseconds(57), 1)), 1007u);
}

TEST(HybridClockTest, NeverBelowWhatItSaw) {
  HybridClock clock(1000, milliseconds(0));
  const Stamp seen = Stamp{5000} << kStampCounterBits;
  clock.Pass(seen);
  EXPECT_EQ(clock.Read(milliseconds(0)), seen);
  EXPECT_EQ(clock.Take(milliseconds(1), 1), seen + 1);
  clock.Pass(Stamp{10} << kStampCounterBits);
  EXPECT_EQ(clock.Take(milliseconds(1), 1), seen + 2) << "an old stamp moves nothing";
  EXPECT_EQ(StampMilliseconds(clock.Take(milliseconds(4001), 1)), 5001u);
}

TEST(HybridClockTest, CounterOverflowsIntoPhysicalTime) {
  HybridClock clock(1000, milliseconds(0));
  const Stamp first = clock.Take(milliseconds(0), 70000);
  EXPECT_EQ(clock.Take(milliseconds(0), 1), first + 70000);
  EXPECT_GT(StampMilliseconds(clock.Read(milliseconds(0))), 1000u);
}

}  // namespace
}  // namespace basalt::server
