#include "storage/mvcc.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "storage/applied_hash.h"
#include "storage/key_encoding.h"
#include "storage/state_rows.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/engine/hex.h"

namespace basalt::storage {
namespace {

using testing::EngineBench;
using testing::EngineKind;
using testing::FromHex;
using testing::ToHex;

// Newest first, as stored.
using Model = std::map<std::string, std::map<uint64_t, std::optional<std::string>, std::greater<>>>;

class Mvcc : public ::testing::TestWithParam<EngineKind> {
 protected:
  Mvcc() : engine_(*bench_.factory().Open(bench_.Path("db"))) {}

  void Put(std::string_view key, uint64_t stamp, std::optional<std::string> value) {
    Batch batch;
    StageVersion(batch, key, stamp, value ? VersionKind::kValue : VersionKind::kTombstone,
                 value ? *value : std::string());
    engine_->Write(batch);
    model_[std::string(key)][stamp] = std::move(value);
  }

  EngineBench bench_{GetParam()};
  std::unique_ptr<Engine> engine_;
  Model model_;
};

// Keys near each other, some with very many versions, so that the cursor steps and seeks.
TEST_P(Mvcc, ReadsEqualTheModel) {
  base::Random random(7);
  const std::vector<std::string> keys = {
      "a", std::string("a\0", 2), std::string("a\0b", 3), "a\x01", "ab", "b", "\xff", "\xff\xff"};
  for (uint64_t stamp = 1; stamp <= 400; ++stamp) {
    const std::string& key = keys[random.Below(random.OneIn(2) ? 2 : keys.size())];
    Put(key, stamp, random.OneIn(4) ? std::nullopt : std::optional("v" + std::to_string(stamp)));
    if (stamp % 150 == 0) engine_->Flush();
  }
  for (const auto& key : keys) {
    for (uint64_t stamp = 0; stamp <= 401; ++stamp) {
      const auto version = *ReadVersionAt(*engine_, key, stamp);
      const auto expected = model_[key].lower_bound(stamp);
      ASSERT_EQ(version.has_value(), expected != model_[key].end());
      if (!version) continue;
      ASSERT_EQ(version->stamp, expected->first);
      ASSERT_EQ(version->kind == VersionKind::kValue, expected->second.has_value());
      ASSERT_EQ(version->value, expected->second.value_or(""));
    }
    const auto head = *ReadNewestHead(*engine_, key);
    ASSERT_EQ(head.has_value(), !model_[key].empty());
    if (head) {
      ASSERT_EQ(head->stamp, model_[key].begin()->first);
    }
  }
  EXPECT_FALSE((*ReadNewestVersion(*engine_, "nobody")).has_value());
  VersionCursor newest(engine_->NewIterator(Family::kData, nullptr), "", "");
  VersionCursor all(engine_->NewIterator(Family::kData, nullptr), "", "");
  for (const auto& [key, versions] : model_) {
    if (versions.empty()) continue;
    ASSERT_TRUE(newest.NextKey());
    ASSERT_EQ(newest.key(), key);
    ASSERT_EQ(newest.stamp(), versions.begin()->first);
    for (const auto& [stamp, value] : versions) {
      ASSERT_TRUE(all.Next());
      ASSERT_EQ(all.key(), key);
      ASSERT_EQ(all.stamp(), stamp);
      ASSERT_EQ(all.value(), value.value_or(""));
    }
  }
  EXPECT_FALSE(newest.NextKey());
  EXPECT_FALSE(all.Next());
}

TEST_P(Mvcc, CursorWalksAllVersionsOrTheNewest) {
  for (uint64_t stamp = 1; stamp <= 30; ++stamp) Put("a", stamp, std::to_string(stamp));
  Put("b", 31, std::nullopt);
  for (uint64_t stamp = 32; stamp <= 33; ++stamp) Put("c", stamp, std::to_string(stamp));
  const auto walk = [&](std::string_view from, std::string_view to, bool newest) {
    VersionCursor cursor(engine_->NewIterator(Family::kData, nullptr), from, to);
    std::string seen;
    while (newest ? cursor.NextKey() : cursor.Next()) {
      seen += cursor.key() + std::to_string(cursor.stamp()) +
              (cursor.kind() == VersionKind::kTombstone ? "x " : " ");
    }
    EXPECT_TRUE(cursor.status().ok());
    EXPECT_FALSE(newest ? cursor.NextKey() : cursor.Next()) << "stays at its end";
    return seen;
  };
  EXPECT_EQ(walk("", "", true), "a30 b31x c33 ");
  EXPECT_EQ(walk("b", "", false), "b31x c33 c32 ");
  EXPECT_EQ(walk("b", "c", false), "b31x ");
  EXPECT_EQ(walk("b", "b", false), "");
  EXPECT_EQ(walk("aa", "zz", true), "b31x c33 ");
  EXPECT_EQ(walk("d", "", true), "");
}

// Few versions and many, small values and such as are not copied, any range and stamp.
TEST_P(Mvcc, TheDescendingCursorShowsWhatStoodFromTheLastKeyOn) {
  base::Random random(11);
  const std::vector<std::string> keys = {
      "a", std::string("a\0", 2), std::string("a\0b", 3), "a\x01", "ab", "b", "\xff", "\xff\xff"};
  for (uint64_t stamp = 1; stamp <= 300; ++stamp) {
    const std::string& key = keys[random.Below(random.OneIn(2) ? 2 : keys.size())];
    const size_t size = random.OneIn(6) ? 5000 : random.Below(20);
    Put(key, stamp,
        random.OneIn(4) ? std::nullopt
                        : std::optional(std::string(size, 'v') + std::to_string(stamp)));
    if (stamp % 110 == 0) engine_->Flush();
  }
  const auto bound = [&] { return random.OneIn(3) ? "" : keys[random.Below(keys.size())]; };
  for (uint64_t at = 0; at <= 301; ++at) {
    const std::string from = bound();
    const std::string to = bound();
    DescendingCursor cursor(engine_->NewIterator(Family::kData, nullptr), from, to, at);
    auto expected = to.empty() ? model_.end() : model_.lower_bound(to);
    while (cursor.NextKey()) {
      ASSERT_NE(expected, model_.begin());
      --expected;
      ASSERT_EQ(cursor.key(), expected->first);
      ASSERT_GE(cursor.key(), from);
      const auto version = expected->second.lower_bound(at);
      ASSERT_EQ(cursor.found(), version != expected->second.end()) << at;
      if (!cursor.found()) continue;
      ASSERT_EQ(cursor.stamp(), version->first);
      ASSERT_EQ(cursor.kind() == VersionKind::kValue, version->second.has_value());
      ASSERT_EQ(cursor.value(), version->second.value_or(""));
    }
    ASSERT_TRUE(cursor.status().ok());
    ASSERT_TRUE(expected == model_.begin() || std::prev(expected)->first < from);
    ASSERT_FALSE(cursor.NextKey());
  }
}

// Counts the moves of an iterator.
class CountedIterator final : public EngineIterator {
 public:
  CountedIterator(std::unique_ptr<EngineIterator> rows, int* moves)
      : rows_(std::move(rows)), moves_(moves) {}
  void Seek(std::string_view key) override { rows_->Seek(key), ++*moves_; }
  void SeekBelow(std::string_view key) override { rows_->SeekBelow(key), ++*moves_; }
  void SeekToLast() override { rows_->SeekToLast(), ++*moves_; }
  void Next() override { rows_->Next(), ++*moves_; }
  void Prev() override { rows_->Prev(), ++*moves_; }
  bool Valid() const override { return rows_->Valid(); }
  std::string_view key() const override { return rows_->key(); }
  std::string_view value() const override { return rows_->value(); }
  absl::Status status() const override { return rows_->status(); }

 private:
  const std::unique_ptr<EngineIterator> rows_;
  int* const moves_;
};

TEST_P(Mvcc, GoingBackAKeyCostsAFewMovesHoweverManyVersionsItHas) {
  for (uint64_t stamp = 1; stamp <= 1000; ++stamp) {
    Put(stamp % 2 == 0 ? "a" : "b", stamp, std::to_string(stamp));
  }
  for (const uint64_t at : {0, 1, 9, 500, 990, 1000, 2000}) {
    int moves = 0;
    DescendingCursor cursor(
        std::make_unique<CountedIterator>(engine_->NewIterator(Family::kData, nullptr), &moves), "",
        "", at);
    ASSERT_TRUE(cursor.NextKey());
    ASSERT_TRUE(cursor.NextKey());
    ASSERT_FALSE(cursor.NextKey());
    EXPECT_LE(moves, 24) << at;
  }
}

TEST_P(Mvcc, DamagedRowsAreReported) {
  Put("a", 1, "v");
  Batch batch;
  batch.Put(Family::kData, EncodeRowKey("b", 1), "");
  batch.Put(Family::kData, EncodeRowKey("c", 1), "\x03");
  batch.Put(Family::kData, EncodeRowKey("d", 1), "\x02v");
  engine_->Write(batch);
  for (const char* key : {"b", "c", "d"}) {
    EXPECT_TRUE(absl::IsDataLoss(ReadNewestVersion(*engine_, key).status())) << key;
    EXPECT_TRUE(absl::IsDataLoss(ReadNewestHead(*engine_, key).status())) << key;
  }
  VersionCursor cursor(engine_->NewIterator(Family::kData, nullptr), "", "");
  EXPECT_TRUE(cursor.Next());
  EXPECT_FALSE(cursor.Next());
  EXPECT_TRUE(absl::IsDataLoss(cursor.status()));
  EXPECT_FALSE(cursor.NextKey());
  for (const char* key : {"b", "c", "d"}) {
    DescendingCursor back(engine_->NewIterator(Family::kData, nullptr), "", std::string(key) + "z",
                          1);
    EXPECT_FALSE(back.NextKey());
    EXPECT_TRUE(absl::IsDataLoss(back.status())) << key;
    EXPECT_FALSE(back.NextKey());
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, Mvcc,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

// The bytes of docs/formats.md, "Keys" and "State rows".
TEST(StoredFormats, GoldenVersionRow) {
  Batch batch;
  EXPECT_EQ(ToHex(StageVersion(batch, "k", 0x10000, VersionKind::kValue, "hello")),
            "6b0001fffffffffffeffff0168656c6c6f");
  EXPECT_EQ(ToHex(StageVersion(batch, "k", 0x10001, VersionKind::kTombstone, "")),
            "6b0001fffffffffffefffe02");
}

TEST(StoredFormats, GoldenCeilingRow) {
  const CeilingRow row{0x0000018bcff80001, raft::Term(5)};
  const std::string golden = "0000018bcff800010000000000000005";
  EXPECT_EQ(ToHex(EncodeCeilingRow(row)), golden);
  EXPECT_EQ(DecodeCeilingRow(FromHex(golden)), row);
  EXPECT_FALSE(DecodeCeilingRow(FromHex(golden + "00")));
  EXPECT_FALSE(DecodeCeilingRow(FromHex(golden.substr(2))));
}

TEST(StoredFormats, GoldenAppliedRow) {
  AppliedRow row;
  row.base.index = raft::LogIndex(0x1122);
  row.base.term = raft::Term(7);
  row.highest_stamp = 0x0102030405060708;
  row.base.configuration.members = {{raft::ReplicaId(21), raft::NodeId(1)},
                                    {raft::ReplicaId(22), raft::NodeId(2)}};
  const std::string golden =
      "01"
      "0000000000001122"
      "0000000000000007"
      "0102030405060708"
      "00000002"
      "0000000000000015"
      "0000000000000001"
      "01"
      "0000000000000016"
      "0000000000000002"
      "01";
  EXPECT_EQ(ToHex(EncodeAppliedRow(row)), golden);
  EXPECT_EQ(DecodeAppliedRow(FromHex(golden)), row);
  for (size_t cut = 0; cut < golden.size(); cut += 2) {
    EXPECT_FALSE(DecodeAppliedRow(FromHex(golden.substr(0, cut)))) << cut;
  }
  EXPECT_FALSE(DecodeAppliedRow(FromHex(golden + "00")));
  EXPECT_FALSE(DecodeAppliedRow(FromHex("02" + golden.substr(2)))) << "a later layout";
  for (const char* role : {"00", "06", "ff"}) {
    EXPECT_FALSE(DecodeAppliedRow(FromHex(golden.substr(0, golden.size() - 2) + role)))
        << "a role that this release does not know: " << role;
  }
  for (uint8_t role = 1; role <= 5; ++role) {
    row.base.configuration.members[1].role = static_cast<raft::MemberRole>(role);
    EXPECT_EQ(DecodeAppliedRow(EncodeAppliedRow(row)), row);
  }
}

TEST(StoredFormats, GoldenHash) {
  AppliedHash hash;
  Batch batch;
  // Slots 0, 63 share a bucket; 64 is in the next, 16383 in the last.
  hash.Add(0, "row1");
  hash.Add(63, "row2");
  hash.Add(64, "row3");
  hash.Add(16383, "row4");
  hash.StageChanged(batch);
  std::string rows;
  batch.ForEach([&](Family family, bool, std::string_view key, std::string_view value) {
    EXPECT_EQ(family, Family::kState);
    rows += ToHex(key) + "=" + ToHex(value) + "\n";
  });
  EXPECT_EQ(rows, "686173682f0000=d832fd3a048cb64fbfaa39c10d112212" + std::string(30 * 16, '0') +
                      "\n" + "686173682f0007=" + std::string(31 * 16, '0') + "4a9a58f1191f1558\n");
  batch.Clear();
  hash.StageChanged(batch);
  EXPECT_TRUE(batch.empty()) << "only what changed is written";
}

TEST(AppliedHashSums, DoNotDependOnOrderAndComeBack) {
  EngineBench bench(EngineKind::kMemory);
  const auto engine = *bench.factory().Open(bench.Path("db"));
  AppliedHash forwards;
  AppliedHash backwards;
  for (uint32_t i = 0; i < 1000; ++i) forwards.Add(i * 16, "row" + std::to_string(i));
  for (uint32_t i = 1000; i-- > 0;) backwards.Add(i * 16, "row" + std::to_string(i));
  EXPECT_EQ(forwards.total(), backwards.total());
  AppliedHash other = forwards;
  other.Add(5, "row");
  EXPECT_NE(other.total(), forwards.total());

  Batch batch;
  forwards.StageChanged(batch);
  engine->Write(batch);
  AppliedHash loaded = other;
  ASSERT_TRUE(loaded.Load(*engine->NewIterator(Family::kState, nullptr)).ok());
  for (uint32_t bucket = 0; bucket < AppliedHash::kBuckets; ++bucket) {
    ASSERT_EQ(loaded.bucket(bucket), forwards.bucket(bucket));
  }
  batch.Clear();
  batch.Put(Family::kState, std::string(kHashRowPrefix) + "xyz", "12345678");
  engine->Write(batch);
  EXPECT_TRUE(absl::IsDataLoss(loaded.Load(*engine->NewIterator(Family::kState, nullptr))));
}

}  // namespace
}  // namespace basalt::storage
