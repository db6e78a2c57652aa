// The settings of every RocksDB instance, each with its reason. Included by rocksdb_*.cc only.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "storage/background_niceness.h"
#include "storage/hot_rows.h"
#include "storage/rocksdb_engine.h"
#include "storage/rocksdb_events.h"
#include "storage/work_thread.h"

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
  WorkThread& drainer() { return drainer_; }
  WorkThread& collector() { return collector_; }

  void CountOpened() { instances_.fetch_add(1, std::memory_order_relaxed); }
  void CountClosed() { instances_.fetch_sub(1, std::memory_order_relaxed); }
  // In the row buffers of all instances.
  void CountBuffered(int64_t bytes) { buffered_.fetch_add(bytes, std::memory_order_relaxed); }
  size_t BufferedBytes() const {
    return static_cast<size_t>(std::max<int64_t>(buffered_.load(std::memory_order_relaxed), 0));
  }
  // From how many bytes on an instance's buffer is drained; twice as many stop who writes.
  size_t BufferBytes() const {
    const size_t share = BuffersBytes(sizes_) / 2 / std::max<size_t>(instances_.load(), 1);
    return std::min(sizes_.buffer_bytes, share);
  }
  HotRows& hot_rows() const { return *hot_rows_; }
  const RocksDbEvents& events() const { return *events_; }

 private:
  // The part of the memtables' budget that row buffers have.
  static size_t BuffersBytes(const RocksDbSizes& sizes) { return sizes.memtables_bytes / 4; }

  rocksdb::ColumnFamilyOptions FamilyOptions() const;

  const RocksDbSizes sizes_;
  std::shared_ptr<rocksdb::Cache> block_cache_;
  std::shared_ptr<rocksdb::WriteBufferManager> memtables_;
  std::unique_ptr<HotRows> hot_rows_;
  const std::shared_ptr<RocksDbEvents> events_ = std::make_shared<RocksDbEvents>();
  const std::shared_ptr<BackgroundNiceness> niceness_ =
      std::make_shared<BackgroundNiceness>(sizes_.background_niceness);
  std::shared_ptr<rocksdb::RateLimiter> rate_limiter_;  // null: no limit
  std::shared_ptr<rocksdb::TableFactory> data_tables_;
  std::shared_ptr<rocksdb::TableFactory> state_tables_;
  std::shared_ptr<const rocksdb::SliceTransform> strip_stamp_;
  std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> anchors_;
  std::atomic<size_t> instances_{0};
  std::atomic<int64_t> buffered_{0};  // below 0 for a moment, when a drain is counted first
  WorkThread drainer_{"drain"};
  WorkThread collector_{"collect"};
};

}  // namespace basalt::storage
