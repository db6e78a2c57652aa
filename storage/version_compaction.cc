#include "storage/version_compaction.h"

#include <optional>
#include <string_view>
#include <utility>

#include "storage/big_endian.h"
#include "storage/engine.h"
#include "storage/key_encoding.h"
#include "storage/version_filter.h"

namespace basalt::storage {
namespace {

// So long an iterator pins the memtables of its time.
constexpr int kLooksPerIterator = 1024;
constexpr const char* kAnchorsProperty = "basalt.anchors";
constexpr uint64_t kAnchorEveryBytes = uint64_t{32} << 10;  // at first
constexpr size_t kAnchorBytesMax = size_t{32} << 10;

std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

}  // namespace

class VersionDrops::Filter : public rocksdb::CompactionFilter {
 public:
  Filter(uint64_t horizon, rocksdb::DB* db, std::atomic<uint64_t>& dropped)
      : db_(db), dropped_(dropped), filter_(horizon) {}
  ~Filter() override { dropped_.fetch_add(drops_, std::memory_order_relaxed); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  const char* Name() const override { return "basalt.VersionDrops"; }

  Decision FilterV2(int /*level*/, const rocksdb::Slice& key, ValueType type,
                    const rocksdb::Slice& value, std::string* /*new_value*/,
                    std::string* /*skip_until*/) const override {
    if (type != ValueType::kValue) return Decision::kKeep;
    const VersionFate fate = filter_.Judge(ToView(key), ToView(value));
    if (fate == VersionFate::kStays) return Decision::kKeep;
    if (fate == VersionFate::kBuried && HasOlder(ToView(key))) return Decision::kKeep;
    ++drops_;
    return Decision::kRemove;
  }

 private:
  // Whether the store may hold an older version. An iterator of a while ago shows no less than
  // there is.
  bool HasOlder(std::string_view row_key) const {
    const uint64_t stamp = StampOf(row_key);
    if (db_ == nullptr) return true;
    if (stamp == 0) return false;
    if (rows_ == nullptr || ++looks_ % kLooksPerIterator == 0) {
      rocksdb::ReadOptions options;
      options.prefix_same_as_start = true;
      options.fill_cache = false;
      options.background_purge_on_iterator_cleanup = true;
      rows_.reset(db_->NewIterator(options, db_->DefaultColumnFamily()));
    }
    std::string older(StemOf(row_key));
    AppendStamp(stamp - 1, older);
    rows_->Seek(older);
    return !rows_->status().ok() ||
           (rows_->Valid() && StemOf(ToView(rows_->key())) == StemOf(row_key));
  }

  rocksdb::DB* const db_;
  std::atomic<uint64_t>& dropped_;
  // RocksDB has the filter const, and calls it on one thread.
  mutable VersionFilter filter_;
  mutable std::unique_ptr<rocksdb::Iterator> rows_;
  mutable int looks_ = 0;
  mutable uint64_t drops_ = 0;
};

std::unique_ptr<rocksdb::CompactionFilter> VersionDrops::CreateCompactionFilter(
    const rocksdb::CompactionFilter::Context& /*context*/) {
  const uint64_t horizon = horizon_.load();
  if (horizon == 0) return nullptr;
  return std::make_unique<Filter>(horizon, db_.load(), dropped_);
}

namespace {

class AnchorCollector : public rocksdb::TablePropertiesCollector {
 public:
  const char* Name() const override { return "basalt.Anchors"; }

  rocksdb::Status AddUserKey(const rocksdb::Slice& key, const rocksdb::Slice& value,
                             rocksdb::EntryType /*type*/, rocksdb::SequenceNumber /*number*/,
                             uint64_t /*file_size*/) override {
    if (bytes_ >= next_) AddAnchor(StemOf(ToView(key)));
    bytes_ += key.size() + value.size();
    return rocksdb::Status::OK();
  }

  rocksdb::Status Finish(rocksdb::UserCollectedProperties* properties) override {
    std::string encoded;
    for (const std::string& anchor : anchors_) {
      AppendBigEndian<uint16_t>(static_cast<uint16_t>(anchor.size()), encoded);
      encoded += anchor;
    }
    properties->insert({kAnchorsProperty, std::move(encoded)});
    return rocksdb::Status::OK();
  }
  rocksdb::UserCollectedProperties GetReadableProperties() const override { return {}; }

 private:
  void AddAnchor(std::string_view stem) {
    next_ = bytes_ + every_;
    if (stem.size() > UINT16_MAX) return;
    anchors_.emplace_back(stem);
    anchor_bytes_ += stem.size() + sizeof(uint16_t);
    if (anchor_bytes_ <= kAnchorBytesMax || anchors_.size() < 2) return;
    std::vector<std::string> kept;  // every other one
    anchor_bytes_ = 0;
    for (size_t i = 0; i < anchors_.size(); i += 2) {
      anchor_bytes_ += anchors_[i].size() + sizeof(uint16_t);
      kept.push_back(std::move(anchors_[i]));
    }
    anchors_.swap(kept);
    every_ *= 2;
  }

  uint64_t bytes_ = 0;
  uint64_t every_ = kAnchorEveryBytes;
  uint64_t next_ = 0;
  std::vector<std::string> anchors_;
  size_t anchor_bytes_ = 0;
};

class AnchorCollectorFactory : public rocksdb::TablePropertiesCollectorFactory {
 public:
  const char* Name() const override { return "basalt.Anchors"; }
  rocksdb::TablePropertiesCollector* CreateTablePropertiesCollector(Context /*context*/) override {
    return new AnchorCollector();
  }
};

}  // namespace

std::shared_ptr<rocksdb::TablePropertiesCollectorFactory> NewAnchorCollectorFactory() {
  return std::make_shared<AnchorCollectorFactory>();
}

std::vector<std::string> AnchorsOf(const rocksdb::TableProperties& file) {
  std::vector<std::string> anchors;
  const auto property = file.user_collected_properties.find(kAnchorsProperty);
  if (property == file.user_collected_properties.end()) return anchors;
  std::string_view rest(property->second);
  while (rest.size() >= sizeof(uint16_t)) {
    const size_t size = ReadBigEndian<uint16_t>(rest.substr(0, sizeof(uint16_t)));
    rest.remove_prefix(sizeof(uint16_t));
    if (rest.size() < size) break;
    anchors.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return anchors;
}

}  // namespace basalt::storage
