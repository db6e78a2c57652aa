// Random histories of a store that keeps its promises, and lies about them.
#pragma once

#include "base/random.h"
#include "check/transactions.h"

namespace basalt::check {

struct TransactionShape {
  size_t transactions = 5;
  size_t clients = 3;
  size_t keys = 2;
  size_t steps_max = 3;
  bool lists = false;
  bool versions = true;             // are told
  bool blind_writes = true;         // else a register is read before it is written
  bool versions_of_deletes = true;  // are told to those who read nothing
  // One in so many; 0: none.
  uint64_t deletes_one_in = 6;
  uint64_t snapshots_one_in = 4;
  uint64_t unknown_one_in = 5;
  uint64_t aborted_one_in = 8;
  int64_t longest_ns = 30;
};

struct RandomTransactions {
  TransactionHistory history;
  StoredVersions stored;  // all that was applied to registers
};

// Each client runs one transaction after the other; each takes effect at a moment of its own.
// Snapshots see what had taken effect at a moment between their question and their answer. Every
// value is written once.
RandomTransactions MakeRandomTransactions(const TransactionShape& shape, base::Random& random);

// Changes what one answer said, so that it may be, and often is, impossible.
void TellLie(TransactionHistory& history, base::Random& random);

}  // namespace basalt::check
