// FakeFileSystem: files in memory that behave like a disk behind a page cache.
//
// Reads see every write at once. What a power cut leaves is only what was synced: bytes by
// File::Sync, names by SyncDirectory; of what was not, any subset of 512-byte sectors and any
// prefix of the name operations may survive, as the test chooses. A failed sync is as treacherous
// as Linux's: the cache goes on showing the bytes, and no later sync writes them.
//
// Thread-safe. Handles, locks and planned failures end with Kill or CutPower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/random.h"
#include "storage/file_system.h"

namespace basalt::testing {

inline constexpr uint64_t kFakeSectorBytes = 512;

struct UnsyncedSector {
  std::string path;
  uint64_t sector = 0;
};

class FakeFileSystem final : public storage::FileSystem {
 public:
  FakeFileSystem();
  ~FakeFileSystem() override;

  // The process dies; the kernel goes on: everything written is still there.
  void Kill();
  // Everything that was not synced is gone.
  void CutPower();
  // Of what was not synced, the sectors that `survives` and the first `names_kept` operations on
  // names are there all the same.
  using Survives = std::function<bool(const UnsyncedSector&)>;
  void CutPower(const Survives& survives, size_t names_kept);
  // Any of it, by chance.
  void CutPower(base::Random& random);
  std::vector<UnsyncedSector> UnsyncedSectors();
  size_t UnsyncedNames();
  // The same files, names and unsynced state; no handles, locks or planned failures.
  std::unique_ptr<FakeFileSystem> Clone();

  // The next File::Sync fails, the ones after it claim to succeed.
  void FailNextSync();
  // The next WriteAt fails after it wrote `bytes_written` of its bytes.
  void FailNextWrite(size_t bytes_written);
  // Growing a file takes from this; what does not fit fails whole. Starts without bound.
  void SetFreeBytes(uint64_t bytes);
  // Counts operations that change something. From the `operations`-th more on, all of them fail and
  // change nothing, as if the process had stopped there.
  void StopAfter(uint64_t operations);
  uint64_t operations();
  uint64_t syncs();
  // On the disk and in the cache. `bit` counts from the start of the file.
  void FlipBit(const std::string& path, uint64_t bit);
  // Cuts the file, on the disk and in the cache.
  void CutFile(const std::string& path, uint64_t size);
  std::string Contents(const std::string& path);
  // Files that have bytes on the disk, sorted.
  std::vector<std::string> DurableFiles();
  bool HasByte(const std::string& path, uint64_t offset);

  absl::StatusOr<std::unique_ptr<storage::File>> Open(const std::string& path,
                                                      OpenMode mode) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status Link(const std::string& from, const std::string& to) override;
  absl::Status Remove(const std::string& path) override;
  absl::Status RemoveTree(const std::string& path) override;
  absl::Status CreateDirectory(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::StatusOr<bool> Exists(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override;
  absl::StatusOr<uint64_t> FreeBytes(const std::string& path) override;
  absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> Lock(const std::string& path) override;

 private:
  class OpenFile;
  class HeldLock;

  struct Inode {
    bool is_directory = false;
    std::string cache;
    std::string disk;
    std::set<uint64_t> dirty;  // sectors whose cache is to be written
    // A folder: the names in it that a power cut leaves. They are the folder's, not its path's: a
    // later folder of the same name has its own.
    std::map<std::string, std::shared_ptr<Inode>> kept;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;  // by whole path

  struct NameOperation {
    enum class Kind { kAdd, kRemove, kRename } kind = Kind::kAdd;
    std::string path;
    std::string to;                    // kRename
    std::shared_ptr<Inode> inode;      // kAdd
    std::shared_ptr<Inode> folder;     // of `path`
    std::shared_ptr<Inode> to_folder;  // of `to`
  };

  void EndLife() BASALT_REQUIRES(mutex_);
  absl::Status Count() BASALT_REQUIRES(mutex_);
  absl::Status CheckParent(const std::string& path) BASALT_REQUIRES(mutex_);
  bool HasChildren(const std::string& path) BASALT_REQUIRES(mutex_);
  void Do(NameOperation operation) BASALT_REQUIRES(mutex_);
  void DoInCache(const NameOperation& operation) BASALT_REQUIRES(mutex_);
  static void DoOnDisk(const NameOperation& operation);
  void Mount(const std::string& path, const std::shared_ptr<Inode>& inode) BASALT_REQUIRES(mutex_);
  absl::Status Write(Inode& inode, uint64_t offset, std::string_view bytes) BASALT_REQUIRES(mutex_);

  base::Mutex mutex_;
  Names names_ BASALT_GUARDED_BY(mutex_);
  std::vector<NameOperation> unsynced_names_ BASALT_GUARDED_BY(mutex_);
  std::set<std::string> locks_ BASALT_GUARDED_BY(mutex_);
  uint64_t life_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t operations_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t operations_max_ BASALT_GUARDED_BY(mutex_) = UINT64_MAX;
  uint64_t syncs_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t free_bytes_ BASALT_GUARDED_BY(mutex_) = uint64_t{1} << 40;
  bool fail_next_sync_ BASALT_GUARDED_BY(mutex_) = false;
  bool fail_next_write_ BASALT_GUARDED_BY(mutex_) = false;
  size_t failing_write_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
};

}  // namespace basalt::testing
