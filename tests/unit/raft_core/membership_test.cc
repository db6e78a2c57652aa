// Changes of the members as their driver sees them: what is asked for and refused, when a learner
// counts as caught up, whom the core speaks to. What replicas do together is in
// tests/scenarios/raft.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "raft/core/configuration.h"
#include "tests/unit/raft_core/make_entries.h"
#include "tests/unit/raft_core/timed_core.h"

namespace basalt::raft {
namespace {

using enum MemberRole;

CoreOptions Options() {
  CoreOptions options = TimedCore::Options();
  options.node = NodeId(1);
  options.leases = false;
  options.election_timeout = Time(0);
  return options;
}

Configuration With(Configuration configuration, uint64_t replica, MemberRole role) {
  for (Member& member : configuration.members) {
    if (member.replica != ReplicaId(replica)) continue;
    member.role = role;
    return configuration;
  }
  configuration.members.push_back({ReplicaId(replica), NodeId(replica), role});
  return configuration;
}

Configuration Without(Configuration configuration, uint64_t replica) {
  std::erase_if(configuration.members,
                [&](const Member& member) { return member.replica == ReplicaId(replica); });
  return configuration;
}

Entry ConfigurationEntry(uint64_t index, uint64_t term, const Configuration& configuration) {
  return {LogIndex(index), Term(term), EntryKind::kConfiguration,
          MakePayload(EncodeConfiguration(configuration))};
}

// Replica 1 of three leads term 1.
class Membership : public ::testing::Test {
 protected:
  void SetUp() override {
    one_.Lead();
    ASSERT_TRUE(one_.core.is_leader());
  }
  void CommitAll() {
    one_.Acknowledge(2);
    ASSERT_EQ(one_.core.status().commit, one_.core.status().last);
  }
  ChangeRefusal Refused(const Configuration& target) {
    const LogIndex last = one_.core.status().last;
    const auto answer = one_.core.ChangeMembership(target);
    EXPECT_TRUE(std::holds_alternative<ChangeRefusal>(answer));
    EXPECT_EQ(one_.core.status().last, last) << "nothing is appended";
    return std::get<ChangeRefusal>(answer);
  }
  void Accept(const Configuration& target) {
    EXPECT_TRUE(std::holds_alternative<Proposed>(one_.core.ChangeMembership(target)));
    one_.Turn();
  }
  // Replica 4 is a learner, and everything so far is committed.
  void AddLearner() {
    CommitAll();
    Accept(with_learner_);
    CommitAll();
  }
  // The learner acknowledges what there is.
  void CatchUp() { one_.Acknowledge(4); }

  const Configuration three_ = MakeConfiguration(3);
  const Configuration with_learner_ = With(three_, 4, kLearner);
  const Configuration four_ = With(three_, 4, kVoter);
  TimedCore one_{TimedCore::Fresh(3), Options()};
};

TEST_F(Membership, OnlyALeaderThatHasCommittedInItsTermChangesIt) {
  EXPECT_EQ(Refused(with_learner_), ChangeRefusal::kNothingCommittedInTerm);
  CommitAll();
  TimedCore follower(TimedCore::Fresh(3), Options());
  EXPECT_EQ(std::get<ChangeRefusal>(follower.core.ChangeMembership(with_learner_)),
            ChangeRefusal::kNotLeader);
  Accept(with_learner_);
}

TEST_F(Membership, TargetsThatNobodyShouldAskForAreRefused) {
  CommitAll();
  EXPECT_EQ(Refused({}), ChangeRefusal::kNoVoter);
  EXPECT_EQ(Refused({{{ReplicaId(1), NodeId(1), kLearner}}}), ChangeRefusal::kNoVoter);
  EXPECT_EQ(Refused(With(three_, 2, kOutgoing)), ChangeRefusal::kMalformed);
  EXPECT_EQ(Refused(With(three_, 2, static_cast<MemberRole>(9))), ChangeRefusal::kMalformed);
  Configuration twice = three_;
  twice.members.push_back(twice.members.front());
  EXPECT_EQ(Refused(twice), ChangeRefusal::kMalformed);
  Configuration nobody = with_learner_;
  nobody.members[3].replica = ReplicaId(0);
  EXPECT_EQ(Refused(nobody), ChangeRefusal::kMalformed);
  Configuration nowhere = with_learner_;
  nowhere.members[3].node = NodeId(0);
  EXPECT_EQ(Refused(nowhere), ChangeRefusal::kMalformed);
  EXPECT_EQ(Refused(three_), ChangeRefusal::kUnchanged);
  EXPECT_EQ(Refused(four_), ChangeRefusal::kVoterWasNoLearner);
  Configuration moved = three_;
  moved.members[1].node = NodeId(9);
  EXPECT_EQ(Refused(moved), ChangeRefusal::kReplicaIdUsed);
}

TEST_F(Membership, TheOrderOfTheTargetDoesNotMatter) {
  CommitAll();
  Configuration turned = with_learner_;
  std::reverse(turned.members.begin(), turned.members.end());
  Accept(turned);
  EXPECT_EQ(one_.core.configuration(), with_learner_);
}

TEST_F(Membership, OneChangeAtATime) {
  CommitAll();
  Accept(with_learner_);
  EXPECT_EQ(Refused(three_), ChangeRefusal::kChangeUnderWay) << "not committed";
  CommitAll();
  Accept(three_);
  CommitAll();
  EXPECT_EQ(Refused(with_learner_), ChangeRefusal::kReplicaIdUsed) << "an id never comes back";
  Accept(Without(three_, 3));
  EXPECT_TRUE(one_.core.status().is_joint);
  EXPECT_EQ(Refused(three_), ChangeRefusal::kChangeUnderWay) << "joint";
  one_.Acknowledge(2);  // commits the joint one: the final follows at once
  EXPECT_FALSE(one_.core.status().is_joint);
  EXPECT_EQ(Refused(three_), ChangeRefusal::kChangeUnderWay) << "final, not committed";
  CommitAll();
  EXPECT_EQ(one_.core.configuration(), Without(three_, 3));
}

TEST_F(Membership, NoChangeBesideATransfer) {
  CommitAll();
  ASSERT_EQ(one_.core.TransferLeadership(ReplicaId(2)), TransferAnswer::kStarted);
  EXPECT_EQ(Refused(with_learner_), ChangeRefusal::kTransferring);
}

TEST_F(Membership, ALearnerIsPromotedOnlyWhenItIsCaughtUp) {
  AddLearner();
  EXPECT_EQ(Refused(four_), ChangeRefusal::kNotCaughtUp) << "never heard";
  CatchUp();
  one_.core.Propose(EntryKind::kCommands, MakePayload("a"));
  one_.Turn();
  CommitAll();
  Accept(four_);
  EXPECT_EQ(one_.core.configuration(), With(three_, 4, kIncoming))
      << "it may lack what was committed since the heartbeat before the last";
}

TEST_F(Membership, WhatWasCommittedTwoHeartbeatsAgoMustBeThere) {
  AddLearner();
  CatchUp();
  one_.core.Propose(EntryKind::kCommands, MakePayload("a"));
  one_.Turn();
  CommitAll();
  one_.Tick(2);
  one_.Acknowledge(2);
  one_.Tick(2);
  one_.Acknowledge(2);
  EXPECT_EQ(Refused(four_), ChangeRefusal::kNotCaughtUp);
  CatchUp();
  Accept(four_);
}

TEST_F(Membership, ASilentLearnerIsNotPromoted) {
  AddLearner();
  CatchUp();
  for (int i = 0; i < 10; ++i) {
    one_.Tick();
    one_.Acknowledge(2);
  }
  EXPECT_EQ(Refused(four_), ChangeRefusal::kNotCaughtUp);
}

TEST_F(Membership, ANewMemberIsSpokenToAtOnceAndARemovedOneNoMore) {
  CommitAll();
  one_.sent.clear();
  Accept(with_learner_);
  ASSERT_TRUE(one_.Last<AppendRequest>(4).has_value());
  EXPECT_EQ(one_.sent.back().to_node, NodeId(4));
  EXPECT_EQ(one_.sent.back().from_node, NodeId(1));
  CommitAll();
  Accept(three_);
  one_.sent.clear();
  one_.Tick(4);
  EXPECT_FALSE(one_.Last<HeartbeatRequest>(4).has_value());
  EXPECT_TRUE(one_.Last<HeartbeatRequest>(3).has_value());
}

TEST_F(Membership, AMemberWithoutAConfigurationGetsACheckpointOnce) {
  AddLearner();
  const Term term(1);
  const auto needs_one = [&] {
    AppendReply reply{false, LogIndex(1), LogIndex(0), Term(0), one_.NewestRound()};
    reply.needs_checkpoint = true;
    one_.core.Step({GroupId(7), ReplicaId(4), ReplicaId(1), NodeId(1), term, reply, NodeId(4)});
    return one_.core.TakeEffects().checkpoints.size();
  };
  EXPECT_EQ(needs_one(), 1u);
  EXPECT_EQ(needs_one(), 0u) << "it is on its way";
  one_.core.OnCheckpointSent(ReplicaId(4), LogIndex(2));
  one_.Turn();
  EXPECT_EQ(needs_one(), 0u) << "late: it has one";
}

TEST(JoiningReplica, AsksForACheckpointAndTakesNothingElse) {
  TimedCore fresh(TimedCore::Fresh(0), Options());
  fresh.core.Campaign();
  fresh.Turn();
  fresh.Tick(100);
  EXPECT_TRUE(fresh.sent.empty()) << "it never campaigns";
  fresh.Hear(2, 3, AppendRequest{LogIndex(0), Term(0), LogIndex(1), Round(5), {MakeEntry(1, 1)}});
  ASSERT_EQ(fresh.sent.size(), 1u);
  EXPECT_EQ(fresh.sent.back().to, ReplicaId(2));
  EXPECT_EQ(fresh.sent.back().to_node, NodeId(2)) << "a stranger is answered where it lives";
  const auto reply = fresh.Last<AppendReply>(2);
  ASSERT_TRUE(reply.has_value());
  EXPECT_FALSE(reply->accepted);
  EXPECT_TRUE(reply->needs_checkpoint);
  EXPECT_EQ(fresh.core.status().last, LogIndex(0));

  const LogBase base{LogIndex(9), Term(2), MakeConfiguration(3)};
  fresh.core.Step({GroupId(7), ReplicaId(2), ReplicaId(1), NodeId(1), Term(3),
                   CheckpointArrived{base}, NodeId(2)});
  EXPECT_EQ(fresh.core.TakeEffects().install, base);
  fresh.core.OnCheckpointInstalled(base.index);
  fresh.Turn();
  EXPECT_EQ(fresh.core.configuration(), MakeConfiguration(3));
  fresh.Hear(2, 3, AppendRequest{LogIndex(9), Term(2), LogIndex(9), Round(6), {MakeEntry(10, 3)}});
  EXPECT_TRUE(fresh.Last<AppendReply>(2)->accepted);
}

TEST(MembershipOfAFollower, FollowsTheLogWhereverItGoes) {
  TimedCore follower(TimedCore::Fresh(3), Options());
  const Configuration learner = With(MakeConfiguration(3), 4, kLearner);
  const Configuration joint = With(learner, 4, kIncoming);
  follower.Hear(
      2, 1,
      AppendRequest{LogIndex(0),
                    Term(0),
                    LogIndex(1),
                    Round(1),
                    {ConfigurationEntry(1, 1, learner), ConfigurationEntry(2, 1, joint)}});
  EXPECT_EQ(follower.core.configuration(), joint) << "committed or not";
  EXPECT_EQ(follower.core.status().configuration_index, LogIndex(2));
  EXPECT_TRUE(follower.core.status().is_joint);
  follower.Hear(3, 2,
                AppendRequest{LogIndex(1), Term(1), LogIndex(1), Round(1), {MakeEntry(2, 2)}});
  EXPECT_EQ(follower.core.configuration(), learner) << "its entry was replaced";
  EXPECT_EQ(follower.core.status().configuration_index, LogIndex(1));
}

TEST(MembershipOfAFollower, WhatNoLeaderSendsIsNotTaken) {
  TimedCore follower(TimedCore::Fresh(3), Options());
  const auto send = [&](Entry entry) {
    follower.Hear(2, 1, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(1), {entry}});
    EXPECT_EQ(follower.core.status().last, LogIndex(0));
  };
  send({LogIndex(1), Term(1), EntryKind::kConfiguration, nullptr});
  send({LogIndex(1), Term(1), EntryKind::kConfiguration, MakePayload("rubbish")});
  send(ConfigurationEntry(1, 1, MakeConfiguration(4)));  // a voter at one stroke
  Configuration other = With(MakeConfiguration(5), 5, kIncoming);
  send(ConfigurationEntry(1, 1, other));  // joint with an old half that never was
  follower.Hear(2, 1,
                AppendRequest{LogIndex(0),
                              Term(0),
                              LogIndex(0),
                              Round(1),
                              {ConfigurationEntry(1, 1, With(MakeConfiguration(3), 4, kLearner))}});
  EXPECT_EQ(follower.core.status().last, LogIndex(1)) << "and what one sends is";
}

TEST(MembershipOfAFollower, ARestartFindsTheConfigurationInTheLog) {
  const Configuration learner = With(MakeConfiguration(3), 4, kLearner);
  const Configuration joint = With(learner, 4, kIncoming);
  RecoveredState state = TimedCore::Fresh(3);
  state.hard_state = HardState{Term(1), ReplicaId(2)};
  state.entries = {ConfigurationEntry(1, 1, learner), MakeEntry(2, 1),
                   ConfigurationEntry(3, 1, joint)};
  TimedCore follower(state, Options());
  EXPECT_EQ(follower.core.configuration(), joint);
  EXPECT_EQ(follower.core.status().configuration_index, LogIndex(3));
}

TEST(MembershipOfAFollower, ALearnerNeverCampaignsAndNeverCounts) {
  RecoveredState state = TimedCore::Fresh(0);
  state.base.configuration = With(MakeConfiguration(3), 1, kLearner);
  state.applied = state.base;
  TimedCore learner(state, Options());
  learner.core.Campaign();
  learner.Tick(100);
  EXPECT_TRUE(learner.sent.empty());
  // Who asks it for its vote gets it all the same: the candidate may know of its promotion.
  learner.Hear(2, 1, VoteRequest{false, LogIndex(0), Term(0)});
  EXPECT_TRUE(learner.Last<VoteReply>(2)->granted);
}

}  // namespace
}  // namespace basalt::raft
