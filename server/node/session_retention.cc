#include "server/node/session_retention.h"

#include <algorithm>

namespace basalt::server {
namespace {

constexpr MonotonicTime kProposeAgain = std::chrono::seconds(1);

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

// Well below the bound, so that it is not passed again at once.
void SessionRetention::KeepTheBound(Proposal& proposal) const {
  if (limits_.bytes_max == 0 || bytes() <= limits_.bytes_max) return;
  const uint64_t least = limits_.bytes_max / 4;
  const auto left_by = [&](uint64_t other) {
    const uint64_t both = limits_.bytes_max - least;
    return std::max(both - std::min(both, other), least);
  };
  if (totals_.bytes >= OutcomeBytes()) {
    proposal.bytes_max = left_by(OutcomeBytes());
  } else {
    proposal.outcomes_kept_max = std::max<uint64_t>(1, left_by(totals_.bytes) / kBytesPerOutcome);
  }
}

std::optional<SessionRetention::Proposal> SessionRetention::Due(MonotonicTime now) {
  Proposal proposal;
  if (!samples_.empty() && now - samples_.front().at >= limits_.retention && totals_.oldest != 0 &&
      totals_.oldest <= samples_.front().stamp) {
    proposal.through = samples_.front().stamp;
  }
  if (!samples_.empty() && now - samples_.front().at >= limits_.retention &&
      outcomes_.oldest != 0 && outcomes_.oldest <= samples_.front().stamp) {
    proposal.outcomes_through = samples_.front().stamp;
  }
  KeepTheBound(proposal);
  if (proposal == Proposal()) return std::nullopt;
  if (proposed_at_ && now - *proposed_at_ < kProposeAgain) return std::nullopt;
  proposed_at_ = now;
  return proposal;
}

}  // namespace basalt::server
