// The header of a checkpoint on its way: what replicas say with it, as bytes. The list of its files
// is the carrier's.
//
// Pure functions.
#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/peer.pb.h"
#include "raft/core/message.h"

namespace basalt::raft {

// Sets all but hello and files. `message` is a CheckpointArrived.
void CheckpointToWire(const Message& message, v1::CheckpointHeader& to);

// The message that is due once the checkpoint is staged, from a header that reached node `self`.
// InvalidArgument names what no peer of this release sends: nobody's checkpoint, numbers that
// overflow, members that are none.
absl::StatusOr<Message> CheckpointFromWire(const v1::CheckpointHeader& from, NodeId self);

}  // namespace basalt::raft
