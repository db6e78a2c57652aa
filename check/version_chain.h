// The versions of each key in their order, and the dependencies that follow from it.
//
// A register's order is that of its versions; a list's is that of the longest list that was read. A
// write whose place is not known that way has two more rules, which hold in every serial order:
//   - by a transaction that read the key, it directly follows what that one read;
//   - else it comes after the beginning of a register, after all that was read of a list.
// Dependencies are those between neighbours alone; the others follow from them.
#pragma once

#include <cstdint>
#include <vector>

#include "check/cycle_search.h"
#include "check/transaction_index.h"
#include "check/version_recovery.h"

namespace basalt::check {

struct Dependencies {
  uint32_t nodes = 0;  // transactions, then points
  std::vector<Edge> edges;
  // Reads of nothing, of which several deletes, or none, may be the reason: they have no edges.
  uint64_t undecided_reads = 0;
  // Writes to registers that only their readers place.
  uint64_t unplaced_writes = 0;
};

// Of committed transactions alone.
Dependencies FindDependencies(const TransactionIndex& index, const RecoveredVersions& recovered);

// From when and until when a transaction may have taken place, as far as its kind is promised to
// keep to real time. Unknown outcomes end never.
int64_t BeginOf(const Transaction& transaction);
int64_t EndOf(const Transaction& transaction);

}  // namespace basalt::check
