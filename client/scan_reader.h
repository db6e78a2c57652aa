// Reads ranges over all shards through a CallDriver: the rows of a scan, and counts.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "basalt/client.h"
#include "client/call_driver.h"

namespace basalt::client {

// The first key above all that start with `prefix`; empty: there is none.
std::string EndOfPrefix(std::string prefix);

// What a scan goes over.
struct KeyRange {
  std::string from;
  std::string to;      // empty: no end
  bool empty = false;  // nothing can lie in it
  bool reverse = false;
  uint64_t at = 0;       // of its token; 0: it has none
  uint32_t cluster = 0;  // likewise
};
// The range of a scan's options. An error says which options exclude each other or break a limit.
Result<KeyRange> RangeOf(const ScanOptions& scan);

// Rows in the order asked for. Used by one thread; pages are fetched ahead by the library's
// threads.
class ScanReader {
 public:
  // `driver` outlives it. `range` is not empty.
  ScanReader(CallDriver* driver, const ScanOptions& scan, KeyRange range,
             const CallOptions& options);
  ~ScanReader();

  // Nothing: the end, or `status` is not OK from here on.
  std::optional<Row> Next(Status* status);
  // As RowStream::ResumeToken; `status` is that of the last Next.
  Result<std::string> ResumeToken(const Status& status);

 private:
  class Pages;

  void FetchWanted();
  // Without regard to the limit.
  std::optional<Row> Take(Status* status);

  CallDriver* const driver_;
  const KeyRange range_;
  const CallOptions options_;
  const bool keys_only_;
  const uint64_t limit_;  // 0: none
  const uint32_t rows_per_page_;
  const std::vector<ShardView> shards_;
  // Shared with the calls under way, which may end after the reader.
  std::shared_ptr<Pages> pages_;
  uint64_t given_ = 0;
  std::string last_key_;          // of what was given
  std::optional<Row> looked_at_;  // taken, and not given yet
};

Result<uint64_t> CountRows(CallDriver* driver, KeyRange range, const CallOptions& options);

}  // namespace basalt::client
