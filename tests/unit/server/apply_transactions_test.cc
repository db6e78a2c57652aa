// Transactions in the apply loop: a replica in memory, a log that the test plays, and a post.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/slot.h"
#include "server/node/apply_loop.h"
#include "server/node/txn_messages.h"
#include "server/shard/txn_codec.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/server/fake_clock.h"
#include "tests/unit/server/noted_replies.h"
#include "tests/unit/shard/shard_replica.h"
#include "tests/unit/txn/rows_store.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using testing::EntryBuilder;
using ::testing::IsEmpty;
using testing::NotedReplies;
using ::testing::SizeIs;
using txn::IdOf;

const raft::GroupId kGroup(1);
// "bar" is here, "foo" is shard 2's, which node 2 leads.
const uint32_t kBar = base::SlotOf("bar");
const uint32_t kFoo = base::SlotOf("foo");

class Inbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    if (auto* proposals = std::get_if<ProposalsArrived>(&event)) {
      for (PendingWrite& write : proposals->writes) proposed.push_back(std::move(write));
    }
  }
  std::vector<PendingWrite> proposed;
};

class NotingPost final : public TxnPost {
 public:
  raft::NodeId node() const override { return raft::NodeId(1); }
  uint64_t ShardOf(uint32_t slot) const override { return slot < 8192 ? 1 : 2; }
  raft::NodeId LeaderOf(uint64_t shard_id) override { return raft::NodeId(shard_id); }
  void Post(raft::NodeId node, std::vector<v1::TxnMessage> messages) override {
    ++posts;
    for (v1::TxnMessage& message : messages) posted.emplace_back(node, std::move(message));
  }
  int posts = 0;
  std::vector<std::pair<raft::NodeId, v1::TxnMessage>> posted;
};

class ApplyTransactionsTest : public ::testing::Test {
 protected:
  ApplyTransactionsTest() {
    Create("/shard");
    machine_ = testing::OpenShard({files_, engines_}, "/shard", &loop_);
    loop_.SetPost(&post_);
    loop_.AddReplica(*machine_);
  }

  void Create(const std::string& directory) {
    const v1::ShardDescriptor descriptor = testing::Descriptor(1, 0, 8192);
    EXPECT_TRUE(ReplicaStateMachine::Create({files_, engines_}, directory, descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
  }
  std::vector<std::string> Handle(ApplyWork work) {
    loop_.Handle(std::move(work));
    loop_.FinishRound();
    return replies_->Take();
  }
  void Tell(std::optional<uint64_t> term) {
    std::optional<raft::Term> led;
    if (term) led = raft::Term(*term);
    Handle(LeadershipTold{kGroup, led});
  }
  std::vector<std::string> ApplyEntry(raft::Entry entry) {
    entry.term = raft::Term(term_);
    return Handle(ApplyEntries{kGroup, {std::move(entry)}});
  }
  // The first entry of a term of this leader.
  void Lead() {
    ++term_;
    Tell(term_);
    ApplyEntry(testing::NoOpEntry(++index_));
  }
  EntryBuilder Next() {
    stamp_ += 100;
    return {++index_, stamp_};
  }
  void PutValue(const std::string& key, const std::string& value) {
    ApplyEntry(Next().Put(key, value).Build());
  }
  // By what another leader's log holds. Returns its stamp.
  uint64_t Lock(const txn::TxnId& id, const std::string& key) {
    EntryBuilder entry = Next();
    ToProto(txn::MakePrepare(id, {}, {key}), *entry.Add().mutable_prepare());
    ApplyEntry(entry.Build());
    return stamp_;
  }
  // Committed at `commit`; 0: aborted.
  std::vector<std::string> Unlock(const txn::TxnId& id, uint64_t commit) {
    EntryBuilder entry = Next();
    ToProto(txn::Resolve{id,
                         commit == 0 ? txn::Outcome::kAborted : txn::Outcome::kCommitted,
                         commit,
                         {id.anchor}},
            *entry.Add().mutable_resolve());
    return ApplyEntry(entry.Build());
  }

  // As the group loop would: one entry of what was proposed.
  void ProposeWhatIsProposed() {
    std::vector<PendingWrite> writes = std::exchange(inbox_.proposed, {});
    ASSERT_FALSE(writes.empty());
    stamp_ += 100;
    for (const PendingWrite& write : writes) stamp_ = std::max(stamp_, write.issued + 1);
    v1::CommandBatch batch;
    batch.set_first_stamp(stamp_);
    std::string payload = batch.SerializeAsString();
    for (const PendingWrite& write : writes) payload += write.encoded_command;
    in_log_ = raft::Entry{raft::LogIndex(++index_), raft::Term(term_), raft::EntryKind::kCommands,
                          raft::MakePayload(std::move(payload))};
    Handle(WritesProposed{kGroup, in_log_.index, in_log_.term, std::move(writes)});
  }
  std::vector<std::string> RunWhatIsProposed() {
    ProposeWhatIsProposed();
    return ApplyEntry(in_log_);
  }
  // A client's put, through the log.
  std::vector<std::string> ClientPuts(uint64_t id, const std::string& key, milliseconds timeout) {
    v1::Command command;
    command.mutable_put()->set_key(key);
    command.mutable_put()->set_value("put");
    inbox_.proposed.push_back(
        {replies_, nullptr, id, clock_.now + timeout, EncodeCommandElement(command)});
    return RunWhatIsProposed();
  }

  std::vector<std::string> Read(v1::Request request) {
    ServeReads reads{kGroup, raft::LogIndex(index_), {}};
    reads.reads.push_back({replies_, nullptr, clock_.now + seconds(5), std::move(request)});
    return Handle(std::move(reads));
  }
  std::vector<std::string> Get(uint64_t id, const std::string& key, uint64_t at = 0) {
    v1::Request request;
    request.set_id(id);
    request.mutable_get()->set_key(key);
    request.mutable_get()->set_at(at);
    return Read(std::move(request));
  }
  std::vector<std::string> Scan(uint64_t id, const std::string& from, const std::string& to,
                                uint64_t at = 0) {
    v1::Request request;
    request.set_id(id);
    request.mutable_scan()->set_from(from);
    request.mutable_scan()->set_to(to);
    request.mutable_scan()->set_at(at);
    return Read(std::move(request));
  }

  static txn::Transaction WritesBoth(uint64_t number, txn::Stamp issued = 10) {
    const txn::TxnId id = IdOf("bar", number, issued);
    return {id, AgeOfFirstAttempt(id), txn::PartsOf({}, {{"bar", "new"}, {"foo", "new"}}), true};
  }
  std::vector<std::string> Commit(uint64_t request, const txn::Transaction& transaction) {
    CommitsAsked asked{kGroup, {}};
    asked.commits.push_back(
        {replies_, nullptr, request, clock_.now + seconds(5), clock_.now, transaction});
    return Handle(std::move(asked));
  }
  std::vector<std::string> Receive(v1::TxnMessage message) {
    TxnMessagesArrived arrived;
    arrived.messages.push_back(std::move(message));
    return Handle(std::move(arrived));
  }
  std::vector<std::string> FooIsPrepared(const txn::TxnId& id) {
    txn::PrepareAnswer answer;
    answer.prepared = stamp_ + 5;
    return Receive(MakePrepareReply(id, {kFoo}, answer));
  }

  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  testing::FakeClock clock_;
  Inbox inbox_;
  NotingPost post_;
  ApplyLoop loop_{{inbox_, clock_,
                   [](uint64_t shard) {
                     v1::LeaderHint hint;
                     hint.set_shard_id(shard);
                     hint.set_node_id(3);
                     return hint;
                   },
                   [](const absl::Status& why) { ADD_FAILURE() << why; }}};
  std::unique_ptr<ReplicaStateMachine> machine_;
  std::shared_ptr<NotedReplies> replies_ = std::make_shared<NotedReplies>();
  uint64_t index_ = 0;
  uint64_t term_ = 0;
  uint64_t stamp_ = 0;
  raft::Entry in_log_;
};

// ---- commits ----

TEST_F(ApplyTransactionsTest, OnlyALeaderThatHasAppliedAnEntryOfItsTermDrives) {
  EXPECT_THAT(Commit(1, WritesBoth(1)), ElementsAre("1 NOT_LEADER NOT_APPLIED"));
  term_ = 1;
  Tell(1);
  EXPECT_THAT(Commit(2, WritesBoth(1)), ElementsAre("2 UNAVAILABLE NOT_APPLIED"));
  ApplyEntry(testing::NoOpEntry(++index_));
  EXPECT_THAT(Commit(3, WritesBoth(1)), IsEmpty());
  ASSERT_THAT(post_.posted, SizeIs(1)) << "its own goes no way";
  EXPECT_EQ(post_.posted[0].first, raft::NodeId(2));
  EXPECT_TRUE(post_.posted[0].second.has_prepare());
  EXPECT_THAT(inbox_.proposed, IsEmpty()) << "nor is it prepared";
  EXPECT_THAT(FooIsPrepared(WritesBoth(1).id), IsEmpty());
  EXPECT_THAT(inbox_.proposed, SizeIs(1));
}

// All in one round of a slow apply thread: the last answer, a leadership lost and won again.
TEST_F(ApplyTransactionsTest, WhatADeskHasProposedGoesWithIt) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  txn::PrepareAnswer answer;
  answer.prepared = stamp_ + 5;
  TxnMessagesArrived arrived;
  arrived.messages.push_back(MakePrepareReply(transaction.id, {kFoo}, answer));
  loop_.Handle(std::move(arrived));
  loop_.Handle(LeadershipTold{kGroup, std::nullopt});
  term_ += 2;
  loop_.Handle(LeadershipTold{kGroup, raft::Term(term_)});
  raft::Entry noop = testing::NoOpEntry(++index_);
  noop.term = raft::Term(term_);
  loop_.Handle(ApplyEntries{kGroup, {noop}});
  loop_.FinishRound();
  EXPECT_THAT(replies_->Take(), ElementsAre("3 NOT_LEADER UNKNOWN"));
  EXPECT_THAT(inbox_.proposed, IsEmpty());
}

TEST_F(ApplyTransactionsTest, WhatARoundHasForANodeGoesTogether) {
  Lead();
  CommitsAsked asked{kGroup, {}};
  for (const uint64_t number : {1, 2, 3}) {
    const txn::Transaction transaction = WritesBoth(number);
    asked.commits.push_back(
        {replies_, nullptr, number, clock_.now + seconds(5), clock_.now, transaction});
  }
  Handle(std::move(asked));
  EXPECT_THAT(post_.posted, SizeIs(3));
  EXPECT_EQ(post_.posts, 1);
}

TEST_F(ApplyTransactionsTest, ACommitIsAnsweredOnceItsDecisionIsApplied) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  EXPECT_THAT(FooIsPrepared(transaction.id), IsEmpty());
  EXPECT_THAT(Get(4, "bar"), ElementsAre("4 OK -")) << "its own part is never locked";
  EXPECT_THAT(RunWhatIsProposed(), ElementsAre("3 OK APPLIED"));
  EXPECT_THAT(Get(5, "bar"), ElementsAre("5 OK =new"));
  EXPECT_EQ(loop_.counters().blocked_reads, 0u);
  EXPECT_TRUE(post_.posted.back().second.has_resolve());
}

TEST_F(ApplyTransactionsTest, ADecisionIsStampedAboveAllThatWasPrepared) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  txn::PrepareAnswer answer;
  answer.prepared = stamp_ + 5000;
  Receive(MakePrepareReply(transaction.id, {kFoo}, answer));
  EXPECT_THAT(RunWhatIsProposed(), ElementsAre("3 OK APPLIED"));
  EXPECT_GT(machine_->txn()->state().records.at(transaction.id).commit, answer.prepared);
}

TEST_F(ApplyTransactionsTest, ADecisionWaitsForTheLockAndRuns) {
  Lead();
  const uint64_t prepared = Lock(IdOf("bar", 9), "bar");
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  EXPECT_THAT(FooIsPrepared(transaction.id), IsEmpty());
  EXPECT_THAT(inbox_.proposed, IsEmpty());
  EXPECT_THAT(ClientPuts(4, "{bar}2", seconds(5)), ElementsAre("4 OK APPLIED")) << "another key";
  EXPECT_THAT(Unlock(IdOf("bar", 9), prepared + 1), IsEmpty());
  EXPECT_THAT(RunWhatIsProposed(), ElementsAre("3 OK APPLIED"));
  EXPECT_EQ(machine_->VersionOf("bar").value_or(0), stamp_);
}

// One that is in the log already is turned away by the lock table, whatever the queue thought.
TEST_F(ApplyTransactionsTest, ADecisionThatFindsALockInItsEntryIsAborted) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  FooIsPrepared(transaction.id);
  v1::Command prepare;
  ToProto(txn::MakePrepare(IdOf("bar", 8), {}, {"bar"}), *prepare.mutable_prepare());
  inbox_.proposed.insert(inbox_.proposed.begin(), {nullptr, nullptr, 0, MonotonicTime::max(),
                                                   EncodeCommandElement(prepare)});
  EXPECT_THAT(RunWhatIsProposed(), ElementsAre("3 ABORTED NOT_APPLIED"));
  EXPECT_EQ(machine_->VersionOf("bar").value_or(0), 0u);
  EXPECT_THAT(Commit(4, transaction), ElementsAre("4 ABORTED NOT_APPLIED"));
}

TEST_F(ApplyTransactionsTest, AbortedMeansNotApplied) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  txn::PrepareAnswer locked;
  locked.verdict = txn::PrepareAnswer::Verdict::kLocked;
  Receive(MakePrepareReply(transaction.id, {kFoo}, locked));
  loop_.FinishRound();
  ProposeWhatIsProposed();
  loop_.Handle(ApplyEntries{kGroup, {in_log_}});
  loop_.FinishRound();
  ASSERT_THAT(replies_->all, SizeIs(1));
  EXPECT_EQ(replies_->all[0].commit().reason(), v1::ABORT_REASON_LOCKED);
  EXPECT_FALSE(replies_->all[0].message().empty());
  EXPECT_THAT(replies_->Take(), ElementsAre("3 ABORTED NOT_APPLIED"));
}

TEST_F(ApplyTransactionsTest, WithItsLeadershipItLosesTheOutcome) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  FooIsPrepared(transaction.id);
  ProposeWhatIsProposed();
  loop_.Handle(LeadershipTold{kGroup, std::nullopt});
  loop_.FinishRound();
  EXPECT_THAT(replies_->Take(), ElementsAre("3 NOT_LEADER UNKNOWN"));
  EXPECT_THAT(ApplyEntry(in_log_), IsEmpty());
  Lead();
  EXPECT_THAT(Commit(4, transaction), ElementsAre("4 OK APPLIED"))
      << "it was in the log; the same number learns it";
}

TEST_F(ApplyTransactionsTest, WhatIsForgottenIsUnknownAndTheNextAttemptGetsThrough) {
  Lead();
  Unlock(IdOf("bar", 9), 0);
  EntryBuilder forget = Next();
  v1::ForgetTransactionsCommand& command = *forget.Add().mutable_forget_transactions();
  command.set_through(stamp_);
  command.set_kept_max(100);
  ApplyEntry(forget.Build());
  loop_.Handle(CommitsAsked{
      kGroup, {{replies_, nullptr, 3, clock_.now + seconds(5), clock_.now, WritesBoth(1)}}});
  loop_.FinishRound();
  ASSERT_THAT(replies_->all, SizeIs(1));
  const uint64_t clock = replies_->all[0].clock();
  EXPECT_THAT(replies_->Take(), ElementsAre("3 FORGOTTEN UNKNOWN"));
  EXPECT_GE(clock, machine_->txn()->state().forgotten);
  EXPECT_THAT(Commit(4, WritesBoth(2, clock)), IsEmpty()) << "it is driven";
}

// ---- writes that met a lock ----

TEST_F(ApplyTransactionsTest, AWriteWaitsForTheLockAndRuns) {
  Lead();
  const uint64_t prepared = Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(ClientPuts(3, "bar", seconds(5)), IsEmpty());
  EXPECT_THAT(Unlock(IdOf("bar", 9), prepared + 1), IsEmpty());
  EXPECT_THAT(RunWhatIsProposed(), ElementsAre("3 OK APPLIED"));
  EXPECT_THAT(Get(4, "bar"), ElementsAre("4 OK =put"));
}

TEST_F(ApplyTransactionsTest, AWriteThatWaitsIsNotAppliedWhenTheLeadershipEnds) {
  Lead();
  Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(ClientPuts(3, "bar", seconds(5)), IsEmpty());
  loop_.Handle(LeadershipTold{kGroup, std::nullopt});
  loop_.FinishRound();
  EXPECT_THAT(replies_->Take(), ElementsAre("3 NOT_LEADER NOT_APPLIED"));
}

TEST_F(ApplyTransactionsTest, AWriteThatMeetsALockWithoutALeaderComesBack) {
  Lead();
  Lock(IdOf("bar", 9), "bar");
  v1::Command command;
  command.mutable_put()->set_key("bar");
  inbox_.proposed.push_back(
      {replies_, nullptr, 3, clock_.now + seconds(5), EncodeCommandElement(command)});
  ProposeWhatIsProposed();
  Tell(std::nullopt);
  EXPECT_THAT(ApplyEntry(in_log_), ElementsAre("3 UNAVAILABLE NOT_APPLIED"));
}

// Proposed again it is as any write in the log: at its deadline nobody knows.
TEST_F(ApplyTransactionsTest, AWriteThatIsProposedAgainKeepsItsDeadline) {
  Lead();
  Lock(IdOf("bar", 9), "bar");
  ClientPuts(3, "bar", seconds(5));
  Unlock(IdOf("bar", 9), 0);
  ProposeWhatIsProposed();
  clock_.now += seconds(5);
  EXPECT_THAT(Handle(SweepDeadlines{}), ElementsAre("3 DEADLINE UNKNOWN"));
  EXPECT_THAT(ApplyEntry(in_log_), IsEmpty());
  EXPECT_THAT(Get(4, "bar"), ElementsAre("4 OK =put"));
}

// A write for whose answer nobody waits any more is in nobody's way when it is turned away again.
TEST_F(ApplyTransactionsTest, AWriteThatWasAnsweredAndMeetsAnotherLockHoldsNothing) {
  Lead();
  Lock(IdOf("bar", 9), "bar");
  v1::Command command;
  for (const char* key : {"bar", "{bar}2"}) {
    command.mutable_one_shard()->add_writes()->set_key(key);
    command.mutable_one_shard()->mutable_writes()->rbegin()->set_deletes(true);
  }
  PendingWrite one{replies_, nullptr, 3, clock_.now + seconds(5), EncodeCommandElement(command)};
  one.age = AgeOfFirstAttempt(IdOf("bar", 2));
  inbox_.proposed.push_back(std::move(one));
  EXPECT_THAT(RunWhatIsProposed(), IsEmpty());
  Unlock(IdOf("bar", 9), 0);
  ASSERT_THAT(inbox_.proposed, SizeIs(1));
  // Its own entry begins with a Prepare that no queue knew of.
  v1::Command prepare;
  ToProto(txn::MakePrepare(IdOf("bar", 8), {}, {"bar"}), *prepare.mutable_prepare());
  inbox_.proposed.insert(inbox_.proposed.begin(), {nullptr, nullptr, 0, MonotonicTime::max(),
                                                   EncodeCommandElement(prepare)});
  ProposeWhatIsProposed();
  clock_.now += seconds(5);
  EXPECT_THAT(Handle(SweepDeadlines{}), ElementsAre("3 DEADLINE UNKNOWN"));
  EXPECT_THAT(ApplyEntry(in_log_), IsEmpty());
  Unlock(IdOf("bar", 8), 0);
  Commit(4, WritesBoth(3));
  FooIsPrepared(WritesBoth(3).id);
  ASSERT_THAT(inbox_.proposed, SizeIs(1));
  v1::CommandBatch batch;
  ASSERT_TRUE(batch.ParseFromString(inbox_.proposed[0].encoded_command));
  EXPECT_EQ(batch.commands(0).decide().outcome(), v1::TXN_OUTCOME_COMMITTED)
      << "nothing that is proposed is in its way";
}

// Turned away a second time it waits no longer than it may.
TEST_F(ApplyTransactionsTest, AWriteThatMeetsAnotherLockIsAnsweredAtItsDeadline) {
  Lead();
  Lock(IdOf("bar", 9), "bar");
  ClientPuts(3, "bar", seconds(5));
  Unlock(IdOf("bar", 9), 0);
  // Its own entry begins with a Prepare that no queue knew of.
  v1::Command prepare;
  ToProto(txn::MakePrepare(IdOf("bar", 8), {}, {"bar"}), *prepare.mutable_prepare());
  inbox_.proposed.insert(inbox_.proposed.begin(), {nullptr, nullptr, 0, MonotonicTime::max(),
                                                   EncodeCommandElement(prepare)});
  EXPECT_THAT(RunWhatIsProposed(), IsEmpty());
  clock_.now += seconds(5);
  EXPECT_THAT(Handle(SweepDeadlines{}), ElementsAre("3 DEADLINE NOT_APPLIED"));
}

// ---- reads ----

TEST_F(ApplyTransactionsTest, AReadThatMeetsALockWaitsForTheDecision) {
  PutValue("bar", "old");
  PutValue("{bar}2", "other");
  const uint64_t prepared = Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(Get(1, "bar"), IsEmpty());
  EXPECT_THAT(Get(2, "{bar}2"), ElementsAre("2 OK =other")) << "another key";
  EXPECT_THAT(Scan(3, "a", "c"), IsEmpty());
  EXPECT_THAT(Scan(4, "c", ""), ElementsAre("4 OK"));
  EXPECT_THAT(Unlock(IdOf("bar", 9), prepared + 7), ElementsAre("1 OK =new", "3 OK"));
  EXPECT_EQ(loop_.counters().blocked_reads, 2u);
}

// Others that are let go judge nothing anew.
TEST_F(ApplyTransactionsTest, OnlyReadsOfWhatWasLetGoAreJudgedAnew) {
  PutValue("bar", "old");
  PutValue("{bar}2", "other");
  const uint64_t first = Lock(IdOf("bar", 9), "bar");
  const uint64_t second = Lock(IdOf("bar", 8), "{bar}2");
  EXPECT_THAT(Get(1, "bar"), IsEmpty());
  EXPECT_THAT(Get(2, "{bar}2"), IsEmpty());
  EXPECT_THAT(Scan(3, "", ""), IsEmpty());
  EXPECT_EQ(loop_.counters().blocked_reads, 3u);
  EXPECT_THAT(Unlock(IdOf("bar", 9), first + 7), ElementsAre("1 OK =new"));
  EXPECT_EQ(loop_.counters().blocked_reads, 4u) << "the scan";
  EXPECT_THAT(Unlock(IdOf("bar", 8), second + 7), ElementsAre("2 OK =new", "3 OK"));
  EXPECT_EQ(loop_.counters().blocked_reads, 4u);
}

// The key is locked again by the run that let it go.
TEST_F(ApplyTransactionsTest, AReadWhoseDeadlinePassesBehindALockIsAnswered) {
  PutValue("bar", "old");
  Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(Get(1, "bar"), IsEmpty());
  EXPECT_THAT(Scan(2, "", ""), IsEmpty());
  clock_.now += seconds(60);
  EXPECT_THAT(Handle(SweepDeadlines{}), ElementsAre("1 DEADLINE", "2 DEADLINE"));
  EXPECT_THAT(Handle(SweepDeadlines{}), IsEmpty());
}

TEST_F(ApplyTransactionsTest, AReadAtATimestampWaitsForLocksAtOrBelowIt) {
  PutValue("bar", "old");
  const uint64_t prepared = Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(Get(1, "bar", prepared - 1), ElementsAre("1 OK =old")) << "it commits later";
  EXPECT_THAT(Get(2, "bar", prepared), IsEmpty());
  EXPECT_THAT(Get(3, "bar", prepared + 6), IsEmpty());
  EXPECT_THAT(Scan(4, "", "", prepared), IsEmpty());
  EXPECT_THAT(Scan(5, "", "", prepared - 1), ElementsAre("5 OK"));
  EXPECT_THAT(Unlock(IdOf("bar", 9), prepared + 6), ElementsAre("2 OK =old", "3 OK =new", "4 OK"));
}

TEST_F(ApplyTransactionsTest, SharedLocksAreInNoReadsWay) {
  PutValue("bar", "old");
  EntryBuilder entry = Next();
  ToProto(txn::MakePrepare(IdOf("bar", 9), {{"bar", 100}}, {}), *entry.Add().mutable_prepare());
  ApplyEntry(entry.Build());
  EXPECT_THAT(Get(1, "bar"), ElementsAre("1 OK =old"));
}

TEST_F(ApplyTransactionsTest, ABlockedReadHasADeadline) {
  Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(Get(1, "bar"), IsEmpty());
  clock_.now += seconds(5);
  EXPECT_THAT(Handle(SweepDeadlines{}), ElementsAre("1 DEADLINE"));
  EXPECT_THAT(Unlock(IdOf("bar", 9), 0), IsEmpty()) << "once";
}

TEST_F(ApplyTransactionsTest, ABlockedReadMayBecomeTooOld) {
  PutValue("bar", "old");
  const uint64_t prepared = Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(Get(1, "bar", prepared + 1), IsEmpty());
  EXPECT_THAT(Get(2, "{bar}2", prepared + 1), ElementsAre("2 OK -"));
  EntryBuilder entry = Next();
  entry.Add().mutable_advance_horizon()->set_horizon(prepared + 50);
  ApplyEntry(entry.Build());
  EXPECT_THAT(Get(3, "{bar}2", prepared + 1), ElementsAre("3 TOO_OLD"));
  EXPECT_THAT(Unlock(IdOf("bar", 9), prepared + 1), ElementsAre("1 TOO_OLD"));
  EXPECT_EQ(loop_.counters().too_old, 2u);
}

TEST_F(ApplyTransactionsTest, ABlockedReadGoesOnWithACheckpoint) {
  const uint64_t prepared = Lock(IdOf("bar", 9), "bar");
  EXPECT_THAT(Get(1, "bar"), IsEmpty());
  Create("/elsewhere");
  const auto other = testing::OpenShard({files_, engines_}, "/elsewhere");
  const auto apply = [&](const EntryBuilder& entry) {
    EXPECT_TRUE(testing::ApplyOne(*other, entry.Build()).ok());
  };
  EntryBuilder lock(1, prepared);
  ToProto(txn::MakePrepare(IdOf("bar", 9), {}, {"bar"}), *lock.Add().mutable_prepare());
  apply(lock);
  EntryBuilder unlock(2, prepared + 100);
  ToProto(txn::Resolve{IdOf("bar", 9), txn::Outcome::kCommitted, prepared + 1, {kBar}},
          *unlock.Add().mutable_resolve());
  apply(unlock);
  const auto base = other->CreateCheckpoint("/staged");
  ASSERT_TRUE(base.ok());
  EXPECT_THAT(Handle(InstallCheckpoint{kGroup, *base, "/staged", [](const std::string&) {}}),
              ElementsAre("1 OK =new"));
}

TEST_F(ApplyTransactionsTest, AValidationIsRefusedByALockAndByAChange) {
  PutValue("bar", "old");
  const uint64_t version = stamp_;
  const auto validate = [&](uint64_t read, uint64_t clock) {
    v1::Request request;
    request.set_id(1);
    v1::TxnRead& one = *request.mutable_validate()->add_reads();
    one.set_key("bar");
    one.set_version(read);
    request.mutable_validate()->set_clock(clock);
    loop_.Handle(ServeReads{
        kGroup, raft::LogIndex(index_), {{replies_, nullptr, clock_.now + seconds(5), request}}});
    loop_.FinishRound();
    EXPECT_EQ(replies_->all.at(0).code(), v1::CODE_OK);
    return std::exchange(replies_->all, {}).at(0).validate().valid();
  };
  EXPECT_TRUE(validate(version, version));
  EXPECT_FALSE(validate(version - 1, version));
  EXPECT_FALSE(validate(0, version));
  Lock(IdOf("bar", 9), "bar");
  EXPECT_FALSE(validate(version, version)) << "nor does it wait";
  Unlock(IdOf("bar", 9), 0);
  EXPECT_TRUE(validate(version, version));
  EntryBuilder entry = Next();
  entry.Add().mutable_advance_horizon()->set_horizon(version + 1);
  ApplyEntry(entry.Build());
  EXPECT_FALSE(validate(version, version)) << "the horizon has passed the first round";
  EXPECT_TRUE(validate(version, version + 1));
}

// ---- messages ----

TEST_F(ApplyTransactionsTest, AMessageForAShardThatIsLedElsewhereIsSentOnTwice) {
  Lead();
  v1::TxnMessage inquiry;
  ToProto(IdOf("foo", 1), *inquiry.mutable_inquiry()->mutable_id());
  inquiry.set_to_slot(kFoo);
  inquiry.set_from_node(3);
  Receive(inquiry);
  ASSERT_THAT(post_.posted, SizeIs(1));
  EXPECT_EQ(post_.posted[0].first, raft::NodeId(2));
  EXPECT_EQ(post_.posted[0].second.from_node(), 3u) << "the answer goes to who asked";
  inquiry.set_hops(1);
  Receive(inquiry);
  EXPECT_THAT(post_.posted, SizeIs(2));
  inquiry.set_hops(2);
  Receive(inquiry);
  EXPECT_THAT(post_.posted, SizeIs(2));
}

// What comes of a message is replicated, and an entry that makes no sense stops every replica.
TEST_F(ApplyTransactionsTest, WhatMakesNoSenseIsDropped) {
  Lead();
  const txn::Transaction transaction = WritesBoth(1);
  Commit(3, transaction);
  const uint64_t too_high = (uint64_t{1} << 62) + 1;
  v1::TxnMessage inquiry;
  inquiry.set_to_slot(kBar);
  ToProto(IdOf("bar", 0), *inquiry.mutable_inquiry()->mutable_id());
  Receive(inquiry);
  ToProto(IdOf("bar", 1, too_high), *inquiry.mutable_inquiry()->mutable_id());
  Receive(inquiry);
  txn::PrepareAnswer answer;
  answer.prepared = too_high;
  Receive(MakePrepareReply(transaction.id, {kFoo}, answer));
  Lock(IdOf("{bar}x", 7), "{bar}x");
  v1::TxnMessage reply =
      MakeInquiryReply(IdOf("{bar}x", 7), {txn::InquiryAnswer::Verdict::kCommitted, too_high});
  reply.set_to_slot(kBar);
  Receive(reply);
  v1::TxnMessage nothing;
  nothing.set_to_slot(kBar);
  Receive(nothing);
  v1::TxnMessage nowhere = inquiry;
  nowhere.set_to_slot(base::kSlotCount);
  Receive(nowhere);
  EXPECT_THAT(inbox_.proposed, IsEmpty());
}

TEST_F(ApplyTransactionsTest, RowsOfTransactionsCountWhenReplicasAreCompared) {
  const auto digest = [&] {
    uint64_t transactions = 0;
    Handle(AppliedStatesAsked{
        [&](std::vector<AppliedState> states) { transactions = states.at(0).transactions; }});
    return transactions;
  };
  std::set<uint64_t> seen{digest()};
  Lock(IdOf("bar", 9), "bar");
  EXPECT_TRUE(seen.insert(digest()).second);
  Lock(IdOf("bar", 8), "{bar}2");
  EXPECT_TRUE(seen.insert(digest()).second);
  Unlock(IdOf("bar", 9), 0);
  EXPECT_TRUE(seen.insert(digest()).second);
  EntryBuilder entry = Next();
  ToProto(txn::Decide{IdOf("bar", 1), txn::Outcome::kAborted, 0, {kFoo}},
          *entry.Add().mutable_decide());
  ApplyEntry(entry.Build());
  EXPECT_TRUE(seen.insert(digest()).second);
}

}  // namespace
}  // namespace basalt::server
