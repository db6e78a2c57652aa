#include "raft/wire/raft_wire.h"

#include <limits>
#include <string>
#include <utility>
#include <variant>

namespace basalt::raft {
namespace {

// Room above every index, so that sums of an index and a count never wrap.
constexpr uint64_t kIndexMax = std::numeric_limits<uint64_t>::max() / 2;

struct BodyToWire {
  v1::RaftMessage& to;

  void operator()(const VoteRequest& body) const {
    v1::VoteRequest& vote = *to.mutable_vote();
    vote.set_pre_vote(body.pre_vote);
    vote.set_last_index(body.last_index.value());
    vote.set_last_term(body.last_term.value());
    vote.set_transfer(body.transfer);
  }
  void operator()(const VoteReply& body) const {
    v1::VoteReply& reply = *to.mutable_vote_reply();
    reply.set_pre_vote(body.pre_vote);
    reply.set_granted(body.granted);
  }
  void operator()(const AppendRequest& body) const {
    v1::AppendRequest& append = *to.mutable_append();
    append.set_previous_index(body.previous_index.value());
    append.set_previous_term(body.previous_term.value());
    append.set_commit(body.commit.value());
    append.set_round(body.round.value());
    append.mutable_entries()->Reserve(static_cast<int>(body.entries.size()));
    for (const Entry& entry : body.entries) {
      v1::WireEntry& wire = *append.add_entries();
      wire.set_term(entry.term.value());
      wire.set_kind(static_cast<uint32_t>(entry.kind));
      if (entry.payload) wire.set_payload(*entry.payload);
    }
  }
  void operator()(const AppendReply& body) const {
    v1::AppendReply& reply = *to.mutable_append_reply();
    reply.set_accepted(body.accepted);
    reply.set_index(body.index.value());
    reply.set_hint_index(body.hint_index.value());
    reply.set_hint_term(body.hint_term.value());
    reply.set_round(body.round.value());
    reply.set_needs_checkpoint(body.needs_checkpoint);
  }
  void operator()(const HeartbeatRequest& body) const {
    v1::HeartbeatRequest& heartbeat = *to.mutable_heartbeat();
    heartbeat.set_commit(body.commit.value());
    heartbeat.set_round(body.round.value());
    heartbeat.set_group_commit(body.group_commit.value());
  }
  void operator()(const HeartbeatReply& body) const {
    to.mutable_heartbeat_reply()->set_round(body.round.value());
    to.mutable_heartbeat_reply()->set_priority(body.priority);
  }
  void operator()(const TimeoutNow&) const { to.mutable_timeout_now(); }
  void operator()(const ReadRequest& body) const {
    to.mutable_read()->set_id(body.id.value());
    to.mutable_read()->set_life(body.life);
  }
  void operator()(const ReadReply& body) const {
    v1::ReadReply& reply = *to.mutable_read_reply();
    reply.set_id(body.id.value());
    reply.set_life(body.life);
    reply.set_confirmed(body.confirmed);
    reply.set_index(body.index.value());
  }
  void operator()(const CheckpointArrived&) const {}
};

bool KindIsKnown(uint32_t kind) {
  switch (static_cast<EntryKind>(kind)) {
    case EntryKind::kNoOp:
    case EntryKind::kCommands:
    case EntryKind::kConfiguration:
      return true;
  }
  return false;
}

absl::StatusOr<AppendRequest> AppendFromWire(v1::AppendRequest& from, Term sender_term) {
  AppendRequest append;
  append.previous_index = LogIndex(from.previous_index());
  append.previous_term = Term(from.previous_term());
  append.commit = LogIndex(from.commit());
  append.round = Round(from.round());
  if (from.previous_index() > kIndexMax || from.commit() > kIndexMax) {
    return absl::InvalidArgumentError("an append with an index out of range");
  }
  if (append.previous_term > sender_term) {
    return absl::InvalidArgumentError(
        "an append behind an entry of a later term than its sender's");
  }
  append.entries.reserve(static_cast<size_t>(from.entries_size()));
  LogIndex index = append.previous_index;
  Term term = append.previous_term;
  for (v1::WireEntry& wire : *from.mutable_entries()) {
    if (wire.kind() > std::numeric_limits<uint8_t>::max()) {
      return absl::InvalidArgumentError("an entry of a kind that none can have");
    }
    if (!KindIsKnown(wire.kind())) {
      return absl::UnimplementedError("an entry of a kind that this release does not know");
    }
    if (Term(wire.term()) < term) {
      return absl::InvalidArgumentError("an append whose terms fall");
    }
    term = Term(wire.term());
    if (term > sender_term) {
      return absl::InvalidArgumentError("an entry of a later term than its sender's");
    }
    Payload payload;
    if (!wire.payload().empty()) payload = MakePayload(std::move(*wire.mutable_payload()));
    append.entries.push_back(
        {++index, term, static_cast<EntryKind>(wire.kind()), std::move(payload)});
  }
  return append;
}

absl::Status BodyFromWire(v1::RaftMessage& from, Message& to) {
  switch (from.body_case()) {
    case v1::RaftMessage::kVote:
      if (from.vote().last_index() > kIndexMax || from.vote().last_term() > from.term()) {
        return absl::InvalidArgumentError("a candidate with a log that none can have");
      }
      to.body = VoteRequest{from.vote().pre_vote(), LogIndex(from.vote().last_index()),
                            Term(from.vote().last_term()), from.vote().transfer()};
      return absl::OkStatus();
    case v1::RaftMessage::kVoteReply:
      to.body = VoteReply{from.vote_reply().pre_vote(), from.vote_reply().granted()};
      return absl::OkStatus();
    case v1::RaftMessage::kAppend: {
      auto append = AppendFromWire(*from.mutable_append(), to.term);
      if (!append.ok()) return append.status();
      to.body = *std::move(append);
      return absl::OkStatus();
    }
    case v1::RaftMessage::kAppendReply: {
      const v1::AppendReply& reply = from.append_reply();
      if (reply.index() > kIndexMax || reply.hint_index() > kIndexMax) {
        return absl::InvalidArgumentError("an answer with an index out of range");
      }
      to.body = AppendReply{
          reply.accepted(),        LogIndex(reply.index()), LogIndex(reply.hint_index()),
          Term(reply.hint_term()), Round(reply.round()),    reply.needs_checkpoint()};
      return absl::OkStatus();
    }
    case v1::RaftMessage::kHeartbeat:
      if (from.heartbeat().commit() > kIndexMax || from.heartbeat().group_commit() > kIndexMax) {
        return absl::InvalidArgumentError("a heartbeat with an index out of range");
      }
      to.body =
          HeartbeatRequest{LogIndex(from.heartbeat().commit()), Round(from.heartbeat().round()),
                           LogIndex(from.heartbeat().group_commit())};
      return absl::OkStatus();
    case v1::RaftMessage::kHeartbeatReply:
      to.body =
          HeartbeatReply{Round(from.heartbeat_reply().round()), from.heartbeat_reply().priority()};
      return absl::OkStatus();
    case v1::RaftMessage::kTimeoutNow:
      to.body = TimeoutNow{};
      return absl::OkStatus();
    case v1::RaftMessage::kRead:
      to.body = ReadRequest{ReadId(from.read().id()), from.read().life()};
      return absl::OkStatus();
    case v1::RaftMessage::kReadReply: {
      const v1::ReadReply& reply = from.read_reply();
      if (reply.index() > kIndexMax) {
        return absl::InvalidArgumentError("a read index out of range");
      }
      to.body =
          ReadReply{ReadId(reply.id()), reply.life(), reply.confirmed(), LogIndex(reply.index())};
      return absl::OkStatus();
    }
    case v1::RaftMessage::BODY_NOT_SET:
      break;
  }
  return absl::UnimplementedError("a message without a body that this release knows");
}

}  // namespace

void ToWire(const Message& message, v1::RaftMessage& to) {
  to.Clear();
  to.set_group(message.group.value());
  to.set_from(message.from.value());
  to.set_to(message.to.value());
  to.set_term(message.term.value());
  to.set_from_node(message.from_node.value());
  std::visit(BodyToWire{to}, message.body);
}

absl::StatusOr<Message> FromWire(v1::RaftMessage&& from, NodeId self) {
  Message message;
  message.group = GroupId(from.group());
  message.from = ReplicaId(from.from());
  message.to = ReplicaId(from.to());
  message.to_node = self;
  message.term = Term(from.term());
  message.from_node = NodeId(from.from_node());
  if (from.from() == 0 || from.to() == 0) {
    return absl::InvalidArgumentError("a message from or to nobody");
  }
  // A term near the end of the numbers would leave no room for another election.
  if (from.term() > kIndexMax) return absl::InvalidArgumentError("a term out of range");
  absl::Status body = BodyFromWire(from, message);
  if (!body.ok()) return body;
  return message;
}

}  // namespace basalt::raft
