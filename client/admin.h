// What operators ask of single nodes: status, the map, forming a cluster, one replica's contents.
// For kvctl and tests; not part of the public library. Every call blocks and belongs to the
// calling thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "basalt/result.h"
#include "client/router.h"

namespace basalt::client {

struct ReplicaReport {
  uint64_t shard_id = 0;
  uint64_t replica_id = 0;
  std::string role;
  uint64_t term = 0;
  uint64_t leader_node = 0;  // 0: unknown
  uint64_t first_index = 0;
  uint64_t last_index = 0;
  uint64_t commit_index = 0;
  uint64_t applied_index = 0;
  uint64_t flushed_index = 0;
  uint64_t size_bytes = 0;
  uint64_t max_stamp = 0;
  uint64_t applied_hash = 0;
  uint64_t epoch = 0;
  uint64_t version_retention_ms = 0;  // as it has applied it; 0: the node's
};

struct PeerReport {
  NodeView node;
  bool connected = false;
};

struct NodeReport {
  std::string release;  // of the software
  uint64_t node_id = 0;
  std::string cluster_id;  // 16 bytes; empty: not formed
  std::string data_dir;
  uint64_t uptime_ms = 0;
  uint64_t disk_free_bytes = 0;
  uint64_t version_retention_ms = 0;  // that it was started with; 0: it does not say
  bool ready = false;
  NodeView node;
  std::vector<std::string> problems;
  std::vector<ReplicaReport> replicas;
  std::vector<PeerReport> peers;
};

struct StoredRow {
  std::string key;
  uint64_t stamp = 0;
  bool tombstone = false;
  std::string value;
};

// First the head, then the rows in the replica's order.
struct ReplicaContents {
  std::function<void(uint64_t applied_index, uint64_t applied_hash)> on_head;
  std::function<void(const StoredRow& row)> on_row;
};

Result<NodeReport> FetchStatus(const std::string& address, std::chrono::milliseconds timeout);
// The map in the node's cache; of no cluster when its cluster_id is empty.
Result<ClusterView> FetchMap(const std::string& address, std::chrono::milliseconds timeout);
// Zero: the server's defaults. Unavailable with kNotApplied: the node could not be reached.
Result<ClusterView> InitCluster(const std::string& address, uint32_t shards, uint32_t replicas,
                                std::chrono::milliseconds timeout);
Status ScanReplica(const std::string& address, uint64_t shard_id, std::chrono::milliseconds timeout,
                   const ReplicaContents& contents);

}  // namespace basalt::client
