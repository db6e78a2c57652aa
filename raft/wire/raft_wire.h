// What replicas say to each other, as bytes: raft::Message <-> basalt.v1.RaftMessage.
//
// Pure functions.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/peer.pb.h"
#include "raft/core/message.h"

namespace basalt::raft {

// Replaces the contents of `to`. CheckpointArrived never travels: handing it over is a bug, and the
// body stays unset.
void ToWire(const Message& message, v1::RaftMessage& to);

// `self` is the node that received it; payloads are moved out of `from`. InvalidArgument names what
// no peer sends, such as indexes that overflow; Unimplemented, what only a newer release sends: a
// body or a kind of entry that this one does not know.
absl::StatusOr<Message> FromWire(v1::RaftMessage&& from, NodeId self);

}  // namespace basalt::raft
