// AdminService: what operators ask a node, over gRPC.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>

#include "absl/status/statusor.h"

#include "proto/admin.grpc.pb.h"
#include "server/shard/shard_reads.h"

namespace basalt::server {

// What the service asks of its node. All are called on gRPC's threads and may block briefly.
struct AdminHandlers {
  std::function<v1::StatusReply()> status;
  std::function<absl::StatusOr<v1::ClusterMap>(const v1::InitClusterRequest&)> init_cluster;
  // NotFound: this node has no replica of the shard.
  std::function<absl::StatusOr<std::unique_ptr<StoredScan>>(uint64_t shard_id)> scan_replica;
};

class AdminService final : public v1::Admin::CallbackService {
 public:
  explicit AdminService(AdminHandlers handlers) : handlers_(std::move(handlers)) {}

  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context,
                                   const v1::StatusRequest* request,
                                   v1::StatusReply* response) override;
  grpc::ServerUnaryReactor* InitCluster(grpc::CallbackServerContext* context,
                                        const v1::InitClusterRequest* request,
                                        v1::InitClusterReply* response) override;
  grpc::ServerWriteReactor<v1::ScanReplicaReply>* ScanReplica(
      grpc::CallbackServerContext* context, const v1::ScanReplicaRequest* request) override;

 private:
  const AdminHandlers handlers_;
};

}  // namespace basalt::server
