#include "tests/unit/check/serial_orders.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace basalt::check {
namespace {

// What a key holds: one value, or a list of them.
struct Held {
  std::vector<std::string> values;
  uint64_t version = 0;  // 0: not told, or nothing was ever written
  uint64_t highest = 0;  // that was known of this key
  int64_t possible_ns = std::numeric_limits<int64_t>::min();  // when its writer began
};
using Contents = std::map<std::string, Held>;

bool IsReadAt(const Transaction& t) { return t.kind == TransactionKind::kReadAt; }
int64_t AskedAt(const Transaction& t) {
  return t.strict() ? t.invoked_ns : t.timestamp_asked_ns.value_or(t.invoked_ns);
}

// A leader's read of one key takes none.
bool TakesToken(const Transaction& t) {
  std::set<std::string> keys;
  bool writes = false;
  for (const check::Step& step : t.steps) {
    keys.insert(step.key);
    writes |= !step.reads();
  }
  return !t.strict() || writes || keys.size() > 1;
}

class Orders {
 public:
  // `versions`: of each transaction; 0: none.
  Orders(const TransactionHistory& history, bool strict, std::vector<uint64_t> versions)
      : history_(history), strict_(strict), versions_(std::move(versions)) {}

  bool Complete(const std::set<size_t>& required) {
    required_ = required;
    return Step(0, {});
  }

 private:
  const Transaction& At(size_t i) const { return history_.transactions[i]; }
  size_t Size() const { return history_.transactions.size(); }
  static bool Has(uint64_t set, size_t i) { return ((set >> i) & 1) != 0; }

  bool Belongs(size_t i) const { return !At(i).aborted() && (!strict_ || At(i).strict()); }
  bool MustBeDone(size_t i) const {
    return Belongs(i) && (At(i).applied() || required_.contains(i));
  }

  bool Precedes(size_t first, size_t second) const {
    const Transaction& a = At(first);
    const Transaction& b = At(second);
    if (!a.applied() || !Belongs(first)) return false;
    if (strict_) return *a.responded_ns < b.invoked_ns;
    if (IsReadAt(a) || IsReadAt(b)) return false;
    if (a.strict() && !b.strict() && *a.responded_ns < AskedAt(b)) return true;
    if (!TakesToken(b)) return false;
    if (a.client == b.client && *a.responded_ns < AskedAt(b)) return true;
    return std::any_of(history_.tokens.begin(), history_.tokens.end(), [&](const TokenPass& pass) {
      return pass.from == first && pass.to == second && *a.responded_ns <= AskedAt(b);
    });
  }

  bool Step(uint64_t done, const Contents& contents) {
    bool complete = true;
    for (size_t i = 0; i < Size(); ++i) complete &= Has(done, i) || !MustBeDone(i);
    if (complete && (!strict_ || ShowsAllLists(contents))) return true;
    for (size_t i = 0; i < Size(); ++i) {
      if (Has(done, i) || !Belongs(i)) continue;
      // A snapshot of unknown outcome says nothing.
      if (!At(i).strict() && !At(i).applied()) continue;
      bool ready = true;
      for (size_t k = 0; k < Size(); ++k) ready &= Has(done, k) || k == i || !Precedes(k, i);
      if (!ready) continue;
      Contents after = contents;
      if (Execute(i, after) && Step(done | (1ULL << i), after)) return true;
    }
    return false;
  }

  // What snapshots found in lists tells in what order the strict ones appended to them.
  bool ShowsAllLists(const Contents& contents) const {
    for (const Transaction& snapshot : history_.transactions) {
      if (snapshot.strict() || !snapshot.applied()) continue;
      for (const check::Step& step : snapshot.steps) {
        if (step.elements.empty()) continue;
        const auto held = contents.find(step.key);
        if (held == contents.end()) return false;
        const std::vector<std::string>& values = held->second.values;
        const auto differ =
            std::mismatch(step.elements.begin(), step.elements.end(), values.begin(), values.end());
        if (differ.first != step.elements.end()) return false;
      }
    }
    return true;
  }

  bool Execute(size_t i, Contents& contents) const {
    const Transaction& transaction = At(i);
    std::set<std::string> written;
    for (const check::Step& step : transaction.steps) {
      Held& held = contents[step.key];
      if (step.reads()) {
        if (!Agrees(step, held, written.contains(step.key), transaction)) return false;
        continue;
      }
      written.insert(step.key);
      if (step.kind != StepKind::kAppend) held.values.clear();
      if (step.value) held.values.push_back(*step.value);
    }
    for (const std::string& key : written) {
      Held& held = contents[key];
      held.version = versions_[i];
      held.possible_ns = transaction.invoked_ns;
      if (held.version == 0) continue;
      if (held.version <= held.highest) return false;
      held.highest = held.version;
    }
    return true;
  }

  static bool Agrees(const check::Step& step, const Held& held, bool own,
                     const Transaction& reader) {
    if (step.kind == StepKind::kReadList) {
      if (step.elements != held.values) return false;
    } else if (step.value ? held.values != std::vector<std::string>{*step.value}
                          : !held.values.empty()) {
      return false;
    }
    if (own) return true;
    if (step.version.value_or(0) != 0 && *step.version != held.version) return false;
    return reader.strict() || held.possible_ns <= *reader.responded_ns;
  }

  const TransactionHistory& history_;
  const bool strict_;
  const std::vector<uint64_t> versions_;
  std::set<size_t> required_;
};

// Each way to give versions to the transactions that have none.
class Versions {
 public:
  explicit Versions(const TransactionHistory& history) : history_(history) {
    BASALT_CHECK(history.transactions.size() <= 10);
    std::set<uint64_t> told{0};
    for (const Transaction& transaction : history.transactions) {
      for (const check::Step& step : transaction.steps) told.insert(step.version.value_or(0));
    }
    told_.assign(told.begin(), told.end());
  }

  bool TryAll() { return Try({}); }

 private:
  bool Try(const std::vector<uint64_t>& versions) {
    const size_t i = versions.size();
    if (i == history_.transactions.size()) return Judge(versions);
    const Transaction& next = history_.transactions[i];
    const uint64_t own = next.applied() ? next.version.value_or(0) : 0;
    const bool open = next.strict() && !next.aborted() && own == 0;
    const std::vector<uint64_t> choices = open ? told_ : std::vector<uint64_t>{own};
    return std::any_of(choices.begin(), choices.end(), [&](uint64_t version) {
      std::vector<uint64_t> more = versions;
      more.push_back(version);
      return Try(more);
    });
  }

  bool Judge(const std::vector<uint64_t>& versions) const {
    // What a snapshot shows happened, for the strict ones too.
    std::set<size_t> required;
    for (const Transaction& snapshot : history_.transactions) {
      if (snapshot.strict() || !snapshot.applied()) continue;
      for (const check::Step& step : snapshot.steps) Require(step, required);
    }
    return Orders(history_, true, versions).Complete(required) &&
           Orders(history_, false, versions).Complete({});
  }

  void Require(const check::Step& read, std::set<size_t>& required) const {
    std::vector<std::string> shown = read.elements;
    if (read.value) shown.push_back(*read.value);
    for (size_t i = 0; i < history_.transactions.size(); ++i) {
      for (const check::Step& step : history_.transactions[i].steps) {
        const bool is_shown = step.value && std::count(shown.begin(), shown.end(), *step.value) > 0;
        if (!step.reads() && step.key == read.key && is_shown) required.insert(i);
      }
    }
  }

  const TransactionHistory& history_;
  std::vector<uint64_t> told_;
};

}  // namespace

bool HasSerialOrders(const TransactionHistory& history) { return Versions(history).TryAll(); }

}  // namespace basalt::check
