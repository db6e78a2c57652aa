// Target: a key-value store that a bench drives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "basalt/result.h"
#include "basalt/status.h"

namespace basalt::bench {

// Thread-safe. Every call is answered once, by its callback, on a thread of the target's; a
// callback may start further calls and does not block. The target is destroyed when none is open.
class Target {
 public:
  using PutDone = std::function<void(Status)>;
  using GetDone = std::function<void(Result<std::optional<std::string>>)>;
  using ScanDone = std::function<void(Result<uint64_t>)>;  // the number of rows

  virtual ~Target() = default;

  virtual void Put(const std::string& key, const std::string& value, PutDone done) = 0;
  virtual void Get(const std::string& key, GetDone done) = 0;
  // Reads at most `limit` rows from `from`, included, to `to`, excluded.
  virtual void Scan(const std::string& from, const std::string& to, uint64_t limit,
                    ScanDone done) = 0;
};

}  // namespace basalt::bench
