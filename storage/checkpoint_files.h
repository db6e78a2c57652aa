// A checkpoint on its way from one node to another: a flat directory of files, listed with sizes
// and checksums, sent in pieces, staged and verified at the receiver.
//
// Not thread-safe; blocks on the disk. A disk that refuses a write or sync ends the process
// (base::DiskFailed); no space is a status, as is everything that a peer may send wrongly.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/file_system.h"

namespace basalt::storage {

struct CheckpointFile {
  std::string name;  // within the checkpoint's directory
  uint64_t size = 0;
  uint32_t crc32c = 0;  // of all bytes

  bool operator==(const CheckpointFile&) const = default;
};

// Reads every file of the checkpoint in `directory`. Sorted by name. Unavailable: `stop`, asked
// before each file, was true.
absl::StatusOr<std::vector<CheckpointFile>> ListCheckpoint(
    FileSystem& files, const std::string& directory, const std::function<bool()>& stop = nullptr);

// Up to `size` bytes of one file of a checkpoint; the same ones as listed (DataLoss if too few).
absl::StatusOr<std::string> ReadCheckpointPiece(FileSystem& files, const std::string& directory,
                                                const CheckpointFile& file, uint64_t offset,
                                                size_t size);

// Receives a checkpoint into a directory of its own, piece by piece and in order.
class CheckpointStaging {
 public:
  // Where the next piece has to begin.
  struct Place {
    size_t file = 0;  // position in the list
    uint64_t offset = 0;
    bool operator==(const Place&) const = default;
  };

  // Makes `directory` (an older one of that name is removed; its parent must be there).
  // InvalidArgument: `list` comes from no checkpoint: a bad name, a name twice, too many files.
  // DataLoss: it begins with an empty file of another checksum. After an error nothing is left
  // of what it made.
  // `files` outlives the result.
  static absl::StatusOr<std::unique_ptr<CheckpointStaging>> Start(FileSystem& files,
                                                                  const std::string& directory,
                                                                  std::vector<CheckpointFile> list);

  // A piece already taken (a resend) is ignored; InvalidArgument: one that leaves a gap, crosses
  // the end of its file, or does not match its checksum; DataLoss: the file is whole and does not
  // match the list.
  absl::Status Write(size_t file, uint64_t offset, std::string_view bytes, uint32_t crc32c);

  // Where a sender whose stream broke goes on.
  Place next() const { return next_; }
  bool Whole() const { return next_.file == list_.size(); }
  // Syncs the directory: from here on it can be installed. FailedPrecondition: not whole.
  absl::Status Finish();

  const std::string& directory() const { return directory_; }

 private:
  CheckpointStaging(FileSystem& files, std::string directory, std::vector<CheckpointFile> list)
      : files_(files), directory_(std::move(directory)), list_(std::move(list)) {}

  // Begins files, and ends those that are complete, until one lacks bytes.
  absl::Status Advance();

  FileSystem& files_;
  const std::string directory_;
  const std::vector<CheckpointFile> list_;
  Place next_;
  uint32_t crc32c_ = 0;         // of what was written of the current file
  std::unique_ptr<File> file_;  // the current one; null before it is begun and after the last
};

}  // namespace basalt::storage
