// MemoryEngine: an Engine over an ordered map, for tests and the simulator. Made as strict as the
// contract allows: what was not flushed is gone when it is destroyed and opened again.
//
// A flush writes all rows into one file, IMAGE, of its directory (written aside, synced, renamed,
// directory synced); a checkpoint is such a file in another directory. So a file system that
// forgets what was not synced gives the engine's crashes too. Cost of a flush: all rows.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "base/status.h"
#include "storage/engine.h"
#include "storage/file_system.h"

namespace basalt::storage {

struct MemoryEngineOptions {
  // Flushes by itself after this many bytes of batches; 0: never.
  size_t flush_every_bytes = 0;
};

class MemoryEngine : public Engine {
 public:
  // `files` outlives the engine.
  static absl::StatusOr<std::unique_ptr<Engine>> Open(FileSystem& files,
                                                      const std::string& directory,
                                                      const MemoryEngineOptions& options);

  void Write(const Batch& batch) override BASALT_EXCLUDES(mutex_);
  absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key) override
      BASALT_EXCLUDES(mutex_);
  absl::StatusOr<std::optional<std::string>> GetFlushed(Family family,
                                                        std::string_view key) override;
  absl::StatusOr<bool> VisitFirstOfStem(std::string_view key, RowVisitor visit) override
      BASALT_EXCLUDES(mutex_);
  std::unique_ptr<EngineIterator> NewIterator(Family family,
                                              const EngineSnapshot* snapshot) override;
  std::shared_ptr<const EngineSnapshot> TakeSnapshot() override BASALT_EXCLUDES(mutex_);
  void Flush() override BASALT_EXCLUDES(mutex_);
  uint64_t flush_count() const override { return flush_count_.load(std::memory_order_acquire); }
  absl::Status CreateCheckpoint(const std::string& directory) override BASALT_EXCLUDES(mutex_);
  // At once, unless somebody iterates.
  void Collect(const Horizons& horizons) override BASALT_EXCLUDES(mutex_);
  uint64_t collected() const override { return collected_.load(); }
  uint64_t ApproximateBytes() const override { return image_bytes_.load(); }

 private:
  class Snapshot;
  class Iterator;

  // A row's key, and ~number of the batch that wrote it: the newest first.
  using RowId = std::pair<std::string, uint64_t>;
  using Rows = std::map<RowId, std::optional<std::string>, std::less<>>;  // nullopt: deleted
  struct Row {
    std::string key;
    std::string value;
  };

  MemoryEngine(FileSystem& files, std::string directory, const MemoryEngineOptions& options);

  void SetRow(Family family, std::string_view key, std::optional<std::string> value)
      BASALT_REQUIRES(mutex_);
  // The first row that is there in the eyes of batch `number`, at or above `key` (above it, when
  // `behind`).
  std::optional<Row> FirstAt(Family family, std::string_view key, bool behind, uint64_t number)
      BASALT_EXCLUDES(mutex_);
  // The last one below `key`; without a key, of all.
  std::optional<Row> LastBelow(Family family, std::optional<std::string_view> key, uint64_t number)
      BASALT_EXCLUDES(mutex_);
  void Release(uint64_t number) BASALT_EXCLUDES(mutex_);
  std::string EncodeImage() BASALT_EXCLUDES(mutex_);
  absl::Status WriteImage(const std::string& directory, const std::string& image);

  FileSystem& files_;
  const std::string directory_;
  const MemoryEngineOptions options_;
  std::atomic<uint64_t> flush_count_{0};
  std::atomic<uint64_t> image_bytes_{0};
  std::atomic<uint64_t> collected_{0};

  base::Mutex mutex_;
  Rows rows_[kFamilyCount] BASALT_GUARDED_BY(mutex_);
  base::CondVar flush_ended_;
  bool flushing_ BASALT_GUARDED_BY(mutex_) = false;
  uint64_t batches_ BASALT_GUARDED_BY(mutex_) = 1;  // 0 is behind all rows, see FirstAt
  size_t unflushed_bytes_ BASALT_GUARDED_BY(mutex_) = 0;
  std::multiset<uint64_t> watched_ BASALT_GUARDED_BY(mutex_);  // batch numbers of snapshots
};

class MemoryEngineFactory : public EngineFactory {
 public:
  // `files` outlives the factory and its engines.
  MemoryEngineFactory(FileSystem& files, const MemoryEngineOptions& options)
      : files_(files), options_(options) {}
  absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& directory) override {
    return MemoryEngine::Open(files_, directory, options_);
  }
  absl::Status VerifyCheckpoint(const std::string& directory,
                                const std::function<bool()>& /*stop*/) override {
    BASALT_ASSIGN_OR_RETURN(const bool exists, files_.Exists(directory));
    if (!exists) return base::NotFound(directory);
    return Open(directory).status();  // which reads all of it
  }

 private:
  FileSystem& files_;
  const MemoryEngineOptions options_;
};

}  // namespace basalt::storage
