#include "tests/tools/transfer_book.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <utility>

namespace basalt::tools {
namespace {

// Takes what stands before the next blank, or all, out of the text.
std::string_view TakeWord(std::string_view* text) {
  const size_t blank = text->find(' ');
  const std::string_view word = text->substr(0, blank);
  text->remove_prefix(blank == std::string_view::npos ? text->size() : blank + 1);
  return word;
}

template <typename Number>
bool ToNumber(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc{} && end == text.data() + text.size();
}

class Audit {
 public:
  Audit(int64_t opening, const Rows& accounts, const Rows& traces)
      : opening_(opening), accounts_(accounts), traces_(traces) {}

  void Judge(const Transfer& transfer) {
    const auto place = traces_.find(transfer.trace_key);
    if (place == traces_.end()) {
      if (transfer.outcome == Outcome::kApplied) {
        Add("acknowledged and not there: {} {}", transfer.trace_key, ToText(transfer.trace));
      }
      return;
    }
    explained_.emplace(transfer.trace_key);
    if (transfer.outcome == Outcome::kNotApplied) {
      Add("refused and there: {} {}", transfer.trace_key, place->second);
    } else if (place->second != ToText(transfer.trace)) {
      Add("{} is {} and not {}", transfer.trace_key, place->second, ToText(transfer.trace));
    }
  }

  void JudgeAccounts() {
    std::map<std::string, Account, std::less<>> expected;
    for (const auto& [name, text] : accounts_) expected[name] = {opening_, 0};
    for (const auto& [key, text] : traces_) {
      if (!explained_.contains(key)) Add("nobody wrote {} {}", key, text);
      const std::optional<Trace> trace = ParseTrace(text);
      if (!trace) {
        Add("no trace: {} {}", key, text);
        continue;
      }
      Move(expected[trace->from], -trace->amount);
      Move(expected[trace->to], trace->amount);
    }
    for (const auto& [name, account] : expected) {
      const auto place = accounts_.find(name);
      const std::string there = place == accounts_.end() ? "not there" : place->second;
      if (there != ToText(account)) {
        Add("account {} is {}, by the traces {}", name, there, ToText(account));
      }
    }
  }

  std::vector<std::string> Take() { return std::move(errors_); }

 private:
  static void Move(Account& account, int64_t amount) {
    account.balance += amount;
    ++account.transfers;
  }

  template <typename... Words>
  void Add(fmt::format_string<Words...> form, Words&&... words) {
    errors_.push_back(fmt::format(form, std::forward<Words>(words)...));
  }

  const int64_t opening_;
  const Rows& accounts_;
  const Rows& traces_;
  std::set<std::string, std::less<>> explained_;  // traces
  std::vector<std::string> errors_;
};

}  // namespace

std::string ToText(const Account& account) {
  return fmt::format("{} {}", account.balance, account.transfers);
}

std::optional<Account> ParseAccount(std::string_view text) {
  Account account;
  const std::string_view balance = TakeWord(&text);
  if (!ToNumber(balance, &account.balance) || !ToNumber(text, &account.transfers)) {
    return std::nullopt;
  }
  return account;
}

std::string ToText(const Trace& trace) {
  return fmt::format("{} {} {}", trace.from, trace.to, trace.amount);
}

std::optional<Trace> ParseTrace(std::string_view text) {
  Trace trace;
  trace.from = TakeWord(&text);
  trace.to = TakeWord(&text);
  if (trace.from.empty() || trace.to.empty() || !ToNumber(text, &trace.amount)) {
    return std::nullopt;
  }
  return trace;
}

std::string FindVariance(const Rows& read, uint64_t accounts, int64_t opening, uint64_t least,
                         uint64_t most) {
  if (read.size() != accounts) return fmt::format("{} accounts, not {}", read.size(), accounts);
  int64_t sum = 0;
  uint64_t touched = 0;
  for (const auto& [name, text] : read) {
    const std::optional<Account> account = ParseAccount(text);
    if (!account) return fmt::format("no account: {} {}", name, text);
    if (account->balance < 0) return fmt::format("overdrawn: {} {}", name, text);
    sum += account->balance;
    touched += account->transfers;
  }
  const int64_t expected = opening * static_cast<int64_t>(accounts);
  if (sum != expected) return fmt::format("a sum of {}, not {}", sum, expected);
  if (touched % 2 != 0) return fmt::format("half a transfer: {} accounts touched", touched);
  const uint64_t transfers = touched / 2;
  if (transfers < least) {
    return fmt::format("{} transfers where {} had been acknowledged", transfers, least);
  }
  if (transfers > most) return fmt::format("{} transfers where {} had begun", transfers, most);
  return "";
}

std::vector<std::string> FindBookErrors(const std::vector<Transfer>& transfers, int64_t opening,
                                        const Rows& accounts, const Rows& traces) {
  Audit audit(opening, accounts, traces);
  for (const Transfer& transfer : transfers) audit.Judge(transfer);
  audit.JudgeAccounts();
  return audit.Take();
}

}  // namespace basalt::tools
