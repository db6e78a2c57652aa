#include "raft/wire/checkpoint_wire.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "raft/core/configuration.h"

namespace basalt::raft {
namespace {

// As in raft_wire.cc: room above every index and term.
constexpr uint64_t kIndexMax = std::numeric_limits<uint64_t>::max() / 2;
// Fits in a byte, and is none that is known.
constexpr uint32_t kRoleMax = std::numeric_limits<uint8_t>::max();

}  // namespace

void CheckpointToWire(const Message& message, v1::CheckpointHeader& to) {
  const LogBase& base = std::get<CheckpointArrived>(message.body).base;
  to.set_group(message.group.value());
  to.set_from(message.from.value());
  to.set_to(message.to.value());
  to.set_term(message.term.value());
  to.set_index(base.index.value());
  to.set_index_term(base.term.value());
  for (const Member& member : base.configuration.members) {
    v1::Member* added = to.add_members();
    added->set_replica_id(member.replica.value());
    added->set_node_id(member.node.value());
    added->set_role(static_cast<uint32_t>(member.role));
  }
}

absl::StatusOr<Message> CheckpointFromWire(const v1::CheckpointHeader& from, NodeId self) {
  if (from.from() == 0 || from.to() == 0) {
    return absl::InvalidArgumentError("a checkpoint from or to nobody");
  }
  if (from.term() > kIndexMax || from.index() > kIndexMax || from.index_term() > from.term()) {
    return absl::InvalidArgumentError("a checkpoint with a term or an index out of range");
  }
  LogBase base{LogIndex(from.index()), Term(from.index_term()), {}};
  for (const v1::Member& member : from.members()) {
    const uint32_t role = std::min(member.role(), kRoleMax);
    base.configuration.members.push_back(
        {ReplicaId(member.replica_id()), NodeId(member.node_id()), static_cast<MemberRole>(role)});
  }
  if (!IsWellFormed(base.configuration)) {
    return absl::InvalidArgumentError("a checkpoint whose members are no configuration");
  }
  Message message;
  message.group = GroupId(from.group());
  message.from = ReplicaId(from.from());
  message.to = ReplicaId(from.to());
  message.to_node = self;
  message.term = Term(from.term());
  message.body = CheckpointArrived{std::move(base)};
  return message;
}

}  // namespace basalt::raft
