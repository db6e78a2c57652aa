#include "storage/hot_rows.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "storage/mvcc.h"
#include "storage/rocksdb_engine.h"
#include "storage/rocksdb_options.h"
#include "tests/unit/engine/scratch_directory.h"

namespace basalt::storage {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

// What the store holds is up to the test: `stored` is what a reader finds there.
class HotRowsTest : public ::testing::Test {
 protected:
  // What a reader of the source sees who finds `stored` when it must look there.
  static std::string Read(HotRows::Source& source, const std::string& key,
                          const std::string& stored) {
    std::string seen;
    const auto missed =
        source.Visit(EncodeStem(key), [&](std::string_view, std::string_view row) { seen = row; });
    if (!missed) return seen;
    source.Keep(*missed, EncodeRowKey(key, 7), stored);
    return stored;
  }
  static bool Holds(HotRows::Source& source, const std::string& key) {
    return !source.Visit(EncodeStem(key), [](std::string_view, std::string_view) {});
  }
  static Batch PutOf(const std::string& key) {
    Batch batch;
    batch.Put(Family::kData, EncodeRowKey(key, 8), "new");
    return batch;
  }

  HotRows rows_{kMiB};
  HotRows::Source source_{rows_};
};

TEST_F(HotRowsTest, ShowsWhatWasKept) {
  EXPECT_EQ(Read(source_, "a", "one"), "one");
  EXPECT_EQ(Read(source_, "a", "two"), "one");
  std::string row_key;
  source_.Visit(EncodeStem("a"), [&](std::string_view key, std::string_view) { row_key = key; });
  EXPECT_EQ(row_key, EncodeRowKey("a", 7));
  EXPECT_EQ(Read(source_, "b", "three"), "three");
  EXPECT_EQ(Read(source_, "a", "four"), "one");
  const HotRows::Counts counts = rows_.counts();
  EXPECT_EQ(counts.found, 3u);
  EXPECT_EQ(counts.missed, 2u);
  EXPECT_GT(counts.bytes, 2 * EncodeRowKey("a", 7).size());
}

TEST_F(HotRowsTest, EnginesSeeTheirOwnRowsOnly) {
  HotRows::Source other(rows_);
  EXPECT_EQ(Read(source_, "a", "mine"), "mine");
  EXPECT_EQ(Read(other, "a", "its own"), "its own");
  EXPECT_EQ(Read(source_, "a", "-"), "mine");
  EXPECT_EQ(Read(other, "a", "-"), "its own");
}

TEST_F(HotRowsTest, ABatchHidesItsRowsAndShowsThemAsTheyAreThen) {
  Read(source_, "a", "old");
  Read(source_, "b", "old");
  const Batch put = PutOf("a");
  {
    const HotRows::Source::Writing writing(source_, put);
    EXPECT_FALSE(Holds(source_, "a"));
    EXPECT_TRUE(Holds(source_, "b"));
  }
  EXPECT_EQ(Read(source_, "a", "-"), "new");
  std::string row_key;
  source_.Visit(EncodeStem("a"), [&](std::string_view key, std::string_view) { row_key = key; });
  EXPECT_EQ(row_key, EncodeRowKey("a", 8));
  EXPECT_EQ(Read(source_, "b", "-"), "old");
  EXPECT_FALSE(Holds(source_, "c")) << "what is only written does not come in";
  Batch removal;
  removal.Delete(Family::kData, EncodeRowKey("a", 7));
  removal.Put(Family::kState, EncodeRowKey("b", 7), "another family's");
  { const HotRows::Source::Writing writing(source_, removal); }
  EXPECT_FALSE(Holds(source_, "a"));
  EXPECT_TRUE(Holds(source_, "b"));
}

TEST_F(HotRowsTest, OfSeveralRowsOfAKeyTheNewestIsShown) {
  Read(source_, "a", "old");
  Batch batch;
  batch.Put(Family::kData, EncodeRowKey("a", 9), "nine");
  batch.Put(Family::kData, EncodeRowKey("a", 8), "eight");
  { const HotRows::Source::Writing writing(source_, batch); }
  EXPECT_EQ(Read(source_, "a", "-"), "nine");
  Batch ascending;
  ascending.Put(Family::kData, EncodeRowKey("a", 10), "ten");
  ascending.Put(Family::kData, EncodeRowKey("a", 11), "eleven");
  { const HotRows::Source::Writing writing(source_, ascending); }
  EXPECT_EQ(Read(source_, "a", "-"), "eleven");
  Batch older;
  older.Put(Family::kData, EncodeRowKey("a", 6), "six");
  { const HotRows::Source::Writing writing(source_, older); }
  EXPECT_EQ(Read(source_, "a", "-"), "eleven");
  Batch and_gone;
  and_gone.Put(Family::kData, EncodeRowKey("a", 12), "twelve");
  and_gone.Delete(Family::kData, EncodeRowKey("a", 12));
  { const HotRows::Source::Writing writing(source_, and_gone); }
  EXPECT_FALSE(Holds(source_, "a"));
  Read(source_, "a", "nine");
  Batch large;
  large.Put(Family::kData, EncodeRowKey("a", 13), std::string(5'000, 'x'));
  { const HotRows::Source::Writing writing(source_, large); }
  EXPECT_FALSE(Holds(source_, "a"));
  EXPECT_EQ(rows_.counts().bytes, 0u);
}

TEST_F(HotRowsTest, WhatGrowsByWritesPushesOthersOut) {
  for (int i = 0; i < 20'000; ++i) Read(source_, fmt::format("{}", i), "small");
  const uint64_t before = rows_.counts().bytes;
  for (int i = 0; i < 20'000; ++i) {
    Batch batch;
    batch.Put(Family::kData, EncodeRowKey(fmt::format("{}", i), 8), std::string(3'000, 'x'));
    const HotRows::Source::Writing writing(source_, batch);
  }
  EXPECT_LE(rows_.counts().bytes, kMiB);
  EXPECT_GT(rows_.counts().bytes, before / 2);
}

// By its place among those that were read.
TEST_F(HotRowsTest, WhatIsOnlyWrittenGoesFirst) {
  const std::string value(100, 'x');
  Read(source_, "written", value);
  const auto asked_for = [&](const std::string& key) {
    for (int turn = 0; turn < 3; ++turn) Read(source_, key, value);
  };
  for (uint64_t i = 0; i < 20'000; ++i) {
    asked_for(fmt::format("{}", i));
    Batch batch;
    batch.Put(Family::kData, EncodeRowKey("written", 8 + i), value);
    const HotRows::Source::Writing writing(source_, batch);
  }
  EXPECT_FALSE(Holds(source_, "written"));
}

TEST_F(HotRowsTest, NothingComesInWhileABatchIsWritten) {
  Read(source_, "b", "old");  // rows were kept before
  std::optional<HotRows::Source::Missed> missed;
  {
    const Batch put = PutOf("a");
    const HotRows::Source::Writing writing(source_, put);
    missed = source_.Visit(EncodeStem("a"), [](std::string_view, std::string_view) {});
    source_.Keep(*missed, EncodeRowKey("a", 7), "old");
    EXPECT_FALSE(Holds(source_, "a"));
  }
  source_.Keep(*missed, EncodeRowKey("a", 7), "old");  // read while it was written
  EXPECT_FALSE(Holds(source_, "a"));
}

TEST_F(HotRowsTest, WhoMissedBeforeABatchComesTooLate) {
  const auto missed = source_.Visit(EncodeStem("a"), [](std::string_view, std::string_view) {});
  const Batch put = PutOf("a");
  { const HotRows::Source::Writing writing(source_, put); }
  source_.Keep(*missed, EncodeRowKey("a", 7), "old");
  EXPECT_FALSE(Holds(source_, "a"));
  // Another engine's batch is no reason.
  HotRows::Source other(rows_);
  const auto now = source_.Visit(EncodeStem("a"), [](std::string_view, std::string_view) {});
  { const HotRows::Source::Writing writing(other, put); }
  source_.Keep(*now, EncodeRowKey("a", 8), "new");
  EXPECT_TRUE(Holds(source_, "a"));
}

TEST_F(HotRowsTest, StaysWithinItsBytes) {
  base::Random random(5);
  for (int i = 0; i < 50'000; ++i) {
    Read(source_, fmt::format("{}", random.Below(5'000)), std::string(random.Below(3'000), 'x'));
    if (i % 1'000 == 0) {
      ASSERT_LE(rows_.counts().bytes, kMiB);
    }
  }
  EXPECT_LE(rows_.counts().bytes, kMiB);
  EXPECT_GT(rows_.counts().bytes, kMiB / 2);
}

TEST_F(HotRowsTest, LargeRowsStayOut) {
  Read(source_, "a", std::string(5'000, 'x'));
  EXPECT_FALSE(Holds(source_, "a"));
  EXPECT_EQ(rows_.counts().bytes, 0u);
}

TEST_F(HotRowsTest, AWalkPushesOutNothingThatIsHot) {
  constexpr int kHot = 500;
  const std::string value(100, 'x');
  for (int turn = 0; turn < 4; ++turn) {
    for (int i = 0; i < kHot; ++i) Read(source_, fmt::format("hot{}", i), value);
  }
  for (int i = 0; i < 20'000; ++i) {
    Read(source_, fmt::format("cold{}", i), value);
    if (i % 10 == 0) Read(source_, fmt::format("hot{}", i / 10 % kHot), value);
  }
  int held = 0;
  for (int i = 0; i < kHot; ++i) held += Holds(source_, fmt::format("hot{}", i)) ? 1 : 0;
  EXPECT_GT(held, kHot * 9 / 10);
}

// What was hot an hour ago does not stay for ever.
TEST_F(HotRowsTest, TheNewHotTakeThePlaceOfTheOld) {
  const std::string value(100, 'x');
  constexpr int kRows = 6'000;  // more than there is room for
  for (const char* const fashion : {"old", "new"}) {
    for (int turn = 0; turn < 40; ++turn) {
      for (int i = 0; i < kRows; ++i) Read(source_, fmt::format("{}{}", fashion, i), value);
    }
  }
  int old_held = 0;
  int new_held = 0;
  for (int i = 0; i < kRows; ++i) {
    old_held += Holds(source_, fmt::format("old{}", i)) ? 1 : 0;
    new_held += Holds(source_, fmt::format("new{}", i)) ? 1 : 0;
  }
  EXPECT_GT(new_held, 9 * old_held);
}

TEST(HotRowsOfNoBytes, HoldNothing) {
  HotRows rows(0);
  HotRows::Source source(rows);
  const auto missed = source.Visit(EncodeStem("a"), [](std::string_view, std::string_view) {});
  ASSERT_TRUE(missed.has_value());
  source.Keep(*missed, EncodeRowKey("a", 7), "value");
  const Batch nothing;
  const HotRows::Source::Writing writing(source, nothing);
  EXPECT_TRUE(source.Visit(EncodeStem("a"), [](std::string_view, std::string_view) {}).has_value());
}

// A register for each key: no reader finds less than was written when it began, nor less than any
// reader found that ended before.
TEST(HotRowsOfAnEngine, ReadsBesideWritesAreLinearizable) {
  constexpr int kKeys = 8;
  constexpr uint64_t kBatches = 6'000;
  const testing::ScratchDirectory directory;
  RocksDbSizes sizes;
  sizes.block_cache_bytes = 8 * kMiB;
  sizes.hot_rows_bytes = kMiB;
  const RocksDbResources resources(sizes);
  auto engine = *RocksDbEngine::Open(resources, directory.path() + "/db");
  std::vector<std::string> keys;
  keys.reserve(kKeys);
  for (int i = 0; i < kKeys; ++i) keys.push_back(fmt::format("key{}", i));
  const auto write = [&](uint64_t stamp) {
    Batch batch;
    for (const std::string& key : keys) StageVersion(batch, key, stamp, VersionKind::kValue, "v");
    engine->Write(batch);
  };
  write(1);
  std::atomic<uint64_t> written{1};
  std::vector<std::atomic<uint64_t>> found(kKeys);
  std::atomic<uint64_t> stale{0};
  std::atomic<bool> done{false};
  const auto read = [&](uint64_t seed) {
    base::Random random(seed);
    while (!done.load()) {
      const size_t key = random.Below(kKeys);
      const uint64_t least = std::max(written.load(), found[key].load());
      const auto version = ReadNewestVersion(*engine, keys[key]);
      const uint64_t stamp = version.ok() && version->has_value() ? (*version)->stamp : 0;
      if (stamp < least) stale.fetch_add(1);
      for (uint64_t seen = found[key].load(); seen < stamp;) {
        if (found[key].compare_exchange_weak(seen, stamp)) break;
      }
    }
  };
  std::vector<std::thread> readers;
  for (uint64_t seed = 1; seed <= 3; ++seed) readers.emplace_back(read, seed);
  // The writer must not end before the readers have met rows that are kept: on a busy machine it
  // may run alone for a long while.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const auto met = [&] { return resources.HotRowCounts().found > 0; };
  for (uint64_t stamp = 2; stamp < kBatches || !met(); ++stamp) {
    write(stamp);
    written.store(stamp);
    if (stamp >= kBatches && std::chrono::steady_clock::now() > deadline) break;
  }
  done.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(stale.load(), 0u);
  EXPECT_GT(resources.HotRowCounts().found, 0u);
}

TEST(HotRowsOfAnEngine, ServeTheNewestOnly) {
  const testing::ScratchDirectory directory;
  const RocksDbResources resources({.block_cache_bytes = 8 * kMiB, .hot_rows_bytes = kMiB});
  auto engine = *RocksDbEngine::Open(resources, directory.path() + "/db");
  Batch batch;
  StageVersion(batch, "a", 10, VersionKind::kValue, "ten");
  StageVersion(batch, "a", 20, VersionKind::kValue, "twenty");
  engine->Write(batch);
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_EQ((*ReadNewestVersion(*engine, "a"))->value, "twenty");
    EXPECT_EQ((*ReadVersionAt(*engine, "a", 19))->value, "ten");
    EXPECT_FALSE((*ReadVersionAt(*engine, "a", 9)).has_value());
  }
  EXPECT_EQ(resources.HotRowCounts().found, 2u);
}

// The filter of a full file takes more than half a MiB, and is asked for with every get.
TEST(BlockCache, AShardHoldsTheLargestBlocks) {
  for (size_t bytes = 7 * kMiB; bytes <= 512 * kMiB; bytes += kMiB) {
    EXPECT_GE(bytes >> CacheShardBits(bytes), 4 * kMiB);
  }
  EXPECT_EQ(CacheShardBits(kMiB), 0);
  EXPECT_EQ(CacheShardBits(1024 * kMiB), 6);
}

}  // namespace
}  // namespace basalt::storage
