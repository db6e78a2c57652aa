// CircuitBreaker: whether one node is worth a send. Pure: the time is an argument, jitter comes
// from a seeded generator.
//
//   closed     sends go there. A connection that fails opens it at once. So does a send that ran
//              out of time while the node said nothing for long, or several such in a row: that
//              may be the network's hiccup or the node's, so that the first trial is due at once.
//   open       no send goes there. When the wait is over, a trial is due: a question that no call
//              waits for.
//   half-open  the one trial is under way. Word from the node closes; no link, or no word in time,
//              opens again, for twice as long.
//
// Somebody else's word that the node lives does not close, but lets the next trial go without a
// wait.
//
// What a node answers plays no part: "overloaded" and "not leader" prove it alive.
//
// Invariants:
//  B1 only word from the node closes;
//  B2 at most one trial is under way;
//  B3 what fails while it is open changes nothing: many sends lost together count once.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "client/retry_policy.h"

namespace basalt::client {

struct BreakerOptions {
  // A send that timed out after so much silence opens; so do so many in a row, however short.
  Span silence_to_open = std::chrono::milliseconds(250);
  uint32_t timeouts_to_open = 3;
  // Waits before a trial: from the first to the most, doubling; the upper half of each at random.
  Span wait_first = std::chrono::milliseconds(20);
  Span wait_most = std::chrono::milliseconds(500);
  // A trial without any end for so long has failed. Above what asking takes at most.
  Span trial_most = std::chrono::seconds(2);
};

class CircuitBreaker {
 public:
  enum class State : uint8_t { kClosed, kOpen, kHalfOpen };

  explicit CircuitBreaker(uint64_t seed, const BreakerOptions& options = {})
      : options_(options), jitter_(seed) {}

  State state() const { return state_; }
  bool closed() const { return state_ == State::kClosed; }

  void OnWord();
  void OnConnectionFailed(Time now);
  // A send of `sent_at` was given up, and the node has said nothing since then. Of sends that ran
  // side by side one counts.
  void OnTimeout(Time sent_at, Time now);
  // Another node lets it be known that this one lives. Whether a trial is under way; if it fails,
  // the next follows at once.
  bool Hasten();
  // True: ask the node now; what becomes of that is told by the first three.
  bool TakeTrial(Time now);

 private:
  void Open(Span wait, Time now);
  Span NextWait();

  const BreakerOptions options_;
  base::Random jitter_;
  State state_ = State::kClosed;
  uint32_t timeouts_ = 0;  // in a row, while closed
  Time last_timeout_{0};
  uint32_t waits_ = 0;  // since it was closed
  Time due_{0};         // open: of the trial; half-open: when that has failed
  bool hastened_ = false;
};

}  // namespace basalt::client
