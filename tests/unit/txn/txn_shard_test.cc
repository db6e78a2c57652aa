// The replicated machine, command by command.

#include "server/txn/txn_shard.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/txn/inquiry.h"
#include "tests/unit/txn/rows_store.h"

namespace basalt::txn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using PrepareVerdict = PrepareAnswer::Verdict;

class TxnShardTest : public testing::Test {
 protected:
  template <typename Command>
  auto Apply(const Command& command) {
    ++stamp_;
    if constexpr (std::is_same_v<Command, Prepare> || std::is_same_v<Command, OneShard>) {
      const auto answer = shard_.Apply(command, stamp_, store_);
      store_.Keep(shard_);
      shard_.CheckInvariants();
      return answer;
    } else if constexpr (std::is_void_v<decltype(shard_.Apply(command, stamp_))>) {
      shard_.Apply(command, stamp_);
      store_.Keep(shard_);
      shard_.CheckInvariants();
    } else {
      const auto answer = shard_.Apply(command, stamp_);
      store_.Keep(shard_);
      shard_.CheckInvariants();
      return answer;
    }
  }
  Prepare Anchored(Prepare prepare, const std::vector<std::string>& keys) {
    prepare.all_slots = SlotsOfKeys(keys);
    return prepare;
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
  const TxnId id = IdOf("a", 1);
  const Stamp prepared = Apply(Anchored(MakePrepare(id, {}, {"a"}), {"a"})).prepared;
  EXPECT_EQ(Apply(Decide{id, Outcome::kAborted, 0, {}}).outcome, Outcome::kAborted);
  EXPECT_EQ(Apply(Decide{id, Outcome::kCommitted, prepared, {}}).outcome, Outcome::kAborted);
  EXPECT_EQ(store_.NewestOf("a").version, 0u);
}

TEST_F(TxnShardTest, ACommitNeedsALiveRecord) {
  const TxnId id = IdOf("a", 1);
  Apply(MakePrepare(id, {}, {"a"}));  // as any participant: no record
  EXPECT_EQ(Apply(Decide{id, Outcome::kCommitted, stamp_, {}}).verdict,
            DecideAnswer::Verdict::kNoRecord);
  EXPECT_EQ(Apply(Decide{id, Outcome::kAborted, 0, {}}).outcome, Outcome::kAborted);
  EXPECT_EQ(Apply(Anchored(MakePrepare(id, {}, {"a"}), {"a"})).verdict, PrepareVerdict::kDecided);
}

// Hazard 63.
TEST_F(TxnShardTest, ACommitIsKeptUntilItIsSettledHoweverOld) {
  TxnShard owner({base::SlotOf("a"), 1});
  const TxnId id = IdOf("a", 1);
  Prepare prepare = MakePrepare(id, {}, {"a"});
  prepare.all_slots = SlotsOfKeys({"a", "b"});
  owner.Apply(prepare, 101, store_);
  owner.Apply(Decide{id, Outcome::kCommitted, 150, {}}, 151);
  owner.Apply(Forget{1000}, 1001);
  EXPECT_EQ(FinalAnswer(owner.state(), id)->verdict, InquiryAnswer::Verdict::kCommitted);
  owner.Apply(Settle{id}, 1002);
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
  EXPECT_EQ(elsewhere.Apply(Decide{id, Outcome::kAborted, 0, {}}, 102).verdict,
            DecideAnswer::Verdict::kNotOwner);
  const ResolveAnswer resolved =
      elsewhere.Apply(Resolve{id, Outcome::kAborted, 0, SlotsOfKeys({"b"})}, 103);
  EXPECT_EQ(resolved.not_owned, SlotsOfKeys({"b"}));
  EXPECT_EQ(FinalAnswer(elsewhere.state(), id)->verdict, InquiryAnswer::Verdict::kNotOwner);
  EXPECT_THAT(elsewhere.TakeStaged(), IsEmpty());
}

TEST_F(TxnShardTest, RowsGiveTheStateAgainAndASplitDividesIt) {
  const TxnId here = IdOf("a", 1);
  const TxnId there = IdOf("b", 2);
  Apply(Anchored(MakePrepare(here, {}, {"a", "b"}), {"a", "b", "c"}));
  Apply(Anchored(MakePrepare(there, {}, {"c"}), {"b", "c"}));
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
    EXPECT_EQ(half->state().resolved.size(), 1u);
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
