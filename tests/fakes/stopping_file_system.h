// StoppingFileSystem: a fake disk whose process stops dead, by an exception, at a chosen operation.
//
// The fake itself answers with an error there, which the code under test would take for a broken
// disk and end the process; unwinding leaves the disk as a kill would.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/forwarding_file_system.h"

namespace basalt::testing {

struct Stopped {};

class StoppingFileSystem final : public ForwardingFileSystem {
 public:
  explicit StoppingFileSystem(FakeFileSystem& disk) : ForwardingFileSystem(disk) {}

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    auto file = ThrowIfStopped(ForwardingFileSystem::Open(path, mode));
    if (!file.ok()) return file.status();
    return std::make_unique<StoppingFile>(*std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    return ThrowIfStopped(ForwardingFileSystem::Rename(from, to));
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    return ThrowIfStopped(ForwardingFileSystem::Link(from, to));
  }
  absl::Status Remove(const std::string& path) override {
    return ThrowIfStopped(ForwardingFileSystem::Remove(path));
  }
  absl::Status RemoveTree(const std::string& path) override {
    return ThrowIfStopped(ForwardingFileSystem::RemoveTree(path));
  }
  absl::Status CreateDirectory(const std::string& path) override {
    return ThrowIfStopped(ForwardingFileSystem::CreateDirectory(path));
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return ThrowIfStopped(ForwardingFileSystem::SyncDirectory(path));
  }
  absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> Lock(const std::string& path) override {
    return ThrowIfStopped(ForwardingFileSystem::Lock(path));
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

  class StoppingFile final : public ForwardingFile {
   public:
    using ForwardingFile::ForwardingFile;
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      return ThrowIfStopped(ForwardingFile::WriteAt(offset, bytes));
    }
    absl::Status Sync() override { return ThrowIfStopped(ForwardingFile::Sync()); }
    absl::Status Truncate(uint64_t size) override {
      return ThrowIfStopped(ForwardingFile::Truncate(size));
    }
  };
};

}  // namespace basalt::testing
