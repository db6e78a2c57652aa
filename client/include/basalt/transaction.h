// Transaction: reads and writes of any keys, on whatever shards, that take effect together or not
// at all, at one instant (strict serializability; docs/transactions.md).
//
//   basalt::Status moved = client->Transact([&](basalt::Transaction& t) -> basalt::Status {
//     auto from = t.Get("from");
//     if (!from.ok()) return from.status();
//     ...
//     t.Put("from", ...);
//     t.Put("to", ...);
//     return {};
//   });
//
// The body may run any number of times, at least once, always on the thread that called Transact
// (of TransactAsync on the library's threads, one after the other): it should do nothing that
// cannot be done again, and hand out nothing before Transact has returned (`done` runs). What it
// reads in one run may not fit together; such a run is not committed, and if it ends with an error,
// that is shown only if what it had read stood together.
//
// Nothing is locked while a body runs. What it read must still be there when it commits; else it
// runs again. Transactions that are in each other's way for locks wait or give up by their age,
// which is that of the first run: younger ones give up, and the oldest waits. Any may be refused
// all the same, and runs again as old as before: one over several shards, say, that has waited in
// one of them for some seconds, or whose entries meet a lock that was taken meanwhile.
//
// Limits: 10,000 gets and puts (of a key once each), 15 MiB of their keys and of the values that
// are put; each key and value as everywhere. Keys only: there are no scans here (a snapshot has
// them).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/result.h"
#include "basalt/scan.h"
#include "basalt/status.h"

namespace basalt {

inline constexpr size_t kTransactionKeysMax = 10'000;
inline constexpr size_t kTransactionBytesMax = size_t{15} << 20;

struct Value;

namespace client {
class TransactionRun;
}

// One run of a body; used by it alone, on its thread, and not beyond it. What it is given it
// copies.
class Transaction {
 public:
  // The library's: Transact makes them.
  explicit Transaction(client::TransactionRun* run) : run_(run) {}

  // What this run has put (then with version 0) or deleted; else the newest value, which is then
  // the same for the whole run. Waits for locks of other transactions. An error, by deadline or
  // limit, ends the run and is what Transact returns: the body should return as well (TransactAsync
  // has one more, on which the body begins anew).
  Result<std::optional<Value>> Get(std::string_view key);
  // As Get of each, in the order of the keys, but asked for at once: the wait is that of the
  // slowest.
  Result<std::vector<std::optional<Value>>> MultiGet(const std::vector<std::string>& keys);
  // Kept here until the commit; the last one of a key counts. A limit that is broken is told by
  // Transact (kInvalidArgument, not applied).
  void Put(std::string_view key, std::string_view value);
  void Delete(std::string_view key);
  // Always kInvalidArgument: what a transaction reads it must lock, and it can lock no range.
  Status Scan(const ScanOptions& scan);

 private:
  client::TransactionRun* run_;
};

}  // namespace basalt
