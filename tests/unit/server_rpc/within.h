// Within: waits for what other threads bring about.
#pragma once

#include <chrono>
#include <thread>

namespace basalt::testing {

// False: `condition` did not hold in that time.
template <typename Condition>
bool Within(std::chrono::seconds time, Condition condition) {
  const auto until = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

}  // namespace basalt::testing
