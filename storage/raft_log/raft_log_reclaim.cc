#include "storage/raft_log/raft_log_reclaim.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace basalt::storage {

using raft_log::EntryRun;
using raft_log::GroupLog;
using raft_log::Owner;
using raft_log::Segment;
using raft_log::SegmentUse;

absl::StatusOr<RaftLog::ReclaimPlan> RaftLog::PlanReclaim() {
  ReclaimPlan plan;
  if (chain_.live().size() <= options_.segments_kept) return plan;
  const Segment& oldest = *chain_.live().front();
  std::vector<EntryRun> runs;
  {
    base::MutexLock lock(mutex_);
    const SegmentUse use = index_.UseOf(oldest.number);
    if (use.states > 0) {
      plan.states = index_.GroupsWithStateIn(oldest.number, options_.forward_groups_max);
    }
    // Copying fuller segments than a quarter would fill others as fast, and never end. Of a log
    // that is emptier than a quarter each turn around frees three times what it copies.
    const uint64_t copy_max = std::min(options_.copy_segment_bytes_max, options_.segment_bytes / 4);
    const size_t segments = chain_.live().size();
    const bool mostly_dead = segments > 2 * options_.segments_kept &&
                             index_.LiveEntryBytes() <= segments * options_.segment_bytes / 4;
    if (use.entries > 0 && (use.entry_bytes <= copy_max || mostly_dead)) {
      runs = index_.EntriesIn(oldest.number, options_.copy_bytes_max);
    }
    for (const raft::GroupId group : plan.states) {
      plan.bytes += raft_log::DroppedBytes();
      const GroupLog* log = index_.Find(group);
      if (log != nullptr) plan.bytes += raft_log::StateBytes(*log->base);
    }
  }
  for (EntryRun& run : runs) {
    plan.bytes += raft_log::EntriesHeaderBytes();
    for (const raft_log::EntryPosition& position : run.positions) plan.bytes += position.bytes;
    BASALT_ASSIGN_OR_RETURN(std::vector<raft::Entry> entries,
                            ReadRun(oldest, run.positions, run.first));
    plan.copies.push_back({std::move(run), std::move(entries)});
  }
  return plan;
}

absl::Status RaftLog::AddReclaimed(const ReclaimPlan& plan) {
  for (const raft::GroupId group : plan.states) {
    base::MutexLock lock(mutex_);
    const raft_log::FileNumber file = chain_.active().number;
    // Writes of this very batch may have changed or dropped what the plan was made from; what is
    // repeated is the state as it is now.
    if (const std::optional<raft::ReplicaId> dropped = index_.TombstoneOf(group)) {
      raft_log::AppendDropped(batch_, {group, *dropped});
      index_.Drop({group, *dropped}, file);
      ++batch_records_;
    }
    if (const GroupLog* log = index_.Find(group)) {
      const Owner owner{group, log->replica};
      const raft::HardState hard_state = *log->hard_state;
      const raft::LogBase base = *log->base;
      raft_log::AppendState(batch_, owner, raft_log::StateReason::kForwarded, hard_state, base);
      index_.SetState(owner, raft_log::StateReason::kForwarded, hard_state, base, file);
      ++batch_records_;
    }
    ++counters_.states_forwarded;
  }
  for (const ReclaimPlan::Copy& copy : plan.copies) {
    if (!StillAt(copy.run)) continue;
    BASALT_RETURN_IF_ERROR(
        AddEntries(copy.run.owner, raft_log::EntriesReason::kCopied, copy.entries));
    counters_.entries_copied += copy.entries.size();
  }
  return absl::OkStatus();
}

bool RaftLog::StillAt(const EntryRun& run) {
  base::MutexLock lock(mutex_);
  const GroupLog* log = index_.Find(run.owner.group);
  if (log == nullptr || log->replica != run.owner.replica) return false;
  if (run.first < log->first || run.first + run.positions.size() > log->next()) return false;
  for (size_t i = 0; i < run.positions.size(); ++i) {
    const raft_log::EntryPosition& now = log->entries[(run.first + i) - log->first];
    if (now.file != run.positions[i].file || now.offset != run.positions[i].offset) return false;
  }
  return true;
}

}  // namespace basalt::storage
