#include "storage/checkpoint_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "storage/crc32c.h"

namespace basalt::storage {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;
constexpr size_t kFilesMax = 100'000;
constexpr size_t kNameBytesMax = 255;

// A flat name that stays inside of its directory.
bool NameIsSound(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == '_';
  });
}

absl::Status CheckList(const std::vector<CheckpointFile>& list) {
  if (list.empty()) return base::InvalidArgument("a checkpoint without files");
  if (list.size() > kFilesMax) {
    return base::InvalidArgument(fmt::format("a checkpoint of {} files", list.size()));
  }
  std::set<std::string_view> names;
  for (const CheckpointFile& file : list) {
    if (!NameIsSound(file.name)) {
      return base::InvalidArgument("a checkpoint with a bad file name");
    }
    if (!names.insert(file.name).second) {
      return base::InvalidArgument(fmt::format("a checkpoint with two files {}", file.name));
    }
  }
  return absl::OkStatus();
}

// A disk that fails a write ends the process; all else is the caller's.
absl::Status Written(absl::Status status) {
  if (absl::IsInternal(status)) base::DiskFailed(base::Message(status));
  return status;
}

absl::StatusOr<CheckpointFile> Describe(FileSystem& files, const std::string& directory,
                                        const std::string& name) {
  BASALT_ASSIGN_OR_RETURN(const auto file,
                          files.Open(directory + "/" + name, FileSystem::OpenMode::kRead));
  CheckpointFile described{name, 0, 0};
  for (;;) {
    BASALT_ASSIGN_OR_RETURN(const std::string bytes, file->ReadAt(described.size, kReadBytes));
    described.crc32c = ExtendCrc32c(described.crc32c, bytes);
    described.size += bytes.size();
    if (bytes.size() < kReadBytes) return described;
  }
}

}  // namespace

absl::StatusOr<std::vector<CheckpointFile>> ListCheckpoint(FileSystem& files,
                                                           const std::string& directory,
                                                           const std::function<bool()>& stop) {
  BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(directory));
  std::vector<CheckpointFile> list;
  for (const std::string& name : names) {
    if (stop && stop()) return base::Unavailable("called off");
    BASALT_ASSIGN_OR_RETURN(CheckpointFile file, Describe(files, directory, name));
    list.push_back(std::move(file));
  }
  return list;
}

absl::StatusOr<std::string> ReadCheckpointPiece(FileSystem& files, const std::string& directory,
                                                const CheckpointFile& file, uint64_t offset,
                                                size_t size) {
  const std::string path = directory + "/" + file.name;
  BASALT_ASSIGN_OR_RETURN(const auto opened, files.Open(path, FileSystem::OpenMode::kRead));
  const uint64_t wanted = std::min<uint64_t>(size, file.size - std::min(offset, file.size));
  BASALT_ASSIGN_OR_RETURN(std::string bytes, opened->ReadAt(offset, wanted));
  if (bytes.size() < wanted) {
    return base::DataLoss(fmt::format("{}: shorter than the {} bytes listed", path, file.size));
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<CheckpointStaging>> CheckpointStaging::Start(
    FileSystem& files, const std::string& directory, std::vector<CheckpointFile> list) {
  BASALT_RETURN_IF_ERROR(CheckList(list));
  BASALT_ASSIGN_OR_RETURN(const bool left_over, files.Exists(directory));
  if (left_over) BASALT_RETURN_IF_ERROR(files.RemoveTree(directory));
  BASALT_RETURN_IF_ERROR(Written(files.CreateDirectory(directory)));
  std::unique_ptr<CheckpointStaging> staging(
      new CheckpointStaging(files, directory, std::move(list)));
  if (absl::Status begun = staging->Advance(); !begun.ok()) {
    staging.reset();
    (void)files.RemoveTree(directory).ok();  // else whoever empties its parent does
    return begun;
  }
  return staging;
}

absl::Status CheckpointStaging::Write(size_t file, uint64_t offset, std::string_view bytes,
                                      uint32_t crc32c) {
  if (file < next_.file) return absl::OkStatus();
  if (file > next_.file || Whole()) return base::InvalidArgument("a piece of a file not yet due");
  const CheckpointFile& current = list_[file];
  if (bytes.size() > current.size || offset > current.size - bytes.size()) {
    return base::InvalidArgument(fmt::format("a piece behind the end of {}", current.name));
  }
  if (offset + bytes.size() <= next_.offset) return absl::OkStatus();
  if (offset != next_.offset) {
    return base::InvalidArgument(
        fmt::format("a piece of {} at {} where {} is due", current.name, offset, next_.offset));
  }
  if (Crc32c(bytes) != crc32c) {
    return base::InvalidArgument(fmt::format("a damaged piece of {} at {}", current.name, offset));
  }
  BASALT_RETURN_IF_ERROR(Written(file_->WriteAt(offset, bytes)));
  crc32c_ = ExtendCrc32c(crc32c_, bytes);
  next_.offset += bytes.size();
  return Advance();
}

absl::Status CheckpointStaging::Advance() {
  while (!Whole()) {
    const CheckpointFile& current = list_[next_.file];
    const std::string path = directory_ + "/" + current.name;
    if (file_ == nullptr) {
      auto created = files_.Open(path, FileSystem::OpenMode::kCreate);
      if (!created.ok()) return Written(created.status());
      file_ = std::move(*created);
      crc32c_ = 0;
    }
    if (next_.offset < current.size) break;
    if (crc32c_ != current.crc32c) {
      return base::DataLoss(fmt::format("{}: its checksum is not the one listed", path));
    }
    BASALT_RETURN_IF_ERROR(Written(file_->Sync()));
    file_.reset();
    next_ = {next_.file + 1, 0};
  }
  return absl::OkStatus();
}

absl::Status CheckpointStaging::Finish() {
  if (!Whole()) return base::FailedPrecondition("a checkpoint that is not whole");
  return Written(files_.SyncDirectory(directory_));
}

}  // namespace basalt::storage
