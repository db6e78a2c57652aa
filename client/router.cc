#include "client/router.h"

#include <algorithm>
#include <utility>

#include "base/slot.h"

namespace basalt::client {
namespace {

// Node 0 is none.
bool IsWellFormed(const ShardView& shard) {
  return !shard.nodes.empty() && std::ranges::count(shard.nodes, uint64_t{0}) == 0 &&
         shard.first_slot <= base::kSlotCount &&
         shard.slot_count <= base::kSlotCount - shard.first_slot;
}

bool IsReplica(const ShardView& shard, uint64_t node_id) {
  return std::find(shard.nodes.begin(), shard.nodes.end(), node_id) != shard.nodes.end();
}

}  // namespace

bool Router::TakeMap(const ClusterView& view) {
  if (view.cluster_id.empty()) return false;
  if (!cluster_id_.empty() && cluster_id_ != view.cluster_id) return false;
  cluster_id_ = view.cluster_id;
  for (const NodeView& node : view.nodes) {
    nodes_[node.node_id] = node;
  }
  for (const ShardView& shard : view.shards) {
    TakeDescriptor(shard);
  }
  for (const LeaderView& leader : view.leaders) {
    const auto it = routes_.find(leader.shard_id);
    // A map may be older than the descriptor known; an answer's hint is not (OnNotLeader).
    if (it != routes_.end() && IsReplica(it->second.view, leader.node_id)) {
      FollowHint(it->second, leader, 0);
    }
  }
  return true;
}

bool Router::TakeDescriptor(const ShardView& shard) {
  if (!IsWellFormed(shard)) return false;
  const auto it = routes_.find(shard.shard_id);
  if (it != routes_.end() && it->second.view.epoch >= shard.epoch) return false;
  AddShard(shard);
  return true;
}

void Router::AddShard(const ShardView& shard) {
  ShardRoute& route = routes_[shard.shard_id];
  if (route.view.slot_count > 0) {
    const auto slot = by_first_slot_.find(route.view.first_slot);
    if (slot != by_first_slot_.end() && slot->second == shard.shard_id) by_first_slot_.erase(slot);
  }
  route.view = shard;
  if (!IsReplica(shard, route.target)) {
    // Spread first guesses: not everything starts at the first replica.
    route.target = shard.nodes[shard.shard_id % shard.nodes.size()];
  }
  // Also when a replica within reach has come beside those that are not.
  if (lost_.contains(route.target)) TryNext(route, route.target);
  if (shard.slot_count > 0) by_first_slot_[shard.first_slot] = shard.shard_id;
}

bool Router::FollowHint(ShardRoute& route, const LeaderView& hint, uint64_t from) {
  if (hint.node_id == 0 || hint.node_id == from || hint.term < route.term) return false;
  if (!nodes_.contains(hint.node_id)) return false;
  if (lost_.contains(hint.node_id)) {
    if (hint.term > std::max(route.term, route.elected.term)) {
      route.elected = hint;
      elected_.push_back(hint.node_id);
    }
    return false;
  }
  route.target = hint.node_id;
  route.term = hint.term;
  return true;
}

void Router::TryNext(ShardRoute& route, uint64_t from) const {
  const std::vector<uint64_t>& nodes = route.view.nodes;
  const auto it = std::find(nodes.begin(), nodes.end(), from);
  // A node that is no replica counts as the last one.
  const size_t at = it == nodes.end() ? nodes.size() - 1 : static_cast<size_t>(it - nodes.begin());
  route.target = nodes[(at + 1) % nodes.size()];
  for (size_t step = 1; step <= nodes.size(); ++step) {
    const uint64_t next = nodes[(at + step) % nodes.size()];
    if (lost_.contains(next)) continue;
    route.target = next;
    return;
  }
}

bool Router::OnNotLeader(uint64_t shard_id, uint64_t from, const LeaderView& hint) {
  const auto it = routes_.find(shard_id);
  if (it == routes_.end()) return false;
  ShardRoute& route = it->second;
  // Many requests may have gone to `from`; only the first of their answers moves the route.
  if (!FollowHint(route, hint, from) && route.target == from) TryNext(route, from);
  return route.target != from;
}

bool Router::OnUnserved(uint64_t shard_id, uint64_t from) {
  const auto it = routes_.find(shard_id);
  if (it == routes_.end()) return false;
  if (it->second.target == from) TryNext(it->second, from);
  return it->second.target != from;
}

void Router::OnNodeLost(uint64_t node_id) {
  lost_.insert(node_id);
  for (auto& [shard_id, route] : routes_) {
    if (route.target == node_id) TryNext(route, node_id);
  }
}

void Router::OnNodeBack(uint64_t node_id) {
  lost_.erase(node_id);
  for (auto& [shard_id, route] : routes_) {
    if (route.elected.node_id == node_id) FollowHint(route, std::exchange(route.elected, {}), 0);
    if (lost_.contains(route.target) && IsReplica(route.view, node_id)) route.target = node_id;
  }
}

std::optional<Destination> Router::RouteKey(std::string_view key) const {
  return RouteSlot(base::SlotOf(key));
}

std::optional<Destination> Router::RouteSlot(uint32_t slot) const {
  auto it = by_first_slot_.upper_bound(slot);
  if (it == by_first_slot_.begin()) return std::nullopt;
  --it;
  const ShardRoute& route = routes_.at(it->second);
  if (slot - route.view.first_slot >= route.view.slot_count) return std::nullopt;
  return Destination{route.target, route.view.shard_id, route.view.epoch};
}

std::optional<Destination> Router::RouteShard(uint64_t shard_id) const {
  const auto it = routes_.find(shard_id);
  if (it == routes_.end()) return std::nullopt;
  return Destination{it->second.target, shard_id, it->second.view.epoch};
}

const ShardView* Router::Find(uint64_t shard_id) const {
  const auto it = routes_.find(shard_id);
  return it == routes_.end() ? nullptr : &it->second.view;
}

std::vector<ShardView> Router::DataShards() const {
  std::vector<ShardView> shards;
  shards.reserve(by_first_slot_.size());
  for (const auto& [first_slot, shard_id] : by_first_slot_) {
    shards.push_back(routes_.at(shard_id).view);
  }
  return shards;
}

const std::string& Router::AddressOf(uint64_t node_id) const {
  static const std::string kUnknown;
  const auto it = nodes_.find(node_id);
  return it == nodes_.end() ? kUnknown : it->second.client_address;
}

const std::string& Router::ZoneOf(uint64_t node_id) const {
  static const std::string kUnknown;
  const auto it = nodes_.find(node_id);
  return it == nodes_.end() ? kUnknown : it->second.zone;
}

}  // namespace basalt::client
