#include "storage/raft_log/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/status.h"

namespace basalt::storage::raft_log {
namespace {

constexpr std::string_view kSuffix = ".log";

}  // namespace

std::string SegmentPath(std::string_view directory, FileNumber number) {
  return fmt::format("{}/{:08}{}", directory, number, kSuffix);
}

std::optional<FileNumber> ParseSegmentName(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  FileNumber number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number == 0) return std::nullopt;
  // Two names of one number would be one file to the index.
  if (fmt::format("{:08}", number) != name) return std::nullopt;
  return number;
}

absl::StatusOr<std::shared_ptr<Segment>> CreateSegment(FileSystem& file_system,
                                                       const std::string& directory,
                                                       FileNumber number) {
  auto segment = std::make_shared<Segment>();
  segment->number = number;
  segment->path = SegmentPath(directory, number);
  BASALT_ASSIGN_OR_RETURN(segment->file,
                          file_system.Open(segment->path, FileSystem::OpenMode::kCreate));
  BASALT_RETURN_IF_ERROR(file_system.SyncDirectory(directory));
  return segment;
}

absl::Status WriteAhead(FileSystem& file_system, Segment& segment, uint64_t bytes) {
  constexpr uint64_t kChunkBytes = 1u << 20;
  const std::string zeros(std::min(bytes, kChunkBytes), '\0');
  absl::Status status;
  for (uint64_t offset = 0; offset < bytes && status.ok(); offset += zeros.size()) {
    const uint64_t chunk = std::min<uint64_t>(bytes - offset, zeros.size());
    status = segment.file->WriteAt(offset, {zeros.data(), chunk});
    // One sync at the end would make the log's own syncs wait behind the whole file.
    if (status.ok()) status = segment.file->Sync();
  }
  if (status.ok()) {
    segment.written_bytes = bytes;
    return status;
  }
  file_system.Remove(segment.path).IgnoreError();
  return status;
}

absl::Status StartUse(Segment& segment, const SegmentHeader& header) {
  BASALT_RETURN_IF_ERROR(segment.file->WriteAt(0, EncodeSegmentHeader(header)));
  BASALT_RETURN_IF_ERROR(segment.file->Sync());
  segment.header = header;
  segment.written_bytes = std::max<uint64_t>(segment.written_bytes, kSegmentHeaderBytes);
  return absl::OkStatus();
}

}  // namespace basalt::storage::raft_log
