// What the filter of old versions costs a compaction: CPU seconds and MB/s of whole compactions of
// one store, without a horizon and with one that lets nothing go, in turn; then with one that lets
// half go. Rows of 100 bytes under keys of 16.
//
//   basalt_compaction DIRECTORY ROWS TURNS
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <time.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/check.h"
#include "storage/key_encoding.h"
#include "storage/mvcc.h"
#include "storage/rocksdb_options.h"
#include "storage/version_compaction.h"

namespace basalt::storage {
namespace {

constexpr size_t kValueBytes = 100;

double ProcessorSeconds() {
  timespec time{};
  BASALT_CHECK(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

class Bench {
 public:
  explicit Bench(const std::string& directory) {
    rocksdb::Options options(shared_.StoreOptions(), shared_.DataOptions());
    options.create_if_missing = true;
    options.error_if_exists = true;
    options.atomic_flush = false;
    options.disable_auto_compactions = true;
    options.compaction_filter_factory = drops_;
    rocksdb::DB* db = nullptr;
    BASALT_CHECK(rocksdb::DB::Open(options, directory, &db).ok());
    db_.reset(db);
    drops_->SetStore(*db_);
  }

  // A version of each key, at `stamp`.
  void Fill(uint64_t rows, uint64_t stamp) {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    for (uint64_t i = 0; i < rows; ++i) {
      const std::string key = fmt::format("{:016x}", i * 0x9e3779b97f4a7c15ULL);
      std::string value(1 + kValueBytes, static_cast<char>('a' + i % 26));
      value[0] = static_cast<char>(VersionKind::kValue);
      BASALT_CHECK(db_->Put(options, EncodeRowKey(key, stamp), value).ok());
    }
    BASALT_CHECK(db_->Flush(rocksdb::FlushOptions()).ok());
  }

  void Compact(const char* what, uint64_t horizon, uint64_t rows) {
    drops_->SetHorizon(horizon);
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    const double cpu = ProcessorSeconds();
    const auto began = std::chrono::steady_clock::now();
    BASALT_CHECK(db_->CompactRange(options, nullptr, nullptr).ok());
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    const double used = ProcessorSeconds() - cpu;
    const double megabytes = static_cast<double>(rows * (16 + 10 + 1 + kValueBytes)) / 1e6;
    std::printf("%-28s %6.1f MB/s, %6.1f MB per CPU second\n", what, megabytes / took.count(),
                megabytes / used);
  }

 private:
  RocksDbShared shared_{RocksDbSizes{}};
  const std::shared_ptr<VersionDrops> drops_ = std::make_shared<VersionDrops>();
  std::unique_ptr<rocksdb::DB> db_;
};

int Main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: basalt_compaction DIRECTORY ROWS TURNS\n");
    return 2;
  }
  const uint64_t rows = std::strtoull(argv[2], nullptr, 10);
  const uint64_t turns = std::strtoull(argv[3], nullptr, 10);
  Bench bench(argv[1]);
  bench.Fill(rows, 1);
  bench.Compact("first, without a horizon", 0, rows);
  for (uint64_t turn = 0; turn < turns; ++turn) {
    bench.Compact("without a horizon", 0, rows);
    bench.Compact("with one, nothing goes", 10, rows);
  }
  bench.Fill(rows, 2);
  bench.Compact("with one, half goes", 10, 2 * rows);
  return 0;
}

}  // namespace
}  // namespace basalt::storage

int main(int argc, char** argv) { return basalt::storage::Main(argc, argv); }
