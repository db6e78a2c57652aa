// FileSystem: the port to the disk. The production one (posix_file_system) and the one that
// forgets what was not synced (tests) pass the same contract suite.
//
// Durability follows POSIX with nothing assumed: a file's bytes are durable after File::Sync, a
// created, renamed or removed name after SyncDirectory of its folder.
//
// Errors: NotFound, AlreadyExists, ResourceExhausted (no space), Unavailable (locked by another
// process), Internal (the disk failed). All functions may be called from several threads; one
// File's methods are called by one thread at a time, except ReadAt, which is thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace basalt::storage {

class File {
 public:
  virtual ~File() = default;
  // Writes all of `bytes` at `offset`; short writes and EINTR are carried on with inside.
  virtual absl::Status WriteAt(uint64_t offset, std::string_view bytes) = 0;
  // Reads up to `size` bytes; fewer only at the end of the file.
  virtual absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const = 0;
  // fdatasync: bytes and size are durable when it returns OK.
  virtual absl::Status Sync() = 0;
  virtual absl::Status Truncate(uint64_t size) = 0;
  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

// Held while it lives.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  enum class OpenMode { kRead, kReadWrite, kCreate };  // kCreate: must not exist yet
  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Link(const std::string& from, const std::string& to) = 0;
  virtual absl::Status Remove(const std::string& path) = 0;
  virtual absl::Status RemoveTree(const std::string& path) = 0;
  virtual absl::Status CreateDirectory(const std::string& path) = 0;  // OK if it is there
  virtual absl::Status SyncDirectory(const std::string& path) = 0;
  virtual absl::StatusOr<bool> Exists(const std::string& path) = 0;
  // Names, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& path) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes(const std::string& path) = 0;
  // Creates `path` and locks it against other processes.
  virtual absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) = 0;
};

}  // namespace basalt::storage
