#include "client/replica_choice.h"

#include <algorithm>
#include <functional>

#include "base/check.h"

namespace basalt::client {

uint64_t ReplicaChoice::Choose(uint64_t shard_id, const std::vector<ReplicaCandidate>& candidates) {
  BASALT_CHECK(!candidates.empty());
  Eligible& eligible = eligible_;
  eligible.clear();
  for (const ReplicaCandidate& candidate : candidates) {
    if (candidate.reachable) eligible.push_back(&candidate);
  }
  if (eligible.empty()) {
    for (const ReplicaCandidate& candidate : candidates) eligible.push_back(&candidate);
  }
  Turns& turns = turns_[shard_id];
  switch (policy_) {
    case ReplicaPolicy::kLeastOutstanding:
      return LeastOutstanding(eligible, turns).node_id;
    case ReplicaPolicy::kRoundRobin:
      return eligible[turns.next++ % eligible.size()]->node_id;
    case ReplicaPolicy::kWeighted:
      return Weighted(eligible, turns).node_id;
    case ReplicaPolicy::kRandom:
      return eligible[random_.Below(eligible.size())]->node_id;
    case ReplicaPolicy::kNearestZone:
      return Nearest(eligible, turns).node_id;
    case ReplicaPolicy::kLeader:
      break;
  }
  BASALT_CHECK(false);
  return 0;
}

// Among equals the turn goes round, so that an idle client does not ask one node always.
const ReplicaCandidate& ReplicaChoice::LeastOutstanding(const Eligible& eligible, Turns& turns) {
  const size_t first = turns.next % eligible.size();
  size_t best = first;
  for (size_t step = 1; step < eligible.size(); ++step) {
    const size_t at = (first + step) % eligible.size();
    if (eligible[at]->outstanding < eligible[best]->outstanding) best = at;
  }
  turns.next = best + 1;
  return *eligible[best];
}

// nginx's smooth weighted round robin: each is owed its weight every turn, whoever is owed most has
// the turn and pays the sum of all weights. Over `sum` turns each is chosen `weight` times, and the
// turns of one node stand apart.
const ReplicaCandidate& ReplicaChoice::Weighted(const Eligible& eligible, Turns& turns) {
  const bool weightless = std::ranges::all_of(
      eligible, [](const ReplicaCandidate* candidate) { return candidate->weight == 0; });
  const ReplicaCandidate* best = nullptr;
  int64_t best_owed = 0;
  int64_t sum = 0;
  for (const ReplicaCandidate* candidate : eligible) {
    const int64_t weight = weightless ? 1 : candidate->weight;
    if (weight == 0) continue;
    sum += weight;
    int64_t& owed = turns.owed[candidate->node_id];
    owed += weight;
    if (best == nullptr || owed > best_owed) {
      best = candidate;
      best_owed = owed;
    }
  }
  turns.owed[best->node_id] -= sum;
  return *best;
}

const ReplicaCandidate& ReplicaChoice::Nearest(Eligible& eligible, Turns& turns) const {
  const auto is_near = [this](const ReplicaCandidate* candidate) {
    return !zone_.empty() && candidate->zone == zone_;
  };
  if (std::ranges::any_of(eligible, is_near)) std::erase_if(eligible, std::not_fn(is_near));
  return LeastOutstanding(eligible, turns);
}

}  // namespace basalt::client
