// The core's contract towards its driver: what it tolerates, what it bounds, what it starts from.
// Behaviour between replicas is in tests/scenarios/raft.

#include "raft/core/raft_core.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

CoreOptions Options() {
  CoreOptions options;
  options.group = GroupId(7);
  options.self = ReplicaId(1);
  options.election_timeout_ticks = 10;
  options.check_thoroughly = true;
  return options;
}

RecoveredState Fresh(uint64_t voters) {
  return {HardState{}, MakeBase(0, 0, voters), {}, MakeBase(0, 0, voters)};
}

// Four entries of term 1, applied.
RecoveredState FourApplied() {
  RecoveredState state = Fresh(3);
  state.hard_state = {Term(1), ReplicaId(0)};
  state.entries = MakeEntries(1, {1, 1, 1, 1});
  state.applied = MakeBase(4, 1);
  return state;
}

CoreOptions KeepingNothingInMemory() {
  CoreOptions options = Options();
  options.memory_bytes_max = 0;
  return options;
}

template <typename Body>
Message From(uint64_t replica, uint64_t term, Body body) {
  return {GroupId(7), ReplicaId(replica), ReplicaId(1), NodeId(1), Term(term), std::move(body)};
}

// Completes writes at once and applies at once; keeps the rest.
class Driven {
 public:
  explicit Driven(RecoveredState state, const CoreOptions& options = Options())
      : core(options, std::move(state)) {}

  void Turn() {
    while (core.HasEffects()) {
      Effects effects = core.TakeEffects();
      if (effects.persist) core.OnPersisted(effects.persist->id);
      if (!effects.apply.empty()) core.OnApplied(effects.apply.back().index);
      for (Message& message : effects.messages) sent.push_back(std::move(message));
      for (Message& message : effects.messages_after_persist) sent.push_back(std::move(message));
      for (ConfirmedRead& read : effects.reads) reads.push_back(read);
      for (ReadId read : effects.refused_reads) refused.push_back(read);
      if (effects.leadership) leadership = effects.leadership;
    }
  }

  // Makes replica 1 of three the leader of term 1.
  void Lead() {
    core.Campaign();
    Turn();
    core.Step(From(2, 1, VoteReply{true, true}));
    Turn();
    core.Step(From(2, 1, VoteReply{false, true}));
    Turn();
    ASSERT_TRUE(core.is_leader());
    sent.clear();
  }

  // The same of term 2.
  void LeadTermTwo() {
    core.Campaign();
    Turn();
    core.Step(From(2, 2, VoteReply{true, true}));
    Turn();
    core.Step(From(2, 2, VoteReply{false, true}));
    Turn();
    ASSERT_TRUE(core.is_leader());
  }

  RaftCore core;
  std::vector<Message> sent;
  std::vector<ConfirmedRead> reads;
  std::vector<ReadId> refused;
  std::optional<Leadership> leadership;
};

TEST(RaftCore, AnIdleTickHasNoEffects) {
  Driven one(Fresh(3));
  EXPECT_FALSE(one.core.HasEffects());
  one.core.Tick();
  EXPECT_FALSE(one.core.HasEffects());
  const Effects effects = one.core.TakeEffects();
  EXPECT_TRUE(effects.messages.empty() && !effects.persist && !effects.leadership);
}

TEST(RaftCore, TimeoutsLieBetweenOneAndTwoElectionTimeouts) {
  std::vector<int> ticks;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CoreOptions options = Options();
    options.seed = seed;
    Driven one(Fresh(3), options);
    int count = 0;
    while (one.core.status().leadership.role == Role::kFollower) {
      one.core.Tick();
      ++count;
    }
    ticks.push_back(count);
  }
  EXPECT_EQ(*std::min_element(ticks.begin(), ticks.end()), 10);
  EXPECT_EQ(*std::max_element(ticks.begin(), ticks.end()), 20);
}

TEST(RaftCore, ReplicasOfOneSeedDoNotCampaignTogether) {
  std::map<int, int> at;
  for (uint64_t self = 1; self <= 3; ++self) {
    for (uint64_t group = 1; group <= 100; ++group) {
      CoreOptions options = Options();
      options.self = ReplicaId(self);
      options.group = GroupId(group);
      RaftCore core(options, Fresh(3));
      int count = 0;
      while (core.status().leadership.role == Role::kFollower) {
        core.Tick();
        ++count;
      }
      ++at[count];
    }
  }
  EXPECT_EQ(at.size(), 11u);
  for (const auto& [tick, groups] : at) EXPECT_LT(groups, 60) << "at tick " << tick;
}

TEST(RaftCore, WrongAddressesAndStrangersAnswersAreIgnored) {
  Driven one(Fresh(3));
  Message other_group = From(2, 5, HeartbeatRequest{});
  other_group.group = GroupId(8);
  Message other_replica = From(2, 5, HeartbeatRequest{});
  other_replica.to = ReplicaId(4);
  one.core.Step(other_group);
  one.core.Step(other_replica);
  one.core.Step(From(9, 5, HeartbeatReply{}));
  one.core.Step(From(9, 5, AppendReply{}));
  one.core.Step(From(9, 5, VoteReply{}));
  one.core.Step(From(9, 5, ReadReply{}));
  one.core.Step(From(1, 5, HeartbeatRequest{}));
  EXPECT_FALSE(one.core.HasEffects());
  EXPECT_EQ(one.core.term(), Term(0));
}

TEST(RaftCore, WhatNoPeerSendsChangesNothing) {
  Driven one(Fresh(3));
  const uint64_t huge = ~uint64_t{0};
  one.core.Step(From(2, huge, HeartbeatRequest{}));
  one.core.Step(From(2, huge, VoteRequest{}));
  // Entries with a gap, of falling terms, of a term above the sender's.
  one.core.Step(
      From(2, 5, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(1), {MakeEntry(2, 1)}}));
  one.core.Step(From(
      2, 5, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(1), MakeEntries(1, {3, 2})}));
  one.core.Step(
      From(2, 5, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(1), MakeEntries(1, {6})}));
  one.core.Step(From(2, 5, AppendRequest{LogIndex(huge), Term(0), LogIndex(0), Round(1), {}}));
  one.core.Step(From(2, 5, CheckpointArrived{LogBase{LogIndex(9), Term(3), {}}}));
  one.core.Step(From(2, 5, CheckpointArrived{MakeBase(9, 6)}));
  EXPECT_FALSE(one.core.HasEffects());
  EXPECT_EQ(one.core.term(), Term(0));
}

TEST(RaftCore, ALeaderIgnoresAnswersAboutWhatItNeverSent) {
  Driven one(Fresh(3));
  one.Lead();
  const LogIndex commit = one.core.status().commit;
  one.core.Step(From(2, 1, AppendReply{true, LogIndex(99), {}, {}, Round(1)}));
  one.core.Step(From(2, 1, AppendReply{true, LogIndex(1), {}, {}, Round(99)}));
  EXPECT_EQ(one.core.status().commit, commit);
  one.core.RequestRead(ReadId(1));
  one.Turn();
  one.core.Step(From(2, 1, HeartbeatReply{Round(99)}));
  one.Turn();
  EXPECT_TRUE(one.reads.empty());
  // Another "leader" of the same term.
  one.core.Step(From(
      3, 1, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(1), MakeEntries(1, {1, 1, 1})}));
  one.core.Step(From(3, 1, HeartbeatRequest{LogIndex(1), Round(1)}));
  EXPECT_TRUE(one.core.is_leader());
  EXPECT_EQ(one.core.status().last, LogIndex(1));
}

// What came from the disk for apply has not left when a checkpoint overtakes it: it must not reach
// the state machine behind the checkpoint.
TEST(RaftCore, AFetchThatACheckpointOvertakesInTheSameTurnIsNotApplied) {
  CoreOptions options = Options();
  options.memory_bytes_max = 1;
  RecoveredState recovered = Fresh(3);
  recovered.hard_state.term = Term(1);
  recovered.entries = MakeEntries(1, {1, 1, 1});
  const std::vector<Entry> entries = recovered.entries;
  RaftCore core(options, std::move(recovered));
  core.Step(From(2, 1, HeartbeatRequest{LogIndex(3), Round(1)}));
  const Effects asked = core.TakeEffects();
  ASSERT_EQ(asked.fetches.size(), 1u);
  EXPECT_EQ(asked.fetches[0].follower, ReplicaId(1));
  core.OnEntriesFetched(ReplicaId(1), entries);
  core.Step(From(2, 1, CheckpointArrived{MakeBase(10, 1, 3)}));
  const Effects effects = core.TakeEffects();
  ASSERT_TRUE(effects.install.has_value());
  EXPECT_TRUE(effects.apply.empty());
  core.OnCheckpointInstalled(LogIndex(10));
  EXPECT_EQ(core.status().applied, LogIndex(10));
}

// The state machine is as it was: what was taken back for the checkpoint is handed out again, and
// does not count twice against what may be under way.
TEST(RaftCore, ARefusedCheckpointLeavesTheEntriesToBeApplied) {
  CoreOptions options = Options();
  options.memory_bytes_max = 1;
  options.apply_bytes_max = 1;
  RecoveredState recovered = Fresh(3);
  recovered.hard_state.term = Term(1);
  recovered.entries = MakeEntries(1, {1, 1, 1});
  const std::vector<Entry> entries = recovered.entries;
  RaftCore core(options, std::move(recovered));
  core.Step(From(2, 1, HeartbeatRequest{LogIndex(3), Round(1)}));
  ASSERT_EQ(core.TakeEffects().fetches.size(), 1u);
  core.OnEntriesFetched(ReplicaId(1), entries);
  core.Step(From(2, 1, CheckpointArrived{MakeBase(10, 1, 3)}));
  ASSERT_TRUE(core.TakeEffects().install.has_value());
  core.OnCheckpointRefused(LogIndex(10));
  EXPECT_EQ(core.status().applied, LogIndex(0));
  ASSERT_EQ(core.TakeEffects().fetches.size(), 1u) << "asked for again";
  core.OnEntriesFetched(ReplicaId(1), entries);
  const Effects effects = core.TakeEffects();
  ASSERT_EQ(effects.apply.size(), 3u);
  EXPECT_EQ(effects.apply.front().index, LogIndex(1));
  core.OnApplied(LogIndex(3));
  EXPECT_EQ(core.status().applied, LogIndex(3));
  core.Step(From(2, 1, CheckpointArrived{MakeBase(10, 1, 3)}));
  EXPECT_TRUE(core.TakeEffects().install.has_value()) << "another may come";
}

// Its own log tells it nothing of what it lacks.
TEST(RaftCore, AFollowerHearsHowFarItsGroupIs) {
  Driven one(Fresh(3));
  one.core.Step(From(2, 1, HeartbeatRequest{LogIndex(0), Round(1), LogIndex(70)}));
  EXPECT_EQ(one.core.status().group_commit, LogIndex(70));
  EXPECT_EQ(one.core.status().commit, LogIndex(0));
  one.core.Step(From(2, 1, HeartbeatRequest{LogIndex(0), Round(1), LogIndex(60)}));  // late
  EXPECT_EQ(one.core.status().group_commit, LogIndex(70));
}

TEST(RaftCore, AFollowerNeverTruncatesWhatIsCommitted) {
  Driven one(Fresh(3));
  one.core.Step(From(
      2, 1, AppendRequest{LogIndex(0), Term(0), LogIndex(2), Round(1), MakeEntries(1, {1, 1})}));
  one.Turn();
  EXPECT_EQ(one.core.status().applied, LogIndex(2));
  // A sender that lies about committed entries: they are skipped, what follows is taken.
  one.core.Step(From(
      2, 4, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(1), MakeEntries(1, {4, 4, 4})}));
  one.Turn();
  EXPECT_EQ(one.core.status().last, LogIndex(3));
  EXPECT_EQ(one.core.status().applied, LogIndex(2));
  // A term below that of the committed entry before it.
  one.core.Step(From(
      3, 9, AppendRequest{LogIndex(1), Term(0), LogIndex(0), Round(1), MakeEntries(2, {0, 0})}));
  one.Turn();
  EXPECT_EQ(one.core.status().last, LogIndex(3));
}

TEST(RaftCore, ProposalsAreBoundedUntilTheyCommit) {
  CoreOptions options = Options();
  options.uncommitted_bytes_max = 200;
  Driven one(Fresh(3), options);
  one.Lead();
  one.core.Step(From(2, 1, AppendReply{true, LogIndex(1), {}, {}, Round(1)}));
  one.Turn();
  LogIndex last;
  int accepted = 0;
  for (; accepted < 100; ++accepted) {
    const auto answer = one.core.Propose(EntryKind::kCommands, MakePayload("12345678"));
    if (!std::holds_alternative<Proposed>(answer)) {
      EXPECT_EQ(std::get<ProposeRefusal>(answer), ProposeRefusal::kTooMuchUncommitted);
      break;
    }
    last = std::get<Proposed>(answer).index;
  }
  EXPECT_EQ(accepted, 5);  // of 40 bytes each
  one.Turn();
  one.core.Step(From(2, 1, AppendReply{true, last, {}, {}, Round(1)}));
  EXPECT_TRUE(
      std::holds_alternative<Proposed>(one.core.Propose(EntryKind::kCommands, MakePayload("x"))));
}

TEST(RaftCore, ATurnSendsOneAppendAFollowerAndOneWrite) {
  Driven one(Fresh(3));
  one.Lead();
  one.core.Step(From(2, 1, AppendReply{true, LogIndex(1), {}, {}, Round(1)}));
  one.Turn();
  one.sent.clear();
  for (int i = 0; i < 10; ++i) one.core.Propose(EntryKind::kCommands, MakePayload("x"));
  const Effects effects = one.core.TakeEffects();
  ASSERT_TRUE(effects.persist.has_value());
  EXPECT_EQ(effects.persist->entries.size(), 10u);
  ASSERT_EQ(effects.messages.size(), 1u) << "replica 3 is still probed";
  EXPECT_EQ(std::get<AppendRequest>(effects.messages[0].body).entries.size(), 10u);
  EXPECT_FALSE(one.core.HasEffects());
}

TEST(RaftCore, ReadsOfATurnShareARound) {
  Driven one(Fresh(3));
  one.Lead();
  one.core.Step(From(2, 1, AppendReply{true, LogIndex(1), {}, {}, Round(1)}));
  one.Turn();
  one.sent.clear();
  for (uint64_t i = 1; i <= 5; ++i) one.core.RequestRead(ReadId(i));
  one.Turn();
  ASSERT_EQ(one.sent.size(), 2u);
  const Round round = std::get<HeartbeatRequest>(one.sent[0].body).round;
  one.core.Step(From(3, 1, HeartbeatReply{round}));
  one.Turn();
  ASSERT_EQ(one.reads.size(), 5u);
  EXPECT_EQ(one.reads[0].index, LogIndex(1));
}

TEST(RaftCore, UnansweredRoundsAreBounded) {
  Driven one(Fresh(3));
  one.Lead();
  one.core.Step(From(2, 1, AppendReply{true, LogIndex(1), {}, {}, Round(1)}));
  one.Turn();
  one.sent.clear();
  for (uint64_t i = 1; i <= 50; ++i) {
    one.core.RequestRead(ReadId(i));
    one.Turn();
  }
  EXPECT_EQ(one.sent.size(), 16u) << "eight rounds to two followers";
  for (size_t i = 0; i < one.sent.size(); ++i) {
    const auto* heartbeat = std::get_if<HeartbeatRequest>(&one.sent[i].body);
    if (heartbeat == nullptr || one.sent[i].to != ReplicaId(2)) continue;
    one.core.Step(From(2, 1, HeartbeatReply{heartbeat->round}));
    one.Turn();
  }
  EXPECT_EQ(one.reads.size(), 50u);
}

TEST(RaftCore, AppliesWithinItsBound) {
  CoreOptions options = Options();
  options.apply_bytes_max = 100;
  RecoveredState state = Fresh(1);
  state.hard_state = {Term(1), ReplicaId(1)};
  state.entries = MakeEntries(1, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  RaftCore core(options, std::move(state));
  core.Campaign();
  core.OnPersisted(core.TakeEffects().persist->id);
  core.OnPersisted(core.TakeEffects().persist->id);
  Effects effects = core.TakeEffects();
  EXPECT_EQ(effects.apply.size(), 4u);  // 32 bytes each: the fourth fills the bound
  EXPECT_FALSE(core.HasEffects());
  core.OnApplied(LogIndex(4));
  effects = core.TakeEffects();
  EXPECT_EQ(effects.apply.front().index, LogIndex(5));
}

TEST(RaftCore, RestartsBehindItsStateMachine) {
  // The log ends below what the state machine holds: dropped, the base is where that stands.
  RecoveredState state = Fresh(3);
  state.hard_state = {Term(2), ReplicaId(1)};
  state.entries = MakeEntries(1, {1, 1, 2});
  state.applied = MakeBase(9, 2);
  RaftCore core(Options(), std::move(state));
  EXPECT_EQ(core.status().base, LogIndex(9));
  EXPECT_EQ(core.status().durable, LogIndex(9));
  const Effects effects = core.TakeEffects();
  ASSERT_TRUE(effects.persist && effects.persist->base);
  EXPECT_EQ(effects.persist->base->index, LogIndex(9));
  EXPECT_FALSE(effects.persist->hard_state.has_value());
}

TEST(RaftCore, RestartsBesideItsStateMachine) {
  // The log is longer, but holds another entry where the installed checkpoint stands.
  RecoveredState state = Fresh(3);
  state.hard_state = {Term(3), ReplicaId(1)};
  state.entries = MakeEntries(1, {1, 1, 1, 1});
  state.applied = MakeBase(2, 3);
  RaftCore core(Options(), std::move(state));
  EXPECT_EQ(core.status().base, LogIndex(2));
  EXPECT_EQ(core.status().last, LogIndex(2));
}

TEST(RaftCore, RestartsInsideItsLog) {
  RecoveredState state = Fresh(3);
  state.hard_state = {Term(2), ReplicaId(3)};
  state.entries = MakeEntries(1, {1, 1, 2});
  state.applied = MakeBase(2, 1);
  RaftCore core(Options(), std::move(state));
  const CoreStatus status = core.status();
  EXPECT_EQ(status.base, LogIndex(0));
  EXPECT_EQ(status.last, LogIndex(3));
  EXPECT_EQ(status.applied, LogIndex(2));
  EXPECT_EQ(status.commit, LogIndex(2));
  EXPECT_EQ(status.hard_state.voted_for, ReplicaId(3));
  EXPECT_FALSE(core.HasEffects());
}

TEST(RaftCore, ARestartAfterAnInstalledCheckpointOfALaterTermTakesItsTerm) {
  RecoveredState state = Fresh(3);
  state.hard_state = {Term(2), ReplicaId(3)};
  state.entries = MakeEntries(1, {1, 1, 2});
  state.applied = MakeBase(9, 5);
  RaftCore core(Options(), std::move(state));
  EXPECT_EQ(core.term(), Term(5));
  const Effects effects = core.TakeEffects();
  ASSERT_TRUE(effects.persist && effects.persist->hard_state);
  EXPECT_EQ(effects.persist->hard_state->term, Term(5));
}

TEST(RaftCore, AnInstallMayEndWhenTheReplicaLeads) {
  RecoveredState state = Fresh(3);
  state.hard_state = {Term(1), ReplicaId(0)};
  state.entries = MakeEntries(1, {1, 1, 1, 1});
  Driven one(std::move(state));
  one.core.Step(From(3, 1, CheckpointArrived{MakeBase(3, 1)}));
  EXPECT_EQ(one.core.status().commit, LogIndex(3));
  Effects effects = one.core.TakeEffects();
  ASSERT_TRUE(effects.install.has_value());
  EXPECT_TRUE(effects.apply.empty());
  for (int tick = 0; tick < 21; ++tick) one.core.Tick();
  one.Turn();
  one.core.Step(From(2, 2, VoteReply{true, true}));
  one.Turn();
  one.core.Step(From(2, 2, VoteReply{false, true}));
  one.Turn();
  ASSERT_TRUE(one.core.is_leader());
  one.core.OnCheckpointInstalled(LogIndex(3));
  EXPECT_EQ(one.core.status().applied, LogIndex(3));
  EXPECT_EQ(one.core.status().base, LogIndex(3));
  one.core.Step(From(2, 2, AppendReply{true, LogIndex(5), {}, {}, Round(1)}));
  one.Turn();
  EXPECT_EQ(one.core.status().applied, LogIndex(5));
}

TEST(RaftCore, AStaleFetchDoesNotReachAFollower) {
  Driven one(FourApplied(), KeepingNothingInMemory());
  one.LeadTermTwo();
  one.core.Step(From(2, 2, AppendReply{false, LogIndex(4), LogIndex(0), Term(0), Round(1)}));
  one.Turn();
  one.core.Step(From(2, 2, AppendReply{true, LogIndex(0), {}, {}, Round(1)}));
  Effects effects = one.core.TakeEffects();
  ASSERT_EQ(effects.fetches.size(), 1u);
  EXPECT_EQ(effects.fetches[0].first, LogIndex(1));
  // Entries that this log does not hold: an answer to a question of another life of the log.
  one.core.OnEntriesFetched(ReplicaId(2), MakeEntries(1, {9, 9}));
  effects = one.core.TakeEffects();
  for (const Message& message : effects.messages) EXPECT_NE(message.to, ReplicaId(2));
  ASSERT_EQ(effects.fetches.size(), 1u) << "asked again";
  // They are gone: a checkpoint.
  one.core.OnEntriesFetched(ReplicaId(2), {});
  effects = one.core.TakeEffects();
  ASSERT_EQ(effects.checkpoints.size(), 1u);
  EXPECT_EQ(effects.checkpoints[0].follower, ReplicaId(2));
}

TEST(RaftCore, WhatWasCompactedWhileItWasFetchedIsNotSent) {
  Driven one(FourApplied(), KeepingNothingInMemory());
  one.LeadTermTwo();
  one.core.Step(From(2, 2, AppendReply{false, LogIndex(4), LogIndex(2), Term(1), Round(1)}));
  one.Turn();
  one.core.Step(From(2, 2, AppendReply{true, LogIndex(2), {}, {}, Round(1)}));
  Effects effects = one.core.TakeEffects();
  ASSERT_EQ(effects.fetches.size(), 1u);
  EXPECT_EQ(effects.fetches[0].first, LogIndex(3));
  // The base moves to the very entry that comes next.
  one.core.Compact(LogIndex(3));
  one.core.OnEntriesFetched(ReplicaId(2), MakeEntries(3, {1, 1}));
  effects = one.core.TakeEffects();
  for (const Message& message : effects.messages) EXPECT_NE(message.to, ReplicaId(2));
  ASSERT_EQ(effects.checkpoints.size(), 1u);
}

TEST(RaftCore, ACheckpointIsOfTheTermInWhichItWasAskedFor) {
  Driven one(Fresh(3));
  one.Lead();
  AppendReply empty{false, LogIndex(0), {}, {}, Round(1)};
  empty.needs_checkpoint = true;
  one.core.Step(From(2, 1, empty));
  one.core.Step(From(3, 2, HeartbeatRequest{LogIndex(0), Round(1), LogIndex(0)}));
  const Effects effects = one.core.TakeEffects();
  ASSERT_EQ(effects.checkpoints.size(), 1u);
  EXPECT_EQ(effects.checkpoints[0].term, Term(1)) << "the leader of term 2 is another";
}

TEST(RaftCore, AGrantThatNobodyAskedForElectsNobody) {
  Driven one(Fresh(3));
  one.core.Campaign();
  one.core.Step(From(2, 1, VoteReply{true, true}));
  const Effects effects = one.core.TakeEffects();
  ASSERT_TRUE(effects.persist);
  // Before the own vote is durable, no request has left.
  one.core.Step(From(2, 1, VoteReply{false, true}));
  one.core.Step(From(3, 1, VoteReply{false, true}));
  EXPECT_FALSE(one.core.is_leader());
  one.core.OnPersisted(effects.persist->id);
  EXPECT_FALSE(one.core.is_leader());
  one.core.Step(From(2, 1, VoteReply{false, true}));
  EXPECT_TRUE(one.core.is_leader());
}

TEST(RaftCore, ARefusalAndAnAcknowledgementOfATurnStayTwo) {
  Driven one(Fresh(3));
  one.core.Step(From(2, 1, AppendRequest{LogIndex(4), Term(1), LogIndex(0), Round(1), {}}));
  one.core.Step(
      From(2, 1, AppendRequest{LogIndex(0), Term(0), LogIndex(0), Round(2), MakeEntries(1, {1})}));
  const Effects effects = one.core.TakeEffects();
  EXPECT_TRUE(effects.messages.empty()) << "the term in which they answer is not durable yet";
  ASSERT_EQ(effects.messages_after_persist.size(), 2u);
  const auto& refusal = std::get<AppendReply>(effects.messages_after_persist[0].body);
  EXPECT_FALSE(refusal.accepted);
  EXPECT_EQ(refusal.round, Round(1));
  const auto& acknowledgement = std::get<AppendReply>(effects.messages_after_persist[1].body);
  EXPECT_TRUE(acknowledgement.accepted);
  EXPECT_EQ(acknowledgement.index, LogIndex(1));
}

TEST(RaftCore, AcknowledgementsOfATurnBecomeOne) {
  Driven one(Fresh(3));
  for (uint64_t i = 0; i < 5; ++i) {
    one.core.Step(From(2, 1,
                       AppendRequest{LogIndex(i), Term(i == 0 ? 0 : 1), LogIndex(0), Round(i + 1),
                                     MakeEntries(i + 1, {1})}));
  }
  const Effects effects = one.core.TakeEffects();
  ASSERT_EQ(effects.messages_after_persist.size(), 1u);
  EXPECT_EQ(effects.messages_after_id, effects.persist->id);
  const auto& reply = std::get<AppendReply>(effects.messages_after_persist[0].body);
  EXPECT_EQ(reply.index, LogIndex(5));
  EXPECT_EQ(reply.round, Round(5));
}

}  // namespace
}  // namespace basalt::raft
