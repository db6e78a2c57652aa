#include "client/replica_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace basalt::client {
namespace {

constexpr ReplicaPolicy kPolicies[] = {ReplicaPolicy::kLeastOutstanding, ReplicaPolicy::kRoundRobin,
                                       ReplicaPolicy::kWeighted, ReplicaPolicy::kRandom,
                                       ReplicaPolicy::kNearestZone};

using Candidates = std::vector<ReplicaCandidate>;

Candidates Three() {
  return {{.node_id = 1, .zone = "a"}, {.node_id = 2, .zone = "b"}, {.node_id = 3, .zone = "c"}};
}

std::string Turns(ReplicaChoice& choice, const Candidates& candidates, int turns) {
  std::string chosen;
  for (int i = 0; i < turns; ++i) chosen += std::to_string(choice.Choose(1, candidates));
  return chosen;
}

TEST(ReplicaChoiceTest, LeastOutstandingTakesTheLeastAndTurnsAmongEquals) {
  ReplicaChoice choice(ReplicaPolicy::kLeastOutstanding, "", 1);
  EXPECT_EQ(Turns(choice, Three(), 6), "123123");
  Candidates candidates = Three();
  candidates[0].outstanding = 4;
  candidates[1].outstanding = 1;
  candidates[2].outstanding = 2;
  EXPECT_EQ(Turns(choice, candidates, 3), "222");
  candidates[2].outstanding = 1;
  EXPECT_EQ(Turns(choice, candidates, 4), "3232");
}

TEST(ReplicaChoiceTest, LeastOutstandingKeepsUnequalNodesEquallyBusy) {
  ReplicaChoice choice(ReplicaPolicy::kLeastOutstanding, "", 1);
  Candidates candidates = Three();
  std::map<uint64_t, int> chosen;
  // Node 1 never answers.
  for (int i = 0; i < 300; ++i) {
    const uint64_t node = choice.Choose(1, candidates);
    ++chosen[node];
    if (node == 1) ++candidates[0].outstanding;
  }
  EXPECT_EQ(chosen[1], 1);
}

TEST(ReplicaChoiceTest, RoundRobinGivesEachItsTurnForEachShardByItself) {
  ReplicaChoice choice(ReplicaPolicy::kRoundRobin, "", 1);
  Candidates candidates = Three();
  candidates[0].outstanding = 99;
  EXPECT_EQ(choice.Choose(7, candidates), 1U);
  EXPECT_EQ(Turns(choice, candidates, 6), "123123");
  EXPECT_EQ(choice.Choose(7, candidates), 2U);
}

// The example of nginx's own description of its algorithm.
TEST(ReplicaChoiceTest, WeightedIsSmooth) {
  ReplicaChoice choice(ReplicaPolicy::kWeighted, "", 1);
  Candidates candidates = Three();
  candidates[0].weight = 5;
  EXPECT_EQ(Turns(choice, candidates, 14), "11213111121311");
}

TEST(ReplicaChoiceTest, WeightZeroIsForWhenNothingElseIsLeft) {
  ReplicaChoice choice(ReplicaPolicy::kWeighted, "", 1);
  Candidates candidates = Three();
  candidates[0].weight = 0;
  EXPECT_EQ(Turns(choice, candidates, 6), "232323");
  candidates[1].reachable = candidates[2].reachable = false;
  EXPECT_EQ(Turns(choice, candidates, 2), "11");
}

TEST(ReplicaChoiceTest, RandomIsUniformAndRepeatsWithItsSeed) {
  ReplicaChoice choice(ReplicaPolicy::kRandom, "", 42);
  ReplicaChoice same(ReplicaPolicy::kRandom, "", 42);
  ReplicaChoice other(ReplicaPolicy::kRandom, "", 43);
  const std::string chosen = Turns(choice, Three(), 3000);
  EXPECT_EQ(chosen, Turns(same, Three(), 3000));
  EXPECT_NE(chosen, Turns(other, Three(), 3000));
  for (const char node : {'1', '2', '3'}) {
    EXPECT_NEAR(static_cast<double>(std::ranges::count(chosen, node)), 1000, 120);
  }
}

TEST(ReplicaChoiceTest, NearestZoneStaysAndFallsBack) {
  ReplicaChoice choice(ReplicaPolicy::kNearestZone, "b", 1);
  Candidates candidates = Three();
  candidates[1].outstanding = 50;
  EXPECT_EQ(Turns(choice, candidates, 3), "222");
  candidates[1].reachable = false;
  EXPECT_EQ(Turns(choice, candidates, 4), "3131");
  ReplicaChoice nowhere(ReplicaPolicy::kNearestZone, "", 1);
  candidates = Three();
  for (ReplicaCandidate& candidate : candidates) candidate.zone = {};
  EXPECT_EQ(Turns(nowhere, candidates, 3), "123");
}

// Of any candidates: one of them, out of reach only if all are, and the same for the same seed.
TEST(ReplicaChoiceTest, AnyCandidates) {
  constexpr std::string_view kZones[] = {"z0", "z1", "z2"};
  int all_lost = 0;
  int some_lost = 0;
  for (const ReplicaPolicy policy : kPolicies) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      base::Random random(seed);
      ReplicaChoice choice(policy, "z1", seed);
      ReplicaChoice again(policy, "z1", seed);
      for (int turn = 0; turn < 200; ++turn) {
        Candidates candidates;
        for (uint64_t node = 1, nodes = random.Between(1, 5); node <= nodes; ++node) {
          candidates.push_back({.node_id = node,
                                .outstanding = static_cast<uint32_t>(random.Below(4)),
                                .weight = static_cast<uint32_t>(random.Below(3)),
                                .zone = kZones[random.Below(3)],
                                .reachable = random.OneIn(2)});
        }
        const uint64_t shard = random.Below(3);
        const uint64_t chosen = choice.Choose(shard, candidates);
        ASSERT_EQ(chosen, again.Choose(shard, candidates));
        const auto it = std::ranges::find(candidates, chosen, &ReplicaCandidate::node_id);
        ASSERT_NE(it, candidates.end());
        const auto reachable =
            std::ranges::count_if(candidates, [](const auto& c) { return c.reachable; });
        ASSERT_EQ(it->reachable, reachable > 0);
        all_lost += reachable == 0 ? 1 : 0;
        some_lost += reachable > 0 && reachable < std::ssize(candidates) ? 1 : 0;
      }
    }
  }
  EXPECT_GT(all_lost, 1000);
  EXPECT_GT(some_lost, 1000);
}

}  // namespace
}  // namespace basalt::client
