// TimeSplit: where the time of one call went, from what its client and the node that served it
// noted. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/call.h"

namespace basalt::client {

// Whole microseconds, none below zero; `total` is the sum of all but `stages`, and `server` that of
// `stages`.
struct TimeSplit {
  Span total{0};
  // Until the last attempt began: attempts before it, and waits between them.
  Span earlier_attempts{0};
  // Until its message began to be written: other messages, the opening of the link.
  Span client_queue{0};
  // There and back. With the server's time, when that is not known.
  Span network{0};
  Span server{0};
  bool server_known = false;
  // After the last attempt had ended in vain: until the call was given up.
  Span waited{0};
  std::vector<ServerStory::Stage> stages;
};

// What the server claims beyond what its client saw is taken off its last stages: a clock of its
// own may round otherwise.
TimeSplit SplitTime(const CallStory& story);

}  // namespace basalt::client
