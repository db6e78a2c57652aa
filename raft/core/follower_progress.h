// FollowerProgress: what a leader knows of one follower, and how much it may send to it.
//
// Probe: one append at a time looks for the place where the logs meet. Replicate: appends are sent
// ahead of their acknowledgements (dissertation, 10.2.2), bounded in number and bytes. Checkpoint:
// the follower needs what the log has dropped; it gets no appends until the checkpoint has ended.
//
// A plain value, owned by the leader's role. Invariants (numbers of invariants.h):
//   (10) match < next <= last + 1; match never falls; window is empty unless in Replicate mode.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "raft/core/flow_window.h"
#include "raft/core/raft_core.h"
#include "raft/core/types.h"

namespace basalt::raft {

struct FollowerProgress {
  using Mode = FollowerStatus::Mode;

  FollowerProgress(const Member& member, LogIndex next_index, uint64_t now_ticks)
      : replica(member.replica), node(member.node), next(next_index), heard_at_ticks(now_ticks) {}

  // Looks again from `from` on (never at or below what is known to match).
  void BecomeProbe(LogIndex from);
  void BecomeCheckpoint();

  // An append up to `index` is acknowledged.
  void Accepted(LogIndex index);
  // Whether a refusal of `refused` tells anything new: late and doubled ones do not.
  bool IsNews(LogIndex refused) const;
  // An append with entries up to `last` has left.
  void Sent(LogIndex last, size_t bytes);

  bool MaySendEntries(const CoreOptions& options) const;

  ReplicaId replica;
  NodeId node;
  Mode mode = Mode::kProbe;
  LogIndex match;  // durable there, and equal to ours
  LogIndex next;   // the next entry to send
  FlowWindow window;
  bool probe_sent = false;      // Probe: wait for the answer or the next heartbeat reply
  bool resend_empty = false;    // an append may be lost: send an empty one at `next`
  bool fetching = false;        // FetchEntries has not been answered
  Round acknowledged_round;     // of the current term
  uint64_t heard_at_ticks;      // leader's ticks when it last heard from this follower
  LogIndex match_at_heartbeat;  // at its last heartbeat reply
  uint32_t priority = 1;        // as its last heartbeat reply said
  uint32_t reads_waiting = 0;   // its questions that wait for a round
};

}  // namespace basalt::raft
