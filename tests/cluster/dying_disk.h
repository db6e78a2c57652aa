// DyingDisk: the file system as one process sees it, and the moment of the process's death in the
// midst of what it does: before the n-th operation that changes something, a copy of the disk is
// taken. What the process goes on to do until its event ends happened to nobody; whoever runs it
// throws that away and goes on with the copy.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::testing {

class DyingDisk final : public storage::FileSystem {
 public:
  // `seen` is `disk` or a wrapper of it. Both outlive this.
  DyingDisk(FakeFileSystem& disk, storage::FileSystem& seen) : disk_(disk), seen_(seen) {}

  // Before the `operations`-th operation from now; 0: never.
  void DieAt(uint64_t operations) { operations_left_ = operations; }
  bool dead() const { return left_behind_ != nullptr; }
  std::unique_ptr<FakeFileSystem> TakeLeftBehind() { return std::move(left_behind_); }

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    if (mode == OpenMode::kCreate) Count();
    auto file = seen_.Open(path, mode);
    if (!file.ok()) return file.status();
    return std::make_unique<CountedFile>(*this, *std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    Count();
    return seen_.Rename(from, to);
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    Count();
    return seen_.Link(from, to);
  }
  absl::Status Remove(const std::string& path) override {
    Count();
    return seen_.Remove(path);
  }
  absl::Status RemoveTree(const std::string& path) override {
    Count();
    return seen_.RemoveTree(path);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    Count();
    return seen_.CreateDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    Count();
    return seen_.SyncDirectory(path);
  }
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
  class CountedFile final : public storage::File {
   public:
    CountedFile(DyingDisk& owner, std::unique_ptr<storage::File> file)
        : owner_(owner), file_(std::move(file)) {}
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      owner_.Count();
      return file_->WriteAt(offset, bytes);
    }
    absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
      return file_->ReadAt(offset, size);
    }
    absl::Status Sync() override {
      owner_.Count();
      return file_->Sync();
    }
    absl::Status Truncate(uint64_t size) override {
      owner_.Count();
      return file_->Truncate(size);
    }
    absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

   private:
    DyingDisk& owner_;
    const std::unique_ptr<storage::File> file_;
  };

  void Count() {
    if (operations_left_ > 0 && --operations_left_ == 0) left_behind_ = disk_.Clone();
  }

  FakeFileSystem& disk_;
  storage::FileSystem& seen_;
  uint64_t operations_left_ = 0;
  std::unique_ptr<FakeFileSystem> left_behind_;
};

}  // namespace basalt::testing
