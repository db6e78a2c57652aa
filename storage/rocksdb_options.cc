#include "storage/rocksdb_options.h"

#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>

#include "storage/version_compaction.h"

namespace basalt::storage {
namespace {

class StripStamp : public rocksdb::SliceTransform {
 public:
  // Stored in every file: a change makes old files' filters unused.
  const char* Name() const override { return "basalt.StripStamp"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), key.size() - kStampBytes};
  }
  bool InDomain(const rocksdb::Slice& key) const override { return key.size() >= kStampBytes; }
};

constexpr size_t kStateMemtableBytes = size_t{8} << 20;
constexpr double kBloomBitsPerKey = 10;
constexpr size_t kCacheShardBytesMin = size_t{4} << 20;
constexpr int kCacheShardBitsMax = 6;

}  // namespace

int CacheShardBits(size_t bytes) {
  int bits = 0;
  while (bits < kCacheShardBitsMax && bytes >> (bits + 1) >= kCacheShardBytesMin) ++bits;
  return bits;
}

RocksDbShared::RocksDbShared(const RocksDbSizes& sizes)
    : sizes_(sizes),
      block_cache_(
          rocksdb::NewLRUCache(sizes.block_cache_bytes, CacheShardBits(sizes.block_cache_bytes))),
      memtables_(std::make_shared<rocksdb::WriteBufferManager>(sizes.memtables_bytes -
                                                               BuffersBytes(sizes))),
      hot_rows_(std::make_unique<HotRows>(sizes.hot_rows_bytes)),
      strip_stamp_(std::make_shared<StripStamp>()),
      anchors_(NewAnchorCollectorFactory()) {
  if (sizes.background_bytes_per_second != 0) {
    rate_limiter_.reset(
        rocksdb::NewGenericRateLimiter(static_cast<int64_t>(sizes.background_bytes_per_second)));
  }
  rocksdb::Env* env = rocksdb::Env::Default();
  env->SetBackgroundThreads(sizes.background_threads, rocksdb::Env::LOW);
  env->SetBackgroundThreads(sizes.background_threads, rocksdb::Env::HIGH);

  rocksdb::BlockBasedTableOptions tables;
  tables.block_cache = block_cache_;
  // In the cache, so that a thousand instances stay inside one budget.
  tables.cache_index_and_filter_blocks = true;
  tables.pin_l0_filter_and_index_blocks_in_cache = true;
  tables.format_version = 5;
  tables.checksum = rocksdb::kXXH3;  // this build computes CRC32C in software
  state_tables_.reset(rocksdb::NewBlockBasedTableFactory(tables));
  tables.filter_policy.reset(rocksdb::NewBloomFilterPolicy(kBloomBitsPerKey));
  tables.whole_key_filtering = false;  // reads ask for a stem
  data_tables_.reset(rocksdb::NewBlockBasedTableFactory(tables));
}

rocksdb::Options RocksDbShared::StoreOptions() const {
  rocksdb::Options options;
  options.create_if_missing = false;  // a store that lost its CURRENT is damaged, not new
  options.create_missing_column_families = true;
  options.atomic_flush = true;
  // What was not flushed is replayed from the Raft log.
  options.avoid_flush_during_shutdown = true;
  options.allow_concurrent_memtable_write = false;  // one writer
  options.write_buffer_manager = memtables_;
  options.rate_limiter = rate_limiter_;
  options.max_background_jobs = sizes_.background_threads;
  options.max_open_files = 512;
  options.avoid_unnecessary_blocking_io = true;  // file deletion never in a reader
  options.bytes_per_sync = size_t{1} << 20;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.keep_log_file_num = 2;
  options.max_log_file_size = size_t{1} << 20;
  options.max_manifest_file_size = size_t{4} << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.skip_stats_update_on_db_open = true;
  options.statistics = events_;
  options.listeners.push_back(events_);
  options.listeners.push_back(niceness_);
  return options;
}

rocksdb::ColumnFamilyOptions RocksDbShared::FamilyOptions() const {
  rocksdb::ColumnFamilyOptions options;
  options.arena_block_size = size_t{64} << 10;  // many instances, most of them idle
  options.compression = rocksdb::kLZ4Compression;
  options.level_compaction_dynamic_level_bytes = true;
  options.max_write_buffer_number = 4;
  return options;
}

rocksdb::ColumnFamilyOptions RocksDbShared::DataOptions() const {
  rocksdb::ColumnFamilyOptions options = FamilyOptions();
  options.table_factory = data_tables_;
  options.write_buffer_size = sizes_.memtable_bytes;
  options.prefix_extractor = strip_stamp_;
  options.table_properties_collector_factories.push_back(anchors_);
  // 32 MiB hold some 100,000 small rows; 0.8 % are 20 bits for each, and are touched at once.
  options.memtable_prefix_bloom_size_ratio = 0.008;
  return options;
}

rocksdb::ColumnFamilyOptions RocksDbShared::StateOptions() const {
  rocksdb::ColumnFamilyOptions options = FamilyOptions();
  options.table_factory = state_tables_;
  // The same few rows over and over: old ones of a full memtable vanish when it is flushed.
  options.write_buffer_size = kStateMemtableBytes;
  return options;
}

}  // namespace basalt::storage
