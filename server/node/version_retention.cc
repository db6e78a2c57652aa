#include "server/node/version_retention.h"

#include <algorithm>

namespace basalt::server {
namespace {

// Of the bound: when so much was written, a sample is taken.
constexpr uint64_t kPartsOfBound = 8;
constexpr size_t kSamplesMax = 64;
constexpr MonotonicTime kBoundPeriodMax = std::chrono::seconds(1);

}  // namespace

void VersionRetention::Applied(MonotonicTime now, Stamp highest_stamp,
                               const VersionTotals& totals) {
  const MonotonicTime retention =
      totals.retention_ms == 0 ? limits_.retention : std::chrono::milliseconds(totals.retention_ms);
  latest_ = {now, std::max(latest_.stamp, highest_stamp), totals.bytes, retention};
  if (totals.horizon > horizon_) PassHorizon(totals.horizon);
  const uint64_t sampled = samples_.empty() ? let_go_least_ : samples_.back().bytes;
  const bool much =
      limits_.bytes_max != 0 &&
      latest_.bytes - sampled >= std::max<uint64_t>(limits_.bytes_max / kPartsOfBound, 1);
  if (much) TakeSample(now);
}

// What was applied between two samples counts from the later one on.
void VersionRetention::TakeSample(MonotonicTime now) {
  if (latest_.stamp <= horizon_) return;
  if (!samples_.empty() && samples_.back().stamp == latest_.stamp) return;
  samples_.push_back({now, latest_.stamp, latest_.bytes, latest_.retention});
  if (samples_.size() <= kSamplesMax) return;
  // Every other one: fewer steps to choose from, and none that is taken too early.
  std::deque<Sample> thinned;
  for (size_t i = samples_.size() % 2; i < samples_.size(); i += 2) thinned.push_back(samples_[i]);
  if (thinned.back().stamp != samples_.back().stamp) thinned.push_back(samples_.back());
  samples_.swap(thinned);
}

void VersionRetention::PassHorizon(Stamp horizon) {
  horizon_ = horizon;
  proposed_at_.reset();
  let_go_most_ = latest_.bytes;
  while (!samples_.empty() && samples_.front().stamp < horizon) {
    let_go_least_ = samples_.front().bytes;
    samples_.pop_front();
  }
  if (samples_.empty()) return;
  let_go_most_ = samples_.front().bytes;
  if (samples_.front().stamp > horizon) return;
  let_go_least_ = let_go_most_;
  samples_.pop_front();
}

const VersionRetention::Sample* VersionRetention::OldEnough(MonotonicTime now) const {
  const Sample* found = nullptr;
  for (const Sample& sample : samples_) {
    if (now - sample.at >= std::max(sample.retention, latest_.retention)) found = &sample;
  }
  return found;
}

// The lowest that brings the rest under the bound.
const VersionRetention::Sample* VersionRetention::UnderTheBound() const {
  if (limits_.bytes_max == 0 || latest_.bytes - let_go_most_ <= limits_.bytes_max) return nullptr;
  for (const Sample& sample : samples_) {
    if (latest_.bytes - sample.bytes <= limits_.bytes_max) return &sample;
  }
  return nullptr;
}

void VersionRetention::Tick(MonotonicTime now) {
  if (samples_.empty() || now - samples_.back().at >= Step()) TakeSample(now);
}

std::optional<Stamp> VersionRetention::Due(MonotonicTime now) {
  const Sample* sample = OldEnough(now);
  MonotonicTime period = Step();
  if (const Sample* bound = UnderTheBound();
      bound != nullptr && (sample == nullptr || bound->stamp > sample->stamp)) {
    sample = bound;
    period = std::min(period, kBoundPeriodMax);
  }
  // No versions since: the horizon's own entries take stamps too.
  if (sample == nullptr || sample->bytes <= let_go_least_) return std::nullopt;
  if (proposed_at_ && now - *proposed_at_ < period) return std::nullopt;
  proposed_at_ = now;
  return sample->stamp;
}

}  // namespace basalt::server
