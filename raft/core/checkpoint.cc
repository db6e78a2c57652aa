#include "raft/core/checkpoint.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/election.h"
#include "raft/core/replication.h"

namespace basalt::raft {

void StartCheckpoint(CoreState& state, FollowerProgress& follower) {
  follower.BecomeCheckpoint();
  state.effects.checkpoints.push_back({follower.replica, follower.node, state.term()});
  state.dirty = true;
}

void OnFollowerCheckpointSent(CoreState& state, ReplicaId replica,
                              std::optional<LogIndex> installed) {
  FollowerProgress* follower = state.FindFollower(replica);
  if (follower == nullptr || follower->mode != FollowerProgress::Mode::kCheckpoint) return;
  state.dirty = true;
  if (installed && *installed <= state.log.last()) {
    follower->match = std::max(follower->match, *installed);
    follower->BecomeProbe(follower->match + 1);
    AdvanceCommit(state);
    return;
  }
  // It failed. The next heartbeat reply shows that the follower lives, and tries again.
  follower->BecomeProbe(follower->match + 1);
  follower->probe_sent = true;
}

void OnCheckpointArrived(CoreState& state, const CheckpointArrived& arrived) {
  if (state.installing || arrived.base.index <= state.commit) return;
  // What a checkpoint holds is committed. Known at once, not when the install ends: by then this
  // replica may lead, and a leader commits nothing of an earlier term by itself.
  if (state.log.Holds(arrived.base.index, arrived.base.term)) state.CommitUpTo(arrived.base.index);
  // Entries that were fetched for apply in this same turn have not left: the checkpoint holds them,
  // and they must not reach the state machine behind it.
  if (!state.effects.apply.empty()) {
    state.handed_to_apply = state.effects.apply.front().index - 1;
    state.effects.apply.clear();
  }
  state.installing = arrived.base;
  state.effects.install = arrived.base;
  state.dirty = true;
}

void OnInstalled(CoreState& state, LogIndex index) {
  BASALT_CHECK(state.installing && state.installing->index == index);
  LogBase base = *std::exchange(state.installing, std::nullopt);
  if (state.log.Holds(base.index, base.term)) {
    state.log.CompactTo(base.index);
    state.persists.CheckpointCovers(index);
  } else {
    state.log.ResetTo(std::move(base));
    state.persists.LogDropped(index);
    // The votes that it asked for were for another log, perhaps of other members.
    if (!std::holds_alternative<FollowerRole>(state.role)) {
      BecomeFollower(state, state.term(), ReplicaId(0));
    }
  }
  state.commit = std::max(state.commit, index);
  state.applied = index;
  state.handed_to_apply = index;
  state.applying.Clear();
  state.dirty = true;
}

void CompactLog(CoreState& state, LogIndex index) {
  BASALT_CHECK(index <= state.applied);
  if (index <= state.log.base().index) return;
  state.log.CompactTo(index);
  state.persists.BaseChanged();
  state.dirty = true;
}

}  // namespace basalt::raft
