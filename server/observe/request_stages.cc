#include "server/observe/request_stages.h"

#include <iterator>
#include <limits>
#include <span>
#include <string>

namespace basalt::server {
namespace {

constexpr std::array<std::string_view, kStageCount> kStageNames = {
    "take_up", "gather", "log", "quorum", "confirm", "hand_over", "apply", "read", "reply"};
constexpr std::array<std::string_view, kStagedOperationCount> kOperationNames = {
    "get",       "put",       "delete",   "scan",    "compare_and_set",
    "increment", "one_shard", "validate", "outcome", "set_retention"};

constexpr Stage kOfWrites[] = {Stage::kTakeUp,   Stage::kGather, Stage::kLog,  Stage::kQuorum,
                               Stage::kHandOver, Stage::kApply,  Stage::kReply};
constexpr Stage kOfReads[] = {Stage::kTakeUp, Stage::kConfirm, Stage::kHandOver, Stage::kRead,
                              Stage::kReply};

std::span<const Stage> StagesOf(size_t operation) {
  const auto kind = static_cast<StagedOperation>(operation);
  const bool writes = kind != StagedOperation::kGet && kind != StagedOperation::kScan &&
                      kind != StagedOperation::kValidate;
  return writes ? std::span<const Stage>(kOfWrites) : std::span<const Stage>(kOfReads);
}

}  // namespace

std::string_view Name(Stage stage) { return kStageNames[static_cast<size_t>(stage)]; }

const std::array<int64_t, StageHistograms::kBoundCount> StageHistograms::kBoundsNs = {
    5'000,     10'000,    25'000,    50'000,     100'000,    250'000,     500'000,
    1'000'000, 2'500'000, 5'000'000, 10'000'000, 50'000'000, 250'000'000, 1'000'000'000};

void StageHistograms::Record(StagedOperation operation, Stage stage, std::chrono::nanoseconds took,
                             uint64_t requests) {
  Series& series = series_[static_cast<size_t>(operation)][static_cast<size_t>(stage)];
  const auto bound = std::lower_bound(kBoundsNs.begin(), kBoundsNs.end(), took.count());
  series.requests[static_cast<size_t>(bound - kBoundsNs.begin())].fetch_add(
      requests, std::memory_order_relaxed);
  series.total_ns.fetch_add(took.count() * static_cast<int64_t>(requests),
                            std::memory_order_relaxed);
}

prometheus::MetricFamily StageHistograms::Collect() const {
  prometheus::MetricFamily family{
      .name = "basalt_request_stage_seconds",
      .help = "Time that served requests spent in each stage of their way through this node.",
      .type = prometheus::MetricType::Histogram,
      .metric = {}};
  for (size_t operation = 0; operation < kStagedOperationCount; ++operation) {
    for (const Stage stage : StagesOf(operation)) {
      const Series& series = series_[operation][static_cast<size_t>(stage)];
      prometheus::ClientMetric metric;
      metric.label.push_back({"operation", std::string(kOperationNames[operation])});
      metric.label.push_back({"stage", std::string(Name(stage))});
      uint64_t below = 0;
      for (size_t i = 0; i <= kBoundCount; ++i) {
        below += series.requests[i].load(std::memory_order_relaxed);
        const double bound = i < kBoundCount ? static_cast<double>(kBoundsNs[i]) / 1e9
                                             : std::numeric_limits<double>::infinity();
        metric.histogram.bucket.push_back({.cumulative_count = below, .upper_bound = bound});
      }
      metric.histogram.sample_count = below;
      metric.histogram.sample_sum =
          static_cast<double>(series.total_ns.load(std::memory_order_relaxed)) / 1e9;
      family.metric.push_back(std::move(metric));
    }
  }
  return family;
}

}  // namespace basalt::server
