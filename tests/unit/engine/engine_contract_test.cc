// What storage/engine.h promises, asked of every engine.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "storage/key_encoding.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/engine_model.h"

namespace basalt::storage {
namespace {

using testing::Contents;
using testing::EngineBench;
using testing::EngineKind;
using testing::ExpectHolds;
using testing::NumberIn;
using testing::RandomRow;
using testing::ReadAll;
using testing::Rows;

class EngineContract : public ::testing::TestWithParam<EngineKind> {
 protected:
  std::unique_ptr<Engine> Open(const std::string& name) {
    auto engine = bench_.factory().Open(bench_.Path(name));
    EXPECT_TRUE(engine.ok()) << engine.status();
    return engine.ok() ? *std::move(engine) : nullptr;
  }

  EngineBench bench_{GetParam()};
};

TEST_P(EngineContract, ReadsWhatWasWritten) {
  const auto engine = Open("db");
  Batch batch;
  batch.Put(Family::kState, "a", "1");
  batch.Put(Family::kState, "b", "2", "3");
  batch.Put(Family::kState, "c", "");
  batch.Put(Family::kState, "a", "4");
  batch.Delete(Family::kState, "b");
  engine->Write(batch);
  EXPECT_EQ(*engine->Get(Family::kState, "a"), "4");
  EXPECT_EQ(*engine->Get(Family::kState, "b"), std::nullopt);
  EXPECT_EQ(*engine->Get(Family::kState, "c"), "");
  EXPECT_EQ(*engine->Get(Family::kState, "d"), std::nullopt);
  EXPECT_EQ(ReadAll(*engine, Family::kData), Rows());
}

TEST_P(EngineContract, IteratorsAndSnapshotsSeeOneMoment) {
  const auto engine = Open("db");
  Batch batch;
  batch.Put(Family::kState, "a", "1");
  batch.Put(Family::kState, "b", "1");
  engine->Write(batch);
  const auto snapshot = engine->TakeSnapshot();
  auto iterator = engine->NewIterator(Family::kState, nullptr);
  iterator->Seek("");
  batch.Clear();
  batch.Delete(Family::kState, "a");
  batch.Put(Family::kState, "b", "2");
  batch.Put(Family::kState, "c", "2");
  engine->Write(batch);
  engine->Flush();
  EXPECT_EQ(ReadAll(*engine, Family::kState, snapshot.get()), (Rows{{"a", "1"}, {"b", "1"}}));
  EXPECT_EQ(ReadAll(*engine, Family::kState), (Rows{{"b", "2"}, {"c", "2"}}));
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), "a");
  iterator->Next();
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->value(), "1");
  iterator->Next();
  EXPECT_FALSE(iterator->Valid());
}

TEST_P(EngineContract, VisitsTheFirstRowOfTheStemOnly) {
  const auto engine = Open("db");
  const auto visit = [&](std::string_view key, uint64_t stamp) {
    std::string seen = "none";
    const auto found = engine->VisitFirstOfStem(EncodeRowKey(key, stamp),
                                                [&](std::string_view row, std::string_view value) {
                                                  seen = std::string(value);
                                                  EXPECT_EQ(DecodeRowKey(row)->key, key);
                                                });
    EXPECT_TRUE(found.ok());
    EXPECT_EQ(*found, seen != "none");
    return seen;
  };
  EXPECT_EQ(visit("b", ~uint64_t{0}), "none");
  for (const bool flush : {false, true}) {
    Batch batch;
    batch.Put(Family::kData, EncodeRowKey("b", 10), "b10");
    batch.Put(Family::kData, EncodeRowKey("b", 20), "b20");
    batch.Put(Family::kData, EncodeRowKey("d", 15), "d15");
    engine->Write(batch);
    if (flush) engine->Flush();
    EXPECT_EQ(visit("b", ~uint64_t{0}), "b20");
    EXPECT_EQ(visit("b", 20), "b20");
    EXPECT_EQ(visit("b", 19), "b10");
    EXPECT_EQ(visit("b", 9), "none");
    EXPECT_EQ(visit("a", 9), "none");
    EXPECT_EQ(visit("c", 99), "none");
    EXPECT_EQ(visit("d", 99), "d15");
  }
  Batch newer;
  newer.Put(Family::kData, EncodeRowKey("b", 30), "b30");
  engine->Write(newer);
  EXPECT_EQ(visit("b", ~uint64_t{0}), "b30");
}

// As transactions commit: at a stamp below those of other keys.
TEST_P(EngineContract, VersionsComeInAnyOrderOfStamps) {
  const auto engine = Open("db");
  const auto write = [&](const std::vector<std::pair<std::string, uint64_t>>& versions) {
    Batch batch;
    for (const auto& [key, stamp] : versions) {
      batch.Put(Family::kData, EncodeRowKey(key, stamp), key + std::to_string(stamp));
    }
    engine->Write(batch);
  };
  const auto newest = [&](std::string_view key, uint64_t at) {
    std::string value = "none";
    const auto found = engine->VisitFirstOfStem(
        EncodeRowKey(key, at), [&](std::string_view, std::string_view row) { value = row; });
    EXPECT_TRUE(found.ok());
    return value;
  };
  constexpr uint64_t kNow = ~uint64_t{0};
  write({{"a", 10}, {"b", 20}});
  write({{"a", 15}});            // the newest of its stem
  write({{"c", 5}, {"b", 21}});  // of a new stem
  EXPECT_EQ(newest("a", kNow), "a15");
  EXPECT_EQ(newest("a", 14), "a10");
  EXPECT_EQ(newest("c", kNow), "c5");
  write({{"d", 4}, {"b", 12}});  // not the newest
  EXPECT_EQ(newest("b", kNow), "b21");
  EXPECT_EQ(newest("b", 19), "b12");
  EXPECT_EQ(newest("d", kNow), "d4");
  write({{"a", 17}, {"a", 16}});  // falling in one batch
  EXPECT_EQ(newest("a", kNow), "a17");
  EXPECT_EQ(newest("a", 16), "a16");
  engine->Flush();
  write({{"c", 4}});  // below what is flushed
  write({{"c", 6}});
  EXPECT_EQ(newest("c", kNow), "c6");
  EXPECT_EQ(newest("c", 5), "c5");
  EXPECT_EQ(newest("c", 4), "c4");
}

TEST_P(EngineContract, RefusesADirectoryThatLostItsStore) {
  ASSERT_TRUE(bench_.files().CreateDirectory(bench_.Path("empty")).ok());
  EXPECT_TRUE(absl::IsDataLoss(bench_.factory().Open(bench_.Path("empty")).status()));
}

TEST_P(EngineContract, CheckpointRefusesADirectoryThatIsThere) {
  const auto engine = Open("db");
  ASSERT_TRUE(bench_.files().CreateDirectory(bench_.Path("there")).ok());
  EXPECT_FALSE(engine->CreateCheckpoint(bench_.Path("there")).ok());
}

TEST_P(EngineContract, FlushedRowsAreKnownAtOnce) {
  const auto engine = Open("db");
  uint64_t count = engine->flush_count();
  for (int i = 0; i < 20; ++i) {
    Batch batch;
    batch.Put(Family::kState, "row", std::to_string(i));
    batch.Put(Family::kData, EncodeRowKey("k", static_cast<uint64_t>(i)), "v");
    engine->Write(batch);
    engine->Flush();
    EXPECT_EQ(*engine->GetFlushed(Family::kState, "row"), std::to_string(i));
    EXPECT_GT(engine->flush_count(), count);
    count = engine->flush_count();
  }
}

// Random batches, reads, snapshots, flushes, checkpoints and crashes against a model.
class Walk {
 public:
  Walk(EngineBench& bench, uint64_t seed) : bench_(bench), random_(seed) { Reopen(); }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFatalFailure(); ++step) {
      switch (random_.Below(40)) {
        case 0:
          Crash();
          break;
        case 1:
          engine_->Flush();
          flushed_ = history_.size() - 1;
          break;
        case 2:
          ExpectHolds(*engine_, history_.back());
          break;
        case 3:
          Checkpoint();
          break;
        case 4:
          snapshots_.emplace_back(history_.size() - 1, engine_->TakeSnapshot());
          break;
        case 5:
          CheckSnapshots();
          break;
        case 6:
          CheckFlushed();
          break;
        case 7:
        case 8:
          WalkAnIterator();
          break;
        case 9:
        case 10:
        case 11:
        case 12:
          ReadRows();
          break;
        default:
          Write();
      }
    }
  }

 private:
  void Write() {
    Contents next = history_.back();
    Batch batch;
    testing::FillRandomBatch(random_, history_.size(), 60, next, batch);
    engine_->Write(batch);
    history_.push_back(std::move(next));
  }

  // The last batches are gone, none before the last flush, and no part of one is left.
  void Crash() {
    snapshots_.clear();
    engine_.reset();
    Reopen();
    const size_t left = NumberIn(*engine_->Get(Family::kState, "number"));
    ASSERT_GE(left, flushed_);
    ASSERT_LT(left, history_.size());
    history_.resize(left + 1);
    flushed_ = left;
    ExpectHolds(*engine_, history_.back());
  }

  void Checkpoint() {
    const std::string path = bench_.Path("checkpoint" + std::to_string(++checkpoints_));
    ASSERT_TRUE(engine_->CreateCheckpoint(path).ok());
    Contents then = history_.back();
    for (int i = 0; i < 5; ++i) Write();
    auto copy = bench_.factory().Open(path);
    ASSERT_TRUE(copy.ok()) << copy.status();
    ExpectHolds(**copy, then);
    copy->reset();
    ASSERT_TRUE(bench_.files().RemoveTree(path).ok());
  }

  void CheckSnapshots() {
    for (const auto& [number, snapshot] : snapshots_) {
      ExpectHolds(*engine_, history_[number], snapshot.get());
    }
    snapshots_.clear();
  }

  // One by one, which asks for the order of no others.
  void ReadRows() {
    const Rows& data = history_.back().of(Family::kData);
    for (int reads = 0; reads < 4; ++reads) {
      const Family family = random_.OneIn(3) ? Family::kState : Family::kData;
      const Rows& rows = history_.back().of(family);
      const uint64_t number = random_.Below(history_.size());
      const std::string asked = family == Family::kData && random_.OneIn(2)
                                    ? testing::RisingRow(random_, number, 1)
                                    : RandomRow(random_, family);
      const auto row = rows.find(asked);
      ASSERT_EQ(*engine_->Get(family, asked),
                row == rows.end() ? std::nullopt : std::optional<std::string>(row->second));
      if (family != Family::kData) continue;
      auto expected = data.lower_bound(asked);
      if (expected != data.end() && StemOf(expected->first) != StemOf(asked)) expected = data.end();
      const auto found =
          engine_->VisitFirstOfStem(asked, [&](std::string_view key, std::string_view value) {
            ASSERT_NE(expected, data.end());
            ASSERT_EQ(key, expected->first);
            ASSERT_EQ(value, expected->second);
          });
      ASSERT_TRUE(found.ok());
      ASSERT_EQ(*found, expected != data.end());
    }
  }

  // From any place on, beside writes that it must not see, of now or of a snapshot.
  void WalkAnIterator() {
    const bool old = !snapshots_.empty() && random_.OneIn(2);
    const auto& [number, snapshot] = old ? snapshots_[random_.Below(snapshots_.size())]
                                         : std::pair<size_t, std::shared_ptr<const EngineSnapshot>>{
                                               history_.size() - 1, nullptr};
    const Family family = random_.OneIn(3) ? Family::kState : Family::kData;
    const Rows rows = history_[number].of(family);
    const auto iterator = engine_->NewIterator(family, snapshot.get());
    for (uint64_t seeks = random_.Between(1, 4); seeks > 0; --seeks) {
      const std::string from = random_.OneIn(5) ? std::string() : RandomRow(random_, family);
      iterator->Seek(from);
      auto row = rows.lower_bound(from);
      for (uint64_t moves = random_.Below(6);; --moves) {
        ASSERT_EQ(iterator->Valid(), row != rows.end());
        if (row == rows.end() || moves == 0) break;
        ASSERT_EQ(iterator->key(), row->first);
        ASSERT_EQ(iterator->value(), row->second);
        if (random_.OneIn(4)) Write();
        iterator->Next();
        ++row;
      }
      ASSERT_TRUE(iterator->status().ok());
      WalkBack(family, rows, *iterator);
    }
  }

  // With turns: the row after the one before is the row itself.
  void WalkBack(Family family, const Rows& rows, EngineIterator& iterator) {
    const bool from_last = random_.OneIn(4);
    const std::string below = RandomRow(random_, family);
    auto row = from_last ? rows.end() : rows.lower_bound(below);
    if (from_last) {
      iterator.SeekToLast();
    } else {
      iterator.SeekBelow(below);
    }
    for (uint64_t moves = random_.Below(6);; --moves) {
      ASSERT_EQ(iterator.Valid(), row != rows.begin());
      if (row == rows.begin()) break;
      --row;
      ASSERT_EQ(iterator.key(), row->first);
      ASSERT_EQ(iterator.value(), row->second);
      if (moves == 0) break;
      if (random_.OneIn(4)) Write();
      iterator.Prev();
      if (iterator.Valid() && random_.OneIn(4)) {
        iterator.Next();
        ASSERT_TRUE(iterator.Valid());
        ASSERT_EQ(iterator.key(), row->first);
        iterator.Prev();
      }
    }
    ASSERT_TRUE(iterator.status().ok());
  }

  void CheckFlushed() {
    const size_t number = NumberIn(*engine_->GetFlushed(Family::kState, "number"));
    ASSERT_GE(number, flushed_);
    ASSERT_LT(number, history_.size());
    const Rows& data = history_[number].of(Family::kData);
    for (const auto& [key, value] : data) {
      ASSERT_EQ(*engine_->GetFlushed(Family::kData, key), value);
    }
  }

  void Reopen() {
    auto engine = bench_.factory().Open(bench_.Path("db"));
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  EngineBench& bench_;
  base::Random random_;
  std::unique_ptr<Engine> engine_;
  std::vector<Contents> history_{Contents{}};  // by batch number
  size_t flushed_ = 0;
  int checkpoints_ = 0;
  std::vector<std::pair<size_t, std::shared_ptr<const EngineSnapshot>>> snapshots_;
};

TEST_P(EngineContract, RandomWalkEqualsTheModel) {
  const uint64_t seeds = testing::IsRocksDb(GetParam()) ? 2 : 10;
  for (uint64_t seed = 1; seed <= seeds && !HasFatalFailure(); ++seed) {
    SCOPED_TRACE(seed);
    EngineBench bench(GetParam());
    Walk(bench, seed).Run(500);
  }
}

// Writers' batches are seen whole by readers on other threads.
TEST_P(EngineContract, ReadsRunBesideWrites) {
  const auto engine = Open("db");
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (uint64_t stamp = 1; !stop.load(); ++stamp) {
      Batch batch;
      batch.Put(Family::kState, "row", std::to_string(stamp));
      batch.Put(Family::kData, EncodeRowKey("k", stamp), std::to_string(stamp));
      engine->Write(batch);
      if (stamp % 500 == 0) engine->Flush();
    }
  });
  for (int i = 0; i < 2000; ++i) {
    const auto snapshot = engine->TakeSnapshot();
    const auto state = engine->NewIterator(Family::kState, snapshot.get());
    const auto data = engine->NewIterator(Family::kData, snapshot.get());
    state->Seek("row");
    data->Seek(EncodeStem("k"));
    ASSERT_EQ(state->Valid(), data->Valid());
    std::string moment = "0";
    if (state->Valid()) {
      moment = std::string(state->value());
      ASSERT_EQ(data->value(), moment);
    }
    uint64_t newest = 0;
    ASSERT_TRUE(engine
                    ->VisitFirstOfStem(
                        EncodeRowKey("k", ~uint64_t{0}),
                        [&](std::string_view row, std::string_view) { newest = StampOf(row); })
                    .ok());
    ASSERT_GE(newest, std::stoull(moment));
  }
  stop.store(true);
  writer.join();
}

// Who sees a row of a batch sees all of the batches before it, row by row, wherever they are by
// then; no version is missed between two places.
TEST_P(EngineContract, RowByRowReadsRunBesideWrites) {
  const auto engine = Open("db");
  std::jthread writer([&](const std::stop_token& stop) {
    for (uint64_t stamp = 1; !stop.stop_requested(); ++stamp) {
      Batch batch;
      batch.Put(Family::kData, EncodeRowKey("a", stamp), std::string(stamp % 64, 'v'));
      // So that wherever rows go from one place to another, it takes a while.
      for (int i = 0; i < 30; ++i) {
        batch.Put(Family::kData, EncodeRowKey("aa" + std::to_string(i), stamp), "v");
      }
      batch.Put(Family::kData, EncodeRowKey("b", stamp), std::string(stamp % 64, 'v'));
      batch.Put(Family::kState, "row", std::to_string(stamp));
      engine->Write(batch);
      if (stamp % 1000 == 0) engine->Flush();
    }
  });
  std::jthread drains([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) engine->NewIterator(Family::kData, nullptr);
  });
  const auto stamp_of = [&](std::string_view name, uint64_t most) {
    uint64_t stamp = 0;
    const auto found = engine->VisitFirstOfStem(EncodeRowKey(name, most),
                                                [&](std::string_view row, std::string_view value) {
                                                  stamp = StampOf(row);
                                                  EXPECT_EQ(value.size(), stamp % 64);
                                                });
    EXPECT_TRUE(found.ok());
    return stamp;
  };
  uint64_t last = 0;
  for (int i = 0; i < 8'000 && !HasFailure(); ++i) {
    const uint64_t a = stamp_of("a", ~uint64_t{0});
    ASSERT_GE(a, last);
    const uint64_t b = stamp_of("b", ~uint64_t{0});
    ASSERT_GE(b, a);
    const uint64_t state = testing::NumberIn(*engine->Get(Family::kState, "row"));
    ASSERT_GE(state, b);
    ASSERT_EQ(stamp_of("a", a), a);
    for (const uint64_t back : {1, 3, 10, 30}) {
      if (a <= back) break;
      ASSERT_EQ(stamp_of("b", a - back), a - back);
    }
    last = state;
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineContract,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kMemoryFlushingItself,
                                           EngineKind::kRocksDb,
                                           EngineKind::kRocksDbFlushingItself),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::storage
