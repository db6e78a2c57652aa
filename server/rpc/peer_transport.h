// PeerTransport: raft::Transport over one link a node. Which wire carries a link is the business
// of peer_stream.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "raft/transport.h"
#include "server/node/cluster_view.h"
#include "server/node/work.h"
#include "server/rpc/peer_link.h"

namespace basalt::server {

// Thread-safe once built. Outlived by what its constructor is given.
class PeerTransport final : public raft::Transport {
 public:
  // `peers`: the ids of all other nodes of the cluster.
  PeerTransport(std::span<const raft::NodeId> peers, v1::Hello self, ClusterView& view,
                GroupInbox& inbox, KnownTime& time,
                size_t link_bytes_max = PeerLink::kGatheredBytesMax);

  void Send(std::vector<raft::Message> messages) override;

  const v1::Hello& self() const { return self_; }
  const Clock& clock() const { return time_.clock(); }
  // Checks a peer's hello: empty when the two may talk, else the reason why not. Takes note of
  // changed addresses.
  std::string CheckHello(const v1::Hello& hello);
  // nullptr: no such peer.
  PeerLink* Link(raft::NodeId node);
  // Not to a node that this process has not met as a peer.
  bool IsConnected(raft::NodeId node);
  std::vector<raft::NodeId> Peers() const;

  // Decodes a frame and hands its messages to the group loop. Empty, or what is wrong with it. What
  // only a newer release sends is dropped: one group goes without, and the link serves the others.
  std::string Receive(v1::PeerFrame& frame);
  // The stream that carried the link to the node is over.
  void OnLinkLost(raft::NodeId node);
  // Messages dropped so.
  uint64_t unknown_messages() const { return unknown_messages_.load(std::memory_order_relaxed); }

  void Shut();

 private:
  const v1::Hello self_;
  ClusterView& view_;
  GroupInbox& inbox_;
  KnownTime& time_;
  std::map<raft::NodeId, std::unique_ptr<PeerLink>> links_;
  std::atomic<uint64_t> unknown_messages_{0};
};

}  // namespace basalt::server
