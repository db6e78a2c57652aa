// Elections: pre-vote, vote, timers, and how a leader loses its place.
#pragma once

#include "raft/core/core_state.h"
#include "raft/core/message.h"

namespace basalt::raft {

void RestartElectionTimer(CoreState& state);
// Adopts `term` when it is higher; leads no more, follows `leader` (0: nobody known).
void BecomeFollower(CoreState& state, Term term, ReplicaId leader);
// Pre-vote first; nothing when this replica leads already or has no vote.
void StartCampaign(CoreState& state);
// Asked for by the leader itself: at once, without pre-vote.
void CampaignByTransfer(CoreState& state);
// One tick of a follower or candidate.
void TickElection(CoreState& state);
// One tick of a leader's check-quorum.
void CheckLeaderStillHeard(CoreState& state);

void OnVoteRequest(CoreState& state, ReplicaId from, Term term, const VoteRequest& request);
void OnVoteReply(CoreState& state, ReplicaId from, Term term, const VoteReply& reply);
// Term and vote are durable: a candidate's own vote counts from now on.
void OnHardStateDurable(CoreState& state);

}  // namespace basalt::raft
