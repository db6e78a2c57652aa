// What the judge of transactions must agree with: serial execution, tried in every order.
#pragma once

#include "check/transactions.h"

namespace basalt::check {

// Whether strict transactions have an order that keeps to real time, and, with the snapshots, one
// that keeps to what these are promised. Versions that are told must fit, and rise along each key.
// For few transactions, each of whose values is written once.
bool HasSerialOrders(const TransactionHistory& history);

}  // namespace basalt::check
