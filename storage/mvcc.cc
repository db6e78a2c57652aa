#include "storage/mvcc.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "storage/key_encoding.h"

namespace basalt::storage {
namespace {

constexpr uint64_t kNewest = std::numeric_limits<uint64_t>::max();
// A key with more versions than this is left by a seek instead of step by step.
constexpr int kStepsBeforeSeek = 8;
// Going back, a value is copied before it is known whether a newer version stands; not a larger
// one.
constexpr size_t kHeldBytesMax = 4096;

// False: not the bytes of a version.
bool ParseKind(std::string_view row_value, VersionKind& kind) {
  if (row_value.empty()) return false;
  switch (row_value.front()) {
    case static_cast<char>(VersionKind::kValue):
      kind = VersionKind::kValue;
      return true;
    case static_cast<char>(VersionKind::kTombstone):
      kind = VersionKind::kTombstone;
      return row_value.size() == 1;
    default:
      return false;
  }
}

absl::Status Damaged(std::string_view row_key) {
  std::string hex;
  for (const char c : row_key.substr(0, 64)) {
    hex += fmt::format("{:02x}", static_cast<uint8_t>(c));
  }
  return base::DataLoss(fmt::format("stored version is damaged, row key {}", hex));
}

}  // namespace

std::string_view StageVersion(Batch& batch, std::string_view key, uint64_t stamp, VersionKind kind,
                              std::string_view value) {
  BASALT_CHECK(kind == VersionKind::kValue || value.empty());
  const char kind_byte = static_cast<char>(kind);
  return batch.Put(Family::kData, EncodeRowKey(key, stamp), std::string_view(&kind_byte, 1), value);
}

absl::StatusOr<std::optional<Version>> ReadVersionAt(Engine& engine, std::string_view key,
                                                     uint64_t stamp) {
  const std::string from = EncodeRowKey(key, stamp);
  Version version;
  bool sound = true;
  auto found = engine.VisitFirstOfStem(from, [&](std::string_view row_key, std::string_view value) {
    version.stamp = StampOf(row_key);
    sound = ParseKind(value, version.kind);
    if (sound) version.value.assign(value.substr(1));
  });
  if (!found.ok()) return found.status();
  if (!sound) return Damaged(from);
  if (!*found) return std::optional<Version>();
  return std::optional<Version>(std::move(version));
}

absl::StatusOr<std::optional<Version>> ReadNewestVersion(Engine& engine, std::string_view key) {
  return ReadVersionAt(engine, key, kNewest);
}

absl::StatusOr<std::optional<VersionHead>> ReadNewestHead(Engine& engine, std::string_view key) {
  const std::string from = EncodeRowKey(key, kNewest);
  VersionHead head;
  bool sound = true;
  auto found = engine.VisitFirstOfStem(from, [&](std::string_view row_key, std::string_view value) {
    head.stamp = StampOf(row_key);
    sound = ParseKind(value, head.kind);
  });
  if (!found.ok()) return found.status();
  if (!sound) return Damaged(from);
  if (!*found) return std::optional<VersionHead>();
  return std::optional<VersionHead>(head);
}

VersionCursor::VersionCursor(std::unique_ptr<EngineIterator> rows, std::string_view from,
                             std::string_view to)
    : rows_(std::move(rows)) {
  if (!to.empty()) end_ = EncodeStem(to);
  rows_->Seek(EncodeStem(from));
}

bool VersionCursor::Next() {
  if (started_ && rows_->Valid()) rows_->Next();
  return Settle();
}

bool VersionCursor::NextKey() {
  if (!started_) return Settle();
  for (int step = 0; rows_->Valid() && StemOf(rows_->key()) == stem_; ++step) {
    if (step < kStepsBeforeSeek) {
      rows_->Next();
      continue;
    }
    // Above all rows of this stem, at or below those of any other that follows.
    std::string behind = stem_;
    ++behind.back();
    rows_->Seek(behind);
  }
  return Settle();
}

bool VersionCursor::ToVersionAt(uint64_t stamp) {
  for (int step = 0; rows_->Valid() && StemOf(rows_->key()) == stem_; ++step) {
    if (StampOf(rows_->key()) <= stamp) return Settle();
    if (step < kStepsBeforeSeek) {
      rows_->Next();
    } else {
      rows_->Seek(EncodeRowKey(key_, stamp));
    }
  }
  return false;
}

bool VersionCursor::Settle() {
  started_ = true;
  if (!damage_.ok() || !rows_->Valid()) return false;
  const std::string_view row_key = rows_->key();
  if (!end_.empty() && row_key >= end_) return false;
  if (row_key.size() < kStampBytes || !ParseKind(rows_->value(), kind_)) {
    damage_ = Damaged(row_key);
    return false;
  }
  const std::string_view stem = StemOf(row_key);
  if (stem != stem_) {
    std::optional<std::string> key = DecodeStem(stem);
    if (!key) {
      damage_ = Damaged(row_key);
      return false;
    }
    stem_.assign(stem);
    key_ = std::move(*key);
  }
  stamp_ = StampOf(row_key);
  value_ = rows_->value().substr(1);
  return true;
}

absl::Status VersionCursor::status() const { return damage_.ok() ? rows_->status() : damage_; }

DescendingCursor::DescendingCursor(std::unique_ptr<EngineIterator> rows, std::string_view from,
                                   std::string_view to, uint64_t stamp)
    : rows_(std::move(rows)), begin_(EncodeStem(from)), at_(stamp) {
  if (to.empty()) {
    rows_->SeekToLast();
  } else {
    rows_->SeekBelow(EncodeStem(to));
  }
}

bool DescendingCursor::NextKey() {
  if (!damage_.ok()) return false;
  if (started_ && !behind_) rows_->SeekBelow(stem_);
  started_ = true;
  if (!rows_->Valid()) return false;
  const std::string_view row_key = rows_->key();
  if (row_key < begin_) return false;
  std::optional<std::string> key;
  if (row_key.size() >= kStampBytes) key = DecodeStem(StemOf(row_key));
  if (!key) {
    damage_ = Damaged(row_key);
    return false;
  }
  stem_.assign(StemOf(row_key));
  key_ = *std::move(key);
  FindStanding();
  return status().ok();
}

void DescendingCursor::FindStanding() {
  found_ = false;
  behind_ = false;
  std::string_view row_value;
  for (int step = 0; rows_->Valid() && StemOf(rows_->key()) == stem_; ++step) {
    const uint64_t stamp = StampOf(rows_->key());
    const bool stands = stamp <= at_;
    if (!stands && step >= kStepsBeforeSeek) break;  // NextKey seeks
    if (stands && (step >= kStepsBeforeSeek || rows_->value().size() > kHeldBytesMax)) {
      rows_->Seek(EncodeRowKey(key_, at_));
      if (!rows_->Valid()) return;  // damage: it was there
      found_ = true;
      stamp_ = StampOf(rows_->key());
      row_value = rows_->value();
      break;
    }
    if (stands) {
      found_ = true;
      stamp_ = stamp;
      held_.assign(rows_->value());
      row_value = held_;
    }
    rows_->Prev();
    behind_ = !rows_->Valid() || StemOf(rows_->key()) != stem_;
  }
  if (!found_) return;
  if (!ParseKind(row_value, kind_)) {
    damage_ = Damaged(EncodeRowKey(key_, stamp_));
    return;
  }
  value_ = row_value.substr(1);
}

absl::Status DescendingCursor::status() const { return damage_.ok() ? rows_->status() : damage_; }

}  // namespace basalt::storage
