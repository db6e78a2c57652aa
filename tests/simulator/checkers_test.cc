// The checkers of the cluster's state on known good and bad stories.
#include <gtest/gtest.h>

#include "tests/simulator/election_checker.h"
#include "tests/simulator/log_checker.h"
#include "tests/simulator/state_checker.h"

namespace basalt::testing {
namespace {

constexpr raft::GroupId kGroup(1);

raft::Message Granted(uint64_t from, uint64_t to, uint64_t term, bool pre_vote = false) {
  raft::Message message;
  message.group = kGroup;
  message.from = raft::ReplicaId(from);
  message.to = raft::ReplicaId(to);
  message.term = raft::Term(term);
  message.body = raft::VoteReply{.pre_vote = pre_vote, .granted = true};
  return message;
}

raft::CoreOptions Replica(uint64_t id) {
  raft::CoreOptions options;
  options.group = kGroup;
  options.self = raft::ReplicaId(id);
  return options;
}

raft::Entry MakeEntry(uint64_t index, uint64_t term, const std::string& payload) {
  return {raft::LogIndex(index), raft::Term(term), raft::EntryKind::kCommands,
          raft::MakePayload(payload)};
}

raft::LogWrite Write(uint64_t id, std::vector<raft::Entry> entries, uint64_t term) {
  raft::LogWrite write;
  write.group = kGroup;
  write.persist.id = raft::PersistId(id);
  write.persist.hard_state = raft::HardState{raft::Term(term), {}};
  write.persist.entries = std::move(entries);
  return write;
}

raft::RecoveredState Recovered(std::vector<raft::Entry> entries, uint64_t term) {
  raft::RecoveredState state;
  state.hard_state.term = raft::Term(term);
  state.entries = std::move(entries);
  return state;
}

class Checkers : public ::testing::Test {
 protected:
  void Commit(uint64_t node, const std::vector<raft::Entry>& entries) {
    logs.OnCommitted(node, kGroup, entries);
  }
  size_t violations() const { return findings.violations().size(); }

  Findings findings;
  ElectionChecker elections{findings};
  LogChecker logs{findings};
  StateChecker states{findings};
};

TEST_F(Checkers, TwoLeadersOfOneTerm) {
  elections.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(3));
  elections.OnLeader(2, kGroup, raft::NodeId(1), raft::Term(3));
  elections.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(4));
  EXPECT_EQ(violations(), 0u);
  elections.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(4));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, TwoVotesInOneTerm) {
  elections.OnSent(1, Granted(1, 2, 3));
  elections.OnSent(1, Granted(1, 2, 3));
  elections.OnSent(1, Granted(1, 3, 3, true));
  elections.OnSent(1, Granted(1, 3, 4));
  EXPECT_EQ(violations(), 0u);
  elections.OnOpened(1, Replica(1), Recovered({}, 4));
  elections.OnSent(1, Granted(1, 2, 4));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, ATermThatARestartForgot) {
  elections.OnSent(1, Granted(1, 2, 3));
  elections.OnOpened(1, Replica(1), Recovered({}, 3));
  EXPECT_EQ(violations(), 0u);
  elections.OnOpened(1, Replica(1), Recovered({}, 2));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, LogsThatDifferInOneEntry) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 2, "b")}, 2));
  logs.OnQueued(2, Write(1, {MakeEntry(1, 1, "a")}, 1));
  EXPECT_EQ(violations(), 0u);
  logs.OnQueued(2, Write(2, {MakeEntry(2, 2, "c")}, 2));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, LogsThatDifferBeforeAnEntry) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 3, "b")}, 3));
  logs.OnQueued(2, Write(1, {MakeEntry(1, 2, "x"), MakeEntry(2, 3, "b")}, 3));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, ACommittedEntryThatChanges) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  Commit(1, {MakeEntry(1, 1, "a")});
  Commit(2, {MakeEntry(1, 1, "a")});
  EXPECT_EQ(violations(), 0u);
  Commit(3, {MakeEntry(1, 2, "b")});
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, ACommittedEntryThatIsThrownAway) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b")}, 1));
  Commit(1, {MakeEntry(1, 1, "a")});
  logs.OnQueued(1, Write(2, {MakeEntry(2, 2, "c")}, 2));
  EXPECT_EQ(violations(), 0u);
  logs.OnQueued(1, Write(3, {MakeEntry(1, 3, "d")}, 3));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, ALeaderThatLacksWhatWasCommitted) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  Commit(1, {MakeEntry(1, 1, "a")});
  logs.OnQueued(2, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 2, "")}, 2));
  logs.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(2));
  EXPECT_EQ(violations(), 0u);
  logs.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(3));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, WhatWasDurableAndIsGone) {
  logs.OnOpened(1, Replica(1), Recovered({}, 0));
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  logs.OnQueued(1, Write(2, {MakeEntry(2, 1, "b")}, 1));
  logs.OnDurable(1, {kGroup, raft::PersistId(1)});
  logs.OnOpened(1, Replica(1), Recovered({MakeEntry(1, 1, "a")}, 1));
  EXPECT_EQ(violations(), 0u);
  logs.OnOpened(1, Replica(1), Recovered({}, 1));
  EXPECT_EQ(violations(), 1u);
}

// What was written and not yet known to be durable may be there, and then what was queued before
// it.
TEST_F(Checkers, WhatWasNotYetDurableMaySurvive) {
  logs.OnOpened(1, Replica(1), Recovered({}, 0));
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  logs.OnQueued(1, Write(2, {MakeEntry(2, 1, "b")}, 1));
  logs.OnOpened(1, Replica(1), Recovered({MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b")}, 1));
  EXPECT_EQ(violations(), 0u);
  logs.OnOpened(1, Replica(1), Recovered({MakeEntry(1, 1, "a"), MakeEntry(2, 1, "x")}, 1));
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, AppliedHashesThatDiffer) {
  states.OnApplied(1, {kGroup, raft::LogIndex(5), 0, 77});
  states.OnApplied(2, {kGroup, raft::LogIndex(5), 0, 77});
  EXPECT_EQ(violations(), 0u);
  states.OnApplied(3, {kGroup, raft::LogIndex(5), 0, 78});
  EXPECT_EQ(violations(), 1u);
}

TEST_F(Checkers, ACommitIndexThatGoesBack) {
  server::GroupState state;
  state.group = kGroup;
  state.core.commit = raft::LogIndex(5);
  states.OnState(1, state);
  states.OnState(1, state);
  EXPECT_EQ(violations(), 0u);
  state.core.commit = raft::LogIndex(4);
  states.OnState(1, state);
  EXPECT_EQ(violations(), 1u);
}

}  // namespace
}  // namespace basalt::testing
