#include "server/txn/prepare.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "server/txn/conflict.h"

namespace basalt::txn {
namespace {

using Verdict = PrepareAnswer::Verdict;

PrepareAnswer Refusal(Verdict verdict) {
  PrepareAnswer answer;
  answer.verdict = verdict;
  return answer;
}

bool OwnsAll(const ShardState& state, const Prepare& prepare) {
  return std::all_of(prepare.parts.begin(), prepare.parts.end(),
                     [&state](const Part& part) { return state.range.Contains(part.slot); });
}

PrepareAnswer RefusalFor(Obstacle obstacle) {
  PrepareAnswer answer = Refusal(obstacle.changed ? Verdict::kChanged : Verdict::kLocked);
  answer.changed = std::move(obstacle.changed).value_or("");
  answer.blocker = std::move(obstacle.blocker);
  return answer;
}

Prepared LocksOf(const Part& part, const Age& age, Stamp stamp) {
  Prepared prepared{age, stamp, {}};
  std::set<std::string_view> written;
  for (const Write& write : part.writes) {
    prepared.keys.push_back({write.key, LockMode::kExclusive, write.value});
    written.insert(write.key);
  }
  for (const Read& read : part.reads) {
    if (written.contains(read.key)) continue;
    prepared.keys.push_back({read.key, LockMode::kShared, std::nullopt});
  }
  return prepared;
}

PrepareAnswer Granted(const ShardState& state, const Prepare& prepare, VersionStore& store) {
  PrepareAnswer answer;
  for (const Part& part : prepare.parts) {
    answer.prepared = std::max(answer.prepared, state.prepared.at({prepare.id, part.slot}).stamp);
  }
  if (!prepare.compares_versions) answer.values = ReadAll(prepare.parts, store);
  return answer;
}

}  // namespace

PrepareAnswer ApplyPrepare(ShardState& state, const Prepare& prepare, Stamp stamp,
                           VersionStore& store) {
  const TxnId& id = prepare.id;
  BASALT_CHECK(stamp > id.issued);
  if (!OwnsAll(state, prepare)) return Refusal(Verdict::kNotOwner);
  if (const std::optional<Decision> decision = FindDecision(state, id)) {
    PrepareAnswer answer = Refusal(Verdict::kDecided);
    answer.outcome = decision->outcome;
    return answer;
  }
  std::vector<const Part*> fresh;
  for (const Part& part : prepare.parts) {
    if (!state.prepared.contains({id, part.slot})) fresh.push_back(&part);
  }
  if (!fresh.empty() && id.issued < state.forgotten) return Refusal(Verdict::kForgotten);
  for (const Part* part : fresh) {
    Obstacle obstacle = FindObstacle(state, id, *part, prepare.compares_versions, store);
    if (obstacle.any()) return RefusalFor(std::move(obstacle));
  }
  for (const Part* part : fresh) {
    PutPrepared(state, id, part->slot, LocksOf(*part, prepare.age, stamp));
  }
  return Granted(state, prepare, store);
}

}  // namespace basalt::txn
