// VirtualLog: LogWriter's part without its threads. What gathers while one commit takes its
// virtual time goes with the next; completions are reported after it, never before. A commit that
// fails ends the process.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "raft/log_store.h"
#include "storage/raft_log/raft_log.h"
#include "tests/simulator/dying_disk.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

// How a machine's disk does just now; outlives its processes.
struct DiskSpeed {
  server::MonotonicTime stalled_until{};
  server::MonotonicTime slower_by{};
};

class VirtualLog final : public raft::LogStore {
 public:
  struct Ports {
    DyingDisk& disk;
    // Runs an event of the process that owns this log, if it still lives then.
    std::function<void(server::MonotonicTime, VirtualTime::Event)> after;
    const VirtualTime& time;
    const DiskSpeed& speed;
    raft::LogStoreListener& listener;
    ReplicaWatcher& watcher;
    uint64_t node = 0;
    base::Random& random;
    // The planted bug: so many commits go well, and the next is taken for failed; 0: none is.
    uint64_t commits_before_false_alarm = 0;
  };

  VirtualLog(Ports ports, std::unique_ptr<storage::RaftLog> log, uint64_t segment_bytes);

  void Append(std::vector<raft::LogWrite> writes) override;
  // Only once nothing of the group is pending.
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId group, raft::LogIndex first,
                                                raft::LogIndex last, size_t bytes_max) override;
  bool IsPending(raft::GroupId group) const;
  // Makes a group known or ends one, with the next commit, as LogWriter does: once the completions
  // of what was queued before have been reported, `done` is called.
  using Change = std::function<absl::Status(storage::RaftLog&)>;
  void Make(Change change, VirtualTime::Event done);
  // A clean stop: writes what is queued, reports nothing, marks the log.
  void Stop();

  storage::RaftLog& log() { return *log_; }

 private:
  struct WaitingChange {
    Change change;
    VirtualTime::Event done;
  };

  void Begin();
  void Commit();
  // False: the process ends.
  bool Write();
  void OrderSpare();
  void PrepareSpare(storage::raft_log::FileNumber number);
  void MarkIdle(uint64_t commits);
  // Likewise.
  bool Goes(const absl::Status& status);

  Ports ports_;
  const std::unique_ptr<storage::RaftLog> log_;
  const uint64_t segment_bytes_;
  std::vector<raft::LogWrite> queue_;
  std::vector<raft::LogWrite> taken_;
  std::vector<WaitingChange> changes_;
  std::vector<WaitingChange> taken_changes_;
  std::vector<raft::PersistDone> done_;
  bool busy_ = false;
  bool spare_ordered_ = false;
  uint64_t commits_ = 0;
};

}  // namespace basalt::testing
