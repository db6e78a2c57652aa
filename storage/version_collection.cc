#include "storage/version_collection.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "storage/version_filter.h"

namespace basalt::storage {
namespace {

// A replica whose units all hold less is at most half as large again as what it keeps.
constexpr double kShareToCompact = 1.0 / 3;
constexpr size_t kUnitsPerTurn = 8;
constexpr size_t kAnchorsPerUnit = 64;
constexpr int kRowsPerAnchor = 64;
constexpr size_t kBytesPerAnchor = size_t{64} << 10;

std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

uint64_t IntProperty(rocksdb::DB& db, const rocksdb::Slice& property) {
  uint64_t value = 0;
  return db.GetIntProperty(db.DefaultColumnFamily(), property, &value) ? value : 0;
}

}  // namespace

void VersionCollection::Open(rocksdb::DB& db, std::function<void()> flush) {
  db_ = &db;
  flush_ = std::move(flush);
  drops_->SetStore(db);
}

void VersionCollection::Close() {
  closing_.store(true);
  thread_.Forget(*this);
}

void VersionCollection::Collect(const Horizons& horizons) {
  durable_.store(horizons.durable);
  applied_.store(horizons.applied);
  drops_->SetHorizon(horizons.durable);
  if (horizons.applied != 0) thread_.Ask(*this);
}

// Compactions and flushes of those who write come first; so does what they would wait for.
bool VersionCollection::IsBusy() const {
  using Properties = rocksdb::DB::Properties;
  return IntProperty(*db_, Properties::kNumRunningCompactions) != 0 ||
         IntProperty(*db_, Properties::kCompactionPending) != 0 ||
         IntProperty(*db_, Properties::kIsWriteStopped) != 0 ||
         IntProperty(*db_, Properties::kActualDelayedWriteRate) != 0;
}

void VersionCollection::Work() {
  if (closing_.load() || IsBusy()) return;
  if (units_.empty()) BeginLap();
  for (size_t looked = 0; looked < kUnitsPerTurn && !units_.empty(); ++looked) {
    if (closing_.load()) return;
    const Unit unit = std::move(units_.front());
    units_.pop_front();
    const Shares shares = Measure(unit);
    if (shares.durable >= kShareToCompact) return Compact(unit);
    if (shares.applied >= kShareToCompact) {
      units_.clear();
      return flush_();  // the next lap has that horizon as its durable one
    }
  }
}

void VersionCollection::BeginLap() {
  rocksdb::ColumnFamilyMetaData store;
  db_->GetColumnFamilyMetaData(db_->DefaultColumnFamily(), &store);
  const rocksdb::LevelMetaData* lowest = nullptr;
  uint64_t newest_file = 0;
  Unit all;
  for (const rocksdb::LevelMetaData& level : store.levels) {
    for (const rocksdb::SstFileMetaData& file : level.files) {
      if (lowest == nullptr || file.smallestkey < all.first) all.first = file.smallestkey;
      if (lowest == nullptr || file.largestkey > all.last) all.last = file.largestkey;
      lowest = &level;
      newest_file = std::max(newest_file, file.file_number);
    }
  }
  const Horizons horizons{durable_.load(), applied_.load()};
  const bool nothing_new = horizons.durable == lap_.durable && horizons.applied == lap_.applied &&
                           newest_file == lap_newest_file_;
  if (lowest == nullptr || nothing_new) return;
  lap_ = horizons;
  lap_newest_file_ = newest_file;
  units_.push_back(all);
  if (lowest->level == 0) return;
  // Cut behind each file of the lowest level but the last one.
  for (size_t i = 0; i + 1 < lowest->files.size(); ++i) {
    const std::string& end = lowest->files[i].largestkey;
    Unit& rest = units_.back();
    Unit cut{rest.first, end};
    rest.first = end + '\0';
    units_.insert(units_.end() - 1, std::move(cut));
  }
}

std::vector<std::string> VersionCollection::AnchorsIn(const Unit& unit) const {
  rocksdb::TablePropertiesCollection files;
  const rocksdb::Range range(unit.first, unit.last);
  const rocksdb::Status read =
      db_->GetPropertiesOfTablesInRange(db_->DefaultColumnFamily(), &range, 1, &files);
  std::vector<std::string> anchors;
  if (!read.ok()) return anchors;  // who reads the damaged file reports it
  for (const auto& [name, file] : files) {
    for (std::string& anchor : AnchorsOf(*file)) {
      if (anchor <= unit.last && anchor >= StemOf(unit.first)) {
        anchors.push_back(std::move(anchor));
      }
    }
  }
  std::sort(anchors.begin(), anchors.end());
  anchors.erase(std::unique(anchors.begin(), anchors.end()), anchors.end());
  if (anchors.size() <= kAnchorsPerUnit) return anchors;
  std::vector<std::string> some;
  for (size_t i = 0; i < kAnchorsPerUnit; ++i) {
    some.push_back(std::move(anchors[i * anchors.size() / kAnchorsPerUnit]));
  }
  return some;
}

VersionCollection::Shares VersionCollection::Measure(const Unit& unit) const {
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.fill_cache = false;
  options.background_purge_on_iterator_cleanup = true;
  const std::unique_ptr<rocksdb::Iterator> rows(
      db_->NewIterator(options, db_->DefaultColumnFamily()));
  uint64_t read = 0;
  uint64_t durable = 0;
  uint64_t applied = 0;
  for (const std::string& anchor : AnchorsIn(unit)) {
    VersionFilter by_durable(lap_.durable);
    VersionFilter by_applied(lap_.applied);
    size_t bytes_here = 0;
    rows->Seek(anchor);
    for (int i = 0; i < kRowsPerAnchor && bytes_here < kBytesPerAnchor && rows->Valid(); ++i) {
      const size_t bytes = rows->key().size() + rows->value().size();
      const auto goes = [&](VersionFilter& filter) {
        return filter.Judge(ToView(rows->key()), ToView(rows->value())) != VersionFate::kStays;
      };
      if (goes(by_durable)) durable += bytes;
      if (goes(by_applied)) applied += bytes;
      bytes_here += bytes;
      rows->Next();
    }
    read += bytes_here;
  }
  if (read == 0) return {};
  return {static_cast<double>(durable) / static_cast<double>(read),
          static_cast<double>(applied) / static_cast<double>(read)};
}

void VersionCollection::Compact(const Unit& unit) {
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  options.canceled = &closing_;
  const rocksdb::Slice first(unit.first);
  const rocksdb::Slice last(unit.last);
  // No space, or the store is closing: what is there stays whole. Damage is reported by who reads.
  db_->CompactRange(options, db_->DefaultColumnFamily(), &first, &last).PermitUncheckedError();
}

}  // namespace basalt::storage
