// What a node says of itself: health, status, admin answers.
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/version.h"
#include "server/daemon/node.h"
#include "server/node/readiness.h"
#include "server/observe/service_notify.h"

namespace basalt::server {
namespace {

// A loop that has not begun a round for so long is stuck.
constexpr std::chrono::seconds kStallLimit{10};

void AddStorage(const storage::RocksDbCounts& counts, std::vector<PulledSample>& samples) {
  const auto add = [&](const char* name, const char* help, double value) {
    samples.push_back({name, help, true, {}, value});
  };
  for (const auto& [found, count] :
       {std::pair{"yes", counts.block_hits}, {"no", counts.block_misses}}) {
    samples.push_back({"basalt_storage_block_reads_total",
                       "Look-ups of data, indexes and filters in the block cache, for reads and "
                       "compactions, by whether it had the block.",
                       true,
                       {{"found", found}},
                       static_cast<double>(count)});
  }
  add("basalt_storage_data_block_misses_total", "Blocks of data that the block cache did not have.",
      static_cast<double>(counts.data_block_misses));
  add("basalt_storage_flushes_total", "Families of RocksDB instances flushed.",
      static_cast<double>(counts.flushes));
  add("basalt_storage_flushed_bytes_total", "Bytes of files that flushes wrote.",
      static_cast<double>(counts.flushed_bytes));
  add("basalt_storage_compactions_total", "Compactions of RocksDB.",
      static_cast<double>(counts.compactions));
  add("basalt_storage_compacted_bytes_total", "Bytes of files that compactions wrote.",
      static_cast<double>(counts.compacted_bytes));
  add("basalt_storage_held_writes_total",
      "Batches that RocksDB slowed down or stopped: flushes or compactions were behind.",
      static_cast<double>(counts.held_writes));
  add("basalt_storage_held_seconds_total", "How long RocksDB held batches up.",
      static_cast<double>(counts.held_us) / 1e6);
}

}  // namespace

std::vector<std::string> Node::WhyNotReady(const std::vector<v1::ReplicaStatus>& replicas) {
  if (stopping_.load()) return {"the node is stopping"};
  if (!running_.load()) return {"the node belongs to no cluster yet"};
  std::vector<std::string> reasons;
  if (replicas.empty()) reasons.push_back("the group thread does not answer");
  for (std::string& reason : WhyNotCaughtUp(replicas)) reasons.push_back(std::move(reason));
  return reasons;
}

void RequestReporter::OnAnswered(RequestKind kind, uint64_t shard_id, v1::Code code,
                                 MonotonicTime took) {
  constexpr Operation kOperations[kRequestKinds] = {
      Operation::kGet,          Operation::kPut,           Operation::kDelete,
      Operation::kScan,         Operation::kCompareAndSet, Operation::kIncrement,
      Operation::kOneShard,     Operation::kValidate,      Operation::kOutcome,
      Operation::kSetRetention, Operation::kClock,         Operation::kCommit};
  static_assert(kCodeCount == v1::Code_ARRAYSIZE, "a code without a name counts as internal");
  const Operation operation = kOperations[static_cast<size_t>(kind)];
  metrics_.Record(operation, code, std::chrono::duration<double>(took).count());
  if (slow_.count() > 0 && took >= slow_) {
    logger_.Warn({.shard = shard_id}, "slow {}: {} ms, {}", Name(operation),
                 std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
                 CodeName(static_cast<size_t>(code)));
  }
}

void RequestReporter::OnStage(RequestKind kind, Stage stage, MonotonicTime took,
                              uint64_t requests) {
  // A question for the clock is answered by the loop that takes it up, a commit by many: they have
  // no stages.
  BASALT_CHECK(kind != RequestKind::kClock && kind != RequestKind::kCommit);
  constexpr StagedOperation kOperations[kRequestKinds - 2] = {
      StagedOperation::kGet,         StagedOperation::kPut,           StagedOperation::kDelete,
      StagedOperation::kScan,        StagedOperation::kCompareAndSet, StagedOperation::kIncrement,
      StagedOperation::kOneShard,    StagedOperation::kValidate,      StagedOperation::kOutcome,
      StagedOperation::kSetRetention};
  stages_.Record(kOperations[static_cast<size_t>(kind)], stage, took, requests);
}

std::vector<PulledSample> Node::Samples() const {
  if (!running_.load()) return {};
  std::vector<PulledSample> samples = host_->Samples();
  const storage::RocksDbResources& resources = host_->resources();
  const storage::HotRows::Counts hot_rows = resources.HotRowCounts();
  for (const auto& [found, count] : {std::pair{"yes", hot_rows.found}, {"no", hot_rows.missed}}) {
    samples.push_back({"basalt_storage_hot_row_reads_total",
                       "Gets, by whether the cache of hot rows had the row.",
                       true,
                       {{"found", found}},
                       static_cast<double>(count)});
  }
  AddStorage(resources.Counts(), samples);
  uint64_t outboxes = 0;
  for (const raft::NodeId peer : transport_->Peers()) {
    outboxes += transport_->Link(peer)->gathered_bytes();
  }
  for (const auto& [part, bytes] : {std::pair{"block_cache", resources.BlockCacheBytes()},
                                    {"hot_rows", hot_rows.bytes},
                                    {"memtables", resources.MemtableBytes()},
                                    {"requests", budget_.bytes()},
                                    {"log_entries", host_->entry_bytes()},
                                    {"sessions", host_->session_bytes()},
                                    {"peer_outboxes", outboxes}}) {
    samples.push_back({"basalt_memory_bytes",
                       "Bytes that the bounded parts of the node hold.",
                       false,
                       {{"part", part}},
                       static_cast<double>(bytes)});
  }
  samples.push_back({"basalt_peer_unknown_messages_total",
                     "Raft messages dropped: of a newer release, unknown to this one.",
                     true,
                     {},
                     static_cast<double>(transport_->unknown_messages())});
  samples.push_back({"basalt_txn_dropped_messages_total",
                     "Messages of transactions dropped: too many waited to be looked at.",
                     true,
                     {},
                     static_cast<double>(transport_->dropped_transactions())});
  for (const raft::NodeId peer : transport_->Peers()) {
    samples.push_back({"basalt_peer_dropped_messages_total",
                       "Raft messages dropped: link down or queue full.",
                       true,
                       {{"peer", std::to_string(peer.value())}},
                       static_cast<double>(transport_->Link(peer)->dropped_messages())});
  }
  return samples;
}

NodeStatus Node::Status() {
  NodeStatus status;
  status.disk_free_bytes = disk_free_bytes_.load();
  status.node_id = config_.node_id;
  if (begun_.load()) {
    status.client_address = self_.client_address();
    status.peer_address = self_.peer_address();
  }
  status.uptime_ms = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now() - started_at_).count());
  std::vector<v1::ReplicaStatus> replicas;
  if (running_.load()) {
    const auto known = view_.known();
    status.cluster_id = ToHex(*RandomIdFromBytes(known->map.cluster_id()));
    status.stalled = host_->Stalled(kStallLimit);
    replicas = host_->ReplicaStatuses();
    for (const v1::NodeDescriptor& node : known->map.nodes()) {
      if (node.node_id() == config_.node_id) continue;
      status.peers.push_back({node.node_id(), node.peer_address(), node.http_address(),
                              transport_->IsConnected(raft::NodeId(node.node_id()))});
    }
  }
  for (const v1::ReplicaStatus& replica : replicas) {
    status.shards.push_back({replica.shard_id(), replica.replica_id(), replica.role(),
                             replica.leader_node(), replica.term(), replica.first_index(),
                             replica.last_index(), replica.commit_index(), replica.applied_index(),
                             replica.size_bytes()});
  }
  status.not_ready = WhyNotReady(replicas);
  if (disk_nearly_full_.load()) status.problems.push_back("the disk is nearly full: reads only");
  return status;
}

void Node::CheckDisk() {
  const absl::StatusOr<uint64_t> free = files_->FreeBytes(directory_->path());
  if (!free.ok()) return;
  disk_free_bytes_.store(*free);
  const bool full = *free < kFreeBytesMin || (running_.load() && host_->log().out_of_space());
  if (disk_nearly_full_.exchange(full) != full) {
    logger_.Warn({}, "{} bytes are free on the disk: writes are {}", *free,
                 full ? "refused" : "taken again");
  }
  dispatch_->SetReadOnly(full);
}

void Node::UpdateHealth() {
  const bool ready = Status().not_ready.empty();
  grpc::HealthCheckServiceInterface* health = client_server_->GetHealthCheckService();
  if (health != nullptr) {
    health->SetServingStatus(ready);
    health->SetServingStatus("basalt.v1.Kv", ready);
    health->SetServingStatus("basalt.v1.Admin", !stopping_.load());
  }
  if (ready && !std::exchange(said_ready_, true)) {
    logger_.Info({}, "ready: clients at {}", self_.client_address());
    NotifyReady("serving clients at " + self_.client_address());
  }
}

v1::StatusReply Node::AdminStatus() {
  v1::StatusReply reply;
  reply.set_version(std::string(base::GetBuildVersion().semver));
  reply.set_node_id(config_.node_id);
  reply.set_data_dir(directory_->path());
  reply.set_uptime_ms(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(clock_.Now() - started_at_).count()));
  reply.set_disk_free_bytes(disk_free_bytes_.load());
  reply.set_version_retention_ms(static_cast<uint64_t>(config_.version_retention.count()));
  const NodeStatus status = Status();
  reply.set_ready(status.not_ready.empty());
  for (const std::string& reason : status.not_ready) reply.add_problems(reason);
  for (const std::string& problem : status.problems) reply.add_problems(problem);
  if (!begun_.load()) return reply;
  *reply.mutable_node() = self_;
  if (!running_.load()) {
    for (const v1::NodeDescriptor& node : forming_->Met()) {
      if (node.node_id() == config_.node_id) continue;
      *reply.add_peers()->mutable_node() = node;
    }
    return reply;
  }
  const auto known = view_.known();
  reply.set_cluster_id(known->map.cluster_id());
  for (v1::ReplicaStatus& replica : host_->ReplicaStatuses()) {
    *reply.add_replicas() = std::move(replica);
  }
  for (const v1::NodeDescriptor& node : known->map.nodes()) {
    if (node.node_id() == config_.node_id) continue;
    v1::PeerState* peer = reply.add_peers();
    *peer->mutable_node() = node;
    peer->set_connected(transport_->IsConnected(raft::NodeId(node.node_id())));
  }
  return reply;
}

AdminHandlers Node::MakeAdminHandlers() {
  AdminHandlers handlers;
  handlers.status = [this] { return AdminStatus(); };
  handlers.init_cluster =
      [this](const v1::InitClusterRequest& request) -> absl::StatusOr<v1::ClusterMap> {
    const uint32_t shards = request.shards() == 0 ? config_.shards : request.shards();
    const uint32_t replicas = request.replicas() == 0 ? config_.replicas : request.replicas();
    if (shards > 4096) return base::InvalidArgument("a cluster starts with 1 to 4096 shards");
    if (replicas > 9) return base::InvalidArgument("a shard has 1 to 9 replicas");
    if (!begun_.load()) return base::Unavailable("the node is starting");
    return forming_->Form(shards, replicas);
  };
  handlers.scan_replica = [this](uint64_t shard_id) -> absl::StatusOr<std::unique_ptr<StoredScan>> {
    if (!running_.load()) return base::FailedPrecondition("the node belongs to no cluster yet");
    return host_->ScanReplica(shard_id);
  };
  return handlers;
}

}  // namespace basalt::server
