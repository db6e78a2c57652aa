// RoundTimes: when a leader sent its rounds, as far as anybody still needs to know.
//
// A lease runs from the sending of a round, so what is forgotten may only make it shorter. When
// more rounds are unanswered than are remembered, the newest are left out: an answer to one of them
// then counts as an answer to the last one that is remembered.
//
// Invariants (numbers of invariants.h): (31) rounds and times both rise.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>

#include "raft/core/types.h"

namespace basalt::raft {

class RoundTimes {
 public:
  static constexpr size_t kRememberedMax = 64;

  // Rounds come in rising order, times do not fall.
  void Sent(Round round, Time at) {
    // An equal time is remembered by the earlier round already.
    if (!sent_.empty() && sent_.back().at == at) return;
    if (sent_.size() < kRememberedMax) sent_.push_back({round, at});
  }
  // A time at which `round`, or one before it, was sent: the latest that is remembered.
  std::optional<Time> SentAt(Round round) const {
    std::optional<Time> at;
    for (const RoundAt& sent : sent_) {
      if (sent.round > round) break;
      at = sent.at;
    }
    return at;
  }
  // Nobody will ask for a round below `round`.
  void ForgetBelow(Round round) {
    while (sent_.size() > 1 && sent_[1].round <= round) sent_.pop_front();
  }

  size_t size() const { return sent_.size(); }
  Round newest() const { return sent_.empty() ? Round(0) : sent_.back().round; }
  Time newest_at() const { return sent_.empty() ? Time(0) : sent_.back().at; }

 private:
  struct RoundAt {
    Round round;
    Time at;
  };
  std::deque<RoundAt> sent_;
};

}  // namespace basalt::raft
