// What replicas of one group say to each other. Values only; raft/wire gives them bytes.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "raft/core/types.h"

namespace basalt::raft {

// Pre-vote (dissertation, 9.6) and vote. `last_*` describe the candidate's log.
struct VoteRequest {
  bool pre_vote = false;
  LogIndex last_index;
  Term last_term;
};
struct VoteReply {
  bool pre_vote = false;
  bool granted = false;
};

// Entries that follow (previous_index, previous_term); empty to probe.
struct AppendRequest {
  LogIndex previous_index;
  Term previous_term;
  LogIndex commit;
  Round round;
  std::vector<Entry> entries;
};
struct AppendReply {
  bool accepted = false;
  // Accepted: everything up to here equals the leader's log and is durable at the sender.
  // Refused: the `previous_index` that was refused.
  LogIndex index;
  // Refused: where the leader should go on looking (the last index of the sender whose term is at
  // most the leader's at the refused place), and the sender's term there.
  LogIndex hint_index;
  Term hint_term;
  Round round;
};

// Keeps leadership, carries the commit index and confirms reads. `commit` never exceeds what the
// receiver is known to hold.
struct HeartbeatRequest {
  LogIndex commit;
  Round round;
};
struct HeartbeatReply {
  Round round;
};

// A whole checkpoint has arrived by its own stream and is verified and staged at the receiver.
// Handed to the receiver's core by its own driver, with the sender's id and term.
struct CheckpointArrived {
  LogBase base;
};

struct Message {
  GroupId group;
  ReplicaId from;
  ReplicaId to;
  NodeId to_node;
  // The sender's term; in a pre-vote request, and in the reply that grants it, the term that the
  // candidate would campaign in.
  Term term;
  std::variant<VoteRequest, VoteReply, AppendRequest, AppendReply, HeartbeatRequest, HeartbeatReply,
               CheckpointArrived>
      body;
};

}  // namespace basalt::raft
