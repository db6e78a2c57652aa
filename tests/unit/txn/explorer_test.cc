// Random schedules of transactions over a few shards: see world.h.
//
// BASALT_TXN_SEED=n runs one seed; BASALT_TXN_SEEDS=n sets how many run, BASALT_TXN_FIRST_SEED=n
// where they begin: then nothing is said of what they reach.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

#include "tests/unit/txn/world.h"

namespace basalt::txn {
namespace {

uint64_t Setting(const char* name, uint64_t otherwise) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread; ends when the check tells getenv from setenv
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Sums {
  Reached reached;
  Told told;
  uint64_t transactions = 0;
};

void Add(Sums& sums, const World& world) {
  const Reached& reached = world.reached();
  sums.reached.applied_commits += reached.applied_commits;
  sums.reached.applied_aborts += reached.applied_aborts;
  sums.reached.crashes_driving += reached.crashes_driving;
  sums.reached.crashes_with_locks += reached.crashes_with_locks;
  sums.reached.late_prepares += reached.late_prepares;
  sums.reached.forgotten += reached.forgotten;
  sums.reached.waited += reached.waited;
  sums.reached.died += reached.died;
  sums.reached.turned_away += reached.turned_away;
  sums.reached.asked += reached.asked;
  sums.reached.echoes += reached.echoes;
  sums.reached.obstacles += reached.obstacles;
  sums.reached.reads_waited += reached.reads_waited;
  sums.reached.outdated += reached.outdated;
  sums.reached.overtaken += reached.overtaken;
  const Told& told = world.told();
  sums.told.applied_one_shard += told.applied_one_shard;
  sums.told.applied_many_shards += told.applied_many_shards;
  sums.told.applied_reads += told.applied_reads;
  sums.told.applied_locked_reads += told.applied_locked_reads;
  sums.told.refused += told.refused;
  sums.told.unknown += told.unknown;
  sums.told.deadlines += told.deadlines;
  sums.transactions += world.transactions();
}

void Print(const Sums& sums) {
  const Reached& reached = sums.reached;
  const Told& told = sums.told;
  std::printf(
      "%lu attempts; told: one shard %lu, many shards %lu, reads %lu, reads under locks %lu, "
      "refused %lu, unknown %lu, deadlines %lu\n",
      sums.transactions, told.applied_one_shard, told.applied_many_shards, told.applied_reads,
      told.applied_locked_reads, told.refused, told.unknown, told.deadlines);
  std::printf(
      "commits %lu, aborts %lu, crashes driving %lu, with locks %lu, late prepares %lu, "
      "forgotten %lu, waited %lu, died %lu, turned away %lu, asked %lu, echoes %lu, obstacles %lu, "
      "reads waited %lu, outdated %lu, overtaken %lu\n",
      reached.applied_commits, reached.applied_aborts, reached.crashes_driving,
      reached.crashes_with_locks, reached.late_prepares, reached.forgotten, reached.waited,
      reached.died, reached.turned_away, reached.asked, reached.echoes, reached.obstacles,
      reached.reads_waited, reached.outdated, reached.overtaken);
}

// A run that never came to these has proved nothing of them.
void ExpectReached(const Sums& sums) {
  const Reached& reached = sums.reached;
  EXPECT_GT(reached.applied_commits, 100u);
  EXPECT_GT(reached.applied_aborts, 100u);
  EXPECT_GT(reached.crashes_driving, 100u);
  EXPECT_GT(reached.crashes_with_locks, 100u);
  EXPECT_GT(reached.late_prepares, 100u);
  EXPECT_GT(reached.forgotten, 10u);
  EXPECT_GT(reached.waited, 100u);
  EXPECT_GT(reached.died, 100u);
  EXPECT_GT(reached.turned_away, 10u);
  EXPECT_GT(reached.asked, 100u);
  EXPECT_GT(reached.echoes, 10u);
  EXPECT_GT(reached.obstacles, 100u);
  EXPECT_GT(reached.reads_waited, 100u);
  EXPECT_GT(reached.outdated, 10u);
  EXPECT_GT(reached.overtaken, 100u);
  EXPECT_GT(sums.told.applied_one_shard, 100u);
  EXPECT_GT(sums.told.applied_many_shards, 100u);
  EXPECT_GT(sums.told.applied_reads, 100u);
  EXPECT_GT(sums.told.applied_locked_reads, 10u);
  EXPECT_GT(sums.told.deadlines, 10u);
}

TEST(TxnExplorer, EveryScheduleIsStrictlySerializable) {
  Sums sums;
  const uint64_t one = Setting("BASALT_TXN_SEED", 0);
  const uint64_t seeds = one != 0 ? 1 : Setting("BASALT_TXN_SEEDS", 4000);
  const uint64_t first = one != 0 ? one : Setting("BASALT_TXN_FIRST_SEED", 1);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    // A failed CHECK ends the process: the last line says where to look.
    if (seed % 100 == 1) {
      std::printf("seeds from %lu\n", seed);
      std::fflush(stdout);
    }
    World world(seed);
    ASSERT_EQ(world.Run(), "") << "seed " << seed;
    Add(sums, world);
  }
  Print(sums);
  if (first == 1 && one == 0) ExpectReached(sums);
}

}  // namespace
}  // namespace basalt::txn
