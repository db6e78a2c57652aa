// MomentsFileSystem: keeps a copy of the disk from before each operation that changes something,
// so that a test can ask what a crash at that moment would have left.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::testing {

class MomentsFileSystem final : public storage::FileSystem {
 public:
  explicit MomentsFileSystem(FakeFileSystem& disk) : disk_(disk) {}

  // The disk before each operation so far, and as it is now.
  std::vector<std::unique_ptr<FakeFileSystem>> TakeMoments() {
    Note();
    return std::exchange(moments_, {});
  }

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    if (mode == OpenMode::kCreate) Note();
    auto file = disk_.Open(path, mode);
    if (!file.ok()) return file.status();
    return std::make_unique<NotedFile>(*this, *std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    Note();
    return disk_.Rename(from, to);
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    Note();
    return disk_.Link(from, to);
  }
  absl::Status Remove(const std::string& path) override {
    Note();
    return disk_.Remove(path);
  }
  absl::Status RemoveTree(const std::string& path) override {
    Note();
    return disk_.RemoveTree(path);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    Note();
    return disk_.CreateDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    Note();
    return disk_.SyncDirectory(path);
  }
  absl::StatusOr<bool> Exists(const std::string& path) override { return disk_.Exists(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return disk_.List(path);
  }
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    return disk_.FreeBytes(path);
  }
  absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> Lock(const std::string& path) override {
    return disk_.Lock(path);
  }

 private:
  class NotedFile final : public storage::File {
   public:
    NotedFile(MomentsFileSystem& owner, std::unique_ptr<storage::File> file)
        : owner_(owner), file_(std::move(file)) {}
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      owner_.Note();
      return file_->WriteAt(offset, bytes);
    }
    absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
      return file_->ReadAt(offset, size);
    }
    absl::Status Sync() override {
      owner_.Note();
      return file_->Sync();
    }
    absl::Status Truncate(uint64_t size) override {
      owner_.Note();
      return file_->Truncate(size);
    }
    absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

   private:
    MomentsFileSystem& owner_;
    const std::unique_ptr<storage::File> file_;
  };

  void Note() { moments_.push_back(disk_.Clone()); }

  FakeFileSystem& disk_;
  std::vector<std::unique_ptr<FakeFileSystem>> moments_;
};

}  // namespace basalt::testing
