// ReadIndex for followers (dissertation, 6.4): a follower asks its leader, which gives the question
// to its next round as if it were a read of its own, and tells the index to read at.
//
// A question is answered once or refused: when the leader or the term changes, or after an election
// timeout. Its id and the life of the core that asked name it for ever, so that no answer to
// another question, late or doubled, of this life or an earlier one, is taken for its answer.
#pragma once

#include "raft/core/core_state.h"
#include "raft/core/message.h"

namespace basalt::raft {

// Questions of one follower that its leader keeps, and that a follower has open, at a time. More
// are refused.
inline constexpr uint32_t kAskedReadsMax = 64;

// ---- the follower ----

void AskLeaderForRead(CoreState& state, ReadId id);
void OnReadReply(CoreState& state, ReplicaId from, const ReadReply& reply);
// Refuses what was asked of a leader that is not followed any more.
void RefuseOrphanedReads(CoreState& state);
// One tick of a replica that does not lead.
void TickAskedReads(CoreState& state);

// ---- the leader ----

void OnReadRequest(CoreState& state, ReplicaId from, const ReadRequest& request);

}  // namespace basalt::raft
