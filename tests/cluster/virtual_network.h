// VirtualNetwork: carries events from one place to another, late, lost, doubled or out of order, as
// the seed has it. Clients live at place 0; a node's place is its id.
#pragma once

#include <cstdint>
#include <set>
#include <utility>

#include "base/random.h"
#include "tests/cluster/virtual_time.h"

namespace basalt::testing {

inline constexpr uint64_t kClients = 0;

class VirtualNetwork {
 public:
  // 0: never.
  struct Faults {
    uint64_t lose_one_in = 0;
    uint64_t double_one_in = 0;
    uint64_t hold_one_in = 0;  // long enough that what is sent later arrives earlier
  };

  VirtualNetwork(VirtualTime& time, base::Random random) : time_(time), random_(random) {}

  Faults faults;

  void CutOneWay(uint64_t from, uint64_t to) { cut_.insert({from, to}); }
  void Cut(uint64_t a, uint64_t b) {
    CutOneWay(a, b);
    CutOneWay(b, a);
  }
  void Heal() { cut_.clear(); }

  // Between peers: arrives any number of times.
  void Send(uint64_t from, uint64_t to, const VirtualTime::Event& arrival) {
    if (Loses(from, to)) return;
    if (Happens(faults.double_one_in)) time_.After(Delay(), arrival);
    time_.After(Delay(), arrival);
  }
  // Over a connection, which may break but doubles nothing: once or never.
  void SendOnce(uint64_t from, uint64_t to, VirtualTime::Event arrival) {
    if (!Loses(from, to)) time_.After(Delay(), std::move(arrival));
  }

  uint64_t lost() const { return lost_; }

 private:
  bool Happens(uint64_t one_in) { return one_in > 0 && random_.OneIn(one_in); }
  // A cut holds when a message is sent: what is under way arrives.
  bool Loses(uint64_t from, uint64_t to) {
    const bool loses = cut_.contains({from, to}) || Happens(faults.lose_one_in);
    if (loses) ++lost_;
    return loses;
  }
  server::MonotonicTime Delay() {
    const uint64_t delay_max_us = Happens(faults.hold_one_in) ? 150'000 : 400;
    return microseconds(random_.Between(40, delay_max_us));
  }

  VirtualTime& time_;
  base::Random random_;
  std::set<std::pair<uint64_t, uint64_t>> cut_;
  uint64_t lost_ = 0;
};

}  // namespace basalt::testing
