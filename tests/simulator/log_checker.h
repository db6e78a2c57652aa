// LogChecker: what the logs of a group hold, entry by entry.
//
// - Log matching: entries of one index and term are the same, and so is all that precedes them
//   (each entry is compared with its predecessor's term too; the rest follows by induction).
// - A committed entry never changes: whatever any replica was given to apply at an index, all are.
// - Leader completeness: a new leader's log holds every entry that was committed before its term.
// - Durability: what a process reads from its disk is what its predecessor knew to be durable, and
//   perhaps some of what that one had queued behind it, in order.
// - Term and vote never go back over restarts.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

class LogChecker final : public ReplicaWatcher {
 public:
  explicit LogChecker(Findings& findings) : findings_(findings) {}

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override;
  void OnQueued(uint64_t node, const raft::LogWrite& write) override;
  void OnDurable(uint64_t node, const raft::PersistDone& done) override;
  void OnReceived(uint64_t node, const raft::Message& message) override;
  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnDied(uint64_t node) override;
  void OnRemoved(uint64_t node, raft::GroupId group) override { replicas_.erase({node, group}); }

  uint64_t committed(raft::GroupId group) { return groups_[group].committed.size(); }

 private:
  struct Seen {
    raft::Term term;
    uint64_t digest = 0;  // of kind and payload
    bool operator==(const Seen&) const = default;
  };
  struct Known {
    Seen entry;
    raft::Term previous;
  };
  // A replica's log: entries from base + 1 on.
  struct Log {
    raft::HardState hard_state;
    raft::LogIndex base;
    raft::Term base_term;
    std::deque<Seen> entries;

    raft::LogIndex last() const { return base + entries.size(); }
    raft::Term TermAt(raft::LogIndex index) const;
    bool Holds(raft::LogIndex index) const { return index > base && index <= last(); }
  };
  // As much of a raft::Persist as is compared.
  struct Change {
    raft::PersistId id;
    std::optional<raft::HardState> hard_state;
    std::optional<raft::LogIndex> base;
    raft::Term base_term;
    raft::LogIndex first;
    std::vector<Seen> entries;
  };
  struct Replica {
    raft::ReplicaId id;
    bool opened = false;
    Log queued;
    Log durable;
    std::deque<Change> pending;
  };
  struct Committed {
    Seen entry;
    raft::Term by;  // at most this term's leader committed it
  };
  struct Group {
    std::vector<std::vector<Known>> known;  // by index
    std::vector<Committed> committed;       // by index - 1
    raft::Configuration members;            // the newest that was committed
  };

  static Change ChangeOf(const raft::Persist& persist);
  static void Do(const Change& change, Log& log);
  static std::string Difference(const Log& expected, const Log& found);
  void Match(raft::GroupId group, raft::LogIndex index, const Known& known);
  void JudgeTruncation(raft::GroupId group, const Replica& replica, const Change& change);
  // Of the newest members that were committed; false while these change.
  bool IsOnMajority(raft::GroupId group, raft::LogIndex index, const Seen& entry);

  Findings& findings_;
  std::map<std::pair<uint64_t, raft::GroupId>, Replica> replicas_;
  std::map<raft::GroupId, Group> groups_;
};

}  // namespace basalt::testing
