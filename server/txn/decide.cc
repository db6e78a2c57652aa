#include "server/txn/decide.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/txn/resolve.h"

namespace basalt::txn {
namespace {

using Verdict = DecideAnswer::Verdict;

DecideAnswer Final(const Decision& decision) {
  return {Verdict::kDecided, decision.outcome, decision.commit};
}

}  // namespace

DecideAnswer ApplyDecide(ShardState& state, const Decide& decide, Stamp stamp) {
  const TxnId& id = decide.id;
  BASALT_CHECK(stamp > id.issued && stamp > decide.commit);
  if (!state.range.Contains(id.anchor)) return {Verdict::kNotOwner, {}, 0};
  if (const std::optional<Decision> decision = FindDecision(state, id)) return Final(*decision);
  const Record* live = FindRecord(state, id);
  if (live == nullptr && decide.outcome == Outcome::kCommitted) return {Verdict::kNoRecord, {}, 0};
  if (live == nullptr && id.issued < state.forgotten) return {Verdict::kForgotten, {}, 0};
  Record record = live != nullptr ? *live : Record{{}, 0, 0, decide.slots, false};
  const Decision decision{decide.outcome, decide.commit};
  record.outcome = decision.outcome;
  record.commit = decision.commit;
  record.stamp = stamp;
  // Splits aside there is a slot elsewhere, of a transaction that was more than named here.
  record.settled = std::all_of(record.slots.begin(), record.slots.end(),
                               [&state](Slot slot) { return state.range.Contains(slot); });
  if (record.settled) record.slots.clear();
  PutRecord(state, id, std::move(record));
  ResolveHere(state, id, decision, stamp);
  return Final(decision);
}

}  // namespace basalt::txn
