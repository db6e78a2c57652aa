// The settings of every RocksDB instance, each with its reason. Included by rocksdb_*.cc only.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <memory>

#include "storage/hot_rows.h"
#include "storage/rocksdb_engine.h"

namespace basalt::storage {

// For a cache of so many bytes: many shards, for they are locked, but none that the largest blocks
// of a file, its index and its filter, would not fit into: such a block is read anew for every get.
int CacheShardBits(size_t bytes);

// What RocksDbResources holds.
class RocksDbShared {
 public:
  explicit RocksDbShared(const RocksDbSizes& sizes);

  rocksdb::Options StoreOptions() const;
  rocksdb::ColumnFamilyOptions DataOptions() const;
  rocksdb::ColumnFamilyOptions StateOptions() const;

  const rocksdb::Cache& block_cache() const { return *block_cache_; }
  const rocksdb::WriteBufferManager& memtables() const { return *memtables_; }
  HotRows& hot_rows() const { return *hot_rows_; }

 private:
  rocksdb::ColumnFamilyOptions FamilyOptions() const;

  const RocksDbSizes sizes_;
  std::shared_ptr<rocksdb::Cache> block_cache_;
  std::shared_ptr<rocksdb::WriteBufferManager> memtables_;
  std::unique_ptr<HotRows> hot_rows_;
  std::shared_ptr<rocksdb::RateLimiter> rate_limiter_;  // null: no limit
  std::shared_ptr<rocksdb::TableFactory> data_tables_;
  std::shared_ptr<rocksdb::TableFactory> state_tables_;
  std::shared_ptr<const rocksdb::SliceTransform> strip_stamp_;
};

}  // namespace basalt::storage
