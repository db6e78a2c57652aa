#include "tests/scenarios/raft/text.h"

#include "fmt/format.h"
#include "raft/core/configuration.h"

namespace basalt::raft {
namespace {

struct BodyText {
  std::string operator()(const VoteRequest& body) const {
    return fmt::format("{} request{}, log ends {}@{}", body.pre_vote ? "pre-vote" : "vote",
                       body.transfer ? " by transfer" : "", body.last_index.value(),
                       body.last_term.value());
  }
  std::string operator()(const VoteReply& body) const {
    return fmt::format("{} {}", body.pre_vote ? "pre-vote" : "vote",
                       body.granted ? "granted" : "refused");
  }
  std::string operator()(const AppendRequest& body) const {
    return fmt::format("append after {}@{} [{}] commit {} round {}", body.previous_index.value(),
                       body.previous_term.value(), ToText(body.entries), body.commit.value(),
                       body.round.value());
  }
  std::string operator()(const AppendReply& body) const {
    if (body.accepted) {
      return fmt::format("append accepted up to {} round {}", body.index.value(),
                         body.round.value());
    }
    if (body.needs_checkpoint) {
      return fmt::format("append refused, needs a checkpoint, round {}", body.round.value());
    }
    return fmt::format("append refused after {}, hint {}@{} round {}", body.index.value(),
                       body.hint_index.value(), body.hint_term.value(), body.round.value());
  }
  std::string operator()(const HeartbeatRequest& body) const {
    return fmt::format("heartbeat commit {} round {}", body.commit.value(), body.round.value());
  }
  std::string operator()(const HeartbeatReply& body) const {
    return fmt::format("heartbeat answered round {}{}", body.round.value(),
                       body.priority == 1 ? "" : fmt::format(" priority {}", body.priority));
  }
  std::string operator()(const TimeoutNow&) const { return "timeout now"; }
  std::string operator()(const ReadRequest& body) const {
    return fmt::format("asks for read {}", body.id.value());
  }
  std::string operator()(const ReadReply& body) const {
    if (!body.confirmed) return fmt::format("read {} refused", body.id.value());
    return fmt::format("read {} confirmed at {}", body.id.value(), body.index.value());
  }
  std::string operator()(const CheckpointArrived& body) const {
    return "checkpoint " + ToText(body.base);
  }
};

}  // namespace

std::string ToText(const Message& message) {
  return fmt::format("{}>{} term {}: {}", message.from.value(), message.to.value(),
                     message.term.value(), std::visit(BodyText(), message.body));
}

std::string ToText(const Leadership& leadership) {
  const uint64_t term = leadership.term.value();
  switch (leadership.role) {
    case Role::kLeader:
      return fmt::format("leads term {}", term);
    case Role::kCandidate:
      return fmt::format("campaigns in term {}", term);
    case Role::kPreCandidate:
      return fmt::format("asks for pre-votes in term {}", term);
    case Role::kFollower:
      break;
  }
  if (leadership.leader == ReplicaId(0)) return fmt::format("follows nobody in term {}", term);
  return fmt::format("follows {} in term {}", leadership.leader.value(), term);
}

std::string ToText(const std::vector<Entry>& entries) {
  std::string text;
  for (const Entry& entry : entries) {
    text +=
        fmt::format("{}{}@{}", text.empty() ? "" : " ", entry.index.value(), entry.term.value());
    if (entry.kind == EntryKind::kConfiguration) {
      text += ":(" + ToText(*ConfigurationOf(entry)) + ")";
    } else if (entry.payload) {
      text += ":" + *entry.payload;
    }
  }
  return text;
}

std::string ToText(const LogBase& base) {
  return fmt::format("{}@{}", base.index.value(), base.term.value());
}

std::string ToText(const Configuration& configuration) {
  if (configuration.members.empty()) return "unknown";
  std::string text;
  for (const Member& member : configuration.members) {
    if (!text.empty()) text += " ";
    switch (member.role) {
      case MemberRole::kVoter:
        break;
      case MemberRole::kLearner:
        text += "learner ";
        break;
      case MemberRole::kIncoming:
        text += "incoming ";
        break;
      case MemberRole::kOutgoing:
        text += "outgoing ";
        break;
      case MemberRole::kDemoted:
        text += "demoted ";
        break;
    }
    text += std::to_string(member.replica.value());
  }
  return text;
}

std::string ToText(const Persist& persist) {
  std::string text = fmt::format("writes #{}", persist.id.value());
  if (persist.hard_state) {
    text += fmt::format(" term {} vote {}", persist.hard_state->term.value(),
                        persist.hard_state->voted_for.value());
  }
  if (persist.base) text += " base " + ToText(*persist.base);
  if (!persist.entries.empty()) text += " [" + ToText(persist.entries) + "]";
  return text;
}

std::string ToText(ProposeRefusal refusal) {
  switch (refusal) {
    case ProposeRefusal::kNotLeader:
      return "not leader";
    case ProposeRefusal::kTooMuchUncommitted:
      return "too much uncommitted";
    case ProposeRefusal::kTransferring:
      return "leadership is being handed over";
  }
  return "?";
}

std::string ToText(TransferAnswer answer) {
  switch (answer) {
    case TransferAnswer::kStarted:
      return "hands over";
    case TransferAnswer::kNotLeader:
      return "refuses to hand over: not leader";
    case TransferAnswer::kNotAVoter:
      return "refuses to hand over: not to another voter";
    case TransferAnswer::kUnderWay:
      return "refuses to hand over: a transfer is under way";
    case TransferAnswer::kNobodyFit:
      return "refuses to hand over: nobody is fit for it";
  }
  return "?";
}

std::string ToText(const CoreStatus& status) {
  std::string text = fmt::format(
      "{}, vote {}, log {}..{}, durable {}, commit {}, applied {}", ToText(status.leadership),
      status.hard_state.voted_for.value(), status.base.value() + 1, status.last.value(),
      status.durable.value(), status.commit.value(), status.applied.value());
  if (status.transfer_to != ReplicaId(0)) {
    text += fmt::format(", hands over to {}", status.transfer_to.value());
  }
  for (const FollowerStatus& follower : status.followers) {
    const char* mode = follower.mode == FollowerStatus::Mode::kProbe       ? "probe"
                       : follower.mode == FollowerStatus::Mode::kReplicate ? "replicate"
                                                                           : "checkpoint";
    text += fmt::format("; {} {} match {} next {}{}", follower.replica.value(), mode,
                        follower.match.value(), follower.next.value(),
                        follower.recently_active ? "" : " silent");
  }
  return text;
}

}  // namespace basalt::raft
