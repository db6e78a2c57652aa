// RegisterHistory: what clients asked for and were told, and whether that can be true.
//
// Each key is a register. Its versions (timestamps given by the shard) are the order of its writes,
// so linearizability needs no search: an operation that began after another one ended must not see,
// or make, an older version. Judged against all versions that a replica stores in the end.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proto/client.pb.h"
#include "server/clock/clock.h"

namespace basalt::testing {

struct RegisterOperation {
  enum class Kind { kPut, kDelete, kGet } kind = Kind::kGet;
  std::string key;
  std::string value;  // put: written, unlike any other; get: read
  server::MonotonicTime began{};
  // Unset: no answer came.
  std::optional<server::MonotonicTime> ended;
  v1::Outcome outcome = v1::OUTCOME_UNKNOWN;  // writes
  bool read = false;                          // gets: served
  bool found = false;
  uint64_t version = 0;  // of what was written or read; 0 when nothing was found

  bool is_write() const { return kind != Kind::kGet; }
};

// A stored version; nullopt: a delete.
using StoredVersions = std::map<std::string, std::map<uint64_t, std::optional<std::string>>>;

// One line per thing that cannot be; empty: all is well.
std::vector<std::string> FindViolations(std::vector<RegisterOperation> operations,
                                        const StoredVersions& stored);

}  // namespace basalt::testing
