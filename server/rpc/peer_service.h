// PeerService: what other nodes may ask of this one, over gRPC. Raft's messages do not come this
// way: peer_stream.h.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>

#include "proto/peer.grpc.pb.h"
#include "server/node/forming.h"
#include "server/rpc/checkpoint_receiver.h"
#include "server/rpc/peer_transport.h"

namespace basalt::server {

// Outlived by what it is given.
class PeerService final : public v1::Peer::CallbackService {
 public:
  // From here on other nodes may meet this one.
  void Open(ClusterForming& forming) { forming_.store(&forming); }
  // The node belongs to a cluster now: checkpoints are taken from here on.
  void Open(PeerTransport& transport, CheckpointReceiver& receiver) {
    receiver_.store(&receiver);
    transport_.store(&transport);
  }

  grpc::ServerUnaryReactor* Meet(grpc::CallbackServerContext* context, const v1::Hello* request,
                                 v1::HelloReply* response) override;
  grpc::ServerUnaryReactor* Reserve(grpc::CallbackServerContext* context,
                                    const v1::ReserveRequest* request,
                                    v1::ReserveReply* response) override;
  grpc::ServerUnaryReactor* Adopt(grpc::CallbackServerContext* context,
                                  const v1::AdoptRequest* request,
                                  v1::AdoptReply* response) override;
  grpc::ServerReadReactor<v1::CheckpointChunk>* Checkpoint(grpc::CallbackServerContext* context,
                                                           v1::CheckpointReply* reply) override;

 private:
  std::atomic<ClusterForming*> forming_{nullptr};
  std::atomic<PeerTransport*> transport_{nullptr};
  std::atomic<CheckpointReceiver*> receiver_{nullptr};
};

}  // namespace basalt::server
