// DyingDisk: the file system as one process sees it, and the moment of the process's death in the
// midst of what it does: before the n-th operation that changes something, a copy of the disk is
// taken. What the process goes on to do until its event ends happened to nobody; whoever runs it
// throws that away and goes on with the copy.
//
// A write that finds no space and a sync that fails end the process likewise (docs/decisions: a
// failed write or sync is never retried). The log gets the error first: whether it passes it on is
// under test.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

inline const std::string kLogDirectory = "/log";
inline const std::string kShardsDirectory = "/shards";
inline const std::string kCheckpointsDirectory = "/checkpoints";
inline const std::string kIncomingDirectory = "/incoming";

// Where the log of a machine was written last, over all its processes. What lies elsewhere is known
// to have been synced by what lies here; see VirtualCluster::FlipBit.
struct LogTail {
  struct Extent {
    std::string path;
    uint64_t offset = 0;
    uint64_t size = 0;
  };
  static constexpr size_t kExtents = 24;
  std::vector<Extent> newest;  // at most kExtents, the newest last

  void Add(Extent extent) {
    newest.push_back(std::move(extent));
    if (newest.size() > kExtents) newest.erase(newest.begin());
  }
  bool Touches(const std::string& path, uint64_t at) const {
    for (const Extent& extent : newest) {
      if (extent.path == path && at >= extent.offset && at < extent.offset + extent.size)
        return true;
    }
    return false;
  }
};

class DyingDisk final : public storage::FileSystem {
 public:
  // `seen` is `disk` or a wrapper of it. All outlive this. `node` is for the trace.
  DyingDisk(FakeFileSystem& disk, storage::FileSystem& seen, VirtualTime& time, LogTail& tail,
            uint64_t node)
      : disk_(disk), seen_(seen), time_(time), tail_(tail), node_(node) {}

  // Before the `operations`-th operation from now; 0: never.
  void DieAt(uint64_t operations) { operations_left_ = operations; }
  // The next sync of the log, or of an engine, fails.
  void FailSyncOf(const std::string& directory) { failing_ = directory; }
  // Nothing is planned any more.
  void Spare() {
    operations_left_ = 0;
    failing_.clear();
  }
  // At once: the process saw an error that it must not go on from.
  void EndProcess(const absl::Status& why);

  bool dead() const { return left_behind_ != nullptr; }
  // Not OK: the process ended itself, over an error that it took for the disk's.
  const absl::Status& failure() const { return failure_; }
  // Whether the disk ever failed so: no space, or a sync (of the log) that failed.
  bool was_full() const { return was_full_; }
  bool failed() const { return failed_; }
  bool failed_log() const { return failed_log_; }
  std::unique_ptr<FakeFileSystem> TakeLeftBehind() { return std::move(left_behind_); }

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Link(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status CreateDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<bool> Exists(const std::string& path) override { return seen_.Exists(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return seen_.List(path);
  }
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    return seen_.FreeBytes(path);
  }
  absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> Lock(const std::string& path) override {
    return seen_.Lock(path);
  }

 private:
  class SeenFile;

  void Count(const std::string& path, uint64_t digest);
  // Remembers what the disk said.
  absl::Status Noted(const std::string& path, absl::Status status);
  // What the process is told of an operation on `path` that ended so.
  absl::Status Told(const std::string& path, absl::Status status);

  FakeFileSystem& disk_;
  storage::FileSystem& seen_;
  VirtualTime& time_;
  LogTail& tail_;
  const uint64_t node_;
  uint64_t operations_left_ = 0;
  std::string failing_;  // empty: no sync fails
  absl::Status failure_;
  bool was_full_ = false;
  bool failed_ = false;
  bool failed_log_ = false;
  std::unique_ptr<FakeFileSystem> left_behind_;
};

}  // namespace basalt::testing
