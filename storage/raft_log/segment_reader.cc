#include "storage/raft_log/segment_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "storage/raft_log/segment_format.h"

namespace basalt::storage::raft_log {
namespace {

constexpr size_t kWindowBytes = 1u << 20;

}  // namespace

absl::StatusOr<std::string_view> SegmentReader::View(uint64_t offset, size_t bytes) {
  if (offset < window_start_ || offset + bytes > window_start_ + window_.size()) {
    absl::StatusOr<std::string> read = segment_.file->ReadAt(offset, std::max(bytes, kWindowBytes));
    if (!read.ok()) {
      return base::DataLoss(
          fmt::format("{}: offset {}: {}", segment_.path, offset, base::Message(read.status())));
    }
    window_ = *std::move(read);
    window_start_ = offset;
  }
  return std::string_view(window_).substr(offset - window_start_, bytes);
}

absl::StatusOr<std::string_view> SegmentReader::BatchAt(uint64_t offset) {
  BASALT_ASSIGN_OR_RETURN(std::string_view start, View(offset, kBatchHeaderBytes));
  if (!LooksLikeBatch(start)) return std::string_view();
  const uint64_t bytes = kBatchHeaderBytes + uint64_t{DecodeBatchHeader(start).records_bytes};
  // Nothing longer than the file was ever written: a damaged length must not make us read it.
  if (offset + bytes > segment_.written_bytes) return std::string_view();
  BASALT_ASSIGN_OR_RETURN(std::string_view batch, View(offset, bytes));
  if (!BatchIsIntact(log_identity_, batch)) return std::string_view();
  return batch;
}

}  // namespace basalt::storage::raft_log
