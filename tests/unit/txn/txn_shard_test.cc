// The replicated machine, command by command.

#include "server/txn/txn_shard.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/txn/inquiry.h"
#include "tests/unit/txn/rows_store.h"

namespace basalt::txn {
namespace {

using testing::IsEmpty;
using testing::SizeIs;
using PrepareVerdict = PrepareAnswer::Verdict;

class TxnShardTest : public testing::Test {
 protected:
  template <typename Command>
  auto Apply(const Command& command) {
    ++stamp_;
    if constexpr (std::is_same_v<Command, Prepare> || std::is_same_v<Command, OneShard> ||
                  std::is_same_v<Command, Decide>) {
      auto answer = shard_.Apply(command, stamp_, store_);
      store_.Keep(shard_);
      shard_.CheckInvariants();
      return answer;
    } else if constexpr (std::is_void_v<decltype(shard_.Apply(command, stamp_))>) {
      shard_.Apply(command, stamp_);
      store_.Keep(shard_);
      shard_.CheckInvariants();
    } else {
      auto answer = shard_.Apply(command, stamp_);
      store_.Keep(shard_);
      shard_.CheckInvariants();
      return answer;
    }
  }

  RowsStore store_;
  TxnShard shard_{kAllSlots};
  Stamp stamp_ = 100;
};

TEST_F(TxnShardTest, PrepareLocksAndAnswersItsStampEachTime) {
  const Prepare prepare = MakePrepare(IdOf("a", 1), {{"b", 0}}, {"a"});
  const PrepareAnswer first = Apply(prepare);
  EXPECT_EQ(first.verdict, PrepareVerdict::kPrepared);
  EXPECT_EQ(first.prepared, stamp_);
  EXPECT_EQ(Apply(prepare).prepared, first.prepared);
  EXPECT_EQ(shard_.BlockerOfRead("a")->holder, prepare.id);
  EXPECT_EQ(shard_.BlockerOfRead("b"), std::nullopt);
  EXPECT_EQ(shard_.BlockerOfWrite("b")->holder, prepare.id);
  EXPECT_EQ(shard_.BlockerOfWrite("c"), std::nullopt);
}

TEST_F(TxnShardTest, LocksExcludeByTheRule) {
  Apply(MakePrepare(IdOf("a", 1), {{"r", 0}}, {"w"}));
  EXPECT_EQ(Apply(MakePrepare(IdOf("a", 2), {{"r", 0}}, {"x"})).verdict, PrepareVerdict::kPrepared);
  EXPECT_EQ(Apply(MakePrepare(IdOf("a", 3), {}, {"r"})).verdict, PrepareVerdict::kLocked);
  EXPECT_EQ(Apply(MakePrepare(IdOf("a", 4), {{"w", 0}}, {})).verdict, PrepareVerdict::kLocked);
  const PrepareAnswer refused = Apply(MakePrepare(IdOf("a", 5), {}, {"w"}));
  EXPECT_EQ(refused.verdict, PrepareVerdict::kLocked);
  EXPECT_EQ(refused.blocker, (Blocker{"w", IdOf("a", 1)}));
}

TEST_F(TxnShardTest, ARefusedPrepareLocksNothing) {
  store_.Put("a", 50);
  EXPECT_EQ(Apply(MakePrepare(IdOf("a", 1), {{"a", 50}, {"b", 49}}, {"c"})).changed, "b");
  EXPECT_EQ(shard_.state().locks.keys(), 0u);
}

TEST_F(TxnShardTest, WithoutComparingItAnswersWhatTheKeysHold) {
  store_.Put("a", 50);
  Prepare prepare = MakePrepare(IdOf("a", 1), {{"a", 0}, {"b", 0}}, {});
  prepare.compares_versions = false;
  const PrepareAnswer answer = Apply(prepare);
  EXPECT_EQ(answer.verdict, PrepareVerdict::kPrepared);
  ASSERT_EQ(answer.values.size(), 2u);
  for (const ReadValue& value : answer.values) {
    EXPECT_EQ(value.newest.version, value.key == "a" ? 50u : 0u);
  }
}

TEST_F(TxnShardTest, ResolveWritesAtTheCommitAndEndsTheLocks) {
  const TxnId id = IdOf("a", 1);
  const Stamp prepared = Apply(MakePrepare(id, {{"r", 0}}, {"w"})).prepared;
  stamp_ += 50;
  const Resolve resolve{id, Outcome::kCommitted, prepared + 20, SlotsOfKeys({"r", "w"})};
  EXPECT_EQ(Apply(resolve).resolved, SlotsOfKeys({"r", "w"}));
  EXPECT_EQ(store_.NewestOf("w").version, prepared + 20);
  EXPECT_EQ(store_.NewestOf("w").value, "new");
  EXPECT_EQ(store_.NewestOf("r").version, 0u);
  EXPECT_EQ(shard_.state().locks.keys(), 0u);
  store_.Put("w", stamp_);
  EXPECT_EQ(Apply(resolve).resolved, SlotsOfKeys({"r", "w"}));
  EXPECT_EQ(store_.NewestOf("w").value, "old");  // nothing is written twice
}

// Hazard 55.
TEST_F(TxnShardTest, ALatePrepareTakesNoLockAfterEitherOutcome) {
  for (const Outcome outcome : {Outcome::kCommitted, Outcome::kAborted}) {
    const TxnId id = IdOf("a", outcome == Outcome::kCommitted ? 1 : 2);
    Apply(Resolve{id, outcome, outcome == Outcome::kCommitted ? stamp_ : 0, SlotsOfKeys({"w"})});
    const PrepareAnswer late = Apply(MakePrepare(id, {}, {"w"}));
    EXPECT_EQ(late.verdict, PrepareVerdict::kDecided);
    EXPECT_EQ(late.outcome, outcome);
  }
  EXPECT_EQ(shard_.state().locks.keys(), 0u);
}

TEST_F(TxnShardTest, WhatIsForgottenTakesNoLock) {
  const TxnId id = IdOf("a", 1);
  Apply(Resolve{id, Outcome::kAborted, 0, SlotsOfKeys({"w"})});
  Apply(Forget{stamp_});
  EXPECT_THAT(shard_.state().resolved, IsEmpty());
  EXPECT_EQ(shard_.state().forgotten, stamp_ - 1);
  EXPECT_EQ(Apply(MakePrepare(id, {}, {"w"})).verdict, PrepareVerdict::kForgotten);
  const TxnId later = IdOf("a", 2, shard_.state().forgotten);
  EXPECT_EQ(Apply(MakePrepare(later, {}, {"w"})).verdict, PrepareVerdict::kPrepared);
}

TEST_F(TxnShardTest, OneShardObeysTheRuleOfLocks) {
  Apply(MakePrepare(IdOf("a", 1), {{"r", 0}}, {"w"}));
  using Verdict = OneShardAnswer::Verdict;
  const auto verdict = [this](std::vector<Read> reads, std::vector<Write> writes) {
    return Apply(OneShard{std::move(reads), std::move(writes)}).verdict;
  };
  EXPECT_EQ(verdict({{"w", 0}}, {{"x", "1"}}), Verdict::kLocked);  // reads what is exclusive
  EXPECT_EQ(verdict({}, {{"r", "1"}}), Verdict::kLocked);          // writes what is shared
  EXPECT_EQ(verdict({}, {{"w", "1"}}), Verdict::kLocked);
  EXPECT_EQ(verdict({{"x", 7}}, {{"x", "1"}}), Verdict::kChanged);
  EXPECT_EQ(store_.NewestOf("x").version, 0u);
  EXPECT_EQ(verdict({{"r", 0}}, {{"x", "1"}, {"y", std::nullopt}}), Verdict::kApplied);
  EXPECT_EQ(store_.NewestOf("x").version, stamp_);
  EXPECT_EQ(store_.NewestOf("y").version, stamp_);
}

TEST_F(TxnShardTest, TheFirstDecisionWins) {
  const TxnId aborted = IdOf("a", 1);
  EXPECT_EQ(Apply(MakeAbort(aborted)).outcome, Outcome::kAborted);
  const DecideAnswer late = Apply(MakeCommit(aborted, stamp_, {}, {"a"}));
  EXPECT_EQ(late.outcome, Outcome::kAborted);
  EXPECT_FALSE(late.obstacle.any()) << "it did not have to abort: it had been";
  EXPECT_EQ(store_.NewestOf("a").version, 0u);
  const TxnId committed = IdOf("a", 2);
  const DecideAnswer first = Apply(MakeCommit(committed, stamp_, {}, {"a"}));
  EXPECT_EQ(Apply(MakeAbort(committed)), first);
  EXPECT_EQ(Apply(MakeCommit(committed, stamp_, {}, {"a"})), first) << "nothing is written twice";
  EXPECT_EQ(store_.NewestOf("a").version, first.commit);
}

TEST_F(TxnShardTest, ACommitWritesItsOwnPartAtItsOwnStampAndLocksNothing) {
  store_.Put("r", 50);
  const Decide decide = MakeCommit(IdOf("a", 1), 90, {{"r", 50}, {"a", 0}}, {"a"}, {"b"});
  const DecideAnswer answer = Apply(decide);
  EXPECT_EQ(answer.outcome, Outcome::kCommitted);
  EXPECT_EQ(answer.commit, stamp_);
  EXPECT_EQ(store_.NewestOf("a"), (Newest{stamp_, "new"}));
  EXPECT_EQ(store_.NewestOf("r").version, 50u);
  EXPECT_EQ(shard_.state().locks.keys(), 0u);
  EXPECT_EQ(FindRecord(shard_.state(), decide.id)->commit, answer.commit);
}

// Hazards 47 and 48, of the coordinator's part.
TEST_F(TxnShardTest, ACommitThatMeetsAChangeOrALockDecidesToAbort) {
  store_.Put("r", 50);
  const Decide outdated = MakeCommit(IdOf("a", 1), 90, {{"r", 49}}, {"a"}, {"b"});
  const DecideAnswer changed = Apply(outdated);
  EXPECT_EQ(changed.outcome, Outcome::kAborted);
  EXPECT_EQ(changed.obstacle.changed, "r");
  EXPECT_EQ(Apply(outdated).obstacle, Obstacle{}) << "an echo of what the log holds";

  Apply(MakePrepare(IdOf("b", 2), {{"r", 50}}, {"w"}));
  const DecideAnswer reads = Apply(MakeCommit(IdOf("a", 3), 90, {{"w", 0}}, {"a"}, {"b"}));
  EXPECT_EQ(reads.outcome, Outcome::kAborted);
  EXPECT_EQ(reads.obstacle.blocker, (Blocker{"w", IdOf("b", 2)}));
  const DecideAnswer writes = Apply(MakeCommit(IdOf("a", 4), 90, {}, {"r", "a"}, {"b"}));
  EXPECT_EQ(writes.outcome, Outcome::kAborted);
  EXPECT_EQ(writes.obstacle.blocker, (Blocker{"r", IdOf("b", 2)}));
  EXPECT_EQ(Apply(MakeCommit(IdOf("a", 5), 90, {{"r", 50}}, {"a"}, {"b"})).outcome,
            Outcome::kCommitted)
      << "readers do not disturb each other";
  EXPECT_EQ(store_.NewestOf("a").version, stamp_);
  EXPECT_EQ(store_.NewestOf("r").version, 50u);
}

TEST_F(TxnShardTest, ACommitThatComparesNothingAnswersWhatItsKeysHold) {
  store_.Put("a", 50);
  Decide decide = MakeCommit(IdOf("a", 1), 90, {{"a", 0}, {"c", 0}}, {}, {"b"});
  decide.compares_versions = false;
  const DecideAnswer answer = Apply(decide);
  EXPECT_EQ(answer.outcome, Outcome::kCommitted);
  ASSERT_EQ(answer.values.size(), 2u);
  for (const ReadValue& value : answer.values) {
    EXPECT_EQ(value.newest.version, value.key == "a" ? 50u : 0u);
  }
  EXPECT_THAT(Apply(decide).values, IsEmpty()) << "what they held at the decision is gone";
}

TEST_F(TxnShardTest, ACommitThatCouldNotTellWhatItReadDecidesToAbort) {
  store_.Put("a", 50, std::string(kReadBytesMost, 'v'));
  Decide decide = MakeCommit(IdOf("a", 1), 90, {{"a", 0}}, {}, {"b"});
  decide.compares_versions = false;
  const DecideAnswer answer = Apply(decide);
  EXPECT_EQ(answer.outcome, Outcome::kAborted);
  EXPECT_EQ(answer.obstacle.changed, "a");
  EXPECT_THAT(answer.values, IsEmpty());
}

// Of a key of eight, the last is over the bound: what comes behind is not even read.
TEST_F(TxnShardTest, APrepareReadsNoMoreThanItCanAnswer) {
  std::vector<Read> reads;
  for (char letter = 'a'; letter < 'i'; ++letter) {
    store_.Put(std::string(1, letter), 50, std::string(kReadBytesMost / 4, 'v'));
    reads.push_back({std::string(1, letter), 0});
  }
  Prepare prepare = MakePrepare(IdOf("a", 1), reads, {});
  prepare.compares_versions = false;
  EXPECT_THAT(Apply(prepare).values, SizeIs(4));
}

// No row can name its stamp as a commit, and a replica that stored it could not be opened.
TEST_F(TxnShardTest, ACommitBeyondAllClocksDecidesToAbort) {
  stamp_ = kStampMost;
  EXPECT_EQ(Apply(MakeCommit(IdOf("a", 1), 90, {}, {"a"}, {"b"})).outcome, Outcome::kAborted);
  EXPECT_EQ(store_.NewestOf("a").version, 0u);
}

// A slot that came back to the coordinator's shard while it was prepared elsewhere.
TEST_F(TxnShardTest, ACommitKeepsToTheLocksThatItsPartHasAlready) {
  const TxnId id = IdOf("a", 1);
  const Stamp prepared = Apply(MakePrepare(id, {{"a", 0}}, {"a"})).prepared;
  const DecideAnswer answer = Apply(MakeCommit(id, prepared, {{"a", 0}}, {"a"}, {"b"}));
  EXPECT_EQ(answer.outcome, Outcome::kCommitted);
  EXPECT_EQ(store_.NewestOf("a"), (Newest{answer.commit, "new"}));
  EXPECT_EQ(shard_.state().locks.keys(), 0u);
}

TEST_F(TxnShardTest, APartThatHasMovedIsNotDecided) {
  TxnShard owner({base::SlotOf("a"), 1});
  const TxnId id = IdOf("a", 1);
  EXPECT_EQ(owner.Apply(MakeCommit(id, 90, {}, {"a", "b"}), 101, store_).verdict,
            DecideAnswer::Verdict::kMoved);
  EXPECT_THAT(owner.TakeStaged(), IsEmpty());
  EXPECT_EQ(FinalAnswer(owner.state(), id), std::nullopt);
}

// Hazard 63.
TEST_F(TxnShardTest, ACommitIsKeptUntilItIsSettledHoweverOld) {
  TxnShard owner({base::SlotOf("a"), 1});
  const TxnId id = IdOf("a", 1);
  owner.Apply(MakeCommit(id, 150, {}, {"a"}, {"b"}), 151, store_);
  owner.Apply(Forget{1000}, 1001);
  EXPECT_EQ(FinalAnswer(owner.state(), id)->verdict, InquiryAnswer::Verdict::kCommitted);
  owner.Apply(Settle{{id}}, 1002);
  owner.Apply(Forget{1001}, 1003);
  EXPECT_EQ(FinalAnswer(owner.state(), id)->verdict, InquiryAnswer::Verdict::kCommitted);
  owner.Apply(Forget{1002}, 1004);
  EXPECT_EQ(FinalAnswer(owner.state(), id)->verdict, InquiryAnswer::Verdict::kForgotten);
  owner.CheckInvariants();
}

TEST_F(TxnShardTest, WhoDoesNotOwnTheSlotSaysSoAndDoesNothing) {
  TxnShard elsewhere({base::SlotOf("a"), 1});
  const TxnId id = IdOf("b", 1);
  EXPECT_EQ(elsewhere.Apply(MakePrepare(id, {}, {"b"}), 101, store_).verdict,
            PrepareVerdict::kNotOwner);
  EXPECT_EQ(elsewhere.Apply(MakeAbort(id), 102, store_).verdict, DecideAnswer::Verdict::kNotOwner);
  const ResolveAnswer resolved =
      elsewhere.Apply(Resolve{id, Outcome::kAborted, 0, SlotsOfKeys({"b"})}, 103);
  EXPECT_EQ(resolved.not_owned, SlotsOfKeys({"b"}));
  EXPECT_EQ(FinalAnswer(elsewhere.state(), id)->verdict, InquiryAnswer::Verdict::kNotOwner);
  EXPECT_THAT(elsewhere.TakeStaged(), IsEmpty());
}

TEST_F(TxnShardTest, RowsGiveTheStateAgainAndASplitDividesIt) {
  const TxnId here = IdOf("a", 1);
  const TxnId there = IdOf("b", 2);
  Apply(MakePrepare(IdOf("d", 4), {}, {"a", "b"}));
  Apply(MakeCommit(here, stamp_, {}, {"c"}, {"d"}));
  Apply(MakeCommit(there, stamp_, {}, {"c"}, {"d"}));
  Apply(Resolve{IdOf("a", 3), Outcome::kAborted, 0, SlotsOfKeys({"a"})});
  const Slot cut = base::SlotOf("a");  // b and c lie below
  ASSERT_LT(base::SlotOf("b"), cut);
  ASSERT_LT(base::SlotOf("c"), cut);
  TxnShard low(kAllSlots, store_.Rows());
  EXPECT_EQ(low.state().prepared, shard_.state().prepared);
  EXPECT_EQ(low.state().records, shard_.state().records);
  TxnShard high(kAllSlots, store_.Rows());
  low.NarrowTo({0, cut});
  high.NarrowTo({cut, base::kSlotCount - cut});
  for (TxnShard* half : {&low, &high}) {
    half->CheckInvariants();
    EXPECT_EQ(half->state().resolved.size(), 3u) << "tombstones go to both";
  }
  EXPECT_TRUE(low.BlockerOfRead("b").has_value());
  EXPECT_FALSE(low.BlockerOfRead("a").has_value());
  EXPECT_TRUE(high.BlockerOfRead("a").has_value());
  EXPECT_NE(FindRecord(low.state(), there), nullptr);
  EXPECT_EQ(FindRecord(low.state(), here), nullptr);
  EXPECT_NE(FindRecord(high.state(), here), nullptr);
}

TEST_F(TxnShardTest, ValidationSeesVersionsLocksAndTheHorizon) {
  using Verdict = ValidateAnswer::Verdict;
  store_.Put("a", 50);
  const auto verdict = [this](Stamp version, Stamp horizon) {
    return shard_.Validate({{"a", version}}, 60, horizon, store_).verdict;
  };
  EXPECT_EQ(verdict(50, 0), Verdict::kValid);
  EXPECT_EQ(verdict(49, 0), Verdict::kChanged);
  EXPECT_EQ(verdict(50, 60), Verdict::kValid);
  EXPECT_EQ(verdict(50, 61), Verdict::kHorizon);
  Apply(MakePrepare(IdOf("a", 1), {{"a", 50}}, {}));
  EXPECT_EQ(verdict(50, 0), Verdict::kValid);  // readers do not disturb each other
  Apply(Resolve{IdOf("a", 1), Outcome::kAborted, 0, SlotsOfKeys({"a"})});
  Apply(MakePrepare(IdOf("a", 2), {}, {"a"}));
  EXPECT_EQ(verdict(50, 0), Verdict::kLocked);
}

}  // namespace
}  // namespace basalt::txn
