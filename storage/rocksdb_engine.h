// RocksDbEngine: an Engine over one RocksDB instance; a node has one per replica.
//
// Write-ahead log off; families flush together (atomic_flush): without that, a crash leaves the
// families at different moments. kData is the column family "default", kState is "state". A prefix
// extractor strips the stamp off a row's key, so that the bloom filters of memtables and files
// answer for all versions of a key; reads of one key reuse iterators (a new one costs as much as
// the read).
//
// A batch lies in a RowBuffer first and goes into the memtable with many others, on the drainer's
// thread (storage/row_buffer.h tells why). Whatever needs the order of all rows (iterators,
// snapshots, flushes, checkpoints) drains the buffer before it begins.
//
// Old versions go in compactions (storage/version_collection.h).
//
// What all instances of a node share lies in RocksDbResources: block cache, memtable budget,
// background threads, rate limit, the threads that drain and collect.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/hot_rows.h"
#include "storage/row_buffers.h"
#include "storage/work_thread.h"

namespace rocksdb {
class ColumnFamilyHandle;
class DB;
}  // namespace rocksdb

namespace basalt::storage {

struct RocksDbSizes {
  size_t block_cache_bytes = size_t{256} << 20;
  // Rows that are read most, beside their blocks; 0: none.
  size_t hot_rows_bytes = size_t{32} << 20;
  // Of all memtables and row buffers of the node together. Above three quarters of it in memtables
  // the fullest are flushed; the last quarter is the buffers'.
  size_t memtables_bytes = size_t{256} << 20;
  // Of one memtable.
  size_t memtable_bytes = size_t{32} << 20;
  // An instance's row buffer is drained from here on; less where many instances share the buffers'
  // quarter. 0: rows do not wait for the memtable.
  size_t buffer_bytes = size_t{4} << 20;
  // Flushes and compactions of the node together; 0: no limit.
  uint64_t background_bytes_per_second = 0;
  int background_threads = 2;
  // Of flushes and compactions, 0 to 19: beside a thread of niceness 0 that would never sleep, 15
  // leaves them a thirtieth of a processor.
  int background_niceness = 0;
};

// Of all instances of a node, since it started.
struct RocksDbCounts {
  // Look-ups in the block cache: of data, indexes and filters, for reads and compactions. What a
  // miss looked for is read from its file.
  uint64_t block_hits = 0;
  uint64_t block_misses = 0;
  uint64_t data_block_misses = 0;  // among them
  uint64_t flushes = 0;            // of a family
  uint64_t flushed_bytes = 0;
  uint64_t compactions = 0;
  uint64_t compacted_bytes = 0;  // written
  // Writes that RocksDB slowed down or stopped because flushes or compactions were behind.
  uint64_t held_writes = 0;
  uint64_t held_us = 0;
};

class RocksDbShared;
class VersionCollection;

// Thread-safe; outlives every engine made with it.
class RocksDbResources {
 public:
  explicit RocksDbResources(const RocksDbSizes& sizes);
  ~RocksDbResources();
  RocksDbResources(const RocksDbResources&) = delete;
  RocksDbResources& operator=(const RocksDbResources&) = delete;

  uint64_t BlockCacheBytes() const;
  uint64_t MemtableBytes() const;  // and row buffers
  HotRows::Counts HotRowCounts() const;
  RocksDbCounts Counts() const;
  RocksDbShared& shared() const { return *shared_; }

 private:
  std::unique_ptr<RocksDbShared> shared_;
};

class RocksDbEngine : public Engine, private Workable {
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
  void Collect(const Horizons& horizons) override;
  uint64_t collected() const override;
  uint64_t ApproximateBytes() const override;

 private:
  class IdleIterators;
  class Listener;
  class Snapshot;
  class RowIterator;

  RocksDbEngine(RocksDbShared& shared, std::string directory);

  absl::Status OpenStore();
  // All that was written before the call is in the memtable when it returns. Any thread.
  void Drain();
  void Work() override { Drain(); }
  void WriteRows(const std::vector<RowBuffer::Row>& rows);
  // Whether each row of kData is a put above all versions of its stem that there are, so that the
  // batch may go to the buffers though its stamps are lower than others'. Transactions commit at a
  // stamp of the past: what a key's lock kept out is below it, what other keys got is not. Rows
  // above `highest_stamp` are above all that is here.
  bool IsNewestOfStems(const Batch& batch, uint64_t highest_stamp);
  rocksdb::ColumnFamilyHandle* family(Family family) const {
    return families_[static_cast<size_t>(family)];
  }
  absl::StatusOr<bool> VisitStored(std::string_view key, RowVisitor visit);

  RocksDbShared& shared_;
  const std::string directory_;
  HotRows::Source hot_rows_;
  const std::shared_ptr<IdleIterators> idle_;
  const std::shared_ptr<Listener> listener_;
  const std::unique_ptr<VersionCollection> collection_;
  RowBuffers buffers_;
  uint64_t highest_stamp_ = 0;  // of what was written since the engine was opened
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
  absl::Status VerifyCheckpoint(const std::string& directory,
                                const std::function<bool()>& stop) override;

 private:
  const RocksDbResources& resources_;
};

}  // namespace basalt::storage
