// What a horizon lets go is dropped, and nothing else: by every engine, and by RocksDB's
// compactions in particular, whatever files they happen to see.
#include "storage/version_collection.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "storage/mvcc.h"
#include "storage/rocksdb_options.h"
#include "tests/unit/engine/engine_kinds.h"

namespace basalt::storage {
namespace {

using testing::EngineBench;
using testing::EngineKind;
using testing::ScratchDirectory;

// Has `again` called until `condition` holds, for a minute at most.
bool Eventually(const std::function<bool()>& condition, const std::function<void()>& again) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    again();
    std::this_thread::yield();
  }
  return true;
}

size_t CountRows(Engine& engine) {
  size_t rows = 0;
  const auto iterator = engine.NewIterator(Family::kData, nullptr);
  for (iterator->Seek(""); iterator->Valid(); iterator->Next()) ++rows;
  return rows;
}

class Collecting : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    engine_ = nullptr;
    engine_ = *bench_.factory().Open(bench_.Path("db"));
  }
  void Put(const std::string& key, std::string_view value) {
    Write(key, VersionKind::kValue, value);
  }
  void Delete(const std::string& key) { Write(key, VersionKind::kTombstone, {}); }
  void Write(const std::string& key, VersionKind kind, std::string_view value) {
    StageVersion(batch_, key, ++stamp_, kind, value);
  }
  void Commit() {
    engine_->Write(batch_);
    batch_.Clear();
  }

  EngineBench bench_{GetParam()};
  std::unique_ptr<Engine> engine_;
  Batch batch_;
  uint64_t stamp_ = 0;
};

TEST_P(Collecting, DropsAllThatTheHorizonLetsGo) {
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 300; ++i) Put("k" + std::to_string(i), std::string(100, 'v'));
    Commit();
    if (round % 3 == 0) engine_->Flush();
  }
  for (int i = 0; i < 100; ++i) Delete("k" + std::to_string(i));
  Commit();
  engine_->Flush();
  EXPECT_EQ(CountRows(*engine_), 3100u);
  engine_->Collect({0, 0});
  EXPECT_EQ(engine_->collected(), 0u);
  // At a horizon amid the last round: of half of the keys the two newest stay. A third of what is
  // stored may be old, and RocksDB keeps tombstones for one compaction more.
  const uint64_t amid = stamp_ - 100 - 150;
  const size_t kept_amid = 150 + 2 * 150 + 100;
  EXPECT_TRUE(Eventually([&] { return CountRows(*engine_) <= kept_amid * 3 / 2; },
                         [&] {
                           engine_->Collect({amid, amid});
                         }));
  EXPECT_GE(CountRows(*engine_), kept_amid);
  EXPECT_TRUE(Eventually([&] { return CountRows(*engine_) <= 200 * 3 / 2; },
                         [&] {
                           engine_->Collect({stamp_, stamp_});
                         }));
  EXPECT_GE(CountRows(*engine_), 200u);
  EXPECT_GE(engine_->collected(), 2800u);
  const auto deleted = *ReadNewestVersion(*engine_, "k50");
  EXPECT_TRUE(!deleted || deleted->kind == VersionKind::kTombstone);
  EXPECT_EQ((*ReadNewestVersion(*engine_, "k150"))->value, std::string(100, 'v'));
}

// Bytes on disk, of values that do not compress.
TEST_P(Collecting, DiskUseFollowsWhatIsKept) {
  if (GetParam() != EngineKind::kRocksDbFlushingItself) return;
  constexpr size_t kKeys = 2000;
  constexpr size_t kValueBytes = 400;
  base::Random random(3);
  for (int round = 0; round < 10; ++round) {
    for (size_t i = 0; i < kKeys; ++i) {
      std::string value(kValueBytes, '\0');
      for (char& c : value) c = static_cast<char>(random.Next());
      Put("key" + std::to_string(i), value);
      if (i % 100 == 0) Commit();
    }
    Commit();
  }
  engine_->Flush();
  ASSERT_GT(engine_->ApproximateBytes(), 6 * kKeys * kValueBytes);
  EXPECT_TRUE(Eventually([&] { return engine_->ApproximateBytes() < 3 * kKeys * kValueBytes; },
                         [&] {
                           engine_->Collect({stamp_, stamp_});
                         }));
  EXPECT_GE(CountRows(*engine_), kKeys);
  // Three of four go: tombstones over all of them.
  for (size_t i = 0; i < kKeys; ++i) {
    if (i % 4 != 0) Delete("key" + std::to_string(i));
  }
  Commit();
  engine_->Flush();
  EXPECT_TRUE(Eventually([&] { return engine_->ApproximateBytes() < 3 * kKeys / 4 * kValueBytes; },
                         [&] {
                           engine_->Collect({stamp_, stamp_});
                         }));
  EXPECT_GE(CountRows(*engine_), kKeys / 4);
}

// An engine flushes for the sake of a horizon that is not durable yet, if that lets much go.
TEST_P(Collecting, FlushesForAHorizonThatIsNotDurable) {
  if (!testing::IsRocksDb(GetParam())) return;  // it flushes by bytes alone
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 300; ++i) Put("k" + std::to_string(i), std::string(100, 'v'));
    Commit();
    engine_->Flush();
  }
  const uint64_t flushes = engine_->flush_count();
  EXPECT_TRUE(Eventually([&] { return engine_->flush_count() > flushes; },
                         [&] {
                           engine_->Collect({0, stamp_});
                         }));
  EXPECT_EQ(CountRows(*engine_), 1200u);
  EXPECT_EQ(engine_->collected(), 0u);
}

// At any time all timestamps at or above the horizon read as they ever did, over restarts too.
TEST_P(Collecting, WhatIsKeptReadsTheSame) {
  using Versions = std::map<uint64_t, std::optional<std::string>>;
  base::Random random(7);
  std::map<std::string, Versions> model;
  uint64_t horizon = 0;
  for (int step = 0; step < 400; ++step) {
    for (uint64_t rows = random.Below(20); rows > 0; --rows) {
      const std::string key = "k" + std::to_string(random.Below(40));
      const bool deletes = random.OneIn(3);
      if (deletes) {
        Delete(key);
      } else {
        Put(key, std::string(random.Below(2000), 'x'));
      }
      Versions& versions = model[key];
      versions[stamp_] = deletes ? std::nullopt : std::optional<std::string>("x");
    }
    Commit();
    if (random.OneIn(5)) engine_->Flush();
    if (random.OneIn(10)) {
      horizon += random.Below(stamp_ - horizon + 1);
      engine_->Flush();
    }
    engine_->Collect({horizon, horizon});
    if (random.OneIn(50)) {
      engine_->Flush();
      Reopen();
    }
    for (int look = 0; look < 20; ++look) {
      const std::string key = "k" + std::to_string(random.Below(40));
      const uint64_t at = random.OneIn(4) ? horizon : horizon + random.Below(stamp_ - horizon + 5);
      const auto read = ReadVersionAt(*engine_, key, at);
      ASSERT_TRUE(read.ok());
      const Versions& versions = model[key];
      const auto above = versions.upper_bound(at);
      const bool holds = above != versions.begin() && std::prev(above)->second.has_value();
      ASSERT_EQ(*read && (*read)->kind == VersionKind::kValue, holds) << key << "@" << at;
      if (!holds) continue;
      ASSERT_EQ((*read)->stamp, std::prev(above)->first) << key << "@" << at;
    }
  }
  // Compactions take their time, and what was collected before the last Reopen does not count.
  EXPECT_TRUE(Eventually([&] { return engine_->collected() > 0; },
                         [&] {
                           for (int i = 0; i < 40; ++i) {
                             Put("k" + std::to_string(i), std::string(1000, 'x'));
                           }
                           Commit();
                           engine_->Flush();
                           engine_->Collect({stamp_, stamp_});
                         }));
}

INSTANTIATE_TEST_SUITE_P(Engines, Collecting,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDb,
                                           EngineKind::kRocksDbFlushingItself),
                         [](const auto& test) { return testing::EngineKindName(test.param); });

// RocksDB alone, compacted by hand.
class Drops : public ::testing::Test {
 protected:
  Drops() {
    rocksdb::Options options(shared_.StoreOptions(), shared_.DataOptions());
    options.create_if_missing = true;
    options.atomic_flush = false;
    options.disable_auto_compactions = true;
    options.compaction_filter_factory = collection_.drops();
    rocksdb::DB* db = nullptr;
    EXPECT_TRUE(rocksdb::DB::Open(options, directory_.path() + "/db", &db).ok());
    db_.reset(db);
    collection_.Open(*db_, [this] { ++flushes_; });
  }
  ~Drops() override { collection_.Close(); }

  void Put(const std::string& key, uint64_t stamp, VersionKind kind,
           const std::string& value = {}) {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    const std::string row = std::string(1, static_cast<char>(kind)) + value;
    ASSERT_TRUE(db_->Put(options, EncodeRowKey(key, stamp), row).ok());
  }
  void Flush() { ASSERT_TRUE(db_->Flush(rocksdb::FlushOptions()).ok()); }
  void CompactAll() {
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    ASSERT_TRUE(db_->CompactRange(options, nullptr, nullptr).ok());
  }
  // The newest file alone, out of level 0.
  void CompactNewestFile() {
    rocksdb::ColumnFamilyMetaData store;
    db_->GetColumnFamilyMetaData(&store);
    ASSERT_FALSE(store.levels[0].files.empty());
    const std::string name = store.levels[0].files.front().name;
    ASSERT_TRUE(db_->CompactFiles(rocksdb::CompactionOptions(), {name}, 5).ok());
  }
  std::string Stored() {
    std::string text;
    const std::unique_ptr<rocksdb::Iterator> rows(db_->NewIterator(rocksdb::ReadOptions()));
    for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
      const auto key = DecodeRowKey(rows->key().ToString());
      text += key->key + (IsTombstone(rows->value().ToString()) ? "-@" : "@") +
              std::to_string(key->stamp) + " ";
    }
    return text;
  }
  // Has the collection work once, to the end.
  void CollectOnce(const Horizons& horizons) {
    struct Last final : Workable {
      void Work() override { came.store(true); }
      std::atomic<bool> came{false};
    } last;
    collection_.Collect(horizons);
    thread_.Ask(last);
    while (!last.came.load()) std::this_thread::yield();
  }

  ScratchDirectory directory_;
  RocksDbShared shared_{RocksDbSizes{}};
  WorkThread thread_{"collect"};
  VersionCollection collection_{thread_};
  std::unique_ptr<rocksdb::DB> db_;
  int flushes_ = 0;
};

TEST_F(Drops, ATombstoneStaysWhileAnOlderVersionLiesElsewhere) {
  Put("a", 5, VersionKind::kValue, "old");
  Put("b", 6, VersionKind::kValue, "old");
  Flush();
  CompactAll();
  Put("a", 10, VersionKind::kTombstone);
  Put("b", 11, VersionKind::kValue, "new");
  Flush();
  collection_.drops()->SetHorizon(20);
  CompactNewestFile();
  EXPECT_EQ(Stored(), "a-@10 a@5 b@11 b@6 ");
  // A compaction of everything is two here: to the lowest level, and there once more. The first one
  // drops what is superseded, the second the tombstone that nothing lies under any more.
  CompactAll();
  EXPECT_EQ(Stored(), "b@11 ");
  EXPECT_EQ(collection_.drops()->dropped(), 3u);
}

TEST_F(Drops, APartOfAKeyIsNotTakenForTheWhole) {
  Put("a", 5, VersionKind::kValue, "5");
  Flush();
  CompactAll();
  Put("a", 6, VersionKind::kValue, "6");
  Flush();
  collection_.drops()->SetHorizon(20);
  CompactNewestFile();
  EXPECT_EQ(Stored(), "a@6 a@5 ");
  CompactAll();
  EXPECT_EQ(Stored(), "a@6 ");
}

TEST_F(Drops, CompactsWhereAThirdWouldGo) {
  for (uint64_t stamp = 1; stamp <= 1000; ++stamp) {
    Put(std::to_string(1000 + stamp), stamp, VersionKind::kValue, std::string(100, 'v'));
  }
  Flush();
  for (uint64_t stamp = 1001; stamp <= 1300; ++stamp) {
    Put(std::to_string(stamp), stamp, VersionKind::kValue, std::string(100, 'v'));
  }
  Flush();
  CollectOnce({2000, 2000});
  EXPECT_EQ(collection_.drops()->dropped(), 0u);  // 300 of 1300
  for (uint64_t stamp = 1301; stamp <= 1900; ++stamp) {
    Put(std::to_string(stamp), stamp, VersionKind::kValue, std::string(100, 'v'));
  }
  Flush();
  CollectOnce({0, 2000});  // much would go, once that is durable
  EXPECT_EQ(flushes_, 1);
  EXPECT_EQ(collection_.drops()->dropped(), 0u);
  CollectOnce({2000, 2000});
  EXPECT_EQ(collection_.drops()->dropped(), 900u);
  EXPECT_EQ(flushes_, 1);
}

// What is read of a file stands for all of it, wherever the old versions lie.
TEST_F(Drops, AnchorsAreSpreadOverAFile) {
  for (uint64_t i = 0; i < 20'000; ++i) {
    Put(std::to_string(100'000 + i), 1, VersionKind::kValue, std::string(100, 'v'));
  }
  Flush();
  rocksdb::TablePropertiesCollection files;
  ASSERT_TRUE(db_->GetPropertiesOfAllTables(&files).ok());
  ASSERT_EQ(files.size(), 1u);
  const std::vector<std::string> anchors = AnchorsOf(*files.begin()->second);
  ASSERT_GT(anchors.size(), 60u);  // 2.4 MB
  ASSERT_LT(anchors.size(), 90u);
  for (size_t i = 0; i < anchors.size(); ++i) {
    const uint64_t expected = 100'000 + i * 20'000 / anchors.size();
    const uint64_t at = std::stoull(*DecodeStem(anchors[i]));
    EXPECT_LT(at > expected ? at - expected : expected - at, 400u) << i;
  }
}

}  // namespace
}  // namespace basalt::storage
