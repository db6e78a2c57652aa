// Replication: how a leader's log reaches its followers and what commits by it.
#pragma once

#include <vector>

#include "raft/core/core_state.h"
#include "raft/core/message.h"

namespace basalt::raft {

// Appends an entry of this leader's term.
LogIndex AppendOwn(CoreState& state, EntryKind kind, Payload payload);
// One tick of a leader: heartbeats and check-quorum.
void TickLeader(CoreState& state);
// A new round to everybody.
void SendHeartbeats(CoreState& state);
// Every follower gets what its window has room for.
void SendAppends(CoreState& state);
// Commits what a quorum holds durably, this leader's own disk included or not.
void AdvanceCommit(CoreState& state);

void OnAppendRequest(CoreState& state, ReplicaId from, AppendRequest request);
void OnAppendReply(CoreState& state, ReplicaId from, const AppendReply& reply);
void OnHeartbeatRequest(CoreState& state, ReplicaId from, const HeartbeatRequest& request);
void OnHeartbeatReply(CoreState& state, ReplicaId from, const HeartbeatReply& reply);
void OnFollowerEntriesFetched(CoreState& state, ReplicaId replica, std::vector<Entry> entries);

// Entries that are committed and durable here, in order, as far as `apply_bytes_max` allows.
void HandOutApply(CoreState& state);
void OnOwnEntriesFetched(CoreState& state, std::vector<Entry> entries);

}  // namespace basalt::raft
