// Serializability, each kind of transaction held to what it is promised: is there an order in which
// every transaction, run alone, would have read what it did?
//
// Two claims (design: reads):
//   - Reads, writes and transactions: one order of all of them that keeps to real time.
//   - Snapshots, with all the others: one order in which each snapshot stands behind whatever was
//     acknowledged before its timestamp was asked for, and tokens go forward: from a transaction to
//     the later ones of its client, and to those that it was passed to. Real time orders nothing
//     else: a snapshot may show a write and miss one on another shard that ended before that began.
//     Reads at a timestamp that the user gave keep to no token either, and a read of one key by a
//     leader takes none along: behind a transaction of its client, it may miss another that a
//     snapshot shows without the first.
//
// Versions and values say which write each read saw and in what order a key was written
// (version_recovery.h, version_chain.h). Each dependency that follows is an edge; there is an order
// exactly if no edges make a cycle (Adya, "Weak consistency", 1999, chapter 3). Time is two edges a
// transaction, through points on a line. O(n log n), and more only to explain a violation.
//
// Complete where every committed write to a register has a version or reads before it writes, or
// where all keys are lists; what else is left open is counted. A violation is always one, unless
// the history itself is wrong.
//
// Deterministic: equal histories get equal reports.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "check/anomalies.h"
#include "check/history.h"
#include "check/transactions.h"

namespace basalt::check {

struct SerializabilityReport {
  // First what single reads and writes say, then a cycle for each tangle of transactions.
  // Keys of their edges are places in the sorted order of all keys.
  std::vector<IsolationViolation> violations;
  // What the verdict stands on.
  uint64_t committed = 0;        // strict ones, those of the next line too
  uint64_t found_out = 0;        // of unknown outcome, and their writes were seen
  uint64_t snapshots = 0;        // served, and reads at given timestamps
  uint64_t dependencies = 0;     // through values and versions
  uint64_t undecided_reads = 0;  // several writes, deletes above all, may be what they saw
  uint64_t unplaced_writes = 0;  // to registers, without a version and a read

  bool ok() const { return violations.empty(); }
};

// `stored`: every version that was ever applied to registers, or null where that is not known. It
// settles unknown outcomes.
SerializabilityReport CheckSerializability(const TransactionHistory& history,
                                           const StoredVersions* stored);

// What there is to say of a report that is not ok: a line for each violation and for each of its
// transactions. Empty exactly if it is ok.
std::vector<std::string> Describe(const SerializabilityReport& report,
                                  const TransactionHistory& history);

}  // namespace basalt::check
