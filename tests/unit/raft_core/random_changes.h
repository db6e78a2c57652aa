// RandomChanges: asks for random changes of a cluster's members, and lets replicas that have left
// disappear for good.
#pragma once

#include <cstdint>
#include <set>

#include "base/random.h"
#include "tests/scenarios/raft/cluster.h"

namespace basalt::raft {

class RandomChanges {
 public:
  // Replicas above `voters` have yet to join.
  RandomChanges(Cluster& cluster, base::Random& random, uint64_t voters)
      : cluster_(cluster), random_(random), next_spare_(voters + 1) {}

  // Mostly of the leader, now and then of somebody else.
  void Ask();
  // Some of those that a committed configuration had, and the present one has no more, are
  // destroyed. Not those that have yet to join: a change that failed may commit later.
  void Retire();
  // Unless it is destroyed.
  void Start(ReplicaId id) {
    if (retired_.count(id) == 0) cluster_.Start(id);
  }

 private:
  Configuration Target(const Configuration& present);
  void NoteMembers();

  Cluster& cluster_;
  base::Random& random_;
  uint64_t next_spare_;
  std::set<ReplicaId> joined_;
  std::set<ReplicaId> retired_;
};

}  // namespace basalt::raft
