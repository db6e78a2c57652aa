// The replicated horizon of a shard: what raises it, what it lets go, and that whoever dropped what
// shows the same.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "tests/unit/engine/engine_kinds.h"
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

raft::Entry Advance(uint64_t index, uint64_t stamp, uint64_t horizon) {
  EntryBuilder entry(index, stamp);
  entry.batch().add_commands()->mutable_advance_horizon()->set_horizon(horizon);
  return entry.Build();
}

size_t CountRows(ReplicaStateMachine& machine) {
  size_t rows = 0;
  const auto iterator = machine.store().engine()->NewIterator(storage::Family::kData, nullptr);
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) ++rows;
  return rows;
}

class Horizon : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override { Make("r"); }
  void Make(const std::string& name) {
    machine_.reset();
    ASSERT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path(name), Descriptor(7),
                                            FoundingConfiguration(Descriptor(7)))
                    .ok());
    Open(name);
  }
  void Open(const std::string& name) {
    machine_.reset();
    machine_ = OpenShard(ports_, bench_.Path(name), &noted_);
    ASSERT_NE(machine_, nullptr);
  }
  absl::Status Apply(const raft::Entry& entry) { return ApplyOne(*machine_, entry); }
  // Has the store collect, flushing on the way, until no more than so many rows are left.
  void CollectTo(size_t rows) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (CountRows(*machine_) > rows) {
      ASSERT_LT(std::chrono::steady_clock::now(), until) << CountRows(*machine_) << " rows";
      machine_->Flush();
      machine_->store().Collect();
      std::this_thread::yield();
    }
  }
  // Three versions of each of a hundred keys, the last one of every other a tombstone.
  void Fill() {
    for (uint64_t round = 0; round < 3; ++round) {
      EntryBuilder entry(round + 1, 100 + round * 1000);
      for (uint64_t i = 0; i < 100; ++i) {
        const std::string key = "k" + std::to_string(i);
        round == 2 && i % 2 == 0 ? entry.Delete(key) : entry.Put(key, std::string(50, 'v'));
      }
      ASSERT_TRUE(Apply(entry.Build()).ok());
      if (testing::IsRocksDb(GetParam())) machine_->Flush();
    }
    noted_.Take();
  }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  NotedOutcomes noted_;
  std::unique_ptr<ReplicaStateMachine> machine_;
};

TEST_P(Horizon, OnlyRises) {
  ASSERT_TRUE(Apply(EntryBuilder(1, 10).Put("a", "1").Build()).ok());
  EXPECT_EQ(machine_->versions().horizon, 0u);
  ASSERT_TRUE(Apply(Advance(2, 20, 15)).ok());
  EXPECT_EQ(machine_->versions().horizon, 15u);
  ASSERT_TRUE(Apply(Advance(3, 30, 15)).ok());
  ASSERT_TRUE(Apply(Advance(4, 40, 12)).ok());
  ASSERT_TRUE(Apply(Advance(5, 50, 50)).ok());  // at its own stamp
  EXPECT_EQ(machine_->versions().horizon, 15u);
  ASSERT_TRUE(Apply(Advance(6, 60, 59)).ok());
  EXPECT_EQ(machine_->versions().horizon, 59u);
  EXPECT_EQ(noted_.Take(), "1: 10\n2: 20\n3: no-effect\n4: no-effect\n5: no-effect\n6: 60\n");
}

TEST_P(Horizon, SurvivesARestartAndTravelsInCheckpoints) {
  Fill();
  ASSERT_TRUE(Apply(Advance(4, 5000, 2100)).ok());
  const auto base = machine_->CreateCheckpoint(bench_.Path("staged"));
  ASSERT_TRUE(base.ok());
  machine_->Flush();
  Open("r");
  EXPECT_EQ(machine_->versions().horizon, 2100u);
  EXPECT_EQ(machine_->versions().bytes, 1u);  // something may lie above it
  ASSERT_TRUE(Apply(Advance(5, 6000, 2000)).ok());
  EXPECT_EQ(machine_->versions().horizon, 2100u);
  Make("follower");
  ASSERT_TRUE(machine_->Install(bench_.Path("staged"), *base).ok());
  EXPECT_EQ(machine_->versions().horizon, 2100u);
  EXPECT_GE(machine_->versions().bytes, 1u);
}

TEST_P(Horizon, ReadsBelowItAreTooOld) {
  Fill();
  const ShardReads reads(machine_->store().engine());
  EXPECT_EQ((*reads.GetAt("k1", 150))->version, 101u);
  ASSERT_TRUE(Apply(Advance(4, 5000, 1500)).ok());
  EXPECT_EQ(reads.GetAt("k1", 1499).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*reads.GetAt("k1", 1500))->version, 1101u);
  EXPECT_EQ((*reads.Get("k1"))->version, 2101u);
  CollectTo(200);
  EXPECT_EQ(reads.GetAt("k1", 1499).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*reads.GetAt("k1", 1500))->version, 1101u);
  EXPECT_FALSE((*reads.GetAt("k2", 2102)).has_value());
}

TEST_P(Horizon, WhatIsShownDoesNotTellWhatWasDropped) {
  Fill();
  ASSERT_TRUE(Apply(Advance(4, 5000, 2150)).ok());  // amid the last round
  const std::string before = StoredText(machine_->store());
  EXPECT_EQ(CountRows(*machine_), 300u);
  EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), 1 + 25 + 2 * 49);
  CollectTo(25 + 2 * 49 + 26);  // RocksDB may keep the tombstones for one compaction more
  EXPECT_EQ(StoredText(machine_->store()), before);
  EXPECT_GE(machine_->store().collected(), 300u - 149u);
}

TEST_P(Horizon, NothingGoesByOneThatACrashWouldTakeBack) {
  Fill();
  machine_->Flush();
  const std::string before = StoredText(machine_->store());
  ASSERT_TRUE(Apply(Advance(4, 5000, 4000)).ok());
  if (GetParam() == EngineKind::kMemory) {
    // It collects at once, and flushes when it is told.
    machine_->store().Collect();
    EXPECT_EQ(CountRows(*machine_), 300u);
    Open("r");
    EXPECT_EQ(StoredText(machine_->store()), before);
    return;
  }
  // RocksDB flushes for it; whatever it drops, a crash of any moment finds the horizon with it.
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (machine_->store().collected() == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), until);
    machine_->store().Collect();
    std::this_thread::yield();
  }
  Open("r");
  EXPECT_EQ(machine_->versions().horizon, 4000u);
}

// Two replicas, one of which collects all the time and crashes now and then.
TEST_P(Horizon, ReplicasStayEqual) {
  base::Random random(21);
  std::vector<raft::Entry> log;
  uint64_t stamp = 1;
  uint64_t horizon = 0;
  for (uint64_t index = 1; index <= 400; ++index) {
    if (random.OneIn(10)) {
      horizon = std::max(horizon, random.Below(stamp));
      log.push_back(Advance(index, stamp + 1, horizon));
      stamp += 2;
      continue;
    }
    EntryBuilder entry(index, stamp + 1);
    for (uint64_t count = random.Between(1, 8); count > 0; --count, ++stamp) {
      const std::string key = "k" + std::to_string(random.Below(12));
      random.OneIn(3) ? entry.Delete(key) : entry.Put(key, std::string(random.Below(300), 'v'));
    }
    log.push_back(entry.Build());
    stamp += 3;
  }
  ASSERT_TRUE(machine_->Apply(log).ok());
  const std::string stored = StoredText(machine_->store());

  Make("other");
  while (machine_->applied().index.value() < log.size()) {
    const uint64_t applied = machine_->applied().index.value();
    const size_t run = std::min<size_t>(random.Between(1, 20), log.size() - applied);
    ASSERT_TRUE(machine_->Apply(std::span(log).subspan(applied, run)).ok());
    if (random.OneIn(3)) machine_->Flush();
    machine_->store().Collect();
    if (random.OneIn(GetParam() == EngineKind::kRocksDb ? 16 : 6)) Open("other");
  }
  EXPECT_EQ(StoredText(machine_->store()), stored);
}

INSTANTIATE_TEST_SUITE_P(Engines, Horizon,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocksDb),
                         [](const auto& test) { return testing::EngineKindName(test.param); });

}  // namespace
}  // namespace basalt::server
