// Whole clusters under virtual time: kills, partitions, checkpoints. Power cuts: power_cut_test.cc.
#include <gtest/gtest.h>

#include "tests/simulator/cluster_runs.h"

namespace basalt::testing {
namespace {

constexpr VirtualNetwork::Faults kBadNetwork{
    .lose_one_in = 50, .double_one_in = 50, .hold_one_in = 50};

uint64_t AnyNode(VirtualCluster& cluster) { return cluster.random().Between(1, 3); }

TEST(ClusterTest, SameSeedSameRun) {
  const auto scenario = [](VirtualCluster& cluster) {
    cluster.RunFor(seconds(1));
    cluster.Die(1, Death::kPower);
    cluster.RunFor(seconds(1));
  };
  const VirtualClusterOptions options{.faults = kBadNetwork};
  const RunReport first = RunOnce(options, 7, scenario);
  EXPECT_TRUE(first.violations.empty()) << first.violations[0];
  EXPECT_GT(first.reached.at("writes acknowledged"), 0u);
  EXPECT_EQ(first.reached, RunOnce(options, 7, scenario).reached);
  EXPECT_NE(first.reached, RunOnce(options, 8, scenario).reached);
}

TEST(ClusterTest, QuietRunAcknowledgesEverything) {
  auto reached = RunSeeds({}, 2, [](VirtualCluster& cluster) { cluster.RunFor(seconds(2)); });
  EXPECT_GT(reached["writes acknowledged"], Least(400));
  EXPECT_EQ(reached["writes unknown"], 0u);
  EXPECT_GT(reached["applied hashes compared"], Least(500));
}

// Hazards 10, 46, 52.
TEST(ClusterTest, OneNodeDiesAtAnyEvent) {
  auto reached = RunSeeds({.faults = kBadNetwork}, 40, [](VirtualCluster& cluster) {
    for (int round = 0; round < 3; ++round) {
      cluster.RunEvents(cluster.random().Between(100, 6000));
      const uint64_t node = AnyNode(cluster);
      if (cluster.random().OneIn(2)) {
        cluster.Die(node, Death::kProcess);
      } else {
        cluster.DieInside(node, Death::kProcess, cluster.random().Between(1, 30));
      }
      cluster.RunFor(milliseconds(cluster.random().Between(50, 1500)));
      cluster.Die(node, Death::kProcess);
      cluster.Start(node);
    }
  });
  EXPECT_GT(reached["kills"], Least(30));
  EXPECT_GT(reached["deaths in the midst of a change to the disk"], Least(5));
  // What a death leaves in doubt is sent again: few stay unknown.
  EXPECT_GT(reached["a command came again"], Least(10));
  EXPECT_GT(reached["leaders elected"], Least(30));
}

// The others are started again with clocks an hour ahead: now it is the one whose clock is off.
TEST(ClusterTest, WhoseClockIsFarOffHandsOver) {
  for (const uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    const RunReport report = RunOnce({}, seed, [](VirtualCluster& cluster) {
      cluster.RunFor(seconds(2));
      const uint64_t left_behind = cluster.LeaderOf(1);
      ASSERT_NE(left_behind, 0u);
      for (uint64_t node = 1; node <= 3; ++node) {
        if (node == left_behind) continue;
        cluster.clock(node).JumpWall(std::chrono::hours(1));
        cluster.Die(node, Death::kProcess);
        cluster.Start(node);
        cluster.RunFor(seconds(4));
      }
      cluster.RunFor(seconds(20));
      EXPECT_NE(cluster.LeaderOf(1), left_behind);
      EXPECT_NE(cluster.LeaderOf(2), left_behind);
    });
    EXPECT_TRUE(report.violations.empty()) << report.violations[0];
  }
}

// Hazards 38, 39: when it wakes up it believes for a while that it leads; clients ask it.
TEST(ClusterTest, LeaderStandsStillAndWakesUpAlone) {
  auto reached = RunSeeds({.workload = {.clients = 5}}, 15, [](VirtualCluster& cluster) {
    cluster.RunFor(milliseconds(1500));
    for (int round = 0; round < 2; ++round) {
      const uint64_t leader = cluster.LeaderOf(cluster.random().Between(1, 2));
      if (leader != 0) {
        cluster.Pause(leader, milliseconds(cluster.random().Between(500, 2500)));
        cluster.network().Cut(leader, leader % 3 + 1);
        cluster.network().Cut(leader, (leader + 1) % 3 + 1);
      }
      cluster.RunFor(milliseconds(3000));
      cluster.network().Heal();
      cluster.RunFor(milliseconds(cluster.random().Between(0, 1500)));
    }
  });
  EXPECT_GT(reached["pauses"], Least(20));
}

TEST(ClusterTest, TwoDeadNodesStopWritesUntilOneReturns) {
  RunSeeds({}, 10, [](VirtualCluster& cluster) {
    cluster.RunEvents(cluster.random().Between(2000, 8000));
    const uint64_t survivor = AnyNode(cluster);
    for (uint64_t node = 1; node <= 3; ++node) {
      if (node != survivor) cluster.Die(node, Death::kProcess);
    }
    const server::MonotonicTime died = cluster.time().Now();
    cluster.RunFor(seconds(4));
    for (uint64_t shard : {1, 2}) {
      cluster.Require(cluster.workload().NewestWrite(shard) <= died,
                      "acknowledged by one of three");
    }
    cluster.Start(survivor == 1 ? 2 : 1);
    const server::MonotonicTime returned = cluster.time().Now();
    cluster.RunFor(seconds(8));
    for (uint64_t shard : {1, 2}) {
      cluster.Require(cluster.workload().NewestWrite(shard) >= returned, "two nodes do not go on");
    }
  });
}

void CutToChain(VirtualCluster& cluster) {
  for (uint64_t a = 1; a <= 5; ++a) {
    for (uint64_t b = a + 2; b <= 5; ++b) cluster.network().Cut(a, b);
  }
}

std::map<uint64_t, raft::Term> HighestTerms(VirtualCluster& cluster) {
  std::map<uint64_t, raft::Term> terms;
  for (uint64_t shard : {1, 2}) {
    for (uint64_t node = 1; node <= 5; ++node) {
      const auto status = cluster.StatusOf(node, shard);
      if (status) terms[shard] = std::max(terms[shard], status->hard_state.term);
    }
  }
  return terms;
}

// Hazard 7: who hears the leader through nobody does not depose it, and whoever has two neighbours
// can lead.
TEST(ClusterTest, AChainOfFiveKeepsItsLeaders) {
  RunSeeds({.nodes = 5, .replicas = 5, .workload = {.clients = 2}}, 2, [](VirtualCluster& cluster) {
    cluster.RunFor(milliseconds(cluster.random().Between(100, 2500)));
    CutToChain(cluster);
    cluster.RunFor(seconds(5));
    const server::MonotonicTime settled = cluster.time().Now();
    const auto before = HighestTerms(cluster);
    cluster.RunFor(seconds(8));
    cluster.Require(HighestTerms(cluster) == before, "somebody was elected in a chain at rest");
    for (uint64_t shard : {1, 2}) {
      cluster.Require(cluster.workload().NewestWrite(shard) > settled + seconds(6),
                      "a chain does not go on");
    }
    cluster.network().Heal();
  });
}

// Hazards 3, 5, 38, 52: clients go on talking to both sides.
TEST(ClusterTest, LeaderIsCutOff) {
  auto reached = RunSeeds({}, 25, [](VirtualCluster& cluster) {
    cluster.RunFor(seconds(2));
    for (int round = 0; round < 2; ++round) {
      const uint64_t leader = cluster.LeaderOf(cluster.random().Between(1, 2));
      for (uint64_t node = 1; node <= 3; ++node) {
        if (node == leader || leader == 0) continue;
        if (cluster.random().OneIn(3)) {
          cluster.network().CutOneWay(node, leader);
        } else {
          cluster.network().Cut(leader, node);
        }
      }
      // Short enough that those who wait for the old leader hear what became of their entries.
      const uint64_t cut_ms = cluster.random().OneIn(2) ? 3000 : 900;
      cluster.RunFor(milliseconds(cluster.random().Between(100, cut_ms)));
      cluster.network().Heal();
      cluster.RunFor(milliseconds(cluster.random().Between(0, 1500)));
    }
  });
  EXPECT_GT(reached["a client was told that another entry took its place"], 0u);
  EXPECT_GT(reached["writes unknown"], 0u);
}

// Hazards 25, 26, 28, 30.
TEST(ClusterTest, FollowerBehindCompactionGetsCheckpoint) {
  VirtualClusterOptions options;
  options.process.retained_log_bytes = 2u << 10;
  auto reached = RunSeeds(options, 30, [](VirtualCluster& cluster) {
    cluster.RunFor(seconds(1));
    for (int round = 0; round < 2; ++round) {
      const uint64_t node = AnyNode(cluster);
      cluster.Die(node, Death::kProcess);
      cluster.RunFor(seconds(2));
      cluster.network().faults = kBadNetwork;
      // Some of these points lie before, in and behind the install.
      for (int death = 0; death < 4; ++death) {
        cluster.Start(node);
        cluster.DieInside(node, cluster.random().OneIn(2) ? Death::kPower : Death::kProcess,
                          cluster.random().Between(1, 80));
        cluster.RunFor(milliseconds(cluster.random().Between(100, 800)));
      }
      cluster.Start(node);
      cluster.network().faults = {};
      cluster.RunFor(milliseconds(cluster.random().Between(0, 3000)));
      cluster.Die(node, Death::kPower);
      cluster.Start(node);
    }
  });
  EXPECT_GT(reached["a follower behind the compaction installed a checkpoint"], Least(20));
  EXPECT_GT(reached["deaths in the midst of a change to the disk"], Least(10));
}

TEST(ClusterTest, EverythingAtOnce) {
  RunSeeds({.faults = kBadNetwork}, 60, [](VirtualCluster& cluster) {
    base::Random& random = cluster.random();
    for (int round = 0; round < 12; ++round) {
      const uint64_t node = AnyNode(cluster);
      const Death death = random.OneIn(2) ? Death::kPower : Death::kProcess;
      switch (random.Below(7)) {
        case 0:
          cluster.Die(node, death);
          break;
        case 1:
          cluster.DieInside(node, death, random.Between(1, 100));
          break;
        case 2:
          cluster.network().Cut(node, node % 3 + 1);
          break;
        case 3:
          cluster.network().CutOneWay(node, node % 3 + 1);
          break;
        case 4:
          cluster.network().Heal();
          break;
        case 5:
          cluster.Pause(node, milliseconds(random.Between(10, 2000)));
          break;
        default:
          for (uint64_t id = 1; id <= 3; ++id) cluster.Start(id);
      }
      cluster.RunEvents(random.Between(1, 4000));
    }
  });
}

}  // namespace
}  // namespace basalt::testing
