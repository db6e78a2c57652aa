// What a cache of hot rows could save: a replica's newest rows, read by Zipf's law as the node reads
// them, beside RocksDB's own caches and beside caches of rows in front. The evidence of
// docs/decisions/0009-hot-rows.md.
//
//   basalt_hot_rows DIRECTORY ROWS BLOCK_CACHE_MIB [GETS]
//
// Prints CPU nanoseconds a get, which no neighbour on the machine adds to. The caches in front are
// bounds from below: they forget nothing when a row is written.
#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
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
// Of a row that is cached, beside its bytes: two pointers of a list, a place in a table, a string.
constexpr size_t kRowOverheadBytes = 96;

std::string KeyOf(uint64_t rank) { return fmt::format("{:016x}", Scatter(rank)); }

double CpuNanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

void CheckRocks(const rocksdb::Status& status) {
  BASALT_CHECK_MSG(status.ok(), status.ToString());
}

// A cache of rows, least recently used out first; in shards, each with a lock. With `admits` a row
// that finds no room takes the place of the oldest only if it was asked for more often lately
// (TinyLFU: a count-min sketch of 4-bit counters that are halved now and then).
class RowCache {
 public:
  RowCache(size_t bytes, bool admits) : admits_(admits) {
    for (Shard& shard : shards_) shard.room = bytes / kShards;
    if (admits) counts_.resize(std::bit_ceil(std::max<size_t>(1024, bytes / 64)));
  }

  bool Get(const std::string& key, std::string& value) {
    const size_t hash = std::hash<std::string_view>()(key);
    Shard& shard = shards_[hash % kShards];
    const std::lock_guard<std::mutex> lock(shard.mutex);
    if (admits_) Note(hash);
    const auto place = shard.rows.find(key);
    if (place == shard.rows.end()) return false;
    shard.order.splice(shard.order.begin(), shard.order, place->second);
    value = place->second->second;
    return true;
  }

  void Put(const std::string& key, const std::string& value) {
    const size_t hash = std::hash<std::string_view>()(key);
    Shard& shard = shards_[hash % kShards];
    const std::lock_guard<std::mutex> lock(shard.mutex);
    if (shard.rows.contains(key)) return;
    const size_t bytes = key.size() + value.size() + kRowOverheadBytes;
    while (shard.bytes + bytes > shard.room) {
      if (shard.order.empty()) return;
      const auto& [old_key, old_value] = shard.order.back();
      if (admits_ && Count(hash) <= Count(std::hash<std::string_view>()(old_key))) return;
      shard.bytes -= old_key.size() + old_value.size() + kRowOverheadBytes;
      shard.rows.erase(old_key);
      shard.order.pop_back();
    }
    shard.order.emplace_front(key, value);
    shard.rows.emplace(shard.order.front().first, shard.order.begin());
    shard.bytes += bytes;
  }

 private:
  static constexpr size_t kShards = 64;
  struct alignas(64) Shard {
    std::mutex mutex;
    std::list<std::pair<std::string, std::string>> order;  // the newest first
    std::unordered_map<std::string_view, decltype(order)::iterator> rows;
    size_t room = 0;
    size_t bytes = 0;
  };

  size_t CounterOf(size_t hash, int row) const {
    constexpr std::array<uint64_t, 4> kOdd = {0x9e3779b97f4a7c15ULL, 0xc2b2ae3d27d4eb4fULL,
                                              0x165667b19e3779f9ULL, 0xd6e8feb86659fd93ULL};
    return (hash * kOdd[static_cast<size_t>(row)]) >> 20 & (counts_.size() - 1);
  }
  void Note(size_t hash) {
    for (int row = 0; row < 4; ++row) {
      uint8_t& count = counts_[CounterOf(hash, row)];
      if (count < 15) ++count;
    }
    if (++noted_ < counts_.size() * 10) return;
    noted_ = 0;
    for (uint8_t& count : counts_) count /= 2;
  }
  int Count(size_t hash) const {
    int least = 15;
    for (int row = 0; row < 4; ++row) {
      least = std::min<int>(least, counts_[CounterOf(hash, row)]);
    }
    return least;
  }

  const bool admits_;
  std::array<Shard, kShards> shards_;
  std::vector<uint8_t> counts_;
  size_t noted_ = 0;
};

class Comparison {
 public:
  Comparison(std::string directory, uint64_t rows, size_t cache_bytes, uint64_t gets)
      : directory_(std::move(directory)), rows_(rows), cache_bytes_(cache_bytes), gets_(gets) {
    keys_.reserve(rows);
    for (uint64_t rank = 0; rank < rows; ++rank) keys_.push_back(KeyOf(rank));
    const Zipf zipf(rows);
    base::Random random(7);
    ranks_.reserve(gets);
    for (uint64_t get = 0; get < gets; ++get) {
      ranks_.push_back(static_cast<uint32_t>(zipf.Next(random)));
    }
  }

  void Run() {
    if (rows_ <= 100'000) FromMemtable();
    Load();
    AsServed(cache_bytes_);
    for (const size_t bytes : {cache_bytes_ / 8, cache_bytes_ / 2}) {
      BehindRowCache(bytes, /*admits=*/false);
      BehindRowCache(bytes, /*admits=*/true);
    }
    Direct("rocksdb alone, LRUCache", rocksdb::NewLRUCache(cache_bytes_), nullptr);
    constexpr size_t kBlockBytes = 4096;
    Direct("rocksdb alone, HyperClockCache",
           rocksdb::HyperClockCacheOptions(cache_bytes_, kBlockBytes).MakeSharedCache(), nullptr);
    ByExactKey("rocksdb's Get of the exact row key", nullptr, cache_bytes_);
    ByExactKey("the same, half the cache for row_cache",
               rocksdb::NewLRUCache(cache_bytes_ / 2), cache_bytes_ / 2);
    AlwaysHit();
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
    const storage::RocksDbResources resources({.block_cache_bytes = cache_bytes_});
    const auto engine = Open(resources, "memtable");
    Fill(*engine);
    Measure("as served, rows in the memtable", [&](const std::string& key) { CheckRead(*engine, key); });
  }

  // One sorted run, as a large shard mostly is.
  void Load() {
    const storage::RocksDbResources resources({.block_cache_bytes = cache_bytes_});
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

  void AsServed(size_t cache_bytes) {
    const storage::RocksDbResources resources({.block_cache_bytes = cache_bytes});
    const auto engine = Open(resources, "files");
    Measure("as served", [&](const std::string& key) { CheckRead(*engine, key); });
  }

  // Both together have what the block cache has alone.
  void BehindRowCache(size_t bytes, bool admits) {
    const storage::RocksDbResources resources({.block_cache_bytes = cache_bytes_ - bytes});
    const auto engine = Open(resources, "files");
    RowCache rows(bytes, admits);
    uint64_t hits = 0;
    std::string value;
    Measure(fmt::format("behind {} of {} KiB", admits ? "TinyLFU" : "LRU", bytes >> 10),
            [&](const std::string& key) {
              if (rows.Get(key, value)) {
                ++hits;
                return;
              }
              auto version = storage::ReadNewestVersion(*engine, key);
              BASALT_CHECK(version.ok() && version->has_value());
              rows.Put(key, (*version)->value);
            });
    fmt::print("    of all gets {:.1f} % found there\n",
               100.0 * static_cast<double>(hits) / static_cast<double>(2 * gets_));
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
      auto tables = *families[0]
                         .options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
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

  void AlwaysHit() {
    RowCache rows(size_t{4} << 30, /*admits=*/false);
    for (const std::string& key : keys_) rows.Put(key, std::string(kValueBytes, 'x'));
    std::string value;
    Measure("a cache of all rows, its lookup alone",
            [&](const std::string& key) { BASALT_CHECK(rows.Get(key, value)); });
  }

  const std::string directory_;
  const uint64_t rows_;
  const size_t cache_bytes_;
  const uint64_t gets_;
  std::vector<std::string> keys_;   // by rank
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
  if (count < 4) {
    fmt::print(stderr, "usage: basalt_hot_rows DIRECTORY ROWS BLOCK_CACHE_MIB [GETS]\n");
    return 2;
  }
  const uint64_t gets = count > 4 ? Number(arguments[4]) : 1'000'000;
  fmt::print("{:<58}{:>8}{:>8}\n", "CPU ns a get", "cold", "warm");
  basalt::bench::Comparison(arguments[1], Number(arguments[2]), Number(arguments[3]) << 20, gets)
      .Run();
  return 0;
}
