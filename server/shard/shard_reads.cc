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
  ScanPage page;
  if (!bounds.to.empty() && bounds.from >= bounds.to) return page;
  storage::VersionCursor cursor(engine_->NewIterator(Family::kData, nullptr), bounds.from,
                                bounds.to);
  size_t bytes = 0;
  for (uint32_t visits = 0; cursor.NextKey(); ++visits) {
    const bool full = !bounds.count_only && (page.rows.size() >= bounds.rows_max ||
                                             (!page.rows.empty() && bytes >= bounds.bytes_max));
    if (full || visits >= bounds.visits_max) {
      page.resume = cursor.key();
      break;
    }
    if (cursor.stamp() > bounds.at && !cursor.ToVersionAt(bounds.at)) continue;
    if (cursor.kind() == VersionKind::kTombstone) continue;
    ++page.count;
    if (bounds.count_only) continue;
    ScanRow row{cursor.key(), {}, cursor.stamp()};
    if (!bounds.keys_only) row.value.assign(cursor.value());
    bytes += row.key.size() + row.value.size();
    page.rows.push_back(std::move(row));
  }
  BASALT_RETURN_IF_ERROR(cursor.status());
  if (bounds.at != ScanBounds().at) BASALT_RETURN_IF_ERROR(CheckKept(*engine_, bounds.at));
  return page;
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
