// The reading half of RaftLog: any thread, beside the one that writes.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "storage/crc32c.h"
#include "storage/raft_log/raft_log.h"
#include "storage/raft_log/record_codec.h"

namespace basalt::storage {

using raft_log::EntryPosition;
using raft_log::GroupLog;
using raft_log::Segment;

namespace {

// Keeps a segment from being reused.
class ReadPin {
 public:
  explicit ReadPin(std::shared_ptr<Segment> segment) : segment_(std::move(segment)) {
    segment_->readers.fetch_add(1, std::memory_order_relaxed);
  }
  ~ReadPin() {
    if (segment_) segment_->readers.fetch_sub(1, std::memory_order_release);
  }
  ReadPin(ReadPin&&) = default;
  ReadPin(const ReadPin&) = delete;
  ReadPin& operator=(const ReadPin&) = delete;
  ReadPin& operator=(ReadPin&&) = delete;

  const Segment& segment() const { return *segment_; }

 private:
  std::shared_ptr<Segment> segment_;
};

size_t AdjacentCount(std::span<const EntryPosition> positions) {
  size_t count = 1;
  while (count < positions.size() && positions[count].file == positions[0].file &&
         positions[count].offset == positions[count - 1].offset + positions[count - 1].bytes) {
    ++count;
  }
  return count;
}

}  // namespace

struct RaftLog::ReadPlan {
  std::vector<EntryPosition> positions;
  std::map<raft_log::FileNumber, ReadPin> pins;
};

bool RaftLog::IsStaged(const EntryPosition& position) const {
  return position.file == staged_file_ && position.offset >= staged_from_;
}

absl::StatusOr<std::vector<raft::Entry>> RaftLog::Read(raft::GroupId group, raft::LogIndex first,
                                                       raft::LogIndex last, size_t bytes_max) {
  ReadPlan plan;
  {
    base::MutexLock lock(mutex_);
    raft::LogIndex index = first;
    size_t bytes = 0;
    while (true) {
      const GroupLog* log = index_.Find(group);
      if (log == nullptr || index < log->first || index >= log->next()) break;
      const EntryPosition& position = log->entries[index - log->first];
      if (IsStaged(position)) {
        staged_written_.Wait(mutex_);
        plan.positions.clear();
        index = first;
        bytes = 0;
        continue;
      }
      plan.positions.push_back(position);
      bytes += position.bytes;
      if (index >= last || bytes >= bytes_max) break;
      ++index;
    }
    for (const EntryPosition& position : plan.positions) {
      if (!plan.pins.contains(position.file)) {
        plan.pins.emplace(position.file, ReadPin(readable_.at(position.file)));
      }
    }
  }
  if (plan.positions.empty()) {
    return base::NotFound(
        fmt::format("group {}: entry {} is not in the log", group.value(), first.value()));
  }
  std::vector<raft::Entry> entries;
  for (std::span<const EntryPosition> left = plan.positions; !left.empty();) {
    const std::span<const EntryPosition> run = left.first(AdjacentCount(left));
    BASALT_ASSIGN_OR_RETURN(
        std::vector<raft::Entry> read,
        ReadRun(plan.pins.at(run[0].file).segment(), run, first + entries.size()));
    std::move(read.begin(), read.end(), std::back_inserter(entries));
    left = left.subspan(run.size());
  }
  return entries;
}

// Entries that lie one behind the other are read at once; others one by one.
absl::StatusOr<std::vector<raft::Entry>> RaftLog::ReadRun(const Segment& segment,
                                                          std::span<const EntryPosition> run,
                                                          raft::LogIndex first) {
  std::vector<raft::Entry> entries;
  while (!run.empty()) {
    const std::span<const EntryPosition> together = run.first(AdjacentCount(run));
    const uint64_t start = together.front().offset;
    const uint64_t end = uint64_t{together.back().offset} + together.back().bytes;
    absl::StatusOr<std::string> bytes = segment.file->ReadAt(start, end - start);
    if (!bytes.ok()) {
      return base::DataLoss(
          fmt::format("{}: offset {}: {}", segment.path, start, base::Message(bytes.status())));
    }
    for (const EntryPosition& position : together) {
      const size_t from = std::min<size_t>(bytes->size(), position.offset - start);
      const std::string_view encoded = std::string_view(*bytes).substr(from, position.bytes);
      const raft::LogIndex index = first + entries.size();
      absl::StatusOr<raft::Entry> entry = raft_log::DecodeEntry(encoded, index);
      if (Crc32c(encoded) != position.crc || !entry.ok()) {
        return base::DataLoss(fmt::format("{}: offset {}: entry {} is damaged", segment.path,
                                          position.offset, index.value()));
      }
      entries.push_back(*std::move(entry));
    }
    run = run.subspan(together.size());
  }
  return entries;
}

std::vector<raft::GroupId> RaftLog::Groups() {
  base::MutexLock lock(mutex_);
  std::vector<raft::GroupId> groups;
  for (const auto& [group, log] : index_.groups()) groups.push_back(group);
  return groups;
}

std::vector<raft_log::Owner> RaftLog::Replicas() {
  base::MutexLock lock(mutex_);
  std::vector<raft_log::Owner> replicas;
  for (const auto& [group, log] : index_.groups()) replicas.push_back({group, log.replica});
  return replicas;
}

absl::StatusOr<raft::RecoveredLog> RaftLog::Recover(raft::GroupId group) {
  raft::RecoveredLog recovered;
  raft::LogIndex first;
  raft::LogIndex next;
  {
    base::MutexLock lock(mutex_);
    const GroupLog* log = index_.Find(group);
    if (log == nullptr) return base::NotFound(fmt::format("group {} has no log", group.value()));
    recovered = {group, log->replica, *log->hard_state, *log->base, {}};
    first = log->first;
    next = log->next();
  }
  if (first == next) return recovered;
  BASALT_ASSIGN_OR_RETURN(recovered.entries, Read(group, first, next - 1, SIZE_MAX));
  return recovered;
}

std::vector<raft_log::Owner> RaftLog::Tombstones() {
  base::MutexLock lock(mutex_);
  return index_.Tombstones();
}

std::vector<raft_log::PinningGroup> RaftLog::GroupsPinning() {
  base::MutexLock lock(mutex_);
  // The segments that are readable are those in use; see RetireSegments.
  if (readable_.size() <= options_.segments_kept) return {};
  return index_.GroupsPinning(oldest_file_);
}

}  // namespace basalt::storage
