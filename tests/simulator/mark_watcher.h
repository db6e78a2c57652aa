// MarkWatcher: notes the moments that are hard to come by and that hazards are made of. It judges
// nothing.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>

#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

class MarkWatcher final : public ReplicaWatcher {
 public:
  explicit MarkWatcher(Findings& findings) : findings_(findings) {}

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override;
  void OnSent(uint64_t node, const raft::Message& message) override;
  void OnReceived(uint64_t node, const raft::Message& message) override;
  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override;
  void OnReadAsked(uint64_t node, raft::GroupId group) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnInstall(uint64_t node, raft::GroupId group, bool begins) override;
  void OnState(uint64_t node, const server::GroupState& state) override;
  void OnDied(uint64_t node) override;

  // Whether the node believes that it leads the group although it has a successor.
  bool IsDeposed(uint64_t node, raft::GroupId group) const;
  bool Leads(uint64_t node) const;

 private:
  using Place = std::pair<uint64_t, raft::GroupId>;
  struct Leading {
    raft::Term term;
    raft::Round newest_round;  // that it sent
    // A read waits for a round behind this one.
    std::optional<raft::Round> read_waits_behind;
  };

  Findings& findings_;
  std::map<Place, Leading> leading_;                 // what nodes believe of themselves
  std::map<raft::GroupId, raft::Term> newest_term_;  // of a leader
  std::map<Place, raft::Term> committed_term_;
  std::set<Place> installing_;
  std::set<Place> taking_turns_;  // when they were last looked at
  std::set<Place> without_leases_;
  std::map<raft::NodeId, uint32_t> priority_;
};

}  // namespace basalt::testing
