// SettingsLoad: clients of a run that set how long shards keep old versions, now and then, beside
// all else. VersionModel holds the horizons to it.
#pragma once

#include <cstdint>
#include <vector>

#include "base/random.h"
#include "client/router.h"
#include "server/routing/routing_table.h"
#include "tests/simulator/snapshot_load.h"

namespace basalt::testing {

class SettingsLoad {
 public:
  // `seed` 0: nothing is ever set.
  SettingsLoad(VirtualTime& time, Findings& findings, const server::RoutingTable& routing,
               size_t clients, uint64_t seed, SnapshotLoad::StartCall start);

  void Start();

 private:
  void PlanNext();
  void Set();

  VirtualTime& time_;
  Findings& findings_;
  const size_t clients_;
  const bool sets_;
  base::Random random_;
  std::vector<client::ShardView> shards_;
  const SnapshotLoad::StartCall start_;
};

}  // namespace basalt::testing
