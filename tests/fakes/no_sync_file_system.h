// NoSyncFileSystem: a disk whose syncs do nothing, over any other. It is the planted bug that shows
// that a power-cut test can fail; no program of ours is built with it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/file_system.h"

namespace basalt::testing {

class NoSyncFile final : public storage::File {
 public:
  explicit NoSyncFile(std::unique_ptr<storage::File> file) : file_(std::move(file)) {}
  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    return file_->WriteAt(offset, bytes);
  }
  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
    return file_->ReadAt(offset, size);
  }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

 private:
  std::unique_ptr<storage::File> file_;
};

class NoSyncFileSystem final : public storage::FileSystem {
 public:
  // `disk` outlives this.
  explicit NoSyncFileSystem(storage::FileSystem& disk) : disk_(disk) {}

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    absl::StatusOr<std::unique_ptr<storage::File>> file = disk_.Open(path, mode);
    if (!file.ok()) return file.status();
    return std::make_unique<NoSyncFile>(*std::move(file));
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
  // Names stay as durable as below, so that what fails is the missing sync of bytes.
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
