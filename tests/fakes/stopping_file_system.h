// StoppingFileSystem: a fake disk whose process stops dead, by an exception, at a chosen operation.
//
// The fake itself answers with an error there, which the code under test would take for a broken
// disk and end the process; unwinding leaves the disk as a kill would.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tests/fakes/fake_file_system.h"

namespace basalt::testing {

struct Stopped {};

class StoppingFileSystem final : public storage::FileSystem {
 public:
  explicit StoppingFileSystem(FakeFileSystem& disk) : disk_(disk) {}

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    auto file = ThrowIfStopped(disk_.Open(path, mode));
    if (!file.ok()) return file.status();
    return std::make_unique<StoppingFile>(*std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return ThrowIfStopped(disk_.Rename(from, to));
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    return ThrowIfStopped(disk_.Link(from, to));
  }
  absl::Status Remove(const std::string& path) override {
    return ThrowIfStopped(disk_.Remove(path));
  }
  absl::Status RemoveTree(const std::string& path) override {
    return ThrowIfStopped(disk_.RemoveTree(path));
  }
  absl::Status CreateDirectory(const std::string& path) override {
    return ThrowIfStopped(disk_.CreateDirectory(path));
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return ThrowIfStopped(disk_.SyncDirectory(path));
  }
  absl::StatusOr<bool> Exists(const std::string& path) override { return disk_.Exists(path); }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    return disk_.List(path);
  }
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    return disk_.FreeBytes(path);
  }
  absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> Lock(const std::string& path) override {
    return ThrowIfStopped(disk_.Lock(path));
  }

 private:
  static const absl::Status& StatusOf(const absl::Status& status) { return status; }
  template <typename T>
  static const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
    return result.status();
  }
  template <typename Result>
  static Result ThrowIfStopped(Result result) {
    if (base::Message(StatusOf(result)) == "the process stopped here") throw Stopped{};
    return result;
  }

  class StoppingFile final : public storage::File {
   public:
    explicit StoppingFile(std::unique_ptr<storage::File> file) : file_(std::move(file)) {}
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      return ThrowIfStopped(file_->WriteAt(offset, bytes));
    }
    absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
      return file_->ReadAt(offset, size);
    }
    absl::Status Sync() override { return ThrowIfStopped(file_->Sync()); }
    absl::Status Truncate(uint64_t size) override { return ThrowIfStopped(file_->Truncate(size)); }
    absl::StatusOr<uint64_t> Size() const override { return file_->Size(); }

   private:
    const std::unique_ptr<storage::File> file_;
  };

  FakeFileSystem& disk_;
};

}  // namespace basalt::testing
