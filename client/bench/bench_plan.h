// What a bench is to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "client/bench/workload.h"

namespace basalt::bench {

// A run keeps account of each key: up to 48 bytes while it gathers what to read back, which for so
// many is less than 1 GiB.
inline constexpr uint64_t kKeysMax = 20'000'000;

struct BenchPlan {
  Workload workload = Workload::kPut;
  uint32_t clients = 64;
  uint64_t value_size = 256;
  uint64_t keys = 10'000;
  std::chrono::milliseconds duration{10'000};
  uint64_t rate = 0;           // operations a second, all clients together; 0: as fast as it goes
  uint32_t read_percent = 50;  // mixed
  uint32_t keys_per_txn = 2;   // txn
  bool zipf = false;           // keys, also where the workload says uniform
  bool unary = false;
  bool load = true;    // write all keys before a workload that reads
  bool verify = true;  // read back after a workload that writes
  std::string key_prefix = "bench:";

  Mix mix() const {
    Mix mix = MixOf(workload, read_percent);
    mix.keys_each = keys_per_txn;
    const bool uniform = mix.pattern == KeyPattern::kOwn || mix.pattern == KeyPattern::kUniform;
    if (zipf && uniform) mix.pattern = KeyPattern::kZipf;
    return mix;
  }
};

}  // namespace basalt::bench
