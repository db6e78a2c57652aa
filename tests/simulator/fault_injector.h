// FaultInjector: does to a cluster what a plan says, and undoes it when its time is over.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "tests/simulator/fault_plan.h"
#include "tests/simulator/virtual_cluster.h"

namespace basalt::testing {

class FaultInjector {
 public:
  // The cluster outlives it.
  explicit FaultInjector(VirtualCluster& cluster) : cluster_(cluster) {}

  // Plans the events of all faults; they happen while the cluster runs.
  void Plan(const std::vector<Fault>& faults);
  // Nothing more is done; what the cluster is healed of stays healed.
  void Stop() { stopped_ = true; }

 private:
  void Do(const Fault& fault);
  void DoToProcess(const Fault& fault, uint64_t victim);
  void DoToNetwork(const Fault& fault, uint64_t victim);
  void DoToDisk(const Fault& fault, uint64_t victim);
  void DoToClock(const Fault& fault, uint64_t victim);
  void PlayFigure8(const Fault& fault);
  void Transfer(const Fault& fault, uint64_t victim);
  void ChangeMembers(const Fault& fault, uint64_t victim);
  // A change as soon as somebody else than `leader` leads: before it has committed anything, and
  // from the configuration that the leader before had perhaps changed.
  void ChangeUnderNextLeader(uint64_t shard, uint64_t leader, int looks);
  void CutAll(uint64_t victim, bool deaf_only, server::MonotonicTime lasts);
  void Split(const Fault& fault, uint64_t victim);
  void Chain(server::MonotonicTime lasts);
  void Flap(uint64_t a, uint64_t b, uint64_t times, server::MonotonicTime span);
  // What must hold when the fault is over, if the victim lived through it.
  void ExpectPreVote(uint64_t victim, server::MonotonicTime lasts);
  void ExpectStepDown(uint64_t victim, server::MonotonicTime lasts);
  // Whether the group went on under its leader after the victim was back.
  void NoteRejoin(uint64_t victim, uint64_t shard);
  void NoteReplacement(uint64_t victim, server::MonotonicTime lasts);
  void CutFor(uint64_t from, uint64_t to, server::MonotonicTime lasts);
  void StartAfter(uint64_t node, server::MonotonicTime lasts);
  // For one that is going to die at some time or other.
  void StartWhenDead(uint64_t node, int looks);
  void Later(server::MonotonicTime delay, std::function<void()> event);

  using Statuses = std::map<uint64_t, raft::CoreStatus>;
  Statuses StatusesOf(uint64_t node);
  std::map<uint64_t, raft::Term> HighestTerms();

  VirtualCluster& cluster_;
  bool stopped_ = false;
};

}  // namespace basalt::testing
