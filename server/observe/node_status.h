// NodeStatus: what a node says of itself, as one plain value taken at one moment.
//
// The status page, the probes and the per-shard metrics all read it, so they never disagree. The
// node makes one whenever it is asked; making it must not wait for a disk or for a peer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace basalt::server {

struct ShardStatus {
  uint64_t shard_id = 0;
  uint64_t replica_id = 0;
  std::string role;          // leader, follower, candidate
  uint64_t leader_node = 0;  // 0: unknown
  uint64_t term = 0;
  uint64_t first_index = 0;  // of the log
  uint64_t last_index = 0;
  uint64_t commit_index = 0;
  uint64_t applied_index = 0;
  uint64_t size_bytes = 0;  // approximate, on disk
};

struct PeerStatus {
  uint64_t node_id = 0;
  std::string peer_address;
  std::string http_address;
  bool connected = false;
};

struct NodeStatus {
  uint64_t node_id = 0;
  std::string cluster_id;  // hexadecimal; empty: not formed
  std::string client_address;
  std::string peer_address;
  uint64_t uptime_ms = 0;
  // Event loops that have not answered in time, by name. Empty: alive.
  std::vector<std::string> stalled;
  // Why the node should get no requests: not formed, a shard without a leader, behind, stopping.
  // Empty: ready. Each is one short sentence.
  std::vector<std::string> not_ready;
  // Worth an operator's look, whether ready or not.
  std::vector<std::string> problems;
  std::vector<ShardStatus> shards;          // by shard id
  std::vector<PeerStatus> peers;            // by node id
  std::optional<uint64_t> disk_free_bytes;  // of the file system that the data directory is on
};

}  // namespace basalt::server
