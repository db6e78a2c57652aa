#include "storage/row_buffer.h"

#include <algorithm>

#include "base/check.h"
#include "storage/key_encoding.h"

namespace basalt::storage {
namespace {

// A row's share of the vector and of a hash table that is at most half full, in bytes.
constexpr size_t kRowOverheadBytes = 112;

}  // namespace

bool RowBuffer::InOrder(const Batch& batch, uint64_t& highest_stamp) {
  bool in_order = true;
  uint64_t last = highest_stamp;
  batch.ForEach([&](Family family, bool is_delete, std::string_view key, std::string_view) {
    if (family != Family::kData) return;
    if (is_delete || key.size() < kStampBytes) {
      in_order = false;
      return;
    }
    const uint64_t stamp = StampOf(key);
    if (stamp <= highest_stamp || stamp < last) in_order = false;
    last = std::max(last, stamp);
  });
  highest_stamp = last;
  return in_order;
}

void RowBuffer::Add(const Batch& batch) {
  const Batch& kept = batches_.emplace_back(batch);
  bytes_ += kept.bytes();
  kept.ForEach([&](Family family, bool is_delete, std::string_view key, std::string_view value) {
    const bool is_data = family == Family::kData;
    BASALT_CHECK(!is_data || (!is_delete && key.size() >= kStampBytes));
    const auto at = static_cast<uint32_t>(rows_.size());
    const auto [newest, is_first] =
        is_data ? stems_.try_emplace(StemOf(key), at) : states_.try_emplace(key, at);
    rows_.push_back({{key, value, family, is_delete}, is_first ? kNone : newest->second});
    newest->second = at;
    bytes_ += kRowOverheadBytes;
  });
}

std::optional<RowBuffer::Row> RowBuffer::FirstOfStem(std::string_view key) const {
  const auto newest = stems_.find(StemOf(key));
  if (newest == stems_.end()) return std::nullopt;
  // From the newest version on, keys of a stem ascend.
  for (uint32_t at = newest->second; at != kNone; at = rows_[at].older) {
    if (rows_[at].row.key >= key) return rows_[at].row;
  }
  return std::nullopt;
}

std::optional<RowBuffer::Row> RowBuffer::Find(Family family, std::string_view key) const {
  if (family == Family::kData) {
    std::optional<Row> row = FirstOfStem(key);
    if (row && row->key != key) row.reset();
    return row;
  }
  const auto newest = states_.find(key);
  if (newest == states_.end()) return std::nullopt;
  return rows_[newest->second].row;
}

std::vector<RowBuffer::Row> RowBuffer::InKeyOrder() const {
  std::vector<Row> ordered;
  ordered.reserve(stems_.size() + states_.size());
  for (uint32_t at = 0; at < rows_.size(); ++at) {
    const Row& row = rows_[at].row;
    if (row.family == Family::kState && states_.find(row.key)->second != at) continue;
    ordered.push_back(row);
  }
  std::sort(ordered.begin(), ordered.end(), [](const Row& a, const Row& b) {
    return a.family != b.family ? a.family < b.family : a.key < b.key;
  });
  return ordered;
}

}  // namespace basalt::storage
