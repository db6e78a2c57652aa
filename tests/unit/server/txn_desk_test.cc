// What the leader of a shard does for transactions: the desk over a real shard, with a log and a
// post that the test plays.
#include "server/node/txn_desk.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/node/txn_messages.h"
#include "server/shard/txn_codec.h"
#include "tests/unit/txn/rows_store.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using txn::IdOf;

// "bar" has slot 5061: here, in shard 1. "foo" has 12182: in shard 2, on node 2.
const uint32_t kBar = base::SlotOf("bar");
const uint32_t kFoo = base::SlotOf("foo");
const raft::NodeId kSelf(1);
const raft::NodeId kOther(2);

struct Proposed {
  v1::Command command;
  txn::Stamp floor = 0;
  uint64_t ticket = 0;
};

class NotingEdge final : public TxnDesk::Edge {
 public:
  void Propose(const v1::Command& command, txn::Stamp floor, uint64_t ticket) override {
    proposed.push_back({command, floor, ticket});
  }
  void ProposeAgain(PendingWrite write) override { again.push_back(std::move(write)); }
  uint64_t ShardOf(uint32_t slot) const override { return slot < 8192 ? 1 : 2; }
  void SendToOwner(uint32_t slot, v1::TxnMessage message) override {
    message.set_to_slot(slot);
    message.set_from_node(kSelf.value());
    EXPECT_EQ(TxnMessageProblem(message), std::nullopt);
    to_owners.push_back(std::move(message));
  }
  void SendToNode(raft::NodeId node, v1::TxnMessage message) override {
    EXPECT_EQ(TxnMessageProblem(message), std::nullopt);
    to_nodes.emplace_back(node, std::move(message));
  }
  void Answer(const PendingCommit& commit, const txn::CommitAnswer& answer, Stamp clock) override {
    heard = clock;
    constexpr const char* kVerdicts[] = {"committed", "aborted", "forgotten", "not-owner"};
    answers.push_back(fmt::format("{} {}@{} {}", commit.request_id,
                                  kVerdicts[static_cast<int>(answer.verdict)], answer.commit,
                                  static_cast<int>(answer.reason)));
  }
  void AnswerLocked(const PendingWrite& write, bool out_of_time) override {
    answers.push_back(
        fmt::format("{} {}", write.request_id, out_of_time ? "out of time" : "in the way"));
  }
  Stamp HighestStamp() const override { return 777; }
  Stamp VersionOf(const std::string& key) override { return versions[key]; }
  void AnswerLate(const PendingCommit& commit) override {
    answers.push_back(fmt::format("{} late", commit.request_id));
  }
  uint64_t NewTicket() override { return ++tickets; }

  std::vector<std::string> TakeAnswers() { return std::exchange(answers, {}); }
  std::vector<v1::TxnMessage> TakeToOwners() { return std::exchange(to_owners, {}); }
  std::vector<std::pair<raft::NodeId, v1::TxnMessage>> TakeToNodes() {
    return std::exchange(to_nodes, {});
  }

  std::map<std::string, Stamp> versions;
  std::vector<Proposed> proposed;
  std::vector<PendingWrite> again;
  std::vector<v1::TxnMessage> to_owners;
  std::vector<std::pair<raft::NodeId, v1::TxnMessage>> to_nodes;
  std::vector<std::string> answers;
  uint64_t tickets = 0;
  Stamp heard = 0;
};

class TxnDeskTest : public ::testing::Test {
 protected:
  TxnDeskTest() { Lead(); }

  // A new leader of the shard, who knows what is in the log and no more.
  void Lead() {
    desk_ = nullptr;
    desk_ = std::make_unique<TxnDesk>(shard_, edge_, counters_);
  }
  void Pass(milliseconds time) {
    for (; time > milliseconds(0); time -= milliseconds(100)) {
      now_ += milliseconds(100);
      desk_->OnTick(now_);
    }
  }

  // Anchored at "bar"; writes both.
  static txn::Transaction WritesBoth(uint64_t number) {
    const txn::TxnId id = IdOf("bar", number);
    return {id, AgeOfFirstAttempt(id), txn::PartsOf({}, {{"bar", "new"}, {"foo", "new"}}), true};
  }
  void Commit(uint64_t request, const txn::Transaction& transaction,
              milliseconds timeout = seconds(5)) {
    desk_->OnCommit({nullptr, nullptr, request, now_ + timeout, now_, transaction}, now_);
  }

  void ApplyOne(const Proposed& proposed) {
    stamp_ = std::max(stamp_, proposed.floor) + 10;
    const v1::Command& command = proposed.command;
    TxnAnswer answer;
    if (command.has_prepare()) {
      answer = {ToValue(command.prepare().id()),
                shard_.Apply(ToValue(command.prepare()), stamp_, store_)};
    } else if (command.has_decide()) {
      answer = {ToValue(command.decide().id()), shard_.Apply(ToValue(command.decide()), stamp_)};
    } else if (command.has_resolve()) {
      answer = {ToValue(command.resolve().id()), shard_.Apply(ToValue(command.resolve()), stamp_)};
    } else {
      ASSERT_TRUE(command.has_settle());
      shard_.Apply(ToValue(command.settle()), stamp_);
      store_.Keep(shard_);
      return;
    }
    store_.Keep(shard_);
    desk_->OnApplied(answer, proposed.ticket, now_);
  }
  // What it has proposed is applied, in that order.
  size_t Apply() {
    const std::vector<Proposed> proposed = std::exchange(edge_.proposed, {});
    for (const Proposed& one : proposed) ApplyOne(one);
    shard_.CheckInvariants();
    return proposed.size();
  }
  // Locks taken by what another leader's log holds.
  void LockBehindItsBack(const txn::TxnId& id, const std::string& key) {
    stamp_ += 10;
    const txn::PrepareAnswer answer = shard_.Apply(txn::MakePrepare(id, {}, {key}), stamp_, store_);
    ASSERT_EQ(answer.verdict, txn::PrepareAnswer::Verdict::kPrepared);
  }

  void Receive(v1::TxnMessage message) {
    ASSERT_EQ(TxnMessageProblem(message), std::nullopt);
    desk_->OnMessage(std::move(message), now_);
  }
  void ReceivePrepare(const txn::Prepare& prepare, raft::NodeId from = kOther) {
    v1::TxnMessage message;
    message.set_from_node(from.value());
    ToProto(prepare, *message.mutable_prepare());
    Receive(std::move(message));
  }
  void ReceiveInquiry(const txn::TxnId& id, raft::NodeId from = kOther, uint32_t asker = kFoo) {
    v1::TxnMessage message;
    message.set_from_node(from.value());
    ToProto(id, *message.mutable_inquiry()->mutable_id());
    message.mutable_inquiry()->set_asker(asker);
    Receive(std::move(message));
  }
  // The other shard's.
  void FooIsPrepared(const txn::TxnId& id, txn::Stamp stamp) {
    txn::PrepareAnswer answer;
    answer.prepared = stamp;
    Receive(MakePrepareReply(id, {kFoo}, answer));
  }
  void FooIsResolved(const txn::TxnId& id) { Receive(MakeResolveReply(id, {{kFoo}, {}})); }
  // Drives it until its decision is proposed.
  void DriveToDecide(const txn::Transaction& transaction) {
    Commit(1, transaction);
    for (v1::TxnMessage& message : edge_.TakeToOwners()) {
      if (message.to_slot() == kBar) Receive(std::move(message));
    }
    ASSERT_EQ(Apply(), 1u);
    for (auto& [node, message] : edge_.TakeToNodes()) Receive(std::move(message));
    FooIsPrepared(transaction.id, 500);
    ASSERT_THAT(edge_.proposed, SizeIs(1));
    ASSERT_TRUE(edge_.proposed[0].command.has_decide());
  }

  PendingWrite Write(uint64_t request, milliseconds timeout = seconds(5)) {
    PendingWrite write;
    write.request_id = request;
    write.deadline = now_ + timeout;
    return write;
  }
  static v1::Command PutOf(const std::string& key) {
    v1::Command command;
    command.mutable_put()->set_key(key);
    return command;
  }
  static v1::Command OneShardOf(const std::vector<std::string>& keys) {
    v1::Command command;
    for (const std::string& key : keys) {
      v1::TxnWrite& write = *command.mutable_one_shard()->add_writes();
      write.set_key(key);
      write.set_value("one");
    }
    return command;
  }

  txn::RowsStore store_;
  txn::TxnShard shard_{{0, 8192}};
  NotingEdge edge_;
  TxnCounters counters_;
  std::unique_ptr<TxnDesk> desk_;
  txn::Stamp stamp_ = 100;
  MonotonicTime now_ = std::chrono::hours(1);
};

// ---- as coordinator ----

TEST_F(TxnDeskTest, ACommitIsDrivenToItsDecisionAndEverybodyIsTold) {
  const txn::Transaction transaction = WritesBoth(1);
  Commit(7, transaction);
  std::vector<v1::TxnMessage> sent = edge_.TakeToOwners();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(sent[0].to_slot(), kBar);
  EXPECT_THAT(sent[0].prepare().all_slots(), ElementsAre(kBar, kFoo));
  EXPECT_EQ(sent[1].to_slot(), kFoo);
  EXPECT_THAT(sent[1].prepare().all_slots(), IsEmpty());
  Receive(std::move(sent[0]));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(edge_.proposed[0].floor, transaction.id.issued);
  Apply();
  auto replies = edge_.TakeToNodes();
  ASSERT_THAT(replies, SizeIs(1));
  EXPECT_EQ(replies[0].first, kSelf);
  EXPECT_EQ(replies[0].second.prepare_reply().prepared(), stamp_);
  EXPECT_EQ(replies[0].second.prepare_reply().clock(), 777u);
  Receive(std::move(replies[0].second));
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "one has not answered";
  FooIsPrepared(transaction.id, 500);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(edge_.proposed[0].command.decide().commit(), 500u);
  EXPECT_EQ(edge_.proposed[0].floor, 500u);
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty()) << "only what is applied is answered";
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("7 committed@500 0"));
  EXPECT_EQ(edge_.heard, 777u) << "for the client's next number";
  EXPECT_EQ(store_.NewestOf("bar").version, 500u);
  sent = edge_.TakeToOwners();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_THAT(sent[0].resolve().slots(), ElementsAre(kFoo));
  EXPECT_EQ(sent[0].resolve().commit(), 500u);
  FooIsResolved(transaction.id);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  EXPECT_TRUE(shard_.state().open.empty());
  EXPECT_EQ(desk_->driving(), 0u);
  EXPECT_EQ(counters_.commits, 1u);
}

TEST_F(TxnDeskTest, EverySendOfACommitIsAnswered) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  Commit(2, transaction);
  EXPECT_THAT(edge_.TakeToOwners(), IsEmpty()) << "it is driven already";
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 committed@500 0", "2 committed@500 0"));
  Commit(3, transaction);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("3 committed@500 0"));
}

TEST_F(TxnDeskTest, ARefusedPrepareAborts) {
  const txn::Transaction transaction = WritesBoth(1);
  Commit(1, transaction);
  txn::PrepareAnswer changed;
  changed.verdict = txn::PrepareAnswer::Verdict::kChanged;
  Receive(MakePrepareReply(transaction.id, {kFoo}, changed));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(),
              ElementsAre(fmt::format("1 aborted@0 {}", int(txn::AbortReason::kChanged))));
  EXPECT_EQ(counters_.aborts, 1u);
}

// A client that has given up learns nothing.
TEST_F(TxnDeskTest, TheDeadlineAbortsBeforeTheClientGivesUp) {
  Commit(1, WritesBoth(1), seconds(1));
  Pass(milliseconds(700));
  EXPECT_THAT(edge_.proposed, IsEmpty());
  Pass(milliseconds(100));
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(),
              ElementsAre(fmt::format("1 aborted@0 {}", int(txn::AbortReason::kDeadline))));
}

TEST_F(TxnDeskTest, ACommitThatNobodyDecidesIsUnknownOnceSoonAfterItsDeadline) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  Pass(milliseconds(5900));
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty());
  Pass(milliseconds(200));
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("1 late"));
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(), IsEmpty()) << "once";
  EXPECT_THAT(desk_->TakeCommits(), IsEmpty());
}

TEST_F(TxnDeskTest, ANewLeaderAbortsWhatItFindsUndecided) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  edge_.proposed.clear();  // lost with the leadership
  EXPECT_THAT(desk_->TakeCommits(), SizeIs(1));
  Lead();
  Commit(2, transaction);
  ASSERT_THAT(edge_.proposed, SizeIs(1));
  EXPECT_EQ(edge_.proposed[0].command.decide().outcome(), v1::TXN_OUTCOME_ABORTED);
  FooIsPrepared(transaction.id, 500);
  EXPECT_THAT(edge_.proposed, SizeIs(1)) << "it is never taken up";
  Apply();
  EXPECT_THAT(edge_.TakeAnswers(),
              ElementsAre(fmt::format("2 aborted@0 {}", int(txn::AbortReason::kNewLeader))));
  EXPECT_EQ(store_.NewestOf("bar").version, 0u);
  ASSERT_THAT(edge_.TakeToOwners(), SizeIs(1)) << "foo is told";
}

TEST_F(TxnDeskTest, ADecisionInTheLogOfTheLeaderBeforeStands) {
  const txn::Transaction transaction = WritesBoth(1);
  DriveToDecide(transaction);
  const Proposed decide = edge_.proposed.at(0);
  edge_.proposed.clear();
  Lead();
  Pass(milliseconds(100));
  ASSERT_THAT(edge_.proposed, SizeIs(1)) << "an abort, for it knows of no decision";
  edge_.proposed.insert(edge_.proposed.begin(), decide);
  Apply();
  Commit(2, transaction);
  EXPECT_THAT(edge_.TakeAnswers(), ElementsAre("2 committed@500 0"));
}

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
  EXPECT_THAT(edge_.proposed, IsEmpty()) << "who does not own the slot has applied nothing";
  FooIsResolved(transaction.id);
  Apply();
  EXPECT_TRUE(shard_.state().open.empty());
}

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
  EXPECT_EQ(replies[0].second.inquiry_reply().commit(), 500u);
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

// No Resolve comes to its own shard.
TEST_F(TxnDeskTest, ItsOwnPrepareOfWhatIsAbortedWaitsNoLonger) {
  LockBehindItsBack(IdOf("foo", 5), "bar");
  const txn::Transaction transaction = WritesBoth(3);
  Commit(1, transaction);
  for (v1::TxnMessage& message : edge_.TakeToOwners()) {
    if (message.to_slot() == kBar) Receive(std::move(message));
  }
  EXPECT_EQ(desk_->waiting(), 1u);
  txn::PrepareAnswer changed;
  changed.verdict = txn::PrepareAnswer::Verdict::kChanged;
  Receive(MakePrepareReply(transaction.id, {kFoo}, changed));
  Apply();
  EXPECT_EQ(desk_->waiting(), 0u);
  EXPECT_THAT(edge_.TakeAnswers(),
              ElementsAre(fmt::format("1 aborted@0 {}", int(txn::AbortReason::kChanged))));
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
