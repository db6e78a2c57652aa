// Transfer of leadership: what the leader waits for and gives up, whom it chooses, and why.

#include "raft/core/transfer.h"

#include <variant>

#include "gtest/gtest.h"

#include "tests/unit/raft_core/timed_core.h"

namespace basalt::raft {
namespace {

// Leads three, and both followers hold everything.
class Transfer : public ::testing::Test {
 protected:
  explicit Transfer(const CoreOptions& options = TimedCore::Options())
      : one_(TimedCore::Fresh(3), options) {
    one_.Lead();
    one_.Acknowledge(2);
    one_.Acknowledge(3);
  }

  bool MayPropose() {
    return std::holds_alternative<Proposed>(
        one_.core.Propose(EntryKind::kCommands, MakePayload("x")));
  }
  // Both answer every round while `ticks` pass.
  void TickAnswered(int ticks, uint32_t priority_of_3 = 1) {
    for (; ticks > 0; --ticks) {
      one_.Tick();
      if (!one_.core.is_leader()) return;
      one_.Hear(2, 1, HeartbeatReply{one_.NewestRound()});
      one_.Hear(3, 1, HeartbeatReply{one_.NewestRound(), priority_of_3});
    }
  }
  size_t ToldToCampaign() const {
    size_t count = 0;
    for (const Message& message : one_.sent) {
      count += std::holds_alternative<TimeoutNow>(message.body) ? 1 : 0;
    }
    return count;
  }

  TimedCore one_;
};

TEST_F(Transfer, WaitsUntilTheTargetHoldsEverything) {
  one_.core.Propose(EntryKind::kCommands, MakePayload("x"));
  one_.Turn();
  one_.Acknowledge(2);
  EXPECT_EQ(one_.core.TransferLeadership(ReplicaId(3)), TransferAnswer::kStarted);
  one_.Turn();
  EXPECT_EQ(one_.core.status().transfer_to, ReplicaId(3));
  EXPECT_FALSE(one_.Last<TimeoutNow>(3).has_value());
  EXPECT_TRUE(one_.core.LeaseRead(one_.now).has_value()) << "nobody else can lead yet";
  const auto answer = one_.core.Propose(EntryKind::kCommands, MakePayload("y"));
  ASSERT_TRUE(std::holds_alternative<ProposeRefusal>(answer));
  EXPECT_EQ(std::get<ProposeRefusal>(answer), ProposeRefusal::kTransferring);
  one_.Acknowledge(3);
  EXPECT_TRUE(one_.Last<TimeoutNow>(3).has_value());
  EXPECT_FALSE(one_.LeaseEnd().has_value());
}

TEST_F(Transfer, GivenUpAfterAnElectionTimeoutButTheLeaseStaysOff) {
  one_.core.TransferLeadership(ReplicaId(3));
  one_.Turn();
  ASSERT_TRUE(one_.Last<TimeoutNow>(3).has_value());
  TickAnswered(9);
  EXPECT_FALSE(MayPropose());
  EXPECT_EQ(one_.core.TransferLeadership(ReplicaId(2)), TransferAnswer::kUnderWay);
  TickAnswered(1);
  EXPECT_TRUE(MayPropose());
  EXPECT_EQ(one_.core.status().transfer_to, ReplicaId(0));
  TickAnswered(30);
  EXPECT_TRUE(one_.core.is_leader());
  EXPECT_FALSE(one_.LeaseEnd().has_value()) << "TimeoutNow may still arrive";
  one_.core.RequestRead(ReadId(1));
  one_.Turn();
  one_.Hear(2, 1, HeartbeatReply{one_.NewestRound()});
  EXPECT_EQ(one_.reads.size(), 1u) << "a round proves what a lease cannot";
}

TEST_F(Transfer, OneThatWasNeverToldTakesNoLease) {
  one_.core.Propose(EntryKind::kCommands, MakePayload("x"));
  one_.Turn();
  one_.core.TransferLeadership(ReplicaId(3));
  TickAnswered(10);
  EXPECT_EQ(one_.core.status().transfer_to, ReplicaId(0));
  EXPECT_EQ(ToldToCampaign(), 0u);
  EXPECT_TRUE(one_.LeaseEnd().has_value());
}

TEST_F(Transfer, KeepsTheMembersAsTheyAre) {
  one_.core.TransferLeadership(ReplicaId(3));
  Configuration target = MakeConfiguration(3);
  target.members.push_back({ReplicaId(4), NodeId(4), MemberRole::kLearner});
  const auto answer = one_.core.ChangeMembership(target);
  ASSERT_TRUE(std::holds_alternative<ChangeRefusal>(answer));
  EXPECT_EQ(std::get<ChangeRefusal>(answer), ChangeRefusal::kTransferring);
}

TEST_F(Transfer, IsRefusedToWhoCannotTakeIt) {
  EXPECT_EQ(one_.core.TransferLeadership(ReplicaId(1)), TransferAnswer::kNotAVoter);
  EXPECT_EQ(one_.core.TransferLeadership(ReplicaId(9)), TransferAnswer::kNotAVoter);
  // Replica 3 falls silent.
  for (int i = 0; i < 10; ++i) {
    one_.Tick();
    one_.Hear(2, 1, HeartbeatReply{one_.NewestRound()});
  }
  EXPECT_EQ(one_.core.TransferLeadership(ReplicaId(3)), TransferAnswer::kNobodyFit);
  one_.Hear(2, 4, HeartbeatReply{Round(0)});
  EXPECT_EQ(one_.core.TransferLeadership(ReplicaId(2)), TransferAnswer::kNotLeader);
}

TEST_F(Transfer, ChoosesTheHighestPriorityThatIsCaughtUp) {
  one_.Hear(3, 1, HeartbeatReply{Round(1), 1});
  one_.Hear(2, 1, HeartbeatReply{Round(1), 0});
  one_.core.TransferLeadership(ReplicaId(0));
  EXPECT_EQ(one_.core.status().transfer_to, ReplicaId(3));
}

TEST_F(Transfer, ChoosesNobodyWhoLacksWhatIsCommitted) {
  one_.core.Propose(EntryKind::kCommands, MakePayload("x"));
  one_.Turn();
  one_.Acknowledge(2);
  TickAnswered(4, 9);  // two heartbeats later 3 has not got it
  one_.core.TransferLeadership(ReplicaId(0));
  EXPECT_EQ(one_.core.status().transfer_to, ReplicaId(2));
}

TEST_F(Transfer, ALeaderHandsOverToAHigherPriorityAndBacksOffWhenThatFails) {
  TickAnswered(8, 5);
  EXPECT_EQ(ToldToCampaign(), 0u) << "not within an election timeout of its own election";
  TickAnswered(2, 5);
  EXPECT_EQ(ToldToCampaign(), 1u);
  TickAnswered(19, 5);
  EXPECT_EQ(ToldToCampaign(), 1u);
  EXPECT_TRUE(MayPropose());
  one_.Turn();
  one_.Acknowledge(2);
  one_.Acknowledge(3);
  TickAnswered(1, 5);
  EXPECT_EQ(ToldToCampaign(), 2u) << "after two timeouts";
  TickAnswered(39, 5);
  EXPECT_EQ(ToldToCampaign(), 2u);
  TickAnswered(1, 5);
  EXPECT_EQ(ToldToCampaign(), 3u) << "after four";
}

TEST_F(Transfer, PrioritiesMayChange) {
  TickAnswered(30);
  EXPECT_EQ(ToldToCampaign(), 0u) << "equal priorities";
  one_.core.SetPriority(0);
  TickAnswered(1);
  EXPECT_EQ(ToldToCampaign(), 1u);
}

TEST(TransferTarget, CampaignsAtOnceWithoutPreVote) {
  TimedCore one(TimedCore::Fresh(3));
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  one.Hear(2, 1, TimeoutNow{});
  EXPECT_EQ(one.core.term(), Term(2));
  ASSERT_TRUE(one.Last<VoteRequest>(3).has_value());
  EXPECT_TRUE(one.Last<VoteRequest>(3)->transfer);
  EXPECT_FALSE(one.Last<VoteRequest>(3)->pre_vote);
  // The next campaign is its own.
  one.sent.clear();
  one.Tick(31);
  EXPECT_FALSE(one.Last<VoteRequest>(3)->transfer);
}

TEST(TransferTarget, IgnoresALateWordOfAnEarlierTerm) {
  TimedCore one(TimedCore::Fresh(3));
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  one.Hear(3, 2, HeartbeatRequest{LogIndex(0), Round(1)});
  one.sent.clear();
  one.Hear(2, 1, TimeoutNow{});
  EXPECT_EQ(one.core.term(), Term(2));
  EXPECT_TRUE(one.sent.empty());
  // Nor when it knows no leader of the term that it is in: one may have a lease.
  one.Hear(3, 4, HeartbeatReply{Round(0)});
  one.Hear(3, 2, TimeoutNow{});
  EXPECT_EQ(one.core.term(), Term(4));
  EXPECT_TRUE(one.sent.empty());
}

TEST(TransferTarget, DoesNotCampaignNewlyRestarted) {
  TimedCore one(TimedCore::Restarted(1));
  one.Hear(2, 1, TimeoutNow{});
  EXPECT_EQ(one.core.term(), Term(1));
  one.At(6000);
  one.Hear(2, 1, TimeoutNow{});
  EXPECT_EQ(one.core.term(), Term(2));
}

TEST(TransferVote, IsGivenThoughTheLeaderIsHeard) {
  TimedCore one(TimedCore::Fresh(3));
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  one.sent.clear();
  one.Hear(3, 2, VoteRequest{true, LogIndex(0), Term(0), true});
  EXPECT_TRUE(one.sent.empty()) << "a pre-vote is never part of a transfer";
  one.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0), true});
  ASSERT_TRUE(one.Last<VoteReply>(3).has_value());
  EXPECT_TRUE(one.Last<VoteReply>(3)->granted);
}

TEST(TransferVote, TheLeaderItselfGivesItsVote) {
  TimedCore one(TimedCore::Fresh(3));
  one.Lead();
  one.Acknowledge(2);
  one.Hear(2, 2, VoteRequest{false, LogIndex(1), Term(1)});
  EXPECT_TRUE(one.core.is_leader());
  one.Hear(2, 2, VoteRequest{false, LogIndex(1), Term(1), true});
  EXPECT_FALSE(one.core.is_leader());
  EXPECT_TRUE(one.Last<VoteReply>(2)->granted);
}

TEST(Priority, WhoWouldRatherNotLeadCampaignsTwoTimeoutsLater) {
  const auto ticks_until_campaign = [](uint32_t priority) {
    CoreOptions options = TimedCore::Options();
    options.priority = priority;
    TimedCore one(TimedCore::Fresh(3), options);
    int ticks = 0;
    for (; one.core.status().leadership.role == Role::kFollower; ++ticks) one.Tick();
    return ticks;
  };
  EXPECT_EQ(ticks_until_campaign(0), ticks_until_campaign(1) + 20);
  EXPECT_EQ(ticks_until_campaign(7), ticks_until_campaign(1));
}

TEST(Priority, IsToldToTheLeader) {
  TimedCore one(TimedCore::Fresh(3));
  one.core.SetPriority(4);
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  EXPECT_EQ(one.Last<HeartbeatReply>(2)->priority, 4u);
}

TEST(Priority, IsNoneWhileTheReplicaCouldNotTakeOver) {
  TimedCore one(TimedCore::Restarted(1));
  one.core.SetPriority(4);
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  EXPECT_EQ(one.Last<HeartbeatReply>(2)->priority, 0u);
  one.At(6000);
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(2)});
  EXPECT_EQ(one.Last<HeartbeatReply>(2)->priority, 4u);
}

CoreOptions WithStalls() {
  CoreOptions options = TimedCore::Options();
  options.disk_stall = Time(1000);
  return options;
}

class DiskStall : public Transfer {
 protected:
  DiskStall() : Transfer(WithStalls()) {}
};

TEST_F(DiskStall, ALeaderHandsOverToWhoCommitsWithoutIt) {
  TickAnswered(20);
  one_.disk_stands_still = true;
  one_.core.Propose(EntryKind::kCommands, MakePayload("x"));
  one_.Turn();
  one_.Acknowledge(2);
  EXPECT_EQ(one_.core.status().commit, LogIndex(1)) << "one of three, and not its own disk";
  one_.Acknowledge(3);
  EXPECT_EQ(one_.core.status().commit, LogIndex(2));
  TickAnswered(9);
  EXPECT_EQ(ToldToCampaign(), 0u);
  TickAnswered(1);
  EXPECT_EQ(ToldToCampaign(), 1u);
  EXPECT_TRUE(one_.core.status().disk_stalled);
}

TEST_F(DiskStall, WaitsForNoBackOffOfPriorities) {
  TickAnswered(160, 5);  // hand-overs that failed after 10, 30 and 70 ticks, and 150
  const size_t for_priority = ToldToCampaign();
  EXPECT_EQ(for_priority, 4u);
  one_.disk_stands_still = true;
  EXPECT_TRUE(MayPropose());
  one_.Turn();
  one_.Acknowledge(2);
  one_.Acknowledge(3);
  TickAnswered(10, 5);
  EXPECT_EQ(ToldToCampaign(), for_priority + 1) << "the next was due at 310";
  TickAnswered(19, 5);
  EXPECT_EQ(ToldToCampaign(), for_priority + 1);
  TickAnswered(1, 5);
  EXPECT_EQ(ToldToCampaign(), for_priority + 2) << "and again, an election timeout after it failed";
  TickAnswered(20, 5);
  EXPECT_EQ(ToldToCampaign(), for_priority + 3) << "never later than that";
}

TEST_F(DiskStall, AWriteThatEndsInTimeIsNone) {
  TickAnswered(20);
  one_.core.Propose(EntryKind::kCommands, MakePayload("x"));
  const Effects effects = one_.core.TakeEffects();
  TickAnswered(9);
  one_.core.OnPersisted(effects.persist->id);
  TickAnswered(20);
  EXPECT_EQ(ToldToCampaign(), 0u);
}

// Its next write would wait behind what another group of the same log has under way.
TEST_F(DiskStall, ALeaderWithNothingUnderWayHandsOverWhenItsLogStandsStill) {
  TickAnswered(20);
  one_.core.SetLogBusySince(one_.now);
  TickAnswered(10);
  EXPECT_TRUE(one_.core.status().disk_stalled);
  TickAnswered(9);
  EXPECT_EQ(ToldToCampaign(), 0u);
  TickAnswered(1);
  EXPECT_EQ(ToldToCampaign(), 1u);
  one_.core.SetLogBusySince(std::nullopt);
  EXPECT_FALSE(one_.core.status().disk_stalled);
}

// Nodes may share the disk that stands still. A leader that told one of them to campaign in vain
// would have given its lease up for it.
TEST_F(DiskStall, WithNothingUnderWayItKeepsItsLeaseBesideFollowersThatCannot) {
  const auto tick = [&](int ticks) {
    for (; ticks > 0; --ticks) {
      one_.Tick();
      for (const uint64_t replica : {2, 3}) {
        one_.Hear(replica, 1, HeartbeatReply{one_.NewestRound(), 0});
      }
    }
  };
  tick(20);
  one_.core.SetLogBusySince(one_.now);
  tick(60);
  EXPECT_EQ(ToldToCampaign(), 0u);
  EXPECT_TRUE(one_.core.status().disk_stalled);
}

TEST_F(DiskStall, OfItsOwnWritesAndTheLogsTheOldestCounts) {
  TickAnswered(20);
  one_.disk_stands_still = true;
  one_.core.Propose(EntryKind::kCommands, MakePayload("x"));
  one_.Turn();
  one_.Acknowledge(2);
  one_.Acknowledge(3);
  TickAnswered(5);
  one_.core.SetLogBusySince(one_.now);  // what stood before its own write is done
  TickAnswered(5);
  EXPECT_EQ(ToldToCampaign(), 1u);
}

TEST(DiskStallOfAFollower, DoesNotCampaign) {
  TimedCore one(TimedCore::Fresh(3), WithStalls());
  one.disk_stands_still = true;
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  one.Tick(60);
  EXPECT_EQ(one.core.status().leadership.role, Role::kFollower);
  one.Hear(2, 1, TimeoutNow{});
  EXPECT_EQ(one.core.term(), Term(1));
  one.core.OnPersisted(PersistId(1));
  one.Tick(21);
  EXPECT_EQ(one.core.status().leadership.role, Role::kPreCandidate);
}

}  // namespace
}  // namespace basalt::raft
