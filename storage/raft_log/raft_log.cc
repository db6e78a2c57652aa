#include "storage/raft_log/raft_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "storage/crc32c.h"
#include "storage/raft_log/log_recovery.h"
#include "storage/raft_log/raft_log_reclaim.h"
#include "storage/raft_log/record_codec.h"

namespace basalt::storage {

using raft_log::EntriesReason;
using raft_log::GroupLog;
using raft_log::Owner;
using raft_log::Segment;

absl::StatusOr<std::unique_ptr<RaftLog>> RaftLog::Open(FileSystem& file_system,
                                                       std::string directory,
                                                       const RaftLogOptions& options) {
  BASALT_CHECK(options.identity_for_new_log != 0);
  // Positions in a segment are 32 bits wide.
  BASALT_CHECK(options.segment_bytes >= 4096 && options.segment_bytes <= (1u << 30));
  BASALT_CHECK(options.segments_kept > 0);
  raft_log::EntryIndex index;
  BASALT_ASSIGN_OR_RETURN(
      raft_log::RecoveredChain chain,
      raft_log::RecoverLog(file_system, directory,
                           {options.identity_for_new_log, options.expected_identity}, index));
  std::unique_ptr<RaftLog> log(
      new RaftLog(file_system, std::move(directory), options, std::move(index), chain));
  // In this order: what retires only now is not yet given up by a durable header.
  BASALT_RETURN_IF_ERROR(log->chain_.TrimSpares());
  log->RetireSegments();
  return log;
}

RaftLog::RaftLog(FileSystem& file_system, std::string directory, const RaftLogOptions& options,
                 raft_log::EntryIndex index, const raft_log::RecoveredChain& chain)
    : file_system_(file_system),
      directory_(directory),
      options_(options),
      chain_(file_system, std::move(directory), options.segment_bytes, options.spares_max, chain),
      next_sequence_(chain.next_sequence),
      index_(std::move(index)) {
  for (const auto& segment : chain_.live()) readable_[segment->number] = segment;
}

RaftLog::~RaftLog() = default;

absl::Status RaftLog::Guard(absl::Status status) {
  failed_ = failed_ || !status.ok();
  return status;
}

absl::Status RaftLog::Commit(std::span<const raft::LogWrite> writes) {
  BASALT_CHECK(!failed_);
  counters_.writes += writes.size();
  return Guard(CommitWrites(writes));
}

namespace {

uint64_t BytesOnDisk(const raft::Persist& persist) {
  uint64_t bytes = 0;
  if (persist.hard_state) bytes += raft_log::HardStateBytes();
  if (persist.base) bytes += raft_log::BaseBytes(*persist.base);
  if (!persist.entries.empty()) bytes += raft_log::EntriesHeaderBytes();
  for (const raft::Entry& entry : persist.entries) bytes += raft_log::EntryBytesOnDisk(entry);
  return bytes;
}

}  // namespace

absl::Status RaftLog::CommitWrites(std::span<const raft::LogWrite> writes) {
  uint64_t bytes = 0;
  for (const raft::LogWrite& write : writes) bytes += BytesOnDisk(write.persist);
  if (bytes == 0) return absl::OkStatus();
  BASALT_ASSIGN_OR_RETURN(ReclaimPlan plan, PlanReclaim());
  // Old contents ride along where they force nothing.
  const uint64_t room = options_.segment_bytes - raft_log::kSegmentHeaderBytes;
  if (raft_log::kBatchHeaderBytes + bytes + plan.bytes > room) plan = {};
  BASALT_RETURN_IF_ERROR(BeginBatch(bytes + plan.bytes));
  for (const raft::LogWrite& write : writes) BASALT_RETURN_IF_ERROR(AddWrite(write));
  BASALT_RETURN_IF_ERROR(AddReclaimed(plan));
  return FinishBatch();
}

absl::Status RaftLog::AddWrite(const raft::LogWrite& write) {
  const Owner owner{write.group, write.replica};
  const raft::Persist& persist = write.persist;
  {
    base::MutexLock lock(mutex_);
    if (!index_.Admits(owner)) return absl::OkStatus();
    const GroupLog* log = index_.Find(owner.group);
    BASALT_CHECK_MSG(log != nullptr && log->replica == owner.replica,
                     "a write for a replica that was never created");
  }
  if (persist.hard_state) {
    BASALT_RETURN_IF_ERROR(MakeRoomFor(raft_log::HardStateBytes()));
    raft_log::AppendHardState(batch_, owner, *persist.hard_state);
    ++batch_records_;
    base::MutexLock lock(mutex_);
    index_.SetHardState(owner, *persist.hard_state, chain_.active().number);
  }
  if (persist.base) BASALT_RETURN_IF_ERROR(AddBase(owner, *persist.base));
  if (persist.entries.empty()) return absl::OkStatus();
  {
    base::MutexLock lock(mutex_);
    const GroupLog& log = *index_.Find(owner.group);
    BASALT_CHECK_MSG(
        persist.entries[0].index >= log.first && persist.entries[0].index <= log.next(),
        "entries that leave a gap, or lie below the base");
  }
  return AddEntries(owner, EntriesReason::kAppended, persist.entries);
}

absl::Status RaftLog::AddBase(const Owner& owner, const raft::LogBase& base) {
  BASALT_RETURN_IF_ERROR(MakeRoomFor(raft_log::BaseBytes(base)));
  base::MutexLock lock(mutex_);
  BASALT_CHECK_MSG(base.index >= index_.Find(owner.group)->base->index, "a base never goes back");
  const bool dropped_all = !index_.Holds(owner, base.index, base.term);
  raft_log::AppendBase(batch_, owner, base, dropped_all);
  ++batch_records_;
  index_.SetBase(owner, base, dropped_all, chain_.active().number);
  return absl::OkStatus();
}

absl::Status RaftLog::AddEntries(const Owner& owner, EntriesReason reason,
                                 std::span<const raft::Entry> entries) {
  while (!entries.empty()) {
    BASALT_RETURN_IF_ERROR(
        MakeRoomFor(raft_log::EntriesHeaderBytes() + raft_log::EntryBytesOnDisk(entries[0])));
    uint64_t bytes = batch_.size() + raft_log::EntriesHeaderBytes();
    size_t count = 0;
    while (count < entries.size()) {
      bytes += raft_log::EntryBytesOnDisk(entries[count]);
      if (bytes > batch_room_) break;
      ++count;
    }
    const raft::LogIndex first = entries[0].index;
    const Segment& active = chain_.active();
    raft_log::AppendEntriesHeader(batch_, owner, reason, first, static_cast<uint32_t>(count));
    positions_.clear();
    for (const raft::Entry& entry : entries.first(count)) {
      BASALT_CHECK(entry.index == first + positions_.size());
      const size_t start = batch_.size();
      raft_log::AppendEntry(batch_, entry);
      const std::string_view encoded = std::string_view(batch_).substr(start);
      positions_.push_back({entry.term, active.number, static_cast<uint32_t>(active.end + start),
                            static_cast<uint32_t>(encoded.size()), Crc32c(encoded)});
    }
    ++batch_records_;
    entries = entries.subspan(count);
    base::MutexLock lock(mutex_);
    if (reason == EntriesReason::kAppended) {
      index_.ReplaceFrom(owner, first, positions_);
    } else {
      index_.Relocate(owner, first, positions_);
    }
  }
  return absl::OkStatus();
}

absl::Status RaftLog::CreateGroups(std::span<const NewGroup> groups) {
  BASALT_CHECK(!failed_);
  uint64_t bytes = 0;
  for (const NewGroup& group : groups) bytes += raft_log::StateBytes(group.base);
  if (bytes == 0) return absl::OkStatus();
  BASALT_RETURN_IF_ERROR(Guard(BeginBatch(bytes)));
  for (const NewGroup& group : groups) {
    const Owner owner{group.group, group.replica};
    BASALT_RETURN_IF_ERROR(Guard(MakeRoomFor(raft_log::StateBytes(group.base))));
    base::MutexLock lock(mutex_);
    const GroupLog* log = index_.Find(owner.group);
    BASALT_CHECK_MSG(index_.Admits(owner) && (log == nullptr || log->replica < owner.replica),
                     "a replica id is never used again");
    raft_log::AppendState(batch_, owner, raft_log::StateReason::kCreated, {}, group.base);
    ++batch_records_;
    index_.SetState(owner, raft_log::StateReason::kCreated, {}, group.base, chain_.active().number);
  }
  return Guard(FinishBatch());
}

absl::Status RaftLog::DropGroup(raft::GroupId group, raft::ReplicaId replica) {
  BASALT_CHECK(!failed_);
  const Owner owner{group, replica};
  BASALT_RETURN_IF_ERROR(Guard(BeginBatch(raft_log::DroppedBytes())));
  raft_log::AppendDropped(batch_, owner);
  ++batch_records_;
  {
    base::MutexLock lock(mutex_);
    index_.Drop(owner, chain_.active().number);
  }
  return Guard(FinishBatch());
}

absl::StatusOr<bool> RaftLog::MarkIdle() {
  BASALT_CHECK(!failed_);
  absl::StatusOr<ReclaimPlan> plan = PlanReclaim();
  if (!plan.ok()) return Guard(plan.status());
  if (plan->empty() && marked_idle_) return true;
  BASALT_RETURN_IF_ERROR(Guard(BeginBatch(plan->bytes)));
  BASALT_RETURN_IF_ERROR(Guard(AddReclaimed(*plan)));
  if (batch_records_ == 0) {
    BASALT_RETURN_IF_ERROR(FinishMarker());
    return true;
  }
  BASALT_RETURN_IF_ERROR(Guard(FinishBatch()));
  return false;
}

absl::Status RaftLog::Mark() {
  BASALT_CHECK(!failed_);
  if (marked_idle_) return absl::OkStatus();
  BASALT_RETURN_IF_ERROR(Guard(BeginBatch(0)));
  return FinishMarker();
}

absl::Status RaftLog::FinishMarker() {
  BASALT_RETURN_IF_ERROR(Guard(FinishBatch()));
  marked_idle_ = true;
  ++counters_.idle_markers;
  return absl::OkStatus();
}

absl::Status RaftLog::BeginBatch(uint64_t records_bytes) {
  const uint64_t room = options_.segment_bytes - raft_log::kSegmentHeaderBytes;
  const uint64_t bytes = std::min(room, raft_log::kBatchHeaderBytes + records_bytes);
  if (chain_.ShouldRollFor(bytes)) {
    BASALT_RETURN_IF_ERROR(chain_.Roll(next_sequence_));
    ++counters_.rolls;
    ++counters_.syncs;
    base::MutexLock lock(mutex_);
    readable_[chain_.active().number] = chain_.live().back();
  }
  batch_.assign(raft_log::kBatchHeaderBytes, '\0');
  batch_records_ = 0;
  batch_room_ = options_.segment_bytes - chain_.active().end;
  base::MutexLock lock(mutex_);
  staged_file_ = chain_.active().number;
  staged_from_ = chain_.active().end;
  return absl::OkStatus();
}

absl::Status RaftLog::MakeRoomFor(uint64_t record_bytes) {
  if (batch_.size() + record_bytes <= batch_room_) return absl::OkStatus();
  BASALT_RETURN_IF_ERROR(FinishBatch());
  BASALT_RETURN_IF_ERROR(BeginBatch(record_bytes));
  BASALT_CHECK_MSG(batch_.size() + record_bytes <= batch_room_, "a record outgrows a segment");
  return absl::OkStatus();
}

absl::Status RaftLog::FinishBatch() {
  Segment& active = chain_.active();
  raft_log::BatchHeader header;
  header.records = batch_records_;
  header.generation = active.header.generation;
  header.sequence = next_sequence_;
  header.synced = next_sequence_ - 1;  // L1
  raft_log::SealBatch(chain_.log_identity(), header, batch_);
  batch_.resize(raft_log::AlignToSector(batch_.size()), '\0');
  BASALT_RETURN_IF_ERROR(active.file->WriteAt(active.end, batch_));
  BASALT_RETURN_IF_ERROR(active.file->Sync());
  ++next_sequence_;
  active.end += batch_.size();
  active.written_bytes = std::max(active.written_bytes, active.end);
  marked_idle_ = false;
  ++counters_.batches;
  ++counters_.syncs;
  counters_.bytes += batch_.size();
  {
    base::MutexLock lock(mutex_);
    staged_file_ = 0;
  }
  staged_written_.NotifyAll();
  RetireSegments();
  return absl::OkStatus();
}

void RaftLog::RetireSegments() {
  base::MutexLock lock(mutex_);
  while (chain_.live().size() > 1 && index_.UseOf(chain_.live().front()->number).empty()) {
    readable_.erase(chain_.live().front()->number);
    chain_.RetireOldest();
  }
  oldest_file_ = chain_.live().front()->number;
  counters_.segments_live = chain_.live().size();
  counters_.segments_spare = chain_.spares();
}

std::optional<raft_log::FileNumber> RaftLog::OrderSpare() { return chain_.OrderSpare(); }

absl::StatusOr<std::shared_ptr<Segment>> RaftLog::PrepareSpare(FileSystem& file_system,
                                                               const std::string& directory,
                                                               raft_log::FileNumber number,
                                                               uint64_t bytes) {
  BASALT_ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment,
                          raft_log::CreateSegment(file_system, directory, number));
  BASALT_RETURN_IF_ERROR(raft_log::WriteAhead(file_system, *segment, bytes));
  return segment;
}

void RaftLog::AddSpare(std::shared_ptr<Segment> segment) {
  chain_.AddSpare(std::move(segment));
  counters_.segments_spare = chain_.spares();
}

}  // namespace basalt::storage
