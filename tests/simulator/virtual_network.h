// VirtualNetwork: carries events from one place to another, late, lost, doubled or out of order, as
// the seed has it. A node's place is its id; clients live at kFirstClient and above.
//
// Each direction of each link can be cut for itself. Cuts count: one that two faults have made is
// whole when both have ended.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "base/random.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

inline constexpr uint64_t kFirstClient = 100;

class VirtualNetwork {
 public:
  // 0: never.
  struct Faults {
    uint64_t lose_one_in = 0;
    uint64_t double_one_in = 0;
    uint64_t hold_one_in = 0;  // long enough that what is sent later arrives earlier
    microseconds hold_max{150'000};
    microseconds slower_by{0};  // everything
  };
  struct Counts {
    uint64_t sent = 0;
    uint64_t cut_off = 0;
    uint64_t lost = 0;
    uint64_t doubled = 0;
    uint64_t held = 0;
  };

  VirtualNetwork(VirtualTime& time, base::Random random) : time_(time), random_(random) {}

  Faults faults;

  void CutOneWay(uint64_t from, uint64_t to) { ++cuts_[{from, to}]; }
  void MendOneWay(uint64_t from, uint64_t to) {
    const auto cut = cuts_.find({from, to});
    if (cut != cuts_.end() && --cut->second == 0) cuts_.erase(cut);
  }
  void Cut(uint64_t a, uint64_t b) {
    CutOneWay(a, b);
    CutOneWay(b, a);
  }
  void Mend(uint64_t a, uint64_t b) {
    MendOneWay(a, b);
    MendOneWay(b, a);
  }
  void Heal() { cuts_.clear(); }
  bool IsCut(uint64_t from, uint64_t to) const {
    return !cuts_.empty() && cuts_.contains({from, to});
  }

  // A datagram, as it were: arrives any number of times. `make_arrival()` gives the event.
  template <typename MakeArrival>
  void Send(uint64_t from, uint64_t to, uint64_t digest, MakeArrival make_arrival) {
    if (Drops(from, to, digest)) return;
    if (Happens(faults.double_one_in)) {
      ++counts_.doubled;
      Deliver(from, to, digest, make_arrival());
    }
    Deliver(from, to, digest, make_arrival());
  }

  // Over a connection, which resends what gets lost and doubles nothing. False: the link is cut,
  // and nothing arrives until somebody makes a new connection.
  bool SendOnce(uint64_t from, uint64_t to, uint64_t digest, VirtualTime::Event arrival) {
    if (IsCut(from, to)) {
      ++counts_.cut_off;
      Note(from, to, digest, 0);
      return false;
    }
    server::MonotonicTime resent{0};
    if (Happens(faults.lose_one_in)) {
      ++counts_.lost;
      resent = milliseconds(random_.Between(20, 400));
    }
    Deliver(from, to, digest, std::move(arrival), resent);
    return true;
  }

  // Without chance: what goes on beside, however often, leaves the rest of a run as it was.
  void SendSteadily(uint64_t from, uint64_t to, VirtualTime::Event arrival) {
    if (IsCut(from, to)) return;
    time_.After(microseconds(200) + faults.slower_by, std::move(arrival));
  }

  const Counts& counts() const { return counts_; }

 private:
  bool Happens(uint64_t one_in) { return one_in > 0 && random_.OneIn(one_in); }
  // A cut holds when a message is sent: what is under way arrives.
  bool Drops(uint64_t from, uint64_t to, uint64_t digest) {
    const bool cut = IsCut(from, to);
    if (!cut && !Happens(faults.lose_one_in)) return false;
    ++(cut ? counts_.cut_off : counts_.lost);
    Note(from, to, digest, 0);
    return true;
  }
  void Deliver(uint64_t from, uint64_t to, uint64_t digest, VirtualTime::Event arrival,
               server::MonotonicTime later = {}) {
    ++counts_.sent;
    uint64_t delay_max_us = 400;
    if (Happens(faults.hold_one_in)) {
      ++counts_.held;
      delay_max_us = static_cast<uint64_t>(faults.hold_max.count());
    }
    const server::MonotonicTime delay =
        microseconds(random_.Between(40, delay_max_us)) + faults.slower_by + later;
    Note(from, to, digest, static_cast<uint64_t>(delay.count()));
    time_.After(delay, std::move(arrival));
  }
  void Note(uint64_t from, uint64_t to, uint64_t digest, uint64_t fate) {
    time_.trace().Add(time_.Now(), TraceKind::kMessage, (from << 16) | to, Mix(digest, fate));
  }

  VirtualTime& time_;
  base::Random random_;
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> cuts_;  // (from, to) -> how many hold
  Counts counts_;
};

}  // namespace basalt::testing
