// Figure8: leads three replicas of a shard through figure 8 of the Raft paper (D. Ongaro, J.
// Ousterhout, "In search of an understandable consensus algorithm", 2014, 5.4.2), by cutting links
// at the moments that count. What a leader L wrote in an early term comes to stand on a majority,
// brought there by L in a later term, and is replaced by M, who led in between.
//
// Only links are cut. Whether the replicas come that far is theirs to decide; where they don't, it
// has been one more way of cutting links.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_network.h"

namespace basalt::testing {

class Figure8 final : public ReplicaWatcher {
 public:
  // The network outlives it.
  explicit Figure8(VirtualNetwork& network) : network_(network) {}

  // `nodes`: of the three replicas; `leader` leads `group` in `term`. Ends what went on before.
  // Returns what End() takes.
  uint64_t Begin(raft::GroupId group, std::array<uint64_t, 3> nodes, uint64_t leader,
                 raft::Term term);
  // Mends the links, if it is still that one which goes on; 0: whichever.
  void End(uint64_t number);

  void OnQueued(uint64_t node, const raft::LogWrite& write) override;
  void OnDurable(uint64_t node, const raft::PersistDone& done) override;
  void OnReceived(uint64_t node, const raft::Message& message) override;
  void OnLeader(uint64_t node, raft::GroupId group, raft::NodeId leader, raft::Term term) override;

 private:
  enum class Step : uint8_t {
    kNone,
    kDeposing,    // L writes what reaches nobody, until the two others elect
    kElecting,    // M is about to lead; what it writes must reach nobody
    kReturning,   // L is back with N, and brings it what it had written
    kOvertaking,  // M is back with N, and L is gone
  };

  void Cut(uint64_t a, uint64_t b);
  void Mend(uint64_t a, uint64_t b);
  void CutOneWay(uint64_t from, uint64_t to);

  VirtualNetwork& network_;
  std::set<std::pair<uint64_t, uint64_t>> cut_;  // (from, to)
  uint64_t number_ = 0;
  Step step_ = Step::kNone;
  raft::GroupId group_;
  raft::Term term_;  // of what L wrote first
  std::array<uint64_t, 3> nodes_{};
  uint64_t l_ = 0;
  uint64_t m_ = 0;
  uint64_t n_ = 0;
  std::optional<raft::PersistId> brought_;  // N's write of it
};

}  // namespace basalt::testing
