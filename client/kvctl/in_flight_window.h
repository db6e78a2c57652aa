// InFlightWindow: how many puts an import keeps under way.
//
// Puts that are under way together share rounds of the log and messages, so more of them cost less
// each; but one that waits behind all others must still end in its time. The window doubles while
// the slowest put of a round takes less than a tenth of that time, and halves when it takes more
// than a quarter. A round is as many puts as the window holds.
#pragma once

#include <chrono>
#include <cstdint>

namespace basalt::kvctl {

class InFlightWindow {
 public:
  static constexpr uint32_t kAtFirst = 512;
  static constexpr uint32_t kLeast = 64;

  // Never above `most`, which is at least 1. `timeout`: of one put.
  InFlightWindow(uint32_t most, std::chrono::milliseconds timeout);

  uint32_t size() const { return size_; }
  // One put has ended, well or not.
  void OnEnded(std::chrono::nanoseconds took);

 private:
  const uint32_t most_;
  const std::chrono::nanoseconds timeout_;
  uint32_t size_;
  uint32_t ended_ = 0;  // in this round
  std::chrono::nanoseconds slowest_{0};
};

}  // namespace basalt::kvctl
