// What the kernel says of this process, read from /proc.
#pragma once

#include <cstdint>

namespace basalt::server {

// A value that could not be read is 0.
struct ProcessStats {
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since the epoch
  uint64_t resident_bytes = 0;
  uint64_t virtual_bytes = 0;
  uint64_t threads = 0;
  uint64_t open_descriptors = 0;
  uint64_t max_descriptors = 0;
};

ProcessStats ReadProcessStats();
// Only resident_bytes, at a tenth of the cost: for a check against a limit.
uint64_t ReadResidentBytes();

}  // namespace basalt::server
