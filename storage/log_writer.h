// LogWriter: the thread that makes the log durable, and the LogStore that everybody else sees.
//
// It takes everything that has gathered, commits it as one batch (raft_log/raft_log.h decides all
// else), tells the listener, and begins anew: what arrives during one sync shares the next. When
// nothing came for a while it marks the log idle. A second thread writes segments ahead, which
// takes longer than a commit may wait. A failed disk ends the process.
//
// All functions are thread-safe but Start and Stop.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "raft/log_store.h"
#include "storage/file_system.h"
#include "storage/raft_log/raft_log.h"

namespace basalt::storage {

struct LogWriterOptions {
  std::chrono::milliseconds idle_after{100};
  // As the log's segment_bytes; 0: segments are not written ahead.
  uint64_t write_ahead_bytes = 64u << 20;
  // Called on the log thread after each commit, with what it carried and how long it took; for
  // metrics. May be empty.
  std::function<void(std::span<const raft::LogWrite>, std::chrono::nanoseconds)> on_commit;
};

class LogWriter final : public raft::LogStore {
 public:
  LogWriter(FileSystem& file_system, std::unique_ptr<RaftLog> log, const LogWriterOptions& options);
  ~LogWriter() override;  // stops

  // `listener` outlives Stop. Before Start nothing is written.
  void Start(raft::LogStoreListener& listener);
  // Writes what is queued, reports it, marks the log clean and ends the threads. Nothing may be
  // appended after.
  void Stop();

  void Append(std::vector<raft::LogWrite> writes) override;
  absl::StatusOr<std::vector<raft::Entry>> Read(raft::GroupId group, raft::LogIndex first,
                                                raft::LogIndex last, size_t bytes_max) override;

  // Return when durable. What was appended before is written before.
  void CreateGroups(std::vector<NewGroup> groups);
  void DropGroup(raft::GroupId group, raft::ReplicaId replica);

  // For recovery and status; of it, use only what is for any thread.
  RaftLog& log() { return *log_; }
  // The last attempt to write a segment ahead found no space: what is left of the present one is
  // all there is.
  bool out_of_space() const { return out_of_space_.load(std::memory_order_relaxed); }

 private:
  struct Change {
    std::vector<NewGroup> create;
    std::vector<raft_log::Owner> drop;
    bool done = false;
  };

  void Run();
  // Waits until there is work or the time to mark the log idle; false: stopped and drained.
  bool TakeWork();
  void CommitTaken();
  void ReportDurable();
  void MarkIdle();
  void MakeChange(Change& change);
  void AwaitChange(Change change);
  bool TouchesPending(raft::GroupId group, raft::LogIndex last) const BASALT_REQUIRES(mutex_);

  void OrderSpare();
  void RunWriteAhead();
  // `again`: the last try ran out of space, and may have left its file.
  absl::StatusOr<std::shared_ptr<raft_log::Segment>> MakeSpare(raft_log::FileNumber number,
                                                               bool again);

  FileSystem& file_system_;
  const std::unique_ptr<RaftLog> log_;
  const LogWriterOptions options_;
  raft::LogStoreListener* listener_ = nullptr;  // set before the threads start
  std::atomic<bool> out_of_space_{false};
  std::vector<raft::PersistDone> done_;  // log thread
  bool idle_ = false;                    // log thread: nothing left to mark

  base::Mutex mutex_;
  base::CondVar work_;       // for the log thread
  base::CondVar completed_;  // for those who wait on it
  bool stopping_ BASALT_GUARDED_BY(mutex_) = false;
  std::vector<raft::LogWrite> queue_ BASALT_GUARDED_BY(mutex_);
  // What is being written. Changed by the log thread, under the lock; read by it without.
  std::vector<raft::LogWrite> taken_;
  std::vector<Change*> changes_ BASALT_GUARDED_BY(mutex_);
  std::vector<Change*> taken_changes_;  // log thread
  uint64_t turns_begun_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t turns_done_ BASALT_GUARDED_BY(mutex_) = 0;

  base::Mutex spare_mutex_;
  base::CondVar spare_ordered_;
  bool spare_stopping_ BASALT_GUARDED_BY(spare_mutex_) = false;
  raft_log::FileNumber spare_order_ BASALT_GUARDED_BY(spare_mutex_) = 0;  // 0: none
  std::shared_ptr<raft_log::Segment> spare_made_ BASALT_GUARDED_BY(spare_mutex_);

  std::thread thread_;
  std::thread write_ahead_thread_;
};

}  // namespace basalt::storage
