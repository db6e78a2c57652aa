// RocksDbEngine: an Engine over one RocksDB instance; a node has one per replica.
//
// Write-ahead log off; families flush together (atomic_flush): without that, a crash leaves the
// families at different moments. kData is the column family "default", kState is "state". A prefix
// extractor strips the stamp off a row's key, so that the bloom filters of memtables and files
// answer for all versions of a key; reads of one key reuse iterators (a new one costs as much as
// the read).
//
// What all instances of a node share lies in RocksDbResources: block cache, memtable budget,
// background threads, rate limit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/hot_rows.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
}  // namespace rocksdb

namespace basalt::storage {

struct RocksDbSizes {
  size_t block_cache_bytes = size_t{256} << 20;
  // Rows that are read most, beside their blocks; 0: none.
  size_t hot_rows_bytes = size_t{32} << 20;
  // Of all memtables of the node together; above it the fullest are flushed.
  size_t memtables_bytes = size_t{256} << 20;
  // Of one memtable.
  size_t memtable_bytes = size_t{32} << 20;
  // Flushes and compactions of the node together; 0: no limit.
  uint64_t background_bytes_per_second = 0;
  int background_threads = 2;
};

class RocksDbShared;

// Thread-safe; outlives every engine made with it.
class RocksDbResources {
 public:
  explicit RocksDbResources(const RocksDbSizes& sizes);
  ~RocksDbResources();
  RocksDbResources(const RocksDbResources&) = delete;
  RocksDbResources& operator=(const RocksDbResources&) = delete;

  uint64_t BlockCacheBytes() const;
  uint64_t MemtableBytes() const;
  HotRows::Counts HotRowCounts() const;
  const RocksDbShared& shared() const { return *shared_; }

 private:
  std::unique_ptr<RocksDbShared> shared_;
};

class RocksDbEngine : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Open(const RocksDbResources& resources,
                                                      const std::string& directory);
  ~RocksDbEngine() override;

  void Write(const Batch& batch) override;
  absl::StatusOr<std::optional<std::string>> Get(Family family, std::string_view key) override;
  absl::StatusOr<std::optional<std::string>> GetFlushed(Family family,
                                                        std::string_view key) override;
  absl::StatusOr<bool> VisitFirstOfStem(std::string_view key, RowVisitor visit) override;
  std::unique_ptr<EngineIterator> NewIterator(Family family,
                                              const EngineSnapshot* snapshot) override;
  std::shared_ptr<const EngineSnapshot> TakeSnapshot() override;
  void Flush() override;
  uint64_t flush_count() const override;
  absl::Status CreateCheckpoint(const std::string& directory) override;
  uint64_t ApproximateBytes() const override;

 private:
  class IdleIterators;
  class Listener;
  class Snapshot;
  class RowIterator;

  RocksDbEngine(HotRows& hot_rows, std::string directory);

  absl::Status OpenStore(const RocksDbShared& shared);
  rocksdb::ColumnFamilyHandle* family(Family family) const {
    return families_[static_cast<size_t>(family)];
  }
  absl::StatusOr<bool> VisitStored(std::string_view key, RowVisitor visit);

  const std::string directory_;
  HotRows::Source hot_rows_;
  const std::shared_ptr<IdleIterators> idle_;
  const std::shared_ptr<Listener> listener_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;  // by Family; owned
};

class RocksDbEngineFactory : public EngineFactory {
 public:
  // `resources` outlives the factory and its engines.
  explicit RocksDbEngineFactory(const RocksDbResources& resources) : resources_(resources) {}
  absl::StatusOr<std::unique_ptr<Engine>> Open(const std::string& directory) override {
    return RocksDbEngine::Open(resources_, directory);
  }

 private:
  const RocksDbResources& resources_;
};

}  // namespace basalt::storage
