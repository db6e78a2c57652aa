// Metrics: every series that /metrics shows, as handles that are resolved once.
//
// All names begin with basalt_ (or process_, the convention of all exporters), units last. No
// label has a key, a client or anything else without a bound in it: operations and codes are
// closed lists, shards are those this node has a replica of. Handles live as long as their
// Metrics; counting through them takes no lock and any thread may do it (a histogram takes a short
// lock of its own, those of stages none).
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
#include "server/observe/request_stages.h"

namespace prometheus {
class Registry;
}  // namespace prometheus

namespace basalt::server {

enum class Operation : uint8_t {
  kGet,
  kPut,
  kDelete,
  kScan,
  kCompareAndSet,
  kIncrement,
  kOneShard,
  kValidate,
  kOutcome,
  kSetRetention,
  kClock,
  kCommit,
  kGetMap,
  kStatus,
  kInit
};
inline constexpr size_t kOperationCount = 15;
std::string_view Name(Operation operation);

// The codes of proto/client.proto, by their numbers.
inline constexpr size_t kCodeCount = 18;
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

struct CheckpointMetrics {
  prometheus::Counter* created;
  prometheus::Counter* sent;
  prometheus::Counter* failed;   // making, sending, or refused by the receiver
  prometheus::Counter* damaged;  // made of rows that had rotted on this node's disk, and not sent
};

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
  StageHistograms& stages() { return *stages_; }
  LogMetrics& log() { return log_; }
  CheckpointMetrics& checkpoints() { return checkpoints_; }

  // Sources of pulled series; set before the first Render, called by it on its thread.
  void SetStatusSource(std::function<NodeStatus()> source);
  void AddPulledSource(std::function<std::vector<PulledSample>()> source);

  // The Prometheus text format, families in order of their names. Any thread.
  std::string Render() const;

 private:
  const uint64_t node_id_;
  std::unique_ptr<prometheus::Registry> registry_;
  std::unique_ptr<RequestMetrics> requests_;
  std::unique_ptr<StageHistograms> stages_;
  LogMetrics log_;
  CheckpointMetrics checkpoints_;
  std::function<NodeStatus()> status_source_;
  std::vector<std::function<std::vector<PulledSample>()>> pulled_sources_;
};

}  // namespace basalt::server
