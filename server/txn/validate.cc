#include "server/txn/validate.h"

#include <utility>

#include "base/slot.h"
#include "server/txn/conflict.h"

namespace basalt::txn {

ValidateAnswer Validate(const ShardState& state, const std::vector<Read>& reads, Stamp clock,
                        Stamp horizon, VersionStore& store) {
  using Verdict = ValidateAnswer::Verdict;
  for (const Read& read : reads) {
    if (!state.range.Contains(base::SlotOf(read.key))) return {Verdict::kNotOwner, {}};
  }
  if (horizon > clock) return {Verdict::kHorizon, {}};
  if (FindChanged(reads, store)) return {Verdict::kChanged, {}};
  std::optional<Blocker> blocker = FindBlocker(state, reads, {}, nullptr);
  if (blocker) return {Verdict::kLocked, std::move(blocker)};
  return {};
}

}  // namespace basalt::txn
