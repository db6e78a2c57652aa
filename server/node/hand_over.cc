#include "server/node/hand_over.h"

#include <algorithm>

namespace basalt::server {
namespace {

bool HasActiveFollower(const raft::CoreStatus& status) {
  return std::any_of(status.followers.begin(), status.followers.end(),
                     [](const raft::FollowerStatus& follower) { return follower.recently_active; });
}

}  // namespace

HandOverStep PlanHandOver(const std::vector<GroupState>& states) {
  HandOverStep step;
  for (const GroupState& state : states) {
    const raft::CoreStatus& core = state.core;
    if (core.leadership.role != raft::Role::kLeader || !HasActiveFollower(core)) continue;
    ++step.led;
    if (core.transfer_to == raft::ReplicaId(0)) step.ask.push_back(state.group);
  }
  return step;
}

}  // namespace basalt::server
