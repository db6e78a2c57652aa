// LeaseRecorder: when leases let reads through and when terms had writes acknowledged, in true
// time, for check/lease_exclusion.h.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "check/lease_exclusion.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_time.h"

namespace basalt::testing {

class LeaseRecorder final : public ReplicaWatcher {
 public:
  LeaseRecorder(Findings& findings, const VirtualTime& time) : findings_(findings), time_(time) {}

  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnLeaseRead(uint64_t node, raft::GroupId group, bool answered) override;
  void OnCommitted(uint64_t node, raft::GroupId group,
                   std::span<const raft::Entry> entries) override;
  void OnDied(uint64_t node) override;

  std::vector<std::string> FindViolations() const;

 private:
  Findings& findings_;
  const VirtualTime& time_;
  std::map<std::pair<uint64_t, raft::GroupId>, raft::Term> leading_;
  // (group, term, node)
  std::map<std::tuple<raft::GroupId, raft::Term, uint64_t>, check::LeaseUse> uses_;
  // The first of each (group, term).
  std::map<std::pair<raft::GroupId, raft::Term>, check::TermWrite> writes_;
};

}  // namespace basalt::testing
