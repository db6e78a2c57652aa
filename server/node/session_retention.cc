#include "server/node/session_retention.h"

#include <algorithm>

namespace basalt::server {
namespace {

constexpr MonotonicTime kProposeAgain = std::chrono::seconds(1);
// Of one shard; each takes some 200 bytes in memory.
constexpr uint64_t kOutcomesMost = 100'000;

}  // namespace

void SessionRetention::Applied(MonotonicTime, Stamp highest_stamp, const SessionTotals& totals,
                               const OutcomeTotals& outcomes) {
  highest_stamp_ = std::max(highest_stamp_, highest_stamp);
  if (totals.forgotten > totals_.forgotten || outcomes.forgotten > outcomes_.forgotten) {
    proposed_at_.reset();
  }
  totals_ = totals;
  outcomes_ = outcomes;
}

void SessionRetention::Tick(MonotonicTime now) {
  if (samples_.empty() || now - samples_.back().at >= limits_.retention / kStepsPerRetention) {
    samples_.push_back({now, highest_stamp_});
  }
  while (samples_.size() > 1 && now - samples_[1].at >= limits_.retention) samples_.pop_front();
}

std::optional<SessionRetention::Proposal> SessionRetention::Due(MonotonicTime now) {
  Proposal proposal;
  if (!samples_.empty() && now - samples_.front().at >= limits_.retention && totals_.oldest != 0 &&
      totals_.oldest <= samples_.front().stamp) {
    proposal.through = samples_.front().stamp;
  }
  // Well below the bound, so that it is not passed again at once.
  if (limits_.bytes_max != 0 && totals_.bytes > limits_.bytes_max) {
    proposal.bytes_max = limits_.bytes_max - limits_.bytes_max / 4;
  }
  if (!samples_.empty() && now - samples_.front().at >= limits_.retention &&
      outcomes_.oldest != 0 && outcomes_.oldest <= samples_.front().stamp) {
    proposal.outcomes_through = samples_.front().stamp;
  }
  if (outcomes_.kept > kOutcomesMost) {
    proposal.outcomes_kept_max = kOutcomesMost - kOutcomesMost / 4;
  }
  if (proposal == Proposal()) return std::nullopt;
  if (proposed_at_ && now - *proposed_at_ < kProposeAgain) return std::nullopt;
  proposed_at_ = now;
  return proposal;
}

}  // namespace basalt::server
