#include "server/txn/decide.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/txn/conflict.h"
#include "server/txn/resolve.h"

namespace basalt::txn {
namespace {

using Verdict = DecideAnswer::Verdict;

DecideAnswer Refusal(Verdict verdict) {
  DecideAnswer answer;
  answer.verdict = verdict;
  return answer;
}

DecideAnswer Final(const Decision& decision) {
  DecideAnswer answer;
  answer.outcome = decision.outcome;
  answer.commit = decision.commit;
  return answer;
}

Obstacle FindObstacle(const ShardState& state, const Decide& decide, VersionStore& store) {
  for (const Part& part : decide.parts) {
    // A lock has kept it as it was.
    if (state.prepared.contains({decide.id, part.slot})) continue;
    Obstacle obstacle = FindObstacle(state, decide.id, part, decide.compares_versions, store);
    if (obstacle.any()) return obstacle;
  }
  return {};
}

void WriteParts(ShardState& state, const Decide& decide, Stamp stamp) {
  for (const Part& part : decide.parts) {
    if (state.prepared.contains({decide.id, part.slot})) continue;  // with its locks, ResolveHere
    for (const Write& write : part.writes) {
      state.staged.emplace_back(WriteVersion{write.key, stamp, write.value});
    }
  }
}

void PutDecision(ShardState& state, const Decide& decide, const Decision& decision, Stamp stamp) {
  Record record{decision.outcome, decision.commit, stamp, decide.slots, false};
  // There is a slot elsewhere, of a transaction that was more than named here; splits aside.
  record.settled = std::all_of(record.slots.begin(), record.slots.end(),
                               [&state](Slot slot) { return state.range.Contains(slot); });
  if (record.settled) record.slots.clear();
  PutRecord(state, decide.id, std::move(record));
  ResolveHere(state, decide.id, decision, stamp);
}

}  // namespace

DecideAnswer ApplyDecide(ShardState& state, const Decide& decide, Stamp stamp,
                         VersionStore& store) {
  const TxnId& id = decide.id;
  BASALT_CHECK(stamp > id.issued && stamp > decide.prepared);
  if (!state.range.Contains(id.anchor)) return Refusal(Verdict::kNotOwner);
  if (const std::optional<Decision> decision = FindDecision(state, id)) return Final(*decision);
  if (id.issued < state.forgotten) return Refusal(Verdict::kForgotten);
  if (decide.outcome == Outcome::kAborted) {
    PutDecision(state, decide, Decision{}, stamp);
    return Final(Decision{});
  }
  const bool owns_all =
      std::all_of(decide.parts.begin(), decide.parts.end(),
                  [&state](const Part& part) { return state.range.Contains(part.slot); });
  if (!owns_all) return Refusal(Verdict::kMoved);
  Obstacle obstacle = FindObstacle(state, decide, store);
  std::vector<ReadValue> values;
  if (!decide.compares_versions) values = ReadAll(decide.parts, store);
  // As if it had changed: it cannot be told what was there.
  if (BytesOf(values) > kReadBytesMost) obstacle.changed = values.back().key;
  if (obstacle.any() || stamp > kStampMost) {
    PutDecision(state, decide, Decision{}, stamp);
    DecideAnswer answer = Final(Decision{});
    answer.obstacle = std::move(obstacle);
    return answer;
  }
  const Decision decision{Outcome::kCommitted, stamp};
  DecideAnswer answer = Final(decision);
  answer.values = std::move(values);
  WriteParts(state, decide, stamp);
  PutDecision(state, decide, decision, stamp);
  return answer;
}

}  // namespace basalt::txn
