#include "server/config/memory_plan.h"

#include <algorithm>

namespace basalt::server {
namespace {

constexpr uint64_t kMiB = 1ull << 20;
constexpr uint64_t kHotRowsShare = 8;
// The least takes the largest entry, a transaction of 15 MiB.
constexpr uint64_t kPeerLinkMin = 16 * kMiB;
constexpr uint64_t kPeerLinkMax = 64 * kMiB;
constexpr uint64_t kLogEntriesMin = 16 * kMiB;
constexpr uint64_t kLogEntriesMax = 128 * kMiB;
constexpr uint64_t kRequestsMin = 64 * kMiB;
constexpr uint64_t kRequestsUnlimited = 512 * kMiB;

}  // namespace

MemoryPlan PlanMemory(const NodeConfig& config) {
  MemoryPlan plan;
  plan.hot_rows = config.block_cache / kHotRowsShare;
  plan.block_cache = config.block_cache - plan.hot_rows;
  plan.requests = kRequestsUnlimited;
  plan.log_entries = kLogEntriesMax;
  plan.peer_link = kPeerLinkMax;
  if (config.memory_limit == 0) return plan;
  const uint64_t caches = config.block_cache + config.write_buffer + config.session_memory;
  const uint64_t rest = config.memory_limit - std::min(config.memory_limit, caches);
  // On its way a put lies here some four times: as it came, as an entry, in a frame to each peer.
  plan.requests = std::max(kRequestsMin, rest / 8);
  plan.log_entries = std::clamp(rest / 8, kLogEntriesMin, kLogEntriesMax);
  plan.peer_link = std::clamp(rest / 16, kPeerLinkMin, kPeerLinkMax);
  return plan;
}

}  // namespace basalt::server
