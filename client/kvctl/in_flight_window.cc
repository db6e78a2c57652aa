#include "client/kvctl/in_flight_window.h"

#include <algorithm>

namespace basalt::kvctl {

InFlightWindow::InFlightWindow(uint32_t most, std::chrono::milliseconds timeout)
    : most_(most), timeout_(timeout), size_(std::min(most, kAtFirst)) {}

void InFlightWindow::OnEnded(std::chrono::nanoseconds took) {
  slowest_ = std::max(slowest_, took);
  if (++ended_ < size_) return;
  if (slowest_ < timeout_ / 10) {
    size_ = size_ > most_ / 2 ? most_ : size_ * 2;
  } else if (slowest_ > timeout_ / 4) {
    size_ = std::max(size_ / 2, std::min(most_, kLeast));
  }
  ended_ = 0;
  slowest_ = {};
}

}  // namespace basalt::kvctl
