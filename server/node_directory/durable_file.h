// Small files that are replaced whole, and directories made with their parents.
//
// A write or sync that the disk refuses ends the process (base::DiskFailed); a full disk, a missing
// permission and the like are statuses.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/file_system.h"

namespace basalt::server {

// The largest file that ReadSmallFile takes.
inline constexpr size_t kSmallFileBytesMax = 64u << 20;

// NotFound; DataLoss when it is larger than kSmallFileBytesMax.
absl::StatusOr<std::string> ReadSmallFile(storage::FileSystem& file_system,
                                          const std::string& path);

// `directory`/`name` holds `bytes` durably when it returns OK; after a crash before that it holds
// what it did before. Uses `name`.tmp.
absl::Status ReplaceFile(storage::FileSystem& file_system, const std::string& directory,
                         const std::string& name, std::string_view bytes);

// Makes `path` and what is missing above it, durably.
absl::Status MakeDirectories(storage::FileSystem& file_system, const std::string& path);

// Passes a status on, unless the disk itself failed.
absl::Status EndIfDiskFailed(absl::Status status);

}  // namespace basalt::server
