#include "server/node/hand_over.h"

#include <gtest/gtest.h>

namespace basalt::server {
namespace {

GroupState Led(uint64_t group, bool active_follower) {
  GroupState state;
  state.group = raft::GroupId(group);
  state.core.leadership.role = raft::Role::kLeader;
  raft::FollowerStatus silent;
  silent.replica = raft::ReplicaId(2);
  raft::FollowerStatus other = silent;
  other.replica = raft::ReplicaId(3);
  other.recently_active = active_follower;
  state.core.followers = {silent, other};
  return state;
}

TEST(HandOver, AsksForWhatItLeadsAndSomebodyCouldTake) {
  GroupState followed = Led(4, true);
  followed.core.leadership.role = raft::Role::kFollower;
  const HandOverStep step = PlanHandOver({Led(1, true), Led(2, false), Led(3, true), followed});
  EXPECT_EQ(step.led, 2u);
  EXPECT_EQ(step.ask, (std::vector{raft::GroupId(1), raft::GroupId(3)}));
}

TEST(HandOver, WaitsForATransferThatIsUnderWay) {
  GroupState under_way = Led(1, true);
  under_way.core.transfer_to = raft::ReplicaId(3);
  const HandOverStep step = PlanHandOver({under_way});
  EXPECT_EQ(step.led, 1u);
  EXPECT_TRUE(step.ask.empty());
}

TEST(HandOver, NothingLedIsNothingToDo) {
  EXPECT_EQ(PlanHandOver({}).led, 0u);
  EXPECT_EQ(PlanHandOver({Led(1, false)}).led, 0u);
}

}  // namespace
}  // namespace basalt::server
