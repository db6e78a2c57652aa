// Versions of keys, as rows of an engine's kData family: each write makes one, named by its stamp.
// Row key: storage/key_encoding.h. Row value: one byte of VersionKind, then the bytes of the value.
//
// All reads are thread-safe; a VersionCursor belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "storage/engine.h"

namespace basalt::storage {

// On disk: values are never reused.
enum class VersionKind : uint8_t {
  kValue = 1,
  kTombstone = 2,  // the key was deleted at this stamp
};

struct Version {
  uint64_t stamp = 0;
  VersionKind kind = VersionKind::kValue;
  std::string value;  // empty for a tombstone
};

// Of a row's value.
inline bool IsTombstone(std::string_view row_value) {
  return row_value.size() == 1 && row_value.front() == static_cast<char>(VersionKind::kTombstone);
}

// Puts a version into `batch`. Returns its row (key and value), what the applied hash counts.
std::string_view StageVersion(Batch& batch, std::string_view key, uint64_t stamp, VersionKind kind,
                              std::string_view value);

// The newest version at or below `stamp`, a tombstone too; nullopt: none. DataLoss: damaged.
absl::StatusOr<std::optional<Version>> ReadVersionAt(Engine& engine, std::string_view key,
                                                     uint64_t stamp);
absl::StatusOr<std::optional<Version>> ReadNewestVersion(Engine& engine, std::string_view key);

// As ReadNewestVersion, without the value's bytes.
struct VersionHead {
  uint64_t stamp = 0;
  VersionKind kind = VersionKind::kValue;
};
absl::StatusOr<std::optional<VersionHead>> ReadNewestHead(Engine& engine, std::string_view key);

// Walks versions in the order of keys, the newest of each key first. Stands before the first one
// when made. The engine that `rows` reads must outlive it.
class VersionCursor {
 public:
  // Keys at or above `from` and below `to`; an empty `to` is no bound.
  VersionCursor(std::unique_ptr<EngineIterator> rows, std::string_view from, std::string_view to);

  // To the next version of any key; false at the end or at damage.
  bool Next();
  // To the newest version of the next key; false at the end or at damage.
  bool NextKey();
  // To the newest version at or below `stamp` of the key that the cursor stands on; false: it has
  // none, or at damage. NextKey goes on behind that key either way.
  bool ToVersionAt(uint64_t stamp);

  // Of the version that the cursor stands on; until the next move.
  const std::string& key() const { return key_; }
  uint64_t stamp() const { return stamp_; }
  VersionKind kind() const { return kind_; }
  std::string_view value() const { return value_; }
  // Its row, as it is stored.
  std::string_view row_key() const { return rows_->key(); }
  std::string_view row_value() const { return rows_->value(); }

  absl::Status status() const;

 private:
  bool Settle();

  std::unique_ptr<EngineIterator> rows_;
  std::string end_;   // stem; empty: no bound
  std::string stem_;  // of key_
  std::string key_;
  uint64_t stamp_ = 0;
  VersionKind kind_ = VersionKind::kValue;
  std::string_view value_;
  bool started_ = false;
  absl::Status damage_;
};

// Walks the keys of a range from the last to the first, as they stood at a stamp. Stands before the
// last one when made. A key costs a few steps, however many versions it has: where they are many,
// or large, two seeks. The engine that `rows` reads must outlive it.
class DescendingCursor {
 public:
  // Bounds as of a VersionCursor.
  DescendingCursor(std::unique_ptr<EngineIterator> rows, std::string_view from, std::string_view to,
                   uint64_t stamp);

  // To the next lower key that has any version; false at the end or at damage.
  bool NextKey();

  const std::string& key() const { return key_; }
  // Whether the key has a version at or below the stamp, a tombstone too; then of the newest such
  // one, until the next move:
  bool found() const { return found_; }
  uint64_t stamp() const { return stamp_; }
  VersionKind kind() const { return kind_; }
  std::string_view value() const { return value_; }

  absl::Status status() const;

 private:
  // To the version that stands, from the oldest of the key on.
  void FindStanding();

  std::unique_ptr<EngineIterator> rows_;
  const std::string begin_;  // stem
  const uint64_t at_;
  std::string stem_;  // of key_
  std::string key_;
  bool started_ = false;
  bool behind_ = false;  // `rows_` stands on the next lower key, if there is one
  bool found_ = false;
  uint64_t stamp_ = 0;
  VersionKind kind_ = VersionKind::kValue;
  std::string held_;  // the row's value, where `rows_` has left it
  std::string_view value_;
  absl::Status damage_;
};

}  // namespace basalt::storage
