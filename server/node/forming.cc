#include "server/node/forming.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/node/layout_check.h"
#include "server/placement/initial_layout.h"
#include "server/rpc/wire_version.h"

namespace basalt::server {
namespace {

// A node that promised itself to a cluster which then never came is free again after this.
constexpr MonotonicTime kReservation = std::chrono::seconds(10);

// How long forming a cluster waits for a node that does not answer.
constexpr MonotonicTime kPatience = std::chrono::seconds(3);

v1::ClusterMap MakeLayout(const std::string& cluster_id,
                          const std::vector<v1::NodeDescriptor>& nodes, uint32_t shards,
                          uint32_t replicas) {
  v1::ClusterMap map;
  map.set_cluster_id(cluster_id);
  std::vector<uint64_t> node_ids;
  for (const v1::NodeDescriptor& node : nodes) {
    *map.add_nodes() = node;
    node_ids.push_back(node.node_id());
  }
  for (const PlannedShard& planned : PlanInitialLayout(std::move(node_ids), shards, replicas)) {
    v1::ShardDescriptor* shard = map.add_shards();
    shard->set_shard_id(planned.shard_id);
    shard->set_epoch(1);
    shard->set_first_slot(planned.first_slot);
    shard->set_slot_count(planned.slot_count);
    for (const PlannedReplica& replica : planned.replicas) {
      v1::Replica* added = shard->add_replicas();
      added->set_replica_id(replica.replica_id);
      added->set_node_id(replica.node_id);
    }
  }
  return map;
}

}  // namespace

ClusterForming::ClusterForming(const FormingOptions& options, std::optional<v1::ClusterMap> formed,
                               std::string fresh_cluster_id, PeerCalls& calls, Persist persist,
                               const Clock& clock)
    : options_(options),
      fresh_cluster_id_(std::move(fresh_cluster_id)),
      calls_(calls),
      persist_(std::move(persist)),
      clock_(clock),
      layout_(std::move(formed)) {}

std::optional<v1::ClusterMap> ClusterForming::layout() const {
  base::MutexLock lock(mutex_);
  return layout_;
}

std::vector<v1::NodeDescriptor> ClusterForming::Met() const {
  std::vector<v1::NodeDescriptor> nodes{options_.self};
  base::MutexLock lock(mutex_);
  for (const auto& [node_id, acquaintance] : met_) nodes.push_back(acquaintance.node);
  return nodes;
}

v1::Hello ClusterForming::MakeHello() const {
  v1::Hello hello;
  hello.set_wire_version(kWireVersion);
  *hello.mutable_node() = options_.self;
  hello.set_process(options_.process);
  hello.add_sees(options_.self.node_id());
  base::MutexLock lock(mutex_);
  if (layout_) hello.set_cluster_id(layout_->cluster_id());
  for (const auto& [node_id, acquaintance] : met_) {
    hello.add_sees(node_id);
    *hello.add_known() = acquaintance.node;
  }
  return hello;
}

bool ClusterForming::Names(const v1::ClusterMap& layout, const v1::NodeDescriptor& wanted) const {
  return std::any_of(
      layout.nodes().begin(), layout.nodes().end(), [&](const v1::NodeDescriptor& node) {
        return node.node_id() == wanted.node_id() && node.store_id() == wanted.store_id();
      });
}

absl::Status ClusterForming::Look() {
  if (layout()) return absl::OkStatus();
  BASALT_RETURN_IF_ERROR(MeetAll(nullptr));
  if (layout() || !ExpectationMet()) return absl::OkStatus();
  // A node that another one reserves just now answers "no"; the next round sees what came of it.
  const absl::StatusOr<v1::ClusterMap> map = Form(options_.shards, options_.replicas);
  return absl::OkStatus();
}

absl::Status ClusterForming::CheckJoined() {
  const v1::Hello hello = MakeHello();
  for (const std::string& address : options_.join) {
    const absl::StatusOr<v1::HelloReply> reply = calls_.Meet(address, hello);
    if (!reply.ok()) continue;  // it may come later
    const v1::Hello& other = reply->hello();
    if (!other.cluster_id().empty() && other.cluster_id() != hello.cluster_id()) {
      return base::FailedPrecondition(address +
                                      " belongs to another cluster than this node's data "
                                      "directory");
    }
    if (!reply->refusal().empty()) return base::FailedPrecondition(reply->refusal());
    if (other.node().node_id() == options_.self.node_id() && other.process() != options_.process) {
      return base::FailedPrecondition("another process calls itself node " +
                                      std::to_string(options_.self.node_id()) + ", at " + address);
    }
  }
  return absl::OkStatus();
}

absl::Status ClusterForming::MeetAll(std::vector<std::string>* unreachable) {
  std::set<std::string> addresses(options_.join.begin(), options_.join.end());
  for (const v1::NodeDescriptor& node : Met()) addresses.insert(node.peer_address());
  addresses.erase(options_.self.peer_address());
  for (const std::string& address : addresses) {
    const absl::StatusOr<v1::HelloReply> reply = calls_.Meet(address, MakeHello());
    if (reply.ok()) {
      BASALT_RETURN_IF_ERROR(TakeIn(*reply));
    } else if (unreachable != nullptr) {
      unreachable->push_back(address);
    }
  }
  return absl::OkStatus();
}

absl::Status ClusterForming::TakeIn(const v1::HelloReply& reply) {
  const v1::Hello& hello = reply.hello();
  const uint64_t node_id = hello.node().node_id();
  if (node_id == options_.self.node_id()) {
    if (hello.process() == options_.process) return absl::OkStatus();  // ourselves
    return base::FailedPrecondition("another process calls itself node " + std::to_string(node_id) +
                                    ", at " + hello.node().peer_address());
  }
  if (!reply.refusal().empty()) return base::FailedPrecondition(reply.refusal());
  if (reply.has_layout()) return Adopt(reply.layout());
  if (node_id == 0) return absl::OkStatus();  // nobody's
  base::MutexLock lock(mutex_);
  Acquaintance& acquaintance = met_[node_id];
  acquaintance.node = hello.node();
  acquaintance.sees.assign(hello.sees().begin(), hello.sees().end());
  acquaintance.in_cluster = !hello.cluster_id().empty();
  for (const v1::NodeDescriptor& node : hello.known()) {
    if (node.node_id() == 0 || node.node_id() == options_.self.node_id()) continue;
    met_.try_emplace(node.node_id(), Acquaintance{node, {}, false});
  }
  return absl::OkStatus();
}

bool ClusterForming::ExpectationMet() const {
  base::MutexLock lock(mutex_);
  if (options_.bootstrap_expect == 0 || met_.size() + 1 < options_.bootstrap_expect) return false;
  for (const auto& [node_id, acquaintance] : met_) {
    if (node_id < options_.self.node_id() || acquaintance.in_cluster) return false;
    if (acquaintance.sees.size() < options_.bootstrap_expect) return false;
  }
  return true;
}

absl::Status ClusterForming::Adopt(const v1::ClusterMap& layout) {
  if (!Names(layout, options_.self)) {
    return base::FailedPrecondition("the layout does not name this node and its data directory");
  }
  BASALT_RETURN_IF_ERROR(CheckLayout(layout));
  {
    base::MutexLock lock(mutex_);
    if (layout_) {
      return layout_->cluster_id() == layout.cluster_id()
                 ? absl::OkStatus()
                 : base::FailedPrecondition("this node belongs to another cluster");
    }
    if (!adopting_.empty()) {
      // Of the same one, the other thread says how it ended.
      return adopting_ == layout.cluster_id()
                 ? absl::OkStatus()
                 : base::FailedPrecondition("this node is joining another cluster");
    }
    adopting_ = layout.cluster_id();
  }
  absl::Status status = persist_(layout);
  base::MutexLock lock(mutex_);
  adopting_.clear();
  if (status.ok()) layout_ = layout;
  return status;
}

absl::Status ClusterForming::ReserveAll(const std::vector<v1::NodeDescriptor>& nodes) {
  v1::ReserveRequest request;
  request.set_cluster_id(fresh_cluster_id_);
  request.set_from_node(options_.self.node_id());
  for (const v1::NodeDescriptor& node : nodes) {
    if (node.node_id() == options_.self.node_id()) {
      const v1::ReserveReply reply = OnReserve(request);
      if (!reply.granted()) return base::FailedPrecondition(reply.refusal());
      continue;
    }
    const absl::StatusOr<v1::ReserveReply> reply = calls_.Reserve(node.peer_address(), request);
    if (!reply.ok()) return reply.status();
    if (!reply->granted()) {
      return base::FailedPrecondition("node " + std::to_string(node.node_id()) +
                                      " refuses: " + reply->refusal());
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ClusterMap> ClusterForming::Form(uint32_t shards, uint32_t replicas) {
  {
    base::MutexLock lock(mutex_);
    if (layout_) return base::FailedPrecondition("this node belongs to a cluster already");
    if (std::exchange(forming_, true)) {
      return base::FailedPrecondition("a cluster is being formed just now");
    }
  }
  absl::StatusOr<v1::ClusterMap> map = [&]() -> absl::StatusOr<v1::ClusterMap> {
    // Nodes that were started together with this one may need a moment.
    std::vector<std::string> unreachable;
    const MonotonicTime until = clock_.Now() + kPatience;
    do {
      unreachable.clear();
      BASALT_RETURN_IF_ERROR(MeetAll(&unreachable));
    } while (!unreachable.empty() && clock_.Now() < until);
    if (!unreachable.empty()) {
      return base::FailedPrecondition("no answer from " + unreachable.front() +
                                      ": every node named by --join must be up when a cluster is "
                                      "formed");
    }
    const std::vector<v1::NodeDescriptor> nodes = Met();
    const MonotonicTime asked = clock_.Now();
    BASALT_RETURN_IF_ERROR(ReserveAll(nodes));
    // The first promise may have run out while the last one was awaited, and be another's by now.
    if (clock_.Now() - asked > kReservation / 2) {
      return base::FailedPrecondition("the nodes took too long to promise themselves; try again");
    }
    v1::ClusterMap layout = MakeLayout(fresh_cluster_id_, nodes, shards, replicas);
    BASALT_RETURN_IF_ERROR(Adopt(layout));
    // Nobody may have it before it is durable here.
    const std::optional<v1::ClusterMap> adopted = this->layout();
    if (!adopted || adopted->cluster_id() != fresh_cluster_id_) {
      return base::FailedPrecondition("this node is joining a cluster just now");
    }
    v1::AdoptRequest request;
    *request.mutable_layout() = layout;
    for (const v1::NodeDescriptor& node : nodes) {
      // One that does not hear of it now asks by itself (Meet).
      if (node.node_id() != options_.self.node_id()) {
        (void)calls_.Adopt(node.peer_address(), request).ok();
      }
    }
    return layout;
  }();
  base::MutexLock lock(mutex_);
  forming_ = false;
  return map;
}

v1::HelloReply ClusterForming::OnMeet(const v1::Hello& hello) {
  v1::HelloReply reply;
  *reply.mutable_hello() = MakeHello();
  const uint64_t node_id = hello.node().node_id();
  if (hello.wire_version() != kWireVersion) {
    reply.set_refusal("wire version " + std::to_string(hello.wire_version()) +
                      " does not go with " + std::to_string(kWireVersion));
    return reply;
  }
  if (node_id == 0 || node_id == options_.self.node_id()) return reply;
  base::MutexLock lock(mutex_);
  if (layout_) {
    const bool named = Names(*layout_, hello.node());
    if (named && hello.cluster_id().empty()) *reply.mutable_layout() = *layout_;
    for (const v1::NodeDescriptor& node : layout_->nodes()) {
      if (node.node_id() == node_id && !named) {
        reply.set_refusal("node " + std::to_string(node_id) +
                          " is known to the cluster with another data directory: its state was "
                          "lost or replaced, and an empty one must not take its place");
      }
    }
    return reply;
  }
  if (!hello.cluster_id().empty()) return reply;
  Acquaintance& acquaintance = met_[node_id];
  acquaintance.node = hello.node();
  acquaintance.sees.assign(hello.sees().begin(), hello.sees().end());
  return reply;
}

v1::ReserveReply ClusterForming::OnReserve(const v1::ReserveRequest& request) {
  v1::ReserveReply reply;
  base::MutexLock lock(mutex_);
  const MonotonicTime now = clock_.Now();
  if (layout_) {
    reply.set_refusal("belongs to a cluster already");
  } else if (!adopting_.empty() && adopting_ != request.cluster_id()) {
    reply.set_refusal("is joining another cluster");
  } else if (!reserved_for_.empty() && reserved_for_ != request.cluster_id() &&
             now < reserved_until_) {
    reply.set_refusal("another node is forming a cluster with it");
  } else {
    reserved_for_ = request.cluster_id();
    reserved_until_ = now + kReservation;
    reply.set_granted(true);
  }
  return reply;
}

v1::AdoptReply ClusterForming::OnAdopt(const v1::AdoptRequest& request) {
  const absl::Status status = Adopt(request.layout());
  v1::AdoptReply reply;
  reply.set_adopted(status.ok());
  if (!status.ok()) reply.set_refusal(base::Message(status));
  return reply;
}

}  // namespace basalt::server
