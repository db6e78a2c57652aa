// Turns behind a broken link: when a follower takes them, and what it never does for them.

#include "raft/core/succession.h"

#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "gtest/gtest.h"

#include "tests/unit/raft_core/timed_core.h"

namespace basalt::raft {
namespace {

// Replica 1 of three follows replica 2, whom it heard at 5000. Of the heirs 1 and 3 the second turn
// is its own: an election timeout is 1000, a tick 100.
class SuccessionTest : public ::testing::Test {
 protected:
  explicit SuccessionTest(RecoveredState state = TimedCore::Fresh(3),
                          const CoreOptions& options = TimedCore::Options())
      : one_(std::move(state), options) {
    HearLeader();
  }

  void HearLeader() { one_.Hear(2, 1, HeartbeatRequest{.round = Round(1)}); }
  void LoseLink(uint64_t node = 2) {
    one_.core.OnLinkLost(NodeId(node));
    one_.Turn();
  }
  bool TakesTurns() const { return one_.core.status().takes_turns; }
  // How often it began a campaign.
  size_t Campaigns() const {
    size_t count = 0;
    for (const Message& message : one_.sent) {
      const auto* request = std::get_if<VoteRequest>(&message.body);
      count += request != nullptr && request->pre_vote && message.to == ReplicaId(3) ? 1 : 0;
    }
    return count;
  }

  TimedCore one_;
};

TEST_F(SuccessionTest, NobodyStandsBeforeItsPromiseIsOver) {
  LoseLink();
  EXPECT_TRUE(TakesTurns());
  one_.Tick(10);  // the first turn is replica 3's
  EXPECT_EQ(one_.now, Time(6000));
  EXPECT_EQ(Campaigns(), 0u);
  one_.Tick();
  EXPECT_EQ(Campaigns(), 1u);
  EXPECT_EQ(one_.core.term(), Term(1)) << "asks first";
}

// Ticks serve the turns; the clock says when the promise is over.
TEST_F(SuccessionTest, TicksDoNotShortenAPromise) {
  LoseLink();
  for (int i = 0; i < 100; ++i) one_.core.Tick();
  one_.At(5999);
  for (int i = 0; i < 100; ++i) one_.core.Tick();
  one_.Turn();
  EXPECT_EQ(Campaigns(), 0u);
  EXPECT_TRUE(TakesTurns());
  one_.At(6000);
  one_.core.Tick();
  one_.core.Tick();
  one_.Turn();
  EXPECT_EQ(Campaigns(), 1u);
}

TEST_F(SuccessionTest, NorDoesItVoteBefore) {
  LoseLink();
  one_.At(5999);
  one_.Hear(3, 2, VoteRequest{true, LogIndex(0), Term(0)});
  one_.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0)});
  EXPECT_FALSE(one_.Last<VoteReply>(3).has_value());
  one_.At(6000);
  one_.Hear(3, 2, VoteRequest{true, LogIndex(0), Term(0)});
  ASSERT_TRUE(one_.Last<VoteReply>(3).has_value());
  EXPECT_TRUE(one_.Last<VoteReply>(3)->granted) << "at once";
}

// From the leader's next word on it is as if the link had never broken.
TEST_F(SuccessionTest, ALinkThatComesBackChangesNothing) {
  TimedCore other(TimedCore::Fresh(3));
  other.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
  LoseLink();
  one_.Tick(5);
  other.Tick(5);
  HearLeader();
  other.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
  EXPECT_FALSE(TakesTurns());
  for (int tick = 0; tick < 25; ++tick) {
    one_.Tick();
    other.Tick();
    ASSERT_EQ(one_.core.status().leadership, other.core.status().leadership) << tick;
  }
  EXPECT_EQ(Campaigns(), 1u) << "in the end";
}

TEST_F(SuccessionTest, OnlyTheLeadersNodeCounts) {
  LoseLink(3);
  EXPECT_FALSE(TakesTurns());
  one_.Tick(11);
  EXPECT_EQ(Campaigns(), 0u);
}

TEST_F(SuccessionTest, WhoKnowsOfNoLeaderTakesNoTurns) {
  one_.Hear(3, 5, VoteReply{false, false});  // a later term
  LoseLink();
  EXPECT_FALSE(TakesTurns());
}

TEST_F(SuccessionTest, ALeaderTakesNoTurns) {
  TimedCore leader(TimedCore::Fresh(3));
  leader.Lead();
  leader.core.OnLinkLost(NodeId(2));
  leader.core.OnLinkLost(leader.core.configuration().members.front().node);
  EXPECT_FALSE(leader.core.status().takes_turns);
}

TEST_F(SuccessionTest, WhoWouldRatherNotLeadWaitsAsEver) {
  one_.core.SetPriority(0);
  LoseLink();
  EXPECT_FALSE(TakesTurns());
  one_.Tick(29);
  EXPECT_EQ(Campaigns(), 0u);
}

TEST_F(SuccessionTest, AVoteGivenEndsTheTurns) {
  LoseLink();
  one_.Tick(10);
  one_.Hear(3, 2, VoteRequest{false, LogIndex(0), Term(0)});
  ASSERT_TRUE(one_.Last<VoteReply>(3).has_value() && one_.Last<VoteReply>(3)->granted);
  EXPECT_FALSE(TakesTurns());
  one_.Tick(9);
  EXPECT_EQ(Campaigns(), 0u) << "the candidate has its time";
}

// Its votes may be under way for longer than a turn.
TEST_F(SuccessionTest, ACandidateIsLeftToItsTimer) {
  LoseLink();
  one_.Tick(11);
  one_.Hear(3, 2, VoteReply{true, true});
  EXPECT_EQ(one_.core.status().leadership.role, Role::kCandidate);
  EXPECT_FALSE(TakesTurns());
  one_.Tick(9);
  EXPECT_EQ(one_.core.term(), Term(2));
  EXPECT_EQ(Campaigns(), 1u);
  // Replica 3 stood too: it asks again soon, without waiting for a timeout.
  one_.Hear(3, 2, VoteReply{false, false});
  one_.Tick(3);
  EXPECT_EQ(Campaigns(), 2u);
}

TEST_F(SuccessionTest, TurnsEndAfterAnElectionTimeout) {
  LoseLink();
  one_.Tick(9 + 10);
  EXPECT_GE(Campaigns(), 3u);
  EXPECT_LE(Campaigns(), 5u);
  EXPECT_TRUE(TakesTurns());
  one_.Tick();
  EXPECT_FALSE(TakesTurns());
  const size_t by_turns = Campaigns();
  one_.Tick(6);
  EXPECT_LE(Campaigns(), by_turns + 1) << "timers again";
}

// Else two whose turns fell together would for ever.
TEST(Succession, LaterTurnsAreDrawn) {
  std::set<std::vector<uint64_t>> stories;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CoreOptions options = TimedCore::Options();
    options.seed = seed;
    TimedCore one(TimedCore::Fresh(3), options);
    one.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
    one.core.OnLinkLost(NodeId(2));
    std::vector<uint64_t> times;
    for (int tick = 0; tick < 20; ++tick) {
      one.sent.clear();
      one.Tick();
      if (one.Last<VoteRequest>(3)) times.push_back(one.now.value());
    }
    ASSERT_GE(times.size(), 3u);
    EXPECT_EQ(times[0], 6100u) << "the first is in order";
    for (size_t i = 1; i < times.size(); ++i) {
      EXPECT_GE(times[i] - times[i - 1], 200u);
      EXPECT_LE(times[i] - times[i - 1], 300u);
    }
    stories.insert(times);
  }
  EXPECT_GT(stories.size(), 4u);
}

// Of each two heirs one is first in about half of the groups, so that leaders spread.
TEST(Succession, GroupsBeginWithDifferentHeirs) {
  for (uint64_t group : {1u, 2u, 3u, 4u}) {
    CoreOptions options = TimedCore::Options();
    options.group = GroupId(group);
    RaftCore core(options, TimedCore::Fresh(3));
    core.SetNow(Time(5000));
    core.Step({GroupId(group), ReplicaId(2), ReplicaId(1), NodeId(1), Term(1),
               HeartbeatRequest{.round = Round(1)}, NodeId(2)});
    core.OnLinkLost(NodeId(2));
    core.SetNow(Time(6000));
    core.Tick();
    const bool first = core.status().leadership.role == Role::kPreCandidate;
    EXPECT_EQ(first, group % 2 == 0) << group;
  }
}

TEST(Succession, ALearnerTakesNoTurns) {
  RecoveredState state = TimedCore::Fresh(3);
  state.base.configuration.members[0].role = MemberRole::kLearner;
  state.applied = state.base;
  TimedCore one(std::move(state));
  one.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
  one.core.OnLinkLost(NodeId(2));
  EXPECT_FALSE(one.core.status().takes_turns);
}

// It may have promised in its earlier life.
TEST(Succession, ARestartedReplicaWaitsForAnElectionTimeoutOfItsLife) {
  TimedCore one(TimedCore::Restarted(1));
  one.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
  one.core.OnLinkLost(NodeId(2));
  one.Tick(10);
  EXPECT_EQ(one.core.status().leadership.role, Role::kFollower);
  one.Tick();
  EXPECT_EQ(one.core.status().leadership.role, Role::kPreCandidate);
}

// Promises of 600 under an election timeout of 1000.
class ShortPromiseTest : public SuccessionTest {
 protected:
  static CoreOptions Options() {
    CoreOptions options = TimedCore::Options();
    options.promise = Time(600);
    options.lease_duration = LeaseDuration(options.promise, 25);
    return options;
  }
  explicit ShortPromiseTest(RecoveredState state = TimedCore::Fresh(3))
      : SuccessionTest(std::move(state), Options()) {}

  bool Grants(uint64_t term) {
    one_.sent.clear();
    one_.Hear(3, term, VoteRequest{true, LogIndex(0), Term(0)});
    return one_.Last<VoteReply>(3) && one_.Last<VoteReply>(3)->granted;
  }
};

TEST_F(ShortPromiseTest, WhoseLinkBrokeStandsAndVotesWhenItsPromiseIsOver) {
  LoseLink();
  one_.Tick(5);
  one_.At(5599);
  EXPECT_FALSE(Grants(2));
  EXPECT_EQ(Campaigns(), 0u);
  one_.At(5600);
  EXPECT_TRUE(Grants(2));
  one_.sent.clear();
  one_.core.Tick();  // the first turn is replica 3's
  one_.core.Tick();
  one_.Turn();
  EXPECT_EQ(Campaigns(), 1u);
}

// The leader may only be held up.
TEST_F(ShortPromiseTest, WhoKnowsOfNoBreakWaitsForTheElectionTimeout) {
  one_.At(5999);
  EXPECT_FALSE(Grants(2));
  one_.At(6000);
  EXPECT_TRUE(Grants(2));
}

TEST_F(ShortPromiseTest, ALinkThatComesBackBringsTheWholeTimeoutBack) {
  LoseLink();
  one_.At(5500);
  HearLeader();
  one_.At(6200);
  EXPECT_FALSE(Grants(2));
  one_.At(6500);
  EXPECT_TRUE(Grants(2));
}

class RestartedShortPromiseTest : public ShortPromiseTest {
 protected:
  RestartedShortPromiseTest() : ShortPromiseTest(TimedCore::Restarted(1)) {}
};

TEST_F(RestartedShortPromiseTest, ARestartedReplicaWaitsForTheElectionTimeout) {
  LoseLink();
  one_.At(5999);
  EXPECT_FALSE(Grants(2));
  one_.core.Tick();
  one_.Turn();
  EXPECT_EQ(Campaigns(), 0u);
  one_.At(6000);
  EXPECT_TRUE(Grants(2));
}

TEST(ShortPromise, ALeaseIsNoLonger) {
  CoreOptions options = TimedCore::Options();
  options.promise = Time(500);
  EXPECT_DEATH(TimedCore(TimedCore::Fresh(3), options), "PromiseLength");
  options.lease_duration = LeaseDuration(options.promise, 25);
  TimedCore one(TimedCore::Fresh(3), options);
  one.Lead();
  one.At(5300);
  one.Acknowledge(2);
  EXPECT_EQ(one.LeaseEnd(), Time(5400));
}

// No clock, no leases: ticks alone are left to wait by.
TEST(Succession, WithoutAClockTicksAreCounted) {
  CoreOptions options = TimedCore::Options();
  options.leases = false;
  options.election_timeout = Time(0);
  TimedCore one(TimedCore::Fresh(3), options);
  one.Hear(2, 1, HeartbeatRequest{.round = Round(1)});
  one.core.OnLinkLost(NodeId(2));
  one.Tick(10);
  EXPECT_EQ(one.core.status().leadership.role, Role::kFollower);
  one.Tick();
  EXPECT_EQ(one.core.status().leadership.role, Role::kPreCandidate);
}

}  // namespace
}  // namespace basalt::raft
