#include "server/observe/metrics.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>

#include "base/check.h"
#include "server/observe/process_stats.h"
#include "server/observe/pulled_metrics.h"

namespace basalt::server {
namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::MetricFamily;
using prometheus::Registry;

constexpr std::array<std::string_view, kOperationCount> kOperationNames = {
    "get",       "put",       "delete",   "scan",    "compare_and_set",
    "increment", "one_shard", "validate", "outcome", "set_retention",
    "clock",     "commit",    "get_map",  "status",  "init"};
constexpr std::array<std::string_view, kCodeCount> kCodeNames = {
    "ok",           "invalid",   "wrong_shard", "not_leader", "unavailable", "overloaded",
    "deadline",     "read_only", "internal",    "not_formed", "forgotten",   "condition_failed",
    "not_a_number", "too_old",   "aborted",     "locked",     "fenced",      "another_ran"};
constexpr size_t kInternalCode = 8;

// From 50 microseconds to 10 seconds.
Histogram::BucketBoundaries TimeBuckets() {
  return {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
          0.05,    0.1,    0.25,    0.5,    1,     2.5,    5,     10};
}

Histogram::BucketBoundaries SizeBuckets() {
  return {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384};
}

Counter* MakeCounter(Registry& registry, const char* name, const char* help) {
  return &prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

Gauge* MakeGauge(Registry& registry, const char* name, const char* help,
                 const Labels& labels = {}) {
  return &prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
}

Histogram* MakeHistogram(Registry& registry, const char* name, const char* help,
                         const Histogram::BucketBoundaries& buckets) {
  return &prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, buckets);
}

LogMetrics MakeLogMetrics(Registry& r) {
  return {
      .syncs = MakeCounter(r, "basalt_log_syncs_total", "Syncs of the shared Raft log."),
      .bytes = MakeCounter(r, "basalt_log_written_bytes_total", "Bytes written to the Raft log."),
      .entries = MakeCounter(r, "basalt_log_entries_total", "Entries written to the Raft log."),
      .sync_seconds = MakeHistogram(r, "basalt_log_sync_seconds",
                                    "Time of one write and sync of the Raft log.", TimeBuckets()),
      .batch_entries = MakeHistogram(r, "basalt_log_batch_entries", "Entries that shared one sync.",
                                     SizeBuckets()),
      .segments = MakeGauge(r, "basalt_log_segments", "Segment files of the Raft log."),
  };
}

CheckpointMetrics MakeCheckpointMetrics(Registry& r) {
  return {
      .created = MakeCounter(r, "basalt_checkpoints_created_total", "Checkpoints made."),
      .sent = MakeCounter(r, "basalt_checkpoints_sent_total", "Checkpoints sent whole."),
      .failed = MakeCounter(r, "basalt_checkpoints_failed_total",
                            "Checkpoints whose making or sending failed."),
      .damaged = MakeCounter(r, "basalt_checkpoints_damaged_total",
                             "Checkpoints that were not sent: rows on this disk are damaged."),
  };
}

void Append(std::vector<MetricFamily> more, std::vector<MetricFamily>& families) {
  families.insert(families.end(), std::make_move_iterator(more.begin()),
                  std::make_move_iterator(more.end()));
}

}  // namespace

std::string_view Name(Operation operation) {
  return kOperationNames[static_cast<size_t>(operation)];
}

std::string_view CodeName(size_t code) {
  return kCodeNames[code < kCodeCount ? code : kInternalCode];
}

RequestMetrics::RequestMetrics(Registry& registry) {
  auto& requests = prometheus::BuildCounter()
                       .Name("basalt_requests_total")
                       .Help("Requests answered, by operation and code.")
                       .Register(registry);
  auto& seconds = prometheus::BuildHistogram()
                      .Name("basalt_request_seconds")
                      .Help("Time from a request's arrival to its answer.")
                      .Register(registry);
  for (size_t operation = 0; operation < kOperationCount; ++operation) {
    const std::string name(kOperationNames[operation]);
    seconds_[operation] = &seconds.Add({{"operation", name}}, TimeBuckets());
    for (size_t code = 0; code < kCodeCount; ++code) {
      requests_[operation][code] =
          &requests.Add({{"operation", name}, {"code", std::string(kCodeNames[code])}});
    }
  }
}

void RequestMetrics::Record(Operation operation, int code, double seconds) {
  Count(operation, code, 1);
  seconds_[static_cast<size_t>(operation)]->Observe(seconds);
}

void RequestMetrics::Count(Operation operation, int code, uint64_t requests) {
  const bool known = code >= 0 && static_cast<size_t>(code) < kCodeCount;
  requests_[static_cast<size_t>(operation)][known ? static_cast<size_t>(code) : kInternalCode]
      ->Increment(static_cast<double>(requests));
}

Metrics::Metrics(uint64_t node_id)
    : node_id_(node_id),
      registry_(std::make_unique<Registry>()),
      requests_(std::make_unique<RequestMetrics>(*registry_)),
      stages_(std::make_unique<StageHistograms>()),
      log_(MakeLogMetrics(*registry_)),
      checkpoints_(MakeCheckpointMetrics(*registry_)) {}

Metrics::~Metrics() = default;

void Metrics::SetStatusSource(std::function<NodeStatus()> source) {
  status_source_ = std::move(source);
}

void Metrics::AddPulledSource(std::function<std::vector<PulledSample>()> source) {
  pulled_sources_.push_back(std::move(source));
}

std::string Metrics::Render() const {
  std::vector<MetricFamily> families = registry_->Collect();
  families.push_back(stages_->Collect());
  Append(BuildFamilies(node_id_), families);
  Append(ProcessFamilies(ReadProcessStats()), families);
  if (status_source_) Append(StatusFamilies(status_source_()), families);
  std::vector<PulledSample> samples;
  for (const auto& source : pulled_sources_) {
    std::vector<PulledSample> more = source();
    samples.insert(samples.end(), std::make_move_iterator(more.begin()),
                   std::make_move_iterator(more.end()));
  }
  Append(SampleFamilies(samples), families);
  std::sort(families.begin(), families.end(),
            [](const MetricFamily& a, const MetricFamily& b) { return a.name < b.name; });
  for (MetricFamily& family : families) {
    std::sort(family.metric.begin(), family.metric.end(),
              [](const auto& a, const auto& b) { return a.label < b.label; });
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace basalt::server
