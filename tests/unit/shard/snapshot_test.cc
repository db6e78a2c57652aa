// Reads at a timestamp over a replica: they equal a model, and what is dropped beside them makes
// them too old, never wrong.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/unit/engine/engine_kinds.h"
#include "tests/unit/shard/shard_replica.h"

namespace basalt::server {
namespace {

using testing::ApplyOne;
using testing::Descriptor;
using testing::EngineBench;
using testing::EngineKind;
using testing::EntryBuilder;
using testing::OpenShard;

raft::Entry Advance(uint64_t index, uint64_t stamp, uint64_t horizon) {
  EntryBuilder entry(index, stamp);
  entry.batch().add_commands()->mutable_advance_horizon()->set_horizon(horizon);
  return entry.Build();
}

// Runs what its test sets between the moment at which a read begins and the one at which it sees
// what is stored.
class Interposed : public storage::Engine {
 public:
  explicit Interposed(std::shared_ptr<storage::Engine> engine) : engine_(std::move(engine)) {}

  std::function<void()> before_read;

  void Write(const storage::Batch& batch) override { engine_->Write(batch); }
  absl::StatusOr<std::optional<std::string>> Get(storage::Family family,
                                                 std::string_view key) override {
    return engine_->Get(family, key);
  }
  absl::StatusOr<std::optional<std::string>> GetFlushed(storage::Family family,
                                                        std::string_view key) override {
    return engine_->GetFlushed(family, key);
  }
  absl::StatusOr<bool> VisitFirstOfStem(std::string_view key, storage::RowVisitor visit) override {
    before_read();
    return engine_->VisitFirstOfStem(key, visit);
  }
  std::unique_ptr<storage::EngineIterator> NewIterator(
      storage::Family family, const storage::EngineSnapshot* snapshot) override {
    before_read();
    return engine_->NewIterator(family, snapshot);
  }
  std::shared_ptr<const storage::EngineSnapshot> TakeSnapshot() override {
    return engine_->TakeSnapshot();
  }
  void Flush() override { engine_->Flush(); }
  uint64_t flush_count() const override { return engine_->flush_count(); }
  void Collect(const storage::Horizons& horizons) override { engine_->Collect(horizons); }
  uint64_t collected() const override { return engine_->collected(); }
  absl::Status CreateCheckpoint(const std::string& directory) override {
    return engine_->CreateCheckpoint(directory);
  }
  uint64_t ApproximateBytes() const override { return engine_->ApproximateBytes(); }

 private:
  const std::shared_ptr<storage::Engine> engine_;
};

class ShardSnapshots : public ::testing::TestWithParam<EngineKind> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(ReplicaStateMachine::Create(ports_, bench_.Path("r"), Descriptor(7),
                                            FoundingConfiguration(Descriptor(7)))
                    .ok());
    machine_ = OpenShard(ports_, bench_.Path("r"));
    ASSERT_NE(machine_, nullptr);
  }

  EngineBench bench_{GetParam()};
  storage::ReplicaStore::Ports ports_{bench_.files(), bench_.factory()};
  std::unique_ptr<ReplicaStateMachine> machine_;
};

using Contents = std::map<std::string, std::pair<std::string, uint64_t>>;

// By pages of random sizes.
Contents ScanAt(const ShardReads& reads, uint64_t at, base::Random& random) {
  Contents seen;
  std::string from;
  uint64_t counted = 0;
  for (bool more = true; more;) {
    ScanBounds bounds{.from = from,
                      .rows_max = static_cast<uint32_t>(random.Between(1, 8)),
                      .visits_max = static_cast<uint32_t>(random.Between(1, 10)),
                      .at = at};
    auto page = reads.Scan(bounds);
    EXPECT_TRUE(page.ok()) << page.status();
    if (!page.ok()) return seen;
    counted += page->count;
    for (ScanRow& row : page->rows) {
      EXPECT_TRUE(seen.emplace(row.key, std::pair(row.value, row.version)).second) << row.key;
    }
    more = page->resume.has_value();
    if (more) from = *page->resume;
  }
  EXPECT_EQ(counted, seen.size());
  return seen;
}

// Keys with many versions and with few, some gone, some not yet there.
TEST_P(ShardSnapshots, EveryTimestampShowsWhatTheModelHolds) {
  base::Random random(11);
  std::map<uint64_t, Contents> model{{0, {}}};  // by stamp
  Contents now;
  uint64_t stamp = 10;
  for (uint64_t index = 1; index <= 60; ++index) {
    EntryBuilder entry(index, stamp);
    for (int i = 0; i < 4; ++i, ++stamp) {
      const std::string key = "k" + std::to_string(random.OneIn(2) ? 0 : random.Below(12));
      if (random.OneIn(4)) {
        entry.Delete(key);
        now.erase(key);
      } else {
        now[key] = {"v" + std::to_string(stamp), stamp};
        entry.Put(key, now[key].first);
      }
      model[stamp] = now;
    }
    stamp += random.Below(5);
    ASSERT_TRUE(ApplyOne(*machine_, entry.Build()).ok());
    if (random.OneIn(10)) machine_->Flush();
  }
  const ShardReads reads(machine_->store().engine());
  for (uint64_t at = 1; at <= stamp + 3; at += random.Between(1, 4)) {
    const Contents& expected = std::prev(model.upper_bound(at))->second;
    ASSERT_EQ(ScanAt(reads, at, random), expected) << at;
    for (int i = 0; i < 12; ++i) {
      const std::string key = "k" + std::to_string(i);
      const auto value = reads.GetAt(key, at);
      ASSERT_TRUE(value.ok());
      const auto found = expected.find(key);
      ASSERT_EQ(value->has_value(), found != expected.end()) << key << " at " << at;
      if (found == expected.end()) continue;
      ASSERT_EQ((*value)->version, found->second.second);
    }
  }
}

TEST_P(ShardSnapshots, BelowTheHorizonTheyAreTooOld) {
  ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(1, 100).Put("a", "1").Build()).ok());
  ASSERT_TRUE(ApplyOne(*machine_, Advance(2, 200, 150)).ok());
  const ShardReads reads(machine_->store().engine());
  EXPECT_TRUE(absl::IsOutOfRange(reads.Scan({.at = 149}).status()));
  EXPECT_TRUE(absl::IsOutOfRange(reads.Scan({.count_only = true, .at = 149}).status()));
  EXPECT_EQ(reads.Scan({.at = 150})->rows.size(), 1u);
  EXPECT_EQ(reads.Scan({})->rows.size(), 1u) << "the newest are never too old";
}

// The horizon rises, and what it lets go is dropped, between a read's begin and its look at what is
// stored. Asked before the read, it would say that all is there.
TEST_P(ShardSnapshots, AHorizonThatRisesBesideAReadMakesItTooOld) {
  ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(1, 100).Put("a", "old").Build()).ok());
  ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(2, 200).Put("a", "new").Build()).ok());
  auto engine = std::make_shared<Interposed>(machine_->store().engine());
  bool let_go = false;
  engine->before_read = [&] {
    if (std::exchange(let_go, true)) return;
    ASSERT_TRUE(ApplyOne(*machine_, Advance(3, 300, 250)).ok());
    machine_->Flush();
    machine_->store().Collect();
  };
  const ShardReads reads(engine);
  const auto value = reads.GetAt("a", 150);
  EXPECT_TRUE(let_go);
  EXPECT_TRUE(absl::IsOutOfRange(value.status())) << value.status();
}

TEST_P(ShardSnapshots, AHorizonThatRisesBesideAScanMakesItTooOld) {
  ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(1, 100).Put("a", "old").Build()).ok());
  ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(2, 200).Put("a", "new").Build()).ok());
  auto engine = std::make_shared<Interposed>(machine_->store().engine());
  bool let_go = false;
  engine->before_read = [&] {
    if (std::exchange(let_go, true)) return;
    ASSERT_TRUE(ApplyOne(*machine_, Advance(3, 300, 250)).ok());
    machine_->Flush();
    machine_->store().Collect();
  };
  const ShardReads reads(engine);
  EXPECT_TRUE(absl::IsOutOfRange(reads.Scan({.at = 150}).status()));
  EXPECT_TRUE(let_go);
}

INSTANTIATE_TEST_SUITE_P(Engines, ShardSnapshots,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::server
