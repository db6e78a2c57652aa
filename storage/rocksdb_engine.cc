#include "storage/rocksdb_engine.h"

#include <fmt/format.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/container/flat_hash_map.h"

#include "base/check.h"
#include "base/mutex.h"
#include "base/status.h"
#include "storage/key_encoding.h"
#include "storage/rocksdb_options.h"
#include "storage/version_collection.h"

namespace basalt::storage {
namespace {

// Behind a stem: the key that a version of the highest stamp would have.
constexpr std::string_view kNewestOfStem("\0\0\0\0\0\0\0\0", kStampBytes);

constexpr size_t kIdleIteratorsMax = 4;

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view FromSlice(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

absl::Status Translate(const std::string& directory, const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = fmt::format("{}: {}", directory, status.ToString());
  if (status.IsCorruption()) return base::DataLoss(message);
  if (status.IsNoSpace()) return base::ResourceExhausted(message);
  return base::Internal(message);
}

// For reading one key: bloom filters apply, and the iterator ends with its stem.
rocksdb::ReadOptions StemReads() {
  rocksdb::ReadOptions options;
  options.prefix_same_as_start = true;
  options.background_purge_on_iterator_cleanup = true;
  return options;
}

}  // namespace

// Iterators for reads of one key, reused. An idle one pins the memtables and files of its time, so
// none from before the last flush or compaction is kept. Thread-safe.
class RocksDbEngine::IdleIterators {
 public:
  struct Borrowed {
    std::unique_ptr<rocksdb::Iterator> iterator;  // null: none was idle
    uint64_t time = 0;
  };

  Borrowed Borrow() {
    base::MutexLock lock(mutex_);
    Borrowed borrowed{nullptr, time_};
    if (!iterators_.empty()) {
      borrowed.iterator = std::move(iterators_.back());
      iterators_.pop_back();
    }
    return borrowed;
  }
  void GiveBack(Borrowed borrowed) {
    base::MutexLock lock(mutex_);
    if (borrowed.time != time_ || iterators_.size() >= kIdleIteratorsMax) return;
    iterators_.push_back(std::move(borrowed.iterator));
  }
  void OnFilesChanged() {
    std::vector<std::unique_ptr<rocksdb::Iterator>> dropped;
    base::MutexLock lock(mutex_);
    ++time_;
    dropped.swap(iterators_);
  }

 private:
  base::Mutex mutex_;
  std::vector<std::unique_ptr<rocksdb::Iterator>> iterators_ BASALT_GUARDED_BY(mutex_);
  uint64_t time_ BASALT_GUARDED_BY(mutex_) = 0;
};

// Called on RocksDB's own threads.
class RocksDbEngine::Listener : public rocksdb::EventListener {
 public:
  Listener(std::string directory, std::shared_ptr<IdleIterators> idle)
      : directory_(std::move(directory)), idle_(std::move(idle)) {}

  uint64_t flush_count() const { return flush_count_.load(std::memory_order_acquire); }

  void OnFlushed() {
    flush_count_.fetch_add(1, std::memory_order_release);
    idle_->OnFilesChanged();
  }
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override { OnFlushed(); }
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    idle_->OnFilesChanged();
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    if (error->IsShutdownInProgress()) return;  // work that a close cut short, lost as in a crash
    // No space for a compaction: what is there stays whole and is served.
    if (reason == rocksdb::BackgroundErrorReason::kCompaction && error->IsNoSpace()) return;
    base::DiskFailed(fmt::format("{}: {}", directory_, error->ToString()));
  }

 private:
  const std::string directory_;
  const std::shared_ptr<IdleIterators> idle_;
  std::atomic<uint64_t> flush_count_{0};
};

class RocksDbEngine::Snapshot : public EngineSnapshot {
 public:
  explicit Snapshot(rocksdb::DB& db) : db_(db), snapshot_(db.GetSnapshot()) {}
  ~Snapshot() override { db_.ReleaseSnapshot(snapshot_); }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  const rocksdb::Snapshot* get() const { return snapshot_; }

 private:
  rocksdb::DB& db_;
  const rocksdb::Snapshot* const snapshot_;
};

class RocksDbEngine::RowIterator : public EngineIterator {
 public:
  RowIterator(std::unique_ptr<rocksdb::Iterator> rows, const std::string& directory)
      : rows_(std::move(rows)), directory_(directory) {}

  void Seek(std::string_view key) override { rows_->Seek(ToSlice(key)); }
  void SeekBelow(std::string_view key) override {
    rows_->SeekForPrev(ToSlice(key));
    if (rows_->Valid() && FromSlice(rows_->key()) == key) rows_->Prev();
  }
  void SeekToLast() override { rows_->SeekToLast(); }
  void Next() override { rows_->Next(); }
  void Prev() override { rows_->Prev(); }
  bool Valid() const override { return rows_->Valid(); }
  std::string_view key() const override { return FromSlice(rows_->key()); }
  std::string_view value() const override { return FromSlice(rows_->value()); }
  absl::Status status() const override { return Translate(directory_, rows_->status()); }

 private:
  const std::unique_ptr<rocksdb::Iterator> rows_;
  const std::string& directory_;
};

RocksDbResources::RocksDbResources(const RocksDbSizes& sizes)
    : shared_(std::make_unique<RocksDbShared>(sizes)) {}
RocksDbResources::~RocksDbResources() = default;

uint64_t RocksDbResources::BlockCacheBytes() const { return shared_->block_cache().GetUsage(); }
uint64_t RocksDbResources::MemtableBytes() const {
  return shared_->memtables().memory_usage() + shared_->BufferedBytes();
}
HotRows::Counts RocksDbResources::HotRowCounts() const { return shared_->hot_rows().counts(); }
RocksDbCounts RocksDbResources::Counts() const { return shared_->events().counts(); }

RocksDbEngine::RocksDbEngine(RocksDbShared& shared, std::string directory)
    : shared_(shared),
      directory_(std::move(directory)),
      hot_rows_(shared.hot_rows()),
      idle_(std::make_shared<IdleIterators>()),
      listener_(std::make_shared<Listener>(directory_, idle_)),
      collection_(std::make_unique<VersionCollection>(shared.collector())) {
  shared_.CountOpened();
}

RocksDbEngine::~RocksDbEngine() {
  collection_->Close();
  shared_.drainer().Forget(*this);
  shared_.CountClosed();
  if (const auto dropped = buffers_.BeginDrain()) {
    shared_.CountBuffered(-static_cast<int64_t>(dropped->bytes()));
  }
  idle_->OnFilesChanged();
  if (db_ == nullptr) return;
  // Compactions read the store.
  rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    db_->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
  }
  db_->Close().PermitUncheckedError();
}

absl::StatusOr<std::unique_ptr<Engine>> RocksDbEngine::Open(const RocksDbResources& resources,
                                                            const std::string& directory) {
  std::unique_ptr<RocksDbEngine> engine(new RocksDbEngine(resources.shared(), directory));
  BASALT_RETURN_IF_ERROR(engine->OpenStore());
  return std::unique_ptr<Engine>(std::move(engine));
}

absl::Status RocksDbEngine::OpenStore() {
  rocksdb::Options options = shared_.StoreOptions();
  // A directory without a store in it is one that lost it, not a new one.
  options.create_if_missing = options.env->FileExists(directory_).IsNotFound();
  options.listeners.push_back(listener_);
  rocksdb::ColumnFamilyOptions data_options = shared_.DataOptions();
  data_options.compaction_filter_factory = collection_->drops();
  const std::vector<rocksdb::ColumnFamilyDescriptor> descriptors = {
      {rocksdb::kDefaultColumnFamilyName, data_options},
      {"state", shared_.StateOptions()},
  };
  static_assert(kFamilyCount == 2);
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened =
      rocksdb::DB::Open(options, directory_, descriptors, &families_, &db);
  db_.reset(db);
  if (opened.ok()) {
    collection_->Open(*db_, [this] { Flush(); });
    return absl::OkStatus();
  }
  // Missing files and bad arguments are how RocksDB reports most damage.
  if (opened.IsNoSpace()) return Translate(directory_, opened);
  if (opened.IsIOError() && !opened.IsPathNotFound()) return Translate(directory_, opened);
  return base::DataLoss(fmt::format("{}: {}", directory_, opened.ToString()));
}

void RocksDbEngine::Write(const Batch& batch) {
  const size_t buffer_bytes = shared_.BufferBytes();
  const HotRows::Source::Writing writing(hot_rows_, batch);
  const uint64_t highest_before = highest_stamp_;
  const bool in_order = RowBuffer::InOrder(batch, highest_stamp_);
  if (buffer_bytes == 0 || (!in_order && !IsNewestOfStems(batch, highest_before))) {
    Drain();
    std::vector<RowBuffer::Row> rows;
    batch.ForEach([&](Family to, bool is_delete, std::string_view key, std::string_view value) {
      rows.push_back({key, value, to, is_delete});
    });
    WriteRows(rows);
    return;
  }
  const auto [before, after] = buffers_.Add(batch);
  shared_.CountBuffered(static_cast<int64_t>(after - before));
  if (after >= 2 * buffer_bytes) {
    Drain();  // the drainer is behind
  } else if (after >= buffer_bytes && before < buffer_bytes) {
    shared_.drainer().Ask(*this);
  }
}

bool RocksDbEngine::IsNewestOfStems(const Batch& batch, uint64_t highest_stamp) {
  bool is_newest = true;
  absl::flat_hash_map<std::string_view, uint64_t> newest;  // by stem
  batch.ForEach([&](Family to, bool is_delete, std::string_view key, std::string_view) {
    if (to != Family::kData || !is_newest) return;
    if (is_delete || key.size() < kStampBytes) {
      is_newest = false;
      return;
    }
    const uint64_t stamp = StampOf(key);
    const auto place = newest.try_emplace(StemOf(key), 0);
    uint64_t& last = place.first->second;
    if (place.second && stamp <= highest_stamp) {
      const auto found =
          VisitStored(std::string(StemOf(key)).append(kNewestOfStem),
                      [&](std::string_view row_key, std::string_view) { last = StampOf(row_key); });
      if (!found.ok()) is_newest = false;
    }
    if (stamp <= last) is_newest = false;
    last = stamp;
  });
  return is_newest;
}

void RocksDbEngine::Drain() {
  const std::shared_ptr<const RowBuffer> buffer = buffers_.BeginDrain();
  if (buffer == nullptr) return;
  WriteRows(buffer->InKeyOrder());
  buffers_.EndDrain();
  shared_.CountBuffered(-static_cast<int64_t>(buffer->bytes()));
}

void RocksDbEngine::WriteRows(const std::vector<RowBuffer::Row>& rows) {
  size_t bytes = 0;
  for (const RowBuffer::Row& row : rows) bytes += row.key.size() + row.value.size();
  constexpr size_t kWriteBatchHeadBytes = 12;
  constexpr size_t kRowHeadBytesMax = 12;
  rocksdb::WriteBatch batch(kWriteBatchHeadBytes + rows.size() * kRowHeadBytesMax + bytes);
  for (const auto& [key, value, to, is_delete] : rows) {
    const rocksdb::Status added = is_delete ? batch.Delete(family(to), ToSlice(key))
                                            : batch.Put(family(to), ToSlice(key), ToSlice(value));
    BASALT_CHECK_MSG(added.ok(), added.ToString());
  }
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  const rocksdb::Status written = db_->Write(options, &batch);
  if (!written.ok()) base::DiskFailed(fmt::format("{}: {}", directory_, written.ToString()));
}

absl::StatusOr<std::optional<std::string>> RocksDbEngine::Get(Family from, std::string_view key) {
  if (const auto found = buffers_.Find(from, key)) {
    if (found->row.is_delete) return std::optional<std::string>();
    return std::optional<std::string>(found->row.value);
  }
  std::string value;
  const rocksdb::Status read = db_->Get(rocksdb::ReadOptions(), family(from), ToSlice(key), &value);
  if (read.IsNotFound()) return std::optional<std::string>();
  if (!read.ok()) return Translate(directory_, read);
  return std::optional<std::string>(std::move(value));
}

absl::StatusOr<std::optional<std::string>> RocksDbEngine::GetFlushed(Family from,
                                                                     std::string_view key) {
  rocksdb::ReadOptions options;
  options.read_tier = rocksdb::kPersistedTier;  // without a write-ahead log: files only
  std::string value;
  const rocksdb::Status read = db_->Get(options, family(from), ToSlice(key), &value);
  if (read.IsNotFound()) return std::optional<std::string>();
  if (!read.ok()) return Translate(directory_, read);
  return std::optional<std::string>(std::move(value));
}

absl::StatusOr<bool> RocksDbEngine::VisitFirstOfStem(std::string_view key, RowVisitor visit) {
  BASALT_CHECK(key.size() >= kStampBytes);
  if (!key.ends_with(kNewestOfStem)) return VisitStored(key, visit);
  const auto missed = hot_rows_.Visit(StemOf(key), visit);
  if (!missed) return true;
  return VisitStored(key, [&](std::string_view row_key, std::string_view value) {
    visit(row_key, value);
    hot_rows_.Keep(*missed, row_key, value);
  });
}

absl::StatusOr<bool> RocksDbEngine::VisitStored(std::string_view key, RowVisitor visit) {
  if (const auto found = buffers_.FirstOfStem(key)) {
    visit(found->row.key, found->row.value);
    return true;
  }
  IdleIterators::Borrowed borrowed = idle_->Borrow();
  if (borrowed.iterator == nullptr) {
    borrowed.iterator.reset(db_->NewIterator(StemReads(), family(Family::kData)));
  } else if (const rocksdb::Status moved = borrowed.iterator->Refresh(); !moved.ok()) {
    return Translate(directory_, moved);
  }
  rocksdb::Iterator& rows = *borrowed.iterator;
  rows.Seek(ToSlice(key));
  // prefix_same_as_start says nothing of a row that is not looked for, so the stem is compared.
  const bool found = rows.Valid() && StemOf(FromSlice(rows.key())) == StemOf(key);
  if (found) {
    visit(FromSlice(rows.key()), FromSlice(rows.value()));
  } else if (!rows.status().ok()) {
    return Translate(directory_, rows.status());
  }
  idle_->GiveBack(std::move(borrowed));
  return found;
}

std::unique_ptr<EngineIterator> RocksDbEngine::NewIterator(Family from,
                                                           const EngineSnapshot* snapshot) {
  if (snapshot == nullptr) Drain();
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.background_purge_on_iterator_cleanup = true;
  if (snapshot != nullptr) options.snapshot = static_cast<const Snapshot*>(snapshot)->get();
  return std::make_unique<RowIterator>(
      std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(options, family(from))), directory_);
}

std::shared_ptr<const EngineSnapshot> RocksDbEngine::TakeSnapshot() {
  Drain();
  return std::make_shared<Snapshot>(*db_);
}

void RocksDbEngine::Flush() {
  Drain();
  const rocksdb::Status flushed = db_->Flush(rocksdb::FlushOptions(), families_);
  if (!flushed.ok()) base::DiskFailed(fmt::format("{}: {}", directory_, flushed.ToString()));
  listener_->OnFlushed();  // the event comes from another thread, perhaps later
}

uint64_t RocksDbEngine::flush_count() const { return listener_->flush_count(); }

absl::Status RocksDbEngine::CreateCheckpoint(const std::string& directory) {
  Drain();
  rocksdb::Checkpoint* made = nullptr;
  BASALT_RETURN_IF_ERROR(Translate(directory_, rocksdb::Checkpoint::Create(db_.get(), &made)));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  absl::Status created = Translate(directory, checkpoint->CreateCheckpoint(directory));
  listener_->OnFlushed();
  return created;
}

void RocksDbEngine::Collect(const Horizons& horizons) { collection_->Collect(horizons); }

uint64_t RocksDbEngine::collected() const { return collection_->drops()->dropped(); }

// Table by table; what CURRENT and the manifest say is read, with checksums, by whoever opens it.
absl::Status RocksDbEngineFactory::VerifyCheckpoint(const std::string& directory,
                                                    const std::function<bool()>& stop) {
  rocksdb::BlockBasedTableOptions tables;
  tables.no_block_cache = true;  // nobody reads it from there
  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(tables));
  std::vector<std::string> names;
  const rocksdb::Status listed = options.env->GetChildren(directory, &names);
  if (!listed.ok()) return Translate(directory, listed);
  for (const std::string& name : names) {
    if (!name.ends_with(".sst")) continue;
    if (stop && stop()) return base::Unavailable("called off");
    const std::string path = fmt::format("{}/{}", directory, name);
    rocksdb::SstFileReader table(options);
    rocksdb::Status read = table.Open(path);
    if (read.ok()) read = table.VerifyChecksum(rocksdb::ReadOptions());
    // A sector that cannot be read is the commonest rot; the others are how RocksDB reports damage
    // of a head or foot.
    const bool unreadable = read.IsIOError() && !read.IsNoSpace() && !read.IsPathNotFound();
    if (unreadable || read.IsCorruption() || read.IsInvalidArgument() || read.IsNotSupported()) {
      return base::DataLoss(fmt::format("{}: {}", path, read.ToString()));
    }
    BASALT_RETURN_IF_ERROR(Translate(path, read));
  }
  return absl::OkStatus();
}

uint64_t RocksDbEngine::ApproximateBytes() const {
  uint64_t bytes = 0;
  uint64_t total = 0;
  for (rocksdb::ColumnFamilyHandle* handle : families_) {
    if (db_->GetIntProperty(handle, rocksdb::DB::Properties::kTotalSstFilesSize, &bytes)) {
      total += bytes;
    }
  }
  return total;
}

}  // namespace basalt::storage
