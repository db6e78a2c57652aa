// Readiness: whether the replicas of a node can take their share, so that another node may go.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "proto/admin.pb.h"

namespace basalt::server {

// Entries of its group that a replica may not have applied yet and still count as caught up: what
// is on its way under load.
inline constexpr uint64_t kEntriesBehindMax = 1000;

// A line for each replica that has no leader or is behind: measured against what its leader says is
// committed, not against what the replica holds itself. Empty: all are fit.
std::vector<std::string> WhyNotCaughtUp(std::span<const v1::ReplicaStatus> replicas);

}  // namespace basalt::server
