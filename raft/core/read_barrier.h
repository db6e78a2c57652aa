// Linearizable reads without a log write or a clock: ReadIndex (dissertation, 6.4).
//
// A read is served at the commit index of the moment when its round is *sent*; a quorum that
// answers that round shows that no later leader had been elected by then. Every round is a fresh
// number, so a late answer to an earlier one proves nothing about this one.
#pragma once

#include "raft/core/core_state.h"

namespace basalt::raft {

void RequestRead(CoreState& state, ReadId id);
// Gives the queued reads to the next round; true when the caller should send it. Not before this
// leader has committed an entry of its own term: until then it may not know the latest commit.
bool AssignReadsToNextRound(CoreState& state);
// Sends a round for the reads that wait for one.
void StartReadRound(CoreState& state);
// Confirms what a quorum has answered.
void ConfirmReads(CoreState& state);
// This leader leads no more. Followers that asked see that for themselves.
void RefuseReads(CoreState& state, const LeaderRole& leading);

}  // namespace basalt::raft
