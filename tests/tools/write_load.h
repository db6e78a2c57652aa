// Writes to all shards at once, and a record of how each write ended.
//
// A lane is a sequence of writes to one hash slot, one in flight at a time; the lanes' slots are
// spread evenly, so that every shard has some and a shard that stalls holds up its own lanes only.
// Each write has a key of its own, but every eighth overwrites the lane's register.
// The record's format stands in scripts/basalt_tools/write_record.py, which reads it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

#include "basalt/client.h"

namespace basalt::tools {

struct LoadOptions {
  std::string prefix = "load:";
  uint32_t lanes = 64;
  uint32_t rate = 4000;  // writes per second over all lanes; 0: as fast as they are acknowledged
  uint32_t value_bytes = 100;
  std::chrono::milliseconds duration{0};  // 0: until `stop`
  std::chrono::milliseconds timeout{5000};
};

struct LoadTotals {
  uint64_t acks = 0;
  uint64_t unknowns = 0;
  uint64_t refusals = 0;
};

// Returns after `options.duration` or soon after `stop` is set, once no write is in flight and the
// record has its end. Run it on one thread; `stop` may be set by a signal handler.
LoadTotals RecordWrites(Client& client, const LoadOptions& options, const std::atomic<bool>& stop,
                        std::ostream& record);

}  // namespace basalt::tools
