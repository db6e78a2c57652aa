// The apply loop over a real replica in memory: who is told what became of an entry.
#include "server/node/apply_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/server/fake_clock.h"
#include "tests/unit/server/noted_replies.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::NotedReplies;

const raft::GroupId kGroup(1);

class Inbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override { events.push_back(std::move(event)); }
  std::vector<GroupEvent> events;
};

class ApplyLoopTest : public ::testing::Test {
 protected:
  ApplyLoopTest() {
    EXPECT_TRUE(ReplicaStateMachine::Create({files_, engines_}, "/shard", testing::Descriptor(1),
                                            FoundingConfiguration(testing::Descriptor(1)))
                    .ok());
    machine_ = testing::OpenShard({files_, engines_}, "/shard", &loop_);
    loop_.AddReplica(*machine_);
  }

  std::vector<std::string> Handle(ApplyWork work) {
    loop_.Handle(std::move(work));
    loop_.FinishRound();
    return replies_->Take();
  }
  // The entry `index` of `term` with one put for each of `ids`.
  std::vector<std::string> Apply(uint64_t index, uint64_t term, const std::vector<uint64_t>& ids) {
    testing::EntryBuilder builder(index, index * 100);
    for (const uint64_t id : ids) builder.Put("k" + std::to_string(id), "v" + std::to_string(id));
    raft::Entry entry = ids.empty() ? testing::NoOpEntry(index) : builder.Build();
    entry.term = raft::Term(term);
    return Handle(ApplyEntries{kGroup, {entry}});
  }
  WritesProposed Proposed(uint64_t index, uint64_t term, const std::vector<uint64_t>& ids) {
    WritesProposed proposed{kGroup, raft::LogIndex(index), raft::Term(term), {}};
    for (const uint64_t id : ids) {
      proposed.writes.push_back({replies_, nullptr, id, clock_.now + seconds(5), {}});
    }
    return proposed;
  }
  ServeReads Reads(uint64_t index, const std::vector<uint64_t>& ids) {
    ServeReads reads{kGroup, raft::LogIndex(index), {}};
    for (const uint64_t id : ids) {
      v1::Request request;
      request.set_id(id);
      request.mutable_get()->set_key("k" + std::to_string(id));
      reads.reads.push_back({replies_, nullptr, clock_.now + seconds(5), request});
    }
    return reads;
  }
  // A checkpoint of a replica that has applied entries 1 to `last`, in `directory`.
  raft::LogBase MakeCheckpoint(const std::string& directory, uint64_t last) {
    const std::string shard = directory + "-shard";
    EXPECT_TRUE(ReplicaStateMachine::Create({files_, engines_}, shard, testing::Descriptor(1),
                                            FoundingConfiguration(testing::Descriptor(1)))
                    .ok());
    const auto machine = testing::OpenShard({files_, engines_}, shard);
    for (uint64_t index = 1; index <= last; ++index) {
      const raft::Entry entry = testing::EntryBuilder(index, index * 100).Put("k", "v").Build();
      EXPECT_TRUE(testing::ApplyOne(*machine, entry).ok());
    }
    const auto base = machine->CreateCheckpoint(directory);
    EXPECT_TRUE(base.ok());
    return *base;
  }

  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  testing::FakeClock clock_;
  Inbox inbox_;
  std::vector<absl::Status> stopped_;
  std::vector<std::string> refused_;
  ApplyLoop loop_{{inbox_, clock_,
                   [](uint64_t shard) {
                     v1::LeaderHint hint;
                     hint.set_shard_id(shard);
                     hint.set_node_id(3);
                     return hint;
                   },
                   [this](const absl::Status& why) { stopped_.push_back(why); }, nullptr,
                   [this](raft::GroupId group, const absl::Status& why) {
                     EXPECT_EQ(group, kGroup);
                     refused_.push_back(base::Message(why));
                   }}};
  std::unique_ptr<ReplicaStateMachine> machine_;
  std::shared_ptr<NotedReplies> replies_ = std::make_shared<NotedReplies>();
};

TEST_F(ApplyLoopTest, WritesAreAnsweredWhenApplied) {
  EXPECT_THAT(Handle(Proposed(1, 1, {7, 8})), IsEmpty());
  loop_.Handle(
      ApplyEntries{kGroup, {testing::EntryBuilder(1, 500).Put("k7", "a").Delete("k7").Build()}});
  loop_.FinishRound();
  ASSERT_EQ(replies_->all.size(), 2u);
  EXPECT_EQ(replies_->all[0].write().version(), 500u);
  EXPECT_EQ(replies_->all[1].write().version(), 501u);
  EXPECT_TRUE(replies_->all[1].write().existed());
  EXPECT_GE(replies_->all[1].clock(), 501u);
  EXPECT_EQ(replies_->deliveries, 1);
  EXPECT_THAT(replies_->Take(), ElementsAre("7 OK APPLIED", "8 OK APPLIED"));
  const auto& applied = std::get<EntriesApplied>(inbox_.events.at(0));
  EXPECT_EQ(applied.index, raft::LogIndex(1));
  EXPECT_EQ(applied.totals.highest_stamp, 501u);
}

// Of a deletion it has no version to tell; what its client does next lies above it all the same.
TEST_F(ApplyLoopTest, AWriteThatCameToNothingTellsHowFarItsShardIs) {
  Handle(Proposed(1, 1, {1, 2, 3, 4, 5}));
  v1::Condition one;
  one.set_version(1);
  loop_.Handle(ApplyEntries{kGroup,
                            {testing::EntryBuilder(1, 500)
                                 .Put("k", "a")
                                 .Delete("k")
                                 .Set("k", one, "b")
                                 .Put("n", "x")
                                 .Increment("n", 1)
                                 .Build()}});
  loop_.FinishRound();
  ASSERT_EQ(replies_->all.size(), 5u);
  EXPECT_EQ(replies_->all[2].code(), v1::CODE_CONDITION_FAILED);
  EXPECT_EQ(replies_->all[2].write().version(), 0u);
  EXPECT_GE(replies_->all[2].clock(), 501u);
  EXPECT_EQ(replies_->all[4].code(), v1::CODE_NOT_A_NUMBER);
  EXPECT_GE(replies_->all[4].clock(), 503u);
}

// Hazard 52: a leader is deposed after proposing.
TEST_F(ApplyLoopTest, WhoAsksIsToldWhatTheFirstRunGave) {
  Handle(Proposed(1, 1, {1, 2, 3, 4, 5, 6, 7}));
  testing::EntryBuilder entry(1, 500);
  entry.Fence(3).As(1, 1, 1).Put("k", "late").As(1, 1, 1);
  entry.Increment("n", 4).As(1, 2, 1).Fence(3).As(1, 2, 1);
  entry.Put("n", "x").Increment("n", 1).As(1, 3, 1).Fence(3).As(1, 3, 1);
  loop_.Handle(ApplyEntries{kGroup, {entry.Build()}});
  loop_.FinishRound();
  ASSERT_EQ(replies_->all.size(), 7u);
  EXPECT_EQ(replies_->all[3].write().version(), 502u);
  EXPECT_EQ(replies_->all[3].write().number(), 4);
  EXPECT_THAT(replies_->all[0].message(), HasSubstr("never runs"));
  EXPECT_THAT(
      replies_->Take(),
      ElementsAre("1 FENCED NOT_APPLIED", "2 FENCED NOT_APPLIED", "3 OK APPLIED", "4 OK APPLIED",
                  "5 OK APPLIED", "6 NOT_A_NUMBER NOT_APPLIED", "7 NOT_A_NUMBER NOT_APPLIED"));
}

TEST_F(ApplyLoopTest, AnotherWriteOfANumberIsToldSo) {
  Handle(Proposed(1, 1, {1, 2, 3}));
  testing::EntryBuilder entry(1, 500);
  entry.Put("k", "a").As(1, 1, 1).Put("k", "b").As(1, 1, 1).Put("k", "a").As(1, 1, 1);
  loop_.Handle(ApplyEntries{kGroup, {entry.Build()}});
  loop_.FinishRound();
  EXPECT_THAT(replies_->all.at(1).message(), HasSubstr("a request is for one write"));
  EXPECT_THAT(replies_->Take(),
              ElementsAre("1 OK APPLIED", "2 ANOTHER_RAN NOT_APPLIED", "3 OK APPLIED"));
}

TEST_F(ApplyLoopTest, AnotherEntryAtThatIndexIsNotSuccess) {
  Handle(Proposed(1, 1, {7}));
  Handle(Proposed(2, 1, {8}));
  EXPECT_THAT(Apply(1, 2, {}), ElementsAre("7 NOT_LEADER NOT_APPLIED"));
  EXPECT_THAT(Apply(2, 2, {9}), ElementsAre("8 NOT_LEADER NOT_APPLIED"));
}

TEST_F(ApplyLoopTest, LostEntryNamesTheLeader) {
  Handle(Proposed(1, 1, {7}));
  raft::Entry entry = testing::NoOpEntry(1);
  entry.term = raft::Term(2);
  loop_.Handle(ApplyEntries{kGroup, {entry}});
  loop_.FinishRound();
  EXPECT_EQ(replies_->all.at(0).leader().node_id(), 3u);
}

// The same entry, carried on by the next leader.
TEST_F(ApplyLoopTest, SameEntryCommittedByTheNextLeaderIsSuccess) {
  Handle(Proposed(1, 1, {7}));
  testing::EntryBuilder first(1, 100);
  raft::Entry old = first.Put("k7", "v").Build();
  raft::Entry no_op = testing::NoOpEntry(2);
  no_op.term = raft::Term(2);
  EXPECT_THAT(Handle(ApplyEntries{kGroup, {old, no_op}}), ElementsAre("7 OK APPLIED"));
}

// A write proposed anew at the index of one that was lost.
TEST_F(ApplyLoopTest, TwoProposalsAtOneIndexAreToldApart) {
  Handle(Proposed(1, 1, {7}));
  Handle(Proposed(1, 3, {8}));
  EXPECT_THAT(Apply(1, 3, {8}),
              ::testing::UnorderedElementsAre("7 NOT_LEADER NOT_APPLIED", "8 OK APPLIED"));
}

TEST_F(ApplyLoopTest, ReadsWaitForTheirIndex) {
  EXPECT_THAT(Handle(Reads(2, {7})), IsEmpty());
  EXPECT_THAT(Handle(Reads(0, {7})), ElementsAre("7 OK -"));
  EXPECT_THAT(Apply(1, 1, {7}), IsEmpty());
  EXPECT_THAT(Apply(2, 1, {8}), ElementsAre("7 OK =v7"));
  EXPECT_THAT(Handle(Reads(2, {8, 9})), ElementsAre("8 OK =v8", "9 OK -"));
}

TEST_F(ApplyLoopTest, DeadlinesLeaveWritesUnknown) {
  Handle(Proposed(1, 1, {7}));
  Handle(Reads(1, {8}));
  EXPECT_THAT(Handle(SweepDeadlines{}), IsEmpty());
  clock_.now += seconds(5);
  EXPECT_THAT(Handle(SweepDeadlines{}), ElementsAre("7 DEADLINE UNKNOWN", "8 DEADLINE"));
  EXPECT_THAT(Handle(SweepDeadlines{}), IsEmpty()) << "once";
  EXPECT_THAT(Apply(1, 1, {7}), IsEmpty()) << "answered already";
  ServeReads late = Reads(1, {9});
  clock_.now += seconds(6);
  EXPECT_THAT(Handle(std::move(late)), ElementsAre("9 DEADLINE"));
}

TEST_F(ApplyLoopTest, CheckpointOverPendingWritesLeavesThemUnknown) {
  Handle(Proposed(3, 1, {7}));
  Handle(Proposed(6, 1, {8}));
  Handle(Reads(4, {9}));
  const raft::LogBase base = MakeCheckpoint("/staged", 5);
  std::vector<std::string> done;
  EXPECT_THAT(Handle(InstallCheckpoint{kGroup, base, "/staged",
                                       [&](const std::string& why) { done.push_back(why); }}),
              ElementsAre("7 UNAVAILABLE UNKNOWN", "9 OK -"));
  EXPECT_THAT(done, ElementsAre(""));
  const auto& installed = std::get<CheckpointInstalled>(inbox_.events.at(0));
  EXPECT_EQ(installed.index, raft::LogIndex(5));
  EXPECT_EQ(installed.totals.highest_stamp, 500u);
  EXPECT_THAT(Apply(6, 1, {8}), ElementsAre("8 OK APPLIED"));
}

// A peer's bytes: no reason to end.
TEST_F(ApplyLoopTest, ACheckpointThatIsNotWhatItsSenderSaidIsRefused) {
  Apply(1, 1, {7});
  Handle(Proposed(2, 1, {8}));
  Handle(Reads(5, {9}));
  inbox_.events.clear();
  std::vector<std::string> done;
  const auto install = [&](const raft::LogBase& base, const std::string& directory) {
    EXPECT_THAT(Handle(InstallCheckpoint{kGroup, base, directory,
                                         [&](const std::string& why) { done.push_back(why); }}),
                IsEmpty())
        << "nobody's write or read was decided";
    EXPECT_EQ(std::get<CheckpointRefused>(inbox_.events.back()).index, base.index);
  };
  raft::LogBase said = MakeCheckpoint("/staged", 5);
  said.index = raft::LogIndex(6);
  install(said, "/staged");
  const raft::LogBase spoiled = MakeCheckpoint("/spoiled", 5);
  files_.FlipBit("/spoiled/IMAGE", 300);
  install(spoiled, "/spoiled");
  EXPECT_EQ(inbox_.events.size(), 2u);
  ASSERT_EQ(refused_.size(), 2u);
  EXPECT_THAT(refused_[0], HasSubstr("a checkpoint of entry 5, term 1"));
  EXPECT_THAT(refused_[1], HasSubstr("is damaged"));
  EXPECT_EQ(done, refused_);
  EXPECT_THAT(stopped_, IsEmpty());
  EXPECT_EQ(loop_.counters().checkpoints_installed.load(), 0u);
  EXPECT_THAT(Apply(2, 1, {8}), ElementsAre("8 OK APPLIED"));
}

TEST_F(ApplyLoopTest, AbandonAnswersEverybodyOnce) {
  Handle(Proposed(1, 1, {7, 8}));
  Handle(Reads(1, {9}));
  WritesProposed own = Proposed(2, 1, {10});
  own.writes[0].sink = nullptr;
  Handle(std::move(own));
  loop_.Abandon();
  EXPECT_THAT(replies_->Take(),
              ElementsAre("7 UNAVAILABLE UNKNOWN", "8 UNAVAILABLE UNKNOWN", "9 UNAVAILABLE"));
  loop_.Abandon();
  EXPECT_THAT(replies_->Take(), IsEmpty());
}

// Hazard 67.
TEST_F(ApplyLoopTest, UnknownEntryStopsTheReplica) {
  raft::Entry entry = testing::NoOpEntry(1);
  entry.kind = static_cast<raft::EntryKind>(77);
  Handle(Proposed(1, 1, {7}));
  EXPECT_THAT(Handle(ApplyEntries{kGroup, {entry}}), IsEmpty());
  ASSERT_EQ(stopped_.size(), 1u);
  EXPECT_EQ(stopped_[0].code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(base::Message(stopped_[0]), HasSubstr("shard 1"));
  EXPECT_TRUE(inbox_.events.empty()) << "nothing was applied";
}

TEST_F(ApplyLoopTest, StatesAreOfOneMoment) {
  Apply(1, 1, {7});
  std::vector<AppliedState> states;
  Handle(AppliedStatesAsked{[&](std::vector<AppliedState> asked) { states = std::move(asked); }});
  ASSERT_EQ(states.size(), 1u);
  EXPECT_EQ(states[0].index, raft::LogIndex(1));
  EXPECT_EQ(states[0].highest_stamp, 100u);
  EXPECT_EQ(states[0].hash, machine_->applied_hash());
  uint64_t seen = 0;
  Handle(WithStateMachine{
      kGroup, [&](raft::StateMachine* machine) { seen = machine->applied().index.value(); }});
  EXPECT_EQ(seen, 1u);
}

TEST_F(ApplyLoopTest, AReplicaThatIsRemovedAnswersWhoWaits) {
  Apply(1, 1, {1});
  Handle(Proposed(2, 1, {2}));
  Handle(Reads(2, {3}));
  bool removed = false;
  EXPECT_THAT(Handle(ReplicaRemoved{kGroup, [&] { removed = true; }}),
              ElementsAre("2 UNAVAILABLE UNKNOWN", "3 UNAVAILABLE"));
  EXPECT_TRUE(removed);
  bool asked = false;
  Handle(WithStateMachine{kGroup, [&](raft::StateMachine* machine) {
                            asked = true;
                            EXPECT_EQ(machine, nullptr);
                          }});
  EXPECT_TRUE(asked);
  Handle(ReplicaRemoved{kGroup, [] {}});  // again: nothing to do
  Handle(ReplicaAdded{machine_.get()});
  Handle(Proposed(2, 1, {4}));
  EXPECT_THAT(Apply(2, 1, {4}), ElementsAre("4 OK APPLIED"));
}

TEST_F(ApplyLoopTest, AWriteThatAsksIsExplained) {
  const MonotonicTime start = clock_.now;
  const auto after = [&](int ms) { return start + milliseconds(ms); };
  WritesProposed proposed = Proposed(1, 1, {7, 8});
  for (PendingWrite& write : proposed.writes) {
    write.arrived = start;
    write.taken_up = after(1);
  }
  proposed.writes[0].explain = true;
  Handle(std::move(proposed));
  raft::Entry entry = testing::EntryBuilder(1, 100).Put("k7", "a").Put("k8", "b").Build();
  entry.term = raft::Term(1);
  ApplyEntries apply{kGroup, {entry}};
  const auto note = [&](uint64_t term, int proposed_at) {
    apply.noted.push_back(
        {raft::LogIndex(1),
         raft::Term(term),
         {.proposed = after(proposed_at), .durable = after(6), .committed = after(10)}});
  };
  note(1, 3);
  note(2, 4);  // another one that was proposed at that place
  clock_.now = after(15);
  loop_.Handle(std::move(apply));
  loop_.FinishRound();
  ASSERT_EQ(replies_->all.size(), 2u);
  EXPECT_FALSE(replies_->all[1].has_explanation()) << "it did not ask";
  const v1::Explanation& explanation = replies_->all[0].explanation();
  EXPECT_EQ(explanation.term(), 1u);
  std::vector<std::string> stages;
  for (const v1::StageTime& stage : explanation.stages()) {
    stages.push_back(stage.stage() + " " + std::to_string(stage.microseconds()));
  }
  EXPECT_THAT(stages, ElementsAre("take_up 1000", "gather 2000", "log 3000", "quorum 4000",
                                  "hand_over 5000", "apply 0", "reply 0"));
}

TEST_F(ApplyLoopTest, AReadThatAsksIsExplained) {
  Apply(1, 1, {4});
  ServeReads reads = Reads(1, {4, 5});
  reads.reads[1].request.set_explain(true);
  for (PendingRead& read : reads.reads) {
    read.arrived = clock_.now;
    read.taken_up = clock_.now + milliseconds(1);
    read.confirmed = clock_.now + milliseconds(3);
  }
  clock_.now += milliseconds(6);
  loop_.Handle(std::move(reads));
  clock_.now += milliseconds(2);
  loop_.FinishRound();
  ASSERT_EQ(replies_->all.size(), 2u);
  EXPECT_FALSE(replies_->all[0].has_explanation());
  std::vector<std::string> stages;
  for (const v1::StageTime& stage : replies_->all[1].explanation().stages()) {
    stages.push_back(stage.stage() + " " + std::to_string(stage.microseconds()));
  }
  EXPECT_THAT(stages, ElementsAre("take_up 1000", "confirm 2000", "hand_over 3000", "read 0",
                                  "reply 2000"));
}

// What a follower is given gathers; each test below says what ends that.
class GatheringTest : public ApplyLoopTest {
 protected:
  ApplyEntries Gather(uint64_t index) {
    raft::Entry entry = testing::EntryBuilder(index, index * 100)
                            .Put("k" + std::to_string(index), std::string(1000, 'v'))
                            .Build();
    entry.term = raft::Term(1);
    return {kGroup, {std::move(entry)}, /*awaited=*/false};
  }
  uint64_t applied() const { return machine_->applied().index.value(); }
};

TEST_F(GatheringTest, EndsAtItsTime) {
  Handle(Gather(1));
  clock_.now += milliseconds(100);
  Handle(Gather(2));
  Handle(SweepDeadlines{});
  EXPECT_EQ(applied(), 0u);
  EXPECT_TRUE(inbox_.events.empty());
  clock_.now += milliseconds(50);
  Handle(SweepDeadlines{});
  EXPECT_EQ(applied(), 2u);
  ASSERT_EQ(inbox_.events.size(), 1u);
  EXPECT_EQ(std::get<EntriesApplied>(inbox_.events[0]).index, raft::LogIndex(2));
  EXPECT_EQ(loop_.counters().entries, 2u);
  clock_.now += milliseconds(140);
  Handle(Gather(3));
  clock_.now += milliseconds(140);
  Handle(SweepDeadlines{});
  EXPECT_EQ(applied(), 2u) << "the time counts from the first that gathered since";
}

TEST_F(GatheringTest, EndsWhenItIsLarge) {
  uint64_t index = 0;
  while (index < 600 && applied() == 0) Handle(Gather(++index));
  EXPECT_EQ(applied(), index);
  EXPECT_GT(index, 100u);
  EXPECT_LT(index, 137u);
}

TEST_F(GatheringTest, EndsWithEntriesThatAreAwaited) {
  Handle(Gather(1));
  EXPECT_EQ(applied(), 0u);
  Apply(2, 1, {});
  EXPECT_EQ(applied(), 2u);
}

TEST_F(GatheringTest, EndsWhereAClientWaits) {
  Handle(Proposed(2, 1, {7}));
  EXPECT_THAT(Handle(Gather(1)), IsEmpty());
  EXPECT_EQ(applied(), 1u);
  EXPECT_THAT(Handle(Gather(2)), ElementsAre("7 OK APPLIED")) << "a leader that was deposed";
}

TEST_F(GatheringTest, EndsWithARead) {
  Handle(Gather(1));
  Handle(Gather(2));
  EXPECT_THAT(Handle(Reads(2, {2})), ElementsAre("2 OK =" + std::string(1000, 'v')));
  EXPECT_THAT(Handle(Reads(4, {4})), IsEmpty());
  Handle(Gather(3));
  EXPECT_EQ(applied(), 3u) << "a read waits for more";
  EXPECT_THAT(Handle(Gather(4)), ElementsAre("4 OK =" + std::string(1000, 'v')));
}

TEST_F(GatheringTest, EndsBeforeTheStateMachineIsLent) {
  Handle(Gather(1));
  uint64_t seen = 0;
  Handle(WithStateMachine{
      kGroup, [&](raft::StateMachine* machine) { seen = machine->applied().index.value(); }});
  EXPECT_EQ(seen, 1u);
}

TEST_F(GatheringTest, EndsBeforeAnInstall) {
  const raft::LogBase base = MakeCheckpoint("/staged", 5);
  Handle(Gather(1));
  std::string why;
  Handle(InstallCheckpoint{kGroup, base, "/staged", [&](const std::string& w) { why = w; }});
  EXPECT_EQ(why, "");
  EXPECT_EQ(applied(), 5u);
  Handle(Gather(6));
  clock_.now += seconds(1);
  Handle(SweepDeadlines{});
  EXPECT_EQ(applied(), 6u);
}

TEST_F(ApplyLoopTest, ScansAreServed) {
  Apply(1, 1, {1, 2, 3});
  ServeReads reads{kGroup, raft::LogIndex(1), {}};
  v1::Request request;
  request.set_id(5);
  request.mutable_scan()->set_rows_max(2);
  reads.reads.push_back({replies_, nullptr, clock_.now + seconds(5), request});
  loop_.Handle(std::move(reads));
  loop_.FinishRound();
  ASSERT_EQ(replies_->all.size(), 1u);
  const v1::ScanResult& scan = replies_->all[0].scan();
  ASSERT_EQ(scan.rows_size(), 2);
  EXPECT_EQ(scan.rows(1).key(), "k2");
  EXPECT_FALSE(scan.resume().empty());
  EXPECT_EQ(replies_->all[0].mode(), v1::READ_MODE_READ_INDEX);
}

}  // namespace
}  // namespace basalt::server
