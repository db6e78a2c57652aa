#include "raft/core/raft_core.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/core/checkpoint.h"
#include "raft/core/core_state.h"
#include "raft/core/election.h"
#include "raft/core/follower_reads.h"
#include "raft/core/invariants.h"
#include "raft/core/lease.h"
#include "raft/core/membership.h"
#include "raft/core/read_barrier.h"
#include "raft/core/replication.h"
#include "raft/core/succession.h"
#include "raft/core/transfer.h"

namespace basalt::raft {
namespace {

// No cluster lives long enough to get there; a peer that claims more is broken, and arithmetic on
// what it says could overflow.
constexpr uint64_t kNumberMax = uint64_t{1} << 62;

bool AreEntriesSane(const AppendRequest& request, Term sender_term) {
  LogIndex index = request.previous_index;
  Term term = request.previous_term;
  for (const Entry& entry : request.entries) {
    if (entry.index != ++index || entry.term < term) return false;
    if (entry.kind == EntryKind::kConfiguration && !ConfigurationOf(entry)) return false;
    term = entry.term;
  }
  return term <= sender_term;
}

bool IsSane(const Message& message) {
  if (message.term.value() > kNumberMax) return false;
  if (const auto* append = std::get_if<AppendRequest>(&message.body)) {
    return append->previous_index.value() <= kNumberMax && AreEntriesSane(*append, message.term);
  }
  if (const auto* reply = std::get_if<AppendReply>(&message.body)) {
    return reply->index.value() <= kNumberMax && reply->hint_index.value() <= kNumberMax;
  }
  if (const auto* arrived = std::get_if<CheckpointArrived>(&message.body)) {
    return arrived->base.index.value() <= kNumberMax && arrived->base.term <= message.term &&
           IsWellFormed(arrived->base.configuration);
  }
  if (const auto* read = std::get_if<ReadReply>(&message.body)) {
    return read->index.value() <= kNumberMax;
  }
  return true;
}

bool IsPreVoteGrant(const Message& message) {
  const auto* reply = std::get_if<VoteReply>(&message.body);
  return reply != nullptr && reply->pre_vote && reply->granted;
}

bool IsAnswer(const Message& message) {
  return std::holds_alternative<VoteReply>(message.body) ||
         std::holds_alternative<AppendReply>(message.body) ||
         std::holds_alternative<HeartbeatReply>(message.body) ||
         std::holds_alternative<ReadReply>(message.body);
}

bool IsFromLeader(const Message& message) {
  return std::holds_alternative<AppendRequest>(message.body) ||
         std::holds_alternative<HeartbeatRequest>(message.body) ||
         std::holds_alternative<CheckpointArrived>(message.body) ||
         std::holds_alternative<TimeoutNow>(message.body);
}

// A request from an earlier term. The answer carries our term, so that its sender steps down. It
// must not be left out: a replica that came back with a higher term and an older log follows no
// leader of the lower term, and is refused every vote; only this answer starts the election that
// lets it in again.
void AnswerFromHigherTerm(CoreState& state, const Message& message) {
  if (const auto* vote = std::get_if<VoteRequest>(&message.body)) {
    state.Send(message.from, VoteReply{vote->pre_vote, false});
  } else if (std::holds_alternative<AppendRequest>(message.body) ||
             std::holds_alternative<HeartbeatRequest>(message.body)) {
    state.Send(message.from, HeartbeatReply{Round(0)});
  }
}

// Brings the term in line; false when the message has been dealt with.
bool AcceptTerm(CoreState& state, const Message& message) {
  if (const auto* vote = std::get_if<VoteRequest>(&message.body)) {
    // Dissertation, 4.2.3: who hears a leader does not help to depose it.
    if (message.term > state.term() && IsVoteHeldBack(state, *vote)) return false;
    if (vote->pre_vote) return true;
  }
  if (IsPreVoteGrant(message)) return true;
  if (message.term < state.term()) {
    AnswerFromHigherTerm(state, message);
    return false;
  }
  if (message.term > state.term()) {
    BecomeFollower(state, message.term, IsFromLeader(message) ? message.from : ReplicaId(0));
  }
  return true;
}

// Follows the leader that speaks in our term; false when it cannot be one.
bool FollowSender(CoreState& state, const Message& message) {
  const ReplicaId known = state.CurrentLeadership().leader;
  if (known != ReplicaId(0) && known != message.from) return false;
  if (known != message.from) BecomeFollower(state, state.term(), message.from);
  LeaderWasHeard(state);
  return true;
}

void Dispatch(CoreState& state, Message message) {
  if (IsFromLeader(message) && !FollowSender(state, message)) return;
  const ReplicaId from = message.from;
  if (auto* append = std::get_if<AppendRequest>(&message.body)) {
    OnAppendRequest(state, from, std::move(*append));
  } else if (auto* append_reply = std::get_if<AppendReply>(&message.body)) {
    OnAppendReply(state, from, *append_reply);
  } else if (auto* heartbeat = std::get_if<HeartbeatRequest>(&message.body)) {
    OnHeartbeatRequest(state, from, *heartbeat);
  } else if (auto* heartbeat_reply = std::get_if<HeartbeatReply>(&message.body)) {
    OnHeartbeatReply(state, from, *heartbeat_reply);
  } else if (auto* vote = std::get_if<VoteRequest>(&message.body)) {
    OnVoteRequest(state, from, message.term, *vote);
  } else if (auto* vote_reply = std::get_if<VoteReply>(&message.body)) {
    OnVoteReply(state, from, message.term, *vote_reply);
  } else if (auto* arrived = std::get_if<CheckpointArrived>(&message.body)) {
    OnCheckpointArrived(state, *arrived);
  } else if (std::holds_alternative<TimeoutNow>(message.body)) {
    OnTimeoutNow(state);
  } else if (auto* read = std::get_if<ReadRequest>(&message.body)) {
    OnReadRequest(state, from, *read);
  } else if (auto* read_reply = std::get_if<ReadReply>(&message.body)) {
    OnReadReply(state, from, *read_reply);
  }
}

}  // namespace

RaftCore::RaftCore(const CoreOptions& options, RecoveredState recovered)
    : state_(std::make_unique<CoreState>(options, std::move(recovered))),
      invariants_(std::make_unique<Invariants>(*state_)) {}

RaftCore::~RaftCore() = default;

void RaftCore::InputDone() {
  ContinueMembershipChange(*state_);
  invariants_->Check(*state_);
}

void RaftCore::SetNow(Time now) {
  BASALT_CHECK(now >= state_->now);
  if (!state_->started_at) state_->started_at = now;
  state_->now = now;
}

void RaftCore::SetLogBusySince(std::optional<Time> began) { state_->disk.SetOldestOfLog(began); }

void RaftCore::Tick() {
  CoreState& state = *state_;
  if (state.leader() != nullptr) {
    TickLeader(state);
    if (state.leader() != nullptr) TickTransfer(state);
  } else {
    TickAskedReads(state);
    TickElection(state);
  }
  InputDone();
}

void RaftCore::Step(Message message) {
  CoreState& state = *state_;
  if (message.group != state.options.group || message.to != state.self()) return;
  if (message.from == state.self()) return;
  // Leaders and candidates may be newer than the configuration here; who answers was asked by this
  // replica, and counts for nothing once it is no member.
  if (IsAnswer(message) && FindMember(state.configuration(), message.from) == nullptr) return;
  if (!IsSane(message)) return;
  state.sender = message.from;
  state.sender_node = message.from_node;
  if (!AcceptTerm(state, message)) return;
  Dispatch(state, std::move(message));
  InputDone();
}

std::variant<Proposed, ProposeRefusal> RaftCore::Propose(EntryKind kind, Payload payload) {
  BASALT_CHECK(kind != EntryKind::kConfiguration);
  const LeaderRole* leader = state_->leader();
  if (leader == nullptr) return ProposeRefusal::kNotLeader;
  if (leader->uncommitted.bytes() >= state_->options.uncommitted_bytes_max) {
    return ProposeRefusal::kTooMuchUncommitted;
  }
  if (leader->transfer) return ProposeRefusal::kTransferring;
  const LogIndex index = AppendOwn(*state_, kind, std::move(payload));
  InputDone();
  return Proposed{index, state_->term()};
}

std::variant<Proposed, ChangeRefusal> RaftCore::ChangeMembership(Configuration target) {
  auto answer = raft::ChangeMembership(*state_, std::move(target));
  InputDone();
  return answer;
}

void RaftCore::RequestRead(ReadId id) {
  raft::RequestRead(*state_, id);
  InputDone();
}

TransferAnswer RaftCore::TransferLeadership(ReplicaId to) {
  const TransferAnswer answer = StartTransfer(*state_, to);
  InputDone();
  return answer;
}

void RaftCore::SetPriority(uint32_t priority) { state_->priority = priority; }

void RaftCore::OnLinkLost(NodeId node) {
  raft::OnLinkLost(*state_, node);
  InputDone();
}

void RaftCore::OnPersisted(PersistId id) {
  CoreState& state = *state_;
  state.persists.Finish(id);
  state.disk.Ended(id);
  if (state.persists.IsHardStateDurable()) OnHardStateDurable(state);
  AdvanceCommit(state);
  state.dirty = true;
  InputDone();
}

void RaftCore::OnApplied(LogIndex index) {
  CoreState& state = *state_;
  BASALT_CHECK(index <= state.handed_to_apply);
  if (index <= state.applied) return;
  state.applied = index;
  state.applying.ReleaseUpTo(index);
  if (state.handed_to_apply < state.commit) state.dirty = true;
  InputDone();
}

void RaftCore::OnEntriesFetched(ReplicaId follower, std::vector<Entry> entries) {
  if (follower == state_->self()) {
    OnOwnEntriesFetched(*state_, std::move(entries));
  } else {
    OnFollowerEntriesFetched(*state_, follower, std::move(entries));
  }
  InputDone();
}

void RaftCore::OnCheckpointSent(ReplicaId follower, std::optional<LogIndex> installed) {
  OnFollowerCheckpointSent(*state_, follower, installed);
  InputDone();
}

void RaftCore::OnCheckpointInstalled(LogIndex index) {
  OnInstalled(*state_, index);
  InputDone();
}

void RaftCore::OnCheckpointRefused(LogIndex index) {
  OnRefused(*state_, index);
  InputDone();
}

void RaftCore::Compact(LogIndex index) {
  CompactLog(*state_, index);
  InputDone();
}

void RaftCore::Campaign() {
  StartCampaign(*state_);
  InputDone();
}

bool RaftCore::HasEffects() const { return state_->dirty; }

Effects RaftCore::TakeEffects() {
  CoreState& state = *state_;
  if (!state.dirty) return {};
  if (state.leader() != nullptr) {
    StartReadRound(state);
    SendAppends(state);
    AdvanceTransfer(state);
  }
  RefuseOrphanedReads(state);
  HandOutApply(state);
  Effects effects = std::exchange(state.effects, {});
  effects.persist = state.persists.Take(state.hard_state, state.log);
  if (effects.persist) state.disk.Began(effects.persist->id, state.now);
  if (!effects.messages_after_persist.empty()) {
    effects.messages_after_id = state.persists.issued();
  }
  const Leadership now = state.CurrentLeadership();
  if (now != state.reported) {
    state.reported = now;
    effects.leadership = now;
  }
  state.TrimMemory();
  state.dirty = false;
  InputDone();
  return effects;
}

std::optional<LeaseGrant> RaftCore::lease() const { return CurrentLease(*state_); }

std::optional<LogIndex> RaftCore::LeaseRead(Time now) const {
  const std::optional<LeaseGrant> lease = CurrentLease(*state_);
  if (!lease || now >= lease->end) return std::nullopt;
  return lease->commit;
}

CoreStatus RaftCore::status() const {
  const CoreState& state = *state_;
  CoreStatus status{state.CurrentLeadership(),
                    state.hard_state,
                    state.log.base().index,
                    state.log.last(),
                    state.durable(),
                    state.commit,
                    std::max(state.commit, state.group_commit),
                    state.applied,
                    state.configuration(),
                    state.log.configuration_index(),
                    IsJoint(state.configuration()),
                    false,
                    {},
                    CurrentLease(state),
                    ReplicaId(0),
                    state.priority,
                    IsDiskStalled(state),
                    TakesTurns(state),
                    state.log.memory_bytes(),
                    state.heartbeats_missed};
  if (const LeaderRole* leader = state.leader()) {
    status.applied_own_term = state.applied >= leader->first_of_term;
    if (leader->transfer) status.transfer_to = leader->transfer->to;
    for (const FollowerProgress& follower : leader->followers) {
      status.followers.push_back(
          {follower.replica, follower.node, follower.match, follower.next,
           leader->ticks - follower.heard_at_ticks < state.options.election_timeout_ticks,
           follower.mode, follower.priority});
    }
  }
  return status;
}

bool RaftCore::is_leader() const { return state_->leader() != nullptr; }
Term RaftCore::term() const { return state_->term(); }
LogIndex RaftCore::durable() const { return state_->durable(); }
LogIndex RaftCore::commit() const { return state_->commit; }
const Configuration& RaftCore::configuration() const { return state_->configuration(); }

}  // namespace basalt::raft
