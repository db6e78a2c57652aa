#include "server/rpc/peer_transport.h"

#include <fmt/format.h>

#include <utility>

#include "base/status.h"
#include "raft/wire/raft_wire.h"
#include "server/rpc/wire_version.h"

namespace basalt::server {
namespace {

constexpr size_t kTransactionBytesMost = size_t{64} << 20;

}  // namespace

PeerTransport::PeerTransport(std::span<const raft::NodeId> peers, v1::Hello self, ClusterView& view,
                             GroupInbox& inbox, KnownTime& time, size_t link_bytes_max)
    : self_(std::move(self)), view_(view), inbox_(inbox), time_(time) {
  for (const raft::NodeId peer : peers)
    links_.emplace(peer, std::make_unique<PeerLink>(time, link_bytes_max));
}

void PeerTransport::Send(std::vector<raft::Message> messages) {
  std::map<raft::NodeId, std::vector<v1::RaftMessage>> by_node;
  for (const raft::Message& message : messages) {
    raft::ToWire(message, by_node[message.to_node].emplace_back());
  }
  for (auto& [node, encoded] : by_node) {
    if (PeerLink* link = Link(node)) link->Send(std::move(encoded));
  }
}

void PeerTransport::Post(raft::NodeId node, std::vector<v1::TxnMessage> messages) {
  if (PeerLink* link = Link(node)) link->Send(std::move(messages));
}

void PeerTransport::TellTime() {
  for (auto& [node, link] : links_) link->TellTime();
}

uint64_t PeerTransport::ShardOf(uint32_t slot) const { return view_.ShardOf(slot); }

raft::NodeId PeerTransport::LeaderOf(uint64_t shard_id) {
  return view_.NodeToAsk(shard_id, turns_.fetch_add(1, std::memory_order_relaxed));
}

std::string PeerTransport::CheckHello(const v1::Hello& hello) {
  if (hello.wire_version() != kWireVersion) {
    return "wire version " + std::to_string(hello.wire_version()) + " here is " +
           std::to_string(kWireVersion);
  }
  if (hello.cluster_id() != self_.cluster_id()) return "another cluster";
  const uint64_t node_id = hello.node().node_id();
  if (node_id == self_.node().node_id())
    return "two processes call themselves node " + std::to_string(node_id);
  // A leader's lease is as long as its own timeout allows, and its followers keep what it rests on
  // for as long as theirs.
  if ((hello.leases() || self_.leases()) &&
      hello.election_timeout_ms() != self_.election_timeout_ms()) {
    return fmt::format("election timeout {} ms here is {} ms, and leases are on",
                       hello.election_timeout_ms(), self_.election_timeout_ms());
  }
  if ((hello.leases() || self_.leases()) && hello.promise_ms() != self_.promise_ms()) {
    return fmt::format("promise of {} ms, here of {} ms, and leases are on", hello.promise_ms(),
                       self_.promise_ms());
  }
  const auto known = view_.known();
  if (known == nullptr) return "not ready";
  for (const v1::NodeDescriptor& node : known->map.nodes()) {
    if (node.node_id() != node_id) continue;
    if (node.store_id() != hello.node().store_id()) {
      return "node " + std::to_string(node_id) +
             " is known with another data directory; its state was lost or replaced";
    }
    view_.SetNode(hello.node());
    return {};
  }
  return "node " + std::to_string(node_id) + " is not part of this cluster";
}

PeerLink* PeerTransport::Link(raft::NodeId node) {
  const auto place = links_.find(node);
  return place == links_.end() ? nullptr : place->second.get();
}

bool PeerTransport::IsConnected(raft::NodeId node) {
  const PeerLink* link = Link(node);
  return link != nullptr && link->connected();
}

std::vector<raft::NodeId> PeerTransport::Peers() const {
  std::vector<raft::NodeId> peers;
  for (const auto& [node, link] : links_) peers.push_back(node);
  return peers;
}

std::string PeerTransport::Receive(raft::NodeId from, v1::PeerFrame& frame) {
  if (frame.time_ms() != 0) time_.Hear(frame.time_ms());
  if (frame.clock_ms() != 0) time_.HearClock(from.value(), frame.clock_ms());
  PeerMessagesArrived arrived;
  arrived.messages.reserve(static_cast<size_t>(frame.messages_size()));
  for (v1::RaftMessage& encoded : *frame.mutable_messages()) {
    absl::StatusOr<raft::Message> message =
        raft::FromWire(std::move(encoded), raft::NodeId(self_.node().node_id()));
    if (absl::IsUnimplemented(message.status())) {
      unknown_messages_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    if (!message.ok()) return base::Message(message.status());
    arrived.messages.push_back(*std::move(message));
  }
  if (!arrived.messages.empty()) inbox_.Put(std::move(arrived));
  if (frame.transactions_size() > 0 && transactions_ != nullptr) TakeTransactions(frame);
  return {};
}

// Raft bounds what it sends to whom it has not heard of; here it is the one who takes it in.
void PeerTransport::TakeTransactions(v1::PeerFrame& frame) {
  TxnMessagesArrived arrived;
  size_t bytes = 0;
  for (v1::TxnMessage& message : *frame.mutable_transactions()) {
    const size_t size = message.ByteSizeLong();
    if (transaction_bytes_->load(std::memory_order_relaxed) + bytes + size >
        kTransactionBytesMost) {
      dropped_transactions_.fetch_add(1, std::memory_order_relaxed);
      continue;  // it is sent again
    }
    bytes += size;
    arrived.messages.push_back(std::move(message));
  }
  if (arrived.messages.empty()) return;
  transaction_bytes_->fetch_add(bytes, std::memory_order_relaxed);
  arrived.charge = std::shared_ptr<void>(nullptr, [taken = transaction_bytes_, bytes](void*) {
    taken->fetch_sub(bytes, std::memory_order_relaxed);
  });
  transactions_->Put(std::move(arrived));
}

void PeerTransport::OnLinkLost(raft::NodeId node) { inbox_.Put(LinkLost{node}); }

void PeerTransport::Shut() {
  for (auto& [node, link] : links_) link->Shut();
}

}  // namespace basalt::server
