#include "client/bench/accounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace basalt::bench {

std::string ValueOf(const Account& account, std::string filler) {
  const std::string text = fmt::format("{} {} ", account.balance, account.transfers);
  return filler.replace(0, std::min(filler.size(), text.size()), text);
}

std::optional<Account> AccountOf(std::string_view value) {
  const char* const end = value.data() + value.size();
  Account account;
  const auto balance = std::from_chars(value.data(), end, account.balance);
  if (balance.ec != std::errc{} || balance.ptr == end || *balance.ptr != ' ') return std::nullopt;
  const auto transfers = std::from_chars(balance.ptr + 1, end, account.transfers);
  if (transfers.ec != std::errc{} || transfers.ptr == end || *transfers.ptr != ' ') {
    return std::nullopt;
  }
  return account;
}

}  // namespace basalt::bench
