// What is counted of the inside of RocksDB: that it happens there when we say so.
#include "storage/rocksdb_events.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "storage/rocksdb_engine.h"
#include "tests/unit/engine/scratch_directory.h"

namespace basalt::storage {
namespace {

constexpr uint64_t kNewest = ~uint64_t{0};

std::string NoiseOf(size_t bytes) {
  base::Random random(bytes);
  std::string noise(bytes, '\0');
  for (char& byte : noise) byte = static_cast<char>(random.Below(256));
  return noise;
}

// RocksDB tells of some things on a thread of its own, a moment later.
template <typename Condition>
bool Soon(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

class RocksDbEventsTest : public ::testing::Test {
 protected:
  static RocksDbSizes Sizes() {
    RocksDbSizes sizes;
    sizes.block_cache_bytes = size_t{8} << 20;
    sizes.hot_rows_bytes = 0;
    sizes.memtables_bytes = size_t{32} << 20;
    sizes.buffer_bytes = 0;
    return sizes;
  }
  void Open(const RocksDbSizes& sizes) {
    engine_.reset();
    resources_ = std::make_unique<RocksDbResources>(sizes);
    auto opened = RocksDbEngine::Open(*resources_, directory_.path() + "/store");
    ASSERT_TRUE(opened.ok()) << opened.status();
    engine_ = *std::move(opened);
  }
  void Put(int row, const std::string& value) {
    Batch batch;
    batch.Put(Family::kData, EncodeRowKey(fmt::format("row{:05}", row), ++stamp_), value);
    engine_->Write(batch);
  }
  bool Read(int row) {
    const auto found = engine_->VisitFirstOfStem(
        EncodeRowKey(fmt::format("row{:05}", row), kNewest), [](std::string_view, auto) {});
    return found.ok() && *found;
  }
  RocksDbCounts counts() const { return resources_->Counts(); }

  testing::ScratchDirectory directory_;
  std::unique_ptr<RocksDbResources> resources_;
  std::unique_ptr<Engine> engine_;
  uint64_t stamp_ = 0;
};

TEST_F(RocksDbEventsTest, AFlushIsCountedWithItsBytes) {
  Open(Sizes());
  for (int row = 0; row < 100; ++row) Put(row, NoiseOf(1000));
  EXPECT_EQ(counts().flushes, 0u);
  engine_->Flush();
  EXPECT_TRUE(Soon([&] { return counts().flushes > 0; }));
  EXPECT_GE(counts().flushed_bytes, 1000u);
  EXPECT_EQ(counts().held_writes, 0u);
}

TEST_F(RocksDbEventsTest, AReadMissesTheCacheOnce) {
  Open(Sizes());
  for (int row = 0; row < 1000; ++row) Put(row, NoiseOf(100));
  engine_->Flush();
  Open(Sizes());
  const RocksDbCounts at_first = counts();
  EXPECT_TRUE(Read(500));
  const RocksDbCounts missed = counts();
  EXPECT_EQ(missed.data_block_misses, at_first.data_block_misses + 1);
  EXPECT_GT(missed.block_misses, at_first.block_misses);
  EXPECT_TRUE(Read(500));
  EXPECT_EQ(counts().block_misses, missed.block_misses) << "the iterator is still there";
  EXPECT_TRUE(Read(900));
  EXPECT_EQ(counts().data_block_misses, at_first.data_block_misses + 2);
  const uint64_t hits = counts().block_hits;
  EXPECT_TRUE(Read(500));
  EXPECT_EQ(counts().data_block_misses, at_first.data_block_misses + 2);
  EXPECT_GT(counts().block_hits, hits);
}

TEST_F(RocksDbEventsTest, CompactionsAreCounted) {
  RocksDbSizes sizes = Sizes();
  sizes.memtable_bytes = size_t{64} << 10;
  Open(sizes);
  int row = 0;
  EXPECT_TRUE(Soon([&] {
    Put(row++ % 100, NoiseOf(10'000));
    return counts().compacted_bytes > 10'000;  // that move files write nothing
  }));
  EXPECT_TRUE(Soon([&] { return counts().compactions > 0; }));
}

// Flushes get less than what is written.
TEST_F(RocksDbEventsTest, WritesThatRocksDbHoldsUpAreCounted) {
  RocksDbSizes sizes = Sizes();
  sizes.memtable_bytes = size_t{64} << 10;
  sizes.background_bytes_per_second = 200'000;
  Open(sizes);
  int row = 0;
  EXPECT_TRUE(Soon([&] {
    Put(row++, NoiseOf(10'000));
    return counts().held_writes > 0;
  }));
  EXPECT_GT(counts().held_us, 0u);
}

// Niceness of the threads of this process whose name begins so.
std::vector<int> NicenessOf(const std::string& prefix) {
  std::vector<int> found;
  std::error_code error;  // a thread may end meanwhile
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::string name;
    std::ifstream(task.path() / "comm") >> name;
    if (!name.starts_with(prefix)) continue;
    found.push_back(
        getpriority(PRIO_PROCESS, static_cast<id_t>(std::stoul(task.path().filename()))));
  }
  return found;
}

// A node that has more work than processors sends its heartbeats all the same.
TEST_F(RocksDbEventsTest, FlushesAndCompactionsLetOthersGoFirst) {
  RocksDbSizes sizes = Sizes();
  sizes.memtable_bytes = size_t{64} << 10;
  sizes.background_niceness = 7;
  Open(sizes);
  int row = 0;
  EXPECT_TRUE(Soon([&] {
    Put(row++ % 100, NoiseOf(10'000));
    return counts().compacted_bytes > 10'000;
  }));
  for (const std::string pool : {"rocksdb:high", "rocksdb:low"}) {
    const std::vector<int> niceness = NicenessOf(pool);
    EXPECT_FALSE(niceness.empty()) << pool;
    // A thread that has had nothing to do is as it was made.
    EXPECT_TRUE(std::ranges::find(niceness, 7) != niceness.end()) << pool;
  }
}

TEST(RocksDbEventsAlone, WhatNobodyAsksForIsDropped) {
  RocksDbEvents events;
  events.recordTick(rocksdb::STALL_MICROS, 1500);
  events.recordTick(rocksdb::STALL_MICROS, 2000);
  events.recordTick(rocksdb::NUMBER_KEYS_READ, 7);
  EXPECT_EQ(events.counts().held_writes, 2u);
  EXPECT_EQ(events.counts().held_us, 3500u);
  EXPECT_EQ(events.counts().block_hits + events.counts().block_misses, 0u);
}

}  // namespace
}  // namespace basalt::storage
