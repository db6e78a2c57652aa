#include "raft/core/core_state.h"

#include <algorithm>

#include "base/check.h"
#include "raft/core/election.h"
#include "raft/core/lease.h"

namespace basalt::raft {
namespace {

uint64_t MixedSeed(const CoreOptions& options) {
  // A node may give all its groups one seed; equal timeouts everywhere would be an election storm.
  return options.seed ^ (options.self.value() * 0x9e3779b97f4a7c15ULL) ^
         (options.group.value() * 0xc2b2ae3d27d4eb4fULL);
}

}  // namespace

CoreState::CoreState(const CoreOptions& core_options, RecoveredState recovered)
    : options(core_options),
      random(MixedSeed(core_options)),
      hard_state(recovered.hard_state),
      log(std::move(recovered.base), std::move(recovered.entries)),
      persists(log.last()),
      commit(recovered.applied.index),
      handed_to_apply(recovered.applied.index),
      applied(recovered.applied.index),
      // Every answer to a leader rests on a durable term.
      restarted(recovered.hard_state.term != Term(0)),
      priority(core_options.priority) {
  BASALT_CHECK(options.self.value() != 0);
  BASALT_CHECK(options.heartbeat_ticks > 0);
  BASALT_CHECK(options.election_timeout_ticks > options.heartbeat_ticks);
  BASALT_CHECK(options.promise <= options.election_timeout);
  BASALT_CHECK(!options.leases || (options.lease_duration > Time(0) &&
                                   options.lease_duration <= PromiseLength(options)));
  BASALT_CHECK(recovered.applied.index >= log.base().index);
  if (!log.Holds(recovered.applied.index, recovered.applied.term)) {
    // The state machine is ahead of the log, or beside it: a checkpoint was installed and the log
    // was not told before the crash. What it holds behind that place was never acknowledged by a
    // log that held the place itself.
    log.ResetTo(std::move(recovered.applied));
    persists.LogDropped(log.base().index);
    dirty = true;
  }
  // Without a configuration it was made to join a group, and waits for a checkpoint.
  BASALT_CHECK(IsWellFormed(configuration()) ||
               (configuration().members.empty() && log.last() == LogIndex(0)));
  // A log never holds entries of a term that was not durable before them.
  BASALT_CHECK(log.last_term() <= hard_state.term || log.last() == log.base().index);
  if (hard_state.term < log.last_term()) {
    // A checkpoint of a later term was installed and the term was not yet durable.
    hard_state = HardState{log.last_term(), ReplicaId(0)};
    persists.HardStateChanged();
    dirty = true;
  }
  RestartElectionTimer(*this);
  reported = CurrentLeadership();
  TrimMemory();
}

Leadership CoreState::CurrentLeadership() const {
  Leadership current{Role::kFollower, term(), ReplicaId(0)};
  if (const auto* follower = std::get_if<FollowerRole>(&role)) {
    current.leader = follower->leader;
  } else if (std::holds_alternative<PreCandidateRole>(role)) {
    current.role = Role::kPreCandidate;
  } else if (std::holds_alternative<CandidateRole>(role)) {
    current.role = Role::kCandidate;
  } else {
    current.role = Role::kLeader;
    current.leader = self();
  }
  return current;
}

FollowerProgress* CoreState::FindFollower(ReplicaId replica) {
  if (LeaderRole* leading = leader()) {
    for (FollowerProgress& follower : leading->followers) {
      if (follower.replica == replica) return &follower;
    }
  }
  return nullptr;
}

NodeId CoreState::NodeOf(ReplicaId replica) const {
  const Member* member = FindMember(configuration(), replica);
  if (member != nullptr) return member->node;
  return replica == sender ? sender_node : NodeId(0);
}

void CoreState::SendAtTerm(ReplicaId to, Term message_term, Body body) {
  const NodeId node = NodeOf(to);
  if (node == NodeId(0)) return;
  effects.messages.push_back(
      {options.group, self(), to, node, message_term, std::move(body), options.node});
  dirty = true;
}

void CoreState::SendWhenDurable(ReplicaId to, Body body) {
  const NodeId node = NodeOf(to);
  if (node == NodeId(0)) return;
  effects.messages_after_persist.push_back(
      {options.group, self(), to, node, term(), std::move(body), options.node});
  dirty = true;
}

void CoreState::SendWhenHardStateDurable(ReplicaId to, Body body) {
  if (persists.IsHardStateDurable()) {
    Send(to, std::move(body));
  } else {
    SendWhenDurable(to, std::move(body));
  }
}

void CoreState::CommitUpTo(LogIndex index) {
  index = std::min(index, log.last());
  if (index <= commit) return;
  commit = index;
  if (LeaderRole* leading = leader()) leading->uncommitted.ReleaseUpTo(commit);
  dirty = true;
}

void CoreState::TrimMemory() { log.EvictUpTo(durable(), options.memory_bytes_max); }

}  // namespace basalt::raft
