#include "storage/rocksdb_events.h"

namespace basalt::storage {

RocksDbCounts RocksDbEvents::counts() const {
  return {.block_hits = Of(kBlockHit),
          .block_misses = Of(kBlockMiss),
          .data_block_misses = Of(kDataBlockMiss),
          .flushes = Of(kFlush),
          .flushed_bytes = Of(kFlushedByte),
          .compactions = Of(kCompaction),
          .compacted_bytes = Of(kCompactedByte),
          .held_writes = Of(kHeldWrite),
          .held_us = Of(kHeldMicrosecond)};
}

void RocksDbEvents::recordTick(uint32_t ticker, uint64_t count) {
  switch (ticker) {
    case rocksdb::BLOCK_CACHE_HIT:
      return Add(kBlockHit, count);
    case rocksdb::BLOCK_CACHE_MISS:
      return Add(kBlockMiss, count);
    case rocksdb::BLOCK_CACHE_DATA_MISS:
      return Add(kDataBlockMiss, count);
    case rocksdb::FLUSH_WRITE_BYTES:
      return Add(kFlushedByte, count);
    case rocksdb::COMPACT_WRITE_BYTES:
      return Add(kCompactedByte, count);
    case rocksdb::STALL_MICROS:  // reported once for a write that was slowed down or stopped
      Add(kHeldWrite);
      return Add(kHeldMicrosecond, count);
    default:
      return;
  }
}

void RocksDbEvents::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) { Add(kFlush); }

void RocksDbEvents::OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) {
  Add(kCompaction);
}

}  // namespace basalt::storage
