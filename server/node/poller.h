// Poller: what a loop's thread waits on besides its mailbox, such as sockets.
#pragma once

#include <chrono>

namespace basalt::server {

class Poller {
 public:
  virtual ~Poller() = default;
  // On the loop's thread: carries out what is ready, and waits up to `timeout` for the first of it
  // or for Wake.
  virtual void Poll(std::chrono::nanoseconds timeout) = 0;
  // From any thread: the Poll under way returns soon; without one, the next.
  virtual void Wake() = 0;
};

}  // namespace basalt::server
