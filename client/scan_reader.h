// Reads ranges over all shards through a CallDriver: the rows of a scan, and counts.
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "basalt/client.h"
#include "client/call_driver.h"

namespace basalt::client {

// Where a scan starts and ends; `to` empty: no end.
struct KeyRange {
  std::string from;
  std::string to;
  bool empty = false;  // nothing can lie in it
};
// The range of a scan's options. An error says which options exclude each other or break a limit.
Result<KeyRange> RangeOf(const ScanOptions& scan);

// Rows in key order. Used by one thread; pages are fetched ahead by the library's threads.
class ScanReader {
 public:
  // `driver` outlives it. `range` is not empty.
  ScanReader(CallDriver* driver, const ScanOptions& scan, KeyRange range,
             const CallOptions& options);
  ~ScanReader();

  // Nothing: the end, or `status` is not OK from here on.
  std::optional<Row> Next(Status* status);

 private:
  class Pages;

  void FetchWanted();

  CallDriver* const driver_;
  const KeyRange range_;
  const CallOptions options_;
  const bool keys_only_;
  const uint32_t rows_per_page_;
  const std::vector<ShardView> shards_;
  // Shared with the calls under way, which may end after the reader.
  std::shared_ptr<Pages> pages_;
};

Result<uint64_t> CountRows(CallDriver* driver, const KeyRange& range, const CallOptions& options);

}  // namespace basalt::client
