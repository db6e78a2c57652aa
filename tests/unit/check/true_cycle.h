// Whether a cycle that the judge of transactions shows is one, told from the history alone.
#pragma once

#include "check/anomalies.h"
#include "check/transactions.h"

namespace basalt::check {

// Each edge leads to where the next begins, and holds by what transactions say. For histories of
// few transactions that write each value once, and in which no single read is wrong.
bool IsTrueCycle(const IsolationViolation& violation, const TransactionHistory& history);

}  // namespace basalt::check
