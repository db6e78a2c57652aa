// What one batch carries forward of the oldest segment in use, so that the segment can go.
#pragma once

#include <cstdint>
#include <vector>

#include "raft/core/types.h"
#include "storage/raft_log/entry_index.h"
#include "storage/raft_log/raft_log.h"

namespace basalt::storage {

struct RaftLog::ReclaimPlan {
  struct Copy {
    raft_log::EntryRun run;
    std::vector<raft::Entry> entries;
  };
  std::vector<raft::GroupId> states;  // groups whose state is repeated
  std::vector<Copy> copies;
  uint64_t bytes = 0;  // at most, encoded

  bool empty() const { return states.empty() && copies.empty(); }
};

}  // namespace basalt::storage
