// Each verdict of Safety is fired by a bad history of its own, and by the good one beside it none.
#include "tests/scenarios/raft/safety.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "raft/core/configuration.h"

namespace basalt::raft {
namespace {

using ::testing::IsEmpty;

Configuration Of(std::vector<Member> members) { return {std::move(members)}; }

Member As(MemberRole role, uint64_t id) { return {ReplicaId(id), NodeId(id), role}; }

Configuration ThreeVoters() {
  return Of({As(MemberRole::kVoter, 1), As(MemberRole::kVoter, 2), As(MemberRole::kVoter, 3)});
}

// From replicas 1, 2, 3 to 1, 4, 5.
Configuration Joint() {
  return Of({As(MemberRole::kVoter, 1), As(MemberRole::kOutgoing, 2), As(MemberRole::kOutgoing, 3),
             As(MemberRole::kIncoming, 4), As(MemberRole::kIncoming, 5)});
}

Entry Command(uint64_t index, uint64_t term, const std::string& bytes = "x") {
  return {LogIndex(index), Term(term), EntryKind::kCommands, MakePayload(bytes)};
}

class SafetyTest : public ::testing::Test {
 protected:
  SafetyTest() {
    for (uint64_t id = 1; id <= 5; ++id) {
      CoreOptions options;
      options.group = GroupId(1);
      options.self = ReplicaId(id);
      options.node = NodeId(id);
      Replica& made = replicas_.emplace(ReplicaId(id), Replica(options)).first->second;
      made.durable.base.configuration = ThreeVoters();
      made.written = made.durable;
    }
  }

  Replica& at(uint64_t id) { return replicas_.at(ReplicaId(id)); }

  // Its log gets an entry, durably or handed to the disk alone.
  void Log(uint64_t id, const Entry& entry, bool durably = true) {
    Persist persist;
    persist.entries = {entry};
    at(id).written.Write(persist);
    if (durably) at(id).durable.Write(persist);
  }

  // A core of its own that knows everything up to `index`, which its log holds durably, for
  // committed.
  void Commit(uint64_t id, uint64_t index, uint64_t term) {
    Replica& replica = at(id);
    replica.durable.hard_state.term = Term(term);
    replica.machine.place = {LogIndex(index), *replica.durable.TermAt(LogIndex(index)),
                             replica.durable.ConfigurationAt(LogIndex(index))};
    replica.Start();
    replica.machine = replica.flushed;
    safety_.OnCommit(replica, replicas_);
  }

  // Entry 1 of term 1, held by all three voters and committed.
  void CommitTheFirst() {
    for (const uint64_t id : {1, 2, 3}) Log(id, Command(1, 1));
    Commit(1, 1, 1);
    ASSERT_EQ(safety_.committed(), LogIndex(1));
    ASSERT_THAT(safety_.violation(), IsEmpty());
  }

  void Write(uint64_t id, const Entry& entry) {
    Persist persist;
    persist.entries = {entry};
    at(id).written.Write(persist);
    safety_.OnWritten(at(id), persist);
  }

  template <typename Body>
  void Send(uint64_t id, uint64_t to, uint64_t term, Body body) {
    Message message;
    message.from = ReplicaId(id);
    message.to = ReplicaId(to);
    message.term = Term(term);
    message.body = std::move(body);
    safety_.OnSent(at(id), message);
  }

  void Apply(uint64_t id, const Entry& entry) {
    at(id).machine.Apply(entry);
    safety_.OnApplied(at(id));
  }

  void ExpectGood() { EXPECT_THAT(safety_.violation(), IsEmpty()); }
  void ExpectViolation(const std::string& what) { EXPECT_EQ(safety_.violation(), what); }

  std::map<ReplicaId, Replica> replicas_;
  Safety safety_;
};

TEST_F(SafetyTest, TheFirstViolationStays) {
  safety_.OnLeader(at(1), Term(4));
  safety_.OnLeader(at(2), Term(4));
  safety_.OnRead(at(3), LogIndex(1), LogIndex(2));
  ExpectViolation("replica 2: second leader of term 4, after 1");
}

TEST_F(SafetyTest, OneLeaderOfATerm) {
  safety_.OnLeader(at(1), Term(4));
  safety_.OnLeader(at(1), Term(4));
  safety_.OnLeader(at(2), Term(5));
  ExpectGood();
  safety_.OnLeader(at(3), Term(4));
  ExpectViolation("replica 3: second leader of term 4, after 1");
}

TEST_F(SafetyTest, ALeaderHoldsWhatIsCommitted) {
  CommitTheFirst();
  safety_.OnLeader(at(2), Term(2));
  // Who wins the term of the commit late, or an earlier one, need not know of it.
  safety_.OnLeader(at(4), Term(1));
  // A checkpoint holds it.
  at(5).written.base.index = LogIndex(1);
  safety_.OnLeader(at(5), Term(3));
  ExpectGood();
  safety_.OnLeader(at(4), Term(4));
  ExpectViolation("replica 4: leads term 4 without committed entry 1");
}

TEST_F(SafetyTest, ALeaderHoldsNothingElseInThePlaceOfWhatIsCommitted) {
  CommitTheFirst();
  Log(4, Command(1, 2));
  safety_.OnLeader(at(4), Term(3));
  ExpectViolation("replica 4: leads term 3 without committed entry 1");
}

TEST_F(SafetyTest, NobodyLeadsDuringAnEarlierLease) {
  for (const uint64_t id : {1, 2}) {
    at(id).durable.hard_state.term = Term(3 + id);
    at(id).Start();
  }
  safety_.OnLeaseOverlap(at(2), at(1));
  ExpectViolation("replica 2: leads term 5 while 1 has a lease in term 4");
}

TEST_F(SafetyTest, LogsHaveNoGaps) {
  Write(1, Command(1, 1));
  ExpectGood();
  Persist persist;
  persist.entries = {Command(3, 1)};
  safety_.OnWritten(at(1), persist);
  ExpectViolation("replica 1: wrote entry 3 behind a gap");
}

TEST_F(SafetyTest, EqualPlacesHoldEqualEntries) {
  Write(1, Command(1, 1, "a"));
  Write(2, Command(1, 1, "a"));
  Write(3, Command(1, 2, "b"));
  ExpectGood();
  Write(4, Command(1, 1, "b"));
  ExpectViolation("replica 4: logs do not match at entry 1 of term 1");
}

TEST_F(SafetyTest, EqualPlacesHoldEntriesOfOneLength) {
  Write(1, Command(1, 1, ""));
  Write(2, {LogIndex(1), Term(1), EntryKind::kCommands, nullptr});
  ExpectGood();
  Write(3, Command(1, 1, "a"));
  ExpectViolation("replica 3: logs do not match at entry 1 of term 1");
}

TEST_F(SafetyTest, AnEmptyEntryIsNotEqualToAFullOne) {
  Write(1, Command(1, 1, "a"));
  Write(2, {LogIndex(1), Term(1), EntryKind::kCommands, nullptr});
  ExpectViolation("replica 2: logs do not match at entry 1 of term 1");
}

TEST_F(SafetyTest, EqualPlacesHaveEqualHistories) {
  Write(1, Command(1, 1));
  Write(1, Command(2, 3));
  Write(2, Command(1, 2));
  ExpectGood();
  Write(2, Command(2, 3));
  ExpectViolation("replica 2: logs do not match at entry 2 of term 3");
}

TEST_F(SafetyTest, VotesRestOnADurableTerm) {
  at(1).durable.hard_state = {Term(3), ReplicaId(2)};
  Send(1, 2, 3, VoteReply{.granted = true});
  Send(1, 2, 4, VoteReply{.granted = false});
  Send(1, 2, 4, VoteReply{.pre_vote = true, .granted = true});
  ExpectGood();
  Send(1, 2, 4, VoteReply{.granted = true});
  ExpectViolation("replica 1: a vote for term 4 left before it was durable");
}

TEST_F(SafetyTest, VotesRestOnADurableVote) {
  at(1).durable.hard_state = {Term(3), ReplicaId(2)};
  Send(1, 3, 3, VoteReply{.granted = true});
  ExpectViolation("replica 1: a vote for term 3 left before it was durable");
}

TEST_F(SafetyTest, CampaignsRestOnADurableTerm) {
  at(1).durable.hard_state = {Term(3), ReplicaId(1)};
  Send(1, 2, 3, VoteRequest{});
  Send(1, 2, 4, VoteRequest{.pre_vote = true});
  ExpectGood();
  Send(1, 2, 4, VoteRequest{});
  ExpectViolation("replica 1: campaigns in term 4 before it is durable");
}

TEST_F(SafetyTest, AcknowledgementsRestOnADurableLog) {
  Log(1, Command(1, 1));
  Log(1, Command(2, 1), /*durably=*/false);
  Send(1, 2, 1, AppendReply{.accepted = true, .index = LogIndex(1)});
  Send(1, 2, 1, AppendReply{.accepted = false, .index = LogIndex(2)});
  at(2).flushed.place.index = LogIndex(2);  // a checkpoint that was installed
  Send(2, 1, 1, AppendReply{.accepted = true, .index = LogIndex(2)});
  ExpectGood();
  Send(1, 2, 1, AppendReply{.accepted = true, .index = LogIndex(2)});
  ExpectViolation("replica 1: acknowledged entry 2 before it was durable");
}

TEST_F(SafetyTest, AllCommitTheSameEntries) {
  CommitTheFirst();
  Commit(2, 1, 1);
  ExpectGood();
  Log(4, Command(1, 2));
  Commit(4, 1, 2);
  ExpectViolation("replica 4: commits another entry at 1");
}

TEST_F(SafetyTest, ANewLifeSaysAnewWhatIsCommitted) {
  CommitTheFirst();
  Persist persist;
  persist.entries = {Command(1, 2)};
  at(1).durable.Write(persist);
  at(1).written.Write(persist);
  Commit(1, 1, 2);
  ExpectViolation("replica 1: commits another entry at 1");
}

TEST_F(SafetyTest, WhereACheckpointStandsAllAgree) {
  CommitTheFirst();
  for (const uint64_t id : {1, 2}) Log(id, Command(2, 1));
  Commit(1, 2, 1);
  at(3).durable = {{}, {LogIndex(2), Term(1), ThreeVoters()}, {}};
  at(3).written = at(3).durable;
  Commit(3, 2, 1);
  ExpectGood();
  at(4).durable = {{}, {LogIndex(2), Term(2), ThreeVoters()}, {}};
  at(4).written = at(4).durable;
  Commit(4, 2, 2);
  ExpectViolation("replica 4: commits another entry at 2");
}

TEST_F(SafetyTest, WhatIsCommittedIsDurableOnAMajority) {
  CommitTheFirst();
  Log(1, Command(2, 1));
  Log(2, Command(2, 1), /*durably=*/false);
  Log(4, Command(1, 1));
  Log(4, Command(2, 1));  // is no voter
  Log(3, Command(2, 2));  // is another entry
  Commit(1, 2, 1);
  ExpectViolation("replica 1: commits entry 2, durable on 1 of 3 voters");
}

TEST_F(SafetyTest, HalfOfTheVotersIsNoMajority) {
  Configuration four = ThreeVoters();
  four.members.push_back(As(MemberRole::kVoter, 4));
  at(1).durable.base.configuration = at(1).written.base.configuration = four;
  for (const uint64_t id : {1, 2}) Log(id, Command(1, 1));
  Commit(1, 1, 1);
  ExpectViolation("replica 1: commits entry 1, durable on 2 of 4 voters");
}

TEST_F(SafetyTest, CheckpointsCountForTheMajority) {
  Log(1, Command(1, 1));
  at(2).durable.base.index = LogIndex(1);
  Commit(1, 1, 1);
  ExpectGood();
  Log(1, Command(2, 1));
  at(3).flushed.place.index = LogIndex(2);
  Commit(1, 2, 1);
  ExpectGood();
}

class JointSafetyTest : public SafetyTest {
 protected:
  // The leader's log begins a change, which others hold durably too.
  void CommitTheChange(const std::vector<uint64_t>& others) {
    CommitTheFirst();
    const Entry change{LogIndex(2), Term(1), EntryKind::kConfiguration,
                       MakePayload(EncodeConfiguration(Joint()))};
    Log(1, change);
    for (const uint64_t id : others) {
      if (id > 3) Log(id, Command(1, 1));
      Log(id, change);
    }
    Commit(1, 2, 1);
  }
};

TEST_F(JointSafetyTest, AMajorityOfEachHalf) {
  CommitTheChange({2, 4});
  ExpectGood();
}

TEST_F(JointSafetyTest, NotTheOldHalfAlone) {
  CommitTheChange({2, 3});
  ExpectViolation("replica 1: commits entry 2, durable on 1 of 3 voters");
}

TEST_F(JointSafetyTest, NotTheNewHalfAlone) {
  CommitTheChange({4, 5});
  ExpectViolation("replica 1: commits entry 2, durable on 1 of 3 voters");
}

TEST_F(SafetyTest, StatesAgree) {
  CommitTheFirst();
  Apply(1, Command(1, 1));
  Apply(2, Command(1, 1));
  ExpectGood();
  Apply(3, Command(1, 1, "y"));
  ExpectViolation("replica 3: state differs at index 1");
}

TEST_F(SafetyTest, OnlyWhatIsCommittedIsApplied) {
  CommitTheFirst();
  Log(1, Command(2, 1));
  Apply(1, Command(1, 1));
  ExpectGood();
  Apply(1, Command(2, 1));
  ExpectViolation("replica 1: applied entry 2, which is not committed");
}

TEST_F(SafetyTest, AnotherEntryThanTheCommittedOneIsNotApplied) {
  CommitTheFirst();
  Log(4, Command(1, 2));
  Apply(4, Command(1, 2));
  ExpectViolation("replica 4: applied entry 1, which is not committed");
}

TEST_F(SafetyTest, OnlyWhatIsDurableIsApplied) {
  CommitTheFirst();
  at(4).flushed.place.index = LogIndex(1);  // a checkpoint that was installed
  Apply(4, Command(1, 1));
  ExpectGood();
  Log(5, Command(1, 1), /*durably=*/false);
  Apply(5, Command(1, 1));
  ExpectViolation("replica 5: applied entry 1 before it was durable");
}

TEST_F(SafetyTest, ReadsSeeWhatWasCommittedBefore) {
  safety_.OnRead(at(1), LogIndex(7), LogIndex(7));
  safety_.OnRead(at(1), LogIndex(8), LogIndex(7));
  ExpectGood();
  safety_.OnRead(at(1), LogIndex(6), LogIndex(7));
  ExpectViolation("replica 1: a read at 6 misses entry 7, committed before it was asked for");
}

}  // namespace
}  // namespace basalt::raft
