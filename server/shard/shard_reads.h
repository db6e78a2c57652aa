// ShardReads: reads of a shard's keys: the newest values, one page of a scan, and all that a
// replica stores.
//
// It holds the engine that the replica had when it was made: take one per request or batch
// (`ShardReads reads(machine.store().engine())`), so that an install does not wait for it. All
// functions are thread-safe and run beside Apply. They say nothing of leadership or freshness; that
// is settled before. DataLoss: what is stored is damaged.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/engine.h"
#include "storage/mvcc.h"
#include "storage/state_rows.h"
#include "storage/version_filter.h"

namespace basalt::server {

struct ReadValue {
  std::string bytes;
  uint64_t version = 0;
};

// The newest version of a key, a tombstone too; one that the horizon lets go is version 0, as is a
// key that was never written.
struct NewestValue {
  bool found = false;
  std::string bytes;
  uint64_t version = 0;
};

struct ScanBounds {
  std::string_view from;
  std::string_view to;  // not included; empty: no end
  uint32_t rows_max = 1000;
  size_t bytes_max = size_t{1} << 20;  // of keys and values; a page holds at least one row
  // Keys looked at, deleted ones too: bounds the time of a page that finds little.
  uint32_t visits_max = 20'000;
  bool keys_only = false;
  bool count_only = false;  // no rows; rows_max does not bind
  bool reverse = false;     // from the end of the range, in descending order
  // As the keys stood at this stamp; by default the newest.
  uint64_t at = std::numeric_limits<uint64_t>::max();
};

struct ScanRow {
  std::string key;
  std::string value;
  uint64_t version = 0;
};

struct ScanPage {
  std::vector<ScanRow> rows;
  uint64_t count = 0;  // of rows that this page went over
  // The next page's `from`, in reverse its `to`; nullopt: the end.
  std::optional<std::string> resume;
};

class ShardReads {
 public:
  explicit ShardReads(std::shared_ptr<storage::Engine> engine) : engine_(std::move(engine)) {}

  // nullopt: no such key.
  absl::StatusOr<std::optional<ReadValue>> Get(std::string_view key) const;
  absl::StatusOr<NewestValue> GetNewest(std::string_view key) const;
  // As it stood at `stamp`. OutOfRange: that is below the horizon, too old to tell.
  absl::StatusOr<std::optional<ReadValue>> GetAt(std::string_view key, uint64_t stamp) const;
  // One moment of the shard, in the order asked for. OutOfRange: `bounds.at` is below the horizon.
  absl::StatusOr<ScanPage> Scan(const ScanBounds& bounds) const;

 private:
  std::shared_ptr<storage::Engine> engine_;
};

// Walks the versions that a replica holds, as of one applied index: all that are stored, but for
// those that the horizon of that index lets go. So replicas show the same at the same index,
// whatever was dropped where. One thread.
class StoredScan {
 public:
  struct Row {
    std::string key;
    uint64_t stamp = 0;
    storage::VersionKind kind = storage::VersionKind::kValue;
    std::string value;
  };

  static absl::StatusOr<std::unique_ptr<StoredScan>> Open(std::shared_ptr<storage::Engine> engine);

  // What the walk stands for.
  const storage::AppliedRow& applied() const { return applied_; }
  uint64_t applied_hash() const { return applied_hash_; }
  uint64_t horizon() const { return horizon_; }

  // Rows of some `bytes_max` bytes, at least one; empty: the end.
  absl::StatusOr<std::vector<Row>> Next(size_t bytes_max);

 private:
  explicit StoredScan(std::shared_ptr<storage::Engine> engine);

  absl::Status ReadStanding();
  // Whether nothing was dropped that the horizon of the walk's index keeps.
  absl::StatusOr<bool> IsWhole() const;

  // Destroyed in reverse: the cursor before the snapshot before the engine.
  const std::shared_ptr<storage::Engine> engine_;
  const std::shared_ptr<const storage::EngineSnapshot> snapshot_;
  storage::VersionCursor cursor_;
  storage::AppliedRow applied_;
  uint64_t applied_hash_ = 0;
  uint64_t horizon_ = 0;
  std::optional<storage::VersionFilter> filter_;  // by that horizon
};

}  // namespace basalt::server
