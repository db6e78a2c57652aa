// ForwardingFile, ForwardingFileSystem: pass everything on to another; a fake that changes some of
// it overrides that.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/file_system.h"

namespace basalt::testing {

class ForwardingFile : public storage::File {
 public:
  explicit ForwardingFile(std::unique_ptr<storage::File> file) : file_(std::move(file)) {}
  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    return file_->WriteAt(offset, bytes);
  }
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
    return file_->ReadAt(offset, size);
  }
  absl::Status Sync() override { return file_->Sync(); }
  absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

 private:
  const std::unique_ptr<storage::File> file_;
};

class ForwardingFileSystem : public storage::FileSystem {
 public:
  // `disk` outlives this.
  explicit ForwardingFileSystem(storage::FileSystem& disk) : disk_(disk) {}

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    return disk_.Open(path, mode);
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return disk_.Rename(from, to);
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    return disk_.Link(from, to);
  }
  absl::Status Remove(const std::string& path) override { return disk_.Remove(path); }
  absl::Status RemoveTree(const std::string& path) override { return disk_.RemoveTree(path); }
  absl::Status CreateDirectory(const std::string& path) override {
    return disk_.CreateDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override { return disk_.SyncDirectory(path); }
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
  storage::FileSystem& disk_;
};

}  // namespace basalt::testing
