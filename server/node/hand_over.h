// Which leaderships a node that is about to stop hands over. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "server/node/work.h"

namespace basalt::server {

struct HandOverStep {
  size_t led = 0;                  // groups that this node leads and somebody else could
  std::vector<raft::GroupId> ask;  // of those, who has no transfer under way
};

// To be asked again until `led` is 0: a transfer that failed is begun anew.
HandOverStep PlanHandOver(const std::vector<GroupState>& states);

}  // namespace basalt::server
