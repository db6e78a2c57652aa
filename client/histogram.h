// Histogram: counts of durations in log-linear buckets, for percentiles of latency.
//
// Up to 128 every value has a bucket; above, each power of two is cut into 64, so a percentile is
// at most 1/64 above the true value. 3,712 buckets of 8 bytes cover all of uint64_t. Not
// thread-safe; merge one a thread.
#pragma once

#include <cstdint>
#include <vector>

namespace basalt::client {

class Histogram {
 public:
  Histogram();

  void Add(uint64_t value);
  void Merge(const Histogram& other);

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  // The smallest recorded bound that at least `share` (0 to 1) of the values do not exceed; never
  // above max(). 0 when empty.
  uint64_t Percentile(double share) const;

 private:
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

}  // namespace basalt::client
