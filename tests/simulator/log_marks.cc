#include "tests/simulator/log_marks.h"

#include <algorithm>
#include <variant>

#include "raft/core/configuration.h"

namespace basalt::testing {
namespace {

// Of the newest members that were committed; false while these change.
bool IsOnMajority(const GroupLogs& group, raft::LogIndex index, const SeenEntry& entry) {
  const raft::Configuration& members = group.members;
  if (raft::IsJoint(members)) return false;
  const auto voters =
      std::count_if(members.members.begin(), members.members.end(),
                    [](const raft::Member& member) { return raft::IsVoting(member.role); });
  const auto holders =
      std::count_if(group.replicas.begin(), group.replicas.end(), [&](const auto& place) {
        const SeenLog& log = place.second.durable;
        return log.Holds(index) && raft::IsVoter(members, place.second.id) &&
               log.At(index) == entry;
      });
  return holders > voters / 2;
}

bool IsOlder(const SeenLog& log, const SeenLog& other) {
  return std::pair(log.TermAt(log.last()), log.last()) <
         std::pair(other.TermAt(other.last()), other.last());
}

bool IsFromLeader(const raft::Message& message) {
  return std::holds_alternative<raft::AppendRequest>(message.body) ||
         std::holds_alternative<raft::HeartbeatRequest>(message.body);
}

}  // namespace

void LogMarks::OnOpened(const GroupLogs& before, uint64_t node, const Opened& opened) {
  const ReplicaLog& replica = before.replicas.at(node);
  if (!replica.opened || replica.id != opened.replica) return;
  if (opened.applied < opened.found.last()) {
    findings_.Mark("entries applied again after a restart");
  }
}

void LogMarks::OnQueued(const GroupLogs& before, uint64_t node, const LogChange& change) {
  const SeenLog& log = before.replicas.at(node).queued;
  if (change.entries.empty() || change.first > log.last()) return;
  findings_.Mark("conflicting entries replaced");
  for (raft::LogIndex index = std::max(change.first, log.base + 1); index <= log.last(); ++index) {
    if (IsOnMajority(before, index, log.At(index))) {
      findings_.Mark("an entry that a majority held was replaced");
    }
  }
}

// The sender must lead by its own word and by all others': what a deposed leader sent arrives late
// in every run.
void LogMarks::NoteMeeting(const GroupLogs& before, uint64_t node, const raft::Message& message) {
  const ReplicaLog& replica = before.replicas.at(node);
  if (replica.id != message.to) return;
  const raft::Term term = replica.queued.hard_state.term;
  const auto known = ahead_.find({before.id, node});
  if (known != ahead_.end() && message.term >= known->second.term) {
    if (known->second.replica == replica.id && message.term >= term) {
      findings_.Mark("a replica of a higher term and an older log came back");
    }
    ahead_.erase(known);
  }
  if (term <= message.term || message.term != led_[before.id]) return;
  const auto leader =
      std::find_if(before.replicas.begin(), before.replicas.end(),
                   [&message](const auto& place) { return place.second.id == message.from; });
  if (leader == before.replicas.end()) return;
  const SeenLog& log = leader->second.queued;
  if (log.hard_state.term != message.term || !IsOlder(replica.queued, log)) return;
  ahead_[{before.id, node}] = {replica.id, term};
}

void LogMarks::OnReceived(const GroupLogs& before, uint64_t node, const raft::Message& message) {
  if (IsFromLeader(message)) NoteMeeting(before, node, message);
  const SeenLog& log = before.replicas.at(node).queued;
  if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
    const raft::LogIndex end = append->previous_index + append->entries.size();
    if (!append->entries.empty() && end < log.last() &&
        log.TermAt(end) == append->entries.back().term) {
      findings_.Mark("an old append arrived after a longer log");
    }
  } else if (const auto* checkpoint = std::get_if<raft::CheckpointArrived>(&message.body)) {
    const raft::LogBase& base = checkpoint->base;
    if (base.index <= log.base) {
      findings_.Mark("a checkpoint arrived no newer than the log's base");
    } else if (log.Holds(base.index) && log.At(base.index).term == base.term) {
      findings_.Mark("a checkpoint arrived that the log had overtaken");
    }
  }
}

void LogMarks::OnElected(const GroupLogs& before, uint64_t node, raft::Term term) {
  led_[before.id] = std::max(led_[before.id], term);
  ahead_.erase({before.id, node});
  if (before.replicas.at(node).queued.last().value() > before.committed.size() + 1) {
    findings_.Mark("a new leader holds entries that were not known to be committed");
  }
}

void LogMarks::OnDied(const GroupLogs& before, uint64_t node) {
  const ReplicaLog& replica = before.replicas.at(node);
  for (const LogChange& change : replica.pending) {
    if (change.hard_state && change.hard_state->voted_for != raft::ReplicaId(0)) {
      findings_.Mark("died with a vote that was not durable");
    }
    if (!change.entries.empty() && change.first <= replica.durable.last()) {
      findings_.Mark("died while a conflicting suffix was being replaced");
    }
  }
}

}  // namespace basalt::testing
