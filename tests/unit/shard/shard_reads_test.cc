#include "server/shard/shard_reads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
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

class Reads : public ::testing::TestWithParam<EngineKind> {
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

// Pages with all kinds of bounds, put together, equal the model.
TEST_P(Reads, PagesOfAScanEqualTheModel) {
  base::Random random(3);
  std::map<std::string, std::string> model;
  uint64_t stamp = 1;
  for (uint64_t index = 1; index <= 40; ++index, stamp += 10) {
    EntryBuilder entry(index, stamp);
    for (int i = 0; i < 10; ++i) {
      std::string key = "k" + std::string(1, static_cast<char>(random.Below(256)));
      if (random.OneIn(3)) key.push_back('\0');
      if (random.OneIn(3)) {
        entry.Delete(key);
        model.erase(key);
      } else {
        model[key] = std::string(random.Below(20), 'v') + std::to_string(stamp);
        entry.Put(key, model[key]);
      }
    }
    ASSERT_TRUE(ApplyOne(*machine_, entry.Build()).ok());
  }
  const ShardReads reads(machine_->store().engine());
  const auto bound = [&] {
    return random.OneIn(4) ? std::string()
                           : "k" + std::string(1, static_cast<char>(random.Below(256)));
  };
  for (int round = 0; round < 200; ++round) {
    const std::string from = bound();
    const std::string to = bound();
    std::string next = from;
    std::map<std::string, std::string> seen;
    uint64_t count = 0;
    ScanBounds bounds;
    bounds.to = to;
    bounds.rows_max = static_cast<uint32_t>(random.Between(1, 30));
    bounds.bytes_max = random.Between(1, 300);
    bounds.visits_max = static_cast<uint32_t>(random.Between(1, 50));
    bounds.keys_only = random.OneIn(4);
    bounds.count_only = random.OneIn(4);
    for (bool more = true; more;) {
      bounds.from = next;
      auto page = reads.Scan(bounds);
      ASSERT_TRUE(page.ok());
      ASSERT_LE(page->rows.size(), bounds.rows_max);
      count += page->count;
      for (const ScanRow& row : page->rows) {
        ASSERT_TRUE(seen.emplace(row.key, row.value).second);
        ASSERT_EQ(row.version, (*reads.Get(row.key))->version);
      }
      more = page->resume.has_value();
      if (more) next = *page->resume;
    }
    auto first = model.lower_bound(from);
    const auto last = to.empty() ? model.end() : model.lower_bound(to);
    std::map<std::string, std::string> expected;
    if (to.empty() || from < to) expected = {first, last};
    ASSERT_EQ(count, expected.size());
    if (bounds.count_only) expected.clear();
    if (bounds.keys_only) {
      for (auto& [key, value] : expected) value.clear();
    }
    ASSERT_EQ(seen, expected);
  }
}

// Random histories; then any range, page and timestamp, from either end.
TEST_P(Reads, PagesInReverseEqualTheModelAtEveryTimestamp) {
  base::Random random(5);
  std::vector<std::map<std::string, std::pair<std::string, uint64_t>>> at(1);  // by stamp
  std::map<std::string, std::pair<std::string, uint64_t>> model;
  for (uint64_t index = 1; index <= 60; ++index) {
    EntryBuilder entry(index, index);
    std::string key = "k" + std::string(1, static_cast<char>(random.Below(12) * 23));
    if (random.OneIn(4)) key.push_back('\0');
    if (random.OneIn(3)) {
      entry.Delete(key);
      model.erase(key);
    } else {
      const size_t size = random.OneIn(5) ? 5000 : random.Below(20);
      model[key] = {std::string(size, 'v') + std::to_string(index), index};
      entry.Put(key, model[key].first);
    }
    at.push_back(model);
    ASSERT_TRUE(ApplyOne(*machine_, entry.Build()).ok());
  }
  const ShardReads reads(machine_->store().engine());
  const auto bound = [&] {
    return random.OneIn(3) ? std::string()
                           : "k" + std::string(1, static_cast<char>(random.Below(12) * 23));
  };
  for (uint64_t stamp = 1; stamp <= 61; ++stamp) {
    const auto& stood = at[std::min<uint64_t>(stamp, 60)];
    for (int round = 0; round < 12; ++round) {
      const std::string from = bound();
      std::string to = bound();
      std::vector<std::string> expected;
      for (auto row = stood.rbegin(); row != stood.rend(); ++row) {
        if (row->first >= from && (to.empty() || row->first < to)) expected.push_back(row->first);
      }
      ScanBounds bounds{.from = from, .reverse = true};
      if (stamp < 61 || random.OneIn(2)) bounds.at = stamp;
      bounds.rows_max = static_cast<uint32_t>(random.Between(1, expected.size() + 1));
      if (random.OneIn(3)) bounds.bytes_max = random.Between(1, 300);
      if (random.OneIn(3)) bounds.visits_max = static_cast<uint32_t>(random.Between(1, 5));
      bounds.keys_only = random.OneIn(4);
      bounds.count_only = random.OneIn(4);
      std::vector<std::string> seen;
      uint64_t count = 0;
      int pages = 0;
      for (bool more = true; more;) {
        ASSERT_LE(++pages, 60) << "more than keys";
        bounds.to = to;
        auto page = reads.Scan(bounds);
        ASSERT_TRUE(page.ok()) << page.status();
        ASSERT_LE(page->rows.size(), bounds.rows_max);
        count += page->count;
        for (const ScanRow& row : page->rows) {
          seen.push_back(row.key);
          const auto stands = stood.find(row.key);
          ASSERT_NE(stands, stood.end());
          ASSERT_EQ(row.value, bounds.keys_only ? "" : stands->second.first);
          ASSERT_EQ(row.version, stands->second.second);
        }
        more = page->resume.has_value();
        if (!more) break;
        ASSERT_TRUE(to.empty() || *page->resume < to) << "no progress";
        to = *page->resume;
      }
      ASSERT_EQ(count, expected.size());
      if (bounds.count_only) expected.clear();
      ASSERT_EQ(seen, expected);
    }
  }
}

TEST_P(Reads, APageInReverseLooksAtSoManyKeysAndBytesAtMost) {
  ASSERT_TRUE(
      ApplyOne(
          *machine_,
          EntryBuilder(1, 1).Put("a", "1").Put("b", std::string(1000, 'x')).Delete("c").Build())
          .ok());
  const ShardReads reads(machine_->store().engine());
  auto page = *reads.Scan({.bytes_max = 1, .reverse = true});
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_EQ(page.rows.front().key, "b");
  EXPECT_EQ(page.resume, "b") << "the next page ends below it";
  page = *reads.Scan({.visits_max = 1, .reverse = true});
  EXPECT_TRUE(page.rows.empty());
  EXPECT_EQ(page.resume, "c") << "a deleted key counts as work";
  page = *reads.Scan({.to = "b", .rows_max = 1, .reverse = true});
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_EQ(page.resume, std::nullopt);
  EXPECT_TRUE(reads.Scan({.from = "b", .to = "b", .reverse = true})->rows.empty());
}

TEST_P(Reads, APageHoldsAtLeastOneRowAndSaysWhereToGoOn) {
  ASSERT_TRUE(
      ApplyOne(
          *machine_,
          EntryBuilder(1, 1).Put("a", std::string(1000, 'x')).Put("b", "1").Delete("c").Build())
          .ok());
  const ShardReads reads(machine_->store().engine());
  auto page = *reads.Scan({.bytes_max = 1});
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_EQ(page.resume, "b");
  page = *reads.Scan({.from = "b", .rows_max = 1});
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_EQ(page.resume, "c") << "nothing is known yet of what follows";
  page = *reads.Scan({.from = "c"});
  EXPECT_TRUE(page.rows.empty());
  EXPECT_EQ(page.resume, std::nullopt);
}

// Stored scans, newest reads and housekeeping on other threads beside applies and installs: what is
// seen is one applied index, whole.
TEST_P(Reads, StandForOneAppliedIndexBesideAppliesAndInstalls) {
  // Each of another applied index. (Memory has one lock, which the writer holds most of the time.)
  const uint64_t scans_wanted = GetParam() == EngineKind::kRocksDb ? 150 : 20;
  std::atomic<bool> done{false};
  const auto read = [&] {
    uint64_t scans = 0;
    for (uint64_t last = 0; scans < scans_wanted;) {
      auto scan = StoredScan::Open(machine_->store().engine());
      ASSERT_TRUE(scan.ok()) << scan.status();
      const uint64_t applied = (*scan)->applied().base.index.value();
      if (applied == last) continue;
      last = applied;
      const auto newest = (*scan)->Next(1);
      ASSERT_TRUE(newest.ok());
      ASSERT_EQ(newest->front().key, "a");
      ASSERT_EQ(newest->front().stamp, applied * 10) << "entry i writes a at 10 i";
      const ShardReads reads(machine_->store().engine());
      const auto left = *reads.Get("a");
      const auto right = *reads.Get("b");
      ASSERT_TRUE(left && right);
      ASSERT_GE(right->version, left->version);
      ++scans;
    }
  };
  std::thread reader([&] {
    read();  // returns early when it finds a fault
    done.store(true);
  });
  const raft::GroupId group = machine_->group();
  std::thread housekeeping([&] {
    while (!done.load()) {
      EXPECT_EQ(machine_->group(), group);
      machine_->store().RemoveRetired();
      std::this_thread::yield();
    }
  });
  const std::string staged = bench_.Path("staged");
  for (uint64_t index = 1; !done.load(); ++index) {
    ASSERT_TRUE(ApplyOne(*machine_, EntryBuilder(index, index * 10)
                                        .Put("a", std::to_string(index))
                                        .Put("b", std::to_string(index))
                                        .Build())
                    .ok());
    if (index % 200 == 0) {
      const auto base = machine_->CreateCheckpoint(staged);
      ASSERT_TRUE(base.ok());
      ASSERT_TRUE(machine_->Install(staged, *base).ok());
    }
  }
  reader.join();
  housekeeping.join();
}

INSTANTIATE_TEST_SUITE_P(Engines, Reads,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocksDb),
                         [](const auto& kind) { return testing::EngineKindName(kind.param); });

}  // namespace
}  // namespace basalt::server
