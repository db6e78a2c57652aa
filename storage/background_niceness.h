// BackgroundNiceness: RocksDB's flushes and compactions let other threads go first. Included by
// rocksdb_*.cc only.
//
// Where processors are short, heartbeats and requests must not wait behind a compaction; whoever
// writes more than is flushed is held up. RocksDB's own switch knows niceness 19 alone, or none
// while anything else runs.
#pragma once

#include <rocksdb/listener.h>
#include <sys/resource.h>

namespace basalt::storage {

class BackgroundNiceness : public rocksdb::EventListener {
 public:
  // 0 to 19; 0 leaves threads as they are.
  explicit BackgroundNiceness(int niceness) : niceness_(niceness) {}

  const char* Name() const override { return "basalt.BackgroundNiceness"; }

  // Both on the thread that does the work, which is RocksDB's and does no other.
  void OnFlushBegin(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { Lower(); }
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override { Lower(); }

 private:
  void Lower() const {
    thread_local int is = 0;
    if (is >= niceness_) return;  // nobody may take it back
    is = niceness_;
    setpriority(PRIO_PROCESS, 0, niceness_);  // of the calling thread
  }

  const int niceness_;
};

}  // namespace basalt::storage
