// CheckLayout: whether a cluster's founding layout, which comes from a peer or from LAYOUT, may be
// believed. What is founded on it is checked no more, and a node that adopts it keeps it for good.
#pragma once

#include "absl/status/status.h"

#include "proto/types.pb.h"

namespace basalt::server {

// FailedPrecondition, naming what is wrong, unless
// - the cluster has an id, and each of its nodes one that no other has;
// - the meta shard is there, each shard has an id that no other has, and the others have all slots;
// - a shard's replicas make a configuration, each on a node of its own that the layout names.
absl::Status CheckLayout(const v1::ClusterMap& layout);

}  // namespace basalt::server
