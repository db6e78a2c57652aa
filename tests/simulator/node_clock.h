// NodeClock: the clocks of one machine: a monotonic one whose rate is not quite right, and a wall
// clock that is wrong and jumps. They outlive the processes of the machine; a power cut begins the
// monotonic one anew.
#pragma once

#include <cstdint>

#include "server/clock/clock.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

class NodeClock final : public server::Clock {
 public:
  // `rate_ppm`: nanoseconds of this clock in a millisecond of true time.
  NodeClock(const VirtualTime& time, uint64_t rate_ppm, milliseconds wall_error)
      : time_(time), rate_ppm_(rate_ppm), wall_error_(wall_error), since_(time.Now()) {}

  server::MonotonicTime Now() const override {
    return read_ + server::MonotonicTime((time_.Now() - since_).count() *
                                         static_cast<int64_t>(rate_ppm_) / kExact);
  }
  uint64_t WallMilliseconds() const override {
    return time_.WallMilliseconds() + static_cast<uint64_t>(wall_error_.count());
  }

  // How long in true time until this clock has gone on by `span`.
  server::MonotonicTime TrueSpan(server::MonotonicTime span) const {
    return server::MonotonicTime(span.count() * kExact / static_cast<int64_t>(rate_ppm_));
  }

  void SetRate(uint64_t rate_ppm) {
    read_ = Now();
    since_ = time_.Now();
    rate_ppm_ = rate_ppm;
  }
  void JumpWall(milliseconds by) { wall_error_ += by; }
  // The machine starts: its monotonic clock has run for `up` already.
  void Boot(server::MonotonicTime up) {
    read_ = up;
    since_ = time_.Now();
  }

  static constexpr int64_t kExact = 1'000'000;

 private:
  const VirtualTime& time_;
  uint64_t rate_ppm_;
  milliseconds wall_error_;
  server::MonotonicTime read_{std::chrono::hours(1)};
  server::MonotonicTime since_;
};

}  // namespace basalt::testing
