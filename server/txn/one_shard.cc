#include "server/txn/one_shard.h"

#include <algorithm>
#include <utility>

#include "base/slot.h"
#include "server/txn/conflict.h"

namespace basalt::txn {

OneShardAnswer ApplyOneShard(ShardState& state, const OneShard& command, Stamp stamp,
                             VersionStore& store) {
  using Verdict = OneShardAnswer::Verdict;
  const auto owned = [&state](const auto& named) {
    return state.range.Contains(base::SlotOf(named.key));
  };
  if (!std::all_of(command.reads.begin(), command.reads.end(), owned) ||
      !std::all_of(command.writes.begin(), command.writes.end(), owned)) {
    return {Verdict::kNotOwner, {}, {}};
  }
  if (std::optional<std::string> changed = FindChanged(command.reads, store)) {
    return {Verdict::kChanged, *std::move(changed), {}};
  }
  std::optional<Blocker> blocker = FindBlocker(state, command.reads, command.writes, nullptr);
  if (blocker) return {Verdict::kLocked, {}, std::move(blocker)};
  for (const Write& write : command.writes) {
    state.staged.emplace_back(WriteVersion{write.key, stamp, write.value});
  }
  return {Verdict::kApplied, {}, {}};
}

}  // namespace basalt::txn
