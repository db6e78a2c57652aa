// Hazard 62: a participant that is cut off for five minutes, with what it has prepared: only its
// keys wait, and those that were locked by what it coordinates.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/slot.h"
#include "tests/simulator/cluster_runs.h"

namespace basalt::testing {
namespace {

constexpr uint32_t kShards = 4;
constexpr uint64_t kNodes = 5;
constexpr seconds kCutFor{300};
constexpr seconds kWindow{20};

// Shards are as large as each other; the layout begins shard i at node i.
uint64_t ShardOf(const std::string& key) {
  return 1 + base::SlotOf(key) * kShards / base::kSlotCount;
}

// Shard 1 has replicas on nodes 1, 2, 3, and no other shard has a majority of its on 1 and 2: these
// two go on with each other alone, as a participant that nobody can reach.
void CutFirstShardOff(VirtualCluster& cluster) {
  for (const uint64_t node : {1, 2}) {
    for (uint64_t other = 3; other <= kNodes; ++other) cluster.network().Cut(node, other);
    for (uint64_t client = 0; client < cluster.clients(); ++client) {
      cluster.network().Cut(node, kFirstClient + client);
    }
  }
}

struct Served {
  std::set<std::string> written;  // keys of other shards
  uint64_t commits = 0;           // over several of them
};

// Of what was begun from `begin` on, and answered before `end`.
Served FindServed(const VirtualCluster& cluster, server::MonotonicTime begin,
                  server::MonotonicTime end) {
  Served served;
  for (const check::Transaction& transaction : cluster.transactions().history().transactions) {
    const bool within = transaction.applied() && transaction.invoked_ns >= begin.count() &&
                        *transaction.responded_ns < end.count();
    if (!within) continue;
    std::set<uint64_t> shards;
    std::set<std::string> written;
    for (const check::Step& step : transaction.steps) {
      shards.insert(ShardOf(step.key));
      if (!step.reads()) written.insert(step.key);
    }
    if (written.empty() || shards.contains(1)) continue;
    served.commits += shards.size() > 1 ? 1 : 0;
    served.written.merge(written);
  }
  return served;
}

uint64_t KeysOfOtherShards(const VirtualCluster& cluster) {
  const std::vector<std::string>& keys = cluster.transactions().keys();
  return static_cast<uint64_t>(std::count_if(
      keys.begin(), keys.end(), [](const std::string& key) { return ShardOf(key) != 1; }));
}

TEST(ParticipantCutOff, OnlyItsKeysWaitForFiveMinutes) {
  VirtualClusterOptions options{.nodes = kNodes, .shards = kShards};
  options.transactions = {.clients = 4, .calls_per_client = 3, .keys = 80, .death_one_in = 0};
  // What was under way at the cut may have locked a key each, or two, for a coordinator that is
  // gone.
  const uint64_t waiting_most =
      options.transactions.clients * options.transactions.calls_per_client;
  auto reached = RunSeeds(options, 3, [&](VirtualCluster& cluster) {
    cluster.RunFor(seconds(5) + milliseconds(cluster.random().Below(1000)));
    CutFirstShardOff(cluster);
    const server::MonotonicTime cut = cluster.time().Now();
    while (cluster.time().Now() < cut + kCutFor) {
      const server::MonotonicTime begin = cluster.time().Now();
      cluster.RunFor(kWindow);
      cluster.Require(FindServed(cluster, begin, cluster.time().Now()).commits > 0,
                      "nothing was committed over shards that can be reached");
    }
    // Long after the elections that the cut brought.
    const Served served = FindServed(cluster, cut + kCutFor / 3, cluster.time().Now());
    const uint64_t keys = KeysOfOtherShards(cluster);
    const uint64_t waiting = keys - served.written.size();
    cluster.Require(keys >= 5 * waiting_most, "too few keys to tell");
    cluster.Require(waiting <= waiting_most,
                    std::to_string(waiting) + " keys of other shards wait");
    cluster.findings().Mark("keys of other shards that waited", waiting);
  });
  EXPECT_GT(reached["locks were held for five minutes"], 0u);
}

}  // namespace
}  // namespace basalt::testing
