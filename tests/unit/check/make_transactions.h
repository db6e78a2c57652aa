// Transactions for tests of the judges. Versions of 0 are none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "check/transactions.h"

namespace basalt::check {

inline Step Read(std::string key, std::string value, uint64_t version = 0) {
  Step step{.kind = StepKind::kRead, .key = std::move(key), .value = std::move(value)};
  if (version != 0) step.version = version;
  return step;
}
inline Step ReadNothing(std::string key, uint64_t version = 0) {
  Step step{.kind = StepKind::kRead, .key = std::move(key)};
  if (version != 0) step.version = version;
  return step;
}
inline Step Write(std::string key, std::string value) {
  return {.kind = StepKind::kPut, .key = std::move(key), .value = std::move(value)};
}
inline Step Remove(std::string key) { return {.kind = StepKind::kDelete, .key = std::move(key)}; }
inline Step Append(std::string key, std::string element) {
  return {.kind = StepKind::kAppend, .key = std::move(key), .value = std::move(element)};
}
inline Step ReadList(std::string key, std::vector<std::string> elements, uint64_t version = 0) {
  Step step{.kind = StepKind::kReadList, .key = std::move(key), .elements = std::move(elements)};
  if (version != 0) step.version = version;
  return step;
}

// Each by a client of its own, unless a test says otherwise.
inline Transaction Committed(int64_t invoked_ns, int64_t responded_ns, uint64_t version,
                             std::vector<Step> steps) {
  Transaction transaction;
  transaction.steps = std::move(steps);
  transaction.invoked_ns = invoked_ns;
  transaction.responded_ns = responded_ns;
  transaction.outcome = Outcome::kApplied;
  if (version != 0) transaction.version = version;
  return transaction;
}
inline Transaction Aborted(int64_t invoked_ns, int64_t responded_ns, std::vector<Step> steps) {
  Transaction transaction = Committed(invoked_ns, responded_ns, 0, std::move(steps));
  transaction.outcome = Outcome::kNotApplied;
  return transaction;
}
inline Transaction Unknown(int64_t invoked_ns, std::vector<Step> steps) {
  Transaction transaction;
  transaction.steps = std::move(steps);
  transaction.invoked_ns = invoked_ns;
  return transaction;
}
inline Transaction Snapshot(int64_t invoked_ns, int64_t responded_ns, std::vector<Step> steps,
                            uint64_t at = 0) {
  Transaction transaction = Committed(invoked_ns, responded_ns, 0, std::move(steps));
  transaction.kind = TransactionKind::kSnapshot;
  if (at != 0) transaction.snapshot_at = at;
  return transaction;
}
inline Transaction ReadAt(int64_t invoked_ns, int64_t responded_ns, std::vector<Step> steps,
                          uint64_t at = 0) {
  Transaction transaction = Snapshot(invoked_ns, responded_ns, std::move(steps), at);
  transaction.kind = TransactionKind::kReadAt;
  return transaction;
}
inline Transaction ByClient(uint64_t client, Transaction transaction) {
  transaction.client = client;
  return transaction;
}

// A client of its own for each that has none.
inline TransactionHistory MakeTransactions(std::vector<Transaction> transactions) {
  for (size_t i = 0; i < transactions.size(); ++i) {
    if (transactions[i].client == 0) transactions[i].client = 1000 + i;
  }
  return {.transactions = std::move(transactions)};
}

}  // namespace basalt::check
