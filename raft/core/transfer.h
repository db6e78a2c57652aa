// Handing leadership over (dissertation, 3.10): on request, to a replica of higher priority, and
// when the leader's own disk stalls.
//
// While a transfer is under way nothing is proposed, so that the target can get everything; when it
// has it, TimeoutNow makes it campaign at once. After an election timeout the transfer is given up
// and proposals go on, but the target may still campaign, so the lease stays off (lease.h).
#pragma once

#include "raft/core/core_state.h"
#include "raft/core/raft_core.h"

namespace basalt::raft {

// `to` 0: the best successor.
TransferAnswer StartTransfer(CoreState& state, ReplicaId to);
// Tells the target to campaign once it holds everything.
void AdvanceTransfer(CoreState& state);
// One tick of a leader: gives up a transfer that takes too long, begins one that is wanted.
void TickTransfer(CoreState& state);

void OnTimeoutNow(CoreState& state);

// What this replica tells its leader: its priority, or 0 while it would not take over.
uint32_t PriorityToTell(const CoreState& state);
// Whether the oldest write under way has taken too long for a replica that leads.
bool IsDiskStalled(const CoreState& state);

}  // namespace basalt::raft
