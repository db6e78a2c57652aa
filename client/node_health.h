// NodeHealth: what a client's own sends tell of each node: how many are open there, for how long it
// has said nothing, and whether it is worth another (CircuitBreaker). Pure; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "client/circuit_breaker.h"
#include "client/retry_policy.h"

namespace basalt::client {

class NodeHealth {
 public:
  explicit NodeHealth(uint64_t seed) : seed_(seed) {}

  // A node of which nothing is known is worth a send.
  bool IsReachable(uint64_t node_id) const;
  // Sends that are open there.
  uint32_t outstanding(uint64_t node_id) const;
  // At all nodes together.
  uint64_t outstanding() const { return outstanding_; }

  void OnSent(uint64_t node_id, Time now);
  void OnLanded(uint64_t node_id);

  // The next three return whether IsReachable changed.
  bool OnWord(uint64_t node_id, Time now);
  bool OnConnectionFailed(uint64_t node_id, Time now);
  bool OnTimeout(uint64_t node_id, Time sent_at, Time now);

  // Reachable nodes that owe answers and have said nothing for `quiet_most`; each once in that
  // time.
  std::vector<uint64_t> TakeQuiet(Span quiet_most, Time now);
  // Another node lets it be known that this one lives. Whether a trial is under way.
  bool Hasten(uint64_t node_id) { return Of(node_id).breaker.Hasten(); }
  // Unreachable nodes to be tried now.
  std::vector<uint64_t> TakeTrials(Time now);

 private:
  struct Node {
    explicit Node(uint64_t seed) : breaker(seed) {}

    uint32_t outstanding = 0;
    Time quiet_since{0};  // last word, or the first of the open sends
    Time asked_at{0};     // by TakeQuiet
    CircuitBreaker breaker;
  };

  Node& Of(uint64_t node_id);
  template <typename Event>
  bool Tell(uint64_t node_id, Event event);

  const uint64_t seed_;
  std::map<uint64_t, Node> nodes_;
  uint64_t outstanding_ = 0;
  uint32_t unreachable_ = 0;  // so many breakers are not closed
};

}  // namespace basalt::client
