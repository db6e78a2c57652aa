#include "client/scan_merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"

namespace basalt::client {
namespace {

using Shard = std::map<std::string, std::string>;

// Serves a page as a server would.
bool Serve(ScanMerge& merge, bool reverse, const Shard& shard, const PageWanted& wanted,
           size_t rows_max) {
  std::vector<Row> rows;
  if (reverse) {
    auto end = wanted.start.empty() ? shard.end() : shard.lower_bound(wanted.start);
    for (; end != shard.begin() && rows.size() < rows_max; --end)
      rows.push_back({std::prev(end)->first, std::prev(end)->second, 1});
    const std::string resume = end == shard.begin() || rows.empty() ? "" : rows.back().key;
    return merge.OnPage(wanted.cursor, std::move(rows), resume);
  }
  auto it = shard.lower_bound(wanted.start);
  for (; it != shard.end() && rows.size() < rows_max; ++it)
    rows.push_back({it->first, it->second, 1});
  return merge.OnPage(wanted.cursor, std::move(rows), it == shard.end() ? "" : it->first);
}

std::vector<std::string> ReadAll(const std::vector<Shard>& shards, bool reverse, uint64_t limit,
                                 size_t page, base::Random& random) {
  ScanMerge merge(shards.size(), "", reverse, limit, static_cast<uint32_t>(page));
  std::vector<PageWanted> open = merge.TakeWanted();
  std::vector<std::string> keys;
  while (true) {
    Row row;
    switch (merge.Next(&row)) {
      case ScanMerge::Step::kRow:
        keys.push_back(row.key);
        break;
      case ScanMerge::Step::kEnd:
        return keys;
      case ScanMerge::Step::kWait: {
        for (PageWanted& wanted : merge.TakeWanted()) open.push_back(std::move(wanted));
        if (open.empty()) {
          ADD_FAILURE() << "waits for nothing";
          return keys;
        }
        const size_t at = random.Below(open.size());
        EXPECT_TRUE(Serve(merge, reverse, shards[open[at].cursor], open[at], page));
        open.erase(open.begin() + static_cast<ptrdiff_t>(at));
        break;
      }
    }
  }
}

TEST(ScanMergeTest, MergesAnyShardsInKeyOrderInAnyOrderOfPages) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    base::Random random(seed);
    std::vector<Shard> shards(random.Between(1, 6));
    std::vector<std::string> expected;
    for (uint64_t i = random.Below(200); i > 0; --i) {
      const std::string key = std::to_string(random.Below(100'000));
      Shard& shard = shards[std::hash<std::string>()(key) % shards.size()];
      if (shard.emplace(key, "v").second) expected.push_back(key);
    }
    std::sort(expected.begin(), expected.end());
    const bool reverse = random.OneIn(2);
    if (reverse) std::reverse(expected.begin(), expected.end());
    const uint64_t limit = random.OneIn(2) ? 0 : random.Between(1, 100);
    if (limit > 0 && expected.size() > limit) expected.resize(limit);
    const uint64_t page = random.Between(1, 20);
    EXPECT_EQ(ReadAll(shards, reverse, limit, page, random), expected) << "seed " << seed;
  }
}

TEST(ScanMergeTest, NoShardsIsTheEnd) {
  ScanMerge merge(0, "", false, 0, 10);
  Row row;
  EXPECT_EQ(merge.Next(&row), ScanMerge::Step::kEnd);
}

TEST(ScanMergeTest, RefusesPagesThatMakeNoSense) {
  bool reverse = false;
  const auto page = [&reverse](std::vector<std::string> keys, const std::string& resume) {
    ScanMerge merge(1, reverse ? "y" : "b", reverse, 0, 10);
    merge.TakeWanted();
    std::vector<Row> rows;
    rows.reserve(keys.size());
    for (std::string& key : keys) rows.push_back({std::move(key), "", 1});
    return merge.OnPage(0, std::move(rows), resume);
  };
  EXPECT_TRUE(page({"b", "c"}, "d"));
  EXPECT_TRUE(page({}, ""));
  EXPECT_TRUE(page({}, "c"));
  EXPECT_FALSE(page({"c", "b"}, ""));
  EXPECT_FALSE(page({"c", "c"}, ""));
  EXPECT_FALSE(page({"a"}, ""));         // below what was asked
  EXPECT_FALSE(page({"c", "d"}, "cc"));  // would give d again
  EXPECT_FALSE(page({"c", "d"}, "d"));   // likewise
  EXPECT_FALSE(page({}, "b"));           // no progress
  reverse = true;
  EXPECT_TRUE(page({"x", "w"}, "w"));
  EXPECT_TRUE(page({"x", "w"}, "v"));
  EXPECT_TRUE(page({}, ""));
  EXPECT_TRUE(page({}, "x"));
  EXPECT_FALSE(page({"w", "x"}, ""));
  EXPECT_FALSE(page({"x", "x"}, ""));
  EXPECT_FALSE(page({"y"}, ""));        // not below what was asked
  EXPECT_FALSE(page({"x", "w"}, "x"));  // would give w again
  EXPECT_FALSE(page({}, "y"));          // no progress
}

}  // namespace
}  // namespace basalt::client
