#include "check/lease_exclusion.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "check/history.h"

namespace basalt::check {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// The first sign that a term had a leader.
struct Sign {
  uint64_t term = 0;
  uint64_t node = 0;
  int64_t time_ns = kNever;
  bool of_write = false;
};

struct TermOfGroup {
  std::map<uint64_t, LeaseUse> uses;  // by node, merged
  std::optional<Sign> first_write;
  std::optional<Sign> first_sign;  // a write or a read
};

void KeepEarlier(std::optional<Sign>& kept, const Sign& sign) {
  if (!kept || sign.time_ns < kept->time_ns) kept = sign;
}

void Merge(LeaseUse& merged, const LeaseUse& use) {
  merged.first_check_ns = std::min(merged.first_check_ns, use.first_check_ns);
  merged.last_check_ns = std::max(merged.last_check_ns, use.last_check_ns);
  merged.last_invoked_ns = std::max(merged.last_invoked_ns, use.last_invoked_ns);
}

std::string Holder(const LeaseUse& use) {
  return "group " + std::to_string(use.group) + ": node " + std::to_string(use.node) +
         " served reads by its lease of term " + std::to_string(use.term);
}

std::string DescribeSign(const Sign& sign) {
  return "node " + std::to_string(sign.node) +
         (sign.of_write ? " acknowledged a write" : " served a read") + " of term " +
         std::to_string(sign.term) + " at " + DescribeTime(sign.time_ns);
}

// `sign`, `write`: the first of any later term, if there is one.
void Judge(const LeaseUse& use, const std::optional<Sign>& sign, const std::optional<Sign>& write,
           std::vector<std::string>& violations) {
  if (!sign || use.last_check_ns <= sign->time_ns) return;
  std::string line =
      Holder(use) + " until " + DescribeTime(use.last_check_ns) + ", though " + DescribeSign(*sign);
  if (write && use.last_invoked_ns > write->time_ns) {
    line += "; one was invoked only at " + DescribeTime(use.last_invoked_ns) + ", after " +
            DescribeSign(*write) + ", and may be stale";
  }
  violations.push_back(std::move(line));
}

}  // namespace

std::vector<std::string> FindLeaseViolations(const std::vector<LeaseUse>& uses,
                                             const std::vector<TermWrite>& writes) {
  std::map<uint64_t, std::map<uint64_t, TermOfGroup>> groups;
  for (const LeaseUse& use : uses) {
    BASALT_CHECK(use.first_check_ns <= use.last_check_ns);
    TermOfGroup& of_term = groups[use.group][use.term];
    Merge(of_term.uses.try_emplace(use.node, use).first->second, use);
    KeepEarlier(of_term.first_sign, {use.term, use.node, use.first_check_ns, false});
  }
  for (const TermWrite& write : writes) {
    TermOfGroup& of_term = groups[write.group][write.term];
    const Sign sign{write.term, write.node, write.acknowledged_ns, true};
    KeepEarlier(of_term.first_write, sign);
    KeepEarlier(of_term.first_sign, sign);
  }
  std::vector<std::string> violations;
  for (const auto& [group, terms] : groups) {
    std::optional<Sign> later_sign;
    std::optional<Sign> later_write;
    for (auto term = terms.rbegin(); term != terms.rend(); ++term) {
      const TermOfGroup& of_term = term->second;
      for (const auto& [node, use] : of_term.uses) Judge(use, later_sign, later_write, violations);
      if (of_term.uses.size() > 1) {
        violations.push_back(Holder(of_term.uses.begin()->second) + ", and so did node " +
                             std::to_string(of_term.uses.rbegin()->first));
      }
      if (of_term.first_sign) KeepEarlier(later_sign, *of_term.first_sign);
      if (of_term.first_write) KeepEarlier(later_write, *of_term.first_write);
    }
  }
  return violations;
}

}  // namespace basalt::check
