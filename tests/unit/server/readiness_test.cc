#include "server/node/readiness.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace basalt::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::ReplicaStatus Replica(uint64_t leader, uint64_t commit, uint64_t applied, uint64_t heard) {
  v1::ReplicaStatus replica;
  replica.set_shard_id(4);
  replica.set_leader_node(leader);
  replica.set_commit_index(commit);
  replica.set_applied_index(applied);
  replica.set_group_commit_index(heard);
  return replica;
}

std::vector<std::string> Why(const v1::ReplicaStatus& replica) {
  return WhyNotCaughtUp(std::span(&replica, 1));
}

TEST(Readiness, AReplicaWithALeaderAndAllEntriesIsFit) {
  EXPECT_THAT(Why(Replica(1, 5000, 5000, 5000)), IsEmpty());
  EXPECT_THAT(Why(Replica(1, 5000, 4900, 5100)), IsEmpty());
}

TEST(Readiness, WithoutALeaderItIsNot) {
  EXPECT_THAT(Why(Replica(0, 5, 5, 5)), ElementsAre("shard 4 has no leader"));
}

// It knows nothing of what it lacks but by its leader's word.
TEST(Readiness, AnEmptyReplicaThatWaitsForACheckpointIsBehind) {
  EXPECT_THAT(Why(Replica(1, 0, 0, 100'000)), ElementsAre("shard 4 is behind"));
}

TEST(Readiness, AReplicaThatHoldsEntriesAndHasNotAppliedThemIsBehind) {
  EXPECT_THAT(Why(Replica(1, 100'000, 10, 100'000)), ElementsAre("shard 4 is behind"));
}

}  // namespace
}  // namespace basalt::server
