// Clock: the port to time. Production reads CLOCK_BOOTTIME and the wall clock; tests and the
// simulator hand in their own.
#pragma once

#include <chrono>
#include <cstdint>

namespace basalt::server {

// Nanoseconds of a clock that only goes forward and has no meaning outside this process's machine.
using MonotonicTime = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  // Thread-safe.
  virtual MonotonicTime Now() const = 0;
  // Milliseconds since 1970. May jump (KnownTime). Thread-safe.
  virtual uint64_t WallMilliseconds() const = 0;
};

// CLOCK_BOOTTIME, which goes on while the machine is suspended, and CLOCK_REALTIME.
class SystemClock final : public Clock {
 public:
  MonotonicTime Now() const override;
  uint64_t WallMilliseconds() const override;
};

}  // namespace basalt::server
