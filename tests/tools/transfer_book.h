// TransferBook: what a bank's clients were told of their transfers, held against the rows that are
// there at the end.
//
// Each transfer reads two accounts and, in one transaction, writes both and a row of its own, the
// trace. So a transfer that ran twice, in part or not at all shows: accounts must be what their
// opening balance and all traces together give, in money and in number of transfers.
//
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/status.h"

namespace basalt::tools {

struct Account {
  int64_t balance = 0;
  uint64_t transfers = 0;  // that touched it

  bool operator==(const Account&) const = default;
};

// "1000 17".
std::string ToText(const Account& account);
std::optional<Account> ParseAccount(std::string_view text);

struct Trace {
  std::string from;
  std::string to;  // another account
  int64_t amount = 0;

  bool operator==(const Trace&) const = default;
};

// "from to amount".
std::string ToText(const Trace& trace);
std::optional<Trace> ParseTrace(std::string_view text);

struct Transfer {
  std::string trace_key;
  Trace trace;  // as the last run of it would have written it
  Outcome outcome = Outcome::kUnknown;
};

using Rows = std::map<std::string, std::string, std::less<>>;

// What all accounts, as somebody read them together, have at variance; empty: nothing. `opening` is
// what each had at first, `accounts` how many there are, and between `least` and `most` transfers
// must be in it: those acknowledged before it was asked for, and those begun by its end.
std::string FindVariance(const Rows& read, uint64_t accounts, int64_t opening, uint64_t least,
                         uint64_t most);

// One line for each thing that cannot be: an acknowledged transfer without its trace, one that was
// refused and has one, a trace that says something else or that nobody wrote, an account that is
// not what the traces make of it.
std::vector<std::string> FindBookErrors(const std::vector<Transfer>& transfers, int64_t opening,
                                        const Rows& accounts, const Rows& traces);

}  // namespace basalt::tools
