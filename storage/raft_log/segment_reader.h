// SegmentReader: batches of one segment file, read through a window so that a scan costs few
// system calls. One thread; the file must not change meanwhile.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "storage/raft_log/segment.h"

namespace basalt::storage::raft_log {

class SegmentReader {
 public:
  SegmentReader(const Segment& segment, uint64_t log_identity)
      : segment_(segment), log_identity_(log_identity) {}

  // Up to `bytes` from `offset`; fewer at the end of the file. Valid until the next call. A read
  // that the disk refuses is DataLoss, with file and offset.
  absl::StatusOr<std::string_view> View(uint64_t offset, size_t bytes);

  // The intact batch at `offset`, header and records; empty when there is none. Valid until the
  // next call.
  absl::StatusOr<std::string_view> BatchAt(uint64_t offset);

 private:
  const Segment& segment_;
  const uint64_t log_identity_;
  std::string window_;
  uint64_t window_start_ = 0;
};

}  // namespace basalt::storage::raft_log
