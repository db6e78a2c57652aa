#include "tests/simulator/membership_marks.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace basalt::testing {

void MembershipMarks::OnOpened(uint64_t node, const raft::CoreOptions& options,
                               const raft::RecoveredState& recovered) {
  Replica replica;
  replica.id = options.self;
  const raft::LogBase& base = recovered.base;
  replica.configurations.push_back({{base.index, base.term}, base.configuration});
  replica.last = base.index + recovered.entries.size();
  replica.leases = options.leases;
  for (const raft::Entry& entry : recovered.entries) {
    if (auto configuration = raft::ConfigurationOf(entry)) {
      replica.configurations.push_back({{entry.index, entry.term}, *std::move(configuration)});
    }
  }
  if (recovered.applied.index > replica.last) NoteBase(replica, recovered.applied);
  NoteCommit(replica, groups_[options.group], recovered.applied.index);
  replicas_[{node, options.group}] = std::move(replica);
}

void MembershipMarks::NoteBase(Replica& replica, const raft::LogBase& base) {
  std::vector<Placed>& placed = replica.configurations;
  if (base.index <= replica.last) {
    while (placed.size() > 1 && placed[1].position.first <= base.index) {
      placed.erase(placed.begin());
    }
    return;
  }
  if (placed.back().configuration.members.empty()) {
    findings_.Mark("a checkpoint told a new replica its members");
  } else if (placed.back().configuration != base.configuration) {
    findings_.Mark("a checkpoint brought other members");
  }
  placed = {{{base.index, base.term}, base.configuration}};
  replica.last = base.index;
}

void MembershipMarks::NoteCommit(const Replica& replica, Group& group, raft::LogIndex commit) {
  for (const Placed& placed : replica.configurations) {
    if (placed.position.first <= commit) group.committed_positions.insert(placed.position);
  }
}

void MembershipMarks::OnQueued(uint64_t node, const raft::LogWrite& write) {
  Replica& replica = replicas_[{node, write.group}];
  if (write.persist.base) NoteBase(replica, *write.persist.base);
  const std::vector<raft::Entry>& entries = write.persist.entries;
  if (entries.empty()) return;
  std::vector<Placed>& placed = replica.configurations;
  const Position force = placed.back().position;
  while (placed.size() > 1 && placed.back().position.first >= entries.front().index) {
    placed.pop_back();
  }
  if (placed.back().position != force) findings_.Mark("a configuration was rolled back");
  for (const raft::Entry& entry : entries) {
    auto configuration = raft::ConfigurationOf(entry);
    if (!configuration) continue;
    const Position position{entry.index, entry.term};
    std::set<Position>& successors = groups_[write.group].successors[placed.back().position];
    if (successors.insert(position).second && successors.size() == 2) {
      findings_.Mark("two leaders changed the members from one configuration");
    }
    placed.push_back({position, *std::move(configuration)});
  }
  replica.last = entries.back().index;
}

void MembershipMarks::OnSent(uint64_t node, const raft::Message& message) {
  if (!std::holds_alternative<raft::TimeoutNow>(message.body)) return;
  Replica& replica = replicas_[{node, message.group}];
  replica.told_to_take_over = message.term;
}

void MembershipMarks::OnReceived(uint64_t node, const raft::Message& message) {
  if (!std::holds_alternative<raft::VoteRequest>(message.body)) return;
  if (groups_[message.group].left.contains(message.from) &&
      replicas_.contains({node, message.group})) {
    findings_.Mark("a replica that had left asked for a vote");
  }
}

void MembershipMarks::OnCommitted(uint64_t node, raft::GroupId group,
                                  std::span<const raft::Entry> entries) {
  if (entries.empty()) return;
  Group& known = groups_[group];
  NoteCommit(replicas_[{node, group}], known, entries.back().index);
  for (const raft::Entry& entry : entries) {
    auto configuration = raft::ConfigurationOf(entry);
    if (!configuration || entry.index <= known.committed_at) continue;
    findings_.Mark(raft::IsJoint(*configuration) ? "joint configurations committed"
                                                 : "final configurations committed");
    for (const raft::Member& member : known.committed.members) {
      if (raft::FindMember(*configuration, member.replica) == nullptr) {
        known.left.insert(member.replica);
      }
    }
    known.committed = *std::move(configuration);
    known.committed_at = entry.index;
  }
}

void MembershipMarks::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader,
                               raft::Term term) {
  const auto place = replicas_.find({node, group});
  if (place == replicas_.end()) return;
  Replica& replica = place->second;
  const bool led = replica.leads != raft::Term(0);
  replica.leads = leader.value() == node ? term : raft::Term(0);
  if (!led || leader.value() == node || replica.configurations.empty()) return;
  if (!raft::IsVoter(replica.configurations.back().configuration, replica.id)) {
    findings_.Mark("a leader that had taken itself out stepped down");
  }
}

void MembershipMarks::OnReadAsked(uint64_t node, raft::GroupId group) {
  const Replica& replica = replicas_[{node, group}];
  if (!replica.leases) return;
  if (replica.leads != raft::Term(0) && replica.told_to_take_over == replica.leads) {
    findings_.Mark("a read was asked of a leader that had given its lease up");
  }
}

void MembershipMarks::OnState(uint64_t node, const server::GroupState& state) {
  const auto place = replicas_.find({node, state.group});
  if (place == replicas_.end()) return;
  Replica& replica = place->second;
  const raft::CoreStatus& core = state.core;
  NoteCommit(replica, groups_[state.group], core.commit);
  const bool leads = core.leadership.role == raft::Role::kLeader;
  const raft::ReplicaId before = std::exchange(replica.transfer_to, core.transfer_to);
  if (!leads || core.leadership.term != replica.leads) return;
  if (core.lease) replica.had_lease = replica.leads;
  if (before == raft::ReplicaId(0) || core.transfer_to != raft::ReplicaId(0)) return;
  findings_.Mark("a transfer was given up");
  if (replica.told_to_take_over == replica.leads && replica.had_lease == replica.leads) {
    findings_.Mark("a transfer was given up under a lease when its word had left");
  }
}

void MembershipMarks::OnDying(uint64_t node, const server::GroupState& state) {
  const auto place = replicas_.find({node, state.group});
  if (place != replicas_.end()) NoteCommit(place->second, groups_[state.group], state.core.commit);
}

void MembershipMarks::NoteDeath(const Replica& replica, const Group& group) {
  const std::vector<Placed>& placed = replica.configurations;
  if (placed.size() < 2 || group.committed_positions.contains(placed.back().position)) return;
  if (replica.leads == raft::Term(0)) {
    findings_.Mark("a follower died with a configuration that was not committed");
  } else if (raft::IsJoint(placed.back().configuration)) {
    findings_.Mark("a leader died with a joint configuration that was not committed");
  } else if (raft::IsJoint(placed[placed.size() - 2].configuration)) {
    findings_.Mark("a leader died with a final configuration that was not committed");
  } else {
    findings_.Mark("a leader died with new learners that were not committed");
  }
}

void MembershipMarks::OnDied(uint64_t node) {
  for (auto& [place, replica] : replicas_) {
    if (place.first != node) continue;
    NoteDeath(replica, groups_[place.second]);
    replica.leads = raft::Term(0);
    replica.transfer_to = raft::ReplicaId(0);
  }
}

}  // namespace basalt::testing
