#include "tests/unit/check/brute_force.h"

#include <set>
#include <utility>

#include "base/check.h"

namespace basalt::check {
namespace {

using Value = std::optional<std::string>;

class BruteForce {
 public:
  BruteForce(const History& history, bool remembers) : remembers_(remembers) {
    for (const Operation& operation : history) {
      if (operation.writes() ? !operation.refused() : operation.applied()) {
        operations_.push_back(&operation);
      }
    }
    BASALT_CHECK(operations_.size() <= 64);
  }

  // `done`: a bit for each operation that stands in the order already; `value` is behind them.
  bool Complete(uint64_t done, const Value& value) {
    if (remembers_ && !tried_.emplace(done, value).second) return false;
    bool all_done = true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (!Has(done, i) && operations_[i]->applied()) all_done = false;
    }
    if (all_done) return true;
    for (size_t i = 0; i < operations_.size(); ++i) {
      if (Has(done, i) || !MayBeNext(done, i)) continue;
      const Operation& next = *operations_[i];
      if (!next.writes() && next.value != value) continue;
      if (Complete(done | (1ULL << i), next.value)) return true;
    }
    return false;
  }

 private:
  static bool Has(uint64_t set, size_t i) { return ((set >> i) & 1) != 0; }

  bool MayBeNext(uint64_t done, size_t i) const {
    for (size_t other = 0; other < operations_.size(); ++other) {
      if (Has(done, other) || !operations_[other]->applied()) continue;
      if (*operations_[other]->responded_ns < operations_[i]->invoked_ns) return false;
    }
    return true;
  }

  const bool remembers_;
  std::vector<const Operation*> operations_;
  std::set<std::pair<uint64_t, Value>> tried_;
};

}  // namespace

bool HasOrder(const History& history) { return BruteForce(history, false).Complete(0, {}); }
bool HasOrderBySets(const History& history) { return BruteForce(history, true).Complete(0, {}); }

History KnownAt(const History& history, int64_t time_ns) {
  History known;
  for (Operation operation : history) {
    if (operation.invoked_ns > time_ns) continue;
    if (operation.applied() && *operation.responded_ns > time_ns) {
      operation.responded_ns.reset();
      operation.outcome = Outcome::kUnknown;
    }
    known.push_back(std::move(operation));
  }
  return known;
}

}  // namespace basalt::check
