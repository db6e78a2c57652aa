// The apply loop's part in transactions: the desks of the shards that this node leads, what they
// send and propose, and reads that wait for locks.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/node/apply_loop.h"
#include "server/node/read_answers.h"
#include "server/node/txn_messages.h"
#include "server/shard/command_entry.h"

namespace basalt::server {
namespace {

// A message for a shard that is led elsewhere is sent on so often.
constexpr uint32_t kHopsMost = 2;
constexpr uint32_t kRetryAfterLockedMs = 10;
// Until its own first entry is applied.
constexpr uint32_t kRetryAfterElectionMs = 20;

v1::AbortReason FromReason(txn::AbortReason reason) {
  switch (reason) {
    case txn::AbortReason::kNone:
      return v1::ABORT_REASON_UNSPECIFIED;
    case txn::AbortReason::kChanged:
      return v1::ABORT_REASON_CHANGED;
    case txn::AbortReason::kLocked:
      return v1::ABORT_REASON_LOCKED;
    case txn::AbortReason::kDeadline:
      return v1::ABORT_REASON_DEADLINE;
    case txn::AbortReason::kNewLeader:
      return v1::ABORT_REASON_NEW_LEADER;
    case txn::AbortReason::kForgotten:
      return v1::ABORT_REASON_FORGOTTEN;
  }
  return v1::ABORT_REASON_UNSPECIFIED;
}

const char* Text(txn::AbortReason reason) {
  switch (reason) {
    case txn::AbortReason::kNone:
      return "the transaction was aborted";
    case txn::AbortReason::kChanged:
      return "something that it read has changed";
    case txn::AbortReason::kLocked:
      return "an older transaction has locked one of its keys, or held it for too long";
    case txn::AbortReason::kDeadline:
      return "it was not prepared everywhere in the time given";
    case txn::AbortReason::kNewLeader:
      return "its coordinator has changed";
    case txn::AbortReason::kForgotten:
      return "a shard may have forgotten this attempt";
  }
  return "the transaction was aborted";
}

void SetValues(const std::map<std::string, txn::Newest>& values, v1::CommitResult& result) {
  result.set_values_known(true);
  for (const auto& [key, newest] : values) {
    if (!newest.value) continue;
    v1::Row& row = *result.add_values();
    row.set_key(key);
    row.set_version(newest.version);
    row.set_value(*newest.value);
  }
}

}  // namespace

class ApplyLoop::DeskEdge final : public TxnDesk::Edge {
 public:
  DeskEdge(ApplyLoop& loop, raft::GroupId group) : loop_(loop), group_(group) {}

  void Propose(const v1::Command& command, Stamp floor, uint64_t ticket) override {
    // Better one process ends here than every replica at an entry that none can apply.
    BASALT_CHECK(!CommandProblem(command));
    PendingWrite write{nullptr, nullptr, 0, MonotonicTime::max(), EncodeCommandElement(command)};
    write.issued = floor;
    write.ticket = ticket;
    loop_.proposals_[group_].push_back(std::move(write));
  }

  void ProposeAgain(PendingWrite write) override {
    loop_.proposals_[group_].push_back(std::move(write));
  }

  uint64_t ShardOf(uint32_t slot) const override { return loop_.post_->ShardOf(slot); }

  void SendToOwner(uint32_t slot, v1::TxnMessage message) override {
    message.set_to_slot(slot);
    message.set_from_node(loop_.post_->node().value());
    const raft::GroupId group(loop_.post_->ShardOf(slot));
    const auto place = loop_.replicas_.find(group);
    if (place != loop_.replicas_.end() && place->second.led.has_value()) {
      loop_.local_messages_.push_back(std::move(message));
      return;
    }
    const raft::NodeId node = loop_.post_->LeaderOf(group.value());
    if (node != raft::NodeId(0) && node != loop_.post_->node()) {
      loop_.outbox_[node].push_back(std::move(message));
    }
  }

  void SendToNode(raft::NodeId node, v1::TxnMessage message) override {
    message.set_from_node(loop_.post_->node().value());
    if (node == loop_.post_->node()) {
      loop_.local_messages_.push_back(std::move(message));
    } else {
      loop_.outbox_[node].push_back(std::move(message));
    }
  }

  void Answer(const PendingCommit& commit, const txn::CommitAnswer& answer, Stamp clock) override {
    loop_.AnswerCommit(group_, commit, answer, clock);
  }

  void AnswerLate(const PendingCommit& commit) override {
    loop_.RefuseCommit(group_, commit, v1::CODE_DEADLINE, v1::OUTCOME_UNKNOWN,
                       "the transaction was not decided in the time given");
  }

  Stamp HighestStamp() const override { return loop_.Find(group_).machine->highest_stamp(); }

  Stamp VersionOf(const std::string& key) override {
    return loop_.Find(group_).machine->VersionOf(key).value_or(0);
  }

  void AnswerLocked(const PendingWrite& write, bool out_of_time) override {
    loop_.AnswerLocked(group_, write, out_of_time);
  }

  uint64_t NewTicket() override { return ++loop_.last_ticket_; }

 private:
  ApplyLoop& loop_;
  const raft::GroupId group_;
};

void ApplyLoop::On(LeadershipTold& work) {
  const auto place = replicas_.find(work.group);
  if (place == replicas_.end()) return;
  Replica& replica = place->second;
  if (replica.led == work.term) return;
  CloseDesk(work.group, replica, "the shard has another leader");
  replica.led = work.term;
  OpenDesk(replica);
}

void ApplyLoop::OpenDesk(Replica& replica) {
  const txn::TxnShard* shard = replica.machine->txn();
  if (shard == nullptr || post_ == nullptr || replica.desk != nullptr) return;
  if (!replica.led || replica.reported_term != *replica.led) return;
  replica.edge = std::make_unique<DeskEdge>(*this, replica.machine->group());
  replica.desk = std::make_unique<TxnDesk>(*shard, *replica.edge, counters_.txn);
}

void ApplyLoop::CloseDesk(raft::GroupId group, Replica& replica, const char* why) {
  if (replica.desk == nullptr) return;
  for (const PendingCommit& commit : replica.desk->TakeCommits()) {
    RefuseCommit(group, commit, v1::CODE_NOT_LEADER, v1::OUTCOME_UNKNOWN, why);
  }
  for (const PendingWrite& write : replica.desk->TakeWrites()) {
    AnswerLost(group, write, "it waited for a transaction's lock, and this node leads no more");
  }
  // What the desk has proposed and nobody has been given yet goes with it; writes have to be
  // answered.
  if (const auto proposed = proposals_.find(group); proposed != proposals_.end()) {
    std::erase_if(proposed->second,
                  [](const PendingWrite& write) { return write.sink == nullptr; });
  }
  replica.desk = nullptr;
  replica.edge = nullptr;
}

void ApplyLoop::On(CommitsAsked& work) {
  const auto place = replicas_.find(work.group);
  for (PendingCommit& commit : work.commits) {
    if (place == replicas_.end() || !place->second.led) {
      RefuseCommit(work.group, commit, v1::CODE_NOT_LEADER, v1::OUTCOME_NOT_APPLIED,
                   "this node does not lead the shard");
    } else if (place->second.desk == nullptr) {
      RefuseCommit(work.group, commit, v1::CODE_UNAVAILABLE, v1::OUTCOME_NOT_APPLIED,
                   "the shard's leader has just been elected");
    } else {
      place->second.desk->OnCommit(std::move(commit), ports_.clock.Now());
    }
  }
}

void ApplyLoop::On(TxnMessagesArrived& work) {
  for (v1::TxnMessage& message : work.messages) Deliver(std::move(message));
}

void ApplyLoop::Deliver(v1::TxnMessage message) {
  if (post_ == nullptr || TxnMessageProblem(message)) return;
  const raft::GroupId group(post_->ShardOf(message.to_slot()));
  const auto place = replicas_.find(group);
  if (place != replicas_.end() && place->second.desk != nullptr) {
    place->second.desk->OnMessage(std::move(message), ports_.clock.Now());
    return;
  }
  if (message.hops() >= kHopsMost) return;
  const raft::NodeId node = post_->LeaderOf(group.value());
  if (node == raft::NodeId(0) || node == post_->node()) return;
  message.set_hops(message.hops() + 1);
  outbox_[node].push_back(std::move(message));
}

void ApplyLoop::CarryTransactions() {
  while (!local_messages_.empty()) {
    v1::TxnMessage message = std::move(local_messages_.front());
    local_messages_.pop_front();
    Deliver(std::move(message));
  }
  for (auto& [node, messages] : std::exchange(outbox_, {})) post_->Post(node, std::move(messages));
  if (proposals_.empty()) return;
  std::vector<GroupEvent> events;
  for (auto& [group, writes] : std::exchange(proposals_, {})) {
    events.emplace_back(ProposalsArrived{group, std::move(writes)});
  }
  ports_.groups.PutAll(std::move(events));
}

// `ours`: the writes of the entry, when it was proposed here in this term.
void ApplyLoop::TellDesk(Replica& replica, std::span<const CommandOutcome> outcomes,
                         std::span<const PendingWrite> ours) {
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const CommandOutcome& outcome = outcomes[i];
    const uint64_t ticket = ours.empty() ? 0 : ours[i].ticket;
    if (outcome.verdict == CommandOutcome::Verdict::kTransaction) {
      if (replica.desk != nullptr) {
        replica.desk->OnApplied(*outcome.txn, ticket, ports_.clock.Now());
      }
    } else if (ticket != 0 && outcome.verdict != CommandOutcome::Verdict::kLocked &&
               replica.desk != nullptr) {
      replica.desk->OnDone(ticket);
    }
  }
}

// Of a write that met a lock and for whose answer nobody waits any more.
void ApplyLoop::EndTicket(Replica& replica, const PendingWrite& write,
                          const CommandOutcome& outcome) {
  if (write.ticket == 0 || outcome.verdict != CommandOutcome::Verdict::kLocked) return;
  if (replica.desk != nullptr) replica.desk->OnDone(write.ticket);
}

void ApplyLoop::WaitForLock(Replica& replica, const v1::Command& command, PendingWrite write) {
  const raft::GroupId group = replica.machine->group();
  if (replica.desk == nullptr) return AnswerLocked(group, write, false);
  replica.desk->OnTurnedAway(std::move(write), command, ports_.clock.Now());
}

void ApplyLoop::AnswerLocked(raft::GroupId group, const PendingWrite& write, bool out_of_time) {
  if (write.sink == nullptr) return;
  v1::Response response;
  response.set_id(write.request_id);
  response.set_outcome(v1::OUTCOME_NOT_APPLIED);
  if (out_of_time) {
    response.set_code(v1::CODE_DEADLINE);
    response.set_message("a transaction held the key for as long as was given");
  } else {
    response.set_code(write.age ? v1::CODE_LOCKED : v1::CODE_UNAVAILABLE);
    response.set_message("a transaction has locked the key");
    response.set_retry_after_ms(kRetryAfterLockedMs);
  }
  replies_.Answer(group, write, std::move(response));
}

void ApplyLoop::AnswerCommit(raft::GroupId group, const PendingCommit& commit,
                             const txn::CommitAnswer& answer, Stamp clock) {
  using Verdict = txn::CommitAnswer::Verdict;
  if (answer.verdict == Verdict::kForgotten) {
    return RefuseCommit(group, commit, v1::CODE_FORGOTTEN, v1::OUTCOME_UNKNOWN,
                        "what became of the transaction is not known any more");
  }
  if (answer.verdict == Verdict::kNotOwner) {
    return RefuseCommit(group, commit, v1::CODE_WRONG_SHARD, v1::OUTCOME_NOT_APPLIED,
                        "the slot had moved to another shard");
  }
  v1::Response response;
  response.set_id(commit.request_id);
  if (answer.verdict == Verdict::kCommitted) {
    response.set_outcome(v1::OUTCOME_APPLIED);
    response.mutable_commit()->set_commit(answer.commit);
    if (answer.values) SetValues(*answer.values, *response.mutable_commit());
  } else {
    response.set_code(v1::CODE_ABORTED);
    response.set_outcome(v1::OUTCOME_NOT_APPLIED);
    response.mutable_commit()->set_reason(FromReason(answer.reason));
    response.set_message(Text(answer.reason));
  }
  response.set_clock(std::max({answer.commit, clock, Find(group).machine->highest_stamp()}));
  replies_.Answer(group, commit, std::move(response));
}

void ApplyLoop::RefuseCommit(raft::GroupId group, const PendingCommit& commit, v1::Code code,
                             v1::Outcome outcome, const char* why) {
  v1::Response response;
  response.set_id(commit.request_id);
  response.set_code(code);
  response.set_outcome(outcome);
  response.set_message(why);
  // So that a number which is older than what was forgotten can be issued anew above it.
  if (const auto place = replicas_.find(group); place != replicas_.end()) {
    response.set_clock(place->second.machine->highest_stamp());
  }
  if (code == v1::CODE_NOT_LEADER) *response.mutable_leader() = ports_.leader(group.value());
  if (code == v1::CODE_UNAVAILABLE) response.set_retry_after_ms(kRetryAfterElectionMs);
  replies_.Answer(group, commit, std::move(response));
}

void ApplyLoop::TakeBlocked(Replica& replica, std::vector<PendingRead>& reads) {
  const txn::TxnShard* shard = replica.machine->txn();
  if (shard == nullptr || shard->state().locks.keys() == 0) return;
  const auto is_blocked = [&](const PendingRead& read) {
    const v1::Request& request = read.request;
    if (request.has_get()) {
      return shard->BlocksRead(request.get().key(), request.get().at());
    }
    if (request.has_scan()) {
      return shard->BlocksScan(request.scan().from(), request.scan().to(), request.scan().at());
    }
    return false;  // a validation is refused
  };
  const auto blocked = std::stable_partition(
      reads.begin(), reads.end(), [&](const PendingRead& read) { return !is_blocked(read); });
  for (auto read = blocked; read != reads.end(); ++read) {
    replica.blocked.Add(std::move(*read));
    counters_.blocked_reads.fetch_add(1, std::memory_order_relaxed);
  }
  reads.erase(blocked, reads.end());
}

void ApplyLoop::ServeAgain(Replica& replica, std::vector<PendingRead> reads) {
  if (!reads.empty()) Serve(replica, reads);
}

}  // namespace basalt::server
