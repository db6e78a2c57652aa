// Accounts: the values of a bench of transactions. A transfer takes money from one account for all
// others that it touches, so that the sum of all balances stays what it was at first.
//
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace basalt::bench {

inline constexpr int64_t kOpeningBalance = 1000;

struct Account {
  int64_t balance = kOpeningBalance;  // may fall below 0
  uint64_t transfers = 0;             // that touched it

  bool operator==(const Account&) const = default;
};

// The account stands in front; the rest of `filler` follows, if there is room.
std::string ValueOf(const Account& account, std::string filler);
// Nothing: the value is no account.
std::optional<Account> AccountOf(std::string_view value);

}  // namespace basalt::bench
