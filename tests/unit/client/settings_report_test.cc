// What kvctl makes of the retentions that nodes tell of.
#include "client/kvctl/settings_report.h"

#include <gtest/gtest.h>

namespace basalt::kvctl {
namespace {

struct Told {
  uint64_t shard_id;
  const char* role;
  uint64_t term;
  uint64_t own_ms;
};

NodeAnswer Node(uint64_t id, uint64_t node_ms, const std::vector<Told>& replicas) {
  NodeAnswer answer;
  answer.node.node_id = id;
  answer.report.emplace();
  answer.report->version_retention_ms = node_ms;
  for (const Told& told : replicas) {
    client::ReplicaReport replica;
    replica.shard_id = told.shard_id;
    replica.role = told.role;
    replica.term = told.term;
    replica.version_retention_ms = told.own_ms;
    answer.report->replicas.push_back(replica);
  }
  return answer;
}

client::ClusterView Map(uint64_t data_shards) {
  client::ClusterView map;
  map.shards.push_back({.shard_id = 0});
  for (uint64_t id = 1; id <= data_shards; ++id) {
    map.shards.push_back({.shard_id = id, .slot_count = 10});
  }
  return map;
}

TEST(SettingsReportTest, TheLeaderOfTheNewestTermSays) {
  const std::vector<ShardRetention> shards = RetentionsOf(
      Map(1), {Node(1, 600'000, {{1, "leader", 3, 0}}), Node(2, 700'000, {{1, "leader", 4, 5'000}}),
               Node(3, 800'000, {{1, "follower", 5, 0}})});
  ASSERT_EQ(shards.size(), 1U) << "the meta shard has none";
  EXPECT_EQ(shards[0].node_id, 2U);
  EXPECT_EQ(shards[0].own_ms, 5'000U);
  EXPECT_FALSE(shards[0].differs);
  EXPECT_EQ(RetentionTable(shards),
            "SHARD  VERSION RETENTION  FROM   NOTE\n1      5s                 shard\n");
}

TEST(SettingsReportTest, WhatDiffersIsMarkedWhateverItComesFrom) {
  // The second shard says by itself what the nodes say of the first and the fourth.
  std::vector<NodeAnswer> answers = {Node(1, 600'000,
                                          {{1, "leader", 3, 0},
                                           {2, "leader", 3, 600'000},
                                           {3, "leader", 3, 90'000},
                                           {4, "follower", 3, 0}})};
  NodeAnswer silent;
  silent.node.node_id = 2;
  silent.failure = "nobody there";
  answers.push_back(silent);
  const std::vector<ShardRetention> shards = RetentionsOf(Map(5), answers);
  EXPECT_EQ(RetentionTable(shards),
            "SHARD  VERSION RETENTION  FROM    NOTE\n"
            "1      10m                node 1\n"
            "2      10m                shard\n"
            "3      90s                shard   differs\n"
            "4      10m                node 1\n"
            "5      ?                  -       no replica within reach\n");
}

TEST(SettingsReportTest, OfAsManyTheLowestShardIsTheRule) {
  const std::vector<ShardRetention> shards =
      RetentionsOf(Map(2), {Node(1, 600'000, {{1, "leader", 3, 1'000}, {2, "leader", 3, 0}})});
  EXPECT_FALSE(shards[0].differs);
  EXPECT_TRUE(shards[1].differs);
}

}  // namespace
}  // namespace basalt::kvctl
