#include "tests/unit/check/random_transactions.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace basalt::check {
namespace {

struct Effect {
  int64_t time_ns = 0;
  size_t transaction = 0;
};

Step MakeStep(const TransactionShape& shape, std::string key, const std::string& value,
              base::Random& random) {
  Step step;
  step.key = std::move(key);
  if (random.OneIn(2)) {
    step.kind = shape.lists ? StepKind::kReadList : StepKind::kRead;
    return step;
  }
  step.kind = shape.lists ? StepKind::kAppend : StepKind::kPut;
  if (!shape.lists && shape.deletes_one_in != 0 && random.OneIn(shape.deletes_one_in)) {
    step.kind = StepKind::kDelete;
    return step;
  }
  step.value = value;
  return step;
}

std::vector<Step> MakeSteps(const TransactionShape& shape, bool snapshot, size_t number,
                            base::Random& random) {
  std::vector<Step> steps;
  const size_t count = random.Between(1, shape.steps_max);
  for (size_t i = 0; i < count; ++i) {
    const std::string key = "k" + std::to_string(random.Below(shape.keys));
    const std::string value = std::to_string(number) + "." + std::to_string(i);
    Step step = MakeStep(shape, key, value, random);
    if (snapshot && !step.reads()) continue;
    if (!step.reads() && !shape.blind_writes) {
      steps.push_back({.kind = shape.lists ? StepKind::kReadList : StepKind::kRead, .key = key});
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

// Serially, in the order of the effects.
class Store {
 public:
  Store(const TransactionShape& shape, RandomTransactions& run) : shape_(shape), run_(run) {}

  void Run(Transaction& transaction) {
    ++serial_;
    const uint64_t version = 10 * serial_;
    std::map<std::string, Held> contents = contents_;
    bool wrote = false;
    for (Step& step : transaction.steps) {
      Held& held = contents[step.key];
      if (step.reads()) {
        Answer(step, held);
        continue;
      }
      wrote = true;
      if (step.kind != StepKind::kAppend) held.values.clear();
      if (step.value) held.values.push_back(*step.value);
      held.version = version;
      held.own = true;
    }
    if (!wrote) return;
    for (auto& [key, held] : contents) {
      if (held.version == version && !shape_.lists) {
        run_.stored[key][version] =
            held.values.empty() ? std::nullopt : std::optional(held.values[0]);
      }
      held.own = false;
    }
    contents_ = std::move(contents);
    if (transaction.applied() && shape_.versions) transaction.version = version;
  }

 private:
  struct Held {
    std::vector<std::string> values;
    uint64_t version = 0;
    bool own = false;  // of the transaction under way: has no version yet
  };

  void Answer(Step& step, const Held& held) const {
    if (step.kind == StepKind::kReadList) {
      step.elements = held.values;
    } else if (!held.values.empty()) {
      step.value = held.values[0];
    }
    const bool told = shape_.versions && (!held.values.empty() || shape_.versions_of_deletes);
    if (told && !held.own && held.version != 0) step.version = held.version;
  }

  const TransactionShape& shape_;
  RandomTransactions& run_;
  std::map<std::string, Held> contents_;
  uint64_t serial_ = 0;
};

Transaction MakeCall(const TransactionShape& shape, size_t number, std::vector<int64_t>& free_at,
                     base::Random& random) {
  Transaction call;
  call.client = random.Below(shape.clients);
  if (shape.snapshots_one_in != 0 && random.OneIn(shape.snapshots_one_in)) {
    call.kind = random.OneIn(4) ? TransactionKind::kReadAt : TransactionKind::kSnapshot;
  }
  call.steps = MakeSteps(shape, !call.strict(), number, random);
  int64_t& now = free_at[call.client];
  const int64_t asked = now + static_cast<int64_t>(random.Below(4));
  call.invoked_ns = asked;
  if (call.kind == TransactionKind::kSnapshot && random.OneIn(2)) {
    call.timestamp_asked_ns = asked;
    call.invoked_ns += static_cast<int64_t>(random.Below(6));
  }
  const auto longest = static_cast<uint64_t>(shape.longest_ns);
  now = call.invoked_ns + static_cast<int64_t>(random.Below(longest));
  call.responded_ns = now;
  call.outcome = Outcome::kApplied;
  return call;
}

// Says of a read that it found what another read found, or another transaction wrote.
bool Misread(Transaction& liar, const Transaction& other, base::Random& random) {
  if (liar.steps.empty() || other.steps.empty()) return false;
  Step& step = liar.steps[random.Below(liar.steps.size())];
  const Step found = other.steps[random.Below(other.steps.size())];
  if (!step.reads() || step.key != found.key) return false;
  if (step.kind == StepKind::kReadList && found.kind == StepKind::kReadList) {
    if (step.elements == found.elements) return false;
    step.elements = found.elements;
    step.version = found.version;
  } else if (step.kind == StepKind::kReadList) {
    if (step.elements.empty() || random.OneIn(2)) {
      step.elements.push_back(*found.value);
    } else {
      step.elements.pop_back();
    }
    step.version.reset();
  } else {
    if (step.value == found.value) return false;
    step.value = found.value;
    step.version = found.reads() ? found.version : other.version;
    if (random.OneIn(8)) step.version.reset();
  }
  return true;
}

}  // namespace

RandomTransactions MakeRandomTransactions(const TransactionShape& shape, base::Random& random) {
  RandomTransactions run;
  std::vector<Effect> effects;
  std::vector<int64_t> free_at(shape.clients, 0);
  for (size_t number = 0; number < shape.transactions; ++number) {
    Transaction call = MakeCall(shape, number, free_at, random);
    const int64_t first = call.timestamp_asked_ns.value_or(call.invoked_ns);
    int64_t effect = first + static_cast<int64_t>(random.Between(
                                 0, static_cast<uint64_t>(*call.responded_ns - first)));
    bool happens = true;
    if (call.strict() && shape.aborted_one_in != 0 && random.OneIn(shape.aborted_one_in)) {
      call.outcome = Outcome::kNotApplied;
      happens = false;
    } else if (call.strict() && shape.unknown_one_in != 0 && random.OneIn(shape.unknown_one_in)) {
      call.outcome = Outcome::kUnknown;
      if (random.OneIn(2)) call.responded_ns.reset();
      effect += static_cast<int64_t>(random.Below(2 * static_cast<uint64_t>(shape.longest_ns)));
      happens = !random.OneIn(3);
    }
    if (happens) effects.push_back({effect, number});
    run.history.transactions.push_back(std::move(call));
  }
  std::stable_sort(effects.begin(), effects.end(),
                   [](const Effect& a, const Effect& b) { return a.time_ns < b.time_ns; });
  Store store(shape, run);
  for (const Effect& effect : effects) store.Run(run.history.transactions[effect.transaction]);
  return run;
}

void TellLie(TransactionHistory& history, base::Random& random) {
  std::vector<Transaction>& all = history.transactions;
  Transaction& liar = all[random.Below(all.size())];
  const Transaction& other = all[random.Below(all.size())];
  const uint64_t kind = random.Below(8);
  if (kind == 0) {
    const auto shift = static_cast<int64_t>(random.Between(1, 20));
    liar.invoked_ns += shift;
    if (liar.responded_ns) *liar.responded_ns += shift;
  } else if (kind == 1 && liar.applied() && liar.strict()) {
    liar.outcome = random.OneIn(2) ? Outcome::kNotApplied : Outcome::kUnknown;
    liar.version.reset();
  } else if (kind == 2 && liar.strict() && other.strict() && liar.version && other.version) {
    std::swap(liar.version, all[static_cast<size_t>(&other - all.data())].version);
  } else {
    for (int i = 0; i < 8; ++i) {
      Transaction& reader = all[random.Below(all.size())];
      const Transaction& other_one = all[random.Below(all.size())];
      if (Misread(reader, other_one, random)) return;
    }
  }
}

}  // namespace basalt::check
