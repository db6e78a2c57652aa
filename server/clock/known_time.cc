#include "server/clock/known_time.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace basalt::server {
namespace {

constexpr uint64_t kMost = uint64_t{1} << 46;
constexpr int64_t kSlewFromMs = 1000;
constexpr int64_t kSlewMsPerSecond = 5;
// Peers tell their clocks once a second.
constexpr MonotonicTime kLive = std::chrono::seconds(5);

}  // namespace

KnownTime::KnownTime(const Clock& clock)
    : clock_(clock),
      own_ahead_(static_cast<int64_t>(clock.WallMilliseconds()) - Elapsed(clock.Now())),
      ahead_(own_ahead_.load()),
      slewed_(clock.Now()) {}

void KnownTime::Hear(uint64_t milliseconds) {
  if (milliseconds > kMost) return;
  const int64_t ahead = static_cast<int64_t>(milliseconds) - Elapsed(clock_.Now());
  int64_t known = ahead_.load(std::memory_order_relaxed);
  while (ahead > known && !ahead_.compare_exchange_weak(known, ahead, std::memory_order_relaxed)) {
  }
}

void KnownTime::HearClock(uint64_t node, uint64_t milliseconds) {
  if (milliseconds > kMost) return;
  const MonotonicTime now = clock_.Now();
  const base::MutexLock lock(mutex_);
  peers_[node] = {static_cast<int64_t>(milliseconds) - Elapsed(now), now};
}

int64_t KnownTime::Slew() {
  const base::MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  const int64_t passed = Elapsed(now - slewed_);
  if (passed < 1000) return 0;
  slewed_ = now;
  const auto wall = static_cast<int64_t>(std::min(clock_.WallMilliseconds(), kMost));
  const int64_t own = own_ahead_.load(std::memory_order_relaxed);
  const int64_t off = wall - Elapsed(now) - own;
  if (std::abs(off) <= kSlewFromMs) return 0;
  const int64_t most = passed * kSlewMsPerSecond / 1000;
  const int64_t by = std::clamp(off, -most, most);
  own_ahead_.store(own + by, std::memory_order_relaxed);
  Hear(OwnMilliseconds());
  return by;
}

int64_t KnownTime::AheadOfMedian() const {
  const int64_t own = own_ahead_.load(std::memory_order_relaxed);
  std::vector<int64_t> all{own};
  const MonotonicTime now = clock_.Now();
  {
    const base::MutexLock lock(mutex_);
    for (const auto& [node, peer] : peers_) {
      if (now - peer.heard <= kLive) all.push_back(peer.ahead);
    }
  }
  std::sort(all.begin(), all.end());
  const int64_t lower = own - all[(all.size() - 1) / 2];
  const int64_t upper = own - all[all.size() / 2];
  return std::abs(lower) < std::abs(upper) ? lower : upper;
}

}  // namespace basalt::server
