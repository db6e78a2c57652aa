// RocksDbEvents: what happened inside the RocksDB instances of a node. Included by rocksdb_*.cc
// only.
//
// RocksDB's own statistics count two hundred kinds of things; these are those that explain a slow
// read or a slow write, and all others are dropped where they are reported. Any thread of RocksDB's
// or ours reports, several times a read, so counters lie apart from each other and take no lock.
#pragma once

#include <rocksdb/listener.h>
#include <rocksdb/statistics.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "storage/rocksdb_engine.h"

namespace basalt::storage {

class RocksDbEvents : public rocksdb::Statistics, public rocksdb::EventListener {
 public:
  const char* Name() const override { return "basalt.RocksDbEvents"; }

  RocksDbCounts counts() const;

  // Of rocksdb::Statistics.
  void recordTick(uint32_t ticker, uint64_t count) override;
  bool HistEnabledForType(uint32_t) const override { return false; }
  void recordInHistogram(uint32_t, uint64_t) override {}
  // Nobody reads through RocksDB what is kept here.
  uint64_t getTickerCount(uint32_t) const override { return 0; }
  void setTickerCount(uint32_t, uint64_t) override {}
  uint64_t getAndResetTickerCount(uint32_t) override { return 0; }
  void histogramData(uint32_t, rocksdb::HistogramData* const) const override {}

  // Of rocksdb::EventListener.
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override;
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override;

 private:
  enum Event {
    kBlockHit,
    kBlockMiss,
    kDataBlockMiss,
    kFlush,
    kFlushedByte,
    kCompaction,
    kCompactedByte,
    kHeldWrite,
    kHeldMicrosecond,
    kEvents,
  };
  struct alignas(64) Counter {
    std::atomic<uint64_t> value{0};
  };

  void Add(Event event, uint64_t count = 1) {
    counters_[event].value.fetch_add(count, std::memory_order_relaxed);
  }
  uint64_t Of(Event event) const { return counters_[event].value.load(std::memory_order_relaxed); }

  std::array<Counter, kEvents> counters_;
};

}  // namespace basalt::storage
