#include "check/bank.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

namespace basalt::check {
namespace {

std::optional<int64_t> BalanceOf(const std::optional<std::string>& value) {
  if (!value) return std::nullopt;
  int64_t balance = 0;
  const char* const end = value->data() + value->size();
  const auto [rest, error] = std::from_chars(value->data(), end, balance);
  if (error != std::errc() || rest != end) return std::nullopt;
  return balance;
}

std::string Describe(const Transfer& transfer) {
  return "transfer of " + std::to_string(transfer.amount) + " from " +
         DescribeBytes(transfer.from) + " to " + DescribeBytes(transfer.to) + " by client " +
         std::to_string(transfer.client) + " [" + DescribeTime(transfer.invoked_ns) + ", " +
         (transfer.responded_ns ? DescribeTime(*transfer.responded_ns) : "no answer") + "]";
}

// What is wrong with the balances that one transaction found, if it asked for all.
std::string JudgeSum(const Transaction& transaction, const Bank& opening, int64_t expected) {
  std::map<std::string_view, const Step*> found;
  std::map<std::string_view, const Step*> written;
  for (const Step& step : transaction.steps) {
    if (!opening.contains(step.key)) continue;
    if (step.kind != StepKind::kRead) {
      written.emplace(step.key, &step);
    } else if (!written.contains(step.key)) {
      found.emplace(step.key, &step);
    }
  }
  if (found.size() < opening.size()) return "";
  int64_t sum = 0;
  for (const auto& [account, step] : found) {
    const std::optional<int64_t> balance = BalanceOf(step->value);
    if (!balance) return "no balance in " + Describe(*step);
    if (*balance < 0) return "overdrawn in " + Describe(*step);
    sum += *balance;
  }
  if (sum == expected) return "";
  return "a sum of " + std::to_string(sum) + " and not " + std::to_string(expected);
}

class Ledger {
 public:
  Ledger(const std::vector<Transfer>& transfers, const Bank& opening, const StoredVersions& stored)
      : transfers_(transfers), opening_(opening), stored_(stored) {}

  std::vector<std::string> Decide() {
    for (const auto& [account, balance] : opening_) ReadAccount(account, balance);
    std::erase_if(legs_, [this](const auto& of) { return IsUneven(of.first, of.second); });
    ClaimAcknowledged();
    ClaimUnknown();
    for (const auto& [version, legs] : legs_) {
      if (!legs.empty()) Add(DescribeUnclaimed(version, legs));
    }
    return std::move(violations_);
  }

 private:
  using Legs = std::map<std::string_view, int64_t>;  // account -> by how much it changed

  void Add(std::string text) { violations_.push_back(std::move(text)); }

  void ReadAccount(std::string_view account, int64_t opening) {
    const auto place = stored_.find(account);
    if (place == stored_.end() || place->second.empty()) {
      Add("account " + DescribeBytes(account) + " is not stored");
      return;
    }
    std::optional<int64_t> before;
    for (const auto& [version, value] : place->second) {
      const std::optional<int64_t> balance = BalanceOf(value);
      if (!balance) {
        Add("no balance in " + DescribeBytes(account) + " at version " + std::to_string(version));
        return;
      }
      if (before) {
        legs_[version][account] = *balance - *before;
      } else if (*balance != opening) {
        Add("account " + DescribeBytes(account) + " opens with " + std::to_string(*balance) +
            " and not " + std::to_string(opening));
      }
      before = balance;
    }
  }

  static std::string DescribeLegs(uint64_t version, const Legs& legs) {
    std::string text = "no transfer at version " + std::to_string(version) + ":";
    for (const auto& [account, change] : legs) {
      text += " " + DescribeBytes(account) + " by " + std::to_string(change);
    }
    return text;
  }

  // Of legs that nobody has claimed, and whose sum is nothing.
  static std::string DescribeUnclaimed(uint64_t version, const Legs& legs) {
    if (legs.size() != 2) return DescribeLegs(version, legs);
    const bool first_pays = legs.begin()->second < 0;
    const auto& from = first_pays ? *legs.begin() : *legs.rbegin();
    const auto& to = first_pays ? *legs.rbegin() : *legs.begin();
    return "a change that no transfer explains: " + std::to_string(to.second) + " from " +
           DescribeBytes(from.first) + " to " + DescribeBytes(to.first) + " at version " +
           std::to_string(version);
  }

  // Several transfers may have one version, of different accounts: shards stamp by clocks of their
  // own.
  bool IsUneven(uint64_t version, const Legs& legs) {
    int64_t sum = 0;
    for (const auto& [account, change] : legs) sum += change;
    if (sum == 0) return false;
    Add(DescribeLegs(version, legs));
    return true;
  }

  void ClaimAcknowledged() {
    std::vector<const Transfer*> unversioned;
    for (const Transfer& transfer : transfers_) {
      if (!transfer.responded_ns || transfer.outcome != Outcome::kApplied) continue;
      if (!transfer.version) {
        unversioned.push_back(&transfer);
        continue;
      }
      const auto place = legs_.find(*transfer.version);
      if (place == legs_.end() || !Claim(place->second, transfer)) {
        Add("acknowledged and not stored at version " + std::to_string(*transfer.version) + ": " +
            Describe(transfer));
      }
    }
    for (const Transfer* transfer : unversioned) {
      if (!ClaimAny(*transfer)) Add("acknowledged and not stored: " + Describe(*transfer));
    }
  }

  void ClaimUnknown() {
    for (const Transfer& transfer : transfers_) {
      if (!transfer.responded_ns || transfer.outcome == Outcome::kUnknown) ClaimAny(transfer);
    }
  }

  // Those of one amount between the same accounts are as good as each other.
  bool ClaimAny(const Transfer& transfer) {
    return std::any_of(legs_.begin(), legs_.end(),
                       [&](auto& of) { return Claim(of.second, transfer); });
  }

  // False: the transfer's two legs are not both there. An account has one at a version at most.
  static bool Claim(Legs& legs, const Transfer& transfer) {
    const auto from = legs.find(transfer.from);
    const auto to = legs.find(transfer.to);
    const bool fits = from != legs.end() && to != legs.end() && from != to &&
                      from->second == -transfer.amount && to->second == transfer.amount;
    if (!fits) return false;
    legs.erase(from);
    legs.erase(to);
    return true;
  }

  const std::vector<Transfer>& transfers_;
  const Bank& opening_;
  const StoredVersions& stored_;
  std::map<uint64_t, Legs> legs_;  // by version; that nobody has claimed yet
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> FindSumViolations(const TransactionHistory& history, const Bank& opening) {
  int64_t expected = 0;
  for (const auto& [account, balance] : opening) expected += balance;
  std::vector<std::string> violations;
  for (const Transaction& transaction : history.transactions) {
    if (!transaction.applied()) continue;
    const std::string wrong = JudgeSum(transaction, opening, expected);
    if (!wrong.empty()) violations.push_back(wrong + ": " + Describe(transaction));
  }
  return violations;
}

std::vector<std::string> FindTransferViolations(const std::vector<Transfer>& transfers,
                                                const Bank& opening, const StoredVersions& stored) {
  return Ledger(transfers, opening, stored).Decide();
}

}  // namespace basalt::check
