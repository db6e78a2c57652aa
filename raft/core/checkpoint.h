// Checkpoints: what brings a follower up when the log no longer can, and where the log may start.
// (Dissertation, chapter 5, where they are called snapshots.)
#pragma once

#include <optional>

#include "raft/core/core_state.h"

namespace basalt::raft {

// Leader: the follower's next entry is gone.
void StartCheckpoint(CoreState& state, FollowerProgress& follower);
void OnFollowerCheckpointSent(CoreState& state, ReplicaId replica,
                              std::optional<LogIndex> installed);

// Follower: one is staged here. It is ignored unless it is newer than what is committed; a log that
// holds its place keeps what follows it.
void OnCheckpointArrived(CoreState& state, const CheckpointArrived& arrived);
void OnInstalled(CoreState& state, LogIndex index);
// The state machine would not have it, and is as it was: entries are applied again.
void OnRefused(CoreState& state, LogIndex index);

// The log starts behind `index` from now on.
void CompactLog(CoreState& state, LogIndex index);

}  // namespace basalt::raft
