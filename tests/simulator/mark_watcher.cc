#include "tests/simulator/mark_watcher.h"

#include <algorithm>
#include <variant>

namespace basalt::testing {

bool MarkWatcher::IsDeposed(uint64_t node, raft::GroupId group) const {
  const auto leading = leading_.find({node, group});
  const auto newest = newest_term_.find(group);
  return leading != leading_.end() && newest != newest_term_.end() &&
         leading->second.term < newest->second;
}

bool MarkWatcher::Leads(uint64_t node) const {
  return std::any_of(leading_.begin(), leading_.end(),
                     [node](const auto& entry) { return entry.first.first == node; });
}

void MarkWatcher::OnOpened(uint64_t node, const raft::CoreOptions& options,
                           const raft::RecoveredState& /*recovered*/) {
  if (!options.leases) without_leases_.insert({node, options.group});
  priority_[options.node] = options.priority;
}

void MarkWatcher::OnSent(uint64_t node, const raft::Message& message) {
  if (std::holds_alternative<raft::ReadRequest>(message.body)) {
    findings_.Mark("a follower asked its leader for a read");
  } else if (std::holds_alternative<raft::TimeoutNow>(message.body)) {
    findings_.Mark("a leader handed over");
    if (priority_[raft::NodeId(node)] < priority_[message.to_node]) {
      findings_.Mark("a leader handed over to a more willing one");
    }
  }
  const auto* heartbeat = std::get_if<raft::HeartbeatRequest>(&message.body);
  if (heartbeat == nullptr) return;
  const auto leading = leading_.find({node, message.group});
  if (leading == leading_.end() || leading->second.term != message.term) return;
  leading->second.newest_round = std::max(leading->second.newest_round, heartbeat->round);
}

void MarkWatcher::OnReceived(uint64_t node, const raft::Message& message) {
  const Place place{node, message.group};
  if (const auto* reply = std::get_if<raft::HeartbeatReply>(&message.body)) {
    const auto leading = leading_.find(place);
    if (leading == leading_.end()) return;
    if (message.term < leading->second.term) {
      findings_.Mark("a reply to an earlier leadership came late");
    } else if (reply->round < leading->second.newest_round) {
      findings_.Mark("a reply to an earlier round of heartbeats came late");
    }
    std::optional<raft::Round>& waits_behind = leading->second.read_waits_behind;
    if (!waits_behind || message.term != leading->second.term) return;
    if (reply->round <= *waits_behind) {
      findings_.Mark("a reply to an earlier round came while a read waited");
    } else {
      waits_behind.reset();
    }
  } else if (const auto* answer = std::get_if<raft::ReadReply>(&message.body)) {
    if (answer->confirmed) findings_.Mark("a leader confirmed a follower's read");
  } else if (std::holds_alternative<raft::AppendRequest>(message.body)) {
    if (installing_.contains(place)) {
      findings_.Mark("an append arrived while a checkpoint was being installed");
    }
  }
}

void MarkWatcher::OnCommitted(uint64_t node, raft::GroupId group,
                              std::span<const raft::Entry> entries) {
  if (!entries.empty()) committed_term_[{node, group}] = entries.back().term;
}

void MarkWatcher::OnReadAsked(uint64_t node, raft::GroupId group) {
  const auto leading = leading_.find({node, group});
  if (leading == leading_.end()) return;
  if (without_leases_.contains({node, group})) {
    leading->second.read_waits_behind = leading->second.newest_round;
  }
  if (IsDeposed(node, group)) findings_.Mark("a read was asked of a leader that had a successor");
  if (committed_term_[{node, group}] < leading->second.term) {
    findings_.Mark("a read was asked before the first commit of the term");
  }
}

void MarkWatcher::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader,
                           raft::Term term) {
  leading_.erase({node, group});
  if (leader.value() != node) return;
  leading_[{node, group}] = {term, {}};
  if (taking_turns_.erase({node, group}) > 0)
    findings_.Mark("a replica that took turns was elected");
  if (priority_[raft::NodeId(node)] == 0) findings_.Mark("one led that would rather not");
  newest_term_[group] = std::max(newest_term_[group], term);
}

void MarkWatcher::OnInstall(uint64_t node, raft::GroupId group, bool begins) {
  if (begins) {
    installing_.insert({node, group});
  } else {
    installing_.erase({node, group});
  }
}

void MarkWatcher::OnState(uint64_t node, const server::GroupState& state) {
  const Place place{node, state.group};
  if (state.core.takes_turns) {
    taking_turns_.insert(place);
  } else if (taking_turns_.erase(place) > 0 &&
             state.core.leadership.role == raft::Role::kFollower &&
             state.core.leadership.leader != raft::ReplicaId(0)) {
    findings_.Mark("a leader was heard by a replica that took turns");
  }
}

void MarkWatcher::OnDied(uint64_t node) {
  std::erase_if(leading_, [node](const auto& entry) { return entry.first.first == node; });
  std::erase_if(taking_turns_, [node](const Place& place) { return place.first == node; });
  for (auto place = installing_.begin(); place != installing_.end();) {
    if (place->first != node) {
      ++place;
      continue;
    }
    findings_.Mark("died while a checkpoint was being installed");
    place = installing_.erase(place);
  }
}

}  // namespace basalt::testing
