// All or nothing: a transaction's writes are there together, in the store and in every snapshot.
//
// These judges take versions at their word, as timestamps of one time for all keys, which
// serializability.h does not; so they are stricter, and say more plainly what is wrong.
#pragma once

#include <string>
#include <vector>

#include "check/history.h"
#include "check/transactions.h"

namespace basalt::check {

// Judges by every version that was ever applied to registers. One line per thing that cannot be:
//   - a committed transaction of which a write is not stored at its version, or stands there with
//     another value;
//   - one of unknown outcome, some of whose writes are stored at a version and some are not;
//   - a version that no transaction made, or only an aborted one.
// Where transactions of unknown outcome wrote one value, any of them may have made a version.
std::vector<std::string> FindTornTransactions(const TransactionHistory& history,
                                              const StoredVersions& stored);

// Each snapshot and each read at a given timestamp shows of every register the newest version at
// one timestamp: the transaction's, or any if that is not known. One line for each that does not.
// A transaction whose version is not known, and that nobody's read tells, is not looked for.
std::vector<std::string> FindTornSnapshots(const TransactionHistory& history,
                                           const StoredVersions* stored);

}  // namespace basalt::check
