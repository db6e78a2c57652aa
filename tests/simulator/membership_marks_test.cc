// The marks of membership on small stories: each is seen when it happens, and only then.
#include "tests/simulator/membership_marks.h"

#include <gtest/gtest.h>

namespace basalt::testing {
namespace {

constexpr raft::GroupId kGroup(1);

raft::Configuration Members(std::vector<raft::Member> members) {
  raft::Configuration configuration;
  configuration.members = std::move(members);
  return configuration;
}

raft::Member Voter(uint64_t id) {
  return {raft::ReplicaId(id), raft::NodeId(id), raft::MemberRole::kVoter};
}

raft::Member Learner(uint64_t id) {
  return {raft::ReplicaId(id), raft::NodeId(id), raft::MemberRole::kLearner};
}

raft::Entry Configures(uint64_t index, uint64_t term, const raft::Configuration& configuration) {
  return {raft::LogIndex(index), raft::Term(term), raft::EntryKind::kConfiguration,
          raft::MakePayload(raft::EncodeConfiguration(configuration))};
}

raft::Entry NoOp(uint64_t index, uint64_t term) {
  return {raft::LogIndex(index), raft::Term(term), raft::EntryKind::kNoOp, nullptr};
}

class MarksOfMembership : public ::testing::Test {
 protected:
  MarksOfMembership() {
    for (uint64_t node = 1; node <= 3; ++node) {
      raft::CoreOptions options;
      options.group = kGroup;
      options.self = raft::ReplicaId(node);
      options.leases = node != 2;
      raft::RecoveredState recovered;
      recovered.base.configuration = founders_;
      recovered.applied = recovered.base;
      marks_.OnOpened(node, options, recovered);
    }
    marks_.OnCommitted(1, kGroup, std::vector{Configures(1, 1, founders_)});
  }

  void Queue(uint64_t node, std::vector<raft::Entry> entries) {
    raft::LogWrite write;
    write.group = kGroup;
    write.persist.entries = std::move(entries);
    marks_.OnQueued(node, write);
  }
  uint64_t Count(std::string_view mark) const {
    const auto place = findings_.marks().find(mark);
    return place == findings_.marks().end() ? 0 : place->second;
  }

  const raft::Configuration founders_ = Members({Voter(1), Voter(2), Voter(3)});
  const raft::Configuration grown_ = Members({Voter(1), Voter(2), Voter(3), Learner(4)});
  const raft::Configuration shrunk_ = Members({Voter(1), Voter(2)});
  Findings findings_;
  MembershipMarks marks_{findings_};
};

TEST_F(MarksOfMembership, AConfigurationThatIsRolledBack) {
  Queue(1, {NoOp(2, 1), Configures(3, 1, grown_)});
  Queue(1, {NoOp(4, 1)});
  EXPECT_EQ(Count("a configuration was rolled back"), 0u);
  Queue(1, {NoOp(3, 2)});
  EXPECT_EQ(Count("a configuration was rolled back"), 1u);
  Queue(1, {NoOp(2, 3)});
  EXPECT_EQ(Count("a configuration was rolled back"), 1u);
}

TEST_F(MarksOfMembership, TwoChangesOfOneConfiguration) {
  constexpr std::string_view kMark = "two leaders changed the members from one configuration";
  Queue(1, {Configures(2, 1, grown_)});
  Queue(3, {Configures(2, 1, grown_)});
  EXPECT_EQ(Count(kMark), 0u);
  Queue(2, {NoOp(2, 2), Configures(3, 2, grown_)});
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfMembership, ACheckpointThatBringsOtherMembers) {
  constexpr std::string_view kMark = "a checkpoint brought other members";
  raft::LogWrite write;
  write.group = kGroup;
  write.persist.base = raft::LogBase{raft::LogIndex(5), raft::Term(1), founders_};
  marks_.OnQueued(1, write);
  EXPECT_EQ(Count(kMark), 0u);
  write.persist.base = raft::LogBase{raft::LogIndex(9), raft::Term(1), grown_};
  marks_.OnQueued(1, write);
  EXPECT_EQ(Count(kMark), 1u);
  // A compaction brings nothing.
  Queue(1, {Configures(10, 1, founders_), NoOp(11, 1)});
  write.persist.base = raft::LogBase{raft::LogIndex(11), raft::Term(1), founders_};
  marks_.OnQueued(1, write);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfMembership, AReplicaThatLeftAndCampaigns) {
  constexpr std::string_view kMark = "a replica that had left asked for a vote";
  raft::Message message;
  message.group = kGroup;
  message.from = raft::ReplicaId(3);
  message.to = raft::ReplicaId(1);
  message.body = raft::VoteRequest{.pre_vote = true};
  marks_.OnReceived(1, message);
  EXPECT_EQ(Count(kMark), 0u);
  marks_.OnCommitted(1, kGroup, std::vector{Configures(2, 1, shrunk_)});
  marks_.OnReceived(1, message);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfMembership, ALeaderThatTakesItselfOut) {
  constexpr std::string_view kMark = "a leader that had taken itself out stepped down";
  marks_.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(1));
  marks_.OnLeader(3, kGroup, raft::NodeId(2), raft::Term(2));
  EXPECT_EQ(Count(kMark), 0u);
  marks_.OnLeader(3, kGroup, raft::NodeId(3), raft::Term(3));
  Queue(3, {Configures(2, 3, shrunk_)});
  marks_.OnLeader(3, kGroup, raft::NodeId(0), raft::Term(3));
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfMembership, ALeaderThatDiesInAChange) {
  constexpr std::string_view kMark = "a leader died with new learners that were not committed";
  marks_.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  Queue(1, {Configures(2, 1, grown_)});
  marks_.OnDied(2);
  EXPECT_EQ(Count(kMark), 0u);
  marks_.OnDied(1);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfMembership, AChangeThatWasCommittedAndNotApplied) {
  constexpr std::string_view kLeader = "a leader died with new learners that were not committed";
  constexpr std::string_view kFollower =
      "a follower died with a configuration that was not committed";
  marks_.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  for (const uint64_t node : {1, 2}) Queue(node, {Configures(2, 1, grown_)});
  // Of another leader, and never committed.
  Queue(3, {Configures(2, 2, grown_)});
  server::GroupState state;
  state.group = kGroup;
  state.core.commit = raft::LogIndex(1);
  marks_.OnDying(2, state);
  marks_.OnDied(2);
  EXPECT_EQ(Count(kFollower), 1u);
  state.core.commit = raft::LogIndex(2);
  marks_.OnDying(1, state);
  marks_.OnDied(1);
  EXPECT_EQ(Count(kLeader), 0u);
  marks_.OnDied(2);
  EXPECT_EQ(Count(kFollower), 1u);
  marks_.OnDied(3);
  EXPECT_EQ(Count(kFollower), 2u);
}

TEST_F(MarksOfMembership, AReadOfALeaderThatGaveItsLeaseUp) {
  constexpr std::string_view kMark = "a read was asked of a leader that had given its lease up";
  raft::Message word;
  word.group = kGroup;
  word.term = raft::Term(1);
  word.body = raft::TimeoutNow{};
  marks_.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  marks_.OnReadAsked(1, kGroup);
  EXPECT_EQ(Count(kMark), 0u);
  marks_.OnSent(1, word);
  marks_.OnReadAsked(1, kGroup);
  EXPECT_EQ(Count(kMark), 1u);
  // Node 2 has no leases.
  word.term = raft::Term(2);
  marks_.OnLeader(2, kGroup, raft::NodeId(2), raft::Term(2));
  marks_.OnSent(2, word);
  marks_.OnReadAsked(2, kGroup);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfMembership, ATransferGivenUpUnderALease) {
  constexpr std::string_view kMark = "a transfer was given up under a lease when its word had left";
  server::GroupState state;
  state.group = kGroup;
  state.core.leadership = {raft::Role::kLeader, raft::Term(1), raft::ReplicaId(1)};
  state.core.lease = raft::LeaseGrant{raft::Time(5), raft::LogIndex(1)};
  marks_.OnLeader(1, kGroup, raft::NodeId(1), raft::Term(1));
  marks_.OnState(1, state);
  raft::Message word;
  word.group = kGroup;
  word.term = raft::Term(1);
  word.body = raft::TimeoutNow{};
  marks_.OnSent(1, word);
  state.core.lease.reset();
  state.core.transfer_to = raft::ReplicaId(2);
  marks_.OnState(1, state);
  EXPECT_EQ(Count(kMark), 0u);
  state.core.transfer_to = raft::ReplicaId(0);
  marks_.OnState(1, state);
  EXPECT_EQ(Count(kMark), 1u);
}

}  // namespace
}  // namespace basalt::testing
