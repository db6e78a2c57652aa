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
#include "server/node/txn_post.h"
#include "server/node/work.h"
#include "server/rpc/peer_link.h"

namespace basalt::server {

// Thread-safe once built. Outlived by what its constructor is given.
class PeerTransport final : public raft::Transport, public TxnPost {
 public:
  // `peers`: the ids of all other nodes of the cluster.
  PeerTransport(std::span<const raft::NodeId> peers, v1::Hello self, ClusterView& view,
                GroupInbox& inbox, KnownTime& time,
                size_t link_bytes_max = PeerLink::kGatheredBytesMax);

  void Send(std::vector<raft::Message> messages) override;

  raft::NodeId node() const override { return raft::NodeId(self_.node().node_id()); }
  uint64_t ShardOf(uint32_t slot) const override;
  raft::NodeId LeaderOf(uint64_t shard_id) override;
  void Post(raft::NodeId node, std::vector<v1::TxnMessage> messages) override;
  // To all peers what time this node knows, and what its own clock says. To be called once a
  // second: nodes that have no group in common send each other nothing else, and a client of both
  // must be taken by both.
  void TellTime();
  // Where messages of transactions go; without it they are dropped. Before the first Receive.
  void SetTransactions(ApplyInbox* inbox) { transactions_ = inbox; }

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

  // Decodes a frame of the node and hands its messages to the group loop. Empty, or what is wrong
  // with it. What only a newer release sends is dropped: one group goes without, and the link
  // serves the others.
  std::string Receive(raft::NodeId from, v1::PeerFrame& frame);
  // The stream that carried the link to the node is over.
  void OnLinkLost(raft::NodeId node);
  // Messages dropped so.
  uint64_t unknown_messages() const { return unknown_messages_.load(std::memory_order_relaxed); }
  // Messages of transactions that came while too many waited to be looked at.
  uint64_t dropped_transactions() const {
    return dropped_transactions_.load(std::memory_order_relaxed);
  }

  void Shut();

 private:
  void TakeTransactions(v1::PeerFrame& frame);

  const v1::Hello self_;
  ClusterView& view_;
  GroupInbox& inbox_;
  KnownTime& time_;
  std::map<raft::NodeId, std::unique_ptr<PeerLink>> links_;
  ApplyInbox* transactions_ = nullptr;
  // Of transactions' messages that were received and not looked at yet; outlives this.
  std::shared_ptr<std::atomic<size_t>> transaction_bytes_ =
      std::make_shared<std::atomic<size_t>>(0);
  std::atomic<uint64_t> dropped_transactions_{0};
  std::atomic<uint64_t> turns_{0};
  std::atomic<uint64_t> unknown_messages_{0};
};

}  // namespace basalt::server
