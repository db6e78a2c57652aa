// TxnDeskTest: the desk of a shard's leader over a real shard, with a log and a post that the test
// plays.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/node/txn_desk.h"
#include "server/node/txn_messages.h"
#include "server/shard/command_entry.h"
#include "server/shard/txn_codec.h"
#include "tests/unit/txn/rows_store.h"

namespace basalt::server {

// "bar" has slot 5061: here, in shard 1. "foo" has 12182: in shard 2, on node 2.
inline const uint32_t kBar = base::SlotOf("bar");
inline const uint32_t kFoo = base::SlotOf("foo");
inline const raft::NodeId kSelf(1);
inline const raft::NodeId kOther(2);

struct Proposed {
  v1::Command command;
  txn::Stamp floor = 0;
  uint64_t ticket = 0;
};

class NotingEdge final : public TxnDesk::Edge {
 public:
  void Propose(const v1::Command& command, txn::Stamp floor, uint64_t ticket) override {
    EXPECT_EQ(CommandProblem(command), std::nullopt);
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
    values = answer.values;
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
  std::optional<std::map<std::string, txn::Newest>> values;  // of the last answer
};

class TxnDeskTest : public ::testing::Test {
 protected:
  TxnDeskTest() { Lead(); }

  // A new leader of the shard, who knows what is in the log and no more.
  void Lead() {
    desk_ = nullptr;
    desk_ = std::make_unique<TxnDesk>(shard_, edge_, counters_);
  }
  void Pass(std::chrono::milliseconds time) {
    for (; time > std::chrono::milliseconds(0); time -= std::chrono::milliseconds(100)) {
      now_ += std::chrono::milliseconds(100);
      desk_->OnTick(now_);
    }
  }

  // Anchored at "bar"; writes both.
  static txn::Transaction WritesBoth(uint64_t number) {
    const txn::TxnId id = txn::IdOf("bar", number);
    return {id, AgeOfFirstAttempt(id), txn::PartsOf({}, {{"bar", "new"}, {"foo", "new"}}), true};
  }
  void Commit(uint64_t request, const txn::Transaction& transaction,
              std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
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
      answer = {ToValue(command.decide().id()),
                shard_.Apply(ToValue(command.decide()), stamp_, store_)};
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
  // The other shard's; its clock is at 888.
  void FooIsPrepared(const txn::TxnId& id, txn::Stamp stamp) {
    txn::PrepareAnswer answer;
    answer.prepared = stamp;
    v1::TxnMessage message = MakePrepareReply(id, {kFoo}, answer);
    message.mutable_prepare_reply()->set_clock(888);
    Receive(std::move(message));
  }
  void FooIsResolved(const txn::TxnId& id) { Receive(MakeResolveReply(id, {{kFoo}, {}})); }
  // Until its decision is offered to the queue.
  void DriveToOffer(uint64_t request, const txn::Transaction& transaction,
                    std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
    Commit(request, transaction, timeout);
    const std::vector<v1::TxnMessage> sent = edge_.TakeToOwners();
    ASSERT_THAT(sent, ::testing::SizeIs(1)) << "its own part is not prepared";
    ASSERT_EQ(sent[0].to_slot(), kFoo);
    FooIsPrepared(transaction.id, 500);
  }
  // Until it is proposed.
  void DriveToDecide(const txn::Transaction& transaction) {
    DriveToOffer(1, transaction);
    ASSERT_THAT(edge_.proposed, ::testing::SizeIs(1));
    ASSERT_EQ(OutcomeProposed(0), v1::TXN_OUTCOME_COMMITTED);
  }
  // Of the decision at this place of what is proposed.
  v1::TxnOutcome OutcomeProposed(size_t place) const {
    EXPECT_TRUE(edge_.proposed.at(place).command.has_decide());
    return edge_.proposed.at(place).command.decide().outcome();
  }
  static std::string Aborted(uint64_t request, txn::AbortReason reason) {
    return fmt::format("{} aborted@0 {}", request, static_cast<int>(reason));
  }
  void ReceiveAbort(const txn::TxnId& id) {
    v1::TxnMessage resolve;
    ToProto(txn::Resolve{id, txn::Outcome::kAborted, 0, {kBar}}, *resolve.mutable_resolve());
    Receive(std::move(resolve));
  }

  PendingWrite Write(uint64_t request,
                     std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
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

}  // namespace basalt::server
