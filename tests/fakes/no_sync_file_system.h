// NoSyncFileSystem: a disk whose syncs do nothing, over any other. It is the planted bug that shows
// that a power-cut test can fail; no program of ours is built with it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "tests/fakes/forwarding_file_system.h"

namespace basalt::testing {

// Names stay as durable as below, so that what fails is the missing sync of bytes.
class NoSyncFileSystem final : public ForwardingFileSystem {
 public:
  // `disk` outlives this.
  explicit NoSyncFileSystem(storage::FileSystem& disk) : ForwardingFileSystem(disk) {}

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override {
    auto file = ForwardingFileSystem::Open(path, mode);
    if (!file.ok()) return file.status();
    return std::make_unique<NoSyncFile>(*std::move(file));
  }

 private:
  class NoSyncFile final : public ForwardingFile {
   public:
    using ForwardingFile::ForwardingFile;
    absl::Status Sync() override { return absl::OkStatus(); }
  };
};

}  // namespace basalt::testing
