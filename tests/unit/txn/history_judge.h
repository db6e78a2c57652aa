// Whether transactions are strictly serializable: whether there is one order of all of them that
// explains every read and keeps what ended before something else began in front of it.
//
// Every write makes a version, so the order of a key's writes is known and nothing has to be
// searched: it is a question of cycles in a graph (Adya, "Weak Consistency", MIT 1999), whose edges
// are: the writer of a version before the writer of the next, the writer of a version before its
// readers, these before the writer of the next, and what answered before what was invoked later.
// Linear in the history, but for the sorting.
//
// Needs every write of a value to write a value of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"

namespace basalt::check {

struct VersionRead {
  std::string key;
  uint64_t version = 0;  // 0: nothing was ever written
};

struct ValueWritten {
  std::string key;
  std::optional<std::string> value;  // unset: a delete
};

// A transaction, or an operation on one key.
struct TransactionRecord {
  uint64_t client = 0;
  std::string name;  // for whoever reads the verdict
  int64_t invoked_ns = 0;
  std::optional<int64_t> responded_ns;  // unset: no answer came, whatever `outcome` says
  Outcome outcome = Outcome::kUnknown;
  std::vector<VersionRead> reads;    // a key at most once
  std::vector<ValueWritten> writes;  // a key at most once
  std::optional<uint64_t> version;   // of its writes, if it was told

  bool applied() const { return responded_ns && outcome == Outcome::kApplied; }
  bool refused() const { return responded_ns && outcome == Outcome::kNotApplied; }
};

// Judges by every version that was ever applied, with nothing under way any more. One line for each
// thing that cannot be:
//   - a transaction is stored in part, or at two versions, or at another than it was told;
//   - an acknowledged one is not stored, a refused one is, or nobody wrote what is;
//   - a version was read that is not stored;
//   - a cycle: the transactions on it, and why each comes before the next.
// Of a transaction whose outcome is unknown, reads count only if its writes are stored.
std::vector<std::string> FindSerializabilityViolations(
    const std::vector<TransactionRecord>& transactions, const StoredVersions& stored);

}  // namespace basalt::check
