// FakeClock: time stands still until the test moves it.
#pragma once

#include "server/clock/clock.h"

namespace basalt::testing {

class FakeClock final : public server::Clock {
 public:
  server::MonotonicTime Now() const override { return now; }
  uint64_t WallMilliseconds() const override { return 1'700'000'000'000; }

  server::MonotonicTime now = std::chrono::hours(1);
};

}  // namespace basalt::testing
