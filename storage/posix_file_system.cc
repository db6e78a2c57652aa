#include "storage/posix_file_system.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/status.h"

namespace basalt::storage {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status ErrorStatus(std::string_view operation, const std::string& path, int error) {
  return base::MakeStatus(CodeOf(error), fmt::format("{} {}: {}", operation, path,
                                                     std::generic_category().message(error)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

class PosixFile final : public File {
 public:
  PosixFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    return WriteFully([this](const char* from, size_t size,
                             off_t at) { return ::pwrite(fd_.get(), from, size, at); },
                      path_, offset, bytes);
  }

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
    std::string bytes(size, '\0');
    size_t done = 0;
    while (done < size) {
      const ssize_t n =
          ::pread(fd_.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrorStatus(fmt::format("read at offset {} of", offset), path_, errno);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    bytes.resize(done);
    return bytes;
  }

  absl::Status Sync() override {
    // Not even EINTR is retried: after a failed sync the kernel may hold pages as clean that never
    // reached the disk.
    if (::fdatasync(fd_.get()) != 0) return ErrorStatus("sync", path_, errno);
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      return ErrorStatus("truncate", path_, errno);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat attributes {};
    if (::fstat(fd_.get(), &attributes) != 0) return ErrorStatus("stat", path_, errno);
    return static_cast<uint64_t>(attributes.st_size);
  }

 private:
  const std::string path_;
  const Descriptor fd_;
};

class PosixDirectoryLock final : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(int fd) : fd_(fd) {}

 private:
  const Descriptor fd_;  // closing it releases the lock
};

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreate:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    const int fd = ::open(path.c_str(), flags, 0644);
    if (fd < 0) return ErrorStatus("open", path, errno);
    return std::make_unique<PosixFile>(path, fd);
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrorStatus("rename", from, errno);
    return absl::OkStatus();
  }

  absl::Status Link(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) != 0) return ErrorStatus("link to", to, errno);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) == 0) return absl::OkStatus();
    int error = errno;
    if (error == EISDIR) {
      if (::rmdir(path.c_str()) == 0) return absl::OkStatus();
      error = errno;
    }
    return ErrorStatus("remove", path, error);
  }

  absl::Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return ErrorStatus("remove", path, error.value());
    return absl::OkStatus();
  }

  absl::Status CreateDirectory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0755) == 0) return absl::OkStatus();
    const int error = errno;
    struct stat attributes {};
    if (error == EEXIST && ::stat(path.c_str(), &attributes) == 0 && S_ISDIR(attributes.st_mode)) {
      return absl::OkStatus();
    }
    return ErrorStatus("create directory", path, error);
  }

  absl::Status SyncDirectory(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ErrorStatus("open directory", path, errno);
    const Descriptor directory(fd);
    if (::fsync(directory.get()) != 0) return ErrorStatus("sync directory", path, errno);
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Exists(const std::string& path) override {
    struct stat attributes {};
    if (::lstat(path.c_str(), &attributes) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrorStatus("stat", path, errno);
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator entry(path, error);
    const std::filesystem::directory_iterator end;
    while (!error && entry != end) {
      names.push_back(entry->path().filename().string());
      entry.increment(error);
    }
    if (error) return ErrorStatus("list", path, error.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs volume {};
    if (::statvfs(path.c_str(), &volume) != 0) return ErrorStatus("statvfs", path, errno);
    return static_cast<uint64_t>(volume.f_bavail) * volume.f_frsize;
  }

  absl::StatusOr<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return ErrorStatus("open", path, errno);
    auto lock = std::make_unique<PosixDirectoryLock>(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return base::Unavailable(fmt::format("{} is locked by another process", path));
      }
      return ErrorStatus("lock", path, errno);
    }
    return lock;
  }
};

}  // namespace

absl::Status WriteFully(const PositionedWrite& write, const std::string& path, uint64_t offset,
                        std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrorStatus(fmt::format("write at offset {} of", offset), path, errno);
    if (n == 0) {
      return base::Internal(
          fmt::format("write at offset {} of {}: the disk took nothing", offset, path));
    }
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

std::unique_ptr<FileSystem> NewPosixFileSystem() { return std::make_unique<PosixFileSystem>(); }

}  // namespace basalt::storage
