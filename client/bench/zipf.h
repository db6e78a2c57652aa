// Zipf: ranks drawn by Zipf's law, as YCSB draws them: rank r with probability proportional to
// 1 / (r + 1)^constant. The method is that of Gray et al., "Quickly generating billion-record
// synthetic databases" (SIGMOD 1994), section 3.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace basalt::bench {

inline constexpr double kYcsbZipfConstant = 0.99;

// The sum of 1 / i^constant for i from 1 to `count`. Exact up to 10,000 terms; beyond, by the
// Euler-Maclaurin formula, with a relative error below 1e-12.
double Zeta(uint64_t count, double constant);

class Zipf {
 public:
  // `count` is at least 1, `constant` between 0 and 1.
  explicit Zipf(uint64_t count, double constant = kYcsbZipfConstant);

  uint64_t count() const { return count_; }
  // One rank more.
  void Grow();
  // A rank below count(); 0 is the most popular.
  uint64_t Next(base::Random& random) const;

 private:
  void Derive();

  uint64_t count_;
  double constant_;
  double zeta_;
  double eta_ = 0;
};

// Ranks scattered over keys, so that popular keys are not neighbours: YCSB's 64-bit FNV-1a of the
// rank's eight bytes, the lowest first.
uint64_t Scatter(uint64_t rank);

}  // namespace basalt::bench
