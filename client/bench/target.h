// Target: a key-value store that a bench drives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

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
  // Of the values of a transaction's keys (nothing: absent) makes what is to be written to each.
  // May run several times, on any thread.
  using Change = std::function<std::vector<std::string>(
      const std::vector<std::optional<std::string>>& values)>;

  virtual ~Target() = default;

  virtual void Put(const std::string& key, const std::string& value, PutDone done) = 0;
  virtual void Get(const std::string& key, GetDone done) = 0;
  // Reads at most `limit` rows from `from`, included, to `to`, excluded.
  virtual void Scan(const std::string& from, const std::string& to, uint64_t limit,
                    ScanDone done) = 0;
  // Reads and writes all keys, in one transaction. A store that has none that read gives `change`
  // no values.
  virtual void Transact(const std::vector<std::string>& keys, Change change, PutDone done) = 0;
};

}  // namespace basalt::bench
