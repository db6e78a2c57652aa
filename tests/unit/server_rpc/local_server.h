// LocalServer: one gRPC service on a free port of loopback.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

namespace basalt::testing {

class LocalServer {
 public:
  explicit LocalServer(grpc::Service& service) {
    grpc::ServerBuilder builder;
    // As a node listens: a peer's keepalive is welcome.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service);
    server_ = builder.BuildAndStart();
  }
  ~LocalServer() { Stop(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Cuts what is under way; returns when the service is not called any more.
  void Stop() { server_->Shutdown(std::chrono::system_clock::now()); }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace basalt::testing
