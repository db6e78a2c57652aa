#include "tests/cluster/virtual_log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace basalt::testing {
namespace {

constexpr server::MonotonicTime kIdleAfter = milliseconds(100);

// The disks of these tests do not fail: an error is a bug.
void Expect(const absl::Status& status) { BASALT_CHECK_MSG(status.ok(), base::Message(status)); }

}  // namespace

VirtualLog::VirtualLog(Ports ports, std::unique_ptr<storage::RaftLog> log, uint64_t segment_bytes)
    : ports_(std::move(ports)), log_(std::move(log)), segment_bytes_(segment_bytes) {
  OrderSpare();
}

void VirtualLog::Append(std::vector<raft::LogWrite> writes) {
  std::move(writes.begin(), writes.end(), std::back_inserter(queue_));
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

void VirtualLog::Begin() {
  busy_ = true;
  taken_ = std::exchange(queue_, {});
  // Now and then the disk is slow.
  const uint64_t time_max_us = ports_.random.OneIn(200) ? 100'000 : 1'000;
  ports_.after(microseconds(ports_.random.Between(100, time_max_us)), [this] { Commit(); });
}

void VirtualLog::Commit() {
  Expect(log_->Commit(taken_));
  std::vector<raft::PersistDone> done;
  for (const raft::LogWrite& write : taken_) done.push_back({write.group, write.persist.id});
  taken_.clear();
  ++commits_;
  ports_.listener.OnDurable(done);
  OrderSpare();
  if (!queue_.empty()) return Begin();
  busy_ = false;
  ports_.after(kIdleAfter, [this, commits = commits_] { MarkIdle(commits); });
}

void VirtualLog::OrderSpare() {
  if (spare_ordered_) return;
  const auto number = log_->OrderSpare();
  if (!number) return;
  spare_ordered_ = true;
  ports_.after(milliseconds(ports_.random.Between(1, 20)), [this, number = *number] {
    auto segment =
        storage::RaftLog::PrepareSpare(ports_.files, log_->directory(), number, segment_bytes_);
    Expect(segment.status());
    log_->AddSpare(*std::move(segment));
    spare_ordered_ = false;
  });
}

void VirtualLog::MarkIdle(uint64_t commits) {
  if (busy_ || commits != commits_) return;
  const absl::StatusOr<bool> done = log_->MarkIdle();
  Expect(done.status());
  if (!*done) ports_.after(milliseconds(1), [this, commits] { MarkIdle(commits); });
}

}  // namespace basalt::testing
