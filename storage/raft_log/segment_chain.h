// SegmentChain: which segment files are in use, oldest first, and which are spare.
//
// The last one in use is where batches go. A file leaves at the old end once nothing in it is
// needed, and comes back at the new end under a new generation. It is written over only after a
// header that says so (`oldest_sequence`) is durable: Roll sees to that. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/file_system.h"
#include "storage/raft_log/segment.h"

namespace basalt::storage::raft_log {

// What recovery found, or made for a new log.
struct RecoveredChain {
  uint64_t log_identity = 0;
  uint64_t generation = 0;     // the highest ever used
  uint64_t next_sequence = 1;  // everything below it is synced
  FileNumber next_number = 1;
  std::deque<std::shared_ptr<Segment>> live;
  std::vector<std::shared_ptr<Segment>> spares;
};

class SegmentChain {
 public:
  SegmentChain(FileSystem& file_system, std::string directory, uint64_t segment_bytes,
               size_t spares_max, RecoveredChain recovered);

  Segment& active() { return *live_.back(); }
  const std::deque<std::shared_ptr<Segment>>& live() const { return live_; }
  size_t spares() const { return spares_.size(); }
  uint64_t log_identity() const { return log_identity_; }

  // A batch of `bytes` should go into another segment than the active one: it does not fit, or
  // would grow the file while another one lies written ahead.
  bool ShouldRollFor(uint64_t bytes) const;
  // Starts a segment whose first batch will be `next_sequence`; everything below it is synced and
  // everything that the spare files hold is superseded by what is synced.
  absl::Status Roll(uint64_t next_sequence);
  // The oldest segment is needed no more. Not the active one.
  void RetireOldest();

  // Removes spare files above the number that is kept. The newest header must be newer than their
  // retirement.
  absl::Status TrimSpares();
  // The number for a file to be written ahead, when there is no such spare.
  std::optional<FileNumber> OrderSpare();
  void AddSpare(std::shared_ptr<Segment> segment) { spares_.push_back(std::move(segment)); }

 private:
  bool IsWrittenAhead(const Segment& segment) const;
  absl::StatusOr<std::shared_ptr<Segment>> TakeSpare();

  FileSystem& file_system_;
  const std::string directory_;
  const uint64_t segment_bytes_;
  const size_t spares_max_;
  const uint64_t log_identity_;
  uint64_t generation_;
  FileNumber next_number_;
  std::deque<std::shared_ptr<Segment>> live_;
  std::vector<std::shared_ptr<Segment>> spares_;
};

}  // namespace basalt::storage::raft_log
