// What commands of transactions do to a shard's rows and versions; the rules are tests/unit/txn's.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/slot.h"
#include "server/shard/txn_codec.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/hex.h"
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
using testing::StoredText;

// All keys lie in one slot, {t}, but "far", whose slot is another shard's.
const uint32_t kSlot = base::SlotOf("t");
const uint32_t kFar = base::SlotOf("far");
const txn::SlotRange kOwned{8192, 8192};

std::vector<txn::Slot> SlotsOfBoth() { return {std::min(kSlot, kFar), std::max(kSlot, kFar)}; }

txn::TxnId Id(uint64_t number, uint64_t issued = 5) { return {kSlot, issued, {0, 7}, number}; }

class Transactions : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override { machine_ = Make("r"); }

  std::unique_ptr<ReplicaStateMachine> Make(const std::string& name) {
    const v1::ShardDescriptor descriptor = Descriptor(7, kOwned.first, kOwned.count);
    EXPECT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path(name), descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
    return OpenShard(ports_, bench_.Path(name), &noted_);
  }
  std::string Apply(EntryBuilder& entry) {
    EXPECT_TRUE(ApplyOne(*machine_, entry.Build()).ok());
    const std::string text = noted_.Take();
    return text.substr(text.find(':') + 2, text.size() - text.find(':') - 3);
  }
  std::string Apply(EntryBuilder&& entry) { return Apply(entry); }
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

  static EntryBuilder& AddPrepare(EntryBuilder& entry, const txn::TxnId& id,
                                  std::vector<txn::Read> reads, std::vector<txn::Write> writes) {
    ToProto(
        txn::Prepare{
            id, txn::AgeOfFirstAttempt(id), {{kSlot, std::move(reads), std::move(writes)}}},
        *entry.Add().mutable_prepare());
    return entry;
  }
  // The other shard has prepared.
  static txn::Decide CommitOf(const txn::TxnId& id, std::vector<txn::Read> reads,
                              std::vector<txn::Write> writes) {
    return {id,
            txn::Outcome::kCommitted,
            id.issued + 1,
            SlotsOfBoth(),
            {{kSlot, std::move(reads), std::move(writes)}},
            true};
  }
  static EntryBuilder& AddDecide(EntryBuilder& entry, const txn::Decide& decide) {
    ToProto(decide, *entry.Add().mutable_decide());
    return entry;
  }
  static EntryBuilder& AddCommit(EntryBuilder& entry, const txn::TxnId& id,
                                 std::vector<txn::Read> reads, std::vector<txn::Write> writes) {
    return AddDecide(entry, CommitOf(id, std::move(reads), std::move(writes)));
  }
  static EntryBuilder& AddSettle(EntryBuilder& entry, std::vector<txn::TxnId> ids) {
    ToProto(txn::Settle{std::move(ids)}, *entry.Add().mutable_settle());
    return entry;
  }
  static EntryBuilder& AddResolve(EntryBuilder& entry, const txn::TxnId& id, uint64_t commit) {
    ToProto(
        txn::Resolve{
            id, commit == 0 ? txn::Outcome::kAborted : txn::Outcome::kCommitted, commit, {kSlot}},
        *entry.Add().mutable_resolve());
    return entry;
  }
  std::string Prepare(uint64_t stamp, const txn::TxnId& id, std::vector<txn::Read> reads,
                      std::vector<txn::Write> writes) {
    EntryBuilder entry = Next(stamp);
    return Apply(AddPrepare(entry, id, std::move(reads), std::move(writes)));
  }
  std::string Decide(uint64_t stamp, const txn::Decide& decide) {
    EntryBuilder entry = Next(stamp);
    return Apply(AddDecide(entry, decide));
  }
  std::string Commit(uint64_t stamp, const txn::TxnId& id, std::vector<txn::Read> reads,
                     std::vector<txn::Write> writes) {
    return Decide(stamp, CommitOf(id, std::move(reads), std::move(writes)));
  }
  std::string Abort(uint64_t stamp, const txn::TxnId& id) {
    return Decide(stamp, {id, txn::Outcome::kAborted, 0, SlotsOfBoth(), {}, true});
  }
  std::string Resolve(uint64_t stamp, const txn::TxnId& id, uint64_t commit) {
    EntryBuilder entry = Next(stamp);
    return Apply(AddResolve(entry, id, commit));
  }
  bool Published(std::string_view key) {
    return machine_->locks()->Holds(key, machine_->locks()->generation().value());
  }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  std::unique_ptr<ReplicaStateMachine> machine_;
  uint64_t index_ = 0;
};

TEST_P(Transactions, AParticipantsLocksLastUntilTheyAreResolved) {
  EXPECT_EQ(Apply(Next(10).Put("{t}a", "1")), "10");
  EXPECT_EQ(Prepare(20, Id(1), {{"{t}a", 10}}, {{"{t}a", "2"}, {"{t}b", std::nullopt}}),
            "prepared-20");
  EXPECT_TRUE(Published("{t}a"));
  EXPECT_TRUE(Published("{t}b"));
  EXPECT_EQ(Apply(Next(30).Put("{t}a", "x").Delete("{t}b").Put("{t}c", "y")), "locked locked 32");
  EXPECT_EQ(Get("{t}a"), "1@10");
  Restart();
  EXPECT_TRUE(Published("{t}a"));
  EXPECT_EQ(Apply(Next(40).Increment("{t}a", 1)), "locked");
  EXPECT_EQ(Resolve(50, Id(1), 25), "resolved-1");
  EXPECT_FALSE(Published("{t}a"));
  EXPECT_EQ(Get("{t}a"), "2@25");
  EXPECT_EQ(Get("{t}b"), "absent");
  EXPECT_EQ(Apply(Next(60).Increment("{t}a", 1)), "60=3");
}

// A fence is in no lock's way: it takes the number of a write that waits for one.
TEST_P(Transactions, AWriteThatALockTurnedAwayCanBeFenced) {
  EXPECT_EQ(Prepare(10, Id(1), {}, {{"{t}a", "2"}}), "prepared-10");
  EXPECT_EQ(Apply(Next(20).Put("{t}a", "x").As(1, 1, 1, 5)), "locked");
  EXPECT_EQ(Apply(Next(30).Fence(kSlot).As(1, 1, 1, 5)), "fenced-30");
  Resolve(50, Id(1), 10);
  EXPECT_EQ(Apply(Next(60).Put("{t}a", "x").As(1, 1, 1, 5)), "again-fenced-30");
  EXPECT_EQ(Get("{t}a"), "2@10") << "at the commit";
}

TEST_P(Transactions, ALateOrSecondPrepareTakesNoLock) {
  EXPECT_EQ(Resolve(10, Id(1), 0), "resolved-1");
  Restart();
  EXPECT_EQ(Prepare(20, Id(1), {}, {{"{t}a", "1"}}), "was-aborted");
  EXPECT_FALSE(Published("{t}a"));
  EXPECT_EQ(Prepare(30, Id(2), {}, {{"{t}a", "1"}}), "prepared-30");
  EXPECT_EQ(Prepare(40, Id(2), {}, {{"{t}a", "1"}}), "prepared-30") << "its first answer again";
  EXPECT_EQ(Prepare(50, Id(3), {}, {{"{t}a", "1"}}), "locked-{t}a");
}

TEST_P(Transactions, ACoordinatorDecidesOnceAndRemembers) {
  EXPECT_EQ(Abort(10, Id(9)), "aborted");
  Restart();
  EXPECT_EQ(Commit(20, Id(9), {}, {{"{t}a", "9"}}), "aborted") << "the first one wins";
  EXPECT_EQ(Get("{t}a"), "absent");
  EXPECT_EQ(Commit(30, Id(1), {{"{t}a", 0}}, {{"{t}a", "1"}}), "committed-30");
  Restart();
  EXPECT_EQ(Get("{t}a"), "1@30");
  EXPECT_EQ(Abort(40, Id(1)), "committed-30");
  EXPECT_EQ(Commit(50, Id(1), {{"{t}a", 0}}, {{"{t}a", "1"}}), "committed-30");
  EXPECT_EQ(Get("{t}a"), "1@30") << "once";
  Restart();
  EXPECT_EQ(Abort(60, Id(1)), "committed-30");
  EXPECT_FALSE(Published("{t}a"));
}

TEST_P(Transactions, ADecisionWritesTheCoordinatorsPartsInItsOwnEntry) {
  EXPECT_EQ(Apply(Next(10).Put("{t}a", "1").Put("{t}b", "2")), "10 11");
  EXPECT_EQ(Commit(20, Id(1), {{"{t}a", 10}, {"{t}c", 0}}, {{"{t}a", "3"}, {"{t}b", std::nullopt}}),
            "committed-20");
  for (int opened = 0; opened < 2; ++opened) {
    EXPECT_EQ(Get("{t}a"), "3@20");
    EXPECT_EQ(Get("{t}b"), "absent");
    EXPECT_FALSE(Published("{t}a")) << "nothing was ever locked";
    EXPECT_TRUE(machine_->txn()->state().prepared.empty());
    const txn::Record& record = machine_->txn()->state().records.at(Id(1));
    EXPECT_EQ(record.commit, 20u);
    EXPECT_EQ(record.slots, SlotsOfBoth()) << "the other one has to be told";
    Restart();
  }
  EXPECT_EQ(Apply(Next(30).Increment("{t}a", 1)), "30=4");
}

TEST_P(Transactions, ADecisionThatFindsAChangeOrALockAbortsAndWritesNothing) {
  EXPECT_EQ(Apply(Next(10).Put("{t}a", "1")), "10");
  EXPECT_EQ(Commit(20, Id(1), {{"{t}a", 9}}, {{"{t}a", "x"}, {"{t}b", "x"}}),
            "aborted-changed-{t}a");
  EXPECT_EQ(Prepare(30, Id(2), {{"{t}c", 0}}, {{"{t}a", "2"}}), "prepared-30");
  EXPECT_EQ(Commit(40, Id(3), {}, {{"{t}a", "x"}, {"{t}b", "x"}}), "aborted-locked-{t}a");
  EXPECT_EQ(Commit(50, Id(4), {{"{t}a", 10}}, {{"{t}b", "x"}}), "aborted-locked-{t}a");
  EXPECT_EQ(Commit(60, Id(5), {}, {{"{t}b", "x"}, {"{t}c", "x"}}), "aborted-locked-{t}c");
  EXPECT_EQ(Get("{t}b"), "absent");
  EXPECT_EQ(Commit(70, Id(6), {{"{t}c", 0}}, {{"{t}d", "y"}}), "committed-70") << "both share it";
  EXPECT_EQ(Resolve(80, Id(2), 0), "resolved-1");
  Restart();
  for (const uint64_t number : {1, 3, 4, 5}) {
    EXPECT_EQ(Commit(80 + 10 * number, Id(number), {}, {{"{t}b", "x"}}), "aborted") << "for ever";
  }
  EXPECT_EQ(Get("{t}a"), "1@10");
  EXPECT_EQ(Get("{t}b"), "absent");
  EXPECT_EQ(Get("{t}c"), "absent");
  EXPECT_EQ(Prepare(200, Id(3), {}, {{"{t}a", "x"}}), "was-aborted");
}

TEST_P(Transactions, ADecisionComparesVersionsOfTheSameRun) {
  EntryBuilder entry = Next(10);
  entry.Put("{t}a", "1");
  AddCommit(entry, Id(1), {{"{t}a", 0}}, {{"{t}b", "x"}});
  AddCommit(entry, Id(2), {{"{t}a", 10}}, {{"{t}a", "2"}});
  AddCommit(entry, Id(3), {{"{t}a", 10}}, {{"{t}b", "x"}});
  AddCommit(entry, Id(4), {{"{t}a", 12}, {"{t}b", 0}}, {{"{t}b", "3"}});
  entry.Delete("{t}b");
  AddCommit(entry, Id(5), {{"{t}b", 15}}, {{"{t}c", "4"}});
  AddPrepare(entry, Id(6), {{"{t}c", 16}}, {});
  AddCommit(entry, Id(7), {}, {{"{t}c", "x"}});
  EXPECT_EQ(Apply(entry),
            "10 aborted-changed-{t}a committed-12 aborted-changed-{t}a committed-14 15+existed "
            "committed-16 prepared-17 aborted-locked-{t}c");
  EXPECT_EQ(Get("{t}a"), "2@12");
  EXPECT_EQ(Get("{t}b"), "absent");
  EXPECT_EQ(Get("{t}c"), "4@16");
}

TEST_P(Transactions, ADecisionThatComparesNothingSaysWhatItRead) {
  txn::Decide decide = CommitOf(Id(1), {{"{t}a", 0}, {"{t}b", 0}}, {});
  decide.compares_versions = false;
  EntryBuilder entry = Next(10);
  entry.Put("{t}a", "1");
  EXPECT_EQ(Apply(AddDecide(entry, decide)), "10 committed-11+{t}a@10=1+{t}b@0=absent");
  EXPECT_EQ(Prepare(20, Id(2), {}, {{"{t}a", "2"}}), "prepared-20");
  decide.id = Id(3);
  EXPECT_EQ(Decide(30, decide), "aborted-locked-{t}a");
}

// Of a shard that was another participant before.
TEST_P(Transactions, ADecisionEndsLocksOfItsOwn) {
  EXPECT_EQ(Prepare(10, Id(1), {}, {{"{t}a", "1"}}), "prepared-10");
  EXPECT_EQ(Commit(20, Id(1), {}, {{"{t}a", "1"}}), "committed-20");
  EXPECT_EQ(Get("{t}a"), "1@20");
  EXPECT_FALSE(Published("{t}a"));
  EXPECT_EQ(Prepare(30, Id(1), {}, {{"{t}a", "1"}}), "was-committed");
}

TEST_P(Transactions, ADecisionOnWhatIsAnothersIsNone) {
  txn::Decide decide = CommitOf(Id(1), {}, {{"{t}a", "1"}});
  decide.parts.push_back({kFar, {}, {{"far", "2"}}});
  std::sort(decide.parts.begin(), decide.parts.end(),
            [](const txn::Part& one, const txn::Part& other) { return one.slot < other.slot; });
  EXPECT_EQ(Decide(10, decide), "moved");
  EXPECT_EQ(Get("{t}a"), "absent");
  decide.id.anchor = kFar;
  EXPECT_EQ(Decide(20, decide), "not-owner");
  EXPECT_TRUE(machine_->txn()->state().records.empty());
  EXPECT_EQ(Commit(30, Id(1), {}, {{"{t}a", "1"}}), "committed-30");
}

TEST_P(Transactions, SeveralOutcomesAreSettledByOneCommand) {
  EXPECT_EQ(Commit(10, Id(1), {}, {{"{t}a", "1"}}), "committed-10");
  EXPECT_EQ(Abort(20, Id(2)), "aborted");
  EXPECT_EQ(Commit(30, Id(3), {}, {{"{t}b", "1"}}), "committed-30");
  EXPECT_EQ(machine_->txn()->state().open.size(), 3u);
  const uint64_t kept = machine_->totals().outcomes.kept;
  EntryBuilder settle = Next(40);
  EXPECT_EQ(Apply(AddSettle(settle, {Id(1), Id(2), Id(4)})), "40");
  Restart();
  EXPECT_EQ(machine_->txn()->state().open.size(), 1u);
  EXPECT_TRUE(machine_->txn()->state().open.contains(Id(3)));
  EXPECT_EQ(machine_->totals().outcomes.kept, kept + 2);
  EXPECT_EQ(machine_->txn()->state().records.at(Id(1)).stamp, 40u);
  EXPECT_EQ(Abort(50, Id(1)), "committed-10") << "it stays";
}

TEST_P(Transactions, APrepareComparesVersionsOfTheSameRun) {
  EntryBuilder entry = Next(10);
  entry.Put("{t}a", "1");
  AddPrepare(entry, Id(1), {{"{t}a", 0}}, {{"{t}b", "x"}});
  AddPrepare(entry, Id(2), {{"{t}a", 10}}, {{"{t}b", "y"}});
  AddResolve(entry, Id(2), 12);
  entry.Delete("{t}b");
  AddPrepare(entry, Id(3), {{"{t}b", 14}}, {});
  EXPECT_EQ(Apply(entry), "10 changed-{t}a prepared-12 resolved-1 14+existed prepared-15");
  EXPECT_EQ(Get("{t}b"), "absent");
}

TEST_P(Transactions, AOneShardTransactionIsAnsweredOnceByItsNumber) {
  const auto add = [&](EntryBuilder& entry, uint64_t version, uint64_t sequence) -> EntryBuilder& {
    v1::OneShardCommand& one = *entry.Add().mutable_one_shard();
    one.add_reads()->set_key("{t}a");
    one.mutable_reads(0)->set_version(version);
    one.add_writes()->set_key("{t}a");
    one.mutable_writes(0)->set_value("new");
    return entry.As(1, sequence, 1);
  };
  EntryBuilder first = Next(10);
  EXPECT_EQ(Apply(add(first, 0, 1)), "10");
  EntryBuilder again = Next(20);
  EXPECT_EQ(Apply(add(again, 0, 1)), "again-10");
  EntryBuilder stale = Next(30);
  EXPECT_EQ(Apply(add(stale, 0, 2)), "failed-0");
  EXPECT_EQ(Prepare(40, Id(1), {}, {{"{t}a", "x"}}), "prepared-40");
  EntryBuilder locked = Next(50);
  EXPECT_EQ(Apply(add(locked, 10, 3)), "locked");
  EXPECT_EQ(Resolve(60, Id(1), 0), "resolved-1");
  EntryBuilder later = Next(70);
  EXPECT_EQ(Apply(add(later, 10, 3)), "70") << "what was turned away left no result";
}

TEST_P(Transactions, ACheckpointCarriesThem) {
  EXPECT_EQ(Prepare(10, Id(1), {}, {{"{t}a", "1"}}), "prepared-10");
  EXPECT_EQ(Resolve(20, Id(2), 0), "resolved-1");
  EXPECT_EQ(Commit(30, Id(3), {}, {{"{t}b", "1"}}), "committed-30");
  const auto base = machine_->CreateCheckpoint(bench_.Path("checkpoint"));
  ASSERT_TRUE(base.ok()) << base.status();
  const auto other = Make("other");
  ASSERT_TRUE(other->Install(bench_.Path("checkpoint"), *base).ok());
  EXPECT_TRUE(other->locks()->Holds("{t}a", other->locks()->generation().value()));
  EXPECT_TRUE(other->txn()->state().open.contains(Id(3)));
  EXPECT_TRUE(other->txn()->state().resolved.contains(Id(2)));
  EXPECT_EQ(TxnDigest(other->txn()->state()), TxnDigest(machine_->txn()->state()));
}

TEST_P(Transactions, OutcomesAreForgotten) {
  EXPECT_EQ(Resolve(10, Id(1, 5), 0), "resolved-1");
  EXPECT_EQ(machine_->totals().outcomes.oldest, 10u);
  EntryBuilder forget = Next(20);
  forget.Add().mutable_forget_transactions()->set_through(15);
  forget.batch().mutable_commands(0)->mutable_forget_transactions()->set_kept_max(100);
  EXPECT_EQ(Apply(forget), "20");
  Restart();
  EXPECT_EQ(machine_->totals().outcomes.kept, 0u);
  EXPECT_EQ(machine_->totals().outcomes.forgotten, 10u);
  EXPECT_EQ(Prepare(30, Id(1, 5), {}, {{"{t}a", "1"}}), "forgotten");
  EXPECT_EQ(Commit(35, Id(1, 5), {}, {{"{t}a", "1"}}), "forgotten");
  EXPECT_EQ(Abort(36, Id(1, 5)), "forgotten");
  EXPECT_EQ(Prepare(40, Id(2, 10), {}, {{"{t}a", "1"}}), "prepared-40");
  EXPECT_EQ(Commit(50, Id(3, 10), {}, {{"{t}b", "1"}}), "committed-50");
}

// A leader applies entry by entry, a follower and a restart many at once; what they come to must be
// the same. A delete at the horizon was: it counted as a version while it was of the same run.
TEST_P(Transactions, WhatTheyComeToDoesNotDependOnHowEntriesAreGathered) {
  std::vector<EntryBuilder> entries;
  const auto next = [&]() -> EntryBuilder& {
    return entries.emplace_back(EntryBuilder{entries.size() + 1, 10 * (entries.size() + 1)});
  };
  next().Put("{t}a", "1").Put("{t}b", "2");
  next().Delete("{t}a");
  next().Delete("{t}b");
  next().Add().mutable_advance_horizon()->set_horizon(25);  // the first delete, not the second
  for (const std::string key : {"{t}a", "{t}b"}) {
    v1::OneShardCommand& one = *next().Add().mutable_one_shard();
    one.add_reads()->set_key(key);
    v1::TxnWrite& write = *one.add_writes();
    write.set_key(key + "-seen");
    write.set_value("absent");
  }
  AddPrepare(next(), Id(1), {{"{t}a", 0}}, {{"{t}c", "3"}});
  AddPrepare(next(), Id(2), {{"{t}b", 0}}, {{"{t}d", "4"}});
  AddResolve(next(), Id(1), 75);
  AddCommit(next(), Id(3), {{"{t}a", 0}}, {{"{t}e", "5"}});
  AddCommit(next(), Id(4), {{"{t}b", 0}}, {{"{t}f", "6"}});
  AddCommit(next(), Id(5), {{"{t}e", 100}}, {{"{t}e", std::nullopt}});
  AddPrepare(next(), Id(8), {}, {{"{t}h", "9"}});
  AddCommit(next(), Id(6), {}, {{"{t}f", "7"}, {"{t}h", "7"}});
  AddSettle(next(), {Id(3), Id(4), Id(6)});
  AddCommit(next(), Id(7), {{"{t}e", 120}}, {{"{t}g", "8"}});

  const auto together = Make("together");
  std::vector<raft::Entry> run;
  for (EntryBuilder& entry : entries) {
    run.push_back(entry.Build());
    ASSERT_TRUE(ApplyOne(*machine_, run.back()).ok());
  }
  const std::string alone = noted_.Take();
  ASSERT_TRUE(together->Apply(run).ok());
  EXPECT_EQ(noted_.Take(), alone);
  EXPECT_EQ(StoredText(together->store()), StoredText(machine_->store()));
  EXPECT_EQ(TxnDigest(together->txn()->state()), TxnDigest(machine_->txn()->state()));
  EXPECT_EQ(Get("{t}a-seen"), "absent@50");
  EXPECT_EQ(Get("{t}b-seen"), "absent");
  EXPECT_EQ(Get("{t}c"), "3@75");
  EXPECT_FALSE(Published("{t}d"));
  EXPECT_EQ(Get("{t}e"), "absent");
  EXPECT_EQ(Get("{t}f"), "absent");
  EXPECT_EQ(Get("{t}g"), "8@160");
  EXPECT_TRUE(Published("{t}h"));
}

TEST_P(Transactions, ADamagedRowIsNoReplica) {
  EXPECT_EQ(Prepare(10, Id(1), {}, {{"{t}a", "1"}}), "prepared-10");
  const std::shared_ptr<storage::Engine> engine = machine_->store().engine();
  const auto rows = engine->NewIterator(storage::Family::kState, nullptr);
  rows->Seek(kTxnRowPrefix);
  ASSERT_TRUE(rows->Valid());
  storage::Batch batch;
  batch.Put(storage::Family::kState, std::string(rows->key()), "\xff");
  engine->Write(batch);
  EXPECT_EQ(ReadTxnRows(*engine, {0, base::kSlotCount}).status().code(),
            absl::StatusCode::kDataLoss);
}

// On disks and in the logs of every release.
TEST(TransactionsGolden, Commands) {
  v1::CommandBatch batch;
  const txn::TxnId id{7, 0x10, {1, 2}, 3};
  ToProto(txn::Prepare{id,
                       txn::AgeOfFirstAttempt(id),
                       {{7, {{"k", 9}}, {{"k", "v"}, {"l", std::nullopt}}}},
                       true},
          *batch.add_commands()->mutable_prepare());
  ToProto(txn::Decide{id,
                      txn::Outcome::kCommitted,
                      0x20,
                      {7, 8},
                      {{7, {{"k", 9}}, {{"k", "v"}, {"l", std::nullopt}}}},
                      true},
          *batch.add_commands()->mutable_decide());
  ToProto(txn::Decide{id, txn::Outcome::kAborted, 0, {7, 8}, {}, true},
          *batch.add_commands()->mutable_decide());
  ToProto(txn::Resolve{id, txn::Outcome::kAborted, 0, {8}},
          *batch.add_commands()->mutable_resolve());
  ToProto(txn::Settle{{id, {8, 0x10, {1, 2}, 4}}}, *batch.add_commands()->mutable_settle());
  EXPECT_EQ(testing::ToHex(batch.SerializeAsString()),
            "1266c202630a1f08071110000000000000001901000000000000002102000000000000002803"
            "121d09100000000000000011010000000000000019020000000000000020031a1f0807120c0a"
            "016b1109000000000000001a060a016b1201761a050a016c180128011256ca02530a1f080711"
            "1000000000000000190100000000000000210200000000000000280310011920000000000000"
            "00220207082a1f0807120c0a016b1109000000000000001a060a016b1201761a050a016c1801"
            "3001122cca02290a1f0807111000000000000000190100000000000000210200000000000000"
            "280310022202070830011229d202260a1f080711100000000000000019010000000000000021"
            "0200000000000000280310022201081245da02420a1f08071110000000000000001901000000"
            "0000000021020000000000000028030a1f080811100000000000000019010000000000000021"
            "02000000000000002804");
}

TEST(TransactionsProblem, WhatCannotBeIsNamed) {
  v1::PrepareCommand good;
  const uint32_t slot = base::SlotOf("k");
  const txn::TxnId id{slot, 0x10, {1, 2}, 3};
  ToProto(txn::Prepare{id, txn::AgeOfFirstAttempt(id), {{slot, {{"k", 9}}, {{"k", "v"}}}}}, good);
  EXPECT_EQ(TxnProblem(good), std::nullopt);
  const auto spoilt = [&](const auto& spoil) {
    v1::PrepareCommand command = good;
    spoil(command);
    return TxnProblem(command).has_value();
  };
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_id()->set_number(0); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_id()->set_anchor(16384); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.clear_parts(); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_parts(0)->set_slot(1); }));
  EXPECT_TRUE(spoilt([](auto& c) { *c.add_parts() = c.parts(0); }));
  EXPECT_TRUE(spoilt([](auto& c) { *c.mutable_parts(0)->add_reads() = c.parts(0).reads(0); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_parts(0)->mutable_writes(0)->clear_what(); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_parts(0)->mutable_reads(0)->set_key(""); }));
}

TEST(TransactionsProblem, OfADecision) {
  v1::DecideCommand good;
  const uint32_t slot = base::SlotOf("k");
  const txn::TxnId id{slot, 0x10, {1, 2}, 3};
  ToProto(txn::Decide{id,
                      txn::Outcome::kCommitted,
                      0x20,
                      {slot, slot + 1},
                      {{slot, {{"k", 9}}, {{"k", "v"}}}},
                      true},
          good);
  EXPECT_EQ(TxnProblem(good), std::nullopt);
  const auto spoilt = [&](const auto& spoil) {
    v1::DecideCommand command = good;
    spoil(command);
    return TxnProblem(command).has_value();
  };
  EXPECT_FALSE(spoilt([](auto& c) { c.set_prepared(0); })) << "nobody else had to prepare";
  EXPECT_FALSE(spoilt([](auto& c) { c.mutable_parts(0)->clear_writes(); }));
  EXPECT_FALSE(spoilt([](auto& c) { c.set_compares_versions(false); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_id()->set_number(0); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.set_outcome(v1::TXN_OUTCOME_UNDECIDED); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.set_outcome(static_cast<v1::TxnOutcome>(3)); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.set_prepared((uint64_t{1} << 62) + 1); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.clear_parts(); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_parts(0)->set_slot(1); }));
  EXPECT_TRUE(spoilt([](auto& c) { *c.add_parts() = c.parts(0); }));
  EXPECT_TRUE(spoilt([](auto& c) { *c.mutable_parts(0)->add_writes() = c.parts(0).writes(0); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_parts(0)->mutable_writes(0)->clear_what(); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_parts(0)->mutable_reads(0)->set_key(""); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.clear_slots(); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.set_slots(0, c.slots(0) - 1); }))
      << "it does not name its own";
  EXPECT_TRUE(spoilt([](auto& c) { c.mutable_id()->set_anchor(c.slots(1) + 1); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.set_slots(1, c.slots(0)); }));
  EXPECT_TRUE(spoilt([](auto& c) { c.set_slots(1, base::kSlotCount); }));
  // An abort knows what it knows, and writes nothing.
  const auto spoilt_abort = [&](const auto& spoil) {
    return spoilt([&](v1::DecideCommand& command) {
      command.set_outcome(v1::TXN_OUTCOME_ABORTED);
      command.set_prepared(0);
      command.clear_parts();
      spoil(command);
    });
  };
  EXPECT_FALSE(spoilt_abort([](auto&) {}));
  EXPECT_FALSE(spoilt_abort([](auto& c) { c.clear_slots(); }));
  EXPECT_TRUE(spoilt_abort([](auto& c) { c.set_prepared(0x20); }));
  EXPECT_TRUE(spoilt_abort([&](auto& c) { *c.mutable_parts() = good.parts(); }));
  EXPECT_TRUE(spoilt_abort([](auto& c) { c.set_slots(1, c.slots(0)); }));
}

INSTANTIATE_TEST_SUITE_P(Engines, Transactions,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::server
