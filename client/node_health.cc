#include "client/node_health.h"

#include <algorithm>

#include "base/check.h"

namespace basalt::client {

NodeHealth::Node& NodeHealth::Of(uint64_t node_id) {
  return nodes_.try_emplace(node_id, seed_ + node_id).first->second;
}

bool NodeHealth::IsReachable(uint64_t node_id) const {
  if (unreachable_ == 0) return true;
  const auto it = nodes_.find(node_id);
  return it == nodes_.end() || it->second.breaker.closed();
}

uint32_t NodeHealth::outstanding(uint64_t node_id) const {
  const auto it = nodes_.find(node_id);
  return it == nodes_.end() ? 0 : it->second.outstanding;
}

void NodeHealth::OnSent(uint64_t node_id, Time now) {
  Node& node = Of(node_id);
  if (node.outstanding++ == 0) node.quiet_since = now;
  ++outstanding_;
}

void NodeHealth::OnLanded(uint64_t node_id) {
  Node& node = Of(node_id);
  BASALT_CHECK(node.outstanding > 0);
  --node.outstanding;
  --outstanding_;
}

template <typename Event>
bool NodeHealth::Tell(uint64_t node_id, Event event) {
  Node& node = Of(node_id);
  const bool was_closed = node.breaker.closed();
  event(node);
  if (node.breaker.closed() == was_closed) return false;
  was_closed ? ++unreachable_ : --unreachable_;
  return true;
}

bool NodeHealth::OnWord(uint64_t node_id, Time now) {
  return Tell(node_id, [now](Node& node) {
    node.quiet_since = now;
    node.breaker.OnWord();
  });
}

bool NodeHealth::OnConnectionFailed(uint64_t node_id, Time now) {
  return Tell(node_id, [now](Node& node) { node.breaker.OnConnectionFailed(now); });
}

bool NodeHealth::OnTimeout(uint64_t node_id, Time sent_at, Time now) {
  return Tell(node_id, [sent_at, now](Node& node) {
    // Word since then proves it alive, late as its answer may be.
    if (node.quiet_since <= sent_at) node.breaker.OnTimeout(sent_at, now);
  });
}

std::vector<uint64_t> NodeHealth::TakeQuiet(Span quiet_most, Time now) {
  std::vector<uint64_t> quiet;
  for (auto& [node_id, node] : nodes_) {
    if (node.outstanding == 0 || !node.breaker.closed()) continue;
    if (now - std::max(node.quiet_since, node.asked_at) < quiet_most) continue;
    node.asked_at = now;
    quiet.push_back(node_id);
  }
  return quiet;
}

std::vector<uint64_t> NodeHealth::TakeTrials(Time now) {
  std::vector<uint64_t> due;
  if (unreachable_ == 0) return due;
  for (auto& [node_id, node] : nodes_) {
    if (node.breaker.TakeTrial(now)) due.push_back(node_id);
  }
  return due;
}

}  // namespace basalt::client
