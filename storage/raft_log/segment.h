// Segment: one file of the log, in use or spare, and what it takes to make one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/file_system.h"
#include "storage/raft_log/entry_index.h"
#include "storage/raft_log/segment_format.h"

namespace basalt::storage::raft_log {

// Belongs to the log's thread, but for `file->ReadAt` and `readers`.
struct Segment {
  FileNumber number = 0;
  std::string path;
  std::unique_ptr<File> file;
  // Bytes that were written before, so that writing there changes no file metadata: such a sync
  // costs half of one that grows the file.
  uint64_t written_bytes = 0;
  SegmentHeader header;
  uint64_t end = kSegmentHeaderBytes;  // where the next batch goes
  // Rises only under the log's lock and while the index still names the file; a segment with
  // readers is not reused.
  std::atomic<int> readers{0};
};

std::string SegmentPath(std::string_view directory, FileNumber number);
// nullopt: not the name of a segment.
std::optional<FileNumber> ParseSegmentName(std::string_view name);

// A new, empty file whose name is durable.
absl::StatusOr<std::shared_ptr<Segment>> CreateSegment(FileSystem& file_system,
                                                       const std::string& directory,
                                                       FileNumber number);
// Fills a new segment with zeros up to `bytes`, synced. Touches nothing but the segment, so that
// any thread may do it before it is handed to the log. When it fails the file is removed.
absl::Status WriteAhead(FileSystem& file_system, Segment& segment, uint64_t bytes);

// Writes and syncs. The segment must hold nothing that is still needed.
absl::Status StartUse(Segment& segment, const SegmentHeader& header);

}  // namespace basalt::storage::raft_log
