// MomentsFileSystem: keeps a copy of the disk from before each operation that changes something,
// so that a test can ask what a crash at that moment would have left.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fakes/fake_file_system.h"
#include "tests/fakes/forwarding_file_system.h"

namespace basalt::testing {

class MomentsFileSystem final : public ForwardingFileSystem {
 public:
  explicit MomentsFileSystem(FakeFileSystem& disk) : ForwardingFileSystem(disk), disk_(disk) {}

  // The disk before each operation so far, and as it is now.
  std::vector<std::unique_ptr<FakeFileSystem>> TakeMoments() {
    Note();
    return std::exchange(moments_, {});
  }

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    if (mode == OpenMode::kCreate) Note();
    auto file = ForwardingFileSystem::Open(path, mode);
    if (!file.ok()) return file.status();
    return std::make_unique<NotedFile>(*this, *std::move(file));
  }
  absl::Status Rename(const std::string& from, const std::string& to) override {
    Note();
    return ForwardingFileSystem::Rename(from, to);
  }
  absl::Status Link(const std::string& from, const std::string& to) override {
    Note();
    return ForwardingFileSystem::Link(from, to);
  }
  absl::Status Remove(const std::string& path) override {
    Note();
    return ForwardingFileSystem::Remove(path);
  }
  absl::Status RemoveTree(const std::string& path) override {
    Note();
    return ForwardingFileSystem::RemoveTree(path);
  }
  absl::Status CreateDirectory(const std::string& path) override {
    Note();
    return ForwardingFileSystem::CreateDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    Note();
    return ForwardingFileSystem::SyncDirectory(path);
  }

 private:
  class NotedFile final : public ForwardingFile {
   public:
    NotedFile(MomentsFileSystem& owner, std::unique_ptr<storage::File> file)
        : ForwardingFile(std::move(file)), owner_(owner) {}
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      owner_.Note();
      return ForwardingFile::WriteAt(offset, bytes);
    }
    absl::Status Sync() override {
      owner_.Note();
      return ForwardingFile::Sync();
    }
    absl::Status Truncate(uint64_t size) override {
      owner_.Note();
      return ForwardingFile::Truncate(size);
    }

   private:
    MomentsFileSystem& owner_;
  };

  void Note() { moments_.push_back(disk_.Clone()); }

  FakeFileSystem& disk_;
  std::vector<std::unique_ptr<FakeFileSystem>> moments_;
};

}  // namespace basalt::testing
