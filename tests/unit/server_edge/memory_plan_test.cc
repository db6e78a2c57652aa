#include "server/config/memory_plan.h"

#include <gtest/gtest.h>

namespace basalt::server {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kPeers = 2;

TEST(MemoryPlanTest, HotRowsArePartOfTheBlockCache) {
  NodeConfig config;
  config.block_cache = 64 * kMiB;
  const MemoryPlan plan = PlanMemory(config);
  EXPECT_EQ(plan.hot_rows, 8 * kMiB);
  EXPECT_EQ(plan.block_cache + plan.hot_rows, config.block_cache);
}

TEST(MemoryPlanTest, ThePartsFitIntoTheLimit) {
  NodeConfig config;
  config.block_cache = 8 * kMiB;
  config.write_buffer = 8 * kMiB;
  config.session_memory = 16 * kMiB;
  for (uint64_t limit = 400 * kMiB; limit <= 8192 * kMiB; limit += 100 * kMiB) {
    config.memory_limit = limit;
    const MemoryPlan plan = PlanMemory(config);
    // What waits for a frame, and the frame before it.
    const uint64_t links = 2 * kPeers * plan.peer_link;
    EXPECT_LE(plan.block_cache + plan.hot_rows + config.write_buffer + config.session_memory +
                  plan.requests + plan.log_entries + links + kMemoryBesides,
              limit + 16 * kMiB)
        << limit;
    EXPECT_GE(plan.requests, (limit - 32 * kMiB) / 8);
  }
}

TEST(MemoryPlanTest, EachPartHasItsLeast) {
  NodeConfig config;
  config.memory_limit = config.block_cache + config.write_buffer + kMemoryBesides;
  const MemoryPlan plan = PlanMemory(config);
  EXPECT_EQ(plan.requests, 64 * kMiB);
  EXPECT_EQ(plan.log_entries, 16 * kMiB);
  EXPECT_EQ(plan.peer_link, 16 * kMiB) << "the largest entry, with what goes beside it";
}

TEST(MemoryPlanTest, WithoutALimitThereAreBoundsAllTheSame) {
  NodeConfig config;
  config.memory_limit = 0;
  const MemoryPlan plan = PlanMemory(config);
  EXPECT_EQ(plan.requests, 512 * kMiB);
  EXPECT_EQ(plan.log_entries, 128 * kMiB);
  EXPECT_EQ(plan.peer_link, 64 * kMiB);
}

}  // namespace
}  // namespace basalt::server
