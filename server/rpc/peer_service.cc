#include "server/rpc/peer_service.h"

#include "server/rpc/polling_threads.h"

namespace basalt::server {
namespace {

grpc::Status NotReady() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the node is starting or in no cluster yet");
}

grpc::ServerUnaryReactor* Finished(grpc::CallbackServerContext* context,
                                   const grpc::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// A stream that is refused at once.
template <typename Base>
class RefusedStream final : public Base {
 public:
  RefusedStream() { this->Finish(NotReady()); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerUnaryReactor* PeerService::Meet(grpc::CallbackServerContext* context,
                                            const v1::Hello* request, v1::HelloReply* response) {
  ClusterForming* forming = forming_.load();
  if (forming == nullptr) return Finished(context, NotReady());
  const PollingThreads::Blocking blocking;
  *response = forming->OnMeet(*request);
  // A member that says hello may have moved to other addresses.
  PeerTransport* transport = transport_.load();
  if (transport != nullptr && response->refusal().empty() && !request->cluster_id().empty()) {
    (void)transport->CheckHello(*request);
  }
  return Finished(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* PeerService::Reserve(grpc::CallbackServerContext* context,
                                               const v1::ReserveRequest* request,
                                               v1::ReserveReply* response) {
  ClusterForming* forming = forming_.load();
  if (forming == nullptr) return Finished(context, NotReady());
  const PollingThreads::Blocking blocking;
  *response = forming->OnReserve(*request);
  return Finished(context, grpc::Status::OK);
}

grpc::ServerUnaryReactor* PeerService::Adopt(grpc::CallbackServerContext* context,
                                             const v1::AdoptRequest* request,
                                             v1::AdoptReply* response) {
  ClusterForming* forming = forming_.load();
  if (forming == nullptr) return Finished(context, NotReady());
  const PollingThreads::Blocking blocking;
  *response = forming->OnAdopt(*request);
  return Finished(context, grpc::Status::OK);
}

grpc::ServerReadReactor<v1::CheckpointChunk>* PeerService::Checkpoint(grpc::CallbackServerContext*,
                                                                      v1::CheckpointReply* reply) {
  CheckpointReceiver* receiver = receiver_.load();
  if (receiver == nullptr) return new RefusedStream<grpc::ServerReadReactor<v1::CheckpointChunk>>();
  return receiver->Accept(reply);
}

}  // namespace basalt::server
