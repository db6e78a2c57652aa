#include "server/node/cluster_view.h"

#include <utility>

#include "base/check.h"

namespace basalt::server {

std::optional<RoutingTable> BuildRoutingTable(const v1::ClusterMap& map) {
  std::vector<ShardRange> ranges;
  for (const v1::ShardDescriptor& shard : map.shards()) {
    ranges.push_back({shard.shard_id(), shard.epoch(), shard.first_slot(), shard.slot_count()});
  }
  return RoutingTable::Build(std::move(ranges));
}

std::shared_ptr<const ClusterView::Known> ClusterView::known() const {
  base::MutexLock lock(mutex_);
  return known_;
}

void ClusterView::Set(v1::ClusterMap map) {
  std::optional<RoutingTable> routing = BuildRoutingTable(map);
  BASALT_CHECK(routing.has_value());
  map.clear_leaders();
  auto known = std::make_shared<const Known>(Known{std::move(map), *std::move(routing)});
  base::MutexLock lock(mutex_);
  known_ = std::move(known);
}

bool ClusterView::SetNode(const v1::NodeDescriptor& node) {
  base::MutexLock lock(mutex_);
  if (known_ == nullptr) return false;
  for (int i = 0; i < known_->map.nodes_size(); ++i) {
    const v1::NodeDescriptor& old = known_->map.nodes(i);
    if (old.node_id() != node.node_id() || old.store_id() != node.store_id()) continue;
    if (old.SerializeAsString() == node.SerializeAsString()) return false;
    auto changed = std::make_shared<Known>(*known_);
    *changed->map.mutable_nodes(i) = node;
    known_ = std::move(changed);
    return true;
  }
  return false;
}

void ClusterView::OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) {
  base::MutexLock lock(mutex_);
  leaders_[group.value()] = {leader, term};
}

v1::LeaderHint ClusterView::leader(uint64_t shard_id) const {
  v1::LeaderHint hint;
  hint.set_shard_id(shard_id);
  base::MutexLock lock(mutex_);
  const auto place = leaders_.find(shard_id);
  if (place != leaders_.end()) {
    hint.set_node_id(place->second.node.value());
    hint.set_term(place->second.term.value());
  }
  return hint;
}

uint64_t ClusterView::ShardOf(uint32_t slot) const {
  const std::shared_ptr<const Known> known = this->known();
  return known == nullptr ? 0 : known->routing.OwnerOf(slot).shard_id;
}

raft::NodeId ClusterView::NodeToAsk(uint64_t shard_id, uint64_t turn) const {
  const v1::LeaderHint hint = leader(shard_id);
  if (hint.node_id() != 0) return raft::NodeId(hint.node_id());
  const std::shared_ptr<const Known> known = this->known();
  if (known == nullptr) return raft::NodeId(0);
  for (const v1::ShardDescriptor& shard : known->map.shards()) {
    if (shard.shard_id() != shard_id || shard.replicas_size() == 0) continue;
    const auto place = static_cast<int>(turn % static_cast<uint64_t>(shard.replicas_size()));
    return raft::NodeId(shard.replicas(place).node_id());
  }
  return raft::NodeId(0);
}

uint32_t ClusterView::leaderless() const {
  base::MutexLock lock(mutex_);
  uint32_t count = 0;
  for (const auto& [shard_id, leader] : leaders_) {
    if (leader.node == raft::NodeId(0)) ++count;
  }
  return count;
}

v1::ClusterMap ClusterView::MapWithLeaders() const {
  v1::ClusterMap map;
  base::MutexLock lock(mutex_);
  if (known_ == nullptr) return map;
  map = known_->map;
  for (const auto& [shard_id, leader] : leaders_) {
    v1::LeaderHint* hint = map.add_leaders();
    hint->set_shard_id(shard_id);
    hint->set_node_id(leader.node.value());
    hint->set_term(leader.term.value());
  }
  return map;
}

}  // namespace basalt::server
