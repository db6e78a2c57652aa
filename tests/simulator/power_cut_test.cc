// Hazard 9: the power of all nodes goes at once. What was acknowledged is there when it returns; of
// a build that does not sync, this test says so.
#include <gtest/gtest.h>

#include "tests/simulator/cluster_runs.h"

namespace basalt::testing {
namespace {

void CutPowerOfAll(VirtualCluster& cluster) {
  base::Random& random = cluster.random();
  for (int round = 0; round < 3; ++round) {
    cluster.RunEvents(random.Between(500, 8000));
    // One of them may be in the midst of a write, and one may have died alone before.
    if (random.OneIn(3)) cluster.Die(random.Between(1, 3), Death::kProcess);
    const uint64_t writing = random.Between(1, 3);
    cluster.DieInside(writing, Death::kPower, random.Between(1, 4));
    for (int event = 0; cluster.lives(writing) && event < 500; ++event) cluster.RunEvents(1);
    for (uint64_t node = 1; node <= 3; ++node) cluster.Die(node, Death::kPower);
    for (uint64_t node = 1; node <= 3; ++node) cluster.Start(node);
  }
}

TEST(PowerCutTest, NothingAcknowledgedIsLost) {
  auto reached = RunSeeds({}, 60, CutPowerOfAll);
  EXPECT_GT(reached["power cuts"], Least(100));
  EXPECT_GT(reached["deaths in the midst of a change to the disk"], Least(20));
  EXPECT_GT(reached["writes acknowledged"], Least(2000));
}

// A log that is refused, or votes, entries or acknowledged writes that are not there any more, by
// whoever sees it first; a failed CHECK, say, is something else.
bool IsOfALoss(const std::string& violation) {
  if (violation.find(" does not start: /log") != std::string::npos) return true;
  for (const char* verdict : {" forgot that it spoke of group ",
                              " than it had made durable: ", " lacks what was committed",
                              "acknowledged and lost", "an acknowledged write is lost"}) {
    if (violation.find(verdict) != std::string::npos) return true;
  }
  return false;
}

TEST(PowerCutTest, DisksThatDoNotSyncAreFound) {
  constexpr uint64_t kSeedsMax = 5;
  bool found = false;
  for (uint64_t seed = 1; seed <= kSeedsMax && !found; ++seed) {
    const RunReport report =
        RunInChild([&] { return RunOnce({.disks_sync = false}, seed, CutPowerOfAll); });
    for (const std::string& violation : report.violations) {
      found = found || IsOfALoss(violation);
      std::printf("seed %d: %s\n", static_cast<int>(seed), violation.c_str());
    }
  }
  EXPECT_TRUE(found) << "a cluster whose disks never sync passed " << kSeedsMax << " power cuts";
}

}  // namespace
}  // namespace basalt::testing
