// VirtualTime: the clock and the only queue of events of a cluster that runs in one thread.
//
// Nothing happens but events, one at a time, in the order of their time and then of their
// planning. The same events planned from the same seed give the same run, always.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "server/clock/clock.h"

namespace basalt::testing {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class VirtualTime final : public server::Clock {
 public:
  using Event = std::function<void()>;

  server::MonotonicTime Now() const override { return now_; }
  uint64_t WallMilliseconds() const override {
    constexpr uint64_t kStart = 1'700'000'000'000;
    return kStart + static_cast<uint64_t>(now_.count()) / 1'000'000;
  }

  void After(server::MonotonicTime delay, Event event) {
    events_.emplace(std::pair(now_ + delay, next_number_++), std::move(event));
  }

  // False: there is none.
  bool RunNext() {
    if (events_.empty()) return false;
    auto next = events_.extract(events_.begin());
    now_ = next.key().first;
    ++events_run_;
    next.mapped()();
    return true;
  }

  uint64_t events_run() const { return events_run_; }

 private:
  server::MonotonicTime now_{std::chrono::hours(1)};
  uint64_t next_number_ = 0;
  uint64_t events_run_ = 0;
  std::map<std::pair<server::MonotonicTime, uint64_t>, Event> events_;
};

// The clocks of one process: its wall clock was wrong when it was read.
class ProcessClock final : public server::Clock {
 public:
  ProcessClock(const VirtualTime& time, milliseconds wall_error)
      : time_(time), wall_error_(wall_error) {}

  server::MonotonicTime Now() const override { return time_.Now(); }
  uint64_t WallMilliseconds() const override {
    return time_.WallMilliseconds() + static_cast<uint64_t>(wall_error_.count());
  }

 private:
  const VirtualTime& time_;
  const milliseconds wall_error_;
};

}  // namespace basalt::testing
