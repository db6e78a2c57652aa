// StateChecker: equal applied hash, horizon, sessions, ceiling, retention and rows of transactions
// at equal applied index, over all replicas and lives; term, commit and applied index never go back
// within a life.
#pragma once

#include <cstdint>
#include <map>

#include "tests/simulator/replica_watcher.h"

namespace basalt::testing {

class StateChecker final : public ReplicaWatcher {
 public:
  explicit StateChecker(Findings& findings) : findings_(findings) {}

  void OnOpened(uint64_t node, const raft::CoreOptions& options,
                const raft::RecoveredState& recovered) override;
  void OnApplied(uint64_t node, const server::AppliedState& state) override;
  void OnState(uint64_t node, const server::GroupState& state) override;

 private:
  struct Progress {
    raft::Term term;
    raft::LogIndex commit;
    raft::LogIndex applied;
  };

  Findings& findings_;
  struct Seen {
    uint64_t hash = 0;
    uint64_t horizon = 0;
    uint64_t sessions = 0;
    uint64_t ceiling = 0;
    uint64_t transactions = 0;
    uint64_t retention_ms = 0;
  };

  std::map<std::pair<raft::GroupId, raft::LogIndex>, Seen> applied_;
  std::map<std::pair<uint64_t, raft::GroupId>, Progress> progress_;
};

}  // namespace basalt::testing
