// Succession: who stands for election once the connection to the leader's node has broken.
//
// A process that dies takes its connections with it, and its peers learn of that within
// milliseconds. It proves nothing: the link may flap and the leader live on. So no promise is
// shortened by it (lease.h): nobody votes, for itself or for another, before its own is over; and
// pre-vote still asks those who may be hearing the leader.
//
// What falls away is the rest of the election timeout, which gives a leader that is held up the
// time to be heard, and its random share, which keeps replicas from campaigning together. Instead
// they take turns of one tick, from when a replica's own promise is over, in an order that all
// derive from the configuration and the group: leaders of many groups that die together are
// followed by replicas of all nodes that are left. Who was not elected draws a later turn, at
// random: two whose turns fall together must not meet again and again. After an election timeout of
// turns, which a vote given or a leader heard ends too, random timeouts hold again.
#pragma once

#include "raft/core/core_state.h"
#include "raft/core/types.h"

namespace basalt::raft {

// The connection to `node` broke; of interest when the leader lives there.
void OnLinkLost(CoreState& state, NodeId node);
// Whether turns decide, not the election timer. Never of a candidate, whose votes may be under way
// for longer than a turn, nor of a replica that would rather not lead.
bool TakesTurns(const CoreState& state);
// One tick of a replica that takes turns: whether this one is its own.
bool TickTurn(CoreState& state);

}  // namespace basalt::raft
