// BackgroundNiceness: RocksDB's flushes and compactions let other threads go first. Included by
// rocksdb_*.cc only.
//
// Where processors are short, heartbeats and requests must not wait behind a compaction. RocksDB's
// own switch knows niceness 19 alone, or none while anything else runs; by 15 they keep a thirtieth
// of what a busy neighbour gets, and whoever writes more than they flush is held up.
#pragma once

#include <rocksdb/listener.h>
#include <sys/resource.h>

namespace basalt::storage {

inline constexpr int kBackgroundNiceness = 15;

class BackgroundNiceness : public rocksdb::EventListener {
 public:
  const char* Name() const override { return "basalt.BackgroundNiceness"; }

  // Both on the thread that does the work, which is RocksDB's and does no other.
  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { Lower(); }
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override { Lower(); }

 private:
  static void Lower() {
    thread_local bool lowered = false;
    if (lowered) return;
    lowered = true;
    // To be nicer is allowed to everybody; 0 is the calling thread.
    setpriority(PRIO_PROCESS, 0, kBackgroundNiceness);
  }
};

}  // namespace basalt::storage
