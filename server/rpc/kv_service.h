// KvService: the client API over gRPC's callback interface.
#pragma once

#include <grpcpp/grpcpp.h>

#include "proto/client.grpc.pb.h"
#include "server/clock/known_time.h"
#include "server/rpc/dispatch.h"

namespace basalt::server {

// Outlived by what its constructor is given.
class KvService final : public v1::Kv::CallbackService {
 public:
  KvService(Dispatch& dispatch, const ClusterView& view, const KnownTime& time)
      : dispatch_(dispatch), view_(view), time_(time) {}

  grpc::ServerBidiReactor<v1::RequestBatch, v1::ResponseBatch>* Stream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Call(grpc::CallbackServerContext* context, const v1::Request* request,
                                 v1::Response* response) override;
  grpc::ServerUnaryReactor* GetMap(grpc::CallbackServerContext* context,
                                   const v1::GetMapRequest* request,
                                   v1::ClusterMap* response) override;

 private:
  Dispatch& dispatch_;
  const ClusterView& view_;
  const KnownTime& time_;
};

}  // namespace basalt::server
