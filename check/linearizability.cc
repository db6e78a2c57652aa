#include "check/linearizability.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace basalt::check {
namespace {

using Operations = std::vector<const Operation*>;
using Value = std::optional<std::string_view>;

constexpr int64_t kEndOfTime = std::numeric_limits<int64_t>::max();
constexpr int64_t kBeforeAll = std::numeric_limits<int64_t>::min();

// One key's operations, of which any part can be searched.
class KeyJudge {
 public:
  KeyJudge(const Operations& operations, uint64_t choices_max)
      : all_(operations), choices_max_(choices_max) {
    for (const Operation* operation : operations) {
      const bool counts = operation->writes() ? !operation->refused() : operation->applied();
      if (counts) operations_.push_back(operation);
    }
  }

  uint64_t choices() const { return choices_; }

  Verdict Decide() { return Search(operations_, kEndOfTime); }

  // Of a history that is none.
  LinearizabilityViolation Explain() {
    LinearizabilityViolation violation;
    violation.key = operations_.front()->key;
    violation.prefix_ends_ns = end_ns_ = FindEnd();
    Operations prefix = Prefix();
    violation.prefix_operations = prefix.size();
    for (const Operation* operation : WithSources(Shrink(std::move(prefix)))) {
      violation.witness.push_back(*operation);
    }
    return violation;
  }

 private:
  // When `operation` had answered with success, seen at `end_ns`.
  static int64_t Answered(const Operation& operation, int64_t end_ns) {
    if (!operation.applied() || *operation.responded_ns > end_ns) return kNeverAnswered;
    return *operation.responded_ns;
  }

  // What was known at `end_ns` of some operations.
  Verdict Search(const Operations& operations, int64_t end_ns) {
    std::map<Value, uint32_t> numbers{{std::nullopt, 0}};
    std::vector<RegisterCall> calls;
    for (const Operation* operation : operations) {
      const int64_t answered = Answered(*operation, end_ns);
      if (operation->invoked_ns > end_ns) continue;
      if (!operation->writes() && answered == kNeverAnswered) continue;
      const auto [number, is_new] =
          numbers.try_emplace(operation->value, static_cast<uint32_t>(numbers.size()));
      calls.push_back({operation->writes(), number->second, operation->invoked_ns, answered});
    }
    SearchResult result = SearchOrder(calls, choices_max_);
    choices_ += result.choices;
    return result.verdict;
  }

  // The first answer up to which there is no order. Whatever follows a part that has none has
  // none, so halving finds it.
  int64_t FindEnd() {
    std::vector<int64_t> answers;
    for (const Operation* operation : operations_) {
      if (operation->applied()) answers.push_back(*operation->responded_ns);
    }
    std::sort(answers.begin(), answers.end());
    size_t low = 0;  // the answer looked for is at or above this place
    for (size_t high = answers.size() - 1; low < high;) {
      const size_t middle = low + (high - low) / 2;
      if (Search(operations_, answers[middle]) == Verdict::kViolation) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return answers[low];
  }

  Operations Prefix() const {
    Operations prefix;
    for (const Operation* operation : operations_) {
      const bool read_in_time = operation->writes() || Answered(*operation, end_ns_) <= end_ns_;
      if (operation->invoked_ns <= end_ns_ && read_in_time) prefix.push_back(operation);
    }
    return prefix;
  }

  // Leaves out ever smaller pieces as long as what is left cannot be ordered (Zeller and
  // Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).
  Operations Shrink(Operations operations) {
    for (size_t piece = (operations.size() + 1) / 2; piece > 0;) {
      bool shrunk = false;
      for (size_t from = 0; from < operations.size();) {
        Operations left = LeaveOut(operations, from, std::min(from + piece, operations.size()));
        if (left.size() < operations.size() && Search(left, end_ns_) == Verdict::kViolation) {
          operations = std::move(left);
          shrunk = true;
        } else {
          from += piece;
        }
      }
      if (piece > 1) {
        piece = piece / 2;
      } else if (!shrunk) {
        break;
      }
    }
    return operations;
  }

  // `operations` without what may be left out of [from, to) and could not make an order impossible:
  // any read; and a write w if none of the reads that stay can have read from it. Each of those of
  // its value answered before w was invoked, or was invoked after another write, which stays and
  // was itself invoked after w had answered, had answered. Then an order of everything, without
  // what is left out, explains what stays. For the sake of whoever reads the witness, one write of
  // each value that is read stays nevertheless.
  Operations LeaveOut(const Operations& operations, size_t from, size_t to) const {
    const std::map<int64_t, int64_t> covers = Covers(operations, from, to);
    std::map<Value, Operations> reads;  // that stay
    std::set<Value> written{std::nullopt};
    for (size_t i = 0; i < operations.size(); ++i) {
      if (i >= from && i < to) continue;
      if (operations[i]->writes()) {
        written.insert(operations[i]->value);
      } else {
        reads[operations[i]->value].push_back(operations[i]);
      }
    }
    Operations left(operations.begin() + static_cast<std::ptrdiff_t>(to), operations.end());
    std::reverse(left.begin(), left.end());
    for (size_t i = to; i-- > 0;) {
      const Operation& operation = *operations[i];
      bool stays = i < from;
      const auto readers = reads.find(operation.value);
      if (!stays && operation.writes() && readers != reads.end()) {
        stays =
            written.insert(operation.value).second || MayBeRead(operation, readers->second, covers);
      }
      if (stays) left.push_back(&operation);
    }
    std::reverse(left.begin(), left.end());
    return left;
  }

  bool MayBeRead(const Operation& write, const Operations& reads,
                 const std::map<int64_t, int64_t>& covers) const {
    return std::any_of(reads.begin(), reads.end(), [&](const Operation* read) {
      if (*read->responded_ns < write.invoked_ns) return false;
      const auto cover = covers.lower_bound(read->invoked_ns);
      return cover == covers.begin() || Answered(write, end_ns_) >= std::prev(cover)->second;
    });
  }

  // Time -> the latest invocation among the writes that stay and had answered by then.
  std::map<int64_t, int64_t> Covers(const Operations& operations, size_t from, size_t to) const {
    std::map<int64_t, int64_t> covers;
    for (size_t i = 0; i < operations.size(); ++i) {
      if ((i >= from && i < to) || !operations[i]->writes()) continue;
      const int64_t answered = Answered(*operations[i], end_ns_);
      if (answered == kNeverAnswered) continue;
      int64_t& invoked = covers.try_emplace(answered, kBeforeAll).first->second;
      invoked = std::max(invoked, operations[i]->invoked_ns);
    }
    int64_t latest = kBeforeAll;
    for (auto& [answered, invoked] : covers) latest = invoked = std::max(latest, invoked);
    return covers;
  }

  // Where a value was read that no write in question explains: with the writes that would, had they
  // not been refused or invoked too late. They do not change the verdict.
  Operations WithSources(Operations witness) const {
    std::set<Value> written{std::nullopt};
    std::set<Value> read;
    for (const Operation* operation : witness) {
      (operation->writes() ? written : read).insert(operation->value);
    }
    for (const Operation* operation : all_) {
      if (!operation->writes() || !operation->value) continue;
      if (!read.contains(operation->value) || written.contains(operation->value)) continue;
      witness.push_back(operation);
    }
    std::stable_sort(witness.begin(), witness.end(),
                     [](const auto* a, const auto* b) { return a->invoked_ns < b->invoked_ns; });
    return witness;
  }

  const Operations& all_;
  const uint64_t choices_max_;
  Operations operations_;  // those that count
  int64_t end_ns_ = kEndOfTime;
  uint64_t choices_ = 0;
};

}  // namespace

LinearizabilityReport CheckLinearizability(const History& history,
                                           const LinearizabilityOptions& options) {
  LinearizabilityReport report;
  for (const auto& [key, operations] : ByKey(history)) {
    KeyJudge judge(operations, options.choices_max);
    const Verdict verdict = judge.Decide();
    if (verdict == Verdict::kViolation) report.violations.push_back(judge.Explain());
    if (verdict == Verdict::kUndecided) report.undecided_keys.emplace_back(key);
    report.choices += judge.choices();
  }
  if (!report.violations.empty()) {
    report.verdict = Verdict::kViolation;
  } else if (!report.undecided_keys.empty()) {
    report.verdict = Verdict::kUndecided;
  }
  return report;
}

std::vector<std::string> Describe(const LinearizabilityReport& report) {
  std::vector<std::string> lines;
  for (const LinearizabilityViolation& violation : report.violations) {
    lines.push_back("not linearizable: " + DescribeBytes(violation.key) +
                    ": no order for its first " + std::to_string(violation.prefix_operations) +
                    " operations, up to the answer at " + DescribeTime(violation.prefix_ends_ns) +
                    "; nor for these " + std::to_string(violation.witness.size()) + " of them:");
    for (const Operation& operation : violation.witness) {
      lines.push_back("  " + Describe(operation));
    }
  }
  for (const std::string& key : report.undecided_keys) {
    lines.push_back("linearizability undecided: " + DescribeBytes(key) +
                    ": too many orders to try");
  }
  return lines;
}

}  // namespace basalt::check
