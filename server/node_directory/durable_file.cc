#include "server/node_directory/durable_file.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/status.h"

namespace basalt::server {

using storage::File;
using storage::FileSystem;

absl::StatusOr<std::string> ReadSmallFile(FileSystem& file_system, const std::string& path) {
  BASALT_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                          file_system.Open(path, FileSystem::OpenMode::kRead));
  BASALT_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > kSmallFileBytesMax) {
    return base::DataLoss(fmt::format("{} is damaged: {} bytes are too many", path, size));
  }
  return file->ReadAt(0, size);
}

absl::Status ReplaceFile(FileSystem& file_system, const std::string& directory,
                         const std::string& name, std::string_view bytes) {
  const std::string path = fmt::format("{}/{}", directory, name);
  const std::string temporary = path + ".tmp";
  if (absl::Status removed = file_system.Remove(temporary);
      !removed.ok() && removed.code() != absl::StatusCode::kNotFound) {
    return removed;
  }
  {
    BASALT_ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                            file_system.Open(temporary, FileSystem::OpenMode::kCreate));
    BASALT_RETURN_IF_ERROR(EndIfDiskFailed(file->WriteAt(0, bytes)));
    BASALT_RETURN_IF_ERROR(EndIfDiskFailed(file->Sync()));
  }
  BASALT_RETURN_IF_ERROR(file_system.Rename(temporary, path));
  return EndIfDiskFailed(file_system.SyncDirectory(directory));
}

absl::Status MakeDirectories(FileSystem& file_system, const std::string& path) {
  namespace fs = std::filesystem;
  std::vector<fs::path> missing;
  for (fs::path at = fs::path(path); !at.empty() && at != at.root_path(); at = at.parent_path()) {
    BASALT_ASSIGN_OR_RETURN(const bool exists, file_system.Exists(at.string()));
    if (exists) break;
    missing.push_back(at);
  }
  for (; !missing.empty(); missing.pop_back()) {
    const fs::path parent = missing.back().parent_path();
    BASALT_RETURN_IF_ERROR(file_system.CreateDirectory(missing.back().string()));
    BASALT_RETURN_IF_ERROR(
        EndIfDiskFailed(file_system.SyncDirectory(parent.empty() ? "." : parent.string())));
  }
  return absl::OkStatus();
}

absl::Status EndIfDiskFailed(absl::Status status) {
  if (status.code() == absl::StatusCode::kInternal) base::DiskFailed(base::Message(status));
  return status;
}

}  // namespace basalt::server
