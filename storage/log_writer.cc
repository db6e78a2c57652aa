#include "storage/log_writer.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace basalt::storage {
namespace {

void EndOnFailure(const absl::Status& status) {
  if (!status.ok()) base::DiskFailed(base::Message(status));
}

}  // namespace

LogWriter::LogWriter(FileSystem& file_system, std::unique_ptr<RaftLog> log,
                     const LogWriterOptions& options)
    : file_system_(file_system), log_(std::move(log)), options_(options) {}

LogWriter::~LogWriter() { Stop(); }

void LogWriter::Start(raft::LogStoreListener& listener) {
  BASALT_CHECK(!thread_.joinable());
  listener_ = &listener;
  thread_ = std::thread([this] { Run(); });
  ::pthread_setname_np(thread_.native_handle(), "log");
  if (options_.write_ahead_bytes > 0) {
    write_ahead_thread_ = std::thread([this] { RunWriteAhead(); });
    ::pthread_setname_np(write_ahead_thread_.native_handle(), "write-ahead");
  }
}

void LogWriter::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopping_ = true;
  }
  work_.NotifyAll();
  if (thread_.joinable()) thread_.join();
  {
    base::MutexLock lock(spare_mutex_);
    spare_stopping_ = true;
  }
  spare_ordered_.NotifyAll();
  if (write_ahead_thread_.joinable()) write_ahead_thread_.join();
}

void LogWriter::Append(std::vector<raft::LogWrite> writes) {
  if (writes.empty()) return;
  bool was_empty = false;
  {
    base::MutexLock lock(mutex_);
    BASALT_CHECK(!stopping_);
    was_empty = queue_.empty();
    if (was_empty) {
      queue_ = std::move(writes);
    } else {
      std::move(writes.begin(), writes.end(), std::back_inserter(queue_));
    }
  }
  if (was_empty) work_.NotifyOne();
}

absl::StatusOr<std::vector<raft::Entry>> LogWriter::Read(raft::GroupId group, raft::LogIndex first,
                                                         raft::LogIndex last, size_t bytes_max) {
  {
    base::MutexLock lock(mutex_);
    if (TouchesPending(group, last)) {
      // The turn under way may have left with a part of it; the next one takes the rest.
      const uint64_t turn = queue_.empty() ? turns_begun_ : turns_begun_ + 1;
      while (turns_done_ < turn) completed_.Wait(mutex_);
    }
  }
  return log_->Read(group, first, last, bytes_max);
}

bool LogWriter::TouchesPending(raft::GroupId group, raft::LogIndex last) const {
  const auto touches = [group, last](const raft::LogWrite& write) {
    return write.group == group &&
           (write.persist.base.has_value() ||
            (!write.persist.entries.empty() && write.persist.entries.front().index <= last));
  };
  return std::any_of(taken_.begin(), taken_.end(), touches) ||
         std::any_of(queue_.begin(), queue_.end(), touches);
}

void LogWriter::CreateGroups(std::vector<NewGroup> groups) {
  Change change;
  change.create = std::move(groups);
  AwaitChange(std::move(change));
}

void LogWriter::DropGroup(raft::GroupId group, raft::ReplicaId replica) {
  Change change;
  change.drop.push_back({group, replica});
  AwaitChange(std::move(change));
}

void LogWriter::AwaitChange(Change change) {
  base::MutexLock lock(mutex_);
  BASALT_CHECK(!stopping_);
  changes_.push_back(&change);
  work_.NotifyOne();
  while (!change.done) completed_.Wait(mutex_);
}

void LogWriter::Run() {
  OrderSpare();
  while (TakeWork()) {
    if (taken_.empty() && taken_changes_.empty()) {
      MarkIdle();
    } else {
      CommitTaken();
    }
    OrderSpare();
  }
  EndOnFailure(log_->Mark());
}

bool LogWriter::TakeWork() {
  base::MutexLock lock(mutex_);
  while (queue_.empty() && changes_.empty()) {
    if (stopping_) return false;
    if (idle_) {
      work_.Wait(mutex_);
    } else if (!work_.WaitFor(mutex_, options_.idle_after)) {
      // Woken by nobody: time to mark the log, unless something came at the last moment.
      if (queue_.empty() && changes_.empty() && !stopping_) return true;
    }
  }
  taken_.swap(queue_);
  taken_changes_.swap(changes_);
  ++turns_begun_;
  return true;
}

void LogWriter::CommitTaken() {
  const auto start = std::chrono::steady_clock::now();
  EndOnFailure(log_->Commit(taken_));
  if (options_.on_commit) options_.on_commit(taken_, std::chrono::steady_clock::now() - start);
  for (Change* change : taken_changes_) MakeChange(*change);
  idle_ = false;
  ReportDurable();
  {
    base::MutexLock lock(mutex_);
    taken_.clear();
    for (Change* change : taken_changes_) change->done = true;
    ++turns_done_;
  }
  taken_changes_.clear();
  completed_.NotifyAll();
}

void LogWriter::ReportDurable() {
  done_.clear();
  for (const raft::LogWrite& write : taken_) done_.push_back({write.group, write.persist.id});
  if (!done_.empty()) listener_->OnDurable(done_);
}

void LogWriter::MakeChange(Change& change) {
  for (const raft_log::Owner& owner : change.drop) {
    EndOnFailure(log_->DropGroup(owner.group, owner.replica));
  }
  EndOnFailure(log_->CreateGroups(change.create));
}

void LogWriter::MarkIdle() {
  absl::StatusOr<bool> idle = log_->MarkIdle();
  EndOnFailure(idle.status());
  idle_ = *idle;
}

void LogWriter::OrderSpare() {
  if (options_.write_ahead_bytes == 0) return;
  base::MutexLock lock(spare_mutex_);
  if (spare_made_ != nullptr) log_->AddSpare(std::move(spare_made_));
  spare_made_ = nullptr;
  if (spare_order_ != 0) return;
  if (const auto number = log_->OrderSpare()) {
    spare_order_ = *number;
    spare_ordered_.NotifyOne();
  }
}

absl::StatusOr<std::shared_ptr<raft_log::Segment>> LogWriter::MakeSpare(raft_log::FileNumber number,
                                                                        bool again) {
  if (again) {
    const absl::Status removed =
        file_system_.Remove(raft_log::SegmentPath(log_->directory(), number));
    if (!removed.ok() && removed.code() != absl::StatusCode::kNotFound) return removed;
  }
  return RaftLog::PrepareSpare(file_system_, log_->directory(), number, options_.write_ahead_bytes);
}

void LogWriter::RunWriteAhead() {
  bool no_space = false;
  while (true) {
    raft_log::FileNumber number = 0;
    {
      base::MutexLock lock(spare_mutex_);
      while (spare_order_ == 0 && !spare_stopping_) spare_ordered_.Wait(spare_mutex_);
      if (spare_stopping_) return;
      number = spare_order_;
    }
    auto segment = MakeSpare(number, /*again=*/no_space);
    no_space = segment.status().code() == absl::StatusCode::kResourceExhausted;
    if (!no_space) EndOnFailure(segment.status());
    out_of_space_.store(no_space, std::memory_order_relaxed);
    base::MutexLock lock(spare_mutex_);
    if (segment.ok()) {
      spare_made_ = *std::move(segment);
      spare_order_ = 0;
    } else if (!spare_stopping_) {
      constexpr std::chrono::seconds kRetryAfter(1);
      spare_ordered_.WaitFor(spare_mutex_, kRetryAfter);
    }
  }
}

}  // namespace basalt::storage
