// RowBuffer: batches that an engine has taken and its memtable not yet.
//
// A put finds its place in a memtable by some twenty steps through memory that no cache holds; in
// a long run that is put in the order of keys, each step but the last few is the last put's. So
// batches gather here, are read here, and go on together. The idea is that of any log-structured
// merge (O'Neil and others, "The log-structured merge-tree", 1996), one level further up.
//
// Plain data, not thread-safe. What it gave out stays valid while it lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "storage/engine.h"

namespace basalt::storage {

class RowBuffer {
 public:
  struct Row {
    std::string_view key;
    std::string_view value;
    Family family = Family::kData;
    bool is_delete = false;
  };

  // Whether `batch` may come behind all that an engine got so far, of which no row of kData has a
  // stamp above `highest_stamp`: its rows of kData are puts, each above that stamp, and none has a
  // lower stamp than one before it in the batch. Then the newest version of a stem is the one that
  // came last. So it is where this is false and each row is the newest of its stem, which is for
  // the engine to find out. Raises `highest_stamp` to the batch's.
  static bool InOrder(const Batch& batch, uint64_t& highest_stamp);

  // Of each stem in `batch`, its rows are newer than all that came before, here or elsewhere, and
  // rise in the batch.
  void Add(const Batch& batch);

  // The first row of kData at or above `key` that has the same stem. nullopt says nothing of rows
  // that came before this buffer's.
  std::optional<Row> FirstOfStem(std::string_view key) const;
  // The row, maybe a deletion. nullopt: as above.
  std::optional<Row> Find(Family family, std::string_view key) const;

  // Of each key the last row, in the order of families and keys.
  std::vector<Row> InKeyOrder() const;

  bool empty() const { return rows_.empty(); }
  // Memory, roughly.
  size_t bytes() const { return bytes_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Link {
    Row row;
    uint32_t older = kNone;  // of the same stem (kData) or key (kState)
  };
  using Newest = absl::flat_hash_map<std::string_view, uint32_t>;

  std::deque<Batch> batches_;  // whose bytes the rows are; none moves
  std::vector<Link> rows_;
  Newest stems_;  // of kData
  Newest states_;
  size_t bytes_ = 0;
};

}  // namespace basalt::storage
