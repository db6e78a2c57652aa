// The checkers of the cluster's state on known good and bad stories.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/slot.h"
#include "proto/command.pb.h"
#include "tests/simulator/convergence_checker.h"
#include "tests/simulator/election_checker.h"
#include "tests/simulator/lease_recorder.h"
#include "tests/simulator/log_checkers.h"
#include "tests/simulator/state_checker.h"
#include "tests/simulator/version_model.h"

namespace basalt::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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
  const std::vector<std::string>& violations() const { return findings.violations(); }

  Findings findings;
  ElectionChecker elections{findings};
  LogCheckers log_checkers{findings};
  ReplicaWatcher& logs = log_checkers.watcher();
  StateChecker states{findings};
};

TEST_F(Checkers, TwoLeadersOfOneTerm) {
  elections.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(3));
  elections.OnLeader(2, kGroup, raft::NodeId(1), raft::Term(3));
  elections.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(4));
  EXPECT_THAT(violations(), IsEmpty());
  elections.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(4));
  EXPECT_THAT(violations(), ElementsAre("two leaders of group 1 in term 4: nodes 2 and 3"));
}

TEST_F(Checkers, TwoVotesInOneTerm) {
  elections.OnSent(1, Granted(1, 2, 3));
  elections.OnSent(1, Granted(1, 2, 3));
  elections.OnSent(1, Granted(1, 3, 3, true));
  elections.OnSent(1, Granted(1, 3, 4));
  EXPECT_THAT(violations(), IsEmpty());
  elections.OnOpened(1, Replica(1), Recovered({}, 4));
  elections.OnSent(1, Granted(1, 2, 4));
  EXPECT_THAT(violations(), ElementsAre("replica 1 voted twice of group 1 in term 4"));
}

TEST_F(Checkers, ACandidateThatVotedForAnother) {
  raft::Message asked = Granted(1, 2, 4);
  asked.body = raft::VoteRequest{.pre_vote = true};
  elections.OnSent(1, Granted(1, 2, 4));
  elections.OnSent(1, asked);
  asked.term = raft::Term(5);
  asked.body = raft::VoteRequest{};
  elections.OnSent(1, asked);
  EXPECT_THAT(violations(), IsEmpty());
  asked.term = raft::Term(4);
  elections.OnSent(1, asked);
  EXPECT_THAT(violations(), ElementsAre("replica 1 campaigns although it voted for another of "
                                        "group 1 in term 4"));
}

TEST_F(Checkers, ATermThatARestartForgot) {
  elections.OnSent(1, Granted(1, 2, 3));
  elections.OnOpened(1, Replica(1), Recovered({}, 3));
  EXPECT_THAT(violations(), IsEmpty());
  elections.OnOpened(1, Replica(1), Recovered({}, 2));
  EXPECT_THAT(violations(), ElementsAre("replica 1 forgot that it spoke of group 1 in term 3"));
}

TEST_F(Checkers, LogsThatDifferInOneEntry) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 2, "b")}, 2));
  logs.OnQueued(2, Write(1, {MakeEntry(1, 1, "a")}, 1));
  EXPECT_THAT(violations(), IsEmpty());
  logs.OnQueued(2, Write(2, {MakeEntry(2, 2, "c")}, 2));
  EXPECT_THAT(violations(),
              ElementsAre("two logs differ in an entry of term 2 at index 2 of group 1"));
}

TEST_F(Checkers, LogsThatDifferBeforeAnEntry) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 3, "b")}, 3));
  logs.OnQueued(2, Write(1, {MakeEntry(1, 2, "x"), MakeEntry(2, 3, "b")}, 3));
  EXPECT_THAT(violations(),
              ElementsAre("two logs differ in an entry of term 3 at index 2 of group 1"));
}

TEST_F(Checkers, ACommittedEntryThatChanges) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  Commit(1, {MakeEntry(1, 1, "a")});
  Commit(2, {MakeEntry(1, 1, "a")});
  EXPECT_THAT(violations(), IsEmpty());
  Commit(3, {MakeEntry(1, 2, "b")});
  EXPECT_THAT(violations(), ElementsAre("node 3 applies another entry at index 1 of group 1"));
}

TEST_F(Checkers, ACommittedEntryThatIsThrownAway) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b")}, 1));
  Commit(1, {MakeEntry(1, 1, "a")});
  logs.OnQueued(1, Write(2, {MakeEntry(2, 2, "c")}, 2));
  EXPECT_THAT(violations(), IsEmpty());
  logs.OnQueued(1, Write(3, {MakeEntry(1, 3, "d")}, 3));
  EXPECT_THAT(violations(),
              ElementsAre("a replica throws a committed entry away at index 1 of group 1"));
}

TEST_F(Checkers, EntriesAppliedWithAGap) {
  Commit(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b")});
  Commit(2, {MakeEntry(2, 1, "b"), MakeEntry(3, 1, "c")});
  EXPECT_THAT(violations(), IsEmpty());
  Commit(2, {MakeEntry(5, 1, "e"), MakeEntry(6, 1, "f")});
  EXPECT_THAT(violations(), ElementsAre("applied with a gap before it at index 5 of group 1"));
}

TEST_F(Checkers, ALeaderThatLacksWhatWasCommitted) {
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  Commit(1, {MakeEntry(1, 1, "a")});
  logs.OnQueued(2, Write(1, {MakeEntry(1, 1, "a"), MakeEntry(2, 2, "")}, 2));
  logs.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(2));
  // It was elected before, and is heard of late.
  logs.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(1));
  EXPECT_THAT(violations(), IsEmpty());
  logs.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(3));
  EXPECT_THAT(violations(),
              ElementsAre("the leader of term 3 lacks what was committed at index 1 of group 1"));
}

TEST_F(Checkers, WhatWasDurableAndIsGone) {
  logs.OnOpened(1, Replica(1), Recovered({}, 0));
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  logs.OnQueued(1, Write(2, {MakeEntry(2, 1, "b")}, 1));
  logs.OnDurable(1, {kGroup, raft::PersistId(1)});
  logs.OnOpened(1, Replica(1), Recovered({MakeEntry(1, 1, "a")}, 1));
  EXPECT_THAT(violations(), IsEmpty());
  logs.OnOpened(1, Replica(1), Recovered({}, 1));
  EXPECT_THAT(violations(),
              ElementsAre(HasSubstr("node 1 reads another log of group 1 than it had made durable: "
                                    "it ends at 0 instead of 1")));
}

// What was written and not yet known to be durable may be there, and then what was queued before
// it.
TEST_F(Checkers, WhatWasNotYetDurableMaySurvive) {
  logs.OnOpened(1, Replica(1), Recovered({}, 0));
  logs.OnQueued(1, Write(1, {MakeEntry(1, 1, "a")}, 1));
  logs.OnQueued(1, Write(2, {MakeEntry(2, 1, "b")}, 1));
  logs.OnOpened(1, Replica(1), Recovered({MakeEntry(1, 1, "a"), MakeEntry(2, 1, "b")}, 1));
  EXPECT_THAT(violations(), IsEmpty());
  logs.OnOpened(1, Replica(1), Recovered({MakeEntry(1, 1, "a"), MakeEntry(2, 1, "x")}, 1));
  EXPECT_THAT(violations(), ElementsAre(HasSubstr("entry 2 differs")));
}

TEST_F(Checkers, AWriteThatWasUnderWayMaySurviveInPart) {
  const auto entry = [](uint64_t index) { return MakeEntry(index, 2, "v"); };
  raft::LogWrite write = Write(1, {entry(6), entry(7), entry(8)}, 2);
  write.persist.base = raft::LogBase{raft::LogIndex(5), raft::Term(2), {}};
  for (uint64_t kept = 5; kept <= 8; ++kept) {
    logs.OnOpened(kept, Replica(1), Recovered({MakeEntry(1, 1, "a")}, 1));
    logs.OnQueued(kept, write);
    raft::RecoveredState found = Recovered({}, 2);
    found.base = *write.persist.base;
    for (uint64_t index = 6; index <= kept; ++index) found.entries.push_back(entry(index));
    logs.OnOpened(kept, Replica(1), found);
    EXPECT_THAT(violations(), IsEmpty()) << "up to " << kept;
  }
  // The records land in their order.
  logs.OnOpened(9, Replica(1), Recovered({MakeEntry(1, 1, "a")}, 1));
  logs.OnQueued(9, write);
  raft::RecoveredState found = Recovered({}, 1);
  found.base = *write.persist.base;
  logs.OnOpened(9, Replica(1), found);
  EXPECT_THAT(violations(), ElementsAre(HasSubstr("it ends at 5 instead of 1; with the 1 writes "
                                                  "that were under way: term or vote differ")))
      << "the base without the term before it";
}

TEST_F(Checkers, AppliedHashesThatDiffer) {
  states.OnApplied(1, {kGroup, raft::LogIndex(5), 0, 77});
  states.OnApplied(2, {kGroup, raft::LogIndex(5), 0, 77});
  EXPECT_THAT(violations(), IsEmpty());
  states.OnApplied(3, {kGroup, raft::LogIndex(5), 0, 78});
  EXPECT_THAT(violations(),
              ElementsAre("node 3 differs in group 1 at applied index 5, in its versions"));
}

TEST_F(Checkers, UnequalHorizonsAtOneIndex) {
  states.OnApplied(1, {kGroup, raft::LogIndex(5), 0, 77, 40});
  states.OnApplied(2, {kGroup, raft::LogIndex(5), 0, 77, 40});
  EXPECT_THAT(violations(), IsEmpty());
  states.OnApplied(3, {kGroup, raft::LogIndex(5), 0, 77, 0});
  EXPECT_THAT(violations(),
              ElementsAre("node 3 differs in group 1 at applied index 5, in its horizon"));
}

// Each alone; and a restart may lose what was only known to be committed.
TEST_F(Checkers, ATermCommitOrAppliedIndexThatGoesBack) {
  const auto state_of = [](uint64_t term, uint64_t commit, uint64_t applied) {
    server::GroupState state;
    state.group = kGroup;
    state.core.hard_state.term = raft::Term(term);
    state.core.commit = raft::LogIndex(commit);
    state.core.applied = raft::LogIndex(applied);
    return state;
  };
  const std::string back = "term, commit or applied index of group 1 went back at node ";
  for (uint64_t node = 1; node <= 4; ++node) states.OnState(node, state_of(5, 5, 5));
  states.OnState(1, state_of(5, 5, 5));
  states.OnOpened(1, Replica(1), Recovered({}, 5));
  states.OnState(1, state_of(5, 4, 3));
  EXPECT_THAT(violations(), IsEmpty());
  states.OnState(2, state_of(4, 5, 5));
  states.OnState(3, state_of(5, 4, 5));
  states.OnState(4, state_of(5, 5, 4));
  EXPECT_THAT(violations(), ElementsAre(back + "2", back + "3", back + "4"));
}

class Leases : public ::testing::Test {
 protected:
  void Wait() {
    time.After(seconds(1), [] {});
    time.RunNext();
  }

  Findings findings;
  Trace trace;
  VirtualTime time{trace};
  LeaseRecorder leases{findings, time};
};

TEST_F(Leases, ReadsBeforeAnotherLeadersWrite) {
  leases.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  leases.OnLeaseRead(1, kGroup, true);
  Wait();
  leases.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(2));
  leases.OnCommitted(2, kGroup, std::vector{MakeEntry(1, 1, "a"), MakeEntry(2, 2, "b")});
  leases.OnLeaseRead(2, kGroup, true);
  EXPECT_THAT(findings.violations(), IsEmpty());
  EXPECT_THAT(leases.FindViolations(), IsEmpty());
}

TEST_F(Leases, AReadBehindAnotherLeadersWrite) {
  leases.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  leases.OnLeaseRead(1, kGroup, true);
  leases.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(2));
  leases.OnCommitted(2, kGroup, std::vector{MakeEntry(1, 2, "a")});
  Wait();
  leases.OnLeaseRead(1, kGroup, true);
  EXPECT_THAT(leases.FindViolations(),
              ElementsAre(HasSubstr("node 1 served reads by its lease of term 1")));
}

TEST_F(Leases, AReadOfANodeThatDoesNotLead) {
  leases.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  leases.OnLeader(1, kGroup, raft::NodeId(2), raft::Term(2));
  leases.OnLeaseRead(1, kGroup, true);
  EXPECT_THAT(findings.violations(), ElementsAre("a lease of a node that does not lead"));
}

TEST(Convergence, WhatIsSeenIsJudged) {
  const Convergence good{.all_written = true, .all_equal = true, .led_by_priority = true};
  EXPECT_THAT(FindViolations(good), IsEmpty());
  EXPECT_THAT(FindViolations({}), ElementsAre("no writes within ten seconds of healing"));
  EXPECT_THAT(FindViolations({.all_written = true}),
              ElementsAre("replicas do not get equal within ten seconds of healing"));
  Convergence seen = good;
  seen.open_calls = 1;
  EXPECT_THAT(FindViolations(seen), ElementsAre("a call did not end by its deadline"));
  seen = good;
  seen.unanswered_requests = 1;
  EXPECT_THAT(FindViolations(seen), ElementsAre("a request was never answered"));
  seen = good;
  seen.led_by_priority = false;
  EXPECT_THAT(FindViolations(seen), ElementsAre(HasSubstr("less willing than another")));
}

TEST(Convergence, WritesCountThatBeganSince) {
  EXPECT_TRUE(AllWrittenSince(seconds(5), {{1, seconds(5)}, {2, seconds(6)}}));
  EXPECT_FALSE(AllWrittenSince(seconds(5), {{1, seconds(6)}, {2, milliseconds(4999)}}));
  EXPECT_FALSE(AllWrittenSince(seconds(5), {{1, seconds(6)}, {2, {}}}));
}

TEST(Convergence, TheMostWillingLead) {
  const auto replica = [](uint64_t group, uint32_t priority, uint64_t leads_in) {
    return Electable{raft::GroupId(group), priority, raft::Term(leads_in)};
  };
  EXPECT_TRUE(AreLedByPriority({replica(1, 1, 4), replica(1, 1, 0), replica(1, 0, 0)}));
  EXPECT_FALSE(AreLedByPriority({replica(1, 1, 4), replica(1, 2, 0)}));
  EXPECT_FALSE(AreLedByPriority({replica(1, 1, 0), replica(1, 1, 0)})) << "nobody leads";
  EXPECT_TRUE(AreLedByPriority({replica(1, 1, 4), replica(1, 2, 5)})) << "the newer one counts";
  EXPECT_FALSE(AreLedByPriority({replica(1, 2, 4), replica(1, 1, 5)}));
  EXPECT_FALSE(AreLedByPriority({replica(1, 2, 4), replica(2, 0, 1), replica(2, 1, 0)}));
}

TEST(Convergence, ReplicasAreEqualIfAllIsAppliedAndTheSame) {
  const auto replica = [](uint64_t group, uint64_t last, uint64_t applied, uint64_t hash) {
    return ReplicaProgress{raft::GroupId(group), raft::LogIndex(last), raft::LogIndex(applied),
                           hash};
  };
  EXPECT_TRUE(AreEqual({replica(1, 7, 7, 70), replica(2, 9, 9, 90), replica(1, 7, 7, 70)}));
  EXPECT_FALSE(AreEqual({replica(1, 7, 6, 60), replica(1, 7, 6, 60)}));
  EXPECT_FALSE(AreEqual({replica(1, 7, 7, 70), replica(1, 6, 6, 60)}));
  EXPECT_FALSE(AreEqual({replica(1, 7, 7, 70), replica(1, 7, 7, 71)}));
  EXPECT_FALSE(AreEqual({replica(1, 7, 7, 70), replica(2, 9, 9, 90), replica(2, 9, 9, 91)}));
}

// ---- old versions ----

class VersionModelTest : public ::testing::Test {
 protected:
  raft::Entry Commit(uint64_t stamp, const std::function<void(v1::CommandBatch&)>& fill) {
    v1::CommandBatch batch;
    batch.set_first_stamp(stamp);
    fill(batch);
    raft::Entry entry = MakeEntry(++index_, 1, batch.SerializeAsString());
    model_.OnCommitted(1, kGroup, std::span(&entry, 1));
    return entry;
  }
  void Put(const std::string& key, uint64_t stamp) {
    Commit(stamp,
           [&](v1::CommandBatch& batch) { batch.add_commands()->mutable_put()->set_key(key); });
  }
  void Delete(const std::string& key, uint64_t stamp) {
    Commit(stamp,
           [&](v1::CommandBatch& batch) { batch.add_commands()->mutable_delete_()->set_key(key); });
  }
  void Advance(uint64_t horizon, uint64_t stamp) {
    Commit(stamp, [&](v1::CommandBatch& batch) {
      batch.add_commands()->mutable_advance_horizon()->set_horizon(horizon);
    });
  }
  void SetRetention(uint64_t ms, uint64_t stamp) {
    Commit(stamp, [&](v1::CommandBatch& batch) {
      batch.add_commands()->mutable_set_version_retention()->set_retention_ms(ms);
    });
  }
  void Wait(milliseconds span) {
    time_.After(span, [] {});
    while (time_.RunNext()) {
    }
  }

  Trace trace_;
  VirtualTime time_{trace_};
  Findings findings_;
  const server::RoutingTable routing_ =
      *server::RoutingTable::Build({{kGroup.value(), 1, 0, base::kSlotCount}});
  TxnMarks marks_{findings_, time_, routing_};
  static server::MonotonicTime KeptLeast(uint64_t own_ms) {
    return own_ms == 0 ? seconds(1) : server::MonotonicTime(milliseconds(own_ms));
  }
  VersionModel model_{findings_, time_, KeptLeast, routing_, marks_};
  uint64_t index_ = 0;
};

TEST_F(VersionModelTest, KnowsWhatAHorizonLeaves) {
  const std::optional<std::string> empty("");
  Put("a", 10);
  Put("a", 20);
  Put("b", 30);
  Delete("b", 40);
  Put("c", 50);
  Delete("c", 60);
  Wait(seconds(2));
  Advance(55, 70);
  const check::StoredVersions kept{{"a", {{20, empty}}}, {"c", {{50, empty}, {60, std::nullopt}}}};
  EXPECT_EQ(model_.Kept(kGroup), kept);
  EXPECT_EQ(model_.All(kGroup).at("a").size(), 2u);
  Advance(20, 80);
  EXPECT_EQ(model_.Kept(kGroup), kept) << "it never falls";
  EXPECT_THAT(findings_.violations(), IsEmpty());
}

TEST_F(VersionModelTest, AHorizonThatRisesTooEarly) {
  Put("a", 10);
  Wait(milliseconds(600));
  Put("a", 20);
  Wait(milliseconds(600));
  Advance(10, 30);
  EXPECT_THAT(findings_.violations(), IsEmpty());
  Advance(20, 40);
  EXPECT_THAT(findings_.violations(), ElementsAre("a horizon rose before the retention was over"));
}

TEST_F(VersionModelTest, AHorizonThatRisesBeforeARaisedRetentionIsOver) {
  Put("a", 10);
  Wait(milliseconds(2000));
  SetRetention(3000, 20);
  Wait(milliseconds(900));
  Advance(10, 30);
  EXPECT_THAT(findings_.violations(), ElementsAre("a horizon rose before the retention was over"));
}

TEST_F(VersionModelTest, AHorizonThatLetsGoByALoweredRetentionWhatWasAppliedBefore) {
  SetRetention(5000, 5);
  Put("a", 10);
  Wait(milliseconds(2000));
  SetRetention(1500, 20);
  Wait(milliseconds(1500));
  Advance(20, 30);
  EXPECT_THAT(findings_.violations(), IsEmpty()) << "held for the lower one from its setting on";
  SetRetention(5000, 40);
  Put("a", 50);
  SetRetention(0, 60);
  Wait(milliseconds(4000));
  Advance(50, 70);
  EXPECT_THAT(findings_.violations(), ElementsAre("a horizon rose before the retention was over"));
}

TEST_F(VersionModelTest, AHorizonAboveAllThatWasCommitted) {
  Put("a", 10);
  Wait(seconds(2));
  Advance(20, 30);
  EXPECT_THAT(findings_.violations(), ElementsAre(HasSubstr("before the retention")));
}

TEST_F(VersionModelTest, EntriesThatOthersCommitTooCountOnce) {
  Put("a", 10);
  const raft::Entry entry = Commit(
      20, [](v1::CommandBatch& batch) { batch.add_commands()->mutable_put()->set_key("a"); });
  Wait(seconds(2));
  model_.OnCommitted(2, kGroup, std::span(&entry, 1));
  Advance(20, 30);
  EXPECT_THAT(findings_.violations(), IsEmpty());
}

}  // namespace
}  // namespace basalt::testing
