// The map of the cluster, from whichever endpoint answers.
#pragma once

#include <cstdint>

#include "basalt/result.h"
#include "client/kvctl/arguments.h"
#include "client/router.h"

namespace basalt::kvctl {

// From the endpoints in turn, preferring a node that belongs to a cluster. The map of a node that
// belongs to none has an empty cluster_id.
Result<client::ClusterView> FetchAnyMap(const Arguments& arguments);
// A node that belongs to no cluster is an error.
Result<client::ClusterView> FetchFormedMap(const Arguments& arguments);
// 0: not known.
uint64_t LeaderOf(const client::ClusterView& map, uint64_t shard_id);

}  // namespace basalt::kvctl
