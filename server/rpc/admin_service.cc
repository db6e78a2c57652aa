#include "server/rpc/admin_service.h"

#include <utility>
#include <vector>

#include "base/status.h"
#include "server/rpc/polling_threads.h"

namespace basalt::server {
namespace {

constexpr size_t kScanMessageBytes = 256u << 10;

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), base::Message(status));
}

// Streams one replica's rows. Only one write is under way; the scan goes on when it is done.
class ReplicaScan final : public grpc::ServerWriteReactor<v1::ScanReplicaReply> {
 public:
  explicit ReplicaScan(absl::StatusOr<std::unique_ptr<StoredScan>> scan) {
    if (!scan.ok()) {
      Finish(ToGrpc(scan.status()));
      return;
    }
    scan_ = *std::move(scan);
    message_.set_applied_index(scan_->applied().base.index.value());
    message_.set_applied_hash(scan_->applied_hash());
    StartWrite(&message_);
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    const PollingThreads::Blocking blocking;
    absl::StatusOr<std::vector<StoredScan::Row>> rows = scan_->Next(kScanMessageBytes);
    if (!rows.ok()) return Finish(ToGrpc(rows.status()));
    if (rows->empty()) return Finish(grpc::Status::OK);
    message_.Clear();
    for (StoredScan::Row& row : *rows) {
      v1::StoredVersion* version = message_.add_versions();
      version->set_key(std::move(row.key));
      version->set_stamp(row.stamp);
      version->set_tombstone(row.kind == storage::VersionKind::kTombstone);
      version->set_value(std::move(row.value));
    }
    StartWrite(&message_);
  }

  void OnDone() override { delete this; }

 private:
  std::unique_ptr<StoredScan> scan_;
  v1::ScanReplicaReply message_;
};

}  // namespace

grpc::ServerUnaryReactor* AdminService::Status(grpc::CallbackServerContext* context,
                                               const v1::StatusRequest*,
                                               v1::StatusReply* response) {
  const PollingThreads::Blocking blocking;
  *response = handlers_.status();
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* AdminService::InitCluster(grpc::CallbackServerContext* context,
                                                    const v1::InitClusterRequest* request,
                                                    v1::InitClusterReply* response) {
  const PollingThreads::Blocking blocking;
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<v1::ClusterMap> map = handlers_.init_cluster(*request);
  const absl::Status status = map.status();
  if (status.ok()) *response->mutable_map() = *std::move(map);
  reactor->Finish(status.ok() ? grpc::Status::OK : ToGrpc(status));
  return reactor;
}

grpc::ServerWriteReactor<v1::ScanReplicaReply>* AdminService::ScanReplica(
    grpc::CallbackServerContext*, const v1::ScanReplicaRequest* request) {
  const PollingThreads::Blocking blocking;
  return new ReplicaScan(handlers_.scan_replica(request->shard_id()));
}

}  // namespace basalt::server
