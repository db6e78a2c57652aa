#include "server/txn/resolve.h"

#include "base/check.h"

namespace basalt::txn {
namespace {

void EndLocks(ShardState& state, const TxnId& id, Slot slot, const Decision& decision) {
  const auto place = state.prepared.find({id, slot});
  if (decision.outcome == Outcome::kCommitted) {
    BASALT_CHECK(decision.commit >= place->second.stamp);
    for (const HeldKey& held : place->second.keys) {
      if (held.mode != LockMode::kExclusive) continue;
      state.staged.emplace_back(WriteVersion{held.key, decision.commit, held.value});
    }
  }
  DropPrepared(state, id, slot);
}

void LeaveTombstone(ShardState& state, const TxnId& id, const Decision& decision, Stamp stamp) {
  if (state.resolved.contains(id)) return;
  if (id.issued < state.forgotten) return;  // no Prepare of it takes a lock in any case
  PutResolved(state, id, {decision.outcome, decision.commit, stamp});
}

}  // namespace

ResolveAnswer ApplyResolve(ShardState& state, const Resolve& resolve, Stamp stamp) {
  const TxnId& id = resolve.id;
  BASALT_CHECK(stamp > id.issued && stamp > resolve.commit);
  const Decision decision =
      FindDecision(state, id).value_or(Decision{resolve.outcome, resolve.commit});
  ResolveAnswer answer;
  for (const Slot slot : resolve.slots) {
    if (!state.range.Contains(slot)) {
      answer.not_owned.push_back(slot);
      continue;
    }
    answer.resolved.push_back(slot);
  }
  if (!answer.resolved.empty()) ResolveHere(state, id, decision, stamp);
  return answer;
}

void ResolveHere(ShardState& state, const TxnId& id, const Decision& decision, Stamp stamp) {
  for (const Slot slot : PreparedSlots(state, id)) EndLocks(state, id, slot, decision);
  LeaveTombstone(state, id, decision, stamp);
}

}  // namespace basalt::txn
