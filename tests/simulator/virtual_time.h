// VirtualTime: the clock and the only queue of events of a cluster that runs in one thread.
//
// Nothing happens but events, one at a time, in the order of their time and then of their
// planning. The same events planned from the same seed give the same run, always.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"

#include "server/clock/clock.h"
#include "tests/simulator/trace.h"

namespace basalt::testing {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

class VirtualTime {
 public:
  using Event = absl::AnyInvocable<void()>;

  explicit VirtualTime(Trace& trace) : trace_(trace) {}

  static constexpr server::MonotonicTime Start() { return std::chrono::hours(1); }
  server::MonotonicTime Now() const { return now_; }
  // True time, from which wall clocks are off.
  uint64_t WallMilliseconds() const {
    constexpr uint64_t kStart = 1'700'000'000'000;
    return kStart + static_cast<uint64_t>(now_.count()) / 1'000'000;
  }

  void After(server::MonotonicTime delay, Event event) { At(now_ + delay, std::move(event)); }
  void At(server::MonotonicTime time, Event event) {
    size_t slot = events_.size();
    if (free_slots_.empty()) {
      events_.push_back(std::move(event));
    } else {
      slot = free_slots_.back();
      free_slots_.pop_back();
      events_[slot] = std::move(event);
    }
    heap_.push_back({std::max(time, now_), next_number_++, slot});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }

  // False: there is none.
  bool RunNext() {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    const Planned next = heap_.back();
    heap_.pop_back();
    now_ = next.time;
    ++events_run_;
    Event event = std::move(events_[next.slot]);
    free_slots_.push_back(next.slot);
    trace_.Add(now_, TraceKind::kEvent, 0, next.number);
    event();
    return true;
  }

  Trace& trace() { return trace_; }
  uint64_t events_run() const { return events_run_; }

 private:
  // Sorted without moving the events themselves.
  struct Planned {
    server::MonotonicTime time;
    uint64_t number;
    size_t slot;
  };
  static bool Later(const Planned& a, const Planned& b) {
    return a.time != b.time ? a.time > b.time : a.number > b.number;
  }

  Trace& trace_;
  server::MonotonicTime now_ = Start();
  uint64_t next_number_ = 0;
  uint64_t events_run_ = 0;
  std::vector<Planned> heap_;
  std::vector<Event> events_;
  std::vector<size_t> free_slots_;
};

}  // namespace basalt::testing
