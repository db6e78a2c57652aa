#include "client/hedge.h"

#include <algorithm>

namespace basalt::client {
namespace {

constexpr uint32_t kCost = 100;          // of one hedge
constexpr uint32_t kBudgetMost = 1'000;  // what idle times may save up
constexpr size_t kRecent = 256;
constexpr size_t kMeasureEvery = 32;
constexpr size_t kPercentile = 95;
constexpr Span kWaitLeast = std::chrono::milliseconds(1);

}  // namespace

void Hedging::OnRead() { budget_ = std::min(kBudgetMost, budget_ + percent_); }

void Hedging::OnAnswered(Span latency) {
  if (recent_.size() < kRecent) {
    recent_.push_back(latency);
  } else {
    recent_[next_] = latency;
  }
  next_ = (next_ + 1) % kRecent;
  if (next_ % kMeasureEvery != 0) return;
  std::vector<Span> sorted = recent_;
  const auto at = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() * kPercentile / 100);
  std::nth_element(sorted.begin(), at, sorted.end());
  wait_ = std::max(*at, kWaitLeast);
}

bool Hedging::Take() {
  if (budget_ < kCost) return false;
  budget_ -= kCost;
  return true;
}

}  // namespace basalt::client
