// NodeConfig: every setting of basaltd, checked, as plain values.
//
// Made by LoadConfig (load_config.h), which guarantees the ranges given here. The defaults stand
// here and nowhere else; --help and --print-config read them from a default-constructed value.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "server/config/host_port.h"
#include "server/observe/log_level.h"

namespace basalt::server {

// See scheduling.h.
enum class Scheduling : uint8_t { kBatch, kNormal };

// How a linearizable read is confirmed when the request does not say.
enum class ReadConfirmation : uint8_t { kLease, kReadIndex };

// Below so many free bytes on the disk writes and checkpoints are refused: RocksDB and the log need
// room to go on serving reads.
inline constexpr uint64_t kFreeBytesMin = uint64_t{256} << 20;

struct NodeConfig {
  // --- Node ---
  uint64_t node_id = 0;  // 1 to 2^32 - 1; unique in the cluster, for ever
  // Empty exactly when `dev` is set: the process makes a temporary directory and removes it.
  std::string data_dir;
  std::string zone;  // failure domain, not used for placement yet; up to 64 of [A-Za-z0-9._/-]
  Scheduling scheduling = Scheduling::kBatch;
  bool dev = false;  // one throw-away node; then node_id is 1 unless given, bootstrap_expect is 1

  // --- Network ---
  HostPort listen{"127.0.0.1", 7400};       // clients, admin, health, reflection
  HostPort peer_listen{"127.0.0.1", 7401};  // the other nodes
  HostPort http_listen{"127.0.0.1", 7480};  // metrics, probes, status page
  // What others dial. Never a wildcard. Port 0 stands for the port that was bound.
  HostPort advertise{"127.0.0.1", 7400};
  HostPort peer_advertise{"127.0.0.1", 7401};
  uint32_t rpc_threads = 0;  // 0 to 16; 0: one for every two processors

  // --- Cluster ---
  std::vector<HostPort> join;     // peer addresses to find the cluster by; no duplicates
  uint32_t bootstrap_expect = 0;  // 0: off; else form a cluster once so many nodes see each other
  uint32_t shards = 8;            // 1 to 4096; data shards of a cluster that this node forms
  uint32_t replicas = 3;          // 1 to 9; fewer nodes give fewer

  // --- Raft ---
  std::chrono::milliseconds election_timeout{600};    // at least 4 heartbeats, at most 60 s
  std::chrono::milliseconds heartbeat_interval{100};  // 2 ms to 10 s
  ReadConfirmation read_mode = ReadConfirmation::kLease;
  uint32_t clock_drift_percent = 20;  // 1 to 100
  uint32_t leader_priority = 1;       // 0 to 100

  // --- Storage ---
  uint64_t log_segment_size = 64ull
                              << 20;       // 16 MiB (above any entry) to 1 GiB, a multiple of 4 KiB
  uint64_t log_retain = 64ull << 20;       // bytes of applied entries kept for slow followers
  uint64_t block_cache = 256ull << 20;     // at least 8 MiB; shared by all replicas
  uint64_t write_buffer = 256ull << 20;    // at least 8 MiB; memtables of all replicas together
  uint64_t checkpoint_rate = 64ull << 20;  // bytes a second sent to each follower; 0: no limit
  uint32_t background_niceness = 15;       // 0 to 19; of flushes and compactions
  // How long a version is kept once another has replaced it; 100 ms to 30 days.
  std::chrono::milliseconds version_retention{600'000};
  // Of versions younger than that, in each replica; 0: no bound.
  uint64_t old_versions_max = 1024ull << 20;
  // How long a client's writes are known for repeated ones after its last one; 100 ms to 30 days.
  std::chrono::milliseconds session_retention{3'600'000};
  uint64_t session_memory = 64ull << 20;  // at least 1 MiB; of all replicas together
  // What the process should stay under; the budget of requests under way is made from it. At least
  // block_cache + write_buffer + 128 MiB. 0: not given.
  uint64_t memory_limit = 2048ull << 20;

  // --- Logging ---
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  std::chrono::milliseconds slow_request{500};  // requests that took longer are logged; 0: none

  // The unit of Raft's virtual time: half a heartbeat, so that elections spread over several ticks.
  std::chrono::milliseconds tick() const { return heartbeat_interval / 2; }
  uint32_t heartbeat_ticks() const { return 2; }
  // How long a follower that heard a leader votes for nobody else, whatever it learns meanwhile;
  // the leader's leases are as long, less the drift of clocks (docs/decisions/0008).
  std::chrono::milliseconds promise() const { return election_timeout * 2 / 3; }
  // Rounded up: never shorter than asked for.
  uint32_t election_timeout_ticks() const {
    return static_cast<uint32_t>((election_timeout + tick() - std::chrono::milliseconds(1)) /
                                 tick());
  }
};

}  // namespace basalt::server
