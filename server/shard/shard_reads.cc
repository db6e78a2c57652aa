#include "server/shard/shard_reads.h"

#include <fmt/format.h>

#include "base/status.h"
#include "storage/applied_hash.h"
#include "storage/replica_store.h"

namespace basalt::server {

using storage::Family;
using storage::VersionKind;

namespace {

std::optional<ReadValue> TakeValue(std::optional<storage::Version>& version) {
  if (!version || version->kind == VersionKind::kTombstone) return std::nullopt;
  return ReadValue{std::move(version->value), version->stamp};
}

// After the read, whose iterator or row was taken before: nothing had been dropped by then that
// this horizon keeps.
absl::Status CheckKept(storage::Engine& engine, uint64_t stamp) {
  BASALT_ASSIGN_OR_RETURN(const uint64_t horizon, storage::ReadHorizon(engine));
  if (stamp >= horizon) return absl::OkStatus();
  return base::OutOfRange(
      fmt::format("too old: what stood at {} is not kept, only from {} on", stamp, horizon));
}

class PageUnderWay {
 public:
  explicit PageUnderWay(const ScanBounds& bounds) : bounds_(bounds) {}

  // Whether the page ends before another key is looked at; each that it does not end before counts.
  bool EndsHere() {
    const bool full = !bounds_.count_only && (page_.rows.size() >= bounds_.rows_max ||
                                              (!page_.rows.empty() && bytes_ >= bounds_.bytes_max));
    return full || visits_++ >= bounds_.visits_max;
  }
  void Add(const std::string& key, std::string_view value, uint64_t stamp) {
    ++page_.count;
    if (bounds_.count_only) return;
    ScanRow row{key, {}, stamp};
    if (!bounds_.keys_only) row.value.assign(value);
    bytes_ += row.key.size() + row.value.size();
    page_.rows.push_back(std::move(row));
  }
  void ResumeAt(std::string key) { page_.resume = std::move(key); }
  ScanPage Take() { return std::move(page_); }

 private:
  const ScanBounds& bounds_;
  ScanPage page_;
  size_t bytes_ = 0;
  uint32_t visits_ = 0;
};

absl::Status FillAscending(const ScanBounds& bounds, std::unique_ptr<storage::EngineIterator> rows,
                           PageUnderWay& page) {
  storage::VersionCursor cursor(std::move(rows), bounds.from, bounds.to);
  while (cursor.NextKey()) {
    if (page.EndsHere()) {
      page.ResumeAt(cursor.key());
      break;
    }
    if (cursor.stamp() > bounds.at && !cursor.ToVersionAt(bounds.at)) continue;
    if (cursor.kind() == VersionKind::kTombstone) continue;
    page.Add(cursor.key(), cursor.value(), cursor.stamp());
  }
  return cursor.status();
}

absl::Status FillDescending(const ScanBounds& bounds, std::unique_ptr<storage::EngineIterator> rows,
                            PageUnderWay& page) {
  storage::DescendingCursor cursor(std::move(rows), bounds.from, bounds.to, bounds.at);
  std::string last;
  while (cursor.NextKey()) {
    if (page.EndsHere()) {
      page.ResumeAt(std::move(last));  // a bound that is not included
      break;
    }
    last = cursor.key();
    if (!cursor.found() || cursor.kind() == VersionKind::kTombstone) continue;
    page.Add(cursor.key(), cursor.value(), cursor.stamp());
  }
  return cursor.status();
}

}  // namespace

absl::StatusOr<std::optional<ReadValue>> ShardReads::Get(std::string_view key) const {
  auto version = storage::ReadNewestVersion(*engine_, key);
  if (!version.ok()) return version.status();
  return TakeValue(*version);
}

absl::StatusOr<NewestValue> ShardReads::GetNewest(std::string_view key) const {
  BASALT_ASSIGN_OR_RETURN(std::optional<storage::Version> version,
                          storage::ReadNewestVersion(*engine_, key));
  if (!version) return NewestValue{};
  if (version->kind == VersionKind::kValue) {
    return NewestValue{true, std::move(version->value), version->stamp};
  }
  BASALT_ASSIGN_OR_RETURN(const uint64_t horizon, storage::ReadHorizon(*engine_));
  return NewestValue{false, {}, version->stamp > horizon ? version->stamp : 0};
}

absl::StatusOr<std::optional<ReadValue>> ShardReads::GetAt(std::string_view key,
                                                           uint64_t stamp) const {
  auto version = storage::ReadVersionAt(*engine_, key, stamp);
  if (!version.ok()) return version.status();
  BASALT_RETURN_IF_ERROR(CheckKept(*engine_, stamp));
  return TakeValue(*version);
}

absl::StatusOr<ScanPage> ShardReads::Scan(const ScanBounds& bounds) const {
  PageUnderWay page(bounds);
  if (!bounds.to.empty() && bounds.from >= bounds.to) return page.Take();
  auto rows = engine_->NewIterator(Family::kData, nullptr);
  BASALT_RETURN_IF_ERROR(bounds.reverse ? FillDescending(bounds, std::move(rows), page)
                                        : FillAscending(bounds, std::move(rows), page));
  if (bounds.at != ScanBounds().at) BASALT_RETURN_IF_ERROR(CheckKept(*engine_, bounds.at));
  return page.Take();
}

StoredScan::StoredScan(std::shared_ptr<storage::Engine> engine)
    : engine_(std::move(engine)),
      snapshot_(engine_->TakeSnapshot()),
      cursor_(engine_->NewIterator(Family::kData, snapshot_.get()), {}, {}) {}

absl::StatusOr<std::unique_ptr<StoredScan>> StoredScan::Open(
    std::shared_ptr<storage::Engine> engine) {
  for (;;) {
    std::unique_ptr<StoredScan> scan(new StoredScan(engine));
    BASALT_RETURN_IF_ERROR(scan->ReadStanding());
    BASALT_ASSIGN_OR_RETURN(const bool whole, scan->IsWhole());
    if (whole) return scan;
  }
}

// Its iterators came after its snapshot. If the horizon is still that of the snapshot, nothing else
// was dropped before they pinned what is stored.
absl::StatusOr<bool> StoredScan::IsWhole() const {
  BASALT_ASSIGN_OR_RETURN(const uint64_t now, storage::ReadHorizon(*engine_));
  return now <= horizon_;
}

absl::Status StoredScan::ReadStanding() {
  const auto state = engine_->NewIterator(Family::kState, snapshot_.get());
  state->Seek(storage::kAppliedRow);
  if (!state->Valid() || state->key() != storage::kAppliedRow) {
    return base::DataLoss("the row of the applied index is missing");
  }
  std::optional<storage::AppliedRow> row = storage::DecodeAppliedRow(state->value());
  if (!row) return base::DataLoss("the row of the applied index is damaged");
  applied_ = *std::move(row);
  storage::AppliedHash hash;
  BASALT_RETURN_IF_ERROR(hash.Load(*state));
  applied_hash_ = hash.total();
  state->Seek(storage::kHorizonRow);
  if (state->Valid() && state->key() == storage::kHorizonRow) {
    const std::optional<uint64_t> horizon = storage::DecodeHorizonRow(state->value());
    if (!horizon) return base::DataLoss("the row of the horizon is damaged");
    horizon_ = *horizon;
  }
  filter_.emplace(horizon_);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredScan::Row>> StoredScan::Next(size_t bytes_max) {
  std::vector<Row> rows;
  size_t bytes = 0;
  while ((rows.empty() || bytes < bytes_max) && cursor_.Next()) {
    if (filter_->Judge(cursor_.row_key(), cursor_.row_value()) != storage::VersionFate::kStays) {
      continue;
    }
    rows.push_back({cursor_.key(), cursor_.stamp(), cursor_.kind(), std::string(cursor_.value())});
    bytes += rows.back().key.size() + rows.back().value.size();
  }
  BASALT_RETURN_IF_ERROR(cursor_.status());
  return rows;
}

}  // namespace basalt::server
