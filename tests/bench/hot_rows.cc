// What the cache of hot rows saves, and what it costs where no row is hot: a replica's newest rows,
// read as the node reads them, beside what RocksDB's own caches can do. The evidence of
// docs/decisions/0009-hot-rows.md.
//
//   basalt_hot_rows DIRECTORY ROWS CACHE_MIB zipf|uniform [GETS]
//
// Prints CPU nanoseconds a get, which no neighbour on the machine adds to.
#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "client/bench/zipf.h"
#include "storage/key_encoding.h"
#include "storage/mvcc.h"
#include "storage/rocksdb_engine.h"
#include "storage/rocksdb_options.h"

namespace basalt::bench {
namespace {

constexpr uint64_t kNewest = std::numeric_limits<uint64_t>::max();
constexpr size_t kValueBytes = 100;
constexpr uint64_t kStamp = 1000;

std::string KeyOf(uint64_t rank) { return fmt::format("{:016x}", Scatter(rank)); }

double CpuNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void CheckRocks(const rocksdb::Status& status) { BASALT_CHECK_MSG(status.ok(), status.ToString()); }

class Comparison {
 public:
  Comparison(std::string directory, uint64_t rows, size_t cache_bytes, bool uniform, uint64_t gets)
      : directory_(std::move(directory)), rows_(rows), cache_bytes_(cache_bytes), gets_(gets) {
    keys_.reserve(rows);
    for (uint64_t rank = 0; rank < rows; ++rank) keys_.push_back(KeyOf(rank));
    const Zipf zipf(rows);
    base::Random random(7);
    ranks_.reserve(gets);
    for (uint64_t get = 0; get < gets; ++get) {
      ranks_.push_back(static_cast<uint32_t>(uniform ? random.Below(rows) : zipf.Next(random)));
    }
  }

  void Run() {
    if (rows_ <= 100'000) FromMemtable();
    Load();
    for (const size_t share : {0, 8, 4, 2}) AsServed(share == 0 ? 0 : cache_bytes_ / share);
    Direct("rocksdb alone, LRUCache", rocksdb::NewLRUCache(cache_bytes_), nullptr);
    constexpr size_t kBlockBytes = 4096;
    Direct("rocksdb alone, HyperClockCache",
           rocksdb::HyperClockCacheOptions(cache_bytes_, kBlockBytes).MakeSharedCache(), nullptr);
    ByExactKey("rocksdb's Get of the exact row key", nullptr, cache_bytes_);
    ByExactKey("the same, half the cache for row_cache", rocksdb::NewLRUCache(cache_bytes_ / 2),
               cache_bytes_ / 2);
  }

 private:
  using Read = std::function<void(const std::string& key)>;

  // Twice: the first time warms the caches up.
  void Measure(const std::string& what, const Read& read) {
    std::string line = fmt::format("{:<58}", what);
    for (int turn = 0; turn < 2; ++turn) {
      const double began = CpuNanoseconds();
      for (const uint32_t rank : ranks_) read(keys_[rank]);
      line += fmt::format("{:>8.0f}", (CpuNanoseconds() - began) / static_cast<double>(gets_));
    }
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  void Fill(storage::Engine& engine) {
    base::Random random(3);
    storage::Batch batch;
    for (uint64_t row = 0; row < rows_; ++row) {
      std::string value(kValueBytes, ' ');
      for (char& byte : value) byte = static_cast<char>('a' + random.Below(26));
      storage::StageVersion(batch, keys_[row], kStamp, storage::VersionKind::kValue, value);
      if (row % 256 != 255 && row + 1 != rows_) continue;
      engine.Write(batch);
      batch.Clear();
    }
  }

  std::unique_ptr<storage::Engine> Open(const storage::RocksDbResources& resources,
                                        const std::string& name) {
    auto engine = storage::RocksDbEngine::Open(resources, directory_ + "/" + name);
    BASALT_CHECK(engine.ok());
    return *std::move(engine);
  }

  static void CheckRead(storage::Engine& engine, const std::string& key) {
    auto version = storage::ReadNewestVersion(engine, key);
    BASALT_CHECK(version.ok() && version->has_value());
  }

  void FromMemtable() {
    const storage::RocksDbResources resources(
        {.block_cache_bytes = cache_bytes_, .hot_rows_bytes = 0});
    const auto engine = Open(resources, "memtable");
    Fill(*engine);
    Measure("as served, rows in the memtable",
            [&](const std::string& key) { CheckRead(*engine, key); });
  }

  // One sorted run, as a large shard mostly is.
  void Load() {
    const storage::RocksDbResources resources(
        {.block_cache_bytes = cache_bytes_, .hot_rows_bytes = 0});
    {
      const auto engine = Open(resources, "files");
      Fill(*engine);
      engine->Flush();
    }
    const Store direct(*this, rocksdb::NewLRUCache(cache_bytes_), nullptr);
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    CheckRocks(direct.db->CompactRange(options, nullptr, nullptr));
  }

  // Both caches together have what the block cache has alone.
  void AsServed(size_t hot_rows_bytes) {
    const storage::RocksDbResources resources(
        {.block_cache_bytes = cache_bytes_ - hot_rows_bytes, .hot_rows_bytes = hot_rows_bytes});
    const auto engine = Open(resources, "files");
    Measure(fmt::format("as served, hot rows of {} KiB", hot_rows_bytes >> 10),
            [&](const std::string& key) { CheckRead(*engine, key); });
    const storage::HotRows::Counts counts = resources.HotRowCounts();
    if (hot_rows_bytes == 0) return;
    fmt::print("    of all gets {:.1f} % found there\n",
               100.0 * static_cast<double>(counts.found) /
                   static_cast<double>(counts.found + counts.missed));
  }

  // The store of the engine, opened past it with other caches.
  struct Store {
    Store(const Comparison& comparison, std::shared_ptr<rocksdb::Cache> blocks,
          std::shared_ptr<rocksdb::Cache> rows)
        : shared({.block_cache_bytes = size_t{8} << 20}) {
      rocksdb::DBOptions options(shared.StoreOptions());
      options.row_cache = std::move(rows);
      std::vector<rocksdb::ColumnFamilyDescriptor> families = {
          {rocksdb::kDefaultColumnFamilyName, shared.DataOptions()},
          {"state", shared.StateOptions()}};
      auto tables =
          *families[0].options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
      tables.block_cache = std::move(blocks);
      families[0].options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(tables));
      rocksdb::DB* opened = nullptr;
      CheckRocks(rocksdb::DB::Open(options, comparison.directory_ + "/files", families, &handles,
                                   &opened));
      db.reset(opened);
    }
    ~Store() {
      for (rocksdb::ColumnFamilyHandle* handle : handles) {
        db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
      }
    }

    storage::RocksDbShared shared;
    std::unique_ptr<rocksdb::DB> db;
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
  };

  void Direct(const std::string& what, std::shared_ptr<rocksdb::Cache> blocks,
              std::shared_ptr<rocksdb::Cache> rows) {
    Store direct(*this, std::move(blocks), std::move(rows));
    rocksdb::ReadOptions options;
    options.prefix_same_as_start = true;
    const std::unique_ptr<rocksdb::Iterator> at(direct.db->NewIterator(options, direct.handles[0]));
    std::string value;
    Measure(what, [&](const std::string& key) {
      CheckRocks(at->Refresh());
      at->Seek(storage::EncodeRowKey(key, kNewest));
      BASALT_CHECK(at->Valid());
      value.assign(at->value().data(), at->value().size());
    });
  }

  // What the node cannot ask for: it does not know the newest version's stamp.
  void ByExactKey(const std::string& what, std::shared_ptr<rocksdb::Cache> rows,
                  size_t cache_bytes) {
    Store direct(*this, rocksdb::NewLRUCache(cache_bytes), std::move(rows));
    std::string value;
    Measure(what, [&](const std::string& key) {
      CheckRocks(direct.db->Get(rocksdb::ReadOptions(), direct.handles[0],
                                storage::EncodeRowKey(key, kStamp), &value));
    });
  }

  const std::string directory_;
  const uint64_t rows_;
  const size_t cache_bytes_;
  const uint64_t gets_;
  std::vector<std::string> keys_;  // by rank
  std::vector<uint32_t> ranks_;
};

uint64_t Number(const char* text) {
  const std::string_view digits(text);
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  BASALT_CHECK(number > 0);
  return number;
}

}  // namespace
}  // namespace basalt::bench

int main(int count, char** arguments) {
  using basalt::bench::Number;
  if (count < 5) {
    fmt::print(stderr, "usage: basalt_hot_rows DIRECTORY ROWS CACHE_MIB zipf|uniform [GETS]\n");
    return 2;
  }
  const uint64_t gets = count > 5 ? Number(arguments[5]) : 1'000'000;
  fmt::print("{:<58}{:>8}{:>8}\n", "CPU ns a get", "cold", "warm");
  basalt::bench::Comparison(arguments[1], Number(arguments[2]), Number(arguments[3]) << 20,
                            std::string_view(arguments[4]) == "uniform", gets)
      .Run();
  return 0;
}
