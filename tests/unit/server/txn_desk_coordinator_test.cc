// What the leader of a shard does as coordinator of transactions.
#include "tests/unit/server/txn_desk_fixture.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using txn::IdOf;

TEST_F(TxnDeskTest, ACommitIsDrivenToItsDecisionAndEverybodyIsTold) {
  const txn::Transaction transaction = WritesBoth(1);
  Commit(7, transaction);
  std::vector<v1::TxnMessage> sent = edge_.TakeToOwners();
  ASSERT_THAT(sent, SizeIs(1)) << "its own part comes with the decision";
  EXPECT_EQ(sent[0].to_slot(), kFoo);
  ASSERT_EQ(sent[0].prepare().parts_size(), 1);
  EXPECT_EQ(sent[0].prepare().parts(0).slot(), kFoo);
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "one has not answered";
  FooIsPrepared(transaction.id, 500);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  const v1::DecideCommand decide = edge_.proposed[0].command.decide();
  EXPECT_EQ(decide.outcome(), v1::TXN_OUTCOME_COMMITTED);
  EXPECT_EQ(decide.prepared(), 500u);
  EXPECT_THAT(decide.slots(), ElementsAre(kBar, kFoo));
  ASSERT_EQ(decide.parts_size(), 1);
  EXPECT_EQ(decide.parts(0).slot(), kBar);
  EXPECT_EQ(edge_.proposed[0].floor, 500u);
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty()) << "only what is applied is answered";
  Apply();
  EXPECT_EQ(stamp_, 510u);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("7 committed@510 0"));
  EXPECT_EQ(edge_.heard, 888u) << "for the client's next number";
  EXPECT_EQ(store_.NewestOf("bar"), (txn::Newest{510, "new"}));
  EXPECT_TRUE(shard_.state().prepared.empty());
  sent = edge_.TakeToOwners();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_THAT(sent[0].resolve().slots(), ElementsAre(kFoo));
  EXPECT_EQ(sent[0].resolve().commit(), 510u);
  FooIsResolved(transaction.id);
  Pass(milliseconds(100));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_TRUE(edge_.proposed[0].command.has_settle());
  Apply();
  EXPECT_TRUE(shard_.state().open.empty());
  EXPECT_EQ(desk_->driving(), 0u);
  EXPECT_EQ(desk_->waiting(), 0u);
  EXPECT_EQ(counters_.commits, 1u);
}

TEST_F(TxnDeskTest, EverySendOfACommitIsAnswered) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  Commit(2, transaction);
  EXPECT_THAT(edge_.TakeToOwners(), IsEmpty()) << "it is driven already";
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@510 0", "2 committed@510 0"));
  Commit(3, transaction);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("3 committed@510 0"));
}

TEST_F(TxnDeskTest, WhatIsItsOwnAltogetherIsDecidedAtOnce) {
  txn::Transaction transaction = WritesBoth(1);
  transaction.parts = txn::PartsOf({{"bar", 0}}, {{"bar", "new"}, {"b", "new"}});
  Commit(1, transaction);
  EXPECT_THAT(edge_.TakeToOwners(), IsEmpty());
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(edge_.proposed[0].floor, transaction.id.issued);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(fmt::format("1 committed@{} 0", stamp_)));
  EXPECT_TRUE(shard_.state().open.empty()) << "nobody has to be told";
}

TEST_F(TxnDeskTest, ARefusedPrepareAborts) {
  const txn::Transaction transaction = WritesBoth(1);
  Commit(1, transaction);
  edge_.TakeToOwners();
  txn::PrepareAnswer changed;
  changed.verdict = txn::PrepareAnswer::Verdict::kChanged;
  Receive(MakePrepareReply(transaction.id, {kFoo}, changed));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kChanged)));
  EXPECT_EQ(counters_.aborts, 1u);
  ASSERT_THAT(edge_.TakeToOwners(), SizeIs(1)) << "foo is told";
  Pass(milliseconds(100));
  Apply();
  EXPECT_TRUE(shard_.state().open.empty()) << "and asks if it has not heard it";
}

// A client that has given up learns nothing.
TEST_F(TxnDeskTest, TheDeadlineAbortsBeforeTheClientGivesUp) {
  Commit(1, WritesBoth(1), seconds(1));
  Pass(milliseconds(700));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  Pass(milliseconds(100));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kDeadline)));
}

TEST_F(TxnDeskTest, ACommitThatNobodyDecidesIsUnknownOnceSoonAfterItsDeadline) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  Pass(milliseconds(5900));
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty());
  Pass(milliseconds(200));
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 late"));
  ASSERT_GT(edge_.proposed.size(), 1u);
  EXPECT_EQ(OutcomeProposed(1), v1::TXN_OUTCOME_ABORTED) << "at the deadline";
  Apply();
  EXPECT_EQ(store_.NewestOf("bar").version, 510u) << "the first in the log decides";
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty()) << "once";
  EXPECT_THAT(desk_->TakeCommits(), IsEmpty());
}

// ---- its own part ----

TEST_F(TxnDeskTest, ADecisionThatFindsAChangeAborts) {
  txn::Transaction transaction = WritesBoth(1);
  transaction.parts = txn::PartsOf({{"bar", 50}}, {{"bar", "new"}, {"foo", "new"}});
  store_.Put("bar", 50);
  DriveToDecide(transaction);
  store_.Put("bar", 60);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kChanged)));
  EXPECT_EQ(store_.NewestOf("bar").version, 60u);
  EXPECT_EQ(counters_.aborts, 1u);
  const std::vector<v1::TxnMessage> told = edge_.TakeToOwners();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].resolve().outcome(), v1::TXN_OUTCOME_ABORTED);
}

// The queue is a courtesy: its own entry begins with a Prepare that no queue knew of.
TEST_F(TxnDeskTest, ADecisionThatFindsALockAborts) {
  DriveToDecide(WritesBoth(1));
  LockBehindItsBack(IdOf("foo", 5), "bar");
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kLocked)));
  EXPECT_EQ(store_.NewestOf("bar").version, 0u);
}

TEST_F(TxnDeskTest, ADecisionWaitsForAYoungerHolder) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  const txn::Transaction transaction = WritesBoth(3);
  DriveToOffer(1, transaction);
  EXPECT_THAT(edge_.proposed, IsEmpty());
  EXPECT_EQ(desk_->waiting(), 1u);
  EXPECT_EQ(counters_.waits, 1u);
  ReceiveAbort(IdOf("foo", 5));
  EXPECT_EQ(Apply(), 1u);
  EXPECT_EQ(desk_->waiting(), 0u);
  ASSERT_THAT(edge_.proposed, SizeIs(1)) << "its turn";
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_COMMITTED);
  EXPECT_EQ(edge_.proposed[0].floor, 500u);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@510 0"));
  EXPECT_EQ(counters_.dies, 0u);
}

TEST_F(TxnDeskTest, ADecisionThatMeetsAnOlderHolderAborts) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  DriveToOffer(1, WritesBoth(9));
  EXPECT_EQ(desk_->waiting(), 0u);
  EXPECT_EQ(counters_.dies, 1u);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
  EXPECT_THAT(edge_.proposed[0].command.decide().slots(), ElementsAre(kBar, kFoo));
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty()) << "only what is applied is answered";
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kLocked)));
  EXPECT_EQ(counters_.aborts, 1u);
  EXPECT_THAT(edge_.TakeToOwners(), SizeIs(1)) << "foo is told";
}

// Waiting, it is judged anew.
TEST_F(TxnDeskTest, ADecisionThatWaitsIsRefusedWhenAnOlderOneGetsTheLock) {
  const txn::TxnId younger = IdOf("foo", 5);
  LockBehindItsBack(younger, "bar");
  DriveToOffer(1, WritesBoth(3));
  EXPECT_EQ(desk_->waiting(), 1u);
  shard_.Apply(txn::Resolve{younger, txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  LockBehindItsBack(IdOf("foo", 1), "bar");
  desk_->OnApplied({younger, txn::ResolveAnswer{{kBar}, {}}}, 0, now_);
  EXPECT_EQ(desk_->waiting(), 0u);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kLocked)));
}

// It waits for a write that is proposed; when that is done, somebody older has the lock.
TEST_F(TxnDeskTest, ADecisionThatIsRefusedWhenAWriteIsDoneIsAbortedAtOnce) {
  LockBehindItsBack(IdOf("foo", 9), "bar");
  PendingWrite write = Write(7);
  write.age = AgeOfFirstAttempt(IdOf("foo", 5));
  desk_->OnTurnedAway(std::move(write), OneShardOf({"bar", "{bar}2"}), now_);
  shard_.Apply(txn::Resolve{IdOf("foo", 9), txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  desk_->OnApplied({IdOf("foo", 9), txn::ResolveAnswer{{kBar}, {}}}, 0, now_);
  ASSERT_THAT(edge_.again, SizeIs(1));
  edge_.TakeToOwners();
  DriveToOffer(1, WritesBoth(3));
  EXPECT_EQ(desk_->waiting(), 1u);
  LockBehindItsBack(IdOf("foo", 1), "bar");
  desk_->OnDone(edge_.again[0].ticket);
  EXPECT_EQ(desk_->waiting(), 0u);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
}

TEST_F(TxnDeskTest, ADecisionThatIsProposedHoldsItsKeys) {
  DriveToDecide(WritesBoth(5));
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 9), {}, {"bar"}));
  auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].second.prepare_reply().verdict(), v1::TxnPrepareReply::VERDICT_LOCKED);
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 3), {}, {"bar"}));
  EXPECT_EQ(desk_->waiting(), 1u);
  EXPECT_EQ(Apply(), 1u);
  EXPECT_EQ(Apply(), 1u) << "its turn";
  replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].second.prepare_reply().verdict(), v1::TxnPrepareReply::VERDICT_PREPARED);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@510 0"));
}

TEST_F(TxnDeskTest, ACopyOfADecisionIsDropped) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  const txn::Transaction transaction = WritesBoth(3);
  DriveToOffer(1, transaction);
  Pass(milliseconds(900));  // it is offered again meanwhile
  Commit(2, transaction);
  FooIsPrepared(transaction.id, 500);
  EXPECT_THAT(edge_.proposed, IsEmpty());
  EXPECT_EQ(desk_->waiting(), 1u);
  ReceiveAbort(IdOf("foo", 5));
  EXPECT_EQ(Apply(), 1u);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  Pass(milliseconds(900));
  EXPECT_THAT(edge_.proposed, SizeIs(1)) << "nor while it is proposed";
  EXPECT_EQ(desk_->waiting(), 0u);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@510 0", "2 committed@510 0"));
}

TEST_F(TxnDeskTest, ADecisionThatWaitsIsOvertakenByAnAbortAtItsDeadline) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  DriveToOffer(1, WritesBoth(3), seconds(1));
  Pass(milliseconds(700));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  Pass(milliseconds(100));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
  EXPECT_EQ(desk_->waiting(), 1u);
  Apply();
  EXPECT_EQ(desk_->waiting(), 0u);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kDeadline)));
  ReceiveAbort(IdOf("foo", 5));
  EXPECT_EQ(Apply(), 1u);
  EXPECT_THAT(edge_.proposed, IsEmpty());
  // Its next attempt is as old.
  txn::Transaction next = WritesBoth(4);
  next.age = AgeOfFirstAttempt(IdOf("bar", 3));
  edge_.TakeToOwners();
  DriveToOffer(2, next);
  EXPECT_THAT(edge_.proposed, SizeIs(1));
}

// The lock ends when the abort is on its way already.
TEST_F(TxnDeskTest, ADecisionBehindAnAbortInTheLogIsAnEcho) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  DriveToOffer(1, WritesBoth(3), seconds(1));
  Pass(milliseconds(800));
  shard_.Apply(txn::Resolve{IdOf("foo", 5), txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  desk_->OnApplied({IdOf("foo", 5), txn::ResolveAnswer{{kBar}, {}}}, 0, now_);
  ASSERT_THAT(edge_.proposed, SizeIs(2));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
  EXPECT_EQ(OutcomeProposed(1), v1::TXN_OUTCOME_COMMITTED);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kDeadline)));
  EXPECT_EQ(store_.NewestOf("bar").version, 0u);
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 9), {}, {"bar"}));
  EXPECT_THAT(edge_.proposed, SizeIs(1)) << "nothing that is proposed is in its way";
}

TEST_F(TxnDeskTest, ADecisionWaitsForFourSeconds) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  DriveToOffer(1, WritesBoth(3), seconds(20));
  Pass(milliseconds(3900));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  EXPECT_EQ(desk_->waiting(), 1u);
  Pass(milliseconds(100));
  EXPECT_EQ(desk_->waiting(), 0u);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kLocked)));
}

// The tick sends it again just then.
TEST_F(TxnDeskTest, ADecisionThatWaitedForTooLongIsNotOfferedAgainByALateTick) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  DriveToOffer(1, WritesBoth(3), seconds(20));
  now_ += seconds(4);
  desk_->OnTick(now_);
  EXPECT_EQ(desk_->waiting(), 0u);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kLocked)));
}

TEST_F(TxnDeskTest, ADecisionOnWhatMayBeForgottenWaitsNoLonger) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  DriveToOffer(1, WritesBoth(3), seconds(1));
  shard_.Apply(txn::Resolve{IdOf("{bar}x", 77), txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  ++stamp_;
  shard_.Apply(txn::Forget{stamp_ - 1, 100}, stamp_);
  Pass(milliseconds(800));
  Apply();
  EXPECT_EQ(desk_->waiting(), 0u);
}

// No Resolve comes to its own shard.
TEST_F(TxnDeskTest, ADecisionOnWhatIsAbortedWaitsNoLonger) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  const txn::Transaction transaction = WritesBoth(3);
  DriveToOffer(1, transaction);
  EXPECT_EQ(desk_->waiting(), 1u);
  // By what the leader before had put into the log.
  v1::Command abort;
  ToProto(txn::MakeAbort(transaction.id), *abort.mutable_decide());
  ApplyOne({abort, transaction.id.issued, 0});
  EXPECT_EQ(desk_->waiting(), 0u);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(1, txn::AbortReason::kNewLeader)));
  EXPECT_THAT(edge_.proposed, IsEmpty());
}

TEST_F(TxnDeskTest, DecisionsThatWaitAreBoundedInBytes) {
  LockBehindItsBack(IdOf("foo", 100), "bar");
  const std::string large(size_t{8} << 20, 'v');
  for (uint64_t number = 50; number > 42; --number) {
    txn::Transaction transaction = WritesBoth(number);
    transaction.parts = txn::PartsOf({}, {{"bar", large}, {"foo", "new"}});
    DriveToOffer(number, transaction);
  }
  EXPECT_EQ(desk_->waiting(), 7u);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(43, txn::AbortReason::kLocked)));
  // One that ends makes room.
  v1::Command abort;
  ToProto(txn::MakeAbort(IdOf("bar", 50)), *abort.mutable_decide());
  ApplyOne({abort, 10, 0});
  EXPECT_EQ(desk_->waiting(), 6u);
  txn::Transaction transaction = WritesBoth(42);
  transaction.parts = txn::PartsOf({}, {{"bar", large}, {"foo", "new"}});
  edge_.TakeToOwners();
  DriveToOffer(42, transaction);
  EXPECT_EQ(desk_->waiting(), 7u);
}

TEST_F(TxnDeskTest, ValuesReadUnderLocksAreThoseOfBothShards) {
  txn::Transaction transaction = WritesBoth(1);
  transaction.parts = txn::PartsOf({{"bar", 0}, {"{bar}2", 0}, {"foo", 0}}, {});
  transaction.compares_versions = false;
  store_.Put("bar", 50);
  Commit(1, transaction);
  txn::PrepareAnswer answer;
  answer.prepared = 500;
  answer.values = {{"foo", {60, "theirs"}}};
  Receive(MakePrepareReply(transaction.id, {kFoo}, answer));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@510 0"));
  const std::map<std::string, txn::Newest> expected{
      {"bar", {50, "old"}}, {"{bar}2", {0, std::nullopt}}, {"foo", {60, "theirs"}}};
  EXPECT_EQ(edge_.values, expected);
}

// "b" has slot 3300, and moves away while the decision is on its way.
TEST_F(TxnDeskTest, APartThatMovesAwayPreparesWhereItIs) {
  txn::Transaction transaction = WritesBoth(1);
  transaction.parts = txn::PartsOf({}, {{"b", "new"}, {"bar", "new"}, {"foo", "new"}});
  DriveToDecide(transaction);
  EXPECT_EQ(edge_.proposed[0].command.decide().parts_size(), 2);
  shard_.NarrowTo({4096, 4096});
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty());
  const std::vector<v1::TxnMessage> sent = edge_.TakeToOwners();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].to_slot(), base::SlotOf("b"));
  txn::PrepareAnswer answer;
  answer.prepared = 600;
  Receive(MakePrepareReply(transaction.id, {base::SlotOf("b")}, answer));
  ASSERT_THAT(edge_.proposed, SizeIs(1)) << "the one before is in its way no more";
  const v1::DecideCommand& decide = edge_.proposed[0].command.decide();
  ASSERT_EQ(decide.parts_size(), 1);
  EXPECT_EQ(decide.parts(0).slot(), kBar);
  EXPECT_EQ(decide.prepared(), 600u);
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@610 0"));
}

// ---- other leaders ----

TEST_F(TxnDeskTest, ANewLeaderDrivesAnewWhatItsClientSendsAgain) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  edge_.proposed.clear();  // lost with the leadership
  EXPECT_THAT(desk_->TakeCommits(), SizeIs(1));
  Lead();
  Pass(seconds(1));
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "it left no trace here";
  DriveToOffer(2, transaction);
  EXPECT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("2 committed@510 0"));
}

TEST_F(TxnDeskTest, ANewLeaderAbortsWhatIsAskedForAndNobodyDrives) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  edge_.proposed.clear();
  Lead();
  ReceiveInquiry(transaction.id);
  Commit(2, transaction);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_ABORTED);
  FooIsPrepared(transaction.id, 500);
  EXPECT_THAT(edge_.proposed, SizeIs(1)) << "it is taken up no more";
  EXPECT_THAT(edge_.TakeToOwners(), IsEmpty());
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre(Aborted(2, txn::AbortReason::kNewLeader)));
  EXPECT_EQ(store_.NewestOf("bar").version, 0u);
  EXPECT_THAT(edge_.TakeToNodes(), SizeIs(1)) << "who asked is told";
}

TEST_F(TxnDeskTest, ADecisionInTheLogOfTheLeaderBeforeStands) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  Proposed decide = edge_.proposed.at(0);
  decide.ticket = 0;
  edge_.proposed.clear();
  Lead();
  ReceiveInquiry(transaction.id);
  ASSERT_THAT(edge_.proposed, SizeIs(1)) << "an abort, for it knows of no decision";
  edge_.proposed.insert(edge_.proposed.begin(), decide);
  Apply();
  Commit(2, transaction);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("2 committed@510 0"));
  const auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].second.inquiry_reply().commit(), 510u);
}

// ---- telling ----

TEST_F(TxnDeskTest, WhatIsDecidedIsToldAgainUntilAllHaveAppliedIt) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  Apply();
  edge_.TakeToOwners();
  Lead();
  Pass(milliseconds(100));
  EXPECT_THAT(edge_.TakeToOwners(), SizeIs(1));
  Pass(milliseconds(500));
  EXPECT_THAT(edge_.TakeToOwners(), SizeIs(1));
  Receive(MakeResolveReply(transaction.id, {{}, {kFoo}}));
  Pass(milliseconds(100));
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "who does not own the slot has applied nothing";
  FooIsResolved(transaction.id);
  Pass(milliseconds(100));
  Apply();
  EXPECT_TRUE(shard_.state().open.empty());
}

TEST_F(TxnDeskTest, WhatIsSettledBetweenTwoTicksIsOneCommand) {
  std::vector<txn::TxnId> ids;
  for (const uint64_t number : {1, 2, 3}) {
    txn::Transaction transaction = WritesBoth(number);
    transaction.id = IdOf("bar", number, 10 * number);
    DriveToOffer(number, transaction);
    Apply();
    edge_.TakeToOwners();
    ids.push_back(transaction.id);
  }
  FooIsResolved(ids[0]);
  FooIsResolved(ids[1]);
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "nobody waits for it";
  Pass(milliseconds(100));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_THAT(ToValue(edge_.proposed[0].command.settle()).ids, ElementsAre(ids[0], ids[1]));
  EXPECT_EQ(edge_.proposed[0].floor, 20u);
  edge_.proposed.clear();  // lost
  Pass(milliseconds(100));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  FooIsResolved(ids[2]);
  Pass(seconds(1));
  Apply();
  EXPECT_TRUE(shard_.state().open.empty()) << "it is proposed again";
}

}  // namespace
}  // namespace basalt::server
