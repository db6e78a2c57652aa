// ReplicaChoice: which replica of a shard to ask when any of them may answer. Pure and
// deterministic: the state of the nodes is an argument, randomness comes from a seeded generator.
//
// Whatever the policy: a node out of reach is chosen only when all are.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "basalt/client.h"
#include "base/random.h"

namespace basalt::client {

inline constexpr uint32_t kReplicaWeightMost = 1'000'000;

struct ReplicaCandidate {
  uint64_t node_id = 0;
  uint32_t outstanding = 0;  // this client's open sends there
  uint32_t weight = 1;       // up to kReplicaWeightMost; 0: only when all candidates have 0
  std::string_view zone;
  bool reachable = true;
};

class ReplicaChoice {
 public:
  // `policy` is not kLeader. `zone` is the client's own; empty: none is near.
  ReplicaChoice(ReplicaPolicy policy, std::string zone, uint64_t seed)
      : policy_(policy), zone_(std::move(zone)), random_(seed) {}

  // The chosen node's id. `candidates` are of one shard, at least one, each node once, in an order
  // that stays. Turns are taken for each shard by itself.
  uint64_t Choose(uint64_t shard_id, const std::vector<ReplicaCandidate>& candidates);

 private:
  // Of one shard: where the next turn begins, and what each node is owed (weighted).
  struct Turns {
    size_t next = 0;
    std::map<uint64_t, int64_t> owed;
  };
  using Eligible = std::vector<const ReplicaCandidate*>;

  static const ReplicaCandidate& LeastOutstanding(const Eligible& eligible, Turns& turns);
  static const ReplicaCandidate& Weighted(const Eligible& eligible, Turns& turns);
  const ReplicaCandidate& Nearest(Eligible& eligible, Turns& turns) const;

  const ReplicaPolicy policy_;
  const std::string zone_;
  base::Random random_;
  std::map<uint64_t, Turns> turns_;
  Eligible eligible_;  // Choose's, so that no choice allocates
};

}  // namespace basalt::client
