#include "tests/unit/check/random_history.h"

#include <algorithm>
#include <string>
#include <utility>

namespace basalt::check {
namespace {

struct Effect {
  int64_t time_ns = 0;
  size_t operation = 0;
};

Operation MakeCall(const HistoryShape& shape, size_t number, base::Random& random) {
  Operation call;
  call.key = "k";
  call.client = random.Below(shape.clients);
  if (random.OneIn(2)) return call;
  if (shape.deletes_one_in != 0 && random.OneIn(shape.deletes_one_in)) {
    call.kind = OperationKind::kDelete;
    return call;
  }
  call.kind = OperationKind::kPut;
  call.value = "v" + std::to_string(shape.values == 0 ? number : random.Below(shape.values));
  return call;
}

// In the order of the effects.
void Apply(std::vector<Effect>& effects, RandomHistory& run) {
  std::stable_sort(effects.begin(), effects.end(),
                   [](const Effect& a, const Effect& b) { return a.time_ns < b.time_ns; });
  VersionsOfKey& versions = run.stored["k"];
  for (const Effect& effect : effects) {
    Operation& operation = run.history[effect.operation];
    if (operation.writes()) {
      const uint64_t version = 10 * (versions.size() + 1);
      versions[version] = operation.value;
      if (operation.applied()) operation.version = version;
    } else if (!versions.empty() && versions.rbegin()->second) {
      operation.value = versions.rbegin()->second;
      operation.version = versions.rbegin()->first;
    }
  }
}

}  // namespace

RandomHistory MakeRandomHistory(const HistoryShape& shape, base::Random& random) {
  RandomHistory run;
  std::vector<Effect> effects;
  std::vector<int64_t> free_at(shape.clients, 0);
  for (size_t number = 0; number < shape.operations; ++number) {
    Operation call = MakeCall(shape, number, random);
    int64_t& now = free_at[call.client];
    call.invoked_ns = now + static_cast<int64_t>(random.Below(4));
    now = call.invoked_ns + static_cast<int64_t>(random.Below(shape.longest_ns));
    const int64_t effect =
        call.invoked_ns + static_cast<int64_t>(random.Between(0, now - call.invoked_ns));
    call.responded_ns = now;
    call.outcome = Outcome::kApplied;
    if (call.writes() && shape.refused_one_in != 0 && random.OneIn(shape.refused_one_in)) {
      call.outcome = Outcome::kNotApplied;
    } else if (call.writes() && shape.unknown_one_in != 0 && random.OneIn(shape.unknown_one_in)) {
      call.outcome = Outcome::kUnknown;
      if (random.OneIn(2)) call.responded_ns.reset();
      const auto later = static_cast<int64_t>(random.Below(3 * shape.longest_ns));
      if (!random.OneIn(3)) effects.push_back({call.invoked_ns + later, number});
    } else if (!call.writes() && random.OneIn(10)) {
      call.outcome = random.OneIn(2) ? Outcome::kUnknown : Outcome::kNotApplied;
    } else {
      effects.push_back({effect, number});
    }
    run.history.push_back(std::move(call));
  }
  Apply(effects, run);
  return run;
}

void TellLie(RandomHistory& run, base::Random& random) {
  Operation& liar = run.history[random.Below(run.history.size())];
  const Operation& other = run.history[random.Below(run.history.size())];
  if (!liar.applied()) {
    // What was refused or nobody heard of is now said to have happened.
    if (!liar.responded_ns) liar.responded_ns = liar.invoked_ns + 1;
    liar.outcome = Outcome::kApplied;
  } else if (liar.writes()) {
    if (random.OneIn(2)) {
      liar.outcome = Outcome::kNotApplied;
      liar.version.reset();
    } else if (other.version) {
      std::swap(liar.version, run.history[&other - run.history.data()].version);
    }
  } else if (random.OneIn(2)) {
    liar.value = other.value;
    liar.version = other.value ? other.version : std::nullopt;
  } else {
    // Shifted in time.
    const auto shift = static_cast<int64_t>(random.Between(1, 12));
    liar.invoked_ns += shift;
    liar.responded_ns = *liar.responded_ns + shift;
  }
}

}  // namespace basalt::check
