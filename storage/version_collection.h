// VersionCollection: finds the parts of a RocksDB store that hold much of what the horizon lets go,
// and has them compacted, though nobody writes. RocksDB by itself compacts what is written; what
// became old since lies where it is, most of all in the lowest level.
//
// When the horizon or the files have changed, it goes over the store once, unit by unit, a unit
// being the range of one file of the lowest level. Of each it reads a few rows at each of some
// anchors (storage/version_compaction.h), all levels merged, and counts the bytes that would go. A
// unit of which a third would go is compacted; if only a horizon that is not flushed yet lets go so
// much, the store is flushed. One unit at a time for all stores of a node, one a second for each of
// them at most, and none while RocksDB has compactions to do for those who write.
#pragma once

#include <rocksdb/db.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "storage/engine.h"
#include "storage/version_compaction.h"
#include "storage/work_thread.h"

namespace basalt::storage {

class VersionCollection final : private Workable {
 public:
  // `thread` outlives it.
  explicit VersionCollection(WorkThread& thread)
      : thread_(thread), drops_(std::make_shared<VersionDrops>()) {}
  ~VersionCollection() { Close(); }
  VersionCollection(const VersionCollection&) = delete;
  VersionCollection& operator=(const VersionCollection&) = delete;

  // The store's; before Open.
  const std::shared_ptr<VersionDrops>& drops() const { return drops_; }
  // `flush` makes all that was written durable. `db` lives until Close has returned.
  void Open(rocksdb::DB& db, std::function<void()> flush);
  // Breaks off what is under way. Whoever opened it calls it.
  void Close();

  // Any thread.
  void Collect(const Horizons& horizons);

 private:
  // A range of rows, its ends included.
  struct Unit {
    std::string first;
    std::string last;
  };
  struct Shares {
    double durable = 0;  // of the bytes that were read, what would go by this horizon
    double applied = 0;
  };

  void Work() override;
  void BeginLap();
  bool IsBusy() const;
  std::vector<std::string> AnchorsIn(const Unit& unit) const;
  Shares Measure(const Unit& unit) const;
  void Compact(const Unit& unit);

  WorkThread& thread_;
  const std::shared_ptr<VersionDrops> drops_;
  rocksdb::DB* db_ = nullptr;
  std::function<void()> flush_;
  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> applied_{0};
  std::atomic<bool> closing_{false};

  // The thread's.
  Horizons lap_;  // that the lap goes by
  uint64_t lap_newest_file_ = 0;
  std::deque<Unit> units_;  // of the lap, not looked at yet
};

}  // namespace basalt::storage
