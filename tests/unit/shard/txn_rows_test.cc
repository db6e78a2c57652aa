// Rows of transactions: their bytes (docs/formats.md), back again, and what damage comes to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/slot.h"
#include "server/shard/command_entry.h"
#include "server/shard/txn_codec.h"
#include "server/txn/txn_shard.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/engine/hex.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using ::testing::ElementsAre;
using testing::ToHex;

// "k" has slot 7629.
const uint32_t kSlot = base::SlotOf("k");
const txn::TxnId kId{kSlot, 0x10, {1, 2}, 3};

txn::PreparedRow PreparedOf(const txn::TxnId& id) {
  return {id,
          kSlot,
          {AgeOfFirstAttempt(id),
           0x20,
           {{"k", txn::LockMode::kExclusive, "v"},
            {"{k}2", txn::LockMode::kExclusive, std::nullopt},
            {"{k}3", txn::LockMode::kShared, std::nullopt}}}};
}

class TxnRows : public ::testing::Test {
 protected:
  TxnRows() {
    const v1::ShardDescriptor descriptor = testing::Descriptor(7);
    EXPECT_TRUE(ReplicaStateMachine::Create({files_, engines_}, "/r", descriptor,
                                            FoundingConfiguration(descriptor))
                    .ok());
    machine_ = testing::OpenShard({files_, engines_}, "/r");
    engine_ = machine_->store().engine();
  }

  void Put(const txn::Row& row) {
    storage::Batch batch;
    StageRow(txn::PutRow{row}, batch);
    engine_->Write(batch);
  }
  std::map<std::string, std::string> Stored() {
    std::map<std::string, std::string> stored;
    const auto rows = engine_->NewIterator(storage::Family::kState, nullptr);
    for (rows->Seek(kTxnRowPrefix); rows->Valid(); rows->Next()) {
      if (!rows->key().starts_with(kTxnRowPrefix)) break;
      stored.emplace(rows->key(), rows->value());
    }
    return stored;
  }
  void Replace(const std::map<std::string, std::string>& rows) {
    storage::Batch batch;
    for (const auto& [key, value] : Stored()) batch.Delete(storage::Family::kState, key);
    for (const auto& [key, value] : rows) batch.Put(storage::Family::kState, key, value);
    engine_->Write(batch);
  }
  // Loads what is stored, or says that it is damaged; either is an answer.
  bool Loads() {
    auto rows = ReadTxnRows(*engine_, {0, base::kSlotCount});
    if (!rows.ok()) {
      EXPECT_EQ(rows.status().code(), absl::StatusCode::kDataLoss);
      return false;
    }
    const txn::TxnShard shard({0, base::kSlotCount}, *std::move(rows));
    shard.CheckInvariants();
    return true;
  }
  // Of one row alone.
  bool Loads(const std::string& key, const std::string& value) {
    Replace({{key, value}});
    return Loads();
  }
  bool LoadTogether(const std::vector<txn::Row>& rows) {
    Replace({});
    for (const txn::Row& row : rows) Put(row);
    return Loads();
  }

  static std::vector<txn::Row> OneOfEach() {
    return {PreparedOf(kId),
            txn::ResolvedRow{{kSlot, 0x10, {1, 2}, 4}, {txn::Outcome::kCommitted, 0x30, 0x40}},
            txn::RecordRow{{kSlot, 0x10, {1, 2}, 5},
                           {txn::Outcome::kCommitted, 0x30, 0x40, {kSlot, kSlot + 1}, false}},
            txn::ForgottenRow{0x11}};
  }

  testing::FakeFileSystem files_;
  storage::MemoryEngineFactory engines_{files_, {}};
  std::unique_ptr<ReplicaStateMachine> machine_;
  std::shared_ptr<storage::Engine> engine_;
};

// On disks of every release.
TEST_F(TxnRows, GoldenBytes) {
  for (const txn::Row& row : OneOfEach()) Put(row);
  std::vector<std::string> hex;
  for (const auto& [key, value] : Stored()) hex.push_back(ToHex(key) + " " + ToHex(value));
  EXPECT_THAT(
      hex, ElementsAre(
               "74786e2f0100001dcd0000000000000010000000000000000100000000000000020000000000000003"
               "00001dcd 0a1d09100000000000000011010000000000000019020000000000000020031120000000"
               "000000001a080a016b10011a01761a0a0a047b6b7d32100120011a060a047b6b7d33",
               "74786e2f0200001dcd0000000000000010000000000000000100000000000000020000000000000004"
               " 0801113000000000000000194000000000000000",
               "74786e2f0300001dcd0000000000000010000000000000000100000000000000020000000000000005"
               " 08011130000000000000001940000000000000002204cd3bce3b",
               "74786e2f04 091100000000000000"));
}

TEST_F(TxnRows, AllThatIsStoredComesBack) {
  std::vector<txn::Row> rows = OneOfEach();
  rows.emplace_back(txn::ResolvedRow{{kSlot, 0x10, {1, 2}, 6}, {txn::Outcome::kAborted, 0, 0x41}});
  rows.emplace_back(
      txn::RecordRow{{kSlot, 0x10, {1, 2}, 7}, {txn::Outcome::kAborted, 0, 0x42, {1, 2}, false}});
  rows.emplace_back(
      txn::RecordRow{{kSlot, 0x10, {1, 2}, 8}, {txn::Outcome::kAborted, 0, 0x43, {}, true}});
  for (const txn::Row& row : rows) Put(row);
  auto read = ReadTxnRows(*engine_, {0, base::kSlotCount});
  ASSERT_TRUE(read.ok()) << read.status();
  const txn::TxnShard shard({0, base::kSlotCount}, *read);
  shard.CheckInvariants();
  const txn::ShardState& state = shard.state();
  EXPECT_EQ(state.prepared.at({kId, kSlot}), PreparedOf(kId).prepared);
  EXPECT_EQ(state.forgotten, 0x11u);
  for (const txn::Row& row : rows) {
    if (const auto* resolved = std::get_if<txn::ResolvedRow>(&row)) {
      EXPECT_EQ(state.resolved.at(resolved->id), resolved->resolved);
    } else if (const auto* record = std::get_if<txn::RecordRow>(&row)) {
      EXPECT_EQ(state.records.at(record->id), record->record);
    }
  }
  EXPECT_EQ(state.records.size() + state.resolved.size() + state.prepared.size() + 1, rows.size());
}

// The descriptor may be what is damaged.
TEST_F(TxnRows, LocksAndRecordsOfSlotsThatAreNotOwnedAreDamage) {
  for (const txn::Row& row : OneOfEach()) {
    LoadTogether({row});
    const txn::RowKind kind = txn::KeyOf(row).kind;
    const bool stays = kind == txn::RowKind::kResolved || kind == txn::RowKind::kForgotten;
    EXPECT_EQ(ReadTxnRows(*engine_, {0, 0}).ok(), stays);
    EXPECT_TRUE(ReadTxnRows(*engine_, {kSlot, 1}).ok());
  }
}

TEST_F(TxnRows, ADeletedRowIsGone) {
  Put(PreparedOf(kId));
  storage::Batch batch;
  StageRow(txn::DeleteRow{txn::KeyOf(PreparedOf(kId))}, batch);
  engine_->Write(batch);
  EXPECT_TRUE(Stored().empty());
}

TEST_F(TxnRows, ATruncatedKeyIsDamage) {
  for (const txn::Row& row : OneOfEach()) {
    LoadTogether({row});
    const auto [key, value] = *Stored().begin();
    EXPECT_TRUE(Loads(key, value));
    for (size_t size = kTxnRowPrefix.size(); size < key.size(); ++size) {
      EXPECT_FALSE(Loads(key.substr(0, size), value)) << ToHex(key) << " cut to " << size;
    }
    EXPECT_FALSE(Loads(key + '\0', value));
  }
}

// A value that is cut between two fields may be another value; it is never a crash.
TEST_F(TxnRows, ADamagedValueIsAnErrorOrAnotherValue) {
  base::Random random(1);
  size_t refused = 0;
  size_t tried = 0;
  for (const txn::Row& row : OneOfEach()) {
    LoadTogether({row});
    const auto [key, value] = *Stored().begin();
    for (size_t size = 0; size < value.size(); ++size) {
      refused += Loads(key, value.substr(0, size)) ? 0 : 1;
      ++tried;
    }
    for (int i = 0; i < 1000; ++i) {
      std::string damaged = value;
      damaged[random.Below(damaged.size())] ^= static_cast<char>(1 << random.Below(8));
      refused += Loads(key, damaged) ? 0 : 1;
      ++tried;
    }
  }
  EXPECT_GT(refused, tried / 4);
}

// A CHECK of the machines would end the process, again and again.
TEST_F(TxnRows, RowsThatCannotStandTogetherAreDamage) {
  const txn::TxnId other{kSlot, 0x10, {1, 2}, 9};
  txn::PreparedRow twice = PreparedOf(kId);
  twice.prepared.keys.push_back(twice.prepared.keys[0]);
  EXPECT_FALSE(LoadTogether({twice})) << "a key twice";
  txn::PreparedRow elsewhere = PreparedOf(kId);
  elsewhere.slot = kSlot + 1;
  EXPECT_FALSE(LoadTogether({elsewhere})) << "a key of another slot";
  txn::PreparedRow none = PreparedOf(kId);
  none.prepared.keys.clear();
  EXPECT_FALSE(LoadTogether({none}));
  txn::PreparedRow early = PreparedOf(kId);
  early.prepared.stamp = kId.issued;
  EXPECT_FALSE(LoadTogether({early}));
  EXPECT_FALSE(LoadTogether({PreparedOf(kId), PreparedOf(other)})) << "two hold a key";
  txn::PreparedRow shared = PreparedOf(kId);
  txn::PreparedRow also_shared = PreparedOf(other);
  shared.prepared.keys = also_shared.prepared.keys = {{"k", txn::LockMode::kShared, std::nullopt}};
  EXPECT_TRUE(LoadTogether({shared, also_shared}));
  also_shared.prepared.keys = {{"k", txn::LockMode::kExclusive, "v"}};
  EXPECT_FALSE(LoadTogether({shared, also_shared}));
  const txn::ResolvedRow tombstone{kId, {txn::Outcome::kAborted, 0, 0x40}};
  EXPECT_FALSE(LoadTogether({PreparedOf(kId), tombstone})) << "T2";
  const txn::RecordRow decided{kId, {txn::Outcome::kAborted, 0, 0x40, {}, true}};
  EXPECT_FALSE(LoadTogether({PreparedOf(kId), decided})) << "T3";
  EXPECT_TRUE(LoadTogether({tombstone, decided}));
  const txn::RecordRow open{kId, {txn::Outcome::kCommitted, 0x30, 0x40, {kSlot, kSlot + 1}, false}};
  EXPECT_FALSE(LoadTogether({PreparedOf(kId), open})) << "T3";
  EXPECT_TRUE(LoadTogether({PreparedOf(other), open, tombstone}));
  EXPECT_FALSE(
      LoadTogether({txn::RecordRow{kId, {txn::Outcome::kAborted, 0, 0x40, {2, 1}, false}}}));
  EXPECT_FALSE(
      LoadTogether({txn::RecordRow{kId, {txn::Outcome::kCommitted, 0, 0x40, {1}, false}}}));
  EXPECT_FALSE(LoadTogether({txn::RecordRow{kId, {txn::Outcome::kAborted, 5, 0x40, {1}, false}}}));
  EXPECT_FALSE(LoadTogether({txn::ResolvedRow{{kSlot, 0x10, {1, 2}, 0}, tombstone.resolved}}));
  EXPECT_FALSE(
      LoadTogether({txn::ResolvedRow{{base::kSlotCount, 0x10, {1, 2}, 3}, tombstone.resolved}}));
}

// A record is of what is decided.
TEST_F(TxnRows, ARecordWithoutAnOutcomeIsDamage) {
  LoadTogether({txn::RecordRow{kId, {txn::Outcome::kAborted, 0, 0x40, {kSlot, kSlot + 1}, false}}});
  const auto [key, value] = *Stored().begin();
  EXPECT_TRUE(Loads(key, value));
  v1::TxnRecordRow row;
  ASSERT_TRUE(row.ParseFromString(value));
  row.set_outcome(v1::TXN_OUTCOME_UNDECIDED);
  EXPECT_FALSE(Loads(key, row.SerializeAsString()));
  row.set_outcome(static_cast<v1::TxnOutcome>(3));
  EXPECT_FALSE(Loads(key, row.SerializeAsString()));
}

TEST_F(TxnRows, ADamagedRowKeepsACheckpointFromBeingInstalled) {
  txn::PreparedRow twice = PreparedOf(kId);
  twice.prepared.keys.push_back(twice.prepared.keys[0]);
  Put(twice);
  const auto base = machine_->CreateCheckpoint("/checkpoint");
  ASSERT_TRUE(base.ok()) << base.status();
  const v1::ShardDescriptor descriptor = testing::Descriptor(7);
  ASSERT_TRUE(ReplicaStateMachine::Create({files_, engines_}, "/other", descriptor,
                                          FoundingConfiguration(descriptor))
                  .ok());
  const auto other = testing::OpenShard({files_, engines_}, "/other");
  EXPECT_EQ(other->Install("/checkpoint", *base).code(), absl::StatusCode::kDataLoss);
}

TEST_F(TxnRows, TheDigestTellsStatesApart) {
  const auto digest = [](std::vector<txn::Row> rows) {
    return TxnDigest(txn::TxnShard({0, base::kSlotCount}, std::move(rows)).state());
  };
  std::vector<txn::Row> rows = OneOfEach();
  const uint64_t all = digest(rows);
  EXPECT_EQ(digest({rows[3], rows[2], rows[1], rows[0]}), all) << "whatever their order";
  for (size_t without = 0; without < rows.size(); ++without) {
    std::vector<txn::Row> less = rows;
    less.erase(less.begin() + static_cast<ptrdiff_t>(without));
    EXPECT_NE(digest(less), all) << without;
  }
  std::get<txn::PreparedRow>(rows[0]).prepared.keys[0].value = "w";
  EXPECT_NE(digest(rows), all);
}

// ---- limits of commands ----

v1::OneShardCommand Writes(const std::vector<std::string>& keys, const std::string& value) {
  v1::OneShardCommand command;
  for (const std::string& key : keys) {
    v1::TxnWrite& write = *command.add_writes();
    write.set_key(key);
    write.set_value(value);
  }
  return command;
}

TEST(TxnLimits, OfValuesAndOfAllTogether) {
  EXPECT_EQ(TxnProblem(Writes({"a"}, std::string(kTxnValueMax, 'v'))), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({"a"}, std::string(kTxnValueMax + 1, 'v'))), std::nullopt);
  const std::string half(kTxnBytesMax / 2 - 1, 'v');
  EXPECT_EQ(TxnProblem(Writes({"a", "b"}, half)), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({"a", "b", "c"}, half)), std::nullopt);
}

TEST(TxnLimits, OfKeys) {
  EXPECT_EQ(TxnProblem(Writes({std::string(4096, 'k')}, "v")), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({std::string(4097, 'k')}, "v")), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({""}, "v")), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({"a", "a"}, "v")), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({"b", "a"}, "v")), std::nullopt);
  EXPECT_NE(TxnProblem(Writes({}, "v")), std::nullopt);
  v1::OneShardCommand many;
  for (uint64_t i = 0; i < kTxnOperationsMax; ++i) {
    many.add_reads()->set_key(std::to_string(1'000'000 + i));
  }
  EXPECT_EQ(TxnProblem(many), std::nullopt);
  many.add_writes()->set_key("a");
  many.mutable_writes(0)->set_deletes(true);
  EXPECT_NE(TxnProblem(many), std::nullopt);
}

TEST(TxnLimits, OfDecisions) {
  v1::ResolveCommand resolve;
  ToProto(txn::Resolve{kId, txn::Outcome::kCommitted, 0x20, {kSlot}}, resolve);
  EXPECT_EQ(TxnProblem(resolve), std::nullopt);
  resolve.set_commit(0);
  EXPECT_NE(TxnProblem(resolve), std::nullopt);
  resolve.set_commit((uint64_t{1} << 62) + 1);
  EXPECT_NE(TxnProblem(resolve), std::nullopt);
  resolve.set_commit(0x20);
  resolve.set_outcome(v1::TXN_OUTCOME_ABORTED);
  EXPECT_NE(TxnProblem(resolve), std::nullopt);
  resolve.set_outcome(static_cast<v1::TxnOutcome>(3));
  EXPECT_NE(TxnProblem(resolve), std::nullopt);
  resolve.set_outcome(v1::TXN_OUTCOME_COMMITTED);
  resolve.clear_slots();
  EXPECT_NE(TxnProblem(resolve), std::nullopt);
  v1::DecideCommand decide;
  ToProto(txn::Decide{kId, txn::Outcome::kAborted, 0, {}, {}, true}, decide);
  EXPECT_EQ(TxnProblem(decide), std::nullopt);
  decide.set_outcome(v1::TXN_OUTCOME_UNDECIDED);
  EXPECT_NE(TxnProblem(decide), std::nullopt);
  v1::SettleCommand settle;
  EXPECT_NE(TxnProblem(settle), std::nullopt) << "of nobody";
  ToProto(txn::Settle{{kId, kId}}, settle);
  EXPECT_EQ(TxnProblem(settle), std::nullopt);
  settle.mutable_ids(1)->set_number(0);
  EXPECT_NE(TxnProblem(settle), std::nullopt);
}

TEST(TxnLimits, OfADecisionsParts) {
  const auto problem = [](const std::string& value) {
    v1::DecideCommand decide;
    ToProto(txn::Decide{kId,
                        txn::Outcome::kCommitted,
                        0x20,
                        {kSlot},
                        {{kSlot, {}, {{"k", value}, {"{k}2", value}, {"{k}3", "v"}}}},
                        true},
            decide);
    return TxnProblem(decide);
  };
  EXPECT_EQ(problem("v"), std::nullopt);
  EXPECT_NE(problem(std::string(kTxnValueMax + 1, 'v')), std::nullopt);
  EXPECT_NE(problem(std::string(kTxnBytesMax / 2, 'v')), std::nullopt);
}

// A leader passes its clock first; the CHECKs of apply would end every replica without a word.
TEST(TxnLimits, OfStamps) {
  const auto decodes = [](uint64_t stamp, const auto& fill) {
    testing::EntryBuilder entry(1, stamp);
    fill(entry.Add());
    v1::CommandBatch batch;
    return DecodeEntry(entry.Build(), batch).ok();
  };
  const auto settle = [](v1::Command& command) {
    ToProto(txn::Settle{{kId, {kSlot, 0x18, {1, 2}, 4}, kId}}, *command.mutable_settle());
  };
  EXPECT_FALSE(decodes(0x18, settle)) << "above all of them";
  EXPECT_TRUE(decodes(0x19, settle));
  const auto resolve = [](v1::Command& command) {
    ToProto(txn::Resolve{kId, txn::Outcome::kCommitted, 0x20, {kSlot}}, *command.mutable_resolve());
  };
  EXPECT_FALSE(decodes(0x20, resolve));
  EXPECT_TRUE(decodes(0x21, resolve));
  const auto decide = [](v1::Command& command) {
    ToProto(txn::Decide{kId,
                        txn::Outcome::kCommitted,
                        0x20,
                        {kSlot, kSlot + 1},
                        {{kSlot, {}, {{"k", "v"}}}},
                        true},
            *command.mutable_decide());
  };
  EXPECT_FALSE(decodes(0x20, decide)) << "above all that was prepared";
  EXPECT_TRUE(decodes(0x21, decide));
  EXPECT_TRUE(decodes(kTxnStampMax + 1, decide)) << "it decides to abort";
  const auto abort = [](v1::Command& command) {
    ToProto(txn::Decide{kId, txn::Outcome::kAborted, 0, {}, {}, true}, *command.mutable_decide());
  };
  EXPECT_FALSE(decodes(kId.issued, abort));
  EXPECT_TRUE(decodes(kId.issued + 1, abort));
  const auto prepare = [](v1::Command& command) {
    ToProto(txn::Prepare{kId, {}, {{kSlot, {}, {{"k", "v"}}}}, true}, *command.mutable_prepare());
  };
  EXPECT_FALSE(decodes(kId.issued, prepare));
  EXPECT_TRUE(decodes(kId.issued + 1, prepare));
}

}  // namespace
}  // namespace basalt::server
