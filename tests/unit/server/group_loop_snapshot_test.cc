// Reads at a timestamp in a group's loop: what they wait for, what they propose, and that no change
// of leaders makes one miss anything. And the clock that a leader tells.
#include <gmock/gmock.h>

#include <optional>

#include "server/shard/command_entry.h"
#include "tests/unit/server/group_loop_fixture.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Stamp At(uint64_t ms) { return ms << kStampCounterBits; }
// Of the fixture's clocks: the node's own began there, and it knows of a far later one.
constexpr uint64_t kOwnMs = 1000;
constexpr uint64_t kKnownMs = 1'700'000'000'000;

class GroupLoopSnapshotTest : public GroupLoopTest {
 protected:
  struct Entry {
    raft::LogIndex index;
    v1::CommandBatch batch;
  };

  ReadsArrived ReadsAt(const std::vector<std::pair<uint64_t, Stamp>>& ids) {
    ReadsArrived arrived{kGroup, {}};
    for (const auto& [id, at] : ids) {
      v1::Request request;
      request.set_id(id);
      if (id % 2 == 0) {
        request.mutable_scan()->set_at(at);
      } else {
        request.mutable_get()->set_key("k");
        request.mutable_get()->set_at(at);
      }
      arrived.reads.push_back({replies_, nullptr, clock_.now + kPatience, request});
    }
    return arrived;
  }
  ReadsArrived ClockAsked(uint64_t id, v1::ReadMode mode = v1::READ_MODE_DEFAULT) {
    ReadsArrived arrived{kGroup, {}};
    v1::Request request;
    request.set_id(id);
    request.mutable_clock()->set_mode(mode);
    arrived.reads.push_back({replies_, nullptr, clock_.now + kPatience, request});
    return arrived;
  }
  // All entries with commands that were handed to the log and are not durable yet.
  std::vector<Entry> Written() {
    std::vector<Entry> entries;
    for (const std::vector<raft::LogWrite>& writes : around_.appends) {
      for (const raft::LogWrite& write : writes) {
        for (const raft::Entry& entry : write.persist.entries) {
          if (entry.kind != raft::EntryKind::kCommands) continue;
          entries.push_back({entry.index, {}});
          EXPECT_TRUE(DecodeEntry(entry, entries.back().batch).ok());
        }
      }
    }
    return entries;
  }
  static Stamp CeilingIn(const Entry& entry) {
    return entry.batch.commands(0).raise_ceiling().ceiling();
  }
  void Applied(uint64_t index, uint64_t term, Stamp highest_stamp, Stamp ceiling) {
    Handle(EntriesApplied{
        kGroup, raft::LogIndex(index), raft::Term(term), {highest_stamp, {}, {}, ceiling}});
  }
  // "index: ids" of what was given to the apply loop.
  std::vector<std::string> Served() {
    std::vector<std::string> texts;
    for (const ServeReads& work : around_.Take<ServeReads>()) {
      std::string text = std::to_string(work.index.value()) + ":";
      for (const PendingRead& read : work.reads) {
        EXPECT_EQ(read.confirmed_by, v1::READ_MODE_SNAPSHOT);
        text += " " + std::to_string(read.request.id());
      }
      texts.push_back(std::move(text));
    }
    return texts;
  }
};

TEST_F(GroupLoopSnapshotTest, ALeaderReadsOnceACeilingAboveTheTimestampIsApplied) {
  MakeLeaderAlone();
  Handle(ReadsAt({{1, At(2000)}, {2, At(2000)}}));
  EXPECT_THAT(Served(), IsEmpty());
  const std::vector<Entry> written = Written();
  ASSERT_EQ(written.size(), 1u) << "one for both";
  EXPECT_EQ(CeilingIn(written[0]), At(kKnownMs + 5000));
  EXPECT_GT(written[0].batch.first_stamp(), At(2000)) << "the clock has passed it";
  Persist();
  EXPECT_THAT(Served(), IsEmpty()) << "committed is not applied";
  // As an apply loop would tell that has applied the entry, but for the stamp: by that alone the
  // shard would be closed.
  Applied(2, 1, 0, CeilingIn(written[0]));
  EXPECT_THAT(Served(), ElementsAre("1: 1 2"));
  Handle(ReadsAt({{3, At(2500)}, {5, At(3000)}}));
  EXPECT_THAT(Served(), ElementsAre("2: 3 5")) << "at once, below the same ceiling";
  EXPECT_EQ(loop_->counters().ceilings.load(), 1u);
  EXPECT_EQ(loop_->counters().snapshot_waits.load(), 2u);
  EXPECT_THAT(replies_->Take(), IsEmpty());
}

TEST_F(GroupLoopSnapshotTest, WhatItProposedBeforeIsAppliedFirstAndTheRestIsStampedAbove) {
  MakeLeaderAlone();
  Applied(1, 1, 0, At(kKnownMs));
  Handle(Writes({1}));
  ASSERT_EQ(Written().size(), 1u);
  const Stamp before = Written()[0].batch.first_stamp();
  Handle(ReadsAt({{3, before}}));
  EXPECT_THAT(Served(), ElementsAre("2: 3")) << "the write may have that stamp";
  Handle(Writes({4}));
  ASSERT_EQ(Written().size(), 2u);
  EXPECT_GT(Written()[1].batch.first_stamp(), before);
}

// Else a snapshot at that timestamp shows a write that a transaction which only reads has missed.
TEST_F(GroupLoopSnapshotTest, AValidationSeesWhatWasProposedBeforeTheClockPassedItsTimestamp) {
  MakeLeaderAlone();
  Applied(1, 1, 0, At(kKnownMs));
  Handle(Writes({1}));
  ASSERT_EQ(Written().size(), 1u);
  ReadsArrived arrived{kGroup, {}};
  v1::Request request;
  request.set_id(3);
  request.mutable_validate()->set_pass(Written()[0].batch.first_stamp());
  arrived.reads.push_back({replies_, nullptr, clock_.now + kPatience, request});
  Handle(std::move(arrived));
  const std::vector<ServeReads> served = around_.Take<ServeReads>();
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0].index, raft::LogIndex(2)) << "the write is not committed yet";
}

TEST_F(GroupLoopSnapshotTest, ATimestampAheadOfItsClockMovesThat) {
  MakeLeaderAlone();
  Applied(1, 1, 0, At(kKnownMs));
  Handle(ReadsAt({{1, At(500'000)}}));
  EXPECT_THAT(Served(), ElementsAre("1: 1"));
  Handle(Writes({2}));
  EXPECT_GT(Written()[0].batch.first_stamp(), At(500'000));
}

TEST_F(GroupLoopSnapshotTest, AnyReplicaReadsWhereSomethingLaterIsApplied) {
  Make(3);
  Persist();
  Applied(0, 0, 700, 0);
  Handle(ReadsAt({{1, 699}, {2, 650}, {3, 700}}));
  EXPECT_THAT(Served(), ElementsAre("0: 1 2"));
  EXPECT_THAT(replies_->Take(), ElementsAre("3 NOT_LEADER"));
}

TEST_F(GroupLoopSnapshotTest, ATimestampFarAheadOfAllTimeIsRefusedAndMovesNoClock) {
  MakeLeaderAlone();
  Handle(ReadsAt({{1, At(kKnownMs + 10'001)}, {3, At(kKnownMs + 10'000)}}));
  ASSERT_EQ(replies_->all.size(), 1u);
  EXPECT_EQ(replies_->all[0].code(), v1::CODE_UNAVAILABLE);
  EXPECT_THAT(replies_->all[0].message(), HasSubstr("far above the time"));
  EXPECT_GT(replies_->all[0].retry_after_ms(), 0u);
  EXPECT_THAT(replies_->Take(), ElementsAre("1 UNAVAILABLE"));
  ASSERT_EQ(Written().size(), 1u);
  EXPECT_EQ(CeilingIn(Written()[0]), At(kKnownMs + 10'000) + 1) << "just above the timestamp";
  EXPECT_LT(Written()[0].batch.first_stamp(), At(kKnownMs + 10'001));
}

// An entry of a later leader is applied before the leader of old hears of that one otherwise. The
// later one may yet write between the timestamp and its ceiling.
TEST_F(GroupLoopSnapshotTest, ACeilingOfALaterLeaderDoesNotServeTheReadsOfAnEarlierOne) {
  MakeLeaderOfThree();
  Handle(ReadsAt({{1, At(2000)}}));
  ASSERT_EQ(Written().size(), 1u);
  Applied(1, 2, 0, At(kKnownMs));
  EXPECT_THAT(Served(), IsEmpty());
  FromPeer(3, 2, raft::HeartbeatRequest{});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 NOT_LEADER"));
  EXPECT_THAT(Served(), IsEmpty());
}

TEST_F(GroupLoopSnapshotTest, OneThatLosesItsLeadershipRefusesThoseThatWait) {
  MakeLeaderOfThree();
  Handle(ReadsAt({{1, At(2000)}, {2, At(3000)}}));
  EXPECT_THAT(replies_->Take(), IsEmpty());
  FromPeer(3, 2, raft::HeartbeatRequest{});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 NOT_LEADER", "2 NOT_LEADER"));
}

// What it handed over before it lost its leadership waits for its place in the log, whatever comes
// to stand there.
TEST_F(GroupLoopSnapshotTest, BeforeItServesALeaderKeepsThemWaiting) {
  Make(3);
  Persist();
  FromPeer(2, 1, raft::VoteReply{.pre_vote = true, .granted = true});
  Persist();
  FromPeer(2, 1, raft::VoteReply{.pre_vote = false, .granted = true});
  Persist();
  Handle(ReadsAt({{1, At(2000)}}));
  EXPECT_THAT(Written(), IsEmpty()) << "it may propose nothing yet";
  EXPECT_THAT(Served(), IsEmpty());
  Acknowledge(1);
  Applied(1, 1, 0, At(9000));
  EXPECT_THAT(Served(), ElementsAre("1: 1")) << "below the ceiling of an earlier leader";
}

TEST_F(GroupLoopSnapshotTest, ANewLeaderBeginsAboveTheCeiling) {
  Make(3);
  Persist();
  Applied(0, 0, At(kOwnMs) + 5, At(5000));
  FromPeer(2, 1, raft::VoteReply{.pre_vote = true, .granted = true});
  Persist();
  FromPeer(2, 1, raft::VoteReply{.pre_vote = false, .granted = true});
  Persist();
  Handle(Writes({1}));
  Acknowledge(1);
  Applied(1, 1, 0, At(6000));
  ASSERT_EQ(Written().size(), 1u);
  EXPECT_GT(Written()[0].batch.first_stamp(), At(6000));
  EXPECT_EQ(loop_->counters().ceilings_passed.load(), 1u);
}

TEST_F(GroupLoopSnapshotTest, ItsOwnCeilingClosesNothingForALeader) {
  MakeLeaderAlone();
  Applied(1, 1, 0, At(kKnownMs));
  Handle(Writes({1}));
  EXPECT_LT(Written()[0].batch.first_stamp(), At(kOwnMs + 1000));
}

TEST_F(GroupLoopSnapshotTest, DeadlinesHoldForThoseThatWait) {
  MakeLeaderAlone();
  Handle(ReadsAt({{1, At(2000)}}));
  clock_.now += kPatience - milliseconds(1);
  Handle(TickPassed{});
  EXPECT_THAT(replies_->Take(), IsEmpty());
  clock_.now += milliseconds(1);
  Handle(TickPassed{});
  EXPECT_THAT(replies_->Take(), ElementsAre("1 DEADLINE"));
}

TEST_F(GroupLoopSnapshotTest, ANodeThatStopsRefusesThoseThatWait) {
  MakeLeaderAlone();
  Handle(ReadsAt({{1, At(2000)}}));
  loop_->Abandon();
  EXPECT_THAT(replies_->Take(), ElementsAre("1 UNAVAILABLE"));
}

TEST_F(GroupLoopSnapshotTest, ALeadersClockIsToldOnceARoundHasConfirmedThatItLeads) {
  MakeLeaderOfThree();
  Applied(1, 1, At(400'000), 0);
  Handle(ClockAsked(1));
  EXPECT_THAT(replies_->all, IsEmpty());
  FromPeer(2, 1, raft::HeartbeatReply{.round = NewestRound()});
  ASSERT_EQ(replies_->all.size(), 1u);
  EXPECT_EQ(replies_->all[0].code(), v1::CODE_OK);
  EXPECT_EQ(replies_->all[0].mode(), v1::READ_MODE_READ_INDEX);
  EXPECT_GE(replies_->all[0].clock(), At(400'000)) << "above all that it has applied";
  EXPECT_THAT(around_.Take<ServeReads>(), IsEmpty());
}

TEST_F(GroupLoopSnapshotTest, ALeadersClockIsAtOrAboveWhatItHasProposed) {
  MakeLeaderAlone();
  Handle(Writes({1, 2, 3}));
  const Entry entry = Written()[0];
  Persist();
  Handle(ClockAsked(4));
  ASSERT_EQ(replies_->all.size(), 1u);
  EXPECT_GE(replies_->all[0].clock(), entry.batch.first_stamp() + 2);
}

TEST_F(GroupLoopSnapshotTest, WhoDoesNotLeadTellsNoClock) {
  Make(3);
  Persist();
  Handle(ClockAsked(1));
  Handle(ClockAsked(2, v1::READ_MODE_READ_INDEX));
  EXPECT_THAT(replies_->Take(), ElementsAre("1 NOT_LEADER", "2 NOT_LEADER"));
}

}  // namespace
}  // namespace basalt::server
