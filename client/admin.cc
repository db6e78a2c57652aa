#include "client/admin.h"

#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "client/wire.h"
#include "proto/admin.grpc.pb.h"
#include "proto/client.grpc.pb.h"

namespace basalt::client {
namespace {

using std::chrono::milliseconds;

constexpr int kMessageBytesMax = 64 << 20;

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(grpc::ClientContext& context, milliseconds timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

Code CodeOf(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Code::kDeadlineExceeded;
    case grpc::StatusCode::UNAVAILABLE:
      return Code::kUnavailable;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return Code::kOverloaded;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::FAILED_PRECONDITION:
      return Code::kInvalidArgument;
    default:
      return Code::kInternal;
  }
}

Status ReadFailure(const std::string& address, const grpc::Status& status) {
  return Status(CodeOf(status), Outcome::kNotApplied, address + ": " + status.error_message());
}

NodeView ToView(const v1::NodeDescriptor& node) {
  return {node.node_id(), node.client_address(), node.peer_address(), node.http_address(),
          node.zone()};
}

ReplicaReport ToReport(const v1::ReplicaStatus& replica) {
  return {.shard_id = replica.shard_id(),
          .replica_id = replica.replica_id(),
          .role = replica.role(),
          .term = replica.term(),
          .leader_node = replica.leader_node(),
          .first_index = replica.first_index(),
          .last_index = replica.last_index(),
          .commit_index = replica.commit_index(),
          .applied_index = replica.applied_index(),
          .flushed_index = replica.flushed_index(),
          .size_bytes = replica.size_bytes(),
          .max_stamp = replica.max_stamp(),
          .applied_hash = replica.applied_hash(),
          .epoch = replica.epoch(),
          .version_retention_ms = replica.version_retention_ms()};
}

NodeReport ToReport(const v1::StatusReply& reply) {
  NodeReport report{.release = reply.version(),
                    .node_id = reply.node_id(),
                    .cluster_id = reply.cluster_id(),
                    .data_dir = reply.data_dir(),
                    .uptime_ms = reply.uptime_ms(),
                    .disk_free_bytes = reply.disk_free_bytes(),
                    .version_retention_ms = reply.version_retention_ms(),
                    .ready = reply.ready(),
                    .node = ToView(reply.node())};
  report.problems.assign(reply.problems().begin(), reply.problems().end());
  for (const v1::ReplicaStatus& replica : reply.replicas()) {
    report.replicas.push_back(ToReport(replica));
  }
  for (const v1::PeerState& peer : reply.peers()) {
    report.peers.push_back({ToView(peer.node()), peer.connected()});
  }
  return report;
}

}  // namespace

Result<NodeReport> FetchStatus(const std::string& address, milliseconds timeout) {
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  v1::StatusReply reply;
  const grpc::Status status =
      v1::Admin::NewStub(ChannelTo(address))->Status(&context, v1::StatusRequest(), &reply);
  if (!status.ok()) return ReadFailure(address, status);
  return ToReport(reply);
}

Result<ClusterView> FetchMap(const std::string& address, milliseconds timeout) {
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  v1::ClusterMap map;
  const grpc::Status status =
      v1::Kv::NewStub(ChannelTo(address))->GetMap(&context, v1::GetMapRequest(), &map);
  if (!status.ok()) return ReadFailure(address, status);
  return ToView(map);
}

Result<ClusterView> InitCluster(const std::string& address, uint32_t shards, uint32_t replicas,
                                milliseconds timeout) {
  // Connecting first tells a closed port from a request whose fate is unknown.
  const auto channel = ChannelTo(address);
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + timeout)) {
    return Status(Code::kUnavailable, Outcome::kNotApplied, address + ": no connection");
  }
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  v1::InitClusterRequest request;
  request.set_shards(shards);
  request.set_replicas(replicas);
  v1::InitClusterReply reply;
  const grpc::Status status = v1::Admin::NewStub(channel)->InitCluster(&context, request, &reply);
  if (status.ok()) return ToView(reply.map());
  // Only a refusal says that nothing was done.
  const Code code = CodeOf(status);
  const bool refused =
      code == Code::kInvalidArgument || status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
  return Status(code, refused ? Outcome::kNotApplied : Outcome::kUnknown,
                address + ": " + status.error_message());
}

Status ScanReplica(const std::string& address, uint64_t shard_id, milliseconds timeout,
                   const ReplicaContents& contents) {
  grpc::ClientContext context;
  SetDeadline(context, timeout);
  v1::ScanReplicaRequest request;
  request.set_shard_id(shard_id);
  const auto stub = v1::Admin::NewStub(ChannelTo(address));
  const auto reader = stub->ScanReplica(&context, request);
  v1::ScanReplicaReply reply;
  bool first = true;
  while (reader->Read(&reply)) {
    if (first) contents.on_head(reply.applied_index(), reply.applied_hash());
    first = false;
    for (v1::StoredVersion& version : *reply.mutable_versions()) {
      contents.on_row({std::move(*version.mutable_key()), version.stamp(), version.tombstone(),
                       std::move(*version.mutable_value())});
    }
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return ReadFailure(address, status);
  if (first) {
    return Status(Code::kInternal, Outcome::kNotApplied, address + ": the answer has no head");
  }
  return Status();
}

}  // namespace basalt::client
