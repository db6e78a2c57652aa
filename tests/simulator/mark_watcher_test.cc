// The marks of leaders, reads and installs on small stories: each is seen when it happens, and only
// then.
#include "tests/simulator/mark_watcher.h"

#include <gtest/gtest.h>

namespace basalt::testing {
namespace {

constexpr raft::GroupId kGroup(1);

class MarksOfReads : public ::testing::Test {
 protected:
  void Open(uint64_t node, bool leases, uint32_t priority = 1) {
    raft::CoreOptions options;
    options.group = kGroup;
    options.self = raft::ReplicaId(node);
    options.node = raft::NodeId(node);
    options.leases = leases;
    options.priority = priority;
    marks_.OnOpened(node, options, {});
  }
  void Lead(uint64_t node, uint64_t term) {
    marks_.OnLeader(node, kGroup, raft::NodeId(node), raft::Term(term));
  }
  template <typename Body>
  static raft::Message Of(uint64_t term, Body body) {
    raft::Message message;
    message.group = kGroup;
    message.term = raft::Term(term);
    message.body = std::move(body);
    return message;
  }
  void SendRound(uint64_t node, uint64_t term, uint64_t round) {
    marks_.OnSent(node, Of(term, raft::HeartbeatRequest{.round = raft::Round(round)}));
  }
  void GetReply(uint64_t node, uint64_t term, uint64_t round) {
    marks_.OnReceived(node, Of(term, raft::HeartbeatReply{.round = raft::Round(round)}));
  }
  uint64_t Count(std::string_view mark) const {
    const auto place = findings_.marks().find(mark);
    return place == findings_.marks().end() ? 0 : place->second;
  }

  Findings findings_;
  MarkWatcher marks_{findings_};
};

TEST_F(MarksOfReads, AReplyToAnEarlierRoundWhileAReadWaits) {
  constexpr std::string_view kMark = "a reply to an earlier round came while a read waited";
  Open(1, /*leases=*/false);
  Lead(1, 1);
  SendRound(1, 1, 4);
  GetReply(1, 1, 4);
  EXPECT_EQ(Count(kMark), 0u);
  marks_.OnReadAsked(1, kGroup);
  GetReply(1, 1, 4);
  EXPECT_EQ(Count(kMark), 1u);
  SendRound(1, 1, 5);
  GetReply(1, 1, 5);
  GetReply(1, 1, 4);
  EXPECT_EQ(Count(kMark), 1u);
  EXPECT_EQ(Count("a reply to an earlier round of heartbeats came late"), 1u);
}

TEST_F(MarksOfReads, UnderALeaseNoReadWaitsForARound) {
  Open(1, /*leases=*/true);
  Lead(1, 1);
  SendRound(1, 1, 4);
  marks_.OnReadAsked(1, kGroup);
  GetReply(1, 1, 4);
  EXPECT_EQ(Count("a reply to an earlier round came while a read waited"), 0u);
}

TEST_F(MarksOfReads, AReplyToAnEarlierLeadership) {
  Lead(1, 3);
  GetReply(1, 3, 1);
  EXPECT_EQ(Count("a reply to an earlier leadership came late"), 0u);
  GetReply(1, 2, 1);
  EXPECT_EQ(Count("a reply to an earlier leadership came late"), 1u);
}

TEST_F(MarksOfReads, AReadOfALeaderThatHasASuccessor) {
  constexpr std::string_view kMark = "a read was asked of a leader that had a successor";
  Lead(1, 1);
  marks_.OnReadAsked(1, kGroup);
  EXPECT_FALSE(marks_.IsDeposed(1, kGroup));
  EXPECT_EQ(Count(kMark), 0u);
  Lead(2, 2);
  marks_.OnReadAsked(2, kGroup);
  EXPECT_EQ(Count(kMark), 0u);
  marks_.OnReadAsked(1, kGroup);
  EXPECT_TRUE(marks_.IsDeposed(1, kGroup));
  EXPECT_EQ(Count(kMark), 1u);
  marks_.OnDied(1);
  EXPECT_FALSE(marks_.Leads(1));
  marks_.OnReadAsked(1, kGroup);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfReads, AReplicaThatTookTurns) {
  constexpr std::string_view kElected = "a replica that took turns was elected";
  constexpr std::string_view kHeard = "a leader was heard by a replica that took turns";
  server::GroupState state{.group = kGroup, .replica = raft::ReplicaId(2)};
  marks_.OnState(2, state);
  Lead(2, 1);
  EXPECT_EQ(Count(kElected), 0u);
  state.core.takes_turns = true;
  marks_.OnState(2, state);
  marks_.OnState(3, state);
  Lead(2, 2);
  EXPECT_EQ(Count(kElected), 1u);
  EXPECT_EQ(Count(kHeard), 0u);
  state.core.takes_turns = false;
  marks_.OnState(3, state);
  EXPECT_EQ(Count(kHeard), 0u) << "its turns are over, and it hears nobody";
  state.core.takes_turns = true;
  marks_.OnState(3, state);
  state.core.takes_turns = false;
  state.core.leadership.leader = raft::ReplicaId(2);
  marks_.OnState(3, state);
  EXPECT_EQ(Count(kHeard), 1u);
  state.core.takes_turns = true;
  marks_.OnState(3, state);
  marks_.OnDied(3);
  Lead(3, 4);
  EXPECT_EQ(Count(kElected), 1u);
}

TEST_F(MarksOfReads, AReadBeforeTheFirstCommitOfTheTerm) {
  constexpr std::string_view kMark = "a read was asked before the first commit of the term";
  Lead(1, 2);
  marks_.OnReadAsked(1, kGroup);
  EXPECT_EQ(Count(kMark), 1u);
  marks_.OnCommitted(1, kGroup,
                     std::vector<raft::Entry>{
                         {raft::LogIndex(1), raft::Term(2), raft::EntryKind::kNoOp, nullptr}});
  marks_.OnReadAsked(1, kGroup);
  EXPECT_EQ(Count(kMark), 1u);
}

TEST_F(MarksOfReads, AHandOverAndToWhom) {
  Open(1, true, 1);
  Open(2, true, 2);
  Open(3, true, 0);
  raft::Message word = Of(1, raft::TimeoutNow{});
  word.to_node = raft::NodeId(3);
  marks_.OnSent(1, word);
  EXPECT_EQ(Count("a leader handed over"), 1u);
  EXPECT_EQ(Count("a leader handed over to a more willing one"), 0u);
  word.to_node = raft::NodeId(2);
  marks_.OnSent(1, word);
  EXPECT_EQ(Count("a leader handed over to a more willing one"), 1u);
  Lead(2, 2);
  EXPECT_EQ(Count("one led that would rather not"), 0u);
  Lead(3, 3);
  EXPECT_EQ(Count("one led that would rather not"), 1u);
}

TEST_F(MarksOfReads, AFollowersRead) {
  marks_.OnSent(2, Of(1, raft::ReadRequest{}));
  EXPECT_EQ(Count("a follower asked its leader for a read"), 1u);
  marks_.OnReceived(2, Of(1, raft::ReadReply{.confirmed = false}));
  EXPECT_EQ(Count("a leader confirmed a follower's read"), 0u);
  marks_.OnReceived(2, Of(1, raft::ReadReply{.confirmed = true}));
  EXPECT_EQ(Count("a leader confirmed a follower's read"), 1u);
}

TEST_F(MarksOfReads, AnAppendAndADeathInAnInstall) {
  constexpr std::string_view kAppend = "an append arrived while a checkpoint was being installed";
  constexpr std::string_view kDied = "died while a checkpoint was being installed";
  marks_.OnInstall(2, kGroup, true);
  marks_.OnReceived(3, Of(1, raft::AppendRequest{}));
  EXPECT_EQ(Count(kAppend), 0u);
  marks_.OnReceived(2, Of(1, raft::AppendRequest{}));
  EXPECT_EQ(Count(kAppend), 1u);
  marks_.OnInstall(2, kGroup, false);
  marks_.OnReceived(2, Of(1, raft::AppendRequest{}));
  EXPECT_EQ(Count(kAppend), 1u);
  marks_.OnDied(2);
  EXPECT_EQ(Count(kDied), 0u);
  marks_.OnInstall(2, kGroup, true);
  marks_.OnDied(2);
  EXPECT_EQ(Count(kDied), 1u);
}

}  // namespace
}  // namespace basalt::testing
