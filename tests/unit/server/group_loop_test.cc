// The group loop with stand-ins for everything around it.
#include "server/node/group_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/server/group_loop_fixture.h"

namespace basalt::server {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(GroupLoopTest, FollowerRefusesAndNamesTheLeader) {
  Make(3);
  Persist();
  FromPeer(2, 4, raft::HeartbeatRequest{});
  Handle(Writes({1, 2}));
  Handle(Reads({3}));
  ASSERT_EQ(replies_->all.size(), 3u);
  EXPECT_EQ(replies_->all[0].leader().node_id(), 2u);
  EXPECT_EQ(replies_->all[0].leader().term(), 4u);
  EXPECT_GT(replies_->all[0].retry_after_ms(), 0u);
  EXPECT_THAT(replies_->Take(),
              ElementsAre("1 NOT_LEADER NOT_APPLIED", "2 NOT_LEADER NOT_APPLIED", "3 NOT_LEADER"));
  WritesArrived elsewhere = Writes({4});
  elsewhere.group = raft::GroupId(9);
  Handle(std::move(elsewhere));
  EXPECT_THAT(replies_->Take(), ElementsAre("4 NOT_LEADER NOT_APPLIED")) << "no such group here";
}

TEST_F(GroupLoopTest, LeaderServesOnlyAfterAnEntryOfItsOwnTerm) {
  Make(1);
  Persist();
  ASSERT_EQ(around_.leader, raft::NodeId(1));
  Handle(Writes({1}));
  Handle(Reads({2}));
  EXPECT_THAT(around_.Take<WritesProposed>(), IsEmpty());
  EXPECT_THAT(around_.Take<ServeReads>(), IsEmpty());
  Persist();
  Apply();
  EXPECT_EQ(around_.Take<WritesProposed>().size(), 1u);
  EXPECT_EQ(around_.Take<ServeReads>().size(), 1u);
  EXPECT_THAT(replies_->Take(), IsEmpty()) << "nobody was turned away";
}

// The founding campaign is repeated on every other tick; syncs and votes may take longer than that.
TEST_F(GroupLoopTest, AFoundingCampaignWaitsForSlowVotes) {
  Make(3);
  FromPeer(2, 1, raft::VoteReply{.pre_vote = true, .granted = true});
  for (int i = 0; i < 3; ++i) Handle(TickPassed{});
  Persist();
  for (int i = 0; i < 3; ++i) Handle(TickPassed{});
  FromPeer(2, 1, raft::VoteReply{.pre_vote = false, .granted = true});
  EXPECT_EQ(around_.leader, raft::NodeId(1));
  EXPECT_THAT(around_.led_terms, ElementsAre(raft::Term(1)));
}

TEST_F(GroupLoopTest, AFoundingCampaignWhoseVotesAreLostGoesOn) {
  Make(3);
  const auto requests = [&](bool pre_vote, uint64_t term) {
    return std::count_if(around_.sent.begin(), around_.sent.end(), [&](const auto& message) {
      const auto* asked = std::get_if<raft::VoteRequest>(&message.body);
      return asked != nullptr && asked->pre_vote == pre_vote && message.term == raft::Term(term);
    });
  };
  for (int i = 0; i < 4; ++i) Handle(TickPassed{});
  EXPECT_EQ(requests(true, 1), 6) << "at once, and every other tick while nobody answers";
  FromPeer(2, 1, raft::VoteReply{.pre_vote = true, .granted = true});
  Persist();
  EXPECT_EQ(requests(false, 1), 2);
  const raft::CoreOptions defaults;
  for (uint32_t i = 1; i < defaults.election_timeout_ticks; ++i) Handle(TickPassed{});
  EXPECT_EQ(requests(true, 2), 0) << "not before an election timeout";
  for (uint32_t i = 0; i <= defaults.election_timeout_ticks; ++i) Handle(TickPassed{});
  EXPECT_GE(requests(true, 2), 2);
  FromPeer(2, 2, raft::VoteReply{.pre_vote = true, .granted = true});
  Persist();
  EXPECT_EQ(requests(false, 2), 2);
  FromPeer(2, 2, raft::VoteReply{.pre_vote = false, .granted = true});
  EXPECT_THAT(around_.led_terms, ElementsAre(raft::Term(2)));
}

TEST_F(GroupLoopTest, WritesGatherWhileTheLogIsBusy) {
  MakeLeaderAlone({.log_appends_max = 2});
  Handle(Writes({1}));
  Handle(Writes({2}));
  EXPECT_EQ(around_.appends.size(), 2u);
  Handle(Writes({3}));
  Handle(Writes({4, 5}));
  EXPECT_EQ(around_.appends.size(), 2u) << "the log has enough to do";
  around_.Take<WritesProposed>();
  PersistOne();
  const auto proposed = around_.Take<WritesProposed>();
  ASSERT_EQ(proposed.size(), 1u);
  EXPECT_THAT(IdsOf(proposed[0]), ElementsAre(3, 4, 5));
  ASSERT_EQ(around_.appends.size(), 2u);
  const raft::Entry& entry = around_.appends.back()[0].persist.entries.at(0);
  EXPECT_EQ(entry.index, proposed[0].index);
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*entry.payload));
  EXPECT_EQ(batch.commands_size(), 3) << "one entry for all that gathered";
  EXPECT_EQ(batch.commands(1).put().key(), "k4");
}

TEST_F(GroupLoopTest, EntriesAreBoundedAndStampsRise) {
  MakeLeaderAlone({.entry_bytes_max = 1000});
  Handle(Writes({1, 2, 3, 4, 5}, 400));
  Handle(Writes({6}, 5000));
  std::vector<uint64_t> ids;
  for (const WritesProposed& proposed : around_.Take<WritesProposed>()) {
    EXPECT_LE(proposed.writes.size(), 2u);
    for (const uint64_t id : IdsOf(proposed)) ids.push_back(id);
  }
  EXPECT_THAT(ids, ElementsAre(1, 2, 3, 4, 5, 6)) << "a larger one than an entry goes alone";
  uint64_t stamp = 0;
  for (const auto& writes : around_.appends) {
    for (const raft::Entry& entry : writes[0].persist.entries) {
      v1::CommandBatch batch;
      ASSERT_TRUE(batch.ParseFromString(*entry.payload));
      EXPECT_GT(batch.first_stamp(), stamp);
      stamp = batch.first_stamp() + static_cast<uint64_t>(batch.commands_size()) - 1;
    }
  }
}

TEST_F(GroupLoopTest, StampsAreAboveWhatWasApplied) {
  MakeLeaderAlone();
  const uint64_t ahead = uint64_t{1} << 60;
  Handle(EntriesApplied{kGroup, raft::LogIndex(1), raft::Term(1), {ahead, {}, {}}});
  Handle(Writes({1}));
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*around_.appends.back()[0].persist.entries.at(0).payload));
  EXPECT_GT(batch.first_stamp(), ahead);
}

// What its client knew when it first sent a write: after forgetting, what has no record runs only
// if no record of it can have been dropped, which rests on this.
TEST_F(GroupLoopTest, StampsAreAboveWhatTheClientKnew) {
  MakeLeaderAlone();
  const uint64_t issued = (time_.Milliseconds() + 9'000) << kStampCounterBits;
  WritesArrived arrived = Writes({1, 2, 3});
  arrived.writes[1].issued = issued;
  Handle(std::move(arrived));
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*around_.appends.back()[0].persist.entries.at(0).payload));
  EXPECT_GT(batch.first_stamp(), issued) << "of all, for they are one entry";
}

// Of a node that has started again with a clock that was set back: clients that know the stamps of
// one of its shards must be served by others, whose nodes hear from this one what time it was.
TEST_F(GroupLoopTest, WhatWasStampedTellsWhatTimeItWas) {
  MakeLeaderAlone();
  const uint64_t hour_ahead = time_.Milliseconds() + 3'600'000;
  Handle(EntriesApplied{
      kGroup, raft::LogIndex(1), raft::Term(1), {hour_ahead << kStampCounterBits, {}, {}}});
  EXPECT_EQ(time_.Milliseconds(), hour_ahead - kAheadMaxMs);
  // No farther with each stamp.
  WritesArrived arrived = Writes({1});
  arrived.writes[0].issued = hour_ahead << kStampCounterBits;
  Handle(std::move(arrived));
  EXPECT_THAT(replies_->all, IsEmpty());
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*around_.appends.back()[0].persist.entries.at(0).payload));
  Handle(EntriesApplied{kGroup, raft::LogIndex(1), raft::Term(1), {batch.first_stamp(), {}, {}}});
  EXPECT_EQ(time_.Milliseconds(), hour_ahead - kAheadMaxMs);
}

// It would carry every clock of the cluster away with it.
TEST_F(GroupLoopTest, ATimestampFarAheadIsRefusedAndMovesNoClock) {
  MakeLeaderAlone();
  const auto put = [&](uint64_t id, uint64_t milliseconds) {
    WritesArrived arrived = Writes({id});
    arrived.writes[0].issued = milliseconds << kStampCounterBits;
    Handle(std::move(arrived));
    for (const v1::Response& response : replies_->all) {
      EXPECT_GT(response.retry_after_ms(), 0u) << "a heartbeat may bring the time";
    }
    return replies_->Take();
  };
  const uint64_t odd = time_.Milliseconds() + 10'001;
  EXPECT_THAT(put(1, odd), ElementsAre("1 UNAVAILABLE NOT_APPLIED"));
  EXPECT_THAT(put(2, 0), IsEmpty());
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(*around_.appends.back()[0].persist.entries.at(0).payload));
  EXPECT_LT(StampMilliseconds(batch.first_stamp()), odd);
  time_.Hear(odd);
  EXPECT_THAT(put(3, odd), IsEmpty()) << "another node knows that time";
}

TEST_F(GroupLoopTest, EntriesComeToBeAppliedWithTheirMoments) {
  MakeLeaderOfThree();
  around_.Take<ApplyEntries>();
  const MonotonicTime start = clock_.now;
  const auto at = [&](int ms) { clock_.now = start + std::chrono::milliseconds(ms); };
  at(1);
  Handle(Writes({1}));
  at(2);
  Handle(Writes({2}));
  at(5);
  PersistOne();  // entry 2
  at(7);
  Acknowledge(3);  // a quorum has entry 3 before the disk here has
  std::vector<ApplyEntries> first = around_.Take<ApplyEntries>();
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(first[0].noted.size(), 1u);
  EXPECT_EQ(first[0].noted[0].index, raft::LogIndex(2));
  EXPECT_EQ(first[0].noted[0].term, raft::Term(1));
  const auto since = [&](MonotonicTime moment) { return (moment - start).count() / 1'000'000; };
  EXPECT_EQ(since(first[0].noted[0].moments.proposed), 1);
  EXPECT_EQ(since(first[0].noted[0].moments.durable), 5);
  EXPECT_EQ(since(first[0].noted[0].moments.committed), 7);
  at(9);
  PersistOne();
  std::vector<ApplyEntries> second = around_.Take<ApplyEntries>();
  ASSERT_EQ(second.size(), 1u);
  ASSERT_EQ(second[0].noted.size(), 1u);
  EXPECT_EQ(since(second[0].noted[0].moments.proposed), 2);
  EXPECT_EQ(since(second[0].noted[0].moments.durable), 9);
  EXPECT_LE(second[0].noted[0].moments.committed, second[0].noted[0].moments.durable);
  std::vector<WritesProposed> proposed = around_.Take<WritesProposed>();
  ASSERT_EQ(proposed.size(), 2u);
  EXPECT_EQ(since(proposed[1].writes.at(0).taken_up), 2);
}

TEST_F(GroupLoopTest, TooManyGatheredBytesAreOverload) {
  MakeLeaderAlone({.log_appends_max = 0, .gathered_bytes_max = 1000});
  Handle(Writes({1, 2, 3}, 400));
  EXPECT_THAT(replies_->Take(), IsEmpty());
  Handle(Writes({4}));
  EXPECT_GT(replies_->all.at(0).retry_after_ms(), 0u);
  EXPECT_THAT(replies_->Take(), ElementsAre("4 OVERLOADED NOT_APPLIED"));
  clock_.now += seconds(6);
  Handle(TickPassed{});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 DEADLINE NOT_APPLIED", "2 DEADLINE NOT_APPLIED",
                                            "3 DEADLINE NOT_APPLIED"));
  Handle(Writes({5}));
  EXPECT_THAT(replies_->Take(), IsEmpty()) << "there is room again";
}

// Its own commands count, and what comes again of transactions does not pile up on top.
TEST_F(GroupLoopTest, WhatNobodyWaitsForIsGatheredWithinTheBoundToo) {
  MakeLeaderAlone({.log_appends_max = 0, .gathered_bytes_max = 1000});
  const auto proposal = [&] {
    ProposalsArrived arrived{kGroup, {}};
    arrived.writes.push_back({nullptr, nullptr, 0, MonotonicTime::max(), std::string(400, 'd')});
    return arrived;
  };
  Handle(Writes({1, 2}, 480));
  for (int i = 0; i < 10; ++i) Handle(proposal());
  clock_.now += seconds(6);
  Handle(TickPassed{});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 DEADLINE NOT_APPLIED", "2 DEADLINE NOT_APPLIED"));
  Handle(Writes({3}));
  EXPECT_THAT(replies_->Take(), IsEmpty()) << "as much as there was room for was taken";
  for (int i = 0; i < 3; ++i) Handle(OwnCommandArrived{kGroup, std::string(400, 'c')});
  Handle(Writes({4}));
  EXPECT_THAT(replies_->Take(), ElementsAre("4 OVERLOADED NOT_APPLIED"));
}

TEST_F(GroupLoopTest, ReadsAreServedWithTheirMoments) {
  MakeLeaderOfThree();
  const MonotonicTime start = clock_.now;
  clock_.now = start + std::chrono::milliseconds(1);
  Handle(Reads({1}));
  clock_.now = start + std::chrono::milliseconds(4);
  Acknowledge(1, NewestRound().value());
  const std::vector<ServeReads> served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].reads.at(0).taken_up - start, std::chrono::milliseconds(1));
  EXPECT_EQ(served[0].reads.at(0).confirmed - start, std::chrono::milliseconds(4));
}

TEST_F(GroupLoopTest, ReadsShareRoundsAndWaitForTheQuorum) {
  MakeLeaderOfThree({.read_rounds_max = 1});
  Handle(Reads({1, 2}));
  Handle(Reads({3}));
  Handle(Reads({4}));
  EXPECT_THAT(around_.Take<ServeReads>(), IsEmpty()) << "nobody has confirmed";
  FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  auto served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].reads.size(), 2u);
  EXPECT_EQ(served[0].index, raft::LogIndex(1));
  FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].reads.size(), 2u) << "those that came meanwhile share the next round";
}

TEST_F(GroupLoopTest, ReadsOfARoundExpire) {
  MakeLeaderOfThree();
  Handle(Reads({1}));
  clock_.now += seconds(6);
  Handle(TickPassed{});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 DEADLINE"));
  FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  for (const ServeReads& work : around_.Take<ServeReads>()) EXPECT_TRUE(work.reads.empty());
  EXPECT_THAT(replies_->Take(), IsEmpty());
}

TEST_F(GroupLoopTest, DeposedLeaderTurnsGatheredRequestsAway) {
  MakeLeaderOfThree({.log_appends_max = 1, .read_rounds_max = 1});
  Handle(Writes({1}));
  ASSERT_EQ(around_.Take<WritesProposed>().size(), 1u);
  Handle(Writes({2}));
  Handle(Reads({3}));
  Handle(Reads({4}));
  FromPeer(3, 2, raft::HeartbeatRequest{});
  // What was proposed is in the log and for the apply loop to answer.
  EXPECT_THAT(replies_->Take(), ::testing::UnorderedElementsAre("2 NOT_LEADER NOT_APPLIED",
                                                                "3 NOT_LEADER", "4 NOT_LEADER"));
  EXPECT_EQ(around_.leader, raft::NodeId(3));
}

TEST_F(GroupLoopTest, AbandonAnswersEverybodyOnce) {
  MakeLeaderOfThree({.log_appends_max = 1, .read_rounds_max = 1});
  Handle(Writes({1}));
  Handle(Writes({2, 3}));
  Handle(Reads({4}));
  Handle(Reads({5}));
  Handle(OwnCommandArrived{kGroup, "x"});
  std::string staged;
  loop_->Handle(CheckpointStaged{{kGroup, raft::ReplicaId(2), raft::ReplicaId(1), raft::NodeId(1),
                                  raft::Term(1), raft::CheckpointArrived{}},
                                 "/staged",
                                 [&](std::string why) { staged = std::move(why); }});
  loop_->Abandon();
  EXPECT_FALSE(staged.empty());
  EXPECT_THAT(replies_->Take(), ::testing::UnorderedElementsAre("2 UNAVAILABLE NOT_APPLIED",
                                                                "3 UNAVAILABLE NOT_APPLIED",
                                                                "4 UNAVAILABLE", "5 UNAVAILABLE"));
  loop_->Abandon();
  EXPECT_THAT(replies_->Take(), IsEmpty());
}

TEST_F(GroupLoopTest, CheckpointsForOthersOrTwiceAreRefused) {
  Make(3);
  Persist();
  std::vector<std::string> answers;
  const auto stage = [&](uint64_t group, uint64_t to, uint64_t index) {
    raft::LogBase base{raft::LogIndex(index), raft::Term(1), {}};
    base.configuration.members = {{raft::ReplicaId(1), raft::NodeId(1), raft::MemberRole::kVoter}};
    loop_->Handle(CheckpointStaged{{raft::GroupId(group), raft::ReplicaId(2), raft::ReplicaId(to),
                                    raft::NodeId(1), raft::Term(1), raft::CheckpointArrived{base}},
                                   "/staged",
                                   [&](const std::string& why) { answers.push_back(why); }});
  };
  stage(7, 1, 10);
  stage(1, 3, 10);
  EXPECT_THAT(answers,
              ElementsAre("this node has no such replica", "this node has no such replica"));
  stage(1, 1, 10);
  stage(1, 1, 20);
  EXPECT_EQ(answers.back(), "another checkpoint is being installed");
  loop_->FinishTurn();
  const auto installs = around_.Take<InstallCheckpoint>();
  ASSERT_EQ(installs.size(), 1u);
  EXPECT_EQ(installs[0].base.index, raft::LogIndex(10));
  stage(1, 1, 30);
  loop_->FinishTurn();
  EXPECT_NE(answers.back(), "") << "one is being installed";
  Handle(CheckpointInstalled{kGroup, raft::LogIndex(10), raft::Term(1), {5, {}, {}}});
  stage(1, 1, 9);
  loop_->FinishTurn();
  EXPECT_EQ(answers.back(), "") << "it is here already";
  EXPECT_EQ(answers.size(), 5u) << "the one that was installed is answered by the apply loop";
}

// What a peer sent was no good: another one may come, and entries are applied meanwhile.
TEST_F(GroupLoopTest, ARefusedCheckpointLeavesTheReplicaAsItWas) {
  Make(3);
  Persist();
  FromPeer(2, 1,
           raft::AppendRequest{raft::LogIndex(0),
                               raft::Term(0),
                               raft::LogIndex(0),
                               raft::Round(1),
                               {{raft::LogIndex(1), raft::Term(1), raft::EntryKind::kNoOp, {}}}});
  Persist();
  std::vector<std::string> answers;
  const auto stage = [&](uint64_t index) {
    raft::LogBase base{raft::LogIndex(index), raft::Term(1), {}};
    base.configuration.members = {{raft::ReplicaId(1), raft::NodeId(1), raft::MemberRole::kVoter}};
    Handle(CheckpointStaged{{kGroup, raft::ReplicaId(2), raft::ReplicaId(1), raft::NodeId(1),
                             raft::Term(1), raft::CheckpointArrived{base}},
                            "/staged",
                            [&](const std::string& why) { answers.push_back(why); }});
  };
  stage(10);
  ASSERT_EQ(around_.Take<InstallCheckpoint>().size(), 1u);
  FromPeer(2, 1, raft::HeartbeatRequest{raft::LogIndex(1), raft::Round(2)});
  EXPECT_THAT(around_.Take<ApplyEntries>(), IsEmpty()) << "it waits for the install";
  Handle(CheckpointRefused{kGroup, raft::LogIndex(10)});
  const auto applies = around_.Take<ApplyEntries>();
  ASSERT_EQ(applies.size(), 1u);
  EXPECT_EQ(applies[0].entries.back().index, raft::LogIndex(1));
  stage(10);
  EXPECT_EQ(around_.Take<InstallCheckpoint>().size(), 1u);
  EXPECT_THAT(answers, IsEmpty()) << "answered by the apply loop";
}

// It hears of its leader before it has a configuration that says where that lives.
TEST_F(GroupLoopTest, AReplicaWithoutMembersLearnsWhereItsLeaderIs) {
  Make(0);
  Persist();
  FromPeer(2, 4, raft::AppendRequest{});
  EXPECT_EQ(around_.leader, raft::NodeId(0));
  raft::LogBase base{raft::LogIndex(10), raft::Term(4), {}};
  for (uint64_t id = 1; id <= 2; ++id) {
    base.configuration.members.push_back(
        {raft::ReplicaId(id), raft::NodeId(10 * id), raft::MemberRole::kVoter});
  }
  Handle(CheckpointStaged{{kGroup, raft::ReplicaId(2), raft::ReplicaId(1), raft::NodeId(1),
                           raft::Term(4), raft::CheckpointArrived{base}},
                          "/staged",
                          [](const std::string&) {}});
  ASSERT_EQ(around_.Take<InstallCheckpoint>().size(), 1u);
  Handle(CheckpointInstalled{kGroup, raft::LogIndex(10), raft::Term(4), {0, {}, {}}});
  EXPECT_EQ(around_.leader, raft::NodeId(20));
  Handle(Writes({1}));
  ASSERT_EQ(replies_->all.size(), 1u);
  EXPECT_EQ(replies_->all[0].leader().node_id(), 20u);
}

class GroupLoopLeaseTest : public GroupLoopTest {
 protected:
  GroupLoopLeaseTest() { leases_ = true; }

  // Told in the request.
  ReadsArrived Insisting(uint64_t id) {
    ReadsArrived arrived = Reads({id});
    arrived.reads[0].request.mutable_get()->set_mode(v1::READ_MODE_READ_INDEX);
    return arrived;
  }
};

// Whose leader is on the node that is gone, does not wait for a random share of the timeout.
TEST_F(GroupLoopTest, MissedHeartbeatsAreCountedOnce) {
  Make(3, {.ticks_per_compaction_check = 1});
  const auto hear_after = [&](int ms) {
    clock_.now += std::chrono::milliseconds(ms);
    FromPeer(2, 1, raft::HeartbeatRequest{.round = raft::Round(1)});
    Handle(TickPassed{});
    Handle(TickPassed{});
    return loop_->counters().heartbeats_missed.load();
  };
  EXPECT_EQ(hear_after(0), 0u);
  EXPECT_EQ(hear_after(199), 0u);
  EXPECT_EQ(hear_after(350), 2u);
  EXPECT_EQ(hear_after(100), 2u);
  EXPECT_EQ(hear_after(200), 3u);
}

TEST_F(GroupLoopTest, AFollowerStandsInItsTurnOnceTheLinkToItsLeaderIsLost) {
  const auto asks_for_votes = [this](uint64_t lost) {
    Make(3);
    FromPeer(2, 1, raft::HeartbeatRequest{.round = raft::Round(1)});
    Persist();
    Handle(LinkLost{raft::NodeId(lost)});
    around_.sent.clear();
    clock_.now += kElectionTimeout - std::chrono::nanoseconds(1);
    for (int i = 0; i < 3; ++i) Handle(TickPassed{});
    EXPECT_EQ(around_.sent.size(), 0u) << "its promise lasts";
    clock_.now += std::chrono::nanoseconds(1);
    for (int i = 0; i < 2; ++i) Handle(TickPassed{});  // the first turn is replica 3's
    return !around_.sent.empty() &&
           std::holds_alternative<raft::VoteRequest>(around_.sent.front().body);
  };
  EXPECT_TRUE(asks_for_votes(2));
  EXPECT_FALSE(asks_for_votes(3));
}

TEST_F(GroupLoopLeaseTest, ReadsGoByTheLeaseWhileItLastsAndThenByARound) {
  MakeLeaderOfThree();
  around_.sends = 0;
  Handle(Reads({1, 2}));
  auto served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  ASSERT_EQ(served[0].reads.size(), 2u);
  EXPECT_EQ(served[0].index, raft::LogIndex(1));
  EXPECT_EQ(served[0].reads[0].confirmed_by, v1::READ_MODE_LEASE);
  EXPECT_EQ(around_.sends, 0) << "nobody is asked";

  // The clock is read when the request is there, not at the last tick.
  clock_.now += std::chrono::milliseconds(500);
  Handle(Reads({3}));
  EXPECT_THAT(around_.Take<ServeReads>(), IsEmpty());
  FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].reads.at(0).confirmed_by, v1::READ_MODE_READ_INDEX);
}

TEST_F(GroupLoopLeaseTest, WhoInsistsOnARoundGetsOne) {
  MakeLeaderOfThree();
  ReadsArrived both = Insisting(1);
  both.reads.push_back(Reads({2}).reads[0]);
  Handle(std::move(both));
  auto served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  ASSERT_EQ(served[0].reads.size(), 1u);
  EXPECT_EQ(served[0].reads[0].request.id(), 2u);
  FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].reads.at(0).request.id(), 1u);
}

TEST_F(GroupLoopLeaseTest, ALeaseIsPublishedBeforeAnythingRestsOnIt) {
  MakeLeaderOfThree();
  ASSERT_TRUE(around_.lease.has_value());
  EXPECT_EQ(around_.lease->commit, raft::LogIndex(1));
  Handle(Writes({1}));
  Persist();
  Acknowledge(2);
  ASSERT_EQ(around_.Take<ApplyEntries>().size(), 1u);
  ASSERT_TRUE(around_.leases_at_apply.back().has_value());
  EXPECT_EQ(around_.leases_at_apply.back()->commit, raft::LogIndex(2));
  // It is withdrawn before the vote for another can leave.
  around_.leases_at_send.clear();
  FromPeer(3, 2,
           raft::VoteRequest{.pre_vote = false,
                             .last_index = raft::LogIndex(2),
                             .last_term = raft::Term(1),
                             .transfer = true});
  Persist();
  ASSERT_FALSE(around_.leases_at_send.empty());
  for (const auto& lease : around_.leases_at_send) EXPECT_FALSE(lease.has_value());
}

TEST_F(GroupLoopLeaseTest, ATransferIsAskedForAndTheLeaseEndsBeforeTheWordLeaves) {
  MakeLeaderOfThree();
  std::vector<raft::TransferAnswer> answers;
  const auto ask = [&](uint64_t group, uint64_t to) {
    Handle(TransferAsked{raft::GroupId(group), raft::ReplicaId(to),
                         [&](raft::TransferAnswer answer) { answers.push_back(answer); }});
  };
  ask(2, 2);
  ask(1, 7);
  around_.leases_at_send.clear();
  around_.sent.clear();
  ask(1, 2);
  ask(1, 3);
  using raft::TransferAnswer;
  EXPECT_THAT(answers, ElementsAre(TransferAnswer::kNotLeader, TransferAnswer::kNotAVoter,
                                   TransferAnswer::kStarted, TransferAnswer::kUnderWay));
  EXPECT_EQ(loop_->counters().transfers, 1u);
  const bool told = std::any_of(around_.sent.begin(), around_.sent.end(), [](const auto& message) {
    return std::holds_alternative<raft::TimeoutNow>(message.body);
  });
  EXPECT_TRUE(told) << "the target had everything";
  for (const auto& lease : around_.leases_at_send) EXPECT_FALSE(lease.has_value());
}

// Entry `index` of replica 2, which leads in term 4, and everything committed.
raft::AppendRequest CommittedEntry(uint64_t index, size_t bytes = 10) {
  raft::AppendRequest append;
  append.previous_index = raft::LogIndex(index - 1);
  append.previous_term = raft::Term(index == 1 ? 0 : 4);
  append.commit = raft::LogIndex(index);
  append.entries.push_back({raft::LogIndex(index), raft::Term(4), raft::EntryKind::kCommands,
                            raft::MakePayload(std::string(bytes, 'p'))});
  return append;
}

TEST_F(GroupLoopLeaseTest, NobodyWakesAFollowerToApplyWhatNobodyWaitsFor) {
  Make(3, {.quiet_bytes_max = 1000});
  Persist();
  uint64_t index = 0;
  const auto append = [&](size_t bytes) {
    FromPeer(2, 4, CommittedEntry(++index, bytes));
    Persist();
  };
  append(10);
  append(10);
  EXPECT_EQ(around_.Take<ApplyEntries>().size(), 2u) << "it is there when the thread looks";
  EXPECT_EQ(around_.apply_wake_ups, 0);
  append(2000);
  EXPECT_EQ(around_.apply_wake_ups, 1) << "so much may not wait";
  append(10);
  EXPECT_EQ(around_.apply_wake_ups, 1);

  Handle(Insisting(1));
  const auto* asked = std::get_if<raft::ReadRequest>(&around_.sent.back().body);
  ASSERT_NE(asked, nullptr);
  FromPeer(2, 4, raft::ReadReply{asked->id, asked->life, true, raft::LogIndex(index + 2)});
  EXPECT_EQ(around_.apply_wake_ups, 2) << "a read";
  append(10);
  EXPECT_EQ(around_.apply_wake_ups, 3) << "it waits for what comes next";
  append(10);
  EXPECT_EQ(around_.apply_wake_ups, 4) << "and for this";
  append(10);
  EXPECT_EQ(around_.apply_wake_ups, 4) << "but not for that";
}

TEST_F(GroupLoopTest, WritesThatADeposedLeaderProposedAreNotLeftToWait) {
  MakeLeaderOfThree();
  Handle(Writes({1}));
  Persist();
  around_.apply_wake_ups = 0;
  raft::AppendRequest append = CommittedEntry(2);
  append.previous_term = raft::Term(1);
  FromPeer(3, 4, std::move(append));
  Persist();
  EXPECT_EQ(around_.apply_wake_ups, 2) << "it leads no more, and another entry stands in its place";
}

TEST_F(GroupLoopLeaseTest, AFollowerAsksItsLeaderForARound) {
  Make(3);
  Persist();
  FromPeer(2, 4, raft::HeartbeatRequest{});
  Handle(Reads({1}));
  EXPECT_THAT(replies_->Take(), ElementsAre("1 NOT_LEADER")) << "only on request";
  around_.sent.clear();
  Handle(Insisting(2));
  ASSERT_FALSE(around_.sent.empty());
  const auto* asked = std::get_if<raft::ReadRequest>(&around_.sent.back().body);
  ASSERT_NE(asked, nullptr);
  FromPeer(2, 4, raft::ReadReply{asked->id, asked->life, true, raft::LogIndex(9)});
  const auto served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].index, raft::LogIndex(9));
  EXPECT_EQ(served[0].reads.at(0).confirmed_by, v1::READ_MODE_READ_INDEX);

  Handle(Insisting(3));
  FromPeer(3, 5, raft::HeartbeatRequest{});
  EXPECT_THAT(replies_->Take(), ElementsAre("3 NOT_LEADER")) << "the leader changed";
}

// What it is to send to followers is called off by that.
TEST_F(GroupLoopTest, TheFeedHearsWhichTermIsLed) {
  MakeLeaderOfThree();
  EXPECT_THAT(around_.led_terms, ElementsAre(raft::Term(1)));
  FromPeer(2, 2, raft::HeartbeatRequest{});
  FromPeer(3, 3, raft::HeartbeatRequest{});
  EXPECT_THAT(around_.led_terms, ElementsAre(raft::Term(1), std::nullopt));
}

TEST_F(GroupLoopTest, OneSendAndOneAppendATurn) {
  MakeLeaderOfThree();
  around_.sends = 0;
  around_.appends.clear();
  loop_->Handle(Writes({1}));
  loop_->Handle(Writes({2}));
  loop_->Handle(Reads({3}));
  loop_->Handle(TickPassed{});
  loop_->FinishTurn();
  EXPECT_EQ(around_.sends, 1);
  EXPECT_EQ(around_.appends.size(), 1u);
}

// Whoever waits is refused; what was on its way to the replica is nobody's any more.
TEST_F(GroupLoopTest, AGroupThatIsRemovedIsForgotten) {
  MakeLeaderOfThree();
  Handle(Writes({1}));
  ASSERT_FALSE(around_.appends.empty());
  Handle(Reads({2}));
  bool removed = false;
  Handle(GroupRemoved{kGroup, [&] { removed = true; }});
  EXPECT_TRUE(removed);
  EXPECT_EQ(around_.led_terms.back(), std::nullopt);
  EXPECT_EQ(around_.leader, raft::NodeId(0));
  EXPECT_THAT(replies_->Take(), ElementsAre("2 NOT_LEADER"));  // 1 waits at the apply loop
  const size_t sent = around_.sent.size();
  Persist();
  Handle(EntriesApplied{kGroup, raft::LogIndex(2), raft::Term(1), {0, {}, {}}});
  Handle(EntriesFetched{kGroup, raft::ReplicaId(2), {}});
  Handle(CheckpointSent{kGroup, raft::ReplicaId(2), raft::Term(1), std::nullopt});
  Handle(CheckpointInstalled{kGroup, raft::LogIndex(5), raft::Term(1), {0, {}, {}}});
  Handle(CheckpointRefused{kGroup, raft::LogIndex(5)});
  Handle(StateFlushed{kGroup, raft::ReplicaId(1), raft::LogIndex(5)});
  Handle(TickPassed{});
  FromPeer(2, 9, raft::VoteRequest{});
  EXPECT_EQ(around_.sent.size(), sent);
  Handle(Writes({3}));
  EXPECT_THAT(replies_->Take(), ElementsAre("3 NOT_LEADER NOT_APPLIED"));
  Handle(GroupRemoved{kGroup, [] {}});  // again: nothing to do
}

TEST_F(GroupLoopTest, MembersChangeAtTheLeaderAndMessagesReachTheNewOne) {
  using Answer = std::variant<raft::Proposed, raft::ChangeRefusal>;
  std::vector<Answer> answers;
  const auto ask = [&](raft::GroupId group, raft::Configuration target) {
    Handle(MembershipChangeAsked{group, std::move(target),
                                 [&](Answer answer) { answers.push_back(answer); }});
    return answers.back();
  };
  MakeLeaderOfThree();
  raft::Configuration target;
  for (uint64_t id = 1; id <= 4; ++id) {
    target.members.push_back({raft::ReplicaId(id), raft::NodeId(id == 4 ? 9 : id),
                              id == 4 ? raft::MemberRole::kLearner : raft::MemberRole::kVoter});
  }
  EXPECT_EQ(std::get<raft::ChangeRefusal>(ask(raft::GroupId(99), target)),
            raft::ChangeRefusal::kNotLeader);
  around_.sent.clear();
  EXPECT_EQ(std::get<raft::Proposed>(ask(kGroup, target)).index, raft::LogIndex(2));
  EXPECT_EQ(std::get<raft::ChangeRefusal>(ask(kGroup, target)),
            raft::ChangeRefusal::kChangeUnderWay);
  EXPECT_EQ(answers.size(), 3u) << "each is answered once";
  const auto to_new = std::find_if(around_.sent.begin(), around_.sent.end(),
                                   [](const auto& m) { return m.to == raft::ReplicaId(4); });
  ASSERT_NE(to_new, around_.sent.end());
  EXPECT_EQ(to_new->to_node, raft::NodeId(9));
  EXPECT_EQ(to_new->from_node, raft::NodeId(1));
}

TEST_F(GroupLoopTest, AGroupCanBeAddedWhileTheOthersRun) {
  MakeLeaderAlone();
  raft::CoreOptions core;
  core.group = raft::GroupId(7);
  core.self = raft::ReplicaId(70);
  raft::RecoveredState recovered;
  recovered.base.configuration.members.push_back(
      {raft::ReplicaId(70), raft::NodeId(1), raft::MemberRole::kVoter});
  recovered.applied = recovered.base;
  Handle(GroupAdded{core, recovered, {}});
  std::vector<GroupState> states;
  Handle(StatesAsked{[&](std::vector<GroupState> all) { states = std::move(all); }});
  ASSERT_EQ(states.size(), 2u);
  EXPECT_EQ(states[1].replica, raft::ReplicaId(70));
}

}  // namespace
}  // namespace basalt::server
