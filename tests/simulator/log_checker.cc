#include "tests/simulator/log_checker.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "raft/core/configuration.h"
#include "tests/simulator/trace.h"

namespace basalt::testing {
namespace {

uint64_t DigestOfEntry(const raft::Entry& entry) {
  const uint64_t bytes = entry.payload == nullptr ? 0 : DigestOf(*entry.payload);
  return Mix(bytes, static_cast<uint64_t>(entry.kind));
}

std::string At(raft::GroupId group, raft::LogIndex index) {
  return " at index " + std::to_string(index.value()) + " of group " +
         std::to_string(group.value());
}

}  // namespace

raft::Term LogChecker::Log::TermAt(raft::LogIndex index) const {
  if (index == base) return base_term;
  return Holds(index) ? entries[index.value() - base.value() - 1].term : raft::Term(0);
}

LogChecker::Change LogChecker::ChangeOf(const raft::Persist& persist) {
  Change change;
  change.id = persist.id;
  change.hard_state = persist.hard_state;
  if (persist.base) {
    change.base = persist.base->index;
    change.base_term = persist.base->term;
  }
  if (!persist.entries.empty()) change.first = persist.entries.front().index;
  for (const raft::Entry& entry : persist.entries) {
    change.entries.push_back({entry.term, DigestOfEntry(entry)});
  }
  return change;
}

void LogChecker::Do(const Change& change, Log& log) {
  if (change.hard_state) log.hard_state = *change.hard_state;
  if (change.base && *change.base >= log.base) {
    const bool holds = *change.base <= log.last() && log.TermAt(*change.base) == change.base_term;
    const uint64_t gone = holds ? change.base->value() - log.base.value() : log.entries.size();
    log.entries.erase(log.entries.begin(), log.entries.begin() + static_cast<ptrdiff_t>(gone));
    log.base = *change.base;
    log.base_term = change.base_term;
  }
  if (change.entries.empty()) return;
  log.entries.resize(
      std::min<uint64_t>(log.entries.size(), change.first.value() - log.base.value() - 1));
  log.entries.insert(log.entries.end(), change.entries.begin(), change.entries.end());
}

// Empty: `found` may stand for `expected`. What was compacted away may be there still.
std::string LogChecker::Difference(const Log& expected, const Log& found) {
  if (found.hard_state != expected.hard_state) return "term or vote differ";
  if (found.last() != expected.last()) {
    return "it ends at " + std::to_string(found.last().value()) + " instead of " +
           std::to_string(expected.last().value());
  }
  const raft::LogIndex from = std::max(expected.base, found.base);
  for (raft::LogIndex index = from + 1; index <= found.last(); ++index) {
    if (found.entries[index.value() - found.base.value() - 1] !=
        expected.entries[index.value() - expected.base.value() - 1]) {
      return "entry " + std::to_string(index.value()) + " differs";
    }
  }
  return "";
}

void LogChecker::OnOpened(uint64_t node, const raft::CoreOptions& options,
                          const raft::RecoveredState& recovered) {
  Replica& replica = replicas_[{node, options.group}];
  Log found{recovered.hard_state, recovered.base.index, recovered.base.term, {}};
  for (const raft::Entry& entry : recovered.entries) {
    found.entries.push_back({entry.term, DigestOfEntry(entry)});
  }
  if (replica.opened && replica.id == options.self) {
    std::string difference = Difference(replica.durable, found);
    while (!difference.empty() && !replica.pending.empty()) {
      Do(replica.pending.front(), replica.durable);
      replica.pending.pop_front();
      const std::string next = Difference(replica.durable, found);
      if (next.empty()) findings_.Mark("a write that nobody knew to be durable survived");
      difference = next;
    }
    if (!difference.empty()) {
      findings_.Violation("node " + std::to_string(node) + " reads another log of group " +
                          std::to_string(options.group.value()) +
                          " than it had made durable: " + difference);
    }
    if (recovered.applied.index < found.last())
      findings_.Mark("entries applied again after a restart");
  }
  replica = {options.self, true, found, found, {}};
  raft::Configuration& members = groups_[options.group].members;
  if (members.members.empty()) members = recovered.applied.configuration;
}

void LogChecker::Match(raft::GroupId group, raft::LogIndex index, const Known& known) {
  std::vector<std::vector<Known>>& all = groups_[group].known;
  if (all.size() <= index.value()) all.resize(index.value() + 1);
  for (const Known& other : all[index.value()]) {
    if (other.entry.term != known.entry.term) continue;
    if (other.entry != known.entry || other.previous != known.previous) {
      findings_.Violation("two logs differ in an entry of term " +
                          std::to_string(known.entry.term.value()) + At(group, index));
    }
    return;
  }
  all[index.value()].push_back(known);
}

bool LogChecker::IsOnMajority(raft::GroupId group, raft::LogIndex index, const Seen& entry) {
  const raft::Configuration& members = groups_[group].members;
  if (raft::IsJoint(members)) return false;
  const auto voters =
      std::count_if(members.members.begin(), members.members.end(),
                    [](const raft::Member& member) { return raft::IsVoting(member.role); });
  int64_t holders = 0;
  for (const auto& [place, replica] : replicas_) {
    const Log& log = replica.durable;
    if (place.second == group && log.Holds(index) && raft::IsVoter(members, replica.id) &&
        log.entries[index.value() - log.base.value() - 1] == entry) {
      ++holders;
    }
  }
  return holders > voters / 2;
}

// What a write throws away.
void LogChecker::JudgeTruncation(raft::GroupId group, const Replica& replica,
                                 const Change& change) {
  const Log& log = replica.queued;
  if (change.entries.empty() || change.first > log.last()) return;
  findings_.Mark("conflicting entries replaced");
  const std::vector<Committed>& committed = groups_[group].committed;
  for (raft::LogIndex index = change.first; index <= log.last(); ++index) {
    const Seen& entry = log.entries[index.value() - log.base.value() - 1];
    if (index.value() <= committed.size() && committed[index.value() - 1].entry == entry) {
      findings_.Violation("a replica throws a committed entry away" + At(group, index));
      return;
    }
    if (IsOnMajority(group, index, entry)) {
      findings_.Mark("an entry that a majority held was replaced");
    }
  }
}

void LogChecker::OnQueued(uint64_t node, const raft::LogWrite& write) {
  Replica& replica = replicas_[{node, write.group}];
  Change change = ChangeOf(write.persist);
  JudgeTruncation(write.group, replica, change);
  raft::Term previous = replica.queued.TermAt(change.first - 1);
  if (change.base && !change.entries.empty() && *change.base == change.first - 1) {
    previous = change.base_term;
  }
  raft::LogIndex index = change.first;
  for (const Seen& entry : change.entries) {
    Match(write.group, index, {entry, previous});
    previous = entry.term;
    ++index;
  }
  Do(change, replica.queued);
  replica.pending.push_back(std::move(change));
}

void LogChecker::OnDurable(uint64_t node, const raft::PersistDone& done) {
  Replica& replica = replicas_[{node, done.group}];
  while (!replica.pending.empty() && replica.pending.front().id <= done.id) {
    Do(replica.pending.front(), replica.durable);
    replica.pending.pop_front();
  }
}

void LogChecker::OnReceived(uint64_t node, const raft::Message& message) {
  const auto place = replicas_.find({node, message.group});
  if (place == replicas_.end()) return;
  const Log& log = place->second.queued;
  if (const auto* append = std::get_if<raft::AppendRequest>(&message.body)) {
    const raft::LogIndex end = append->previous_index + append->entries.size();
    if (!append->entries.empty() && end < log.last() &&
        log.TermAt(end) == append->entries.back().term) {
      findings_.Mark("an old append arrived after a longer log");
    }
  } else if (const auto* checkpoint = std::get_if<raft::CheckpointArrived>(&message.body)) {
    if (checkpoint->base.index <= log.base || log.Holds(checkpoint->base.index)) {
      findings_.Mark("a checkpoint arrived that the log had overtaken");
    }
  }
}

void LogChecker::OnCommitted(uint64_t node, raft::GroupId group,
                             std::span<const raft::Entry> entries) {
  std::vector<Committed>& committed = groups_[group].committed;
  const raft::Term by = replicas_[{node, group}].queued.hard_state.term;
  for (const raft::Entry& entry : entries) {
    const Seen seen{entry.term, DigestOfEntry(entry)};
    const uint64_t place = entry.index.value() - 1;
    if (place > committed.size()) {
      findings_.Violation("applied with a gap before it" + At(group, entry.index));
      return;
    }
    if (place == committed.size()) {
      committed.push_back({seen, by});
      if (auto members = raft::ConfigurationOf(entry)) {
        groups_[group].members = *std::move(members);
      }
    } else if (committed[place].entry != seen) {
      findings_.Violation("node " + std::to_string(node) + " applies another entry" +
                          At(group, entry.index));
    }
  }
}

void LogChecker::OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader,
                          raft::Term term) {
  if (leader.value() != node) return;
  const Log& log = replicas_[{node, group}].queued;
  const std::vector<Committed>& committed = groups_[group].committed;
  if (log.last().value() > committed.size() + 1) {
    findings_.Mark("a new leader holds entries that were not known to be committed");
  }
  for (uint64_t place = log.base.value(); place < committed.size(); ++place) {
    if (committed[place].by >= term) continue;  // perhaps by a later leader, which this one is not
    const raft::LogIndex index(place + 1);
    if (!log.Holds(index) || log.entries[place - log.base.value()] != committed[place].entry) {
      findings_.Violation("the leader of term " + std::to_string(term.value()) +
                          " lacks what was committed" + At(group, index));
      return;
    }
  }
}

void LogChecker::OnDied(uint64_t node) {
  for (auto& [place, replica] : replicas_) {
    if (place.first != node) continue;
    for (const Change& change : replica.pending) {
      if (change.hard_state && change.hard_state->voted_for != raft::ReplicaId(0)) {
        findings_.Mark("died with a vote that was not durable");
      }
      if (!change.entries.empty() && change.first <= replica.durable.last()) {
        findings_.Mark("died while a conflicting suffix was being replaced");
      }
    }
  }
}

}  // namespace basalt::testing
