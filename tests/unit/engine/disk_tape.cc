#include "tests/unit/engine/disk_tape.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "base/check.h"

namespace basalt::testing {
namespace {

using Kind = DiskChange::Kind;
using storage::FileSystem;

constexpr size_t kTapeBytes = size_t{64} << 20;  // taken as it is written

// Never destroyed: threads of the process record until it ends.
std::atomic<DiskTape*> recording_tape{nullptr};

struct Head {
  Kind kind;
  uint32_t path_size;
  uint32_t to_size;
  uint64_t bytes_size;
  uint64_t offset;
  TapeNote note;
};

void PlayChange(const DiskChange& change, FakeFileSystem& disk) {
  const std::string path(change.path);
  const std::string to(change.to);
  const auto check = [&](const absl::Status& done) {
    BASALT_CHECK_MSG(done.ok(), path + ": " + std::string(done.message()));
  };
  const auto file = [&](FileSystem::OpenMode mode) {
    auto opened = disk.Open(path, mode);
    check(opened.status());
    return *std::move(opened);
  };
  switch (change.kind) {
    case Kind::kCreate:
      (void)file(FileSystem::OpenMode::kCreate);
      return;
    case Kind::kMakeDirectory:
      return check(disk.CreateDirectory(path));
    case Kind::kWrite:
      return check(file(FileSystem::OpenMode::kReadWrite)->WriteAt(change.offset, change.bytes));
    case Kind::kTruncate:
      return check(file(FileSystem::OpenMode::kReadWrite)->Truncate(change.offset));
    case Kind::kSync:
      return check(file(FileSystem::OpenMode::kReadWrite)->Sync());
    case Kind::kSyncDirectory:
      return check(disk.SyncDirectory(path));
    case Kind::kRename:
      return check(disk.Rename(path, to));
    case Kind::kLink:
      return check(disk.Link(path, to));
    case Kind::kRemove:
      return check(disk.Remove(path));
    case Kind::kNote:
      return;
  }
}

void AddBelow(FakeFileSystem& disk, const std::string& folder, Tree& tree) {
  const auto names = disk.List(folder.empty() ? "/" : folder);
  BASALT_CHECK(names.ok());
  for (const std::string& name : *names) {
    std::string path = folder;
    path.append("/").append(name);
    if (disk.Open(path, FileSystem::OpenMode::kRead).ok()) {
      tree[path] = disk.Contents(path);
    } else {
      tree[path + "/"] = "";
      AddBelow(disk, path, tree);
    }
  }
}

}  // namespace

DiskTape::DiskTape(const std::string& folder)
    : folder_(std::filesystem::canonical(folder).string()),
      shared_(static_cast<Shared*>(::mmap(nullptr, kTapeBytes, PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {
  BASALT_CHECK(static_cast<void*>(shared_) != MAP_FAILED);
}

DiskTape::~DiskTape() { ::munmap(shared_, kTapeBytes); }

DiskTape* DiskTape::recording() { return recording_tape.load(std::memory_order_acquire); }

void DiskTape::Record(const Death& death) {
  BASALT_CHECK(recording() == nullptr);
  death_ = death;
  recording_tape.store(this, std::memory_order_release);
}

std::string DiskTape::Below(std::string_view path) const {
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  if (normal.ends_with('/')) normal.pop_back();
  if (!normal.starts_with(folder_)) return "";
  normal.erase(0, folder_.size());
  if (normal.empty()) return "/";
  return normal.front() == '/' ? normal : "";
}

void DiskTape::Note(const TapeNote& note) {
  DiskChange change;
  change.note = note;
  base::MutexLock lock(mutex_);
  Append(change);
}

int64_t DiskTape::Do(DiskChange change, absl::FunctionRef<int64_t(size_t)> call) {
  base::MutexLock lock(mutex_);
  const bool dies = shared_->changes == death_.before;
  const auto die = [] {
    (void)::kill(::getpid(), SIGKILL);
    while (true) ::pause();
  };
  if (dies) {
    if (!death_.torn || change.kind != Kind::kWrite) die();
    change.bytes = change.bytes.substr(0, change.bytes.size() / 2);
  }
  const int64_t done = call(change.bytes.size());
  if (done >= 0) {
    if (change.kind == Kind::kWrite) {
      change.bytes = change.bytes.substr(0, static_cast<size_t>(done));
    }
    const bool lost =
        (change.kind == Kind::kSync && death_.syncs == Syncs::kLostOfFiles) ||
        (change.kind == Kind::kSyncDirectory && death_.syncs == Syncs::kLostOfDirectories);
    if (!lost) Append(change);
    ++shared_->changes;
  }
  if (dies) die();
  return done;
}

void DiskTape::Append(const DiskChange& change) {
  const Head head{change.kind,
                  static_cast<uint32_t>(change.path.size()),
                  static_cast<uint32_t>(change.to.size()),
                  change.bytes.size(),
                  change.offset,
                  change.note};
  const size_t size = sizeof(head) + change.path.size() + change.to.size() + change.bytes.size();
  BASALT_CHECK(sizeof(Shared) + shared_->used + size <= kTapeBytes);
  char* at = records() + shared_->used;
  std::memcpy(at, &head, sizeof(head));
  at += sizeof(head);
  for (const std::string_view part : {change.path, change.to, change.bytes}) {
    at += part.copy(at, part.size());
  }
  shared_->used += size;
}

void DiskTape::PlayOnto(FakeFileSystem& disk,
                        absl::FunctionRef<void(const TapeNote&)> on_note) const {
  std::string_view rest(records(), shared_->used);
  const auto take = [&rest](size_t size) {
    const std::string_view taken = rest.substr(0, size);
    rest.remove_prefix(size);
    return taken;
  };
  while (!rest.empty()) {
    Head head;
    std::memcpy(&head, take(sizeof(head)).data(), sizeof(head));
    DiskChange change;
    change.kind = head.kind;
    change.path = take(head.path_size);
    change.to = take(head.to_size);
    change.bytes = take(head.bytes_size);
    change.offset = head.offset;
    if (change.kind == Kind::kNote) {
      on_note(head.note);
    } else {
      PlayChange(change, disk);
    }
  }
}

Tree TreeOf(FakeFileSystem& disk) {
  Tree tree;
  AddBelow(disk, "", tree);
  return tree;
}

Tree TreeBelow(const std::string& folder) {
  Tree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string path = entry.path().string().substr(folder.size());
    if (entry.is_directory()) {
      tree[path + "/"] = "";
      continue;
    }
    std::ifstream file(entry.path(), std::ios::binary);
    tree[path] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  return tree;
}

void WriteOut(const Tree& tree, const std::string& folder) {
  for (const auto& [path, bytes] : tree) {
    if (path.ends_with('/')) {
      std::filesystem::create_directories(folder + path);
    } else {
      std::filesystem::create_directories(std::filesystem::path(folder + path).parent_path());
      std::ofstream file(folder + path, std::ios::binary);
      file << bytes;
      BASALT_CHECK(file.good());
    }
  }
}

namespace {

constexpr std::string_view kDeleted = " (deleted)";

// As it is named now; "" when nothing of it is recorded.
std::string PathOf(int fd, const DiskTape& tape) {
  std::array<char, PATH_MAX> name{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), name.data(), name.size());
  const std::string_view path(name.data(), size < 0 ? 0 : static_cast<size_t>(size));
  return path.ends_with(kDeleted) ? "" : tape.Below(path);
}

bool Exists(const char* path) {
  struct stat attributes {};
  return ::lstat(path, &attributes) == 0;
}

int Open(const char* path, int flags, mode_t mode) {
  const auto call = [&](size_t) {
    return static_cast<int64_t>(::syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  };
  DiskTape* const tape = DiskTape::recording();
  if (tape == nullptr || (flags & (O_CREAT | O_TRUNC)) == 0) return static_cast<int>(call(0));
  const std::string below = tape->Below(path);
  const bool exists = Exists(path);
  if (below.empty() || (exists && (flags & O_TRUNC) == 0)) return static_cast<int>(call(0));
  DiskChange change;
  change.kind = exists ? Kind::kTruncate : Kind::kCreate;
  change.path = below;
  return static_cast<int>(tape->Do(change, call));
}

ssize_t Write(int fd, const void* bytes, size_t size, std::optional<off_t> offset) {
  const auto call = [&](size_t part) -> int64_t {
    if (!offset) return ::syscall(SYS_write, fd, bytes, part);
    return ::syscall(SYS_pwrite64, fd, bytes, part, *offset);
  };
  DiskTape* const tape = DiskTape::recording();
  if (tape == nullptr) return call(size);
  const std::string path = PathOf(fd, *tape);
  if (path.empty()) return call(size);
  DiskChange change;
  change.kind = Kind::kWrite;
  change.path = path;
  change.bytes = {static_cast<const char*>(bytes), size};
  if (offset) {
    change.offset = static_cast<uint64_t>(*offset);
  } else {
    const bool append = (::fcntl(fd, F_GETFL) & O_APPEND) != 0;
    change.offset = static_cast<uint64_t>(::lseek(fd, 0, append ? SEEK_END : SEEK_CUR));
  }
  return tape->Do(change, call);
}

int Sync(int fd, int64_t system_call) {
  DiskTape* const tape = DiskTape::recording();
  if (tape == nullptr) return static_cast<int>(::syscall(system_call, fd));
  const std::string path = PathOf(fd, *tape);
  if (path.empty()) return static_cast<int>(::syscall(system_call, fd));
  struct stat attributes {};
  BASALT_CHECK(::fstat(fd, &attributes) == 0);
  DiskChange change;
  change.kind = S_ISDIR(attributes.st_mode) ? Kind::kSyncDirectory : Kind::kSync;
  change.path = path;
  return static_cast<int>(tape->Do(change, [](size_t) -> int64_t { return 0; }));
}

// Of names; `to` may be null.
int ChangeName(Kind kind, const std::string& path, const char* to,
               absl::FunctionRef<int64_t(size_t)> call) {
  DiskTape* const tape = DiskTape::recording();
  if (tape == nullptr) return static_cast<int>(call(0));
  const std::string below = tape->Below(path);
  if (below.empty()) return static_cast<int>(call(0));
  const std::string to_below = to == nullptr ? "" : tape->Below(to);
  DiskChange change;
  change.kind = kind;
  change.path = below;
  change.to = to_below;
  return static_cast<int>(tape->Do(change, call));
}

}  // namespace
}  // namespace basalt::testing

using basalt::testing::ChangeName;
using basalt::testing::DiskChange;
using basalt::testing::DiskTape;

extern "C" {

int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return basalt::testing::Open(path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  return basalt::testing::Write(fd, bytes, size, std::nullopt);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return basalt::testing::Write(fd, bytes, size, offset);
}

int ftruncate(int fd, off_t size) noexcept {
  const auto call = [&](size_t) -> int64_t { return ::syscall(SYS_ftruncate, fd, size); };
  DiskTape* const tape = DiskTape::recording();
  if (tape == nullptr) return static_cast<int>(call(0));
  const std::string path = basalt::testing::PathOf(fd, *tape);
  if (path.empty()) return static_cast<int>(call(0));
  DiskChange change;
  change.kind = DiskChange::Kind::kTruncate;
  change.path = path;
  change.offset = static_cast<uint64_t>(size);
  return static_cast<int>(tape->Do(change, call));
}

// Sets space aside and changes nothing that could be read.
int fallocate(int fd, int mode, off_t offset, off_t size) {
  if (DiskTape::recording() != nullptr && mode == FALLOC_FL_KEEP_SIZE) return 0;
  return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, size));
}

int fsync(int fd) { return basalt::testing::Sync(fd, SYS_fsync); }
int fdatasync(int fd) { return basalt::testing::Sync(fd, SYS_fdatasync); }

int mkdir(const char* path, mode_t mode) noexcept {
  return ChangeName(DiskChange::Kind::kMakeDirectory, path, nullptr, [&](size_t) -> int64_t {
    return ::syscall(SYS_mkdirat, AT_FDCWD, path, mode);
  });
}

int rename(const char* from, const char* to) noexcept {
  return ChangeName(DiskChange::Kind::kRename, from, to, [&](size_t) -> int64_t {
    return ::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
  });
}

int link(const char* from, const char* to) noexcept {
  return ChangeName(DiskChange::Kind::kLink, from, to, [&](size_t) -> int64_t {
    return ::syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
  });
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  const auto call = [&](size_t) -> int64_t { return ::syscall(SYS_unlinkat, folder, path, flags); };
  const DiskTape* const tape = DiskTape::recording();
  if (tape == nullptr || folder == AT_FDCWD || path[0] == '/') {
    return ChangeName(DiskChange::Kind::kRemove, path, nullptr, call);
  }
  std::array<char, PATH_MAX> name{};
  const std::string fd = "/proc/self/fd/" + std::to_string(folder);
  const ssize_t size = ::readlink(fd.c_str(), name.data(), name.size());
  BASALT_CHECK(size > 0);
  const std::string whole = std::string(name.data(), static_cast<size_t>(size)) + "/" + path;
  return ChangeName(DiskChange::Kind::kRemove, whole, nullptr, call);
}

int unlink(const char* path) noexcept { return ::unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) noexcept { return ::unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

}  // extern "C"
