// Metrics: every series that /metrics shows, as handles that are resolved once.
//
// All names begin with basalt_ (or process_, the convention of all exporters), units last. No
// label has a key, a client or anything else without a bound in it: operations and codes are
// closed lists, shards are those this node has a replica of. Handles live as long as their
// Metrics; counting through them takes no lock and any thread may do it (a histogram takes a short
// lock of its own).
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/observe/node_status.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace basalt::server {

enum class Operation : uint8_t { kGet, kPut, kDelete, kScan, kGetMap, kStatus, kInit };
inline constexpr size_t kOperationCount = 7;
std::string_view Name(Operation operation);

// The codes of proto/client.proto, by their numbers.
inline constexpr size_t kCodeCount = 10;
std::string_view CodeName(size_t code);

class RequestMetrics {
 public:
  explicit RequestMetrics(prometheus::Registry& registry);
  // `code` is a number of proto basalt.v1.Code; one out of range counts as internal.
  void Record(Operation operation, int code, double seconds);
  // Many at once, of one operation and code: one call for a coalesced batch of replies.
  void Count(Operation operation, int code, uint64_t requests);

 private:
  std::array<std::array<prometheus::Counter*, kCodeCount>, kOperationCount> requests_;
  std::array<prometheus::Histogram*, kOperationCount> seconds_;
};

// The shared Raft log.
struct LogMetrics {
  prometheus::Counter* syncs;
  prometheus::Counter* bytes;
  prometheus::Counter* entries;
  prometheus::Histogram* sync_seconds;
  prometheus::Histogram* batch_entries;
  prometheus::Gauge* segments;
};

struct RaftMetrics {
  prometheus::Counter* campaigns;  // elections that a replica of this node began
  prometheus::Counter* leaderships_won;
  prometheus::Counter* leaderships_lost;
  prometheus::Counter* proposals;  // entries proposed
  prometheus::Counter* proposals_refused;
  prometheus::Counter* read_barriers;     // ReadIndex rounds asked for
  prometheus::Histogram* entry_commands;  // client commands in one proposed entry
};

struct PeerMetrics {
  prometheus::Counter* messages_sent;
  prometheus::Counter* messages_received;
  prometheus::Counter* bytes_sent;
  prometheus::Counter* bytes_received;
  prometheus::Counter* messages_dropped;
  prometheus::Counter* messages_malformed;
  prometheus::Counter* connects;
};

struct ApplyMetrics {
  prometheus::Counter* entries;
  prometheus::Counter* commands;
  prometheus::Histogram* seconds;  // of one run of entries
};

struct CheckpointMetrics {
  prometheus::Counter* created;
  prometheus::Counter* sent;
  prometheus::Counter* installed;
  prometheus::Counter* failed;
  prometheus::Counter* bytes_sent;
  prometheus::Counter* bytes_received;
};

// One bounded queue. `depth` in items, `bytes` of payload.
struct QueueMetrics {
  prometheus::Gauge* depth;
  prometheus::Gauge* bytes;
  prometheus::Counter* refused;
};
enum class Queue : uint8_t { kMailbox, kLog, kApply, kReads };
inline constexpr size_t kQueueCount = 4;
std::string_view Name(Queue queue);

// A value read from elsewhere at the moment of a scrape (RocksDB's counters, for one).
struct PulledSample {
  std::string name;  // basalt_..., with its unit
  std::string help;
  bool is_counter = false;  // then the name ends in _total
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
};

class Metrics {
 public:
  explicit Metrics(uint64_t node_id);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  RequestMetrics& requests() { return *requests_; }
  LogMetrics& log() { return log_; }
  RaftMetrics& raft() { return raft_; }
  PeerMetrics& peers() { return peers_; }
  ApplyMetrics& apply() { return apply_; }
  CheckpointMetrics& checkpoints() { return checkpoints_; }
  QueueMetrics& queue(Queue queue) { return queues_[static_cast<size_t>(queue)]; }

  // Sources of pulled series; set before the first Render, called by it on its thread.
  void SetStatusSource(std::function<NodeStatus()> source);
  void AddPulledSource(std::function<std::vector<PulledSample>()> source);

  // The Prometheus text format, families in order of their names. Any thread.
  std::string Render() const;

 private:
  const uint64_t node_id_;
  std::unique_ptr<prometheus::Registry> registry_;
  std::unique_ptr<RequestMetrics> requests_;
  LogMetrics log_;
  RaftMetrics raft_;
  PeerMetrics peers_;
  ApplyMetrics apply_;
  CheckpointMetrics checkpoints_;
  std::array<QueueMetrics, kQueueCount> queues_;
  std::function<NodeStatus()> status_source_;
  std::vector<std::function<std::vector<PulledSample>()>> pulled_sources_;
};

}  // namespace basalt::server
