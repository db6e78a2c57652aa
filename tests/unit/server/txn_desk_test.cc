// What the leader of a shard does for transactions as participant and for whoever asks; as
// coordinator: txn_desk_coordinator_test.cc.
#include "tests/unit/server/txn_desk_fixture.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using txn::IdOf;

// ---- what others ask ----

std::string VerdictOf(const v1::TxnMessage& message) {
  return v1::TxnInquiryReply::Verdict_Name(message.inquiry_reply().verdict()).substr(8);
}

TEST_F(TxnDeskTest, WhoAsksWhileItIsDrivenIsToldToAskAgain) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  ReceiveInquiry(transaction.id);
  auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(VerdictOf(replies[0].second), "PENDING");
  EXPECT_EQ(replies[0].first, kOther);
  EXPECT_EQ(replies[0].second.to_slot(), kFoo);
  Apply();
  ReceiveInquiry(transaction.id);
  replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(VerdictOf(replies[0].second), "COMMITTED");
  EXPECT_EQ(replies[0].second.inquiry_reply().commit(), stamp_);
}

TEST_F(TxnDeskTest, WhoAsksForWhatNobodyDrivesIsToldOnceItIsAborted) {
  const txn::TxnId id = IdOf("bar", 1);
  for (int i = 0; i < 3; ++i) ReceiveInquiry(id);
  ReceiveInquiry(id, raft::NodeId(3), kFoo + 1);
  EXPECT_THAT(edge_.TakeToNodes(), IsEmpty()) << "nothing is applied";
  EXPECT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  const auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(2)) << "who asks again is one";
  EXPECT_EQ(VerdictOf(replies[0].second), "ABORTED");
  EXPECT_EQ(replies[1].first, raft::NodeId(3));
  EXPECT_EQ(replies[1].second.to_slot(), kFoo + 1);
  // A commit that comes now is too late.
  Commit(4, WritesBoth(1));
  EXPECT_THAT(edge_.TakeAnswers(),
              ElementsAre(fmt::format("4 aborted@0 {}", int(txn::AbortReason::kNewLeader))));
}

TEST_F(TxnDeskTest, OneAskerHearsOfEachTransaction) {
  ReceiveInquiry(IdOf("bar", 1));
  ReceiveInquiry(IdOf("bar", 2));
  Apply();
  EXPECT_THAT(edge_.TakeToNodes(), SizeIs(2));
}

TEST_F(TxnDeskTest, OfAnothersSlotItSaysNothing) {
  ReceiveInquiry(IdOf("foo", 1));
  const auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(VerdictOf(replies[0].second), "NOT_OWNER");
  EXPECT_THAT(edge_.proposed, IsEmpty());
}

TEST_F(TxnDeskTest, AfterLocksOfASecondItAsksAndEndsThemAsItIsTold) {
  const txn::TxnId id = IdOf("foo", 1);
  LockBehindItsBack(id, "bar");
  Pass(milliseconds(1000));
  EXPECT_THAT(edge_.TakeToOwners(), IsEmpty());
  Pass(milliseconds(100));
  const std::vector<v1::TxnMessage> asked = edge_.TakeToOwners();
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].to_slot(), kFoo);
  EXPECT_EQ(asked[0].inquiry().asker(), kBar);
  Receive(MakeInquiryReply(id, {txn::InquiryAnswer::Verdict::kPending, 0}));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  Receive(MakeInquiryReply(id, {txn::InquiryAnswer::Verdict::kCommitted, stamp_ + 5}));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(edge_.proposed[0].floor, stamp_ + 5);
  Apply();
  EXPECT_TRUE(shard_.state().prepared.empty());
  EXPECT_EQ(store_.NewestOf("bar").value, "new");
  const std::vector<v1::TxnMessage> told = edge_.TakeToOwners();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_THAT(told[0].resolve_reply().resolved(), ElementsAre(kBar));
}

// ---- as participant ----

std::string PrepareVerdictOf(const v1::TxnMessage& message) {
  return v1::TxnPrepareReply::Verdict_Name(message.prepare_reply().verdict()).substr(8);
}

TEST_F(TxnDeskTest, CopiesOfAPrepareAreOne) {
  const txn::Prepare prepare = txn::MakePrepare(IdOf("foo", 1), {}, {"bar"});
  ReceivePrepare(prepare);
  ReceivePrepare(prepare);
  EXPECT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "PREPARED");
  EXPECT_EQ(replies[0].second.prepare_reply().clock(), 777u);
  const uint64_t stamp = replies[0].second.prepare_reply().prepared();
  ReceivePrepare(prepare);
  Apply();
  replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1)) << "the answer may have got lost";
  EXPECT_EQ(replies[0].second.prepare_reply().prepared(), stamp);
}

TEST_F(TxnDeskTest, TheOlderWaitsForTheLockTheYoungerIsRefused) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 9), {}, {"bar"}));
  auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "LOCKED");
  EXPECT_EQ(counters_.dies, 1u);
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 3), {}, {"bar"}));
  EXPECT_THAT(edge_.TakeToNodes(), IsEmpty());
  EXPECT_EQ(desk_->waiting(), 1u);
  v1::TxnMessage resolve;
  ToProto(txn::Resolve{IdOf("foo", 5), txn::Outcome::kAborted, 0, {kBar}},
          *resolve.mutable_resolve());
  Receive(std::move(resolve));
  EXPECT_EQ(Apply(), 1u);
  EXPECT_EQ(Apply(), 1u) << "its turn";
  replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "PREPARED");
  EXPECT_EQ(desk_->waiting(), 0u);
}

TEST_F(TxnDeskTest, PreparesThatHaveBeenOvertakenAreRefusedAndNotProposed) {
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 20000), {{"bar", 7}}, {"bar"}));
  auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "CHANGED") << "there is no such version";
  EXPECT_THAT(edge_.proposed, IsEmpty());

  LockBehindItsBack(IdOf("foo", 10000), "bar");
  for (uint64_t number = 5000; number > 0; --number) {
    ReceivePrepare(txn::MakePrepare(IdOf("foo", number), {{"bar", 0}}, {"bar"}));
  }
  EXPECT_EQ(desk_->waiting(), 5000u);
  EXPECT_THAT(edge_.TakeToNodes(), IsEmpty());
  v1::TxnMessage resolve;
  const txn::Stamp commit = stamp_ + 10;
  ToProto(txn::Resolve{IdOf("foo", 10000), txn::Outcome::kCommitted, commit, {kBar}},
          *resolve.mutable_resolve());
  Receive(std::move(resolve));
  edge_.versions["bar"] = commit;
  EXPECT_EQ(Apply(), 1u);
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "of those that waited";
  EXPECT_EQ(desk_->waiting(), 0u);
  replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(5000));
  for (const auto& reply : replies) EXPECT_EQ(PrepareVerdictOf(reply.second), "CHANGED");
}

// It answers with what is there under its locks, whatever that is.
TEST_F(TxnDeskTest, APrepareThatComparesNothingIsNotOvertaken) {
  txn::Prepare prepare = txn::MakePrepare(IdOf("foo", 1), {{"bar", 7}}, {});
  prepare.compares_versions = false;
  ReceivePrepare(prepare);
  EXPECT_EQ(Apply(), 1u);
  EXPECT_EQ(PrepareVerdictOf(edge_.TakeToNodes().at(0).second), "PREPARED");
}

TEST_F(TxnDeskTest, APrepareWaitsForFourSeconds) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 3), {}, {"bar"}));
  Pass(milliseconds(3900));
  EXPECT_THAT(edge_.TakeToNodes(), IsEmpty());
  Pass(milliseconds(100));
  const auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "LOCKED");
  EXPECT_EQ(desk_->waiting(), 0u);
}

TEST_F(TxnDeskTest, PreparesThatWaitAreBoundedInBytes) {
  LockBehindItsBack(IdOf("foo", 100), "bar");
  txn::Prepare large = txn::MakePrepare(IdOf("foo", 50), {}, {"bar"});
  large.parts[0].writes[0].value = std::string(size_t{8} << 20, 'v');
  for (uint64_t number = 50; number > 41; --number) {
    large.id = IdOf("foo", number);
    large.age = AgeOfFirstAttempt(large.id);
    ReceivePrepare(large);
  }
  EXPECT_EQ(desk_->waiting(), 7u);
  EXPECT_THAT(edge_.TakeToNodes(), SizeIs(2));
  Pass(seconds(4));
  EXPECT_EQ(desk_->waiting(), 0u);
  for (uint64_t number = 40; number > 31; --number) {
    large.id = IdOf("foo", number);
    large.age = AgeOfFirstAttempt(large.id);
    ReceivePrepare(large);
  }
  EXPECT_EQ(desk_->waiting(), 7u) << "there is as much room again";
}

TEST_F(TxnDeskTest, WhoWaitsIsBoundedInNumber) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  for (uint64_t request = 1; request <= 10'001; ++request) {
    desk_->OnTurnedAway(Write(request), PutOf("bar"), now_);
  }
  EXPECT_EQ(desk_->waiting(), 10'000u);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("10001 in the way"));
  EXPECT_THAT(desk_->TakeWrites(), SizeIs(10'000));
}

TEST_F(TxnDeskTest, APrepareOfWhatIsOverWaitsNoLonger) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  const txn::TxnId late = IdOf("foo", 3);
  ReceivePrepare(txn::MakePrepare(late, {}, {"bar"}));
  EXPECT_EQ(desk_->waiting(), 1u);
  v1::TxnMessage resolve;
  ToProto(txn::Resolve{late, txn::Outcome::kAborted, 0, {kBar}}, *resolve.mutable_resolve());
  Receive(std::move(resolve));
  Apply();
  EXPECT_EQ(desk_->waiting(), 0u);
  const auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "LOCKED");
}

// Applied, it would end every replica.
TEST_F(TxnDeskTest, ACommitBelowTheLocksIsNotTaken) {
  const txn::TxnId id = IdOf("foo", 5);
  LockBehindItsBack(id, "bar");
  v1::TxnMessage resolve;
  ToProto(txn::Resolve{id, txn::Outcome::kCommitted, stamp_ - 1, {kBar}},
          *resolve.mutable_resolve());
  Receive(resolve);
  Receive(MakeInquiryReply(id, {txn::InquiryAnswer::Verdict::kCommitted, stamp_ - 1}));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  resolve.mutable_resolve()->set_commit(stamp_);
  Receive(resolve);
  EXPECT_THAT(edge_.proposed, SizeIs(1));
}

TEST_F(TxnDeskTest, ValuesReadUnderLocksAreBoundedInBytes) {
  txn::Prepare prepare = txn::MakePrepare(IdOf("foo", 5), {{"bar", 0}, {"{bar}2", 0}}, {});
  prepare.compares_versions = false;
  ReceivePrepare(prepare);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  const Proposed proposed = std::exchange(edge_.proposed, {})[0];
  TxnAnswer answer{prepare.id, shard_.Apply(prepare, stamp_ += 10, store_)};
  auto& values = std::get<txn::PrepareAnswer>(answer.what).values;
  ASSERT_EQ(values.size(), 2u);
  for (txn::ReadValue& value : values) value.newest.value = std::string(size_t{9} << 20, 'v');
  desk_->OnApplied(answer, proposed.ticket, now_);
  const auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(PrepareVerdictOf(replies[0].second), "CHANGED");
  EXPECT_EQ(replies[0].second.prepare_reply().values_size(), 0);
}

// ---- writes that met a lock ----

TEST_F(TxnDeskTest, AWriteWaitsForTheLockUntilItsDeadline) {
  const txn::TxnId holder = IdOf("foo", 5);
  LockBehindItsBack(holder, "bar");
  desk_->OnTurnedAway(Write(1, seconds(1)), PutOf("bar"), now_);
  desk_->OnTurnedAway(Write(2, seconds(9)), PutOf("bar"), now_);
  Pass(milliseconds(900));
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty());
  Pass(milliseconds(100));
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 out of time"));
  shard_.Apply(txn::Resolve{holder, txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  desk_->OnApplied({holder, txn::ResolveAnswer{{kBar}, {}}}, 0, now_);
  ASSERT_THAT(edge_.again, SizeIs(1));
  EXPECT_EQ(edge_.again[0].request_id, 2u);
  EXPECT_EQ(edge_.again[0].deadline, now_ + seconds(8)) << "still its client's";
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(edge_.again[0].encoded_command));
  EXPECT_EQ(batch.commands(0).put().key(), "bar");
  EXPECT_THAT(desk_->TakeWrites(), IsEmpty()) << "it is the log's now";
}

TEST_F(TxnDeskTest, ATransactionOfOneShardIsNotTooYoungForItself) {
  LockBehindItsBack(IdOf("foo", 9), "bar");
  PendingWrite write = Write(1);
  write.age = AgeOfFirstAttempt(IdOf("foo", 3));
  const v1::Command command = OneShardOf({"bar", "{bar}2"});
  desk_->OnTurnedAway(std::move(write), command, now_);
  EXPECT_EQ(desk_->waiting(), 1u);
  shard_.Apply(txn::Resolve{IdOf("foo", 9), txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  desk_->OnApplied({IdOf("foo", 9), txn::ResolveAnswer{{kBar}, {}}}, 0, now_);
  ASSERT_THAT(edge_.again, SizeIs(1));
  LockBehindItsBack(IdOf("foo", 8), "{bar}2");
  desk_->OnTurnedAway(std::exchange(edge_.again, {})[0], command, now_);
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty());
  EXPECT_EQ(desk_->waiting(), 1u) << "older than who holds";
}

TEST_F(TxnDeskTest, AWriteThatIsDoneIsInNobodysWayAnyMore) {
  LockBehindItsBack(IdOf("foo", 9), "bar");
  PendingWrite write = Write(1);
  write.age = AgeOfFirstAttempt(IdOf("foo", 5));
  desk_->OnTurnedAway(std::move(write), OneShardOf({"bar", "{bar}2"}), now_);
  shard_.Apply(txn::Resolve{IdOf("foo", 9), txn::Outcome::kAborted, 0, {kBar}}, ++stamp_);
  desk_->OnApplied({IdOf("foo", 9), txn::ResolveAnswer{{kBar}, {}}}, 0, now_);
  ASSERT_THAT(edge_.again, SizeIs(1));
  ReceivePrepare(txn::MakePrepare(IdOf("foo", 3), {}, {"bar"}));
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "what is proposed holds";
  desk_->OnDone(edge_.again[0].ticket);
  EXPECT_THAT(edge_.proposed, SizeIs(1));
}

}  // namespace
}  // namespace basalt::server
