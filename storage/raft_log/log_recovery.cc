#include "storage/raft_log/log_recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "base/status.h"
#include "storage/raft_log/segment_reader.h"

namespace basalt::storage::raft_log {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
// Generations and sequences rise by one: no disk lives to see one of these.
constexpr uint64_t kNumberMax = kNoLimit / 2;

absl::Status Damaged(const Segment& segment, uint64_t offset, std::string_view what) {
  return base::DataLoss(fmt::format("{}: offset {}: {}", segment.path, offset, what));
}

bool IsPlausible(const SegmentHeader& header) {
  return header.generation <= kNumberMax && header.first_sequence >= 1 &&
         header.first_sequence <= kNumberMax && header.oldest_sequence <= header.first_sequence;
}

struct BatchPlace {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  BatchHeader header;
};

// A segment in use, and the first sequence in it that a later header voids.
struct Link {
  std::shared_ptr<Segment> segment;
  uint64_t limit = kNoLimit;
};

class Recovery {
 public:
  Recovery(FileSystem& file_system, std::string directory, LogIdentities identities,
           EntryIndex& index)
      : file_system_(file_system),
        directory_(std::move(directory)),
        identities_(identities),
        index_(index) {}

  absl::StatusOr<RecoveredChain> Run();

 private:
  absl::Status FindSegments();
  absl::Status AddSegment(std::shared_ptr<Segment> segment);
  absl::Status CheckIdentity() const;
  absl::Status FindLinks();
  absl::Status ReplayClosed(const Link& link);
  absl::Status ScanNewest();
  absl::Status SearchBeyond(const Segment& segment, uint64_t from);
  absl::Status IndexBatch(const Segment& segment, uint64_t offset, std::string_view batch,
                          FileNumber to_file, uint64_t to_offset);
  void FindEmptied();
  absl::Status PlanNewSegment();
  absl::Status StartNewSegment();
  RecoveredChain TakeChain();

  FileSystem& file_system_;
  const std::string directory_;
  const LogIdentities identities_;
  EntryIndex& index_;

  uint64_t identity_ = 0;
  uint64_t generation_max_ = 0;
  FileNumber number_max_ = 0;
  uint64_t log_bytes_ = 0;                        // of all segments together
  std::vector<std::shared_ptr<Segment>> headed_;  // by generation
  std::vector<std::shared_ptr<Segment>> blank_;
  std::vector<std::shared_ptr<Segment>> retired_;
  std::vector<Link> links_;          // in use, oldest first; the last is the newest of all
  std::vector<BatchPlace> batches_;  // of the newest segment
  uint64_t synced_ = 0;              // the highest sequence that anything says was synced
  uint64_t end_ = 1;                 // the first sequence that is not there

  // The segment that goes on from here, with copies of all batches above synced_.
  std::shared_ptr<Segment> started_;
  FileNumber started_number_ = 0;
  uint64_t started_generation_ = 0;
  std::string copies_;
  size_t emptied_ = 0;  // of links_, from the front: needed no more
};

absl::StatusOr<RecoveredChain> Recovery::Run() {
  BASALT_RETURN_IF_ERROR(FindSegments());
  BASALT_RETURN_IF_ERROR(CheckIdentity());
  if (!headed_.empty()) {
    BASALT_RETURN_IF_ERROR(FindLinks());
    for (const Link& link : links_) {
      if (link.limit != kNoLimit) BASALT_RETURN_IF_ERROR(ReplayClosed(link));
    }
    BASALT_RETURN_IF_ERROR(ScanNewest());
  }
  for (const auto& segment : blank_) {
    BASALT_RETURN_IF_ERROR(SearchBeyond(*segment, kSegmentHeaderBytes));
  }
  FindEmptied();
  BASALT_RETURN_IF_ERROR(PlanNewSegment());
  BASALT_RETURN_IF_ERROR(index_.CheckComplete());
  BASALT_RETURN_IF_ERROR(StartNewSegment());
  return TakeChain();
}

absl::Status Recovery::FindSegments() {
  BASALT_RETURN_IF_ERROR(file_system_.CreateDirectory(directory_));
  const size_t slash = directory_.rfind('/');
  const std::string parent = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : directory_.substr(0, slash);
  BASALT_RETURN_IF_ERROR(file_system_.SyncDirectory(parent));
  BASALT_ASSIGN_OR_RETURN(std::vector<std::string> names, file_system_.List(directory_));
  for (const std::string& name : names) {
    const std::optional<FileNumber> number = ParseSegmentName(name);
    if (!number) continue;
    auto segment = std::make_shared<Segment>();
    segment->number = *number;
    segment->path = fmt::format("{}/{}", directory_, name);
    BASALT_ASSIGN_OR_RETURN(segment->file,
                            file_system_.Open(segment->path, FileSystem::OpenMode::kReadWrite));
    BASALT_ASSIGN_OR_RETURN(segment->written_bytes, segment->file->Size());
    log_bytes_ += segment->written_bytes;
    number_max_ = std::max(number_max_, *number);
    BASALT_RETURN_IF_ERROR(AddSegment(std::move(segment)));
  }
  std::sort(headed_.begin(), headed_.end(), [](const auto& a, const auto& b) {
    return a->header.generation < b->header.generation;
  });
  for (size_t i = 1; i < headed_.size(); ++i) {
    if (headed_[i]->header.generation == headed_[i - 1]->header.generation) {
      return Damaged(*headed_[i], 0,
                     fmt::format("its generation is that of {} too", headed_[i - 1]->path));
    }
  }
  return absl::OkStatus();
}

absl::Status Recovery::AddSegment(std::shared_ptr<Segment> segment) {
  absl::StatusOr<std::string> sector = segment->file->ReadAt(0, kSegmentHeaderBytes);
  if (!sector.ok()) return Damaged(*segment, 0, base::Message(sector.status()));
  const SectorZero found = DecodeSectorZero(*sector);
  switch (found.kind) {
    case SectorKind::kBlank:
      blank_.push_back(std::move(segment));
      return absl::OkStatus();
    case SectorKind::kDamaged:
      return Damaged(*segment, 0, "the segment header is damaged");
    case SectorKind::kHeader:
      break;
  }
  if (found.format != kLogFormat) {
    return base::FailedPrecondition(
        fmt::format("{} is of log format {}; this release knows format {}", segment->path,
                    found.format, kLogFormat));
  }
  if (identity_ != 0 && identity_ != found.header.log_identity) {
    return base::FailedPrecondition(
        fmt::format("{} belongs to another log than the other files there", segment->path));
  }
  if (!IsPlausible(found.header)) {
    return Damaged(*segment, 0, "the segment header has numbers that no log gives");
  }
  identity_ = found.header.log_identity;
  segment->header = found.header;
  generation_max_ = std::max(generation_max_, found.header.generation);
  headed_.push_back(std::move(segment));
  return absl::OkStatus();
}

absl::Status Recovery::CheckIdentity() const {
  if (identities_.expected == 0 || identities_.expected == identity_) return absl::OkStatus();
  const std::string found = identity_ == 0 ? "no log" : fmt::format("log {:016x}", identity_);
  return base::DataLoss(fmt::format("{} holds {}; log {:016x} is gone, with its votes and entries",
                                    directory_, found, identities_.expected));
}

absl::Status Recovery::FindLinks() {
  const Segment& newest = *headed_.back();
  const uint64_t oldest_sequence = newest.header.oldest_sequence;
  uint64_t limit = kNoLimit;
  for (auto segment = headed_.rbegin(); segment != headed_.rend(); ++segment) {
    const uint64_t first = (*segment)->header.first_sequence;
    if (first >= limit || limit <= oldest_sequence) {
      retired_.push_back(*segment);
    } else {
      links_.push_back({*segment, limit});
    }
    limit = std::min(limit, first);
  }
  std::reverse(links_.begin(), links_.end());
  if (links_.front().segment->header.first_sequence > oldest_sequence) {
    return Damaged(newest, 0,
                   fmt::format("the log goes back to batch {}, but the oldest segment here, {}, "
                               "starts at batch {}",
                               oldest_sequence, links_.front().segment->path,
                               links_.front().segment->header.first_sequence));
  }
  return absl::OkStatus();
}

absl::Status Recovery::ReplayClosed(const Link& link) {
  const Segment& segment = *link.segment;
  SegmentReader reader(segment, identity_);
  uint64_t offset = kSegmentHeaderBytes;
  for (uint64_t sequence = segment.header.first_sequence; sequence < link.limit; ++sequence) {
    BASALT_ASSIGN_OR_RETURN(std::string_view batch, reader.BatchAt(offset));
    const BatchHeader header = batch.empty() ? BatchHeader{} : DecodeBatchHeader(batch);
    if (header.generation != segment.header.generation || header.sequence != sequence) {
      return Damaged(segment, offset,
                     fmt::format("batch {} is damaged, and a later segment says that it was synced",
                                 sequence));
    }
    BASALT_RETURN_IF_ERROR(IndexBatch(segment, offset, batch, segment.number, offset));
    offset = AlignToSector(offset + batch.size());
  }
  return absl::OkStatus();
}

absl::Status Recovery::ScanNewest() {
  const Segment& segment = *links_.back().segment;
  SegmentReader reader(segment, identity_);
  uint64_t offset = kSegmentHeaderBytes;
  end_ = segment.header.first_sequence;
  synced_ = end_ - 1;
  while (true) {
    BASALT_ASSIGN_OR_RETURN(std::string_view batch, reader.BatchAt(offset));
    const BatchHeader header = batch.empty() ? BatchHeader{} : DecodeBatchHeader(batch);
    if (header.generation != segment.header.generation || header.sequence != end_) break;
    batches_.push_back({offset, batch.size(), header});
    synced_ = std::max(synced_, header.synced);
    offset = AlignToSector(offset + batch.size());
    ++end_;
  }
  // Also covers a batch that claims more than there is.
  BASALT_RETURN_IF_ERROR(SearchBeyond(segment, offset));
  if (synced_ >= end_) {
    return Damaged(segment, offset, fmt::format("batch {} is missing", end_));
  }
  for (const BatchPlace& place : batches_) {
    if (place.header.sequence > synced_) break;
    BASALT_ASSIGN_OR_RETURN(std::string_view batch, reader.BatchAt(place.offset));
    BASALT_RETURN_IF_ERROR(IndexBatch(segment, place.offset, batch, segment.number, place.offset));
  }
  return absl::OkStatus();
}

// Batch end_ is bad or not there: a torn end, unless an intact batch of the present or a later
// generation says that it was synced.
absl::Status Recovery::SearchBeyond(const Segment& segment, uint64_t from) {
  SegmentReader reader(segment, identity_);
  const uint64_t newest_generation = headed_.empty() ? 0 : headed_.back()->header.generation;
  for (uint64_t offset = from; offset < segment.written_bytes; offset += kSectorBytes) {
    BASALT_ASSIGN_OR_RETURN(std::string_view start, reader.View(offset, kBatchHeaderBytes));
    if (!LooksLikeBatch(start)) continue;
    if (headed_.empty()) return Damaged(segment, 0, "the segment header is missing");
    BASALT_ASSIGN_OR_RETURN(std::string_view batch, reader.BatchAt(offset));
    if (batch.empty()) continue;
    const BatchHeader header = DecodeBatchHeader(batch);
    if (header.generation > kNumberMax) continue;
    generation_max_ = std::max(generation_max_, header.generation);
    if (header.generation < newest_generation || header.synced < end_) continue;
    const Segment& newest = *links_.back().segment;
    const uint64_t end_offset = batches_.empty()
                                    ? kSegmentHeaderBytes
                                    : AlignToSector(batches_.back().offset + batches_.back().bytes);
    return Damaged(newest, end_offset,
                   fmt::format("batch {} is damaged, and batch {} ({}, offset {}) says that it was "
                               "synced",
                               end_, header.sequence, segment.path, offset));
  }
  return absl::OkStatus();
}

absl::Status Recovery::IndexBatch(const Segment& segment, uint64_t offset, std::string_view batch,
                                  FileNumber to_file, uint64_t to_offset) {
  IndexingSink sink(index_, to_file, static_cast<uint32_t>(to_offset + kBatchHeaderBytes),
                    log_bytes_ / kEntryBytesOnDiskMin);
  absl::Status status =
      DecodeRecords(batch.substr(kBatchHeaderBytes), DecodeBatchHeader(batch).records, sink);
  if (status.ok()) status = sink.status();
  if (status.ok()) return status;
  return Damaged(segment, offset, base::Message(status));
}

// Segments that were emptied since the last header would else be replayed for ever. What the
// batches above `synced_` carry forward empties nothing yet: no header vouches for them, and should
// one be found damaged at the next start, the records that it repeats must still be there.
void Recovery::FindEmptied() {
  while (emptied_ < links_.size() && index_.UseOf(links_[emptied_].segment->number).empty()) {
    ++emptied_;
  }
}

absl::Status Recovery::PlanNewSegment() {
  started_generation_ = generation_max_ + 1;
  if (blank_.empty()) {
    started_number_ = ++number_max_;
  } else {
    started_ = std::move(blank_.back());
    blank_.pop_back();
    started_number_ = started_->number;
  }
  if (links_.empty()) return absl::OkStatus();
  const Segment& newest = *links_.back().segment;
  SegmentReader reader(newest, identity_);
  for (const BatchPlace& place : batches_) {
    if (place.header.sequence <= synced_) continue;
    BASALT_ASSIGN_OR_RETURN(std::string_view batch, reader.BatchAt(place.offset));
    BASALT_RETURN_IF_ERROR(IndexBatch(newest, place.offset, batch, started_number_,
                                      kSegmentHeaderBytes + copies_.size()));
    std::string copy(batch);
    BatchHeader header = place.header;
    header.generation = started_generation_;
    // Not more than is known: the header of the new segment may itself be lost.
    header.synced = synced_;
    SealBatch(identity_, header, copy);
    copy.resize(AlignToSector(copy.size()), '\0');
    copies_ += copy;
  }
  return absl::OkStatus();
}

absl::Status Recovery::StartNewSegment() {
  if (started_ == nullptr) {
    BASALT_ASSIGN_OR_RETURN(started_, CreateSegment(file_system_, directory_, started_number_));
  } else {
    // Its name may be known to the page cache only.
    BASALT_RETURN_IF_ERROR(file_system_.SyncDirectory(directory_));
  }
  if (!copies_.empty()) {
    BASALT_RETURN_IF_ERROR(started_->file->WriteAt(kSegmentHeaderBytes, copies_));
    BASALT_RETURN_IF_ERROR(started_->file->Sync());
  }
  started_->end = kSegmentHeaderBytes + copies_.size();
  started_->written_bytes = std::max(started_->written_bytes, started_->end);
  SegmentHeader header;
  header.log_identity = headed_.empty() ? identities_.for_new_log : identity_;
  header.generation = started_generation_;
  header.first_sequence = synced_ + 1;
  for (; emptied_ > 0; --emptied_) {
    retired_.push_back(links_.front().segment);
    links_.erase(links_.begin());
  }
  header.oldest_sequence = header.first_sequence;
  if (!links_.empty()) {
    header.oldest_sequence =
        std::min(header.oldest_sequence, links_.front().segment->header.first_sequence);
  }
  return StartUse(*started_, header);
}

RecoveredChain Recovery::TakeChain() {
  RecoveredChain chain;
  chain.log_identity = started_->header.log_identity;
  chain.generation = started_->header.generation;
  chain.next_sequence = end_;
  chain.next_number = number_max_ + 1;
  for (const Link& link : links_) {
    // The new header voids all of a segment that does not start below it.
    const bool is_void = link.segment->header.first_sequence >= started_->header.first_sequence;
    if (is_void) {
      retired_.push_back(link.segment);
    } else {
      chain.live.push_back(link.segment);
    }
  }
  chain.live.push_back(started_);
  chain.spares = std::move(retired_);
  std::move(blank_.begin(), blank_.end(), std::back_inserter(chain.spares));
  return chain;
}

}  // namespace

absl::StatusOr<RecoveredChain> RecoverLog(FileSystem& file_system, const std::string& directory,
                                          LogIdentities identities, EntryIndex& index) {
  return Recovery(file_system, directory, identities, index).Run();
}

}  // namespace basalt::storage::raft_log
