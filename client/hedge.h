// Hedging: when a read that several replicas may answer is sent to a second one. Pure; one owner.
//
// A read is hedged once it has waited longer than most that were answered lately, and only while
// the budget lasts: over any n reads, at most percent * n / 100 + 10 are (Dean and Barroso, "The
// Tail at Scale", 2013). So a cluster that is slow as a whole does not get twice the load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/retry_policy.h"

namespace basalt::client {

class Hedging {
 public:
  // `percent` of reads at most are hedged; 0: none.
  explicit Hedging(uint32_t percent) : percent_(percent) {}

  // A read that may be hedged begins: the budget earns its share.
  void OnRead();
  // One was answered, by whomever, so long after it was first sent.
  void OnAnswered(Span latency);
  // How long a read waits before it is hedged: the 95th percentile of the last answers, at least
  // 1 ms; 50 ms while few have come.
  Span wait() const { return wait_; }
  // Whether a read that has waited may be hedged; takes from the budget.
  bool Take();

 private:
  const uint32_t percent_;
  uint32_t budget_ = 0;  // hundredths of a hedge
  Span wait_ = std::chrono::milliseconds(50);
  std::vector<Span> recent_;  // a ring
  size_t next_ = 0;
};

}  // namespace basalt::client
