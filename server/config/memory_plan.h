// MemoryPlan: how --memory-limit is shared out, beside the caches that have settings of their own.
// docs/operations.md lists what each part bounds. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "server/config/node_config.h"

namespace basalt::server {

// What a process takes whatever it holds: code, threads, gRPC, what is on its way.
inline constexpr uint64_t kMemoryBesides = 128ull << 20;

struct MemoryPlan {
  uint64_t block_cache = 0;
  uint64_t hot_rows = 0;     // of --block-cache; docs/decisions/0009-hot-rows.md
  uint64_t requests = 0;     // and their answers
  uint64_t log_entries = 0;  // recent ones
  uint64_t peer_link = 0;    // each: what waits for a frame
};

MemoryPlan PlanMemory(const NodeConfig& config);

}  // namespace basalt::server
