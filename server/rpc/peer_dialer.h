// PeerDialer: keeps this node's streams to the nodes with higher ids open, and tells the nodes with
// lower ids, which dial us, where we are. One thread of its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "server/node/forming.h"
#include "server/observe/logger.h"
#include "server/rpc/event_loop.h"
#include "server/rpc/peer_transport.h"

namespace basalt::server {

// For calls to a peer: keepalive and quick reconnection; a firewall that swallows packets is
// noticed within a few seconds.
std::shared_ptr<grpc::Channel> MakePeerChannel(const std::string& address);

class GrpcPeerCalls final : public PeerCalls {
 public:
  absl::StatusOr<v1::HelloReply> Meet(const std::string& address, const v1::Hello& hello) override;
  absl::StatusOr<v1::ReserveReply> Reserve(const std::string& address,
                                           const v1::ReserveRequest& request) override;
  absl::StatusOr<v1::AdoptReply> Adopt(const std::string& address,
                                       const v1::AdoptRequest& request) override;

 private:
  std::shared_ptr<grpc::Channel> Channel(const std::string& address) BASALT_EXCLUDES(mutex_);

  base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_ BASALT_GUARDED_BY(mutex_);
};

class PeerDialer {
 public:
  // Outlived by what it is given.
  PeerDialer(PeerTransport& transport, EventLoop& loop, ClusterView& view, PeerCalls& calls,
             Logger& logger);
  ~PeerDialer();

  void Start();
  // Stops dialling, and ends all streams, those too that are still being opened.
  void Stop();

 private:
  struct Peer {
    bool dialling = false;                // until the stream has ended
    std::shared_ptr<FrameWriter> stream;  // while dialling
    uint32_t rounds_to_wait = 0;
    uint32_t failures = 0;
    std::string last_problem;
  };

  void Run();
  void Visit(raft::NodeId node, uint64_t self);
  void OnEnded(raft::NodeId node, const std::string& problem);
  std::string AddressOf(raft::NodeId node) const;

  PeerTransport& transport_;
  EventLoop& loop_;
  ClusterView& view_;
  PeerCalls& calls_;
  Logger& logger_;

  base::Mutex mutex_;
  base::CondVar stopped_changed_;
  bool stopped_ BASALT_GUARDED_BY(mutex_) = false;
  std::map<raft::NodeId, Peer> peers_ BASALT_GUARDED_BY(mutex_);
  uint32_t streams_ BASALT_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace basalt::server
