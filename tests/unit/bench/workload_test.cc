#include "client/bench/workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

namespace basalt::bench {
namespace {

constexpr int kDraws = 100'000;

// Operations of 100, rounded, by kind.
std::map<OperationKind, int> SharesOf(Workload workload) {
  OperationChooser chooser(MixOf(workload, 70), 1000, 4);
  base::Random random(3);
  std::map<OperationKind, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[chooser.Next(0, random).kind];
  for (auto& [kind, count] : counts) count = (count + kDraws / 200) / (kDraws / 100);
  return counts;
}

TEST(WorkloadTest, MixesAreThePublishedOnes) {
  using Shares = std::map<OperationKind, int>;
  using enum OperationKind;
  EXPECT_EQ(SharesOf(Workload::kPut), (Shares{{kUpdate, 100}}));
  EXPECT_EQ(SharesOf(Workload::kGet), (Shares{{kGet, 100}}));
  EXPECT_EQ(SharesOf(Workload::kMixed), (Shares{{kGet, 70}, {kUpdate, 30}}));
  EXPECT_EQ(SharesOf(Workload::kYcsbA), (Shares{{kGet, 50}, {kUpdate, 50}}));
  EXPECT_EQ(SharesOf(Workload::kYcsbB), (Shares{{kGet, 95}, {kUpdate, 5}}));
  EXPECT_EQ(SharesOf(Workload::kYcsbC), (Shares{{kGet, 100}}));
  EXPECT_EQ(SharesOf(Workload::kYcsbD), (Shares{{kGet, 95}, {kInsert, 5}}));
  EXPECT_EQ(SharesOf(Workload::kYcsbE), (Shares{{kScan, 95}, {kInsert, 5}}));
  EXPECT_EQ(SharesOf(Workload::kYcsbF), (Shares{{kGet, 50}, {kReadModifyWrite, 50}}));
  EXPECT_EQ(SharesOf(Workload::kTxn), (Shares{{kTransfer, 100}}));
}

// Draws transfers of `mix` over 100 keys, of which key k is in shard k % 5.
std::map<size_t, int> ShardsOfTransfers(const Mix& mix, bool places_known) {
  const auto shard_of = [](uint64_t key) { return key % 5; };
  OperationChooser chooser(mix, 100, 1, places_known ? ShardOfKey(shard_of) : nullptr);
  base::Random random(6);
  std::map<size_t, int> counts;
  for (int i = 0; i < 2000; ++i) {
    const Operation operation = chooser.Next(0, random);
    std::set<uint64_t> keys{operation.key};
    keys.insert(operation.others.begin(), operation.others.end());
    EXPECT_EQ(keys.size(), mix.keys_each);
    EXPECT_LT(*keys.rbegin(), 100U);
    std::set<uint64_t> shards;
    for (const uint64_t key : keys) shards.insert(shard_of(key));
    ++counts[shards.size()];
  }
  return counts;
}

TEST(WorkloadTest, KeysOfATransferAreOfDifferentShards) {
  for (const KeyPattern pattern : {KeyPattern::kUniform, KeyPattern::kZipf}) {
    for (const uint32_t keys_each : {2U, 5U}) {
      const Mix mix{.transfers = 100, .keys_each = keys_each, .pattern = pattern};
      EXPECT_EQ(ShardsOfTransfers(mix, true), (std::map<size_t, int>{{keys_each, 2000}}));
      EXPECT_GT(ShardsOfTransfers(mix, false).size(), 1U);
    }
    // More than there are shards.
    const Mix mix{.transfers = 100, .keys_each = 7, .pattern = pattern};
    EXPECT_EQ(ShardsOfTransfers(mix, true), (std::map<size_t, int>{{5, 2000}}));
  }
}

TEST(WorkloadTest, EachClientHasKeysOfItsOwn) {
  constexpr uint32_t kClients = 3;
  OperationChooser chooser(MixOf(Workload::kPut, 0), 10, kClients);
  base::Random random(5);
  std::vector<std::set<uint64_t>> keys(kClients);
  for (int i = 0; i < 3000; ++i) keys[i % kClients].insert(chooser.Next(i % kClients, random).key);
  EXPECT_EQ(keys[0], (std::set<uint64_t>{0, 3, 6, 9}));
  EXPECT_EQ(keys[1], (std::set<uint64_t>{1, 4, 7}));
  EXPECT_EQ(keys[2], (std::set<uint64_t>{2, 5, 8}));
}

TEST(WorkloadTest, PopularKeysAreScattered) {
  constexpr uint64_t kKeys = 100'000;
  OperationChooser chooser(MixOf(Workload::kYcsbC, 0), kKeys, 1);
  base::Random random(5);
  std::map<uint64_t, int> drawn;
  for (int i = 0; i < kDraws; ++i) ++drawn[chooser.Next(0, random).key];
  EXPECT_LT(drawn.rbegin()->first, kKeys);
  const auto most = std::max_element(
      drawn.begin(), drawn.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  EXPECT_EQ(most->first, Scatter(0) % kKeys);
  EXPECT_NEAR(most->second, kDraws / Zeta(10'000'000'000, kYcsbZipfConstant), kDraws * 0.003);
  EXPECT_NEAR(drawn[Scatter(1) % kKeys], most->second / 2.0, kDraws * 0.003);
}

TEST(WorkloadTest, TheNewestKeysAreReadMost) {
  constexpr uint64_t kKeys = 1000;
  OperationChooser chooser(MixOf(Workload::kYcsbD, 0), kKeys, 1);
  base::Random random(9);
  const auto count_reads = [&] {
    std::map<uint64_t, int> reads;
    for (int i = 0; i < kDraws; ++i) {
      const Operation operation = chooser.Next(0, random);
      if (operation.kind == OperationKind::kGet) ++reads[operation.key];
    }
    return reads;
  };
  std::map<uint64_t, int> reads = count_reads();  // inserts are under way, and none has ended
  EXPECT_EQ(chooser.keys(), kKeys);
  EXPECT_EQ(reads.rbegin()->first, kKeys - 1);
  EXPECT_GT(reads[kKeys - 1], reads[kKeys - 2]);
  EXPECT_GT(reads[kKeys - 2], 20 * reads[0]);

  chooser.OnInsertEnded(kKeys + 1);
  EXPECT_EQ(chooser.keys(), kKeys);  // the one below it may not be there
  chooser.OnInsertEnded(kKeys);
  EXPECT_EQ(chooser.keys(), kKeys + 2);
  reads = count_reads();
  EXPECT_EQ(reads.rbegin()->first, kKeys + 1);
  EXPECT_GT(reads[kKeys + 1], reads[kKeys - 1]);
}

TEST(WorkloadTest, InsertsTakeNewKeysInTurn) {
  OperationChooser chooser(MixOf(Workload::kYcsbE, 0), 50, 2);
  base::Random random(2);
  uint64_t next = 50;
  for (int i = 0; i < 1000; ++i) {
    const Operation operation = chooser.Next(i % 2, random);
    if (operation.kind == OperationKind::kInsert) {
      EXPECT_EQ(operation.key, next++);
      chooser.OnInsertEnded(operation.key);
    }
  }
  EXPECT_GT(next, 60U);
  EXPECT_EQ(chooser.keys(), next);
}

TEST(WorkloadTest, ScansAreUniformFromOneToAHundred) {
  OperationChooser chooser(MixOf(Workload::kYcsbE, 0), 1000, 1);
  base::Random random(4);
  std::map<uint64_t, int> lengths;
  int scans = 0;
  for (int i = 0; i < kDraws; ++i) {
    const Operation operation = chooser.Next(0, random);
    if (operation.kind != OperationKind::kScan) continue;
    EXPECT_LT(operation.key, 1000U);
    ++lengths[operation.rows];
    ++scans;
  }
  EXPECT_EQ(lengths.size(), 100U);
  EXPECT_EQ(lengths.begin()->first, 1U);
  EXPECT_EQ(lengths.rbegin()->first, 100U);
  const double each = scans / 100.0;
  for (const auto& [rows, count] : lengths) EXPECT_NEAR(count, each, each / 4) << rows;
}

TEST(WorkloadTest, NamesOfKeys) {
  EXPECT_EQ(KeyName("bench:", KeyPattern::kOwn, 7), "bench:0000000007");
  EXPECT_EQ(KeyName("bench:", KeyPattern::kUniform, 7), "bench:0000000007");
  EXPECT_EQ(KeyName("bench:", KeyPattern::kZipf, 0), "bench:a8c7f832281a39c5");
  EXPECT_EQ(EndOfKeys("bench:"), "bench;");
  EXPECT_EQ(EndOfKeys("a\xff"), "b");
  EXPECT_EQ(EndOfKeys("\xff"), "");
}

}  // namespace
}  // namespace basalt::bench
