// A bank: accounts with balances as decimal numbers, and transfers between them, each one
// transaction that reads two accounts and writes both. Money is neither made nor lost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "check/history.h"
#include "check/transactions.h"

namespace basalt::check {

// account -> balance. What was there before all transactions that are judged.
using Bank = std::map<std::string, int64_t, std::less<>>;

// Whoever read all accounts, committed or served, found as much in all as there was at first, and
// no balance below zero, none missing and none that is no number. One line for each who did not.
std::vector<std::string> FindSumViolations(const TransactionHistory& history, const Bank& opening);

struct Transfer {
  uint64_t client = 0;
  std::string from;
  std::string to;  // another account
  int64_t amount = 0;
  int64_t invoked_ns = 0;
  std::optional<int64_t> responded_ns;  // unset: no answer came
  Outcome outcome = Outcome::kUnknown;
  std::optional<uint64_t> version;  // as answered, when applied
};

// Judges by every version that was ever applied, of which the first of each account is its opening
// balance. One line per thing that cannot be:
//   - the changes of a version do not come to nothing together (several transfers may have one
//     version, of different accounts: each shard's stamps are its own);
//   - an acknowledged transfer is not stored, not at its version, or twice;
//   - a change is stored that no transfer explains: neither an acknowledged one nor, each once, one
//     of unknown outcome.
std::vector<std::string> FindTransferViolations(const std::vector<Transfer>& transfers,
                                                const Bank& opening, const StoredVersions& stored);

}  // namespace basalt::check
