#include "tests/unit/check/true_cycle.h"

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace basalt::check {
namespace {

class Witness {
 public:
  explicit Witness(const TransactionHistory& history) : history_(history) {
    std::set<std::string> keys;
    for (const Transaction& transaction : history.transactions) {
      for (const Step& step : transaction.steps) keys.insert(step.key);
    }
    keys_.assign(keys.begin(), keys.end());
  }

  bool Holds(const IsolationViolation& violation) const {
    const bool strict = std::all_of(violation.transactions.begin(), violation.transactions.end(),
                                    [this](uint32_t i) { return At(i).strict(); });
    for (size_t i = 0; i < violation.cycle.size(); ++i) {
      const Edge& edge = violation.cycle[i];
      // Where snapshots take part, time orders what was acknowledged before them, nothing else.
      if (edge.kind == DependencyKind::kRealTime && At(edge.to).strict() != strict) return false;
      if (edge.to != violation.cycle[(i + 1) % violation.cycle.size()].from) return false;
      if (violation.transactions[i] != edge.from || !Holds(edge)) return false;
    }
    return !violation.cycle.empty();
  }

 private:
  const Transaction& At(uint32_t i) const { return history_.transactions[i]; }

  bool Holds(const Edge& edge) const {
    const Transaction& from = At(edge.from);
    const Transaction& to = At(edge.to);
    const int64_t begin = to.timestamp_asked_ns.value_or(to.invoked_ns);
    switch (edge.kind) {
      case DependencyKind::kRealTime:
        return from.applied() && *from.responded_ns < begin && from.strict() &&
               to.kind != TransactionKind::kReadAt;
      case DependencyKind::kSession:
        return from.applied() && *from.responded_ns <= begin && IsPassed(edge);
      case DependencyKind::kWriteWrite:
        // Or before what the other read, where nobody is known to have written that.
        return AnyWriteIsBefore(edge) ||
               (ReadOf(to, edge.key) != nullptr && WriteOf(from, edge.key) != nullptr &&
                IsBefore(StateOf(from, edge.key), SeenBy(*ReadOf(to, edge.key)), edge));
      case DependencyKind::kWriteRead:
        return ReadOf(to, edge.key) != nullptr && Shows(*ReadOf(to, edge.key), from, edge.key);
      case DependencyKind::kReadWrite:
        return ReadOf(from, edge.key) != nullptr && WriteOf(to, edge.key) != nullptr &&
               IsBefore(SeenBy(*ReadOf(from, edge.key)), StateOf(to, edge.key), edge);
      case DependencyKind::kThrough:
        break;
    }
    return false;
  }

  // Of lists a transaction may have appended several elements.
  bool AnyWriteIsBefore(const Edge& edge) const {
    const auto states = [this, &edge](uint32_t writer) {
      std::vector<State> all;
      for (const Step& step : At(writer).steps) {
        const bool counts =
            step.kind == StepKind::kAppend || &step == WriteOf(At(writer), edge.key);
        if (step.reads() || step.key != keys_[edge.key] || !counts) continue;
        all.push_back(StateOf(At(writer), edge.key));
        all.back().value = step.value;
      }
      return all;
    };
    for (const State& first : states(edge.from)) {
      for (const State& second : states(edge.to)) {
        if (IsBefore(first, second, edge)) return true;
      }
    }
    return false;
  }

  bool IsPassed(const Edge& edge) const {
    if (At(edge.from).client == At(edge.to).client) return true;
    return std::any_of(history_.tokens.begin(), history_.tokens.end(), [&](const TokenPass& pass) {
      return pass.from == edge.from && pass.to == edge.to;
    });
  }

  const Step* WriteOf(const Transaction& transaction, uint32_t key) const {
    const Step* last = nullptr;
    for (const Step& step : transaction.steps) {
      if (!step.reads() && step.key == keys_[key]) last = &step;
    }
    return last;
  }
  const Step* ReadOf(const Transaction& transaction, uint32_t key) const {
    for (const Step& step : transaction.steps) {
      if (step.key != keys_[key]) continue;
      if (step.reads()) return &step;
      if (step.kind != StepKind::kAppend) return nullptr;
    }
    return nullptr;
  }

  // Where in the order of a key a write or what was read stands, as far as this one says.
  struct State {
    uint64_t version = 0;
    std::optional<std::string> value;  // of a register, or the newest element
    const std::vector<std::string>* list = nullptr;
    const Transaction* made_by = nullptr;
  };

  State StateOf(const Transaction& writer, uint32_t key) const {
    State state{.value = WriteOf(writer, key)->value, .made_by = &writer};
    if (writer.applied()) state.version = writer.version.value_or(0);
    if (state.version == 0) state.version = ToldVersionOf(writer);
    return state;
  }
  State SeenBy(const Step& read) const {
    State state{.version = read.version.value_or(0), .value = read.value};
    if (read.kind == StepKind::kReadList) state.list = &read.elements;
    for (const Transaction& transaction : history_.transactions) {
      for (const Step& step : transaction.steps) {
        if (step.reads() || step.key != read.key || !read.value || step.value != read.value)
          continue;
        state.made_by = &transaction;
        if (state.version != 0) continue;
        state.version = transaction.applied() ? transaction.version.value_or(0) : 0;
        if (state.version == 0) state.version = ToldVersionOf(transaction);
      }
    }
    return state;
  }
  // To somebody who read one of its writes.
  uint64_t ToldVersionOf(const Transaction& writer) const {
    const auto is_taken = [this](uint64_t version) {
      return std::any_of(history_.transactions.begin(), history_.transactions.end(),
                         [version](const Transaction& t) { return t.version == version; });
    };
    for (const Transaction& reader : history_.transactions) {
      for (const Step& read : reader.steps) {
        const bool list = !read.elements.empty();
        if (!read.reads() || !read.version || reader.aborted()) continue;
        if (!list && !read.value && is_taken(*read.version)) continue;
        const auto value = list ? std::optional(read.elements.back()) : read.value;
        for (const Step& write : writer.steps) {
          if (!write.reads() && write.key == read.key && write.value == value) return *read.version;
        }
      }
    }
    return 0;
  }

  bool Shows(const Step& read, const Transaction& writer, uint32_t key) const {
    for (const Step& step : writer.steps) {
      if (step.reads() || step.key != keys_[key]) continue;
      if (read.kind == StepKind::kReadList) {
        if (std::count(read.elements.begin(), read.elements.end(), *step.value) > 0) return true;
      } else if (step.value == read.value) {
        const uint64_t version = StateOf(writer, key).version;
        if (step.value || !read.version || version == 0 || *read.version == version) return true;
      }
    }
    return false;
  }

  bool IsBefore(const State& first, const State& second, const Edge& edge, int depth = 6) const {
    if (depth == 0 || (first.made_by != nullptr && first.made_by == second.made_by)) return false;
    if (first.list != nullptr) {
      return std::count(first.list->begin(), first.list->end(), *second.value) == 0;
    }
    if (const std::vector<std::string>* list = LongestWith(first, edge.key)) {
      const auto at = [&](const State& s) {
        return std::find(list->begin(), list->end(), *s.value);
      };
      if (at(first) < at(second)) return true;
    }
    if (first.version != 0 && second.version != 0) return first.version < second.version;
    if (first.made_by == nullptr && !first.value && first.version == 0) return true;
    // Whoever read a key and wrote it stands directly behind what it read.
    const Step* read = second.made_by != nullptr ? ReadOf(*second.made_by, edge.key) : nullptr;
    if (read != nullptr && read->kind == StepKind::kRead) {
      if (read->value == first.value) return true;
      if (IsBefore(first, SeenBy(*read), edge, depth - 1)) return true;
    }
    const Step* own = first.made_by != nullptr ? ReadOf(*first.made_by, edge.key) : nullptr;
    return own != nullptr && IsBefore(SeenBy(*own), second, edge, depth - 1);
  }

  // Of one whose outcome is unknown only if nobody else saw it: it may not have committed.
  const std::vector<std::string>* LongestWith(const State& state, uint32_t key) const {
    if (!state.value) return nullptr;
    const std::vector<std::string>* longest = nullptr;
    for (const bool applied : {true, false}) {
      for (const Transaction& transaction : history_.transactions) {
        if (transaction.aborted() || transaction.applied() != applied) continue;
        for (const Step& step : transaction.steps) {
          if (step.kind != StepKind::kReadList || step.key != keys_[key]) continue;
          const bool has = std::count(step.elements.begin(), step.elements.end(), *state.value) > 0;
          if (has && (longest == nullptr || longest->size() < step.elements.size())) {
            longest = &step.elements;
          }
        }
      }
      if (longest != nullptr) break;
    }
    return longest;
  }

  const TransactionHistory& history_;
  std::vector<std::string> keys_;
};

}  // namespace

bool IsTrueCycle(const IsolationViolation& violation, const TransactionHistory& history) {
  return Witness(history).Holds(violation);
}

}  // namespace basalt::check
