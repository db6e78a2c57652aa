// When a leader hands over by itself: its log stands still, its clock is off.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/unit/server/group_loop_fixture.h"

namespace basalt::server {
namespace {

class HandOverTest : public GroupLoopTest {
 protected:
  uint32_t Priority() {
    std::vector<GroupState> states;
    Handle(StatesAsked{[&](std::vector<GroupState> all) { states = std::move(all); }});
    return states.at(0).core.priority;
  }
  bool ToldToCampaign() const {
    return std::any_of(around_.sent.begin(), around_.sent.end(), [](const auto& message) {
      return std::holds_alternative<raft::TimeoutNow>(message.body);
    });
  }
};

// The log is busy with another group, so that what arrives for this one gathers.
TEST_F(GroupLoopTest, ALogThatStandsStillIsSeenByGroupsThatHaveNothingInIt) {
  MakeLeaderOfThree({.log_appends_max = 1, .ticks_per_compaction_check = 1});
  Persist();
  raft::CoreOptions other;
  other.group = raft::GroupId(7);
  other.self = raft::ReplicaId(70);
  raft::RecoveredState recovered;
  recovered.base.configuration.members.push_back(
      {raft::ReplicaId(70), raft::NodeId(1), raft::MemberRole::kVoter});
  recovered.applied = recovered.base;
  Handle(GroupAdded{other, recovered, {}});
  const auto told_to_campaign = [&] {
    return std::count_if(around_.sent.begin(), around_.sent.end(), [](const auto& message) {
      return std::holds_alternative<raft::TimeoutNow>(message.body);
    });
  };
  const auto tick = [&] {
    clock_.now += std::chrono::milliseconds(50);
    Handle(TickPassed{});
    FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  };
  for (int i = 0; i < 100 && around_.appends.empty(); ++i) tick();
  ASSERT_EQ(around_.appends.size(), 1u);
  ASSERT_EQ(around_.appends[0][0].group, other.group);
  Handle(Writes({1}));
  EXPECT_EQ(around_.appends.size(), 1u);

  for (int i = 0; i < 11; ++i) tick();
  EXPECT_EQ(loop_->counters().disks_stalled, 0u);
  for (int i = 0; i < 12; ++i) tick();
  EXPECT_EQ(loop_->counters().disks_stalled, 1u);
  EXPECT_EQ(told_to_campaign(), 0);
  tick();
  EXPECT_EQ(told_to_campaign(), 1);
  Persist();
  tick();
  tick();
  EXPECT_EQ(loop_->counters().disks_stalled, 0u);
}

// Its shard would be stamped by a clock that no other node shares.
TEST_F(HandOverTest, WhoseClockIsFarOffRatherDoesNotLead) {
  MakeLeaderOfThree({.ticks_per_compaction_check = 1});
  const auto tick = [&](uint64_t others_ahead_ms) {
    for (const uint64_t node : {2, 3}) {
      time_.HearClock(node, time_.OwnMilliseconds() + others_ahead_ms);
    }
    clock_.now += std::chrono::milliseconds(50);
    Handle(TickPassed{});
    for (const uint64_t replica : {2, 3}) {
      FromPeer(replica, 1, raft::HeartbeatReply{.round = NewestRound()});
    }
  };
  for (int i = 0; i < 40; ++i) tick(4'900);
  EXPECT_EQ(Priority(), 1u);
  EXPECT_FALSE(ToldToCampaign());
  EXPECT_NEAR(static_cast<double>(loop_->counters().clock_ahead_ms), -4'900, 10);
  tick(5'200);
  EXPECT_EQ(Priority(), 0u);
  for (int i = 0; i < 40; ++i) tick(5'200);
  EXPECT_TRUE(ToldToCampaign());
  tick(4'900);
  EXPECT_EQ(Priority(), 0u) << "not to and fro";
  tick(3'900);
  EXPECT_EQ(Priority(), 1u);
}

// It has no sound rows to give to who lags; and where others' priorities are lower it would be
// given the leadership back.
TEST_F(HandOverTest, WhoseRowsAreDamagedRatherDoesNotLead) {
  MakeLeaderOfThree({.ticks_per_compaction_check = 1});
  const raft::GroupId group(1);
  Handle(CheckpointSent{group, raft::ReplicaId(3), raft::Term(1), std::nullopt});
  EXPECT_EQ(Priority(), 1u);
  Handle(CheckpointSent{group, raft::ReplicaId(3), raft::Term(1), std::nullopt, true});
  EXPECT_EQ(Priority(), 0u);
  for (int i = 0; i < 40; ++i) {
    clock_.now += std::chrono::milliseconds(50);
    Handle(TickPassed{});
    FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  }
  EXPECT_TRUE(ToldToCampaign());
}

}  // namespace
}  // namespace basalt::server
