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

enum class EngineKind { kMemory, kMemoryFlushingItself, kRocksDb };

inline std::string EngineKindName(EngineKind kind) {
  switch (kind) {
    case EngineKind::kMemory:
      return "Memory";
    case EngineKind::kMemoryFlushingItself:
      return "MemoryFlushingItself";
    case EngineKind::kRocksDb:
      return "RocksDb";
  }
  return "";
}

// A file system, a factory and a directory to use them in.
class EngineBench {
 public:
  explicit EngineBench(EngineKind kind)
      : files_(kind == EngineKind::kRocksDb ? storage::NewPosixFileSystem()
                                            : std::make_unique<FakeFileSystem>()),
        root_(kind == EngineKind::kRocksDb ? directory_.path() : "") {
    if (kind == EngineKind::kRocksDb) {
      resources_ = std::make_unique<storage::RocksDbResources>(SmallSizes());
      factory_ = std::make_unique<storage::RocksDbEngineFactory>(*resources_);
    } else {
      const size_t flush_every = kind == EngineKind::kMemory ? 0 : 2000;
      factory_ = std::make_unique<storage::MemoryEngineFactory>(
          *files_, storage::MemoryEngineOptions{.flush_every_bytes = flush_every});
    }
  }

  storage::FileSystem& files() { return *files_; }
  storage::EngineFactory& factory() { return *factory_; }
  std::string Path(const std::string& name) const { return root_ + "/" + name; }

 private:
  static storage::RocksDbSizes SmallSizes() {
    storage::RocksDbSizes sizes;
    sizes.block_cache_bytes = size_t{8} << 20;
    sizes.memtables_bytes = size_t{32} << 20;
    sizes.memtable_bytes = size_t{4} << 20;
    return sizes;
  }

  ScratchDirectory directory_;
  const std::unique_ptr<storage::FileSystem> files_;
  const std::string root_;
  std::unique_ptr<storage::RocksDbResources> resources_;  // null: no RocksDB, no threads
  std::unique_ptr<storage::EngineFactory> factory_;
};

}  // namespace basalt::testing
