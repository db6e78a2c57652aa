#include "storage/raft_log/segment_chain.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace basalt::storage::raft_log {

SegmentChain::SegmentChain(FileSystem& file_system, std::string directory, uint64_t segment_bytes,
                           size_t spares_max, RecoveredChain recovered)
    : file_system_(file_system),
      directory_(std::move(directory)),
      segment_bytes_(segment_bytes),
      spares_max_(spares_max),
      log_identity_(recovered.log_identity),
      generation_(recovered.generation),
      next_number_(recovered.next_number),
      live_(std::move(recovered.live)),
      spares_(std::move(recovered.spares)) {
  BASALT_CHECK(!live_.empty());
}

bool SegmentChain::IsWrittenAhead(const Segment& segment) const {
  return segment.written_bytes >= segment_bytes_ &&
         segment.readers.load(std::memory_order_acquire) == 0;
}

bool SegmentChain::ShouldRollFor(uint64_t bytes) const {
  const Segment& active = *live_.back();
  if (active.end + bytes > segment_bytes_) return true;
  if (active.end + bytes <= active.written_bytes) return false;
  return std::any_of(spares_.begin(), spares_.end(),
                     [this](const auto& spare) { return IsWrittenAhead(*spare); });
}

absl::Status SegmentChain::Roll(uint64_t next_sequence) {
  BASALT_ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment, TakeSpare());
  SegmentHeader header;
  header.log_identity = log_identity_;
  header.generation = ++generation_;
  header.first_sequence = next_sequence;
  header.oldest_sequence = live_.front()->header.first_sequence;
  // Synced by itself, before any batch is written there: until it is durable the file may have to
  // serve as the old segment that it was.
  BASALT_RETURN_IF_ERROR(StartUse(*segment, header));
  segment->end = kSegmentHeaderBytes;
  live_.push_back(std::move(segment));
  return TrimSpares();
}

absl::StatusOr<std::shared_ptr<Segment>> SegmentChain::TakeSpare() {
  auto best = spares_.end();
  for (auto spare = spares_.begin(); spare != spares_.end(); ++spare) {
    if ((*spare)->readers.load(std::memory_order_acquire) != 0) continue;
    if (best == spares_.end() || (*spare)->written_bytes > (*best)->written_bytes) best = spare;
  }
  if (best == spares_.end()) return CreateSegment(file_system_, directory_, next_number_++);
  std::shared_ptr<Segment> segment = std::move(*best);
  spares_.erase(best);
  return segment;
}

void SegmentChain::RetireOldest() {
  BASALT_CHECK(live_.size() > 1);
  spares_.push_back(std::move(live_.front()));
  live_.pop_front();
}

absl::Status SegmentChain::TrimSpares() {
  while (spares_.size() > spares_max_) {
    const auto least = std::min_element(
        spares_.begin(), spares_.end(),
        [](const auto& a, const auto& b) { return a->written_bytes < b->written_bytes; });
    BASALT_RETURN_IF_ERROR(file_system_.Remove((*least)->path));
    spares_.erase(least);
  }
  return absl::OkStatus();
}

std::optional<FileNumber> SegmentChain::OrderSpare() {
  if (std::any_of(spares_.begin(), spares_.end(),
                  [this](const auto& spare) { return IsWrittenAhead(*spare); })) {
    return std::nullopt;
  }
  return next_number_++;
}

}  // namespace basalt::storage::raft_log
