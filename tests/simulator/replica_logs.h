// ReplicaLogs: what the log of each replica holds, queued and durable, and what each group has
// committed, as far as the watched writes show. It judges nothing: LogWatchers do.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

// An entry as far as it is compared.
struct SeenEntry {
  raft::Term term;
  uint64_t digest = 0;  // of kind and payload
  bool operator==(const SeenEntry&) const = default;
};

// As much of a raft::Persist as is compared.
struct LogChange {
  raft::PersistId id;
  std::optional<raft::HardState> hard_state;
  std::optional<raft::LogIndex> base;
  raft::Term base_term;
  raft::LogIndex first;  // of `entries`
  std::vector<SeenEntry> entries;
};

// A replica's log: entries from base + 1 on.
struct SeenLog {
  raft::HardState hard_state;
  raft::LogIndex base;
  raft::Term base_term;
  std::deque<SeenEntry> entries;

  raft::LogIndex last() const { return base + entries.size(); }
  bool Holds(raft::LogIndex index) const { return index > base && index <= last(); }
  // Of one that it holds.
  const SeenEntry& At(raft::LogIndex index) const {
    return entries[index.value() - base.value() - 1];
  }
  // Also of the base; 0: of none that it knows.
  raft::Term TermAt(raft::LogIndex index) const;
  void Take(const LogChange& change);
};

struct ReplicaLog {
  raft::ReplicaId id;
  bool opened = false;
  SeenLog queued;
  SeenLog durable;
  std::deque<LogChange> pending;  // what `queued` has and `durable` has not, in order
};

struct CommittedEntry {
  SeenEntry entry;
  raft::Term by;  // at most this term's leader committed it
};

struct GroupLogs {
  raft::GroupId id;
  std::map<uint64_t, ReplicaLog> replicas;  // by node
  std::vector<CommittedEntry> committed;    // by index - 1
  raft::Configuration members;              // the newest that was committed
};

// Told of each event before it changes the logs: `before` is what they held until then, and has a
// replica at `node`.
class LogWatcher {
 public:
  struct Opened {
    raft::ReplicaId replica;
    SeenLog found;
    raft::LogIndex applied;
  };

  virtual ~LogWatcher() = default;
  // A process has read its log from the disk.
  virtual void OnOpened(const GroupLogs& /*before*/, uint64_t /*node*/, const Opened& /*opened*/) {}
  virtual void OnQueued(const GroupLogs& /*before*/, uint64_t /*node*/,
                        const LogChange& /*change*/) {}
  virtual void OnReceived(const GroupLogs& /*before*/, uint64_t /*node*/,
                          const raft::Message& /*message*/) {}
  // The node was given `entries` to apply, from `first` on.
  virtual void OnCommitted(const GroupLogs& /*before*/, uint64_t /*node*/, raft::LogIndex /*first*/,
                           std::span<const SeenEntry> /*entries*/) {}
  // The node leads from now on.
  virtual void OnElected(const GroupLogs& /*before*/, uint64_t /*node*/, raft::Term /*term*/) {}
  virtual void OnDied(const GroupLogs& /*before*/, uint64_t /*node*/) {}
};

class ReplicaLogs final : public ReplicaWatcher {
 public:
  // The watcher outlives this.
  void Add(LogWatcher& watcher) { watchers_.push_back(&watcher); }

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override;
  void OnQueued(uint64_t node, const raft::LogWrite& write) override;
  void OnDurable(uint64_t node, const raft::PersistDone& done) override;
  void OnReceived(uint64_t node, const raft::Message& message) override;
  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnDied(uint64_t node) override;
  void OnRemoved(uint64_t node, raft::GroupId group) override;

 private:
  // With a replica at `node`, if only an empty one.
  GroupLogs& GroupOf(raft::GroupId id, uint64_t node);

  std::map<raft::GroupId, GroupLogs> groups_;
  std::vector<LogWatcher*> watchers_;
};

// " at index I of group G": how violations end.
std::string AtIndex(const GroupLogs& group, raft::LogIndex index);

}  // namespace basalt::testing
