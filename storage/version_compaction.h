// How RocksDB drops what a horizon lets go, as its compactions come by it, and what its files tell
// of where to look for more. Included by rocksdb_*.cc and version_*.cc only.
#pragma once

#include <rocksdb/compaction_filter.h>
#include <rocksdb/db.h>
#include <rocksdb/table_properties.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace basalt::storage {

// Of one store. A compaction sees the rows of some files, in order, and may see them in several
// parts of which none knows of the others; it drops under live snapshots. So (1) a superseded
// version goes only for a newer one that the same part saw, and (2) a tombstone goes only once the
// store is found to hold no older version of its key, in these files or in any other. None can
// appear later: what is written is newer than all that is stored of its key.
class VersionDrops : public rocksdb::CompactionFilterFactory {
 public:
  // Durable, see Horizons. Of compactions that begin from now on.
  void SetHorizon(uint64_t horizon) { horizon_.store(horizon); }
  // From now on tombstones go too; `db` outlives all compactions.
  void SetStore(rocksdb::DB& db) { db_.store(&db); }
  // Versions.
  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& context) override;
  const char* Name() const override { return "basalt.VersionDrops"; }

 private:
  class Filter;

  std::atomic<uint64_t> horizon_{0};
  std::atomic<rocksdb::DB*> db_{nullptr};
  std::atomic<uint64_t> dropped_{0};
};

// Has each file of rows carry some of its stems, evenly spread over its bytes: who looks at a few
// rows from each of them sees a fair sample of the file.
std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> NewAnchorCollectorFactory();

// Those stems; none: a file without.
std::vector<std::string> AnchorsOf(const rocksdb::TableProperties& file);

}  // namespace basalt::storage
