// What the judges must agree with: the definition of linearizability, tried out without any
// cleverness. For short histories of one key.
#pragma once

#include "check/history.h"

namespace basalt::check {

// Tries every order. For up to eight operations.
bool HasOrder(const History& history);

// Remembers what it tried (sets of operations, and the value behind them) and knows nothing else.
// For up to 64 operations, of which few are concurrent.
bool HasOrderBySets(const History& history);

// What was known at `time_ns`. A refusal is known from the beginning.
History KnownAt(const History& history, int64_t time_ns);

}  // namespace basalt::check
