#include "tests/simulator/virtual_log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace basalt::testing {
namespace {

constexpr server::MonotonicTime kIdleAfter = milliseconds(100);
constexpr server::MonotonicTime kStallLooks = milliseconds(20);
constexpr server::MonotonicTime kSpareRetryAfter = seconds(1);

}  // namespace

VirtualLog::VirtualLog(Ports ports, std::unique_ptr<storage::RaftLog> log, uint64_t segment_bytes)
    : ports_(std::move(ports)), log_(std::move(log)), segment_bytes_(segment_bytes) {
  OrderSpare();
}

void VirtualLog::Append(std::vector<raft::LogWrite> writes) {
  if (ports_.disk.dead()) return;
  for (const raft::LogWrite& write : writes) ports_.watcher.OnQueued(ports_.node, write);
  std::move(writes.begin(), writes.end(), std::back_inserter(queue_));
  if (!busy_) Begin();
}

void VirtualLog::Make(Change change, VirtualTime::Event done) {
  if (ports_.disk.dead()) return;
  changes_.push_back({std::move(change), std::move(done)});
  if (!busy_) Begin();
}

absl::StatusOr<std::vector<raft::Entry>> VirtualLog::Read(raft::GroupId group, raft::LogIndex first,
                                                          raft::LogIndex last, size_t bytes_max) {
  BASALT_CHECK(!IsPending(group));
  return log_->Read(group, first, last, bytes_max);
}

bool VirtualLog::IsPending(raft::GroupId group) const {
  const auto is_of_group = [group](const raft::LogWrite& write) { return write.group == group; };
  return std::any_of(queue_.begin(), queue_.end(), is_of_group) ||
         std::any_of(taken_.begin(), taken_.end(), is_of_group);
}

bool VirtualLog::Goes(const absl::Status& status) {
  if (status.ok()) return !ports_.disk.dead();
  // An error that the disk did not give is a bug of the log.
  const bool disk_failed = status.code() == absl::StatusCode::kInternal ||
                           status.code() == absl::StatusCode::kResourceExhausted;
  BASALT_CHECK_MSG(disk_failed, base::Message(status));
  ports_.disk.EndProcess(status);
  return false;
}

void VirtualLog::Begin() {
  busy_ = true;
  taken_.swap(queue_);
  taken_changes_.swap(changes_);
  // Now and then the disk is slow.
  const uint64_t time_max_us = ports_.random.OneIn(200) ? 100'000 : 1'000;
  ports_.after(microseconds(ports_.random.Between(100, time_max_us)) + ports_.speed.slower_by,
               [this] { Commit(); });
}

void VirtualLog::Commit() {
  if (ports_.time.Now() < ports_.speed.stalled_until) {
    return ports_.after(kStallLooks, [this] { Commit(); });
  }
  if (!Write()) return;
  done_.clear();
  for (const raft::LogWrite& write : taken_) done_.push_back({write.group, write.persist.id});
  taken_.clear();
  ++commits_;
  if (!done_.empty()) ports_.listener.OnDurable(done_);
  for (WaitingChange& made : std::exchange(taken_changes_, {})) made.done();
  OrderSpare();
  if (!queue_.empty() || !changes_.empty()) return Begin();
  busy_ = false;
  ports_.after(kIdleAfter, [this, commits = commits_] { MarkIdle(commits); });
}

bool VirtualLog::Write() {
  if (ports_.commits_before_false_alarm != 0 && commits_ == ports_.commits_before_false_alarm) {
    return Goes(absl::InternalError("a false alarm"));
  }
  if (!Goes(log_->Commit(taken_))) return false;
  for (const WaitingChange& waiting : taken_changes_) {
    if (!Goes(waiting.change(*log_))) return false;
  }
  return true;
}

void VirtualLog::Stop() {
  if (!Write()) return;
  taken_.swap(queue_);
  taken_changes_.swap(changes_);
  if (!Write()) return;
  (void)Goes(log_->Mark());
}

void VirtualLog::OrderSpare() {
  if (spare_ordered_) return;
  const auto number = log_->OrderSpare();
  if (!number) return;
  spare_ordered_ = true;
  ports_.after(milliseconds(ports_.random.Between(1, 20)) + ports_.speed.slower_by,
               [this, number = *number] { PrepareSpare(number); });
}

void VirtualLog::PrepareSpare(storage::raft_log::FileNumber number) {
  auto segment =
      storage::RaftLog::PrepareSpare(ports_.disk, log_->directory(), number, segment_bytes_);
  if (segment.status().code() == absl::StatusCode::kResourceExhausted) {
    ports_.after(kSpareRetryAfter, [this, number] { PrepareSpare(number); });
    return;
  }
  if (!Goes(segment.status())) return;
  log_->AddSpare(*std::move(segment));
  spare_ordered_ = false;
}

void VirtualLog::MarkIdle(uint64_t commits) {
  if (busy_ || commits != commits_) return;
  const absl::StatusOr<bool> done = log_->MarkIdle();
  if (!Goes(done.status())) return;
  if (!*done) ports_.after(milliseconds(1), [this, commits] { MarkIdle(commits); });
}

}  // namespace basalt::testing
