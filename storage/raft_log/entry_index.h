// EntryIndex: what the log holds of every replica, and where each entry lies.
//
// Entries are not in memory, only 24 bytes of position for each. It also counts, for every segment
// file, what in it is still needed. Replay and the running log feed it the same calls; replay may
// start in the middle of history, so a replica's entries may come before its base is known and may
// have holes that copied entries fill later. CheckComplete says whether all came together.
//
// Invariants:
// I1 live(file).entries is the number of positions with that file; live(file).states the number of
//    hard states, bases and tombstones whose newest record lies there; holes() is the number of
//    positions with file 0.
// I2 A record of a replica at or below its group's tombstone, or below the replica that now lives
//    here, changes nothing.
// Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"

#include "raft/core/types.h"
#include "storage/raft_log/record_codec.h"

namespace basalt::storage::raft_log {

using FileNumber = uint32_t;  // from 1

struct EntryPosition {
  raft::Term term;
  FileNumber file = 0;  // 0: a hole
  uint32_t offset = 0;
  uint32_t bytes = 0;
  uint32_t crc = 0;  // of those bytes
};

struct GroupLog {
  raft::ReplicaId replica;
  std::optional<raft::HardState> hard_state;
  FileNumber hard_state_file = 0;
  std::optional<raft::LogBase> base;
  FileNumber base_file = 0;
  raft::LogIndex first;  // of entries.front(); the next one to come when there are none
  std::deque<EntryPosition> entries;

  raft::LogIndex next() const { return first + entries.size(); }
};

// What a segment file holds that is still needed.
struct SegmentUse {
  uint64_t entries = 0;
  uint64_t entry_bytes = 0;
  uint64_t states = 0;

  bool empty() const { return entries == 0 && states == 0; }
};

struct EntryRun {
  Owner owner;
  raft::LogIndex first;
  std::vector<EntryPosition> positions;
};

// `through`: once the log starts behind this index, the group no longer pins the segment.
struct PinningGroup {
  raft::GroupId group;
  raft::ReplicaId replica;
  raft::LogIndex through;
};

class EntryIndex {
 public:
  // False: the replica is gone from here and its records are void (I2).
  bool Admits(const Owner& owner) const;
  const GroupLog* Find(raft::GroupId group) const;
  // The replica's log holds an entry or a base of that index and term.
  bool Holds(const Owner& owner, raft::LogIndex index, raft::Term term) const;

  void SetState(const Owner& owner, StateReason reason, const raft::HardState& hard_state,
                const raft::LogBase& base, FileNumber file);
  void SetHardState(const Owner& owner, const raft::HardState& hard_state, FileNumber file);
  void SetBase(const Owner& owner, const raft::LogBase& base, bool dropped_all, FileNumber file);
  void ReplaceFrom(const Owner& owner, raft::LogIndex first,
                   const std::vector<EntryPosition>& positions);
  void Relocate(const Owner& owner, raft::LogIndex first,
                const std::vector<EntryPosition>& positions);
  void Drop(const Owner& owner, FileNumber file);

  SegmentUse UseOf(FileNumber file) const;
  uint64_t LiveEntryBytes() const;  // in all files
  // At most `states_max` groups whose state (or tombstone) lies in `file`.
  std::vector<raft::GroupId> GroupsWithStateIn(FileNumber file, size_t states_max) const;
  // Entries that lie in `file`, in runs of consecutive indexes, until `bytes_max` is passed.
  std::vector<EntryRun> EntriesIn(FileNumber file, size_t bytes_max) const;
  std::vector<PinningGroup> GroupsPinning(FileNumber file) const;

  const std::map<raft::GroupId, GroupLog>& groups() const { return groups_; }
  // The highest replica dropped of each group that ever had one dropped.
  std::vector<Owner> Tombstones() const;
  std::optional<raft::ReplicaId> TombstoneOf(raft::GroupId group) const;

  uint64_t holes() const { return holes_; }
  // How many holes `count` entries from `first` on would leave to what the replica's log holds.
  uint64_t HolesBeside(const Owner& owner, EntriesReason reason, raft::LogIndex first,
                       size_t count) const;
  absl::Status CheckComplete() const;

 private:
  struct Tombstone {
    raft::ReplicaId replica;
    FileNumber file = 0;
  };

  // The replica's log, emptied when another replica lived there; null when the record is void.
  GroupLog* Admit(const Owner& owner);
  void PlaceHardState(GroupLog& log, const raft::HardState& hard_state, FileNumber file);
  void PlaceBase(GroupLog& log, const raft::LogBase& base, FileNumber file);
  void DropEntriesThrough(GroupLog& log, raft::LogIndex index);
  void ClearEntries(GroupLog& log, raft::LogIndex first);
  void Clear(GroupLog& log);
  // Holes at the end, until `next` is the next index.
  void GrowTo(GroupLog& log, raft::LogIndex next);
  void CountEntry(const EntryPosition& position);
  void UncountEntry(const EntryPosition& position);
  void MoveState(FileNumber& from, FileNumber to);

  std::map<raft::GroupId, GroupLog> groups_;
  std::map<raft::GroupId, Tombstone> tombstones_;
  std::map<FileNumber, SegmentUse> uses_;
  uint64_t holes_ = 0;
};

// Feeds records into an index. The records start at `offset` of `file`.
class IndexingSink final : public RecordSink {
 public:
  // `holes_max`: a log that says that more is missing than it has room for is damaged.
  IndexingSink(EntryIndex& index, FileNumber file, uint32_t offset, uint64_t holes_max)
      : index_(index), file_(file), offset_(offset), holes_max_(holes_max) {}

  // Not OK: a record with indexes that no log has; it and all behind it were left out.
  const absl::Status& status() const { return status_; }

  void OnState(const Owner& owner, StateReason reason, const raft::HardState& hard_state,
               const raft::LogBase& base) override;
  void OnHardState(const Owner& owner, const raft::HardState& hard_state) override;
  void OnBase(const Owner& owner, const raft::LogBase& base, bool dropped_all) override;
  void OnEntries(const Owner& owner, EntriesReason reason, raft::LogIndex first,
                 std::vector<EncodedEntry> entries) override;
  void OnDropped(const Owner& owner) override;

 private:
  bool Takes(raft::LogIndex index, uint64_t holes);

  EntryIndex& index_;
  const FileNumber file_;
  const uint32_t offset_;
  const uint64_t holes_max_;
  absl::Status status_;
};

}  // namespace basalt::storage::raft_log
