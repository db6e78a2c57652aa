// RaftLog: the durable log of one node, shared by all of its groups (docs/formats.md, "The log").
//
// One thread, the log's, calls what writes; a call returns when what it was given is durable: one
// write and one sync for all groups together. Read, Groups, Replicas, Recover, Tombstones,
// GroupsPinning and counters are for any thread. The simulator calls it directly, without
// LogWriter.
//
// Once a writing function has failed, the disk holds nobody knows what: the log takes nothing any
// more (CHECK), and its owner ends the process.
//
// Invariants:
// L1 One batch at a time: a batch is written only after the one before it was synced.
// L2 A segment is written over only after a durable header says that nothing below its end is
//    needed; that header is written only after all that was still needed of it was synced
//    elsewhere.
// L3 After Open, nothing that a later write says was synced rests on the page cache alone.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "raft/log_store.h"
#include "storage/file_system.h"
#include "storage/raft_log/entry_index.h"
#include "storage/raft_log/segment_chain.h"

namespace basalt::storage {

struct RaftLogOptions {
  // Names the log if Open has to make one: random, not 0. A log that exists keeps its own.
  uint64_t identity_for_new_log = 0;
  // Not 0: the log must be there, and be this one.
  uint64_t expected_identity = 0;
  uint64_t segment_bytes = 64u << 20;
  // With more segments than this in use, the oldest one is emptied.
  size_t segments_kept = 4;
  size_t spares_max = 2;
  // What one batch carries at most of the oldest segment's contents.
  size_t forward_groups_max = 64;
  size_t copy_bytes_max = 256u << 10;
  // A segment with more bytes of live entries than this, or than a quarter of its size, is not
  // copied: the groups that pin it are to be flushed (GroupsPinning). What no flush lets go (a
  // group without a quorum cannot apply what it holds) is copied too once twice `segments_kept` are
  // in use and the live entries fill less than a quarter of them all.
  uint64_t copy_segment_bytes_max = 4u << 20;
};

struct NewGroup {
  raft::GroupId group;
  raft::ReplicaId replica;
  raft::LogBase base;
};

// For metrics; each is exact, together they are not one moment.
struct RaftLogCounters {
  std::atomic<uint64_t> batches{0};
  std::atomic<uint64_t> syncs{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> writes{0};  // LogWrites: writes / batches is what shared a sync
  std::atomic<uint64_t> idle_markers{0};
  std::atomic<uint64_t> rolls{0};
  std::atomic<uint64_t> states_forwarded{0};
  std::atomic<uint64_t> entries_copied{0};
  std::atomic<uint64_t> segments_live{0};
  std::atomic<uint64_t> segments_spare{0};
};

class RaftLog {
 public:
  // Recovers what `directory` holds, or makes a new log there, durably. DataLoss names file and
  // offset of damage below what is known to have been durable, or the log that is gone;
  // FailedPrecondition: a newer format or files of two logs. Nothing is changed on disk then.
  static absl::StatusOr<std::unique_ptr<RaftLog>> Open(FileSystem& file_system,
                                                       std::string directory,
                                                       const RaftLogOptions& options);
  ~RaftLog();
  RaftLog(const RaftLog&) = delete;
  RaftLog& operator=(const RaftLog&) = delete;

  // Given when the log was made.
  uint64_t identity() const { return chain_.log_identity(); }

  // A write of a replica that was dropped is void. Of one that was never created: a bug.
  absl::Status Commit(std::span<const raft::LogWrite> writes);
  // Replica ids rise; a group that exists under a lower one is replaced.
  absl::Status CreateGroups(std::span<const NewGroup> groups);
  // Leaves a tombstone: no replica of the group up to `replica` is accepted again.
  absl::Status DropGroup(raft::GroupId group, raft::ReplicaId replica);
  // For when nothing was written for a while: moves on with emptying old segments, then does what
  // Mark does. True when nothing is left to do; one sync at most a call.
  absl::StatusOr<bool> MarkIdle();
  // For a clean stop, which is not to wait for the emptying: writes the marker that makes the last
  // batch known to be synced.
  absl::Status Mark();

  // Writing ahead: when a number is ordered, make its file by PrepareSpare (any thread, blocks) and
  // hand it in.
  std::optional<raft_log::FileNumber> OrderSpare();
  static absl::StatusOr<std::shared_ptr<raft_log::Segment>> PrepareSpare(
      FileSystem& file_system, const std::string& directory, raft_log::FileNumber number,
      uint64_t bytes);
  void AddSpare(std::shared_ptr<raft_log::Segment> segment);

  // As raft::LogStore::Read; what is being written is waited for.
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId group, raft::LogIndex first,
                                                raft::LogIndex last, size_t bytes_max);
  std::vector<raft::GroupId> Groups();
  // The one of each group.
  std::vector<raft_log::Owner> Replicas();
  // State and all entries; NotFound: no such group.
  absl::StatusOr<raft::RecoveredLog> Recover(raft::GroupId group);
  std::vector<raft_log::Owner> Tombstones();
  // Groups whose entries keep the oldest segment alive although it should go.
  std::vector<raft_log::PinningGroup> GroupsPinning();
  const RaftLogCounters& counters() const { return counters_; }
  const std::string& directory() const { return directory_; }

 private:
  struct ReclaimPlan;
  struct ReadPlan;

  RaftLog(FileSystem& file_system, std::string directory, const RaftLogOptions& options,
          raft_log::EntryIndex index, const raft_log::RecoveredChain& chain);

  absl::Status Guard(absl::Status status);
  absl::Status CommitWrites(std::span<const raft::LogWrite> writes);
  absl::Status AddWrite(const raft::LogWrite& write);
  absl::Status AddBase(const raft_log::Owner& owner, const raft::LogBase& base);
  absl::Status AddEntries(const raft_log::Owner& owner, raft_log::EntriesReason reason,
                          std::span<const raft::Entry> entries);

  absl::Status BeginBatch(uint64_t records_bytes);
  absl::Status MakeRoomFor(uint64_t record_bytes);
  absl::Status FinishBatch();
  absl::Status FinishMarker();
  void RetireSegments();

  absl::StatusOr<ReclaimPlan> PlanReclaim();
  absl::Status AddReclaimed(const ReclaimPlan& plan);
  bool StillAt(const raft_log::EntryRun& run);

  absl::StatusOr<std::vector<raft::Entry>> ReadRun(const raft_log::Segment& segment,
                                                   std::span<const raft_log::EntryPosition> run,
                                                   raft::LogIndex first);
  bool IsStaged(const raft_log::EntryPosition& position) const BASALT_REQUIRES(mutex_);

  FileSystem& file_system_;
  const std::string directory_;
  const RaftLogOptions options_;
  RaftLogCounters counters_;

  // The log's thread only.
  raft_log::SegmentChain chain_;
  uint64_t next_sequence_;
  bool failed_ = false;
  bool marked_idle_ = false;
  std::string batch_;  // header and records of the batch being made
  uint32_t batch_records_ = 0;
  uint64_t batch_room_ = 0;
  std::vector<raft_log::EntryPosition> positions_;

  base::Mutex mutex_;
  base::CondVar staged_written_;
  raft_log::EntryIndex index_ BASALT_GUARDED_BY(mutex_);
  std::map<raft_log::FileNumber, std::shared_ptr<raft_log::Segment>> readable_
      BASALT_GUARDED_BY(mutex_);
  raft_log::FileNumber oldest_file_ BASALT_GUARDED_BY(mutex_) = 0;
  // The index already names entries of the batch being made; from here on the file does not hold
  // them yet. File 0: no batch is being made.
  raft_log::FileNumber staged_file_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t staged_from_ BASALT_GUARDED_BY(mutex_) = 0;
};

}  // namespace basalt::storage
