// Leases: what a leader may conclude from which answers, and what a follower has promised.

#include "raft/core/lease.h"

#include <optional>

#include "gtest/gtest.h"

#include "raft/core/round_times.h"
#include "tests/unit/raft_core/timed_core.h"

namespace basalt::raft {
namespace {

TEST(RoundTimes, ForgetsOnlyWhatMakesALeaseShorter) {
  RoundTimes times;
  EXPECT_FALSE(times.SentAt(Round(9)).has_value());
  for (uint64_t i = 1; i <= 200; ++i) times.Sent(Round(i), Time(10 * i));
  EXPECT_EQ(times.size(), RoundTimes::kRememberedMax);
  EXPECT_EQ(times.SentAt(Round(5)), Time(50));
  EXPECT_EQ(times.SentAt(Round(64)), Time(640));
  EXPECT_EQ(times.SentAt(Round(200)), Time(640)) << "not remembered: as if the 64th was answered";
  times.ForgetBelow(Round(200));
  EXPECT_EQ(times.size(), 1u);
  EXPECT_EQ(times.SentAt(Round(200)), Time(640));
  EXPECT_FALSE(times.SentAt(Round(63)).has_value());
}

TEST(RoundTimes, KeepsTheEarlierRoundOfOneMoment) {
  RoundTimes times;
  times.Sent(Round(1), Time(10));
  times.Sent(Round(2), Time(10));
  times.Sent(Round(3), Time(11));
  EXPECT_EQ(times.size(), 2u);
  EXPECT_EQ(times.SentAt(Round(2)), Time(10));
  EXPECT_EQ(times.SentAt(Round(3)), Time(11));
}

TEST(Lease, LengthsAreRoundedDown) {
  EXPECT_EQ(LeaseDuration(Time(1000), 25), Time(800));
  EXPECT_EQ(LeaseDuration(Time(1000), 0), Time(1000));
  for (uint64_t timeout : {999u, 1000u, 123'457u}) {
    for (uint32_t drift : {0u, 1u, 7u, 20u, 100u}) {
      EXPECT_LE(LeaseDuration(Time(timeout), drift).value() * (100 + drift), timeout * 100);
    }
  }
}

TEST(Lease, RunsFromTheSendingOfTheRoundAndEndsExactlyThere) {
  TimedCore one(TimedCore::Fresh(3));
  one.Lead();  // round 1 leaves at 5000
  one.At(5300);
  one.Acknowledge(2);
  EXPECT_EQ(one.LeaseEnd(), Time(5800));
  EXPECT_EQ(one.core.LeaseRead(Time(5799)), LogIndex(1));
  EXPECT_FALSE(one.core.LeaseRead(Time(5800)).has_value());
  one.Tick(2);  // round 2 leaves at 5500
  one.At(6200);
  one.Hear(3, 1, HeartbeatReply{Round(2)});
  EXPECT_EQ(one.LeaseEnd(), Time(6300));
  // The same answer again, much later, proves nothing new.
  one.At(6250);
  one.Hear(3, 1, HeartbeatReply{Round(2)});
  EXPECT_EQ(one.LeaseEnd(), Time(6300));
}

TEST(Lease, NeedsTheAnswersOfAQuorum) {
  TimedCore one(TimedCore::Fresh(5));
  one.Lead(1, 2);
  one.Acknowledge(2);
  one.Acknowledge(3);
  one.Tick(2);  // round 2 leaves at 5200
  EXPECT_EQ(one.LeaseEnd(), Time(5800));
  one.Hear(2, 1, HeartbeatReply{Round(2)});
  one.Hear(2, 1, HeartbeatReply{Round(2)});
  EXPECT_EQ(one.LeaseEnd(), Time(5800)) << "two of five";
  one.Hear(5, 1, HeartbeatReply{Round(2)});
  EXPECT_EQ(one.LeaseEnd(), Time(6000));
}

TEST(Lease, AnswersToAnotherGroupOfTheSameNodesDoNotCount) {
  TimedCore one(TimedCore::Fresh(3));
  one.Lead();
  one.Acknowledge(2);
  one.Tick(2);
  Message message{GroupId(8), ReplicaId(2), ReplicaId(1),
                  NodeId(1),  Term(1),      HeartbeatReply{Round(2)},
                  NodeId(2)};
  one.core.Step(message);
  EXPECT_EQ(one.LeaseEnd(), Time(5800)) << "node 2 lives, but may have forgotten this group";
  message.group = GroupId(7);
  one.core.Step(message);
  EXPECT_EQ(one.LeaseEnd(), Time(6000));
}

TEST(Lease, NoneBeforeAnEntryOfTheOwnTermIsApplied) {
  TimedCore one(TimedCore::Fresh(3));
  one.machine_stands_still = true;
  one.Lead();
  one.Hear(2, 1, HeartbeatReply{Round(1)});
  EXPECT_FALSE(one.LeaseEnd().has_value());
  one.Acknowledge(2);
  EXPECT_EQ(one.core.status().commit, LogIndex(1));
  EXPECT_FALSE(one.LeaseEnd().has_value()) << "committed, and not applied";
  one.core.OnApplied(LogIndex(1));
  EXPECT_EQ(one.LeaseEnd(), Time(5800));
}

TEST(Lease, AReadIsServedAtTheCommitIndexNotAtWhatTheLeaderHasApplied) {
  TimedCore one(TimedCore::Fresh(3));
  one.Lead();
  one.Acknowledge(2);
  one.machine_stands_still = true;
  one.core.Propose(EntryKind::kCommands, MakePayload("x"));
  one.Turn();
  one.Acknowledge(2);
  EXPECT_EQ(one.core.status().applied, LogIndex(1));
  // A follower may apply entry 2 and show it before this leader does.
  EXPECT_EQ(one.core.LeaseRead(one.now), LogIndex(2));
}

TEST(Lease, AnswersOfAnEarlierTermDoNotCount) {
  TimedCore one(TimedCore::Fresh(3));
  one.Lead();
  one.Acknowledge(2);
  one.Tick(2);
  one.Hear(3, 2, HeartbeatReply{Round(0)});  // a later term is known: no leader any more
  EXPECT_FALSE(one.LeaseEnd().has_value());
  one.At(7000);
  one.Lead(3);
  one.Hear(2, 1, HeartbeatReply{Round(2)});
  one.Hear(2, 1, AppendReply{true, LogIndex(1), {}, {}, Round(1)});
  EXPECT_FALSE(one.LeaseEnd().has_value());
  one.Acknowledge(2);
  EXPECT_EQ(one.LeaseEnd(), Time(7800));
}

TEST(Lease, NoneInReadIndexMode) {
  CoreOptions options = TimedCore::Options();
  options.leases = false;
  TimedCore one(TimedCore::Fresh(3), options);
  one.Lead();
  one.Acknowledge(2);
  EXPECT_FALSE(one.LeaseEnd().has_value());
  EXPECT_FALSE(one.core.LeaseRead(one.now).has_value());
}

TEST(Lease, TheOnlyVoterRenewsItsOwn) {
  TimedCore one(TimedCore::Fresh(1));
  one.core.Campaign();
  one.Turn();
  ASSERT_TRUE(one.core.is_leader());
  EXPECT_EQ(one.LeaseEnd(), Time(5800));
  one.Tick(20);
  EXPECT_EQ(one.LeaseEnd(), Time(one.now.value() + 800));
  EXPECT_TRUE(one.core.LeaseRead(one.now).has_value());
}

TEST(Promise, WhoHeardALeaderRefusesVotesByItsClockNotByItsTicks) {
  TimedCore one(TimedCore::Fresh(3));
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});  // at 5000
  for (int i = 0; i < 100; ++i) one.core.Tick();            // they say that much time has passed
  one.Turn();
  EXPECT_EQ(one.core.status().leadership.role, Role::kFollower) << "no vote for itself either";
  one.At(5999);
  one.core.Campaign();
  one.sent.clear();
  one.Hear(3, 2, VoteRequest{true, LogIndex(0), Term(0)});
  one.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0)});
  EXPECT_TRUE(one.sent.empty());
  EXPECT_EQ(one.core.term(), Term(1));
  one.At(6000);
  one.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0)});
  ASSERT_TRUE(one.Last<VoteReply>(3).has_value());
  EXPECT_TRUE(one.Last<VoteReply>(3)->granted);
}

TEST(Promise, OutlivesALaterTermAndACampaign) {
  TimedCore one(TimedCore::Fresh(3));
  one.Hear(2, 1, HeartbeatRequest{LogIndex(0), Round(1)});
  one.At(5500);
  one.Hear(3, 4, HeartbeatReply{Round(0)});  // tells of term 4, whose leader is unknown here
  EXPECT_EQ(one.core.term(), Term(4));
  one.Hear(3, 4, VoteRequest{false, LogIndex(0), Term(0)});
  ASSERT_TRUE(one.Last<VoteReply>(3).has_value());
  EXPECT_FALSE(one.Last<VoteReply>(3)->granted);
  one.Hear(3, 4, VoteRequest{true, LogIndex(0), Term(0)});
  EXPECT_FALSE(one.Last<VoteReply>(3)->granted);
  one.At(6000);
  one.Hear(3, 4, VoteRequest{false, LogIndex(0), Term(0)});
  EXPECT_TRUE(one.Last<VoteReply>(3)->granted);
}

TEST(Promise, ARestartedReplicaVotesForNobodyForAnElectionTimeout) {
  TimedCore one(TimedCore::Restarted(1));
  for (int i = 0; i < 100; ++i) one.core.Tick();
  one.core.Campaign();
  one.Turn();
  EXPECT_EQ(one.core.status().leadership.role, Role::kFollower);
  one.At(5999);
  one.Hear(3, 2, VoteRequest{true, LogIndex(0), Term(0)});
  one.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0)});
  one.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0), true});
  EXPECT_TRUE(one.sent.empty()) << "not by a transfer either";
  one.Hear(3, 1, VoteRequest{false, LogIndex(0), Term(0)});  // of the term that it is in
  EXPECT_FALSE(one.Last<VoteReply>(3)->granted);
  one.At(6000);
  one.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0)});
  EXPECT_TRUE(one.Last<VoteReply>(3)->granted);
}

TEST(Promise, ARestartedReplicaCountsFromItsFirstLookAtTheClock) {
  RaftCore core(TimedCore::Options(), TimedCore::Restarted(1));
  const auto granted = [&] {
    core.Step({GroupId(7), ReplicaId(3), ReplicaId(1), NodeId(1), Term(2),
               VoteRequest{false, LogIndex(0), Term(0)}});
    return core.HasEffects();
  };
  EXPECT_FALSE(granted()) << "it does not know how late it is";
  core.SetNow(Time(5000));
  core.SetNow(Time(5999));
  EXPECT_FALSE(granted());
  core.SetNow(Time(6000));
  EXPECT_TRUE(granted());
}

TEST(Promise, AFreshReplicaHasMadeNone) {
  TimedCore one(TimedCore::Fresh(3));
  one.Hear(3, 1, VoteRequest{false, LogIndex(0), Term(0)});
  ASSERT_TRUE(one.Last<VoteReply>(3).has_value());
  EXPECT_TRUE(one.Last<VoteReply>(3)->granted);
}

TEST(Silence, HeartbeatsThatShouldHaveBeenHeardAreCounted) {
  TimedCore one(TimedCore::Fresh(3));  // a heartbeat every 200
  const auto missed_at = [&](uint64_t time) {
    one.At(time);
    one.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
    return one.core.status().heartbeats_missed;
  };
  EXPECT_EQ(missed_at(5000), 0u) << "there was no leader before";
  EXPECT_EQ(missed_at(5200), 0u);
  EXPECT_EQ(missed_at(5599), 0u) << "late";
  EXPECT_EQ(missed_at(5999), 1u);
  EXPECT_EQ(missed_at(6999), 5u) << "of the five since 5999 one was heard";
  one.At(7199);
  one.Hear(2, 1, AppendRequest{});
  EXPECT_EQ(missed_at(7399), 5u) << "entries are word of a leader, too";
}

TEST(Silence, IsNotCountedByAReplicaWithoutAnElectionTimeout) {
  CoreOptions options = TimedCore::Options();
  options.leases = false;
  options.election_timeout = Time(0);
  TimedCore one(TimedCore::Fresh(3), options);
  one.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
  one.At(9000);
  one.Hear(2, 1, HeartbeatRequest{.round = Round(2)});
  EXPECT_EQ(one.core.status().heartbeats_missed, 0u);
}

}  // namespace
}  // namespace basalt::raft
