#include "raft/wire/checkpoint_wire.h"

#include <limits>
#include <utility>
#include <variant>

namespace basalt::raft {
namespace {

// As in raft_wire.cc: room above every index and term.
constexpr uint64_t kIndexMax = std::numeric_limits<uint64_t>::max() / 2;

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
    v1::Replica* voter = to.add_voters();
    voter->set_replica_id(member.replica.value());
    voter->set_node_id(member.node.value());
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
  ReplicaId last(0);
  for (const v1::Replica& voter : from.voters()) {
    const ReplicaId replica(voter.replica_id());
    if (replica <= last) {
      return absl::InvalidArgumentError("a checkpoint whose members are not sorted replicas");
    }
    last = replica;
    base.configuration.members.push_back({replica, NodeId(voter.node_id()), MemberRole::kVoter});
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
