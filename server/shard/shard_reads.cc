#include "server/shard/shard_reads.h"

#include <limits>

#include "base/status.h"
#include "storage/applied_hash.h"

namespace basalt::server {

using storage::Family;
using storage::VersionKind;

absl::StatusOr<std::optional<ReadValue>> ShardReads::Get(std::string_view key) const {
  return GetAt(key, std::numeric_limits<uint64_t>::max());
}

absl::StatusOr<std::optional<ReadValue>> ShardReads::GetAt(std::string_view key,
                                                           uint64_t stamp) const {
  auto version = storage::ReadVersionAt(*engine_, key, stamp);
  if (!version.ok()) return version.status();
  if (!*version || (*version)->kind == VersionKind::kTombstone) return std::optional<ReadValue>();
  return std::optional<ReadValue>(ReadValue{std::move((*version)->value), (*version)->stamp});
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
    if (cursor.kind() == VersionKind::kTombstone) continue;
    ++page.count;
    if (bounds.count_only) continue;
    ScanRow row{cursor.key(), {}, cursor.stamp()};
    if (!bounds.keys_only) row.value.assign(cursor.value());
    bytes += row.key.size() + row.value.size();
    page.rows.push_back(std::move(row));
  }
  BASALT_RETURN_IF_ERROR(cursor.status());
  return page;
}

StoredScan::StoredScan(std::shared_ptr<storage::Engine> engine)
    : engine_(std::move(engine)),
      snapshot_(engine_->TakeSnapshot()),
      cursor_(engine_->NewIterator(Family::kData, snapshot_.get()), {}, {}) {}

absl::StatusOr<std::unique_ptr<StoredScan>> StoredScan::Open(
    std::shared_ptr<storage::Engine> engine) {
  std::unique_ptr<StoredScan> scan(new StoredScan(std::move(engine)));
  BASALT_RETURN_IF_ERROR(scan->ReadStanding());
  return scan;
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
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredScan::Row>> StoredScan::Next(size_t bytes_max) {
  std::vector<Row> rows;
  size_t bytes = 0;
  while ((rows.empty() || bytes < bytes_max) && cursor_.Next()) {
    rows.push_back({cursor_.key(), cursor_.stamp(), cursor_.kind(), std::string(cursor_.value())});
    bytes += rows.back().key.size() + rows.back().value.size();
  }
  BASALT_RETURN_IF_ERROR(cursor_.status());
  return rows;
}

}  // namespace basalt::server
