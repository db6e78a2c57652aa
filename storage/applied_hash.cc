#include "storage/applied_hash.h"

#include <xxhash.h>

#include <optional>

#include "base/status.h"
#include "storage/state_rows.h"

namespace basalt::storage {

void AppliedHash::Add(uint32_t slot, std::string_view row) {
  const uint32_t bucket = slot / kSlotsPerBucket;
  sums_[bucket] += XXH3_64bits(row.data(), row.size());
  changed_.set(bucket);
}

void AppliedHash::StageChanged(Batch& batch) {
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
    if (!changed_.test(bucket)) continue;
    batch.Put(Family::kState, HashRowKey(bucket), EncodeHashRow(sums_[bucket]));
  }
  changed_.reset();
}

absl::Status AppliedHash::Load(EngineIterator& state) {
  sums_.fill(0);
  changed_.reset();
  for (state.Seek(kHashRowPrefix); state.Valid(); state.Next()) {
    if (!state.key().starts_with(kHashRowPrefix)) break;
    const std::optional<HashRow> row = DecodeHashRow(state.key(), state.value());
    if (!row || row->bucket >= kBuckets) return base::DataLoss("a row of the hash is damaged");
    sums_[row->bucket] = row->sum;
  }
  return state.status();
}

uint64_t AppliedHash::total() const {
  uint64_t total = 0;
  for (const uint64_t sum : sums_) total += sum;
  return total;
}

}  // namespace basalt::storage
