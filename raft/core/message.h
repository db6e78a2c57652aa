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
  // The leader itself asked for this election (TimeoutNow): who hears that leader votes all the
  // same (dissertation, 4.2.3). Never in a pre-vote.
  bool transfer = false;
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
  // Refused: the sender was made empty, without a configuration; only a checkpoint can begin it.
  bool needs_checkpoint = false;
};

// Keeps leadership, carries the commit index and confirms reads. `commit` never exceeds what the
// receiver is known to hold.
struct HeartbeatRequest {
  LogIndex commit;
  Round round;
  // What the leader has committed, held by the receiver or not: how far behind it is.
  LogIndex group_commit;
};
struct HeartbeatReply {
  Round round;
  // How willing the sender is to lead; a leader of lower priority hands over to a higher one.
  uint32_t priority = 1;
};

// Leader to the follower that it hands over to: campaign at once (dissertation, 3.10).
struct TimeoutNow {};

// A follower asks its leader for a read index (dissertation, 6.4). `life` is unlike any other life
// of the asking replica: an answer to a read of an earlier life must not confirm one of this.
struct ReadRequest {
  ReadId id;
  uint64_t life = 0;
};
struct ReadReply {
  ReadId id;
  uint64_t life = 0;
  bool confirmed = false;
  LogIndex index;  // confirmed: serve the read once this is applied
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
               CheckpointArrived, TimeoutNow, ReadRequest, ReadReply>
      body;
  // Where an answer goes: the sender need not be in the receiver's configuration (dissertation,
  // 4.2.2: a server accepts requests from leaders and candidates that it does not know yet).
  NodeId from_node;
};

}  // namespace basalt::raft
