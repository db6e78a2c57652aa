// Random: a small seeded generator whose stream is the same on every platform and in every run.
//
// xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64. The standard library's
// distributions are not portable, so the few that are needed stand here. Not for secrets.
#pragma once

#include <cstdint>

namespace basalt::base {

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15ULL;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
      word = z ^ (z >> 31);
    }
  }

  uint64_t Next() {
    const uint64_t result = Rotate(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = Rotate(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound); bound must be above 0. The bias (below bound / 2^64) is accepted.
  uint64_t Below(uint64_t bound) {
    __extension__ using Wide = unsigned __int128;  // of g++ and clang, not of ISO C++
    return static_cast<uint64_t>((static_cast<Wide>(Next()) * bound) >> 64);
  }
  // Uniform in [low, high], both included.
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  // True with probability numerator / denominator.
  bool OneIn(uint64_t denominator) { return Below(denominator) == 0; }

 private:
  static uint64_t Rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

  uint64_t state_[4];
};

}  // namespace basalt::base
