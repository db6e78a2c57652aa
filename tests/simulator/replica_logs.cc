#include "tests/simulator/replica_logs.h"

#include <algorithm>
#include <utility>

#include "raft/core/configuration.h"
#include "tests/simulator/trace.h"

namespace basalt::testing {
namespace {

SeenEntry SeenOf(const raft::Entry& entry) {
  const uint64_t bytes = entry.payload == nullptr ? 0 : DigestOf(*entry.payload);
  return {entry.term, Mix(bytes, static_cast<uint64_t>(entry.kind))};
}

LogChange ChangeOf(const raft::Persist& persist) {
  LogChange change;
  change.id = persist.id;
  change.hard_state = persist.hard_state;
  if (persist.base) {
    change.base = persist.base->index;
    change.base_term = persist.base->term;
  }
  if (!persist.entries.empty()) change.first = persist.entries.front().index;
  change.entries.reserve(persist.entries.size());
  for (const raft::Entry& entry : persist.entries) change.entries.push_back(SeenOf(entry));
  return change;
}

}  // namespace

raft::Term SeenLog::TermAt(raft::LogIndex index) const {
  if (index == base) return base_term;
  return Holds(index) ? At(index).term : raft::Term(0);
}

void SeenLog::Take(const LogChange& change) {
  if (change.hard_state) hard_state = *change.hard_state;
  if (change.base && *change.base >= base) {
    const bool holds = *change.base <= last() && TermAt(*change.base) == change.base_term;
    const uint64_t gone = holds ? change.base->value() - base.value() : entries.size();
    entries.erase(entries.begin(), entries.begin() + static_cast<ptrdiff_t>(gone));
    base = *change.base;
    base_term = change.base_term;
  }
  if (change.entries.empty()) return;
  entries.resize(std::min<uint64_t>(entries.size(), change.first.value() - base.value() - 1));
  entries.insert(entries.end(), change.entries.begin(), change.entries.end());
}

GroupLogs& ReplicaLogs::GroupOf(raft::GroupId id, uint64_t node) {
  GroupLogs& group = groups_[id];
  group.id = id;
  group.replicas.try_emplace(node);
  return group;
}

void ReplicaLogs::OnOpened(uint64_t node, const raft::CoreOptions& options,
                           const raft::RecoveredState& recovered) {
  GroupLogs& group = GroupOf(options.group, node);
  LogWatcher::Opened opened;
  opened.replica = options.self;
  opened.applied = recovered.applied.index;
  opened.found = {recovered.hard_state, recovered.base.index, recovered.base.term, {}};
  for (const raft::Entry& entry : recovered.entries) {
    opened.found.entries.push_back(SeenOf(entry));
  }
  for (LogWatcher* watcher : watchers_) watcher->OnOpened(group, node, opened);
  group.replicas[node] = {options.self, true, opened.found, opened.found, {}};
  if (group.members.members.empty()) group.members = recovered.applied.configuration;
}

void ReplicaLogs::OnQueued(uint64_t node, const raft::LogWrite& write) {
  GroupLogs& group = GroupOf(write.group, node);
  LogChange change = ChangeOf(write.persist);
  for (LogWatcher* watcher : watchers_) watcher->OnQueued(group, node, change);
  ReplicaLog& replica = group.replicas[node];
  replica.queued.Take(change);
  replica.pending.push_back(std::move(change));
}

void ReplicaLogs::OnDurable(uint64_t node, const raft::PersistDone& done) {
  ReplicaLog& replica = GroupOf(done.group, node).replicas[node];
  while (!replica.pending.empty() && replica.pending.front().id <= done.id) {
    replica.durable.Take(replica.pending.front());
    replica.pending.pop_front();
  }
}

void ReplicaLogs::OnReceived(uint64_t node, const raft::Message& message) {
  const auto group = groups_.find(message.group);
  if (group == groups_.end() || !group->second.replicas.contains(node)) return;
  for (LogWatcher* watcher : watchers_) watcher->OnReceived(group->second, node, message);
}

void ReplicaLogs::OnCommitted(uint64_t node, raft::GroupId id,
                              std::span<const raft::Entry> entries) {
  if (entries.empty()) return;
  GroupLogs& group = GroupOf(id, node);
  std::vector<SeenEntry> seen;
  seen.reserve(entries.size());
  for (const raft::Entry& entry : entries) seen.push_back(SeenOf(entry));
  for (LogWatcher* watcher : watchers_) {
    watcher->OnCommitted(group, node, entries.front().index, seen);
  }
  const raft::Term by = group.replicas[node].queued.hard_state.term;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].index.value() != group.committed.size() + 1) continue;
    group.committed.push_back({seen[i], by});
    if (auto members = raft::ConfigurationOf(entries[i])) group.members = *std::move(members);
  }
}

void ReplicaLogs::OnLeader(uint64_t node, raft::GroupId id, raft::NodeId leader, raft::Term term) {
  if (leader.value() != node) return;
  const GroupLogs& group = GroupOf(id, node);
  for (LogWatcher* watcher : watchers_) watcher->OnElected(group, node, term);
}

void ReplicaLogs::OnDied(uint64_t node) {
  for (const auto& [id, group] : groups_) {
    if (!group.replicas.contains(node)) continue;
    for (LogWatcher* watcher : watchers_) watcher->OnDied(group, node);
  }
}

void ReplicaLogs::OnRemoved(uint64_t node, raft::GroupId group) {
  groups_[group].replicas.erase(node);
}

std::string AtIndex(const GroupLogs& group, raft::LogIndex index) {
  return " at index " + std::to_string(index.value()) + " of group " +
         std::to_string(group.id.value());
}

}  // namespace basalt::testing
