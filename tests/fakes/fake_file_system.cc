#include "tests/fakes/fake_file_system.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace basalt::testing {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return "";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool IsBelow(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() + 1 && path.starts_with(folder) && path[folder.size()] == '/';
}

}  // namespace

class FakeFileSystem::OpenFile final : public storage::File {
 public:
  OpenFile(FakeFileSystem& owner, std::string path, std::shared_ptr<Inode> inode, uint64_t life,
           bool writable)
      : owner_(owner),
        path_(std::move(path)),
        inode_(std::move(inode)),
        life_(life),
        writable_(writable) {}

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    base::MutexLock lock(owner_.mutex_);
    BASALT_RETURN_IF_ERROR(CheckLife());
    if (!writable_) return base::Internal(path_ + " is open for reading");
    BASALT_RETURN_IF_ERROR(owner_.Count());
    if (owner_.fail_next_write_) {
      owner_.fail_next_write_ = false;
      owner_.Write(*inode_, offset, bytes.substr(0, owner_.failing_write_bytes_)).IgnoreError();
      return base::Internal("write of " + path_ + ": planned failure");
    }
    return owner_.Write(*inode_, offset, bytes);
  }

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) const override {
    base::MutexLock lock(owner_.mutex_);
    BASALT_RETURN_IF_ERROR(CheckLife());
    if (offset >= inode_->cache.size()) return std::string();
    return inode_->cache.substr(offset, size);
  }

  absl::Status Sync() override {
    base::MutexLock lock(owner_.mutex_);
    BASALT_RETURN_IF_ERROR(CheckLife());
    BASALT_RETURN_IF_ERROR(owner_.Count());
    ++owner_.syncs_;
    if (owner_.fail_next_sync_) {
      owner_.fail_next_sync_ = false;
      inode_->dirty.clear();
      return base::Internal("sync of " + path_ + ": planned failure");
    }
    inode_->disk.resize(inode_->cache.size());
    for (const uint64_t sector : inode_->dirty) {
      const uint64_t from = sector * kFakeSectorBytes;
      if (from >= inode_->cache.size()) continue;
      inode_->cache.copy(inode_->disk.data() + from, kFakeSectorBytes, from);
    }
    inode_->dirty.clear();
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    base::MutexLock lock(owner_.mutex_);
    BASALT_RETURN_IF_ERROR(CheckLife());
    if (!writable_) return base::Internal(path_ + " is open for reading");
    BASALT_RETURN_IF_ERROR(owner_.Count());
    inode_->cache.resize(size);
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Size() const override {
    base::MutexLock lock(owner_.mutex_);
    BASALT_RETURN_IF_ERROR(CheckLife());
    return inode_->cache.size();
  }

 private:
  absl::Status CheckLife() const BASALT_REQUIRES(owner_.mutex_) {
    if (life_ == owner_.life_) return absl::OkStatus();
    return base::Internal(path_ + " was opened before the crash");
  }

  FakeFileSystem& owner_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
  const uint64_t life_;
  const bool writable_;
};

class FakeFileSystem::HeldLock final : public storage::DirectoryLock {
 public:
  HeldLock(FakeFileSystem& owner, std::string path, uint64_t life)
      : owner_(owner), path_(std::move(path)), life_(life) {}
  ~HeldLock() override {
    base::MutexLock lock(owner_.mutex_);
    if (life_ == owner_.life_) owner_.locks_.erase(path_);
  }

 private:
  FakeFileSystem& owner_;
  const std::string path_;
  const uint64_t life_;
};

FakeFileSystem::FakeFileSystem() {
  auto root = std::make_shared<Inode>();
  root->is_directory = true;
  names_["/"] = root;
}

FakeFileSystem::~FakeFileSystem() = default;

void FakeFileSystem::Kill() {
  base::MutexLock lock(mutex_);
  EndLife();
}

void FakeFileSystem::EndLife() {
  ++life_;
  locks_.clear();
  operations_max_ = UINT64_MAX;
  fail_next_sync_ = fail_next_write_ = false;
}

void FakeFileSystem::CutPower() {
  CutPower([](const UnsyncedSector&) { return false; }, 0);
}

void FakeFileSystem::CutPower(base::Random& random) {
  // Often all or nothing, which single coins would hardly ever show.
  const uint64_t mood = random.Below(4);
  const size_t names_kept = random.Below(UnsyncedNames() + 1);
  CutPower(
      [&random, mood](const UnsyncedSector&) {
        return mood == 0 ? false : mood == 1 ? true : random.OneIn(2);
      },
      mood == 0 ? 0 : names_kept);
}

void FakeFileSystem::CutPower(const Survives& survives, size_t names_kept) {
  base::MutexLock lock(mutex_);
  EndLife();
  std::set<Inode*> settled;
  for (const auto& [path, inode] : names_) {
    if (!settled.insert(inode.get()).second) continue;
    for (const uint64_t sector : inode->dirty) {
      const uint64_t from = sector * kFakeSectorBytes;
      if (from >= inode->cache.size() || !survives({path, sector})) continue;
      const std::string bytes = inode->cache.substr(from, kFakeSectorBytes);
      if (inode->disk.size() < from + bytes.size()) inode->disk.resize(from + bytes.size());
      bytes.copy(inode->disk.data() + from, bytes.size());
    }
  }
  for (size_t i = 0; i < names_kept && i < unsynced_names_.size(); ++i) {
    DoOnDisk(unsynced_names_[i]);
  }
  unsynced_names_.clear();
  const std::shared_ptr<Inode> root = names_.at("/");
  names_.clear();
  Mount("/", root);
  for (const auto& [path, inode] : names_) {
    inode->cache = inode->disk;
    inode->dirty.clear();
  }
}

std::vector<UnsyncedSector> FakeFileSystem::UnsyncedSectors() {
  base::MutexLock lock(mutex_);
  std::vector<UnsyncedSector> sectors;
  std::set<Inode*> seen;
  for (const auto& [path, inode] : names_) {
    if (!seen.insert(inode.get()).second) continue;
    for (const uint64_t sector : inode->dirty) sectors.push_back({path, sector});
  }
  return sectors;
}

size_t FakeFileSystem::UnsyncedNames() {
  base::MutexLock lock(mutex_);
  return unsynced_names_.size();
}

std::unique_ptr<FakeFileSystem> FakeFileSystem::Clone() {
  auto clone = std::make_unique<FakeFileSystem>();
  base::MutexLock lock(mutex_);
  base::MutexLock clone_lock(clone->mutex_);
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  const std::function<std::shared_ptr<Inode>(const std::shared_ptr<Inode>&)> copy_of =
      [&](const std::shared_ptr<Inode>& inode) {
        if (inode == nullptr) return inode;
        std::shared_ptr<Inode>& copy = copies[inode.get()];
        if (copy == nullptr) {
          copy = std::make_shared<Inode>(*inode);
          for (auto& [name, child] : copy->kept) child = copy_of(child);
        }
        return copy;
      };
  clone->names_.clear();
  for (const auto& [path, inode] : names_) clone->names_[path] = copy_of(inode);
  for (NameOperation operation : unsynced_names_) {
    operation.inode = copy_of(operation.inode);
    operation.folder = copy_of(operation.folder);
    operation.to_folder = copy_of(operation.to_folder);
    clone->unsynced_names_.push_back(std::move(operation));
  }
  clone->free_bytes_ = free_bytes_;
  return clone;
}

void FakeFileSystem::FailNextSync() {
  base::MutexLock lock(mutex_);
  fail_next_sync_ = true;
}

void FakeFileSystem::FailNextWrite(size_t bytes_written) {
  base::MutexLock lock(mutex_);
  fail_next_write_ = true;
  failing_write_bytes_ = bytes_written;
}

void FakeFileSystem::SetFreeBytes(uint64_t bytes) {
  base::MutexLock lock(mutex_);
  free_bytes_ = bytes;
}

void FakeFileSystem::StopAfter(uint64_t operations) {
  base::MutexLock lock(mutex_);
  operations_max_ = operations_ + operations;
}

uint64_t FakeFileSystem::operations() {
  base::MutexLock lock(mutex_);
  return operations_;
}

uint64_t FakeFileSystem::syncs() {
  base::MutexLock lock(mutex_);
  return syncs_;
}

void FakeFileSystem::FlipBit(const std::string& path, uint64_t bit) {
  base::MutexLock lock(mutex_);
  Inode& inode = *names_.at(path);
  const auto mask = static_cast<char>(1u << (bit % 8));
  BASALT_CHECK(bit / 8 < inode.cache.size());
  inode.cache[bit / 8] = static_cast<char>(inode.cache[bit / 8] ^ mask);
  if (bit / 8 < inode.disk.size()) {
    inode.disk[bit / 8] = static_cast<char>(inode.disk[bit / 8] ^ mask);
  }
}

void FakeFileSystem::CutFile(const std::string& path, uint64_t size) {
  base::MutexLock lock(mutex_);
  Inode& inode = *names_.at(path);
  BASALT_CHECK(size <= inode.cache.size());
  inode.cache.resize(size);
  inode.disk.resize(std::min<uint64_t>(size, inode.disk.size()));
}

std::string FakeFileSystem::Contents(const std::string& path) {
  base::MutexLock lock(mutex_);
  return names_.at(path)->cache;
}

std::vector<std::string> FakeFileSystem::DurableFiles() {
  base::MutexLock lock(mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, inode] : names_) {
    if (!inode->is_directory && !inode->disk.empty()) paths.push_back(path);
  }
  return paths;
}

bool FakeFileSystem::HasByte(const std::string& path, uint64_t offset) {
  base::MutexLock lock(mutex_);
  const auto found = names_.find(path);
  return found != names_.end() && offset < found->second->cache.size();
}

absl::Status FakeFileSystem::Count() {
  if (operations_ >= operations_max_) return base::Internal("the process stopped here");
  ++operations_;
  return absl::OkStatus();
}

absl::Status FakeFileSystem::CheckParent(const std::string& path) {
  const auto parent = names_.find(ParentOf(path));
  if (parent == names_.end()) return base::NotFound(ParentOf(path) + ": no such directory");
  if (!parent->second->is_directory) return base::Internal(ParentOf(path) + ": not a directory");
  return absl::OkStatus();
}

bool FakeFileSystem::HasChildren(const std::string& path) {
  const auto child = names_.lower_bound(path + "/");
  return child != names_.end() && IsBelow(child->first, path);
}

void FakeFileSystem::Do(NameOperation operation) {
  operation.folder = names_.at(ParentOf(operation.path));
  if (operation.kind == NameOperation::Kind::kRename) {
    operation.to_folder = names_.at(ParentOf(operation.to));
  }
  DoInCache(operation);
  unsynced_names_.push_back(std::move(operation));
}

void FakeFileSystem::DoInCache(const NameOperation& operation) {
  switch (operation.kind) {
    case NameOperation::Kind::kAdd:
      names_[operation.path] = operation.inode;
      return;
    case NameOperation::Kind::kRemove:
      names_.erase(operation.path);
      return;
    case NameOperation::Kind::kRename: {
      Names moved;
      for (const auto& [path, inode] : names_) {
        if (path == operation.path || IsBelow(path, operation.path)) moved[path] = inode;
      }
      for (const auto& [path, inode] : moved) names_.erase(path);
      for (const auto& [path, inode] : moved) {
        names_[operation.to + path.substr(operation.path.size())] = inode;
      }
      return;
    }
  }
}

void FakeFileSystem::DoOnDisk(const NameOperation& operation) {
  switch (operation.kind) {
    case NameOperation::Kind::kAdd:
      operation.folder->kept[NameOf(operation.path)] = operation.inode;
      return;
    case NameOperation::Kind::kRemove:
      operation.folder->kept.erase(NameOf(operation.path));
      return;
    case NameOperation::Kind::kRename: {
      // A name that was never synced gets lost on its way.
      auto name = operation.folder->kept.extract(NameOf(operation.path));
      if (!name.empty()) operation.to_folder->kept[NameOf(operation.to)] = name.mapped();
      return;
    }
  }
}

// What the disk holds at and below `inode` is what the cache shows.
void FakeFileSystem::Mount(const std::string& path, const std::shared_ptr<Inode>& inode) {
  names_[path] = inode;
  const std::string folder = path == "/" ? path : path + "/";
  for (const auto& [name, child] : inode->kept) {
    std::string below = folder;
    below += name;
    Mount(below, child);
  }
}

absl::Status FakeFileSystem::Write(Inode& inode, uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return absl::OkStatus();
  const uint64_t end = offset + bytes.size();
  const uint64_t growth = end > inode.cache.size() ? end - inode.cache.size() : 0;
  if (growth > free_bytes_) return base::ResourceExhausted("no space left on the fake disk");
  free_bytes_ -= growth;
  // The hole between the old end and the new bytes is zeros, on the disk as well.
  if (growth > 0) inode.cache.resize(end);
  bytes.copy(inode.cache.data() + offset, bytes.size());
  for (uint64_t sector = offset / kFakeSectorBytes; sector * kFakeSectorBytes < end; ++sector) {
    inode.dirty.insert(sector);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<storage::File>> FakeFileSystem::Open(const std::string& path,
                                                                    OpenMode mode) {
  base::MutexLock lock(mutex_);
  const auto found = names_.find(path);
  if (mode == OpenMode::kCreate) {
    if (found != names_.end()) return base::AlreadyExists(path + " exists");
    BASALT_RETURN_IF_ERROR(CheckParent(path));
    BASALT_RETURN_IF_ERROR(Count());
    auto inode = std::make_shared<Inode>();
    Do({NameOperation::Kind::kAdd, path, "", inode});
    return std::make_unique<OpenFile>(*this, path, inode, life_, true);
  }
  if (found == names_.end()) return base::NotFound(path + ": no such file");
  if (found->second->is_directory) return base::Internal(path + " is a directory");
  return std::make_unique<OpenFile>(*this, path, found->second, life_,
                                    mode == OpenMode::kReadWrite);
}

absl::Status FakeFileSystem::Rename(const std::string& from, const std::string& to) {
  base::MutexLock lock(mutex_);
  const auto source = names_.find(from);
  if (source == names_.end()) return base::NotFound(from + ": no such file");
  BASALT_RETURN_IF_ERROR(CheckParent(to));
  const auto target = names_.find(to);
  if (target != names_.end() && target->second == source->second) return absl::OkStatus();
  if (target != names_.end() &&
      (target->second->is_directory != source->second->is_directory || HasChildren(to))) {
    return base::Internal(to + " is in the way");
  }
  BASALT_RETURN_IF_ERROR(Count());
  Do({NameOperation::Kind::kRename, from, to, nullptr});
  return absl::OkStatus();
}

absl::Status FakeFileSystem::Link(const std::string& from, const std::string& to) {
  base::MutexLock lock(mutex_);
  const auto source = names_.find(from);
  if (source == names_.end()) return base::NotFound(from + ": no such file");
  if (names_.contains(to)) return base::AlreadyExists(to + " exists");
  BASALT_RETURN_IF_ERROR(CheckParent(to));
  BASALT_RETURN_IF_ERROR(Count());
  Do({NameOperation::Kind::kAdd, to, "", source->second});
  return absl::OkStatus();
}

absl::Status FakeFileSystem::Remove(const std::string& path) {
  base::MutexLock lock(mutex_);
  if (!names_.contains(path)) return base::NotFound(path + ": no such file");
  if (HasChildren(path)) return base::Internal(path + " is not empty");
  BASALT_RETURN_IF_ERROR(Count());
  Do({NameOperation::Kind::kRemove, path, "", nullptr});
  return absl::OkStatus();
}

absl::Status FakeFileSystem::RemoveTree(const std::string& path) {
  base::MutexLock lock(mutex_);
  std::vector<std::string> doomed;
  for (const auto& [name, inode] : names_) {
    if (name == path || IsBelow(name, path)) doomed.push_back(name);
  }
  // Children before their folder.
  for (auto name = doomed.rbegin(); name != doomed.rend(); ++name) {
    BASALT_RETURN_IF_ERROR(Count());
    Do({NameOperation::Kind::kRemove, *name, "", nullptr});
  }
  return absl::OkStatus();
}

absl::Status FakeFileSystem::CreateDirectory(const std::string& path) {
  base::MutexLock lock(mutex_);
  if (const auto found = names_.find(path); found != names_.end()) {
    if (found->second->is_directory) return absl::OkStatus();
    return base::AlreadyExists(path + " is a file");
  }
  BASALT_RETURN_IF_ERROR(CheckParent(path));
  BASALT_RETURN_IF_ERROR(Count());
  auto inode = std::make_shared<Inode>();
  inode->is_directory = true;
  Do({NameOperation::Kind::kAdd, path, "", std::move(inode)});
  return absl::OkStatus();
}

absl::Status FakeFileSystem::SyncDirectory(const std::string& path) {
  base::MutexLock lock(mutex_);
  const auto found = names_.find(path);
  if (found == names_.end() || !found->second->is_directory) {
    return base::NotFound(path + ": no such directory");
  }
  BASALT_RETURN_IF_ERROR(Count());
  std::vector<NameOperation> left;
  for (NameOperation& operation : unsynced_names_) {
    if (operation.folder == found->second || operation.to_folder == found->second) {
      DoOnDisk(operation);
    } else {
      left.push_back(std::move(operation));
    }
  }
  unsynced_names_ = std::move(left);
  return absl::OkStatus();
}

absl::StatusOr<bool> FakeFileSystem::Exists(const std::string& path) {
  base::MutexLock lock(mutex_);
  return names_.contains(path);
}

absl::StatusOr<std::vector<std::string>> FakeFileSystem::List(const std::string& path) {
  base::MutexLock lock(mutex_);
  const auto found = names_.find(path);
  if (found == names_.end() || !found->second->is_directory) {
    return base::NotFound(path + ": no such directory");
  }
  std::vector<std::string> children;
  for (const auto& [name, inode] : names_) {
    if (name != "/" && ParentOf(name) == path) children.push_back(name.substr(name.rfind('/') + 1));
  }
  std::sort(children.begin(), children.end());
  return children;
}

absl::StatusOr<uint64_t> FakeFileSystem::FreeBytes(const std::string& /*path*/) {
  base::MutexLock lock(mutex_);
  return free_bytes_;
}

absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> FakeFileSystem::Lock(
    const std::string& path) {
  base::MutexLock lock(mutex_);
  BASALT_RETURN_IF_ERROR(CheckParent(path));
  if (!names_.contains(path)) {
    BASALT_RETURN_IF_ERROR(Count());
    Do({NameOperation::Kind::kAdd, path, "", std::make_shared<Inode>()});
  }
  if (!locks_.insert(path).second) {
    return base::Unavailable(path + " is locked by another process");
  }
  return std::make_unique<HeldLock>(*this, path, life_);
}

}  // namespace basalt::testing
