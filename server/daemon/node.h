// Node: one basaltd process: its directory, its servers, its part of a cluster. main() starts it,
// calls Poll until a signal comes, and stops it; all from one thread.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/config/node_config.h"
#include "server/node/forming.h"
#include "server/node/shard_host.h"
#include "server/node_directory/node_directory.h"
#include "server/node_directory/temporary_directory.h"
#include "server/observe/http_server.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/checkpoint_receiver.h"
#include "server/rpc/kv_service.h"
#include "server/rpc/peer_dialer.h"
#include "server/rpc/peer_door.h"
#include "server/rpc/peer_service.h"

namespace basalt::server {

// Counts answers and logs the slow ones. Thread-safe.
class RequestReporter final : public RequestObserver {
 public:
  RequestReporter(Metrics& metrics, Logger& logger, std::chrono::milliseconds slow)
      : metrics_(metrics.requests()), stages_(metrics.stages()), logger_(logger), slow_(slow) {}
  void OnAnswered(RequestKind kind, uint64_t shard_id, v1::Code code, MonotonicTime took) override;
  void OnStage(RequestKind kind, Stage stage, MonotonicTime took, uint64_t requests) override;

 private:
  RequestMetrics& metrics_;
  StageHistograms& stages_;
  Logger& logger_;
  const std::chrono::milliseconds slow_;  // 0: none is
};

class Node {
 public:
  // Opens the directory and listens on all ports. Every error is one line.
  static absl::StatusOr<std::unique_ptr<Node>> Start(const NodeConfig& config, Logger& logger);
  ~Node();

  // Moves on what has no thread of its own: forming a cluster, housekeeping. Called ten times a
  // second; may block for a second or two. An error is final: the process ends with that line.
  absl::Status Poll();

  // Unready at once, then finishes what is under way and closes everything, within 10 s.
  void Stop();

  NodeStatus Status();

 private:
  Node(const NodeConfig& config, Logger& logger);

  absl::Status OpenDirectory();
  absl::Status ListenForPeers();
  absl::Status ListenForClients();
  absl::Status ListenForHttp();
  absl::Status BeginForming();
  absl::Status JoinCluster(const v1::ClusterMap& layout);
  absl::Status PersistLayout(const v1::ClusterMap& layout);
  absl::Status SendCheckpoint(const CheckpointToSend& checkpoint);
  void Housekeep();
  void TakePeerStream(int socket);
  void TakePeerCalls(int socket);
  void UpdateHealth();
  void CheckDisk();
  v1::StatusReply AdminStatus();
  AdminHandlers MakeAdminHandlers();
  std::vector<std::string> WhyNotReady(const std::vector<v1::ReplicaStatus>& replicas);
  v1::Hello MakeHello() const;
  std::vector<PulledSample> Samples() const;

  const NodeConfig config_;
  Logger& logger_;
  SystemClock clock_;
  KnownTime time_{clock_};
  const MonotonicTime started_at_;
  const uint64_t process_;
  std::unique_ptr<storage::FileSystem> files_;
  std::unique_ptr<TemporaryDirectory> temporary_;
  std::unique_ptr<NodeDirectory> directory_;
  Metrics metrics_;
  RequestReporter reporter_;
  ClusterView view_;
  RequestBudget budget_;
  v1::NodeDescriptor self_;  // the starting thread's until begun_, then fixed
  GrpcPeerCalls peer_calls_;
  std::unique_ptr<ClusterForming> forming_;
  EventLoop peer_loop_;  // polled by the host's group thread
  std::unique_ptr<ShardHost> host_;
  std::unique_ptr<PeerTransport> transport_;
  std::unique_ptr<PeerDialer> dialer_;
  std::unique_ptr<CheckpointReceiver> receiver_;
  PeerService peer_service_;
  std::unique_ptr<Dispatch> dispatch_;
  std::unique_ptr<KvService> kv_service_;
  std::unique_ptr<AdminService> admin_service_;
  std::unique_ptr<grpc::Server> peer_server_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> peer_calls_taker_;
  std::unique_ptr<PeerDoor> peer_door_;
  std::unique_ptr<grpc::Server> client_server_;
  std::unique_ptr<HttpServer> http_server_;
  std::atomic<bool> begun_{false};                       // forming_ and all servers are there
  std::atomic<PeerTransport*> open_transport_{nullptr};  // once streams may come
  std::atomic<bool> running_{false};                     // part of a cluster, all threads started
  std::atomic<bool> stopping_{false};
  std::atomic<bool> disk_nearly_full_{false};
  std::atomic<uint64_t> disk_free_bytes_{0};
  bool said_ready_ = false;
  bool said_unformed_ = false;
  bool said_unknown_messages_ = false;
  bool checked_join_ = false;
  MonotonicTime next_housekeeping_{};
};

}  // namespace basalt::server
