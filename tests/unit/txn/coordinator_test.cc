// What leaders do: driving, recovery, telling, asking. The explorer has the rest.

#include "server/txn/coordinator.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/txn/inquirer.h"
#include "tests/unit/txn/rows_store.h"

namespace basalt::txn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

// Owns the slot of "a" alone; "b" is another's.
class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest() : coordinator_(&shard_.state(), CoordinatorOptions{}) {}

  Transaction WritesBoth(uint64_t number) {
    const TxnId id = IdOf("a", number);
    return {id, AgeOfFirstAttempt(id), PartsOf({}, {{"a", "new"}, {"b", "new"}}), true};
  }
  // By an earlier leader.
  DecideAnswer ApplyCommit(const Transaction& transaction) {
    ++stamp_;
    return shard_.Apply(MakeCommit(transaction.id, stamp_ - 1, {}, {"a"}, {"b"}), stamp_, store_);
  }
  DecideAnswer Apply(const Decide& decide, Milliseconds now) {
    stamp_ = std::max(stamp_, decide.prepared) + 1;
    DecideAnswer answer = shard_.Apply(decide, stamp_, store_);
    coordinator_.OnDecided(decide.id, answer, now);
    return answer;
  }
  std::vector<Settle> SettlesOfATick(Milliseconds now) {
    coordinator_.OnTick(now);
    return coordinator_.TakeEffects().settles;
  }
  static PrepareAnswer PreparedAt(Stamp stamp) {
    PrepareAnswer answer;
    answer.prepared = stamp;
    return answer;
  }

  RowsStore store_;
  TxnShard shard_{{base::SlotOf("a"), 1}};
  Coordinator coordinator_;
  Stamp stamp_ = 100;
};

TEST_F(CoordinatorTest, DrivesToACommitAboveAllPreparesAndTellsUntilAllHaveApplied) {
  const Transaction transaction = WritesBoth(1);
  coordinator_.Commit(transaction, 5000, 0, store_);
  CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.prepares, SizeIs(1));
  ASSERT_THAT(effects.prepares[0].parts, SizeIs(1));
  EXPECT_EQ(effects.prepares[0].parts[0].slot, base::SlotOf("b"));
  EXPECT_THAT(effects.offers, IsEmpty());

  coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 2);
  effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.offers, SizeIs(1));
  const Decide& decide = effects.offers[0].decide;
  EXPECT_EQ(effects.offers[0].age, transaction.age);
  EXPECT_EQ(decide.prepared, 170u);
  EXPECT_THAT(decide.slots, UnorderedElementsAre(base::SlotOf("a"), base::SlotOf("b")));
  ASSERT_THAT(decide.parts, SizeIs(1));
  EXPECT_EQ(decide.parts[0].slot, base::SlotOf("a"));
  EXPECT_THAT(effects.answers, IsEmpty());  // proposed is not decided

  const DecideAnswer decided = Apply(decide, 3);
  effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.answers, SizeIs(1));
  EXPECT_EQ(effects.answers[0].verdict, CommitAnswer::Verdict::kCommitted);
  EXPECT_EQ(effects.answers[0].commit, decided.commit);
  EXPECT_GT(decided.commit, 170u);
  ASSERT_THAT(effects.resolves, SizeIs(1));
  EXPECT_EQ(effects.resolves[0].slots, SlotsOfKeys({"b"}));

  coordinator_.OnTick(3 + 500);
  EXPECT_THAT(coordinator_.TakeEffects().resolves, SizeIs(1));  // no answer: again
  coordinator_.OnResolved(transaction.id, {{}, SlotsOfKeys({"b"})});
  EXPECT_THAT(SettlesOfATick(510), IsEmpty());  // asked the wrong one
  coordinator_.OnResolved(transaction.id, {SlotsOfKeys({"b"}), {}});
  EXPECT_THAT(coordinator_.TakeEffects().settles, IsEmpty()) << "nobody waits for it";
  EXPECT_THAT(SettlesOfATick(520), SizeIs(1));
}

TEST_F(CoordinatorTest, WhatEndedSinceTheLastTickIsSettledByOneCommand) {
  for (const uint64_t number : {1u, 2u, 3u}) {
    const Transaction transaction = WritesBoth(number);
    coordinator_.Commit(transaction, 5000, 0, store_);
    coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 1);
    Apply(coordinator_.TakeEffects().offers.at(0).decide, 2);
    coordinator_.OnResolved(transaction.id, {SlotsOfKeys({"b"}), {}});
    store_.Keep(shard_);
  }
  const std::vector<Settle> settles = SettlesOfATick(100);
  ASSERT_THAT(settles, SizeIs(1));
  EXPECT_THAT(settles[0].ids, ElementsAre(IdOf("a", 1), IdOf("a", 2), IdOf("a", 3)));
  EXPECT_THAT(SettlesOfATick(200), IsEmpty());
  EXPECT_THAT(SettlesOfATick(600), SizeIs(1)) << "it may have got lost";
}

// A decision that the same node had proposed in an earlier term: what of it is read here alone
// would say that all other keys are absent.
TEST_F(CoordinatorTest, ADecisionOfAnotherDriverTellsNoValues) {
  store_.Put("a", 50);
  const TxnId id = IdOf("a", 1);
  coordinator_.Commit({id, AgeOfFirstAttempt(id), PartsOf({{"a", 0}, {"b", 0}}, {}), false}, 5000,
                      0, store_);
  Decide stale = MakeCommit(id, 90, {{"a", 0}}, {}, {"b"});
  stale.compares_versions = false;
  ASSERT_EQ(Apply(stale, 1).outcome, Outcome::kCommitted);
  const CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.answers, SizeIs(1));
  EXPECT_EQ(effects.answers[0].verdict, CommitAnswer::Verdict::kCommitted);
  EXPECT_FALSE(effects.answers[0].values.has_value());
}

// Others' outcomes are dropped while it waits for its participants.
TEST_F(CoordinatorTest, WhatFallsBelowForgottenWhileItIsDrivenIsAborted) {
  const Transaction transaction = WritesBoth(1);
  coordinator_.Commit(transaction, 5000, 0, store_);
  coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 1);
  const Decide decide = coordinator_.TakeEffects().offers.at(0).decide;
  ++stamp_;
  shard_.Apply(MakeAbort(IdOf("a", 9)), stamp_, store_);
  shard_.Apply(Forget{stamp_, 0}, stamp_ + 1);
  ++stamp_;
  ASSERT_EQ(Apply(decide, 2).verdict, DecideAnswer::Verdict::kForgotten);
  const CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.answers, SizeIs(1));
  EXPECT_EQ(effects.answers[0].verdict, CommitAnswer::Verdict::kAborted);
  EXPECT_EQ(effects.answers[0].reason, AbortReason::kForgotten);
  ASSERT_THAT(effects.resolves, SizeIs(1)) << "the other's locks";
  EXPECT_EQ(effects.resolves[0].outcome, Outcome::kAborted);
  EXPECT_EQ(effects.resolves[0].slots, SlotsOfKeys({"b"}));
  EXPECT_EQ(coordinator_.driving(), 0u);
  // Who did not drive it cannot know.
  coordinator_.Commit(transaction, 5000, 3, store_);
  EXPECT_EQ(coordinator_.TakeEffects().answers.at(0).verdict, CommitAnswer::Verdict::kForgotten);
}

TEST_F(CoordinatorTest, WhatOthersReadUnderLocksIsBoundedTogether) {
  const TxnId id = IdOf("a", 1);
  coordinator_.Commit(
      {id, AgeOfFirstAttempt(id), PartsOf({{"a", 0}, {"b", 0}, {"c", 0}}, {}), false}, 5000, 0,
      store_);
  PrepareAnswer answer = PreparedAt(170);
  answer.values = {{"b", {60, std::string(kReadBytesMost / 2, 'v')}}};
  coordinator_.OnPrepareAnswer(id, SlotsOfKeys({"b"}), answer, 1);
  EXPECT_THAT(coordinator_.TakeEffects().decides, IsEmpty());
  answer.values = {{"c", {60, std::string(kReadBytesMost / 2 + 1, 'v')}}};
  coordinator_.OnPrepareAnswer(id, SlotsOfKeys({"c"}), answer, 1);
  const CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.decides, SizeIs(1));
  EXPECT_EQ(effects.decides[0].outcome, Outcome::kAborted);
}

// A part that has moved to this shard, or from it.
TEST_F(CoordinatorTest, APartThatMovedAwayHasToPrepare) {
  TxnShard wide(kAllSlots);
  Coordinator coordinator(&wide.state(), CoordinatorOptions{});
  const Transaction transaction = WritesBoth(1);
  coordinator.Commit(transaction, 5000, 0, store_);
  CoordinatorEffects effects = coordinator.TakeEffects();
  EXPECT_THAT(effects.prepares, IsEmpty()) << "all of it is this shard's";
  ASSERT_THAT(effects.offers, SizeIs(1));
  wide.NarrowTo({base::SlotOf("a"), 1});
  const DecideAnswer moved = wide.Apply(effects.offers[0].decide, ++stamp_, store_);
  ASSERT_EQ(moved.verdict, DecideAnswer::Verdict::kMoved);
  coordinator.OnDecided(transaction.id, moved, 1);
  effects = coordinator.TakeEffects();
  ASSERT_THAT(effects.prepares, SizeIs(1));
  EXPECT_EQ(effects.prepares[0].parts.at(0).slot, base::SlotOf("b"));
  coordinator.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 2);
  effects = coordinator.TakeEffects();
  ASSERT_THAT(effects.offers, SizeIs(1));
  EXPECT_THAT(effects.offers[0].decide.parts, SizeIs(1));
}

TEST_F(CoordinatorTest, WhatCanNeverBePreparedIsRefusedBeforeItBegins) {
  store_.Put("a", 50);
  store_.Put("b", 60);
  const auto commit = [this](uint64_t number, const std::vector<Read>& reads, bool compares) {
    const TxnId id = IdOf("a", number);
    coordinator_.Commit(
        {id, AgeOfFirstAttempt(id), PartsOf(reads, {{"a", "new"}, {"b", "new"}}), compares}, 5000,
        0, store_);
    return coordinator_.TakeEffects();
  };
  const CoordinatorEffects outdated = commit(1, {{"a", 40}}, true);
  ASSERT_THAT(outdated.answers, SizeIs(1));
  EXPECT_EQ(outdated.answers[0].verdict, CommitAnswer::Verdict::kAborted);
  EXPECT_EQ(outdated.answers[0].reason, AbortReason::kChanged);
  EXPECT_THAT(outdated.prepares, IsEmpty());
  EXPECT_THAT(outdated.decides, IsEmpty());
  EXPECT_EQ(coordinator_.driving(), 0u);

  EXPECT_THAT(commit(2, {{"a", 50}}, true).prepares, SizeIs(1)) << "as it was read";
  EXPECT_THAT(commit(3, {{"a", 0}}, true).prepares, SizeIs(1)) << "none may come back";
  EXPECT_THAT(commit(4, {{"b", 40}}, true).prepares, SizeIs(1)) << "another shard's key";
  EXPECT_THAT(commit(5, {{"a", 40}}, false).prepares, SizeIs(1)) << "it compares nothing";
}

// Its own writes may be what is newer.
TEST_F(CoordinatorTest, WhatIsDrivenOrDecidedIsNotRefusedForItsVersions) {
  store_.Put("a", 50);
  const TxnId id = IdOf("a", 1);
  const Transaction transaction{id, AgeOfFirstAttempt(id),
                                PartsOf({{"a", 50}}, {{"a", "new"}, {"b", "new"}}), true};
  coordinator_.Commit(transaction, 5000, 0, store_);
  EXPECT_THAT(coordinator_.TakeEffects().prepares, SizeIs(1));
  store_.Put("a", 60);
  coordinator_.Commit(transaction, 5000, 1, store_);
  EXPECT_THAT(coordinator_.TakeEffects().answers, IsEmpty()) << "its Prepare may be in the log";
  store_.Put("a", 50);
  Apply(MakeCommit(id, stamp_, {{"a", 50}}, {"a"}, {"b"}), 3);
  coordinator_.TakeEffects();
  store_.Keep(shard_);
  Coordinator successor(&shard_.state(), CoordinatorOptions{});
  for (Coordinator* asked : {&coordinator_, &successor}) {
    asked->Commit(transaction, 5000, 4, store_);
    const CoordinatorEffects effects = asked->TakeEffects();
    ASSERT_THAT(effects.answers, SizeIs(1));
    EXPECT_EQ(effects.answers[0].verdict, CommitAnswer::Verdict::kCommitted);
  }
}

TEST_F(CoordinatorTest, ARefusalOrTheDeadlineAborts) {
  for (const bool refused : {true, false}) {
    const Transaction transaction = WritesBoth(refused ? 1 : 2);
    coordinator_.Commit(transaction, 5000, 0, store_);
    coordinator_.TakeEffects();
    PrepareAnswer answer;
    answer.verdict = PrepareAnswer::Verdict::kChanged;
    if (refused) coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), answer, 1);
    if (!refused) coordinator_.OnTick(5000);
    CoordinatorEffects effects = coordinator_.TakeEffects();
    ASSERT_THAT(effects.decides, SizeIs(1));
    Apply(effects.decides[0], 5001);
    effects = coordinator_.TakeEffects();
    ASSERT_THAT(effects.answers, SizeIs(1));
    EXPECT_EQ(effects.answers[0].reason, refused ? AbortReason::kChanged : AbortReason::kDeadline);
    EXPECT_EQ(effects.resolves[0].outcome, Outcome::kAborted);
  }
}

// The lock that it waits for may be one whose owner is cut off.
TEST_F(CoordinatorTest, ADecisionThatWaitsForLocksIsAbortedWhenItIsRefusedOrAtTheDeadline) {
  for (const bool refused : {true, false}) {
    const Transaction transaction = WritesBoth(refused ? 1 : 2);
    coordinator_.Commit(transaction, 5000, 0, store_);
    coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 1);
    EXPECT_THAT(coordinator_.TakeEffects().offers, SizeIs(1));
    coordinator_.OnTick(201);
    CoordinatorEffects effects = coordinator_.TakeEffects();
    EXPECT_THAT(effects.offers, IsEmpty()) << "it is in the queue or in the log";
    if (refused) coordinator_.OnRefused(transaction.id, 300);
    if (!refused) coordinator_.OnTick(5000);
    effects = coordinator_.TakeEffects();
    EXPECT_THAT(effects.offers, IsEmpty());
    ASSERT_THAT(effects.decides, SizeIs(1));
    EXPECT_EQ(effects.decides[0].outcome, Outcome::kAborted);
    coordinator_.OnRefused(transaction.id, 5001);
    EXPECT_THAT(coordinator_.TakeEffects().decides, IsEmpty()) << "it is under way";
    Apply(effects.decides[0], 5002);
    EXPECT_EQ(coordinator_.TakeEffects().answers.at(0).reason,
              refused ? AbortReason::kLocked : AbortReason::kDeadline);
  }
}

TEST_F(CoordinatorTest, ADecisionThatFindsAnObstacleTellsTheClientWhich) {
  const Transaction transaction = WritesBoth(1);
  shard_.Apply(MakePrepare(IdOf("b", 9), {}, {"a"}), ++stamp_, store_);
  coordinator_.Commit(transaction, 5000, 0, store_);
  coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 1);
  Apply(coordinator_.TakeEffects().offers.at(0).decide, 2);
  const CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.answers, SizeIs(1));
  EXPECT_EQ(effects.answers[0].verdict, CommitAnswer::Verdict::kAborted);
  EXPECT_EQ(effects.answers[0].reason, AbortReason::kLocked);
  ASSERT_THAT(effects.resolves, SizeIs(1));
  EXPECT_EQ(effects.resolves[0].outcome, Outcome::kAborted);
  EXPECT_EQ(effects.resolves[0].slots, SlotsOfKeys({"b"}));
}

// Hazard 53: the leader dies when the others have prepared, and its decision is in no log.
TEST_F(CoordinatorTest, WhatNobodyDecidedIsDrivenAnewForItsClientAndAbortedForParticipants) {
  const Transaction transaction = WritesBoth(1);
  Coordinator successor(&shard_.state(), CoordinatorOptions{});
  successor.OnTick(0);
  EXPECT_THAT(successor.TakeEffects().decides, IsEmpty()) << "it knows of nothing";
  successor.Commit(transaction, 5000, 1, store_);
  EXPECT_THAT(successor.TakeEffects().prepares, SizeIs(1));

  Coordinator other(&shard_.state(), CoordinatorOptions{});
  other.OnInquiry(transaction.id, 7, 1);
  CoordinatorEffects effects = other.TakeEffects();
  ASSERT_THAT(effects.decides, SizeIs(1));
  other.Commit(transaction, 5000, 2, store_);
  EXPECT_THAT(other.TakeEffects().prepares, IsEmpty()) << "its abort is under way";
  const DecideAnswer aborted = shard_.Apply(effects.decides[0], ++stamp_, store_);
  other.OnDecided(transaction.id, aborted, 3);
  EXPECT_EQ(other.TakeEffects().answers.at(0).verdict, CommitAnswer::Verdict::kAborted);
  // The first leader's decision comes too late.
  EXPECT_EQ(ApplyCommit(transaction).outcome, Outcome::kAborted);
}

TEST_F(CoordinatorTest, ANewLeaderTellsWhatWasDecidedAndNotSettled) {
  const Transaction transaction = WritesBoth(1);
  const DecideAnswer decided = ApplyCommit(transaction);
  coordinator_.OnTick(0);
  const CoordinatorEffects effects = coordinator_.TakeEffects();
  EXPECT_THAT(effects.decides, IsEmpty());
  ASSERT_THAT(effects.resolves, SizeIs(1));
  EXPECT_EQ(effects.resolves[0].commit, decided.commit);
}

// The owner of the other slot may be without a leader for hours, and every attempt leaves a record.
TEST_F(CoordinatorTest, AnAbortIsToldOnceAndSettlesWithoutAnAnswer) {
  const Transaction transaction = WritesBoth(1);
  coordinator_.Commit(transaction, 0, 0, store_);
  coordinator_.OnTick(0);
  CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.decides, SizeIs(1));
  ASSERT_EQ(effects.decides[0].outcome, Outcome::kAborted);
  Apply(effects.decides[0], 1);
  effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.resolves, SizeIs(1));
  EXPECT_EQ(effects.resolves[0].slots, SlotsOfKeys({"b"}));
  EXPECT_THAT(SettlesOfATick(100), SizeIs(1));
  coordinator_.OnTick(700);
  effects = coordinator_.TakeEffects();
  EXPECT_THAT(effects.resolves, IsEmpty());
  ASSERT_THAT(effects.settles, SizeIs(1)) << "the first one may have got lost with a leader";
  EXPECT_FALSE(shard_.state().open.empty());
  shard_.Apply(effects.settles[0], 200);
  EXPECT_TRUE(shard_.state().open.empty());
  coordinator_.OnInquiry(transaction.id, 7, 800);
  EXPECT_EQ(coordinator_.TakeEffects().replies.at(0).answer.verdict,
            InquiryAnswer::Verdict::kAborted);
}

// Taken for "all keys are absent", it would show what never was.
TEST_F(CoordinatorTest, WhatWasReadUnderLocksIsKnownToItsDriverAlone) {
  Transaction transaction = WritesBoth(1);
  transaction.compares_versions = false;
  coordinator_.Commit(transaction, 5000, 0, store_);
  coordinator_.OnPrepareAnswer(transaction.id, SlotsOfKeys({"b"}), PreparedAt(170), 2);
  const CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.offers, SizeIs(1));
  Coordinator successor(&shard_.state(), CoordinatorOptions{});
  Apply(effects.offers[0].decide, 3);
  const CommitAnswer to_driver = coordinator_.TakeEffects().answers.at(0);
  EXPECT_TRUE(to_driver.values.has_value());
  successor.Commit(transaction, 5000, 3, store_);  // its client has come back
  const CommitAnswer to_successor = successor.TakeEffects().answers.at(0);
  EXPECT_EQ(to_successor.verdict, CommitAnswer::Verdict::kCommitted);
  EXPECT_FALSE(to_successor.values.has_value());
  coordinator_.Commit(transaction, 5000, 4, store_);  // decided: it drives no more
  EXPECT_FALSE(coordinator_.TakeEffects().answers.at(0).values.has_value());
}

TEST_F(CoordinatorTest, InquiriesArePendingWhileDrivenAndAbortWhatNobodyDrives) {
  const Transaction driven = WritesBoth(1);
  coordinator_.Commit(driven, 5000, 0, store_);
  coordinator_.TakeEffects();
  coordinator_.OnInquiry(driven.id, 7, 1);
  CoordinatorEffects effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.replies, SizeIs(1));
  EXPECT_EQ(effects.replies[0].answer.verdict, InquiryAnswer::Verdict::kPending);

  const TxnId unknown = IdOf("a", 9);
  coordinator_.OnInquiry(unknown, 7, 2);
  effects = coordinator_.TakeEffects();
  EXPECT_THAT(effects.replies, IsEmpty());  // not before it is in the log
  ASSERT_THAT(effects.decides, SizeIs(1));
  Apply(effects.decides[0], 3);
  effects = coordinator_.TakeEffects();
  ASSERT_THAT(effects.replies, SizeIs(1));
  EXPECT_EQ(effects.replies[0].asker, 7u);
  EXPECT_EQ(effects.replies[0].answer.verdict, InquiryAnswer::Verdict::kAborted);

  coordinator_.OnInquiry(IdOf("b", 9), 7, 4);  // another's slot
  effects = coordinator_.TakeEffects();
  EXPECT_EQ(effects.replies[0].answer.verdict, InquiryAnswer::Verdict::kNotOwner);
  EXPECT_THAT(effects.decides, IsEmpty());
}

TEST(InquirerTest, LocksThatWaitASecondAskAndEndAsTheyAreTold) {
  RowsStore store;
  TxnShard shard(kAllSlots);
  const TxnId id = IdOf("a", 1);
  shard.Apply(MakePrepare(id, {}, {"w"}), 101, store);
  Inquirer inquirer(&shard.state(), InquirerOptions{});
  inquirer.OnTick(0);
  inquirer.OnTick(999);
  EXPECT_THAT(inquirer.TakeEffects().asks, IsEmpty());
  inquirer.OnTick(1000);
  EXPECT_THAT(inquirer.TakeEffects().asks, ElementsAre(id));
  inquirer.OnAnswer(id, {InquiryAnswer::Verdict::kPending, 0});
  inquirer.OnAnswer(id, {InquiryAnswer::Verdict::kNotOwner, 0});
  EXPECT_THAT(inquirer.TakeEffects().proposals, IsEmpty());
  inquirer.OnTick(2000);
  EXPECT_THAT(inquirer.TakeEffects().asks, ElementsAre(id));
  inquirer.OnAnswer(id, {InquiryAnswer::Verdict::kCommitted, 120});
  const InquirerEffects effects = inquirer.TakeEffects();
  ASSERT_THAT(effects.proposals, SizeIs(1));
  EXPECT_EQ(effects.proposals[0].commit, 120u);
  EXPECT_EQ(effects.proposals[0].slots, SlotsOfKeys({"w"}));
}

}  // namespace
}  // namespace basalt::txn
