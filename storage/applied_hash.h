// AppliedHash: what a replica has applied, as one number per bucket of 64 slots.
//
// A bucket's sum is that of XXH3-64 over all version rows ever applied to its slots, modulo 2^64:
// independent of order, of collection of old versions and of compaction. Replicas of a shard have
// equal sums at an equal applied index, or one of them has gone wrong. Carried by checkpoints.
//
// Not thread-safe.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"

#include "base/slot.h"
#include "storage/engine.h"
#include "storage/state_rows.h"

namespace basalt::storage {

class AppliedHash {
 public:
  static constexpr uint32_t kSlotsPerBucket = 64;
  static constexpr uint32_t kBuckets = base::kSlotCount / kSlotsPerBucket;

  // `row` is a row's key and value, one behind the other, as Batch::Put returned it.
  void Add(uint32_t slot, std::string_view row);
  // Puts the rows with buckets changed since the last call into `batch`.
  void StageChanged(Batch& batch);
  // Replaces all by what the rows behind `state` say (an iterator over kState).
  absl::Status Load(EngineIterator& state);

  uint64_t bucket(uint32_t index) const {
    return sums_[index / kSumsPerHashRow][index % kSumsPerHashRow];
  }
  // The sum of all buckets.
  uint64_t total() const;

 private:
  static constexpr uint32_t kRows = kBuckets / kSumsPerHashRow;

  std::array<HashSums, kRows> sums_{};
  std::bitset<kRows> changed_;
};

}  // namespace basalt::storage
