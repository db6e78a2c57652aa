// MembershipMarks: notes the moments that changes of members and of leaders are dangerous in. It
// judges nothing. It reads configurations off the logs, as cores do.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "raft/core/configuration.h"
#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

class MembershipMarks final : public ReplicaWatcher {
 public:
  explicit MembershipMarks(Findings& findings) : findings_(findings) {}

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override;
  void OnQueued(uint64_t node, const raft::LogWrite& write) override;
  void OnSent(uint64_t node, const raft::Message& message) override;
  void OnReceived(uint64_t node, const raft::Message& message) override;
  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnReadAsked(uint64_t node, raft::GroupId group) override;
  void OnState(uint64_t node, const server::GroupState& state) override;
  void OnDying(uint64_t node, const server::GroupState& state) override;
  void OnDied(uint64_t node) override;
  void OnRemoved(uint64_t node, raft::GroupId group) override { replicas_.erase({node, group}); }

 private:
  using Position = std::pair<raft::LogIndex, raft::Term>;
  struct Placed {
    Position position;
    raft::Configuration configuration;
  };
  struct Replica {
    raft::ReplicaId id;
    std::vector<Placed> configurations;  // of its log, the base's first; the newest is in force
    raft::LogIndex last;
    bool leases = false;
    raft::Term leads;              // 0: it does not
    raft::Term told_to_take_over;  // this replica's leadership of that term sent TimeoutNow
    raft::Term had_lease;
    raft::ReplicaId transfer_to;
  };
  struct Group {
    raft::Configuration committed;
    raft::LogIndex committed_at;
    std::set<raft::ReplicaId> left;
    std::set<Position> committed_positions;             // of configurations, as any replica knew it
    std::map<Position, std::set<Position>> successors;  // of each configuration
  };

  void NoteBase(Replica& replica, const raft::LogBase& base);
  static void NoteCommit(const Replica& replica, Group& group, raft::LogIndex commit);
  void NoteDeath(const Replica& replica, const Group& group);

  Findings& findings_;
  std::map<std::pair<uint64_t, raft::GroupId>, Replica> replicas_;
  std::map<raft::GroupId, Group> groups_;
};

}  // namespace basalt::testing
