#include "storage/memory_engine.h"

#include <fmt/format.h>

#include <iterator>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "storage/big_endian.h"
#include "storage/crc32c.h"
#include "storage/version_filter.h"

namespace basalt::storage {
namespace {

constexpr std::string_view kImageMagic = "basalt memory engine 1\n";
constexpr std::string_view kImageName = "/IMAGE";
constexpr std::string_view kFreshImageName = "/IMAGE.new";

struct ImageRow {
  Family family = Family::kData;
  std::string_view key;
  std::string_view value;
};

// Takes the next row off the front of `rows`; nullopt: damaged.
std::optional<ImageRow> TakeRow(std::string_view& rows) {
  constexpr size_t kHeadBytes = 9;
  if (rows.size() < kHeadBytes) return std::nullopt;
  BigEndianReader head(rows.substr(0, kHeadBytes));
  const auto family = head.Take<uint8_t>();
  const size_t key_size = head.Take<uint32_t>();
  const size_t value_size = head.Take<uint32_t>();
  rows.remove_prefix(kHeadBytes);
  if (family >= kFamilyCount || rows.size() < key_size + value_size) return std::nullopt;
  const ImageRow row{static_cast<Family>(family), rows.substr(0, key_size),
                     rows.substr(key_size, value_size)};
  rows.remove_prefix(key_size + value_size);
  return row;
}

void AppendRow(const ImageRow& row, std::string& to) {
  AppendBigEndian<uint8_t>(static_cast<uint8_t>(row.family), to);
  AppendBigEndian<uint32_t>(static_cast<uint32_t>(row.key.size()), to);
  AppendBigEndian<uint32_t>(static_cast<uint32_t>(row.value.size()), to);
  to.append(row.key).append(row.value);
}

// The checked rows of an image file.
absl::StatusOr<std::string> ReadImageRows(FileSystem& files, const std::string& directory) {
  const std::string path = directory + std::string(kImageName);
  auto file = files.Open(path, FileSystem::OpenMode::kRead);
  if (absl::IsNotFound(file.status())) return base::DataLoss(fmt::format("{} is missing", path));
  if (!file.ok()) return file.status();
  BASALT_ASSIGN_OR_RETURN(const uint64_t size, (*file)->Size());
  BASALT_ASSIGN_OR_RETURN(std::string image, (*file)->ReadAt(0, size));
  const size_t frame = kImageMagic.size() + sizeof(uint32_t);
  if (image.size() < frame || !image.starts_with(kImageMagic)) {
    return base::DataLoss(fmt::format("{} is damaged", path));
  }
  const std::string_view body(image.data(), image.size() - sizeof(uint32_t));
  if (Crc32c(body) != ReadBigEndian<uint32_t>(std::string_view(image).substr(body.size()))) {
    return base::DataLoss(fmt::format("{} is damaged: its checksum does not match", path));
  }
  return image.substr(kImageMagic.size(), image.size() - frame);
}

}  // namespace

class MemoryEngine::Snapshot : public EngineSnapshot {
 public:
  Snapshot(MemoryEngine& engine, uint64_t number) : engine_(engine), number_(number) {}
  ~Snapshot() override { engine_.Release(number_); }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  uint64_t number() const { return number_; }

 private:
  MemoryEngine& engine_;
  const uint64_t number_;
};

class MemoryEngine::Iterator : public EngineIterator {
 public:
  Iterator(MemoryEngine& engine, Family family, std::shared_ptr<const EngineSnapshot> kept,
           uint64_t number)
      : engine_(engine), family_(family), kept_(std::move(kept)), number_(number) {}

  void Seek(std::string_view key) override { row_ = engine_.FirstAt(family_, key, false, number_); }
  void Next() override {
    BASALT_CHECK(Valid());
    row_ = engine_.FirstAt(family_, row_->key, true, number_);
  }
  void SeekBelow(std::string_view key) override { row_ = engine_.LastBelow(family_, key, number_); }
  void SeekToLast() override { row_ = engine_.LastBelow(family_, std::nullopt, number_); }
  void Prev() override {
    BASALT_CHECK(Valid());
    row_ = engine_.LastBelow(family_, row_->key, number_);
  }
  bool Valid() const override { return row_.has_value(); }
  std::string_view key() const override { return row_->key; }
  std::string_view value() const override { return row_->value; }
  absl::Status status() const override { return absl::OkStatus(); }

 private:
  MemoryEngine& engine_;
  const Family family_;
  const std::shared_ptr<const EngineSnapshot> kept_;  // null when the caller keeps it
  const uint64_t number_;
  std::optional<Row> row_;
};

MemoryEngine::MemoryEngine(FileSystem& files, std::string directory,
                           const MemoryEngineOptions& options)
    : files_(files), directory_(std::move(directory)), options_(options) {}

absl::StatusOr<std::unique_ptr<Engine>> MemoryEngine::Open(FileSystem& files,
                                                           const std::string& directory,
                                                           const MemoryEngineOptions& options) {
  std::unique_ptr<MemoryEngine> engine(new MemoryEngine(files, directory, options));
  BASALT_ASSIGN_OR_RETURN(const bool exists, files.Exists(directory));
  if (!exists) {
    BASALT_RETURN_IF_ERROR(files.CreateDirectory(directory));
    BASALT_RETURN_IF_ERROR(engine->WriteImage(directory, engine->EncodeImage()));
    return std::unique_ptr<Engine>(std::move(engine));
  }
  // What it opens with counts as flushed; the process that wrote it may have died before the rename
  // was durable.
  BASALT_RETURN_IF_ERROR(files.SyncDirectory(directory));
  BASALT_ASSIGN_OR_RETURN(const std::string rows, ReadImageRows(files, directory));
  base::MutexLock lock(engine->mutex_);
  for (std::string_view rest = rows; !rest.empty();) {
    const std::optional<ImageRow> row = TakeRow(rest);
    if (!row) return base::DataLoss(fmt::format("{}{} is damaged", directory, kImageName));
    engine->SetRow(row->family, row->key, std::string(row->value));
  }
  return std::unique_ptr<Engine>(std::move(engine));
}

void MemoryEngine::SetRow(Family family, std::string_view key, std::optional<std::string> value) {
  Rows& rows = rows_[static_cast<size_t>(family)];
  const RowId id{std::string(key), ~batches_};
  auto place = rows.insert_or_assign(id, std::move(value)).first;
  if (!watched_.empty()) return;  // somebody may still look at the older ones
  for (auto older = std::next(place); older != rows.end() && older->first.first == key;) {
    older = rows.erase(older);
  }
  if (!place->second) rows.erase(place);
}

void MemoryEngine::Write(const Batch& batch) {
  struct Change {
    Family family;
    std::string_view key;
    std::optional<std::string> value;
  };
  std::vector<Change> changes;
  batch.ForEach([&](Family family, bool is_delete, std::string_view key, std::string_view value) {
    changes.push_back({family, key, is_delete ? std::nullopt : std::optional<std::string>(value)});
  });
  bool flush = false;
  {
    base::MutexLock lock(mutex_);
    ++batches_;
    for (Change& change : changes) SetRow(change.family, change.key, std::move(change.value));
    unflushed_bytes_ += batch.bytes();
    flush = options_.flush_every_bytes != 0 && unflushed_bytes_ >= options_.flush_every_bytes;
  }
  if (flush) Flush();
}

std::optional<MemoryEngine::Row> MemoryEngine::FirstAt(Family family, std::string_view key,
                                                       bool behind, uint64_t number) {
  base::MutexLock lock(mutex_);
  const Rows& rows = rows_[static_cast<size_t>(family)];
  // Of one key the newest stands first, so (key, max) is behind all of them.
  auto row = rows.lower_bound(
      RowId{std::string(key), behind ? std::numeric_limits<uint64_t>::max() : uint64_t{0}});
  while (row != rows.end()) {
    if (~row->first.second > number) {
      ++row;
      continue;
    }
    if (row->second) return Row{row->first.first, *row->second};
    // Deleted: what is left of this key is older still.
    row = rows.lower_bound(RowId{row->first.first, std::numeric_limits<uint64_t>::max()});
  }
  return std::nullopt;
}

std::optional<MemoryEngine::Row> MemoryEngine::LastBelow(Family family,
                                                         std::optional<std::string_view> key,
                                                         uint64_t number) {
  base::MutexLock lock(mutex_);
  const Rows& rows = rows_[static_cast<size_t>(family)];
  auto end = key ? rows.lower_bound(RowId{std::string(*key), 0}) : rows.end();
  while (end != rows.begin()) {
    const std::string& below = std::prev(end)->first.first;
    const auto row = rows.lower_bound(RowId{below, ~number});
    if (row != end && row->second) return Row{row->first.first, *row->second};
    end = rows.lower_bound(RowId{below, 0});
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<std::string>> MemoryEngine::Get(Family family, std::string_view key) {
  std::optional<Row> row = FirstAt(family, key, false, std::numeric_limits<uint64_t>::max());
  if (!row || row->key != key) return std::optional<std::string>();
  return std::optional<std::string>(std::move(row->value));
}

absl::StatusOr<std::optional<std::string>> MemoryEngine::GetFlushed(Family family,
                                                                    std::string_view key) {
  BASALT_ASSIGN_OR_RETURN(const std::string rows, ReadImageRows(files_, directory_));
  for (std::string_view rest = rows; !rest.empty();) {
    const std::optional<ImageRow> row = TakeRow(rest);
    if (!row) return base::DataLoss(fmt::format("{}{} is damaged", directory_, kImageName));
    if (row->family == family && row->key == key) {
      return std::optional<std::string>(row->value);
    }
  }
  return std::optional<std::string>();
}

absl::StatusOr<bool> MemoryEngine::VisitFirstOfStem(std::string_view key, RowVisitor visit) {
  const std::optional<Row> row =
      FirstAt(Family::kData, key, false, std::numeric_limits<uint64_t>::max());
  if (!row || StemOf(row->key) != StemOf(key)) return false;
  visit(row->key, row->value);
  return true;
}

std::unique_ptr<EngineIterator> MemoryEngine::NewIterator(Family family,
                                                          const EngineSnapshot* snapshot) {
  if (snapshot != nullptr) {
    const uint64_t number = static_cast<const Snapshot*>(snapshot)->number();
    return std::make_unique<Iterator>(*this, family, nullptr, number);
  }
  std::shared_ptr<const EngineSnapshot> own = TakeSnapshot();
  const uint64_t number = static_cast<const Snapshot*>(own.get())->number();
  return std::make_unique<Iterator>(*this, family, std::move(own), number);
}

std::shared_ptr<const EngineSnapshot> MemoryEngine::TakeSnapshot() {
  uint64_t number = 0;
  {
    base::MutexLock lock(mutex_);
    number = batches_;
    watched_.insert(number);
  }
  return std::make_shared<Snapshot>(*this, number);
}

void MemoryEngine::Release(uint64_t number) {
  base::MutexLock lock(mutex_);
  watched_.erase(watched_.find(number));
}

std::string MemoryEngine::EncodeImage() {
  std::string image(kImageMagic);
  base::MutexLock lock(mutex_);
  for (size_t family = 0; family < kFamilyCount; ++family) {
    const std::string* last = nullptr;
    for (const auto& [id, value] : rows_[family]) {
      if (last != nullptr && *last == id.first) continue;
      last = &id.first;
      if (value) AppendRow({static_cast<Family>(family), id.first, *value}, image);
    }
  }
  AppendBigEndian<uint32_t>(Crc32c(image), image);
  return image;
}

absl::Status MemoryEngine::WriteImage(const std::string& directory, const std::string& image) {
  const std::string fresh = directory + std::string(kFreshImageName);
  BASALT_ASSIGN_OR_RETURN(const bool left_over, files_.Exists(fresh));
  if (left_over) BASALT_RETURN_IF_ERROR(files_.Remove(fresh));
  BASALT_ASSIGN_OR_RETURN(auto file, files_.Open(fresh, FileSystem::OpenMode::kCreate));
  BASALT_RETURN_IF_ERROR(file->WriteAt(0, image));
  BASALT_RETURN_IF_ERROR(file->Sync());
  BASALT_RETURN_IF_ERROR(files_.Rename(fresh, directory + std::string(kImageName)));
  BASALT_RETURN_IF_ERROR(files_.SyncDirectory(directory));
  image_bytes_.store(image.size());
  return absl::OkStatus();
}

void MemoryEngine::Flush() {
  size_t flushed_bytes = 0;
  {
    base::MutexLock lock(mutex_);
    while (flushing_) flush_ended_.Wait(mutex_);
    flushing_ = true;
    flushed_bytes = unflushed_bytes_;
  }
  const absl::Status written = WriteImage(directory_, EncodeImage());
  if (!written.ok()) base::DiskFailed(fmt::format("{}: {}", directory_, base::Message(written)));
  {
    base::MutexLock lock(mutex_);
    unflushed_bytes_ -= flushed_bytes;
    flushing_ = false;
  }
  flush_count_.fetch_add(1, std::memory_order_release);
  flush_ended_.NotifyAll();
}

void MemoryEngine::Collect(const Horizons& horizons) {
  base::MutexLock lock(mutex_);
  if (!watched_.empty()) return;
  // All versions are here, so that none is left below a tombstone that goes.
  VersionFilter filter(horizons.durable);
  collected_ += std::erase_if(rows_[static_cast<size_t>(Family::kData)], [&](const auto& row) {
    return row.second && filter.Judge(row.first.first, *row.second) != VersionFate::kStays;
  });
}

absl::Status MemoryEngine::CreateCheckpoint(const std::string& directory) {
  BASALT_ASSIGN_OR_RETURN(const bool exists, files_.Exists(directory));
  if (exists) return base::AlreadyExists(fmt::format("{} is there already", directory));
  BASALT_RETURN_IF_ERROR(files_.CreateDirectory(directory));
  absl::Status written = WriteImage(directory, EncodeImage());
  if (!written.ok()) files_.RemoveTree(directory).IgnoreError();
  return written;
}

}  // namespace basalt::storage
