#include "storage/raft_log/entry_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/status.h"

namespace basalt::storage::raft_log {
namespace {

// Room above every index, so that sums of an index and a count never wrap.
constexpr raft::LogIndex kIndexMax(std::numeric_limits<uint64_t>::max() / 2);

}  // namespace

bool EntryIndex::Admits(const Owner& owner) const {
  const auto tombstone = tombstones_.find(owner.group);
  if (tombstone != tombstones_.end() && owner.replica <= tombstone->second.replica) return false;
  const GroupLog* log = Find(owner.group);
  return log == nullptr || owner.replica >= log->replica;
}

const GroupLog* EntryIndex::Find(raft::GroupId group) const {
  const auto found = groups_.find(group);
  return found == groups_.end() ? nullptr : &found->second;
}

bool EntryIndex::Holds(const Owner& owner, raft::LogIndex index, raft::Term term) const {
  const GroupLog* log = Find(owner.group);
  if (log == nullptr || log->replica != owner.replica) return false;
  if (log->base && log->base->index == index) return log->base->term == term;
  if (index < log->first || index >= log->next()) return false;
  return log->entries[index - log->first].term == term;
}

GroupLog* EntryIndex::Admit(const Owner& owner) {
  if (!Admits(owner)) return nullptr;
  GroupLog& log = groups_[owner.group];
  if (log.replica != owner.replica) {
    Clear(log);
    log.replica = owner.replica;
  }
  return &log;
}

void EntryIndex::SetState(const Owner& owner, StateReason reason, const raft::HardState& hard_state,
                          const raft::LogBase& base, FileNumber file) {
  GroupLog* log = Admit(owner);
  if (log == nullptr) return;
  PlaceHardState(*log, hard_state, file);
  PlaceBase(*log, base, file);
  if (reason == StateReason::kCreated) {
    ClearEntries(*log, base.index + 1);
  } else {
    DropEntriesThrough(*log, base.index);
  }
}

void EntryIndex::SetHardState(const Owner& owner, const raft::HardState& hard_state,
                              FileNumber file) {
  if (GroupLog* log = Admit(owner)) PlaceHardState(*log, hard_state, file);
}

void EntryIndex::SetBase(const Owner& owner, const raft::LogBase& base, bool dropped_all,
                         FileNumber file) {
  GroupLog* log = Admit(owner);
  if (log == nullptr) return;
  PlaceBase(*log, base, file);
  if (dropped_all) {
    ClearEntries(*log, base.index + 1);
  } else {
    DropEntriesThrough(*log, base.index);
  }
}

void EntryIndex::ReplaceFrom(const Owner& owner, raft::LogIndex first,
                             const std::vector<EntryPosition>& positions) {
  GroupLog* log = Admit(owner);
  if (log == nullptr) return;
  while (!log->entries.empty() && log->next() > first) {
    UncountEntry(log->entries.back());
    log->entries.pop_back();
  }
  if (log->entries.empty()) log->first = first;
  GrowTo(*log, first);
  for (const EntryPosition& position : positions) {
    CountEntry(position);
    log->entries.push_back(position);
  }
}

void EntryIndex::Relocate(const Owner& owner, raft::LogIndex first,
                          const std::vector<EntryPosition>& positions) {
  GroupLog* log = Admit(owner);
  if (log == nullptr || positions.empty()) return;
  if (log->entries.empty()) log->first = first;
  while (first < log->first) {
    log->entries.emplace_front();
    ++holes_;
    log->first = log->first - 1;
  }
  GrowTo(*log, first + positions.size());
  for (size_t i = 0; i < positions.size(); ++i) {
    EntryPosition& slot = log->entries[(first + i) - log->first];
    UncountEntry(slot);
    CountEntry(positions[i]);
    slot = positions[i];
  }
}

void EntryIndex::Drop(const Owner& owner, FileNumber file) {
  if (const auto found = groups_.find(owner.group);
      found != groups_.end() && found->second.replica <= owner.replica) {
    Clear(found->second);
    groups_.erase(found);
  }
  Tombstone& tombstone = tombstones_[owner.group];
  if (tombstone.replica > owner.replica) return;
  tombstone.replica = owner.replica;
  MoveState(tombstone.file, file);
}

SegmentUse EntryIndex::UseOf(FileNumber file) const {
  const auto found = uses_.find(file);
  return found == uses_.end() ? SegmentUse{} : found->second;
}

uint64_t EntryIndex::LiveEntryBytes() const {
  uint64_t bytes = 0;
  for (const auto& [file, use] : uses_) bytes += use.entry_bytes;
  return bytes;
}

std::vector<raft::GroupId> EntryIndex::GroupsWithStateIn(FileNumber file, size_t states_max) const {
  std::vector<raft::GroupId> groups;
  for (const auto& [group, log] : groups_) {
    if (groups.size() >= states_max) return groups;
    if (log.hard_state_file == file || log.base_file == file) groups.push_back(group);
  }
  for (const auto& [group, tombstone] : tombstones_) {
    if (groups.size() >= states_max) return groups;
    if (tombstone.file == file) groups.push_back(group);
  }
  return groups;
}

std::vector<EntryRun> EntryIndex::EntriesIn(FileNumber file, size_t bytes_max) const {
  std::vector<EntryRun> runs;
  uint64_t left = UseOf(file).entries;
  size_t bytes = 0;
  for (const auto& [group, log] : groups_) {
    raft::LogIndex index = log.first;
    bool run_goes_on = false;
    for (const EntryPosition& position : log.entries) {
      if (left == 0 || bytes >= bytes_max) return runs;
      if (position.file == file) {
        if (!run_goes_on) runs.push_back({{group, log.replica}, index, {}});
        runs.back().positions.push_back(position);
        bytes += position.bytes;
        --left;
      }
      run_goes_on = position.file == file;
      ++index;
    }
  }
  return runs;
}

std::vector<PinningGroup> EntryIndex::GroupsPinning(FileNumber file) const {
  std::vector<PinningGroup> pinning;
  uint64_t left = UseOf(file).entries;
  for (const auto& [group, log] : groups_) {
    std::optional<raft::LogIndex> through;
    for (size_t i = 0; i < log.entries.size() && left > 0; ++i) {
      if (log.entries[i].file != file) continue;
      through = log.first + i;
      --left;
    }
    if (through) pinning.push_back({group, log.replica, *through});
  }
  return pinning;
}

std::vector<Owner> EntryIndex::Tombstones() const {
  std::vector<Owner> owners;
  for (const auto& [group, tombstone] : tombstones_) owners.push_back({group, tombstone.replica});
  return owners;
}

std::optional<raft::ReplicaId> EntryIndex::TombstoneOf(raft::GroupId group) const {
  const auto found = tombstones_.find(group);
  if (found == tombstones_.end()) return std::nullopt;
  return found->second.replica;
}

uint64_t EntryIndex::HolesBeside(const Owner& owner, EntriesReason reason, raft::LogIndex first,
                                 size_t count) const {
  const GroupLog* log = Find(owner.group);
  if (log == nullptr || log->replica != owner.replica || log->entries.empty()) return 0;
  if (first > log->next()) return first - log->next();
  const raft::LogIndex next = first + count;
  return reason == EntriesReason::kCopied && next < log->first ? log->first - next : 0;
}

absl::Status EntryIndex::CheckComplete() const {
  for (const auto& [group, log] : groups_) {
    if (!log.hard_state || !log.base) {
      return base::DataLoss(
          fmt::format("group {}: its term, vote or base is missing", group.value()));
    }
    raft::LogIndex expected = log.base->index + 1;
    if (!log.entries.empty() && log.first != expected) {
      return base::DataLoss(fmt::format("group {}: entries from {} to {} are missing",
                                        group.value(), expected.value(), log.first.value() - 1));
    }
    for (const EntryPosition& position : log.entries) {
      if (position.file == 0) {
        return base::DataLoss(
            fmt::format("group {}: entry {} is missing", group.value(), expected.value()));
      }
      ++expected;
    }
  }
  return absl::OkStatus();
}

void EntryIndex::PlaceHardState(GroupLog& log, const raft::HardState& hard_state, FileNumber file) {
  log.hard_state = hard_state;
  MoveState(log.hard_state_file, file);
}

void EntryIndex::PlaceBase(GroupLog& log, const raft::LogBase& base, FileNumber file) {
  log.base = base;
  MoveState(log.base_file, file);
}

void EntryIndex::DropEntriesThrough(GroupLog& log, raft::LogIndex index) {
  while (!log.entries.empty() && log.first <= index) {
    UncountEntry(log.entries.front());
    log.entries.pop_front();
    ++log.first;
  }
  if (log.entries.empty()) log.first = index + 1;
}

void EntryIndex::ClearEntries(GroupLog& log, raft::LogIndex first) {
  for (const EntryPosition& position : log.entries) UncountEntry(position);
  log.entries.clear();
  log.first = first;
}

void EntryIndex::Clear(GroupLog& log) {
  ClearEntries(log, raft::LogIndex(1));
  MoveState(log.hard_state_file, 0);
  MoveState(log.base_file, 0);
  log.hard_state.reset();
  log.base.reset();
}

void EntryIndex::GrowTo(GroupLog& log, raft::LogIndex next) {
  for (; log.next() < next; ++holes_) log.entries.emplace_back();
}

void EntryIndex::CountEntry(const EntryPosition& position) {
  SegmentUse& use = uses_[position.file];
  ++use.entries;
  use.entry_bytes += position.bytes;
}

void EntryIndex::UncountEntry(const EntryPosition& position) {
  if (position.file == 0) {
    --holes_;
    return;
  }
  SegmentUse& use = uses_[position.file];
  BASALT_CHECK(use.entries > 0 && use.entry_bytes >= position.bytes);  // I1
  --use.entries;
  use.entry_bytes -= position.bytes;
}

void EntryIndex::MoveState(FileNumber& from, FileNumber to) {
  if (from != 0) {
    SegmentUse& use = uses_[from];
    BASALT_CHECK(use.states > 0);  // I1
    --use.states;
  }
  if (to != 0) ++uses_[to].states;
  from = to;
}

bool IndexingSink::Takes(raft::LogIndex index, uint64_t holes) {
  if (!status_.ok()) return false;
  if (index > kIndexMax) {
    status_ = base::DataLoss(fmt::format("index {} is out of range", index.value()));
  } else if (holes > holes_max_) {
    status_ = base::DataLoss(
        fmt::format("{} entries are missing before or behind entry {}", holes, index.value()));
  }
  return status_.ok();
}

void IndexingSink::OnState(const Owner& owner, StateReason reason,
                           const raft::HardState& hard_state, const raft::LogBase& base) {
  if (!Takes(base.index, 0)) return;
  index_.SetState(owner, reason, hard_state, base, file_);
}

void IndexingSink::OnHardState(const Owner& owner, const raft::HardState& hard_state) {
  if (!status_.ok()) return;
  index_.SetHardState(owner, hard_state, file_);
}

void IndexingSink::OnBase(const Owner& owner, const raft::LogBase& base, bool dropped_all) {
  if (!Takes(base.index, 0)) return;
  index_.SetBase(owner, base, dropped_all, file_);
}

void IndexingSink::OnEntries(const Owner& owner, EntriesReason reason, raft::LogIndex first,
                             std::vector<EncodedEntry> entries) {
  if (!Takes(first, 0)) return;
  // Would give an empty log another beginning than behind its base.
  if (entries.empty()) {
    status_ = base::DataLoss(fmt::format("a record of no entries at index {}", first.value()));
    return;
  }
  const uint64_t holes = index_.HolesBeside(owner, reason, first, entries.size());
  if (!Takes(first, holes == 0 ? 0 : index_.holes() + holes)) return;
  std::vector<EntryPosition> positions;
  positions.reserve(entries.size());
  for (const EncodedEntry& entry : entries) {
    positions.push_back({entry.term, file_, offset_ + entry.offset, entry.bytes, entry.crc});
  }
  if (reason == EntriesReason::kAppended) {
    index_.ReplaceFrom(owner, first, positions);
  } else {
    index_.Relocate(owner, first, positions);
  }
}

void IndexingSink::OnDropped(const Owner& owner) {
  if (status_.ok()) index_.Drop(owner, file_);
}

}  // namespace basalt::storage::raft_log
