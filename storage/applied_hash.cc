#include "storage/applied_hash.h"

#include <xxhash.h>

#include <optional>

#include "base/status.h"

namespace basalt::storage {

void AppliedHash::Add(uint32_t slot, std::string_view row) {
  const uint32_t bucket = slot / kSlotsPerBucket;
  sums_[bucket / kSumsPerHashRow][bucket % kSumsPerHashRow] += XXH3_64bits(row.data(), row.size());
  changed_.set(bucket / kSumsPerHashRow);
}

void AppliedHash::StageChanged(Batch& batch) {
  for (uint32_t row = 0; row < kRows; ++row) {
    if (!changed_.test(row)) continue;
    batch.Put(Family::kState, HashRowKey(row), EncodeHashRow(sums_[row]));
  }
  changed_.reset();
}

absl::Status AppliedHash::Load(EngineIterator& state) {
  sums_.fill({});
  changed_.reset();
  for (state.Seek(kHashRowPrefix); state.Valid(); state.Next()) {
    if (!state.key().starts_with(kHashRowPrefix)) break;
    const std::optional<HashRow> row = DecodeHashRow(state.key(), state.value());
    if (!row || row->row >= kRows) return base::DataLoss("a row of the hash is damaged");
    sums_[row->row] = row->sums;
  }
  return state.status();
}

uint64_t AppliedHash::total() const {
  uint64_t total = 0;
  for (const HashSums& row : sums_) {
    for (const uint64_t sum : row) total += sum;
  }
  return total;
}

}  // namespace basalt::storage
