// Both engines, for suites that each of them must pass: RocksDB over the real file system, memory
// over the fake one.
#pragma once

#include <memory>
#include <string>

#include "storage/memory_engine.h"
#include "storage/posix_file_system.h"
#include "storage/rocksdb_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/engine/scratch_directory.h"

namespace basalt::testing {

enum class EngineKind { kMemory, kMemoryFlushingItself, kRocksDb, kRocksDbFlushingItself };

inline std::string EngineKindName(EngineKind kind) {
  switch (kind) {
    case EngineKind::kMemory:
      return "Memory";
    case EngineKind::kMemoryFlushingItself:
      return "MemoryFlushingItself";
    case EngineKind::kRocksDb:
      return "RocksDb";
    case EngineKind::kRocksDbFlushingItself:
      return "RocksDbFlushingItself";
  }
  return "";
}

inline bool IsRocksDb(EngineKind kind) {
  return kind == EngineKind::kRocksDb || kind == EngineKind::kRocksDbFlushingItself;
}

// A factory of small engines.
class EngineMaker {
 public:
  // Memory lies on `files`, which outlives this; RocksDB on the real file system.
  EngineMaker(EngineKind kind, storage::FileSystem& files) {
    if (IsRocksDb(kind)) {
      resources_ = std::make_unique<storage::RocksDbResources>(SmallSizes(kind));
      factory_ = std::make_unique<storage::RocksDbEngineFactory>(*resources_);
    } else {
      const size_t flush_every = kind == EngineKind::kMemory ? 0 : 2000;
      factory_ = std::make_unique<storage::MemoryEngineFactory>(
          files, storage::MemoryEngineOptions{.flush_every_bytes = flush_every});
    }
  }

  storage::EngineFactory& factory() { return *factory_; }

 private:
  static storage::RocksDbSizes SmallSizes(EngineKind kind) {
    storage::RocksDbSizes sizes;
    sizes.block_cache_bytes = size_t{8} << 20;
    sizes.hot_rows_bytes = size_t{64} << 10;
    sizes.memtables_bytes = size_t{32} << 20;
    // 64 KiB are the least that RocksDB takes.
    sizes.memtable_bytes = kind == EngineKind::kRocksDb ? size_t{4} << 20 : size_t{64} << 10;
    // In one kind rows stay in the buffer until somebody needs their order, in the other hardly.
    if (kind == EngineKind::kRocksDbFlushingItself) sizes.buffer_bytes = 1500;
    return sizes;
  }

  std::unique_ptr<storage::RocksDbResources> resources_;  // null: no RocksDB, no threads
  std::unique_ptr<storage::EngineFactory> factory_;
};

// A file system, a factory and a directory to use them in.
class EngineBench {
 public:
  explicit EngineBench(EngineKind kind)
      : files_(IsRocksDb(kind) ? storage::NewPosixFileSystem()
                               : std::make_unique<FakeFileSystem>()),
        root_(IsRocksDb(kind) ? directory_.path() : ""),
        maker_(kind, *files_) {}

  storage::FileSystem& files() { return *files_; }
  storage::EngineFactory& factory() { return maker_.factory(); }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }

 private:
  ScratchDirectory directory_;
  const std::unique_ptr<storage::FileSystem> files_;
  const std::string root_;
  EngineMaker maker_;
};

}  // namespace basalt::testing
