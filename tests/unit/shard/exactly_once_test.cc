// A command with an id is applied once, whatever happens between the times that it comes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/slot.h"
#include "server/shard/command_mark.h"
#include "storage/state_rows.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using testing::ApplyOne;
using testing::Descriptor;
using testing::EngineBench;
using testing::EngineKind;
using testing::EntryBuilder;
using testing::NotedOutcomes;
using testing::OpenShard;

class ExactlyOnce : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override { machine_ = Make("r"); }

  std::unique_ptr<ReplicaStateMachine> Make(const std::string& name) {
    const v1::ShardDescriptor descriptor = Descriptor(7);
    EXPECT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path(name), descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
    return OpenShard(ports_, bench_.Path(name), &noted_);
  }
  // What the commands gave.
  std::string Apply(EntryBuilder& entry) {
    EXPECT_TRUE(ApplyOne(*machine_, entry.Build()).ok());
    const std::string text = noted_.Take();
    return text.substr(text.find(':') + 2, text.size() - text.find(':') - 3);
  }
  void Restart() {
    machine_->Flush();
    machine_.reset();
    machine_ = OpenShard(ports_, bench_.Path("r"), &noted_);
  }
  std::string Get(std::string_view key) {
    const auto value = ShardReads(machine_->store().engine()).Get(key);
    EXPECT_TRUE(value.ok()) << value.status();
    return *value ? fmt::format("{}@{}", (*value)->bytes, (*value)->version) : "absent";
  }
  EntryBuilder Next(uint64_t stamp) { return {++index_, stamp}; }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  std::unique_ptr<ReplicaStateMachine> machine_;
  uint64_t index_ = 0;
};

TEST_P(ExactlyOnce, ARetryGivesTheFirstResultAndChangesNothing) {
  EXPECT_EQ(Apply(Next(10).Put("a", "1").As(1, 1, 1)), "10");
  EXPECT_EQ(Apply(Next(20).Put("a", "2").As(2, 1, 1)), "20");
  EXPECT_EQ(Apply(Next(30).Put("a", "1").As(1, 1, 1)), "again-10");
  EXPECT_EQ(Get("a"), "2@20");
  EXPECT_EQ(Apply(Next(40).Delete("a").As(1, 2, 1)), "40+existed");
  EXPECT_EQ(Apply(Next(50).Delete("a").As(1, 2, 1)), "again-40+existed");
  Restart();
  EXPECT_EQ(Apply(Next(60).Delete("a").As(1, 2, 1).Put("a", "1").As(1, 1, 1)),
            "again-40+existed again-10");
  EXPECT_EQ(Get("a"), "absent");
}

TEST_P(ExactlyOnce, OfOneEntryTheFirstCounts) {
  EXPECT_EQ(
      Apply(Next(10).Put("a", "1").As(1, 1, 1).Put("a", "2").As(1, 2, 1).Put("a", "1").As(1, 1, 1)),
      "10 11 again-10");
  EXPECT_EQ(Get("a"), "2@11");
}

// It would be told that it is done.
TEST_P(ExactlyOnce, AnotherWriteUnderANumberThatRanIsRefused) {
  v1::Condition absent;
  absent.set_absent(true);
  v1::Condition first;
  first.set_version(10);
  EXPECT_EQ(Apply(Next(10).Put("a", "7").As(1, 1, 1)), "10");
  EXPECT_EQ(Apply(Next(20).Increment("n", 4).As(1, 2, 1)), "20=4");
  EXPECT_EQ(Apply(Next(30).Set("a", absent, "x").As(1, 3, 1)), "failed-10");
  for (int starts = 0; starts < 2; ++starts) {
    const uint64_t stamp = 40 + 30 * static_cast<uint64_t>(starts);
    EXPECT_EQ(Apply(Next(stamp)
                        .Put("a", "8")
                        .As(1, 1, 1)
                        .Put("b", "7")
                        .As(1, 1, 1)
                        .Delete("a")
                        .As(1, 1, 1)
                        .Increment("a", 7)
                        .As(1, 1, 1)),
              "another-ran another-ran another-ran another-ran");
    EXPECT_EQ(Apply(Next(stamp + 10)
                        .Increment("n", 5)
                        .As(1, 2, 1)
                        .Set("a", first, "x")
                        .As(1, 3, 1)
                        .Set("a", absent, "y")
                        .As(1, 3, 1)),
              "another-ran another-ran another-ran");
    EXPECT_EQ(Apply(Next(stamp + 20)
                        .Put("a", "7")
                        .As(1, 1, 1)
                        .Increment("n", 4)
                        .As(1, 2, 1)
                        .Set("a", absent, "x")
                        .As(1, 3, 1)),
              "again-10 again-20=4 again-failed-10");
    Restart();
  }
  EXPECT_EQ(Get("a"), "7@10");
  EXPECT_EQ(Get("b"), "absent");
}

// docs/formats.md: rows hold them.
TEST(CommandMarks, AreThoseOfEveryRelease) {
  v1::Command put;
  put.mutable_put()->set_key("a");
  put.mutable_put()->set_value("7");
  v1::Command remove;
  remove.mutable_delete_()->set_key("a");
  v1::Command set;
  set.mutable_compare_and_set()->set_key("a");
  set.mutable_compare_and_set()->set_value("7");
  set.mutable_compare_and_set()->mutable_condition()->set_version(10);
  v1::Command set_value = set;
  set_value.mutable_compare_and_set()->mutable_condition()->set_value("");
  v1::Command set_absent = set;
  set_absent.mutable_compare_and_set()->mutable_condition()->set_absent(true);
  v1::Command set_present = set;
  set_present.mutable_compare_and_set()->mutable_condition()->set_absent(false);
  v1::Command increment;
  increment.mutable_increment()->set_key("a");
  increment.mutable_increment()->set_by(-1);
  v1::Command batch;
  v1::TxnWrite* write = batch.mutable_one_shard()->add_writes();
  write->set_key("a");
  write->set_deletes(true);
  EXPECT_EQ(MarkOf(put), 0xbf3d0b24u);
  EXPECT_EQ(MarkOf(remove), 0x42c2eaefu);
  EXPECT_EQ(MarkOf(set), 0x8c0fadf3u);
  EXPECT_EQ(MarkOf(set_value), 0x8e082cdau);
  EXPECT_EQ(MarkOf(set_absent), 0x3feda34bu);
  EXPECT_EQ(MarkOf(set_present), 0xc0a32736u);
  EXPECT_EQ(MarkOf(increment), 0x50adc4bcu);
  EXPECT_EQ(MarkOf(batch), 0x10a70f4u);
  // What a transaction read may be told anew; what it writes not.
  batch.mutable_one_shard()->add_reads()->set_key("b");
  EXPECT_EQ(MarkOf(batch), 0x10a70f4u);
  v1::Command fence;
  fence.mutable_fence()->set_slot(3);
  EXPECT_EQ(MarkOf(fence), 0u);
}

TEST_P(ExactlyOnce, WithoutAnIdEachRuns) {
  EXPECT_EQ(Apply(Next(10).Put("a", "1").Put("a", "1")), "10 11");
}

// It is not asked for again, and what still travels must not run.
TEST_P(ExactlyOnce, WhatWasGivenUpNeverRuns) {
  EXPECT_EQ(Apply(Next(10).Put("a", "3").As(1, 3, 3)), "10");
  EXPECT_EQ(Apply(Next(20).Put("a", "2").As(1, 2, 1)), "forgotten");
  Restart();
  EXPECT_EQ(Apply(Next(30).Put("a", "1").As(1, 1, 1)), "forgotten");
  EXPECT_EQ(Get("a"), "3@10");
}

TEST_P(ExactlyOnce, WhatAnotherShardOwnsLeavesNoResult) {
  const v1::ShardDescriptor none = Descriptor(7, 0, 1);
  ASSERT_TRUE(
      ReplicaStateMachine::Create(ports_, bench_.Path("n"), none, FoundingConfiguration(none))
          .ok());
  machine_ = OpenShard(ports_, bench_.Path("n"), &noted_);
  EXPECT_EQ(Apply(Next(10).Put("a", "1").As(1, 2, 2)), "wrong-shard");
  EXPECT_EQ(Apply(Next(20).Put("a", "1").As(1, 2, 2)), "wrong-shard");
  // Nor does it raise what is open.
  EXPECT_EQ(machine_->totals().sessions.bytes, 0u);
}

// Client::AskOutcome rests on these.
TEST_P(ExactlyOnce, AFenceKeepsOutWhatHasNotRun) {
  EXPECT_EQ(Apply(Next(10).Fence(base::SlotOf("a")).As(1, 1, 1, 5)), "fenced-10");
  EXPECT_EQ(Apply(Next(20).Put("a", "late").As(1, 1, 1, 5)), "again-fenced-10");
  Restart();
  EXPECT_EQ(Apply(Next(30).Put("a", "late").As(1, 1, 1, 5)), "again-fenced-10");
  EXPECT_EQ(Apply(Next(40).Fence(base::SlotOf("a")).As(1, 1, 1, 5)), "again-fenced-10");
  EXPECT_EQ(Get("a"), "absent");
  // Of no other number.
  EXPECT_EQ(Apply(Next(50).Put("a", "1").As(1, 2, 1, 5)), "50");
}

TEST_P(ExactlyOnce, AFenceBehindAWriteTellsWhatTheWriteGave) {
  v1::Condition absent;
  absent.set_absent(true);
  Apply(Next(10).Put("a", "1").As(1, 1, 1));
  Apply(Next(20).Delete("a").As(1, 2, 1));
  Apply(Next(30).Increment("n", 7).As(1, 3, 1));
  Apply(Next(40).Set("n", absent, "x").As(1, 4, 1));
  Apply(Next(50).Put("a", "no number").Increment("a", 1).As(1, 5, 1));
  Restart();
  const uint32_t slot = base::SlotOf("a");
  EXPECT_EQ(Apply(Next(60).Fence(slot).As(1, 1, 1).Fence(slot).As(1, 2, 1)),
            "again-10 again-20+existed");
  EXPECT_EQ(Apply(Next(70).Fence(slot).As(1, 3, 1).Fence(slot).As(1, 4, 1)),
            "again-30=7 again-failed-30");
  EXPECT_EQ(Apply(Next(80).Fence(slot).As(1, 5, 1)), "again-no-number-50");
  EXPECT_EQ(Get("a"), "no number@50");
}

// Two that ask at once, and a write that comes between them; and between retries of a write.
TEST_P(ExactlyOnce, OfAFenceAndAWriteTheFirstCountsInOneEntryToo) {
  const uint32_t slot = base::SlotOf("a");
  EXPECT_EQ(Apply(Next(10)
                      .Fence(slot)
                      .As(1, 1, 1, 5)
                      .Put("a", "late")
                      .As(1, 1, 1, 5)
                      .Fence(slot)
                      .As(1, 1, 1, 5)),
            "fenced-10 again-fenced-10 again-fenced-10");
  EXPECT_EQ(Get("a"), "absent");
  EXPECT_EQ(Apply(Next(20)
                      .Put("a", "1")
                      .As(2, 1, 1, 5)
                      .Fence(slot)
                      .As(2, 1, 1, 5)
                      .Put("a", "1")
                      .As(2, 1, 1, 5)),
            "20 again-20 again-20");
  EXPECT_EQ(Get("a"), "1@20");
}

// As a new replica, and one that was far behind, get to know of it.
TEST_P(ExactlyOnce, ACheckpointCarriesTheFences) {
  Apply(Next(10).Fence(base::SlotOf("a")).As(1, 1, 1, 5));
  const auto base = machine_->CreateCheckpoint(bench_.Path("checkpoint"));
  ASSERT_TRUE(base.ok()) << base.status();
  machine_ = Make("s");
  ASSERT_TRUE(machine_->Install(bench_.Path("checkpoint"), *base).ok());
  EXPECT_EQ(Apply(Next(20).Put("a", "late").As(1, 1, 1, 5)), "again-fenced-10");
  EXPECT_EQ(Apply(Next(30).Fence(base::SlotOf("a")).As(1, 1, 1, 5)), "again-fenced-10");
  EXPECT_EQ(Get("a"), "absent");
}

// A client that is forgotten and known again, by a later request of it: what was dropped of it may
// have held the number.
TEST_P(ExactlyOnce, AFenceOfAClientThatIsKnownAgainTellsNothingOfItsPast) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1, 5));
  Apply(Next(20).Forget(10));
  EXPECT_EQ(Apply(Next(30).Put("a", "2").As(1, 2, 1, 25)), "30");
  EXPECT_EQ(Apply(Next(40).Fence(base::SlotOf("a")).As(1, 1, 1, 5)), "forgotten");
  EXPECT_EQ(Apply(Next(50).Put("a", "1").As(1, 1, 1, 5)), "forgotten");
  EXPECT_EQ(Apply(Next(60).Fence(base::SlotOf("a")).As(1, 2, 1, 25)), "again-30");
  EXPECT_EQ(Get("a"), "2@30");
}

// A session holds as many requests as a client makes under one id, each of them fenced, too; a
// fence counts as a result does, and goes as one.
TEST_P(ExactlyOnce, FencesFillASessionAsResultsDo) {
  const uint32_t slot = base::SlotOf("a");
  EntryBuilder full = Next(100);
  for (uint64_t i = 1; i <= storage::kResultsPerSession; ++i) full.Fence(slot).As(1, i, 1, 50);
  Apply(full);
  EXPECT_EQ(machine_->totals().sessions.bytes,
            storage::kSessionBytes + storage::kResultsPerSession * storage::kResultBytes);
  const uint64_t next = storage::kResultsPerSession + 1;
  EXPECT_EQ(Apply(Next(2000).Fence(slot).As(1, next, 1, 50)), "too-many");
  EXPECT_EQ(Apply(Next(2001).Put("a", "late").As(1, 7, 1, 50)), "again-fenced-106");
  EXPECT_EQ(Apply(Next(2002).Put("b", "1").As(2, 1, 1, 50).Forget(0, storage::kSessionBytes * 2)),
            "2002 2003");
  EXPECT_EQ(Apply(Next(2010).Put("a", "late").As(1, 7, 1, 50)), "forgotten");
  EXPECT_EQ(Get("a"), "absent");
}

// Else the answer would be that the write never runs, when it may have.
TEST_P(ExactlyOnce, AFenceOfWhatMayBeForgottenTellsNothing) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1, 5));
  EXPECT_EQ(Apply(Next(20).Forget(10)), "20");
  EXPECT_EQ(Apply(Next(30).Fence(base::SlotOf("a")).As(1, 1, 1, 5)), "forgotten");
  // A fence is forgotten as a result is, and what comes then does not run either.
  EXPECT_EQ(Apply(Next(40).Fence(base::SlotOf("a")).As(2, 1, 1, 25)), "fenced-40");
  EXPECT_EQ(Apply(Next(50).Forget(40)), "50");
  EXPECT_EQ(Apply(Next(60).Put("a", "2").As(2, 1, 1, 25)), "forgotten");
  EXPECT_EQ(Get("a"), "1@10");
}

TEST_P(ExactlyOnce, AFenceGoesToTheOwnerOfTheSlot) {
  const v1::ShardDescriptor none = Descriptor(7, 0, 1);
  ASSERT_TRUE(
      ReplicaStateMachine::Create(ports_, bench_.Path("n"), none, FoundingConfiguration(none))
          .ok());
  machine_ = OpenShard(ports_, bench_.Path("n"), &noted_);
  EXPECT_EQ(Apply(Next(10).Fence(1).As(1, 1, 1)), "wrong-shard");
  EXPECT_EQ(machine_->totals().sessions.bytes, 0u);
  EXPECT_EQ(Apply(Next(20).Fence(0).As(1, 1, 1)), "fenced-20");
}

TEST_P(ExactlyOnce, AFenceOfNoNumberIsNoCommand) {
  EXPECT_FALSE(ApplyOne(*machine_, Next(10).Fence(1).Build()).ok());
}

TEST_P(ExactlyOnce, AFullSessionTurnsAwayAndForgetsNothing) {
  EntryBuilder full = Next(100);
  for (uint64_t i = 1; i <= storage::kResultsPerSession; ++i) full.Put("k", "v").As(1, i, 1);
  Apply(full);
  const uint64_t next = storage::kResultsPerSession + 1;
  EXPECT_EQ(Apply(Next(2000).Put("a", "x").As(1, next, 1)), "too-many");
  EXPECT_EQ(Get("a"), "absent");
  EXPECT_EQ(Apply(Next(2001).Put("k", "v").As(1, 1, 1)), "again-100");
  EXPECT_EQ(Apply(Next(2002).Put("a", "other").As(2, 1, 1)), "2002");
  // The same number, once the client has heard of an earlier one.
  EXPECT_EQ(Apply(Next(2003).Put("a", "x").As(1, next, 2)), "2003");
  EXPECT_EQ(Apply(Next(2004).Put("a", "x").As(1, next, 2)), "again-2003");
}

TEST_P(ExactlyOnce, AfterForgettingOnlyWhatIsCertainlyNewRuns) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1, 5));
  Apply(Next(20).Put("b", "1").As(2, 1, 1, 15));
  EXPECT_EQ(Apply(Next(30).Forget(10)), "30");
  EXPECT_EQ(Apply(Next(31).Forget(10)), "no-effect");
  EXPECT_EQ(machine_->totals().sessions.forgotten, 10u);
  // The retry of what ran at 10: its client knew of 5 when it first sent it.
  EXPECT_EQ(Apply(Next(40).Put("a", "1").As(1, 1, 1, 5)), "forgotten");
  EXPECT_EQ(Apply(Next(50).Put("b", "1").As(2, 1, 1, 15)), "again-20");
  Restart();
  EXPECT_EQ(Apply(Next(60).Put("a", "1").As(1, 1, 1, 5)), "forgotten");
  EXPECT_EQ(Apply(Next(70).Put("b", "1").As(2, 1, 1, 15)), "again-20");
  // A client that knows the shard's time begins anew.
  EXPECT_EQ(Apply(Next(80).Put("a", "2").As(1, 2, 2, 10)), "80");
  EXPECT_EQ(Get("a"), "2@80");
}

// Two that share a row: the one that stays is found again, the other is not.
TEST_P(ExactlyOnce, ForgettingOneOfARowKeepsTheOther) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1).Put("b", "1").As(2, 1, 1));
  Apply(Next(20).Put("b", "2").As(2, 2, 1));
  EXPECT_EQ(Apply(Next(30).Forget(15)), "30");
  Restart();
  EXPECT_EQ(machine_->totals().sessions.oldest, 20u);
  EXPECT_EQ(Apply(Next(40).Put("a", "1").As(1, 1, 1)), "forgotten");
  EXPECT_EQ(Apply(Next(50).Put("b", "1").As(2, 1, 1)), "again-11");
}

// The row of entry 1 stays for the second client's sake, and holds what the first let go before it
// was forgotten.
TEST_P(ExactlyOnce, ForgettingOneWhoseOldResultsLieInOthersRows) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1).Put("b", "1").As(2, 1, 1));
  Apply(Next(20).Put("a", "2").As(1, 2, 2));
  Apply(Next(30).Put("b", "2").As(2, 2, 1));
  EXPECT_EQ(Apply(Next(40).Forget(25)), "40");
  Restart();
  ASSERT_NE(machine_, nullptr);
  EXPECT_EQ(machine_->totals().sessions.oldest, 30u);
  EXPECT_EQ(Apply(Next(50).Put("b", "1").As(2, 1, 1)), "again-11");
  EXPECT_EQ(Apply(Next(60).Put("a", "1").As(1, 1, 1)), "forgotten");
}

// One entry holds both: what is recorded before it is dropped leaves no row.
TEST_P(ExactlyOnce, ForgettingInTheEntryOfAWrite) {
  EXPECT_EQ(Apply(Next(10).Put("a", "1").As(1, 1, 1).Forget(0, 1)), "10 11");
  EXPECT_EQ(machine_->totals().sessions.bytes, 0u);
  Restart();
  EXPECT_EQ(machine_->totals().sessions.bytes, 0u);
  EXPECT_EQ(Apply(Next(20).Put("a", "1").As(1, 1, 1)), "forgotten");
}

TEST_P(ExactlyOnce, ACheckpointCarriesTheSessions) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1, 5));
  Apply(Next(20).Put("b", "1").As(2, 1, 1, 15));
  Apply(Next(30).Forget(10));
  const auto base = machine_->CreateCheckpoint(bench_.Path("checkpoint"));
  ASSERT_TRUE(base.ok()) << base.status();
  const StateTotals before = machine_->totals();
  machine_ = Make("s");
  ASSERT_TRUE(machine_->Install(bench_.Path("checkpoint"), *base).ok());
  EXPECT_EQ(machine_->totals().sessions.bytes, before.sessions.bytes);
  EXPECT_EQ(machine_->totals().sessions.forgotten, 10u);
  EXPECT_EQ(Apply(Next(40).Put("b", "1").As(2, 1, 1, 15)), "again-20");
  EXPECT_EQ(Apply(Next(50).Put("a", "1").As(1, 1, 1, 5)), "forgotten");
}

TEST_P(ExactlyOnce, ADamagedRowIsNoReplica) {
  Apply(Next(10).Put("a", "1").As(1, 1, 1));
  storage::Batch batch;
  batch.Put(storage::Family::kState,
            std::string(storage::kSessionRowPrefix) + std::string(8, '\x01'), "\x01rubbish");
  machine_->store().engine()->Write(batch);
  machine_->Flush();
  machine_.reset();
  const auto opened = ReplicaStateMachine::Open(
      ports_, bench_.Path("r"), std::make_unique<ShardCommands>(ShardCommandsOptions{}), nullptr);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
}

v1::Condition ValueIs(const std::string& value) {
  v1::Condition condition;
  condition.set_value(value);
  return condition;
}

v1::Condition VersionIs(uint64_t version) {
  v1::Condition condition;
  condition.set_version(version);
  return condition;
}

v1::Condition Absent(bool absent = true) {
  v1::Condition condition;
  condition.set_absent(absent);
  return condition;
}

TEST_P(ExactlyOnce, AConditionIsJudgedByTheNewestVersion) {
  EXPECT_EQ(Apply(Next(10).Set("a", ValueIs("1"), "2")), "failed-0");
  EXPECT_EQ(Apply(Next(20).Set("a", VersionIs(10), "2")), "failed-0");
  EXPECT_EQ(Apply(Next(30).Set("a", Absent(false), "2")), "failed-0");
  EXPECT_EQ(Apply(Next(40).Set("a", Absent(), "1")), "40");
  EXPECT_EQ(Apply(Next(50).Set("a", Absent(), "2").Set("a", VersionIs(0), "2")),
            "failed-40 failed-40");
  EXPECT_EQ(Apply(Next(60).Set("a", ValueIs("1"), "2")), "60");
  EXPECT_EQ(Apply(Next(70).Set("a", ValueIs("1"), "3").Set("a", VersionIs(40), "3")),
            "failed-60 failed-60");
  EXPECT_EQ(Apply(Next(80).Set("a", VersionIs(60), "3")), "80");
  EXPECT_EQ(Get("a"), "3@80");
}

// Versions never come back: a key that was deleted and made again is another one (ABA).
TEST_P(ExactlyOnce, AVersionBeforeADeleteHoldsNoMore) {
  Apply(Next(10).Put("a", "1"));
  Apply(Next(20).Delete("a"));
  EXPECT_EQ(Apply(Next(30).Set("a", VersionIs(10), "x")), "failed-0");
  Apply(Next(40).Put("a", "1"));
  EXPECT_EQ(Apply(Next(50).Set("a", VersionIs(10), "x")), "failed-40");
  EXPECT_EQ(Apply(Next(60).Delete("a").Set("a", Absent(), "2")), "60+existed 61");
}

TEST_P(ExactlyOnce, WhatOneEntryWroteItsLaterCommandsSee) {
  EXPECT_EQ(Apply(Next(10)
                      .Put("a", "5")
                      .Increment("a", 2)
                      .Increment("a", 3)
                      .Set("a", ValueIs("10"), "11")
                      .Delete("a")
                      .Increment("a", -4)),
            "10 11=7 12=10 13 14+existed 15=-4");
  EXPECT_EQ(Get("a"), "-4@15");
}

TEST_P(ExactlyOnce, WhatIsNoNumberStays) {
  Apply(Next(10).Put("a", "9223372036854775807").Put("b", "1x").Put("c", "").Put("d", " 1"));
  EXPECT_EQ(Apply(Next(20)
                      .Increment("a", 1)
                      .Increment("b", 1)
                      .Increment("c", 1)
                      .Increment("d", 1)
                      .Increment("a", -1)),
            "no-number-10 no-number-11 no-number-12 no-number-13 24=9223372036854775806");
  EXPECT_EQ(Get("b"), "1x@11");
}

// What did not hold then is the result, though it holds now.
TEST_P(ExactlyOnce, ARetryOfWhatFailedFailsAgain) {
  EXPECT_EQ(Apply(Next(10).Set("a", ValueIs("1"), "2").As(1, 1, 1)), "failed-0");
  EXPECT_EQ(Apply(Next(20).Put("b", "x").As(1, 2, 1).Increment("b", 1).As(1, 3, 1)),
            "20 no-number-20");
  Apply(Next(30).Put("a", "1").Put("b", "1"));
  Restart();
  EXPECT_EQ(Apply(Next(40).Set("a", ValueIs("1"), "2").As(1, 1, 1).Increment("b", 1).As(1, 3, 1)),
            "again-failed-0 again-no-number-20");
  EXPECT_EQ(Apply(Next(50).Increment("b", 5).As(1, 4, 1)), "50=6");
  EXPECT_EQ(Apply(Next(60).Increment("b", 5).As(1, 4, 1)), "again-50=6");
  EXPECT_EQ(Get("b"), "6@50");
}

INSTANTIATE_TEST_SUITE_P(Engines, ExactlyOnce,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::server
