// ElectionChecker: at most one leader in a term; a replica gives one vote in a term, over all of
// its lives; it never hears of two leaders in one term. Marks what elections a run saw.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>

#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

class ElectionChecker final : public ReplicaWatcher {
 public:
  explicit ElectionChecker(Findings& findings) : findings_(findings) {}

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override;
  void OnSent(uint64_t node, const raft::Message& message) override;
  void OnReceived(uint64_t node, const raft::Message& message) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnDied(uint64_t node) override;

 private:
  struct Vote {
    raft::ReplicaId candidate;
    uint64_t life = 0;
  };
  using Place = std::pair<raft::GroupId, raft::ReplicaId>;

  void OnVote(const raft::Message& message);
  void OnCandidate(const raft::Message& message);

  Findings& findings_;
  std::map<std::pair<raft::GroupId, raft::Term>, raft::NodeId> leaders_;
  std::map<std::pair<raft::GroupId, raft::Term>, std::set<raft::ReplicaId>> candidates_;
  std::map<std::tuple<raft::GroupId, raft::ReplicaId, raft::Term>, Vote> votes_;
  std::map<Place, uint64_t> lives_;
  std::map<Place, raft::Term> terms_;  // as last seen in a message of the replica
  std::map<std::pair<uint64_t, raft::GroupId>, raft::Term> leading_;  // what a node believes
};

}  // namespace basalt::testing
