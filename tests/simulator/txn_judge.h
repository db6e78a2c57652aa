// What a run's transactions are held to when it is over: strict serializability, all or nothing,
// what snapshots show, and for a bank its money.
#pragma once

#include <string>
#include <vector>

#include "check/history.h"
#include "tests/simulator/txn_load.h"

namespace basalt::testing {

// `stored`: every version of the load's keys that was ever committed. One line per violation. What
// the verdict stands on is marked.
std::vector<std::string> FindTransactionViolations(const TxnLoad& load,
                                                   const check::StoredVersions& stored,
                                                   int64_t now_ns, Findings& findings);

}  // namespace basalt::testing
