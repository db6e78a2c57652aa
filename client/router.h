// Router: which node to ask about a key. Pure: no clock, no lock, no randomness; one owner.
//
// Holds the slot table (shard of every slot, with the epoch that the client believes) and, for
// every shard, the node to try next: its leader as far as known, else one replica after another.
// Maps, hints, and which nodes are out of reach are fed in; nothing here waits or sends.
//
// Invariants: a descriptor never goes back to a lower epoch; a hint never goes back to a lower
// term; no route leads to a node that is out of reach, unless every replica of the shard is. A hint
// at such a node is mostly news from before its loss; one of a newer term is kept until it is back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace basalt::client {

struct NodeView {
  uint64_t node_id = 0;
  std::string client_address;
  std::string peer_address;
  std::string http_address;
  std::string zone;
};

struct ShardView {
  uint64_t shard_id = 0;
  uint64_t epoch = 0;
  uint32_t first_slot = 0;
  uint32_t slot_count = 0;         // 0: the meta shard, which holds no keys
  std::vector<uint64_t> nodes;     // of its replicas
  std::vector<uint64_t> replicas;  // ids, in the order of `nodes`
};

struct LeaderView {
  uint64_t shard_id = 0;
  uint64_t node_id = 0;  // 0: unknown
  uint64_t term = 0;
};

struct ClusterView {
  std::string cluster_id;  // 16 bytes; empty: the node belongs to no cluster
  std::vector<NodeView> nodes;
  std::vector<ShardView> shards;
  std::vector<LeaderView> leaders;
  uint64_t clock = 0;  // a timestamp of when this was told; 0: told by nobody who said
};

struct Destination {
  uint64_t node_id = 0;
  uint64_t shard_id = 0;
  uint64_t shard_epoch = 0;
};

class Router {
 public:
  // Descriptors and leaders older than those known are left out. Returns whether the view was
  // taken: one of another cluster than the first is not.
  bool TakeMap(const ClusterView& view);
  // From an answer that turned a request away. False when it says nothing new or is malformed.
  bool TakeDescriptor(const ShardView& shard);

  // `from` answered that it does not lead the shard and that, perhaps, another does. Returns
  // whether the next route differs from `from`.
  bool OnNotLeader(uint64_t shard_id, uint64_t from, const LeaderView& hint);
  // `from` cannot serve the shard now: the next replica is tried. Returns as above.
  bool OnUnserved(uint64_t shard_id, uint64_t from);
  // The node is out of reach: every shard routed there tries its next.
  void OnNodeLost(uint64_t node_id);
  // It is within reach again.
  void OnNodeBack(uint64_t node_id);
  // Nodes out of reach that were elected since, as another node says: so they live. Each once a
  // term and shard.
  std::vector<uint64_t> TakeElected() { return std::exchange(elected_, {}); }

  // Nothing: no shard is known for it. Ask for a new map.
  std::optional<Destination> RouteKey(std::string_view key) const;
  std::optional<Destination> RouteSlot(uint32_t slot) const;
  std::optional<Destination> RouteShard(uint64_t shard_id) const;

  // Nothing: not known.
  const ShardView* Find(uint64_t shard_id) const;
  // In order of slots.
  std::vector<ShardView> DataShards() const;
  const std::string& cluster_id() const { return cluster_id_; }
  // Of the node's descriptor; empty when the node is not known.
  const std::string& AddressOf(uint64_t node_id) const;
  const std::string& ZoneOf(uint64_t node_id) const;
  bool empty() const { return by_first_slot_.empty(); }

 private:
  struct ShardRoute {
    ShardView view;
    uint64_t target = 0;  // node to try next; one of view.nodes, or a hinted leader
    uint64_t term = 0;    // of the last hint followed
    LeaderView elected;   // the newest hint at a node out of reach, if newer than that
  };

  void AddShard(const ShardView& shard);
  bool FollowHint(ShardRoute& route, const LeaderView& hint, uint64_t from);
  void TryNext(ShardRoute& route, uint64_t from) const;

  std::string cluster_id_;
  std::set<uint64_t> lost_;  // nodes out of reach
  std::vector<uint64_t> elected_;
  std::map<uint64_t, NodeView> nodes_;
  std::map<uint64_t, ShardRoute> routes_;
  std::map<uint32_t, uint64_t> by_first_slot_;  // first slot -> shard
};

}  // namespace basalt::client
