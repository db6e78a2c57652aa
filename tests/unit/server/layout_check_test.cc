// What a node believes of a layout that a peer hands it.
#include "server/node/layout_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "tests/unit/server/cluster_maps.h"

namespace basalt::server {
namespace {

using ::testing::HasSubstr;

void ExpectRefused(const v1::ClusterMap& layout, const char* why) {
  const absl::Status status = CheckLayout(layout);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << why;
  EXPECT_THAT(base::Message(status), HasSubstr(why));
}

TEST(CheckLayout, TakesOneThatCanBeFounded) {
  v1::ClusterMap layout = testing::MakeMap();
  EXPECT_TRUE(CheckLayout(layout).ok());
  layout.mutable_shards(1)->mutable_replicas()->RemoveLast();
  EXPECT_TRUE(CheckLayout(layout).ok()) << "a shard need not be on every node";
}

TEST(CheckLayout, RefusesAClusterOrNodesWithoutAnIdOfTheirOwn) {
  v1::ClusterMap layout = testing::MakeMap();
  layout.set_cluster_id("short");
  ExpectRefused(layout, "no cluster id");
  layout = testing::MakeMap();
  layout.mutable_nodes(0)->set_node_id(0);
  ExpectRefused(layout, "two nodes of the layout have one id, or one has none");
  layout.mutable_nodes(0)->set_node_id(2);
  ExpectRefused(layout, "two nodes of the layout have one id, or one has none");
}

TEST(CheckLayout, RefusesShardsThatAreNotAllOfThemOnce) {
  v1::ClusterMap layout = testing::MakeMap();
  layout.mutable_shards(2)->set_slot_count(1);
  ExpectRefused(layout, "do not cover all slots once");
  layout = testing::MakeMap();
  layout.mutable_shards(0)->set_shard_id(3);
  ExpectRefused(layout, "no meta shard");
  layout = testing::MakeMap();
  layout.mutable_shards(2)->set_shard_id(1);
  ExpectRefused(layout, "two shards 1");
  layout = testing::MakeMap();
  *layout.add_shards() = layout.shards(0);
  ExpectRefused(layout, "two shards 0");
}

// The core CHECKs what its group is founded with.
TEST(CheckLayout, RefusesReplicasThatAreNoConfiguration) {
  v1::ClusterMap layout = testing::MakeMap();
  layout.mutable_shards(1)->clear_replicas();
  ExpectRefused(layout, "the replicas of shard 1 are no configuration");
  layout = testing::MakeMap();
  layout.mutable_shards(1)->mutable_replicas(0)->set_replica_id(0);
  ExpectRefused(layout, "the replicas of shard 1 are no configuration");
  layout = testing::MakeMap();
  layout.mutable_shards(1)->mutable_replicas(0)->set_replica_id(
      layout.shards(1).replicas(1).replica_id());
  ExpectRefused(layout, "the replicas of shard 1 are no configuration");
}

TEST(CheckLayout, RefusesReplicasWithoutANodeOfTheirOwn) {
  v1::ClusterMap layout = testing::MakeMap();
  layout.mutable_shards(2)->mutable_replicas(0)->set_node_id(9);
  ExpectRefused(layout, "replica 21 of shard 2 is on node 9");
  layout.mutable_shards(2)->mutable_replicas(0)->set_node_id(2);
  ExpectRefused(layout, "replica 22 of shard 2 is on node 2");
}

}  // namespace
}  // namespace basalt::server
