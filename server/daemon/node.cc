#include "server/daemon/node.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/version.h"
#include "server/config/memory_plan.h"
#include "server/node/layout_check.h"
#include "server/observe/service_notify.h"
#include "server/rpc/checkpoint_sender.h"
#include "server/rpc/peer_stream.h"
#include "server/rpc/wire_version.h"
#include "storage/posix_file_system.h"

namespace basalt::server {
namespace {

constexpr int kMessageBytesMax = 128 << 20;
constexpr std::chrono::seconds kHousekeepingPeriod{1};
constexpr std::chrono::seconds kHandOverMax{2};
constexpr std::chrono::seconds kDrainMax{3};

uint64_t RandomNumber() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

ShardHostOptions MakeHostOptions(const NodeConfig& config, const NodeDirectory& directory) {
  ShardHostOptions options;
  options.node = raft::NodeId(config.node_id);
  options.log_directory = directory.LogPath();
  options.log_id = directory.identity().log_id;
  options.shards_directory = directory.ShardsPath();
  options.checkpoints_directory = directory.CheckpointsPath();
  options.log_segment_bytes = config.log_segment_size;
  options.log_retained_bytes = config.log_retain;
  options.versions = {config.version_retention, config.old_versions_max};
  options.session_retention = config.session_retention;
  options.session_bytes = config.session_memory;
  const MemoryPlan memory = PlanMemory(config);
  options.sizes.hot_rows_bytes = memory.hot_rows;
  options.sizes.block_cache_bytes = memory.block_cache;
  options.entry_bytes = memory.log_entries;
  options.sizes.memtables_bytes = config.write_buffer;
  options.sizes.background_niceness = static_cast<int>(config.background_niceness);
  options.election_timeout_ticks = config.election_timeout_ticks();
  options.heartbeat_ticks = config.heartbeat_ticks();
  options.tick = config.tick();
  options.promise = config.promise();
  options.leases = config.read_mode == ReadConfirmation::kLease;
  options.clock_drift_percent = config.clock_drift_percent;
  options.leader_priority = config.leader_priority;
  options.seed = RandomNumber();
  return options;
}

void Configure(grpc::ServerBuilder& builder, const std::vector<grpc::Service*>& services) {
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  for (grpc::Service* service : services) builder.RegisterService(service);
}

// One server on one address; `bound` gets the port.
absl::StatusOr<std::unique_ptr<grpc::Server>> Listen(const HostPort& address,
                                                     const std::vector<grpc::Service*>& services,
                                                     int* bound) {
  grpc::ServerBuilder builder;
  Configure(builder, services);
  builder.AddListeningPort(address.ToString(), grpc::InsecureServerCredentials(), bound);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || *bound == 0) {
    return base::Unavailable("cannot listen for clients on " + address.ToString() +
                             ": the port is in use or not ours");
  }
  return server;
}

std::string Advertised(HostPort address, int bound) {
  if (address.port == 0) address.port = static_cast<uint16_t>(bound);
  return address.ToString();
}

}  // namespace

Node::Node(const NodeConfig& config, Logger& logger)
    : config_(config),
      logger_(logger),
      started_at_(clock_.Now()),
      process_(RandomNumber() | 1),
      files_(storage::NewPosixFileSystem()),
      metrics_(config.node_id),
      reporter_(metrics_, logger, config.slow_request),
      budget_(PlanMemory(config).requests) {}

Node::~Node() { Stop(); }

absl::StatusOr<std::unique_ptr<Node>> Node::Start(const NodeConfig& config, Logger& logger) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  std::unique_ptr<Node> node(new Node(config, logger));
  BASALT_RETURN_IF_ERROR(node->OpenDirectory());
  node->host_ = std::make_unique<ShardHost>(
      MakeHostOptions(config, *node->directory_),
      ShardHost::Ports{
          *node->files_, node->clock_, node->time_, node->view_, logger, node->metrics_,
          [raw = node.get()](const CheckpointToSend& checkpoint) {
            return raw->SendCheckpoint(checkpoint);
          },
          &node->reporter_,
          [raw = node.get()](raft::NodeId peer) { return raw->transport_->IsConnected(peer); },
          &node->peer_loop_});
  BASALT_RETURN_IF_ERROR(node->ListenForHttp());
  BASALT_RETURN_IF_ERROR(node->ListenForPeers());
  BASALT_RETURN_IF_ERROR(node->ListenForClients());
  BASALT_RETURN_IF_ERROR(node->BeginForming());
  return node;
}

absl::Status Node::OpenDirectory() {
  std::string path = config_.data_dir;
  if (config_.dev) {
    BASALT_ASSIGN_OR_RETURN(temporary_, TemporaryDirectory::Create());
    path = temporary_->path() + "/node";
  }
  NodeDirectoryOptions options;
  options.path = path;
  options.node_id = config_.node_id;
  options.release = std::string(base::GetBuildVersion().semver);
  options.fresh_store_id = MakeRandomId();
  options.process_id = static_cast<uint64_t>(::getpid());
  BASALT_ASSIGN_OR_RETURN(directory_, NodeDirectory::Open(*files_, options));
  BASALT_RETURN_IF_ERROR(directory_->EmptyStaging());
  self_.set_node_id(config_.node_id);
  self_.set_zone(config_.zone);
  self_.set_store_id(ToBytes(directory_->identity().store_id));
  return absl::OkStatus();
}

absl::Status Node::ListenForHttp() {
  metrics_.SetStatusSource([this] { return Status(); });
  metrics_.AddPulledSource([this] { return Samples(); });
  BASALT_ASSIGN_OR_RETURN(
      http_server_, HttpServer::Start(config_.http_listen, {[this] { return metrics_.Render(); },
                                                            [this] { return Status(); }}));
  HostPort address = config_.http_listen;
  if (address.is_wildcard()) address.host = config_.advertise.host;
  address.port = http_server_->port();
  self_.set_http_address(address.ToString());
  return absl::OkStatus();
}

absl::Status Node::ListenForPeers() {
  using Builder = grpc::ServerBuilder::experimental_type;
  grpc::ServerBuilder builder;
  Configure(builder, {&peer_service_});
  peer_calls_taker_ = builder.experimental().AddExternalConnectionAcceptor(
      Builder::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  peer_server_ = builder.BuildAndStart();
  if (peer_server_ == nullptr) return base::Internal("cannot start the server for peers");
  BASALT_ASSIGN_OR_RETURN(
      peer_door_,
      PeerDoor::Open(config_.peer_listen, {[this](int socket) { TakePeerStream(socket); },
                                           [this](int socket) { TakePeerCalls(socket); }}));
  self_.set_peer_address(Advertised(config_.peer_advertise, peer_door_->port()));
  return absl::OkStatus();
}

void Node::TakePeerStream(int socket) {
  if (PeerTransport* const transport = open_transport_.load()) {
    AcceptPeerStream(peer_loop_, *transport, socket);
  } else {
    ::close(socket);  // starting, or in no cluster yet
  }
}

void Node::TakePeerCalls(int socket) {
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.fd = socket;
  peer_calls_taker_->HandleNewConnection(&connection);
}

absl::Status Node::ListenForClients() {
  dispatch_ = std::make_unique<Dispatch>(
      Dispatch::Options{},
      Dispatch::Ports{view_, *host_, budget_, clock_, host_->lease_reads(), &reporter_});
  kv_service_ = std::make_unique<KvService>(*dispatch_, view_, time_);
  admin_service_ = std::make_unique<AdminService>(MakeAdminHandlers());
  int bound = 0;
  BASALT_ASSIGN_OR_RETURN(
      client_server_, Listen(config_.listen, {kv_service_.get(), admin_service_.get()}, &bound));
  self_.set_client_address(Advertised(config_.advertise, bound));
  UpdateHealth();
  return absl::OkStatus();
}

absl::Status Node::BeginForming() {
  std::optional<v1::ClusterMap> formed;
  if (directory_->formed()) {
    formed.emplace();
    const std::string path = directory_->path() + "/LAYOUT";
    if (!formed->ParseFromString(directory_->layout())) {
      return base::DataLoss(path + " is not a cluster map");
    }
    if (const absl::Status sound = CheckLayout(*formed); !sound.ok()) {
      return base::DataLoss(path + ": " + base::Message(sound));
    }
  }
  dispatch_->SetFormed(formed.has_value());
  FormingOptions options;
  options.self = self_;
  options.process = process_;
  for (const HostPort& address : config_.join) options.join.push_back(address.ToString());
  options.bootstrap_expect = config_.dev ? 1 : config_.bootstrap_expect;
  options.shards = config_.shards;
  options.replicas = config_.replicas;
  forming_ = std::make_unique<ClusterForming>(
      options, std::move(formed), ToBytes(MakeRandomId()), peer_calls_,
      [this](const v1::ClusterMap& layout) { return PersistLayout(layout); }, clock_);
  peer_service_.Open(*forming_);
  begun_.store(true);
  return absl::OkStatus();
}

absl::Status Node::PersistLayout(const v1::ClusterMap& layout) {
  const std::optional<RandomId> cluster_id = RandomIdFromBytes(layout.cluster_id());
  if (!cluster_id) return base::InvalidArgument("the layout has no cluster id");
  return directory_->AdoptCluster(*cluster_id, layout.SerializeAsString());
}

v1::Hello Node::MakeHello() const {
  v1::Hello hello;
  hello.set_wire_version(kWireVersion);
  hello.set_cluster_id(view_.known()->map.cluster_id());
  *hello.mutable_node() = self_;
  hello.set_process(process_);
  hello.set_election_timeout_ms(static_cast<uint64_t>(config_.election_timeout.count()));
  hello.set_promise_ms(static_cast<uint64_t>(config_.promise().count()));
  hello.set_leases(config_.read_mode == ReadConfirmation::kLease);
  return hello;
}

absl::Status Node::JoinCluster(const v1::ClusterMap& layout) {
  BASALT_RETURN_IF_ERROR(host_->Open(layout));
  BASALT_RETURN_IF_ERROR(directory_->AdoptLog(host_->log_id()));
  view_.Set(layout);
  view_.SetNode(self_);
  std::vector<raft::NodeId> peers;
  for (const v1::NodeDescriptor& node : layout.nodes()) {
    if (node.node_id() != config_.node_id) peers.push_back(raft::NodeId(node.node_id()));
  }
  for (const v1::ShardDescriptor& shard : layout.shards()) {
    view_.OnLeader(raft::GroupId(shard.shard_id()), raft::NodeId(0), raft::Term(0));
  }
  transport_ = std::make_unique<PeerTransport>(peers, MakeHello(), view_, *host_, time_,
                                               PlanMemory(config_).peer_link);
  receiver_ = std::make_unique<CheckpointReceiver>(*files_, directory_->IncomingPath(),
                                                   kFreeBytesMin, *transport_, *host_);
  transport_->SetTransactions(host_.get());
  host_->Start(*transport_, transport_.get());
  peer_service_.Open(*transport_, *receiver_);
  open_transport_.store(transport_.get());
  dialer_ = std::make_unique<PeerDialer>(*transport_, peer_loop_, view_, peer_calls_, logger_);
  dialer_->Start();
  running_.store(true);
  logger_.Info({}, "node {} is part of cluster {}: {} nodes, {} data shards", config_.node_id,
               ToHex(*RandomIdFromBytes(layout.cluster_id())), layout.nodes_size(),
               layout.shards_size() - 1);
  return absl::OkStatus();
}

absl::Status Node::SendCheckpoint(const CheckpointToSend& checkpoint) {
  OutgoingCheckpoint outgoing{
      MakeHello(),     checkpoint.group, checkpoint.self,     checkpoint.send.follower,
      checkpoint.term, checkpoint.base,  checkpoint.directory};
  const auto known = view_.known();
  for (const v1::NodeDescriptor& node : known->map.nodes()) {
    if (node.node_id() != checkpoint.send.node.value()) continue;
    SendLimits limits;
    limits.bytes_per_second = config_.checkpoint_rate;
    limits.stop = [&] { return stopping_.load() || checkpoint.called_off(); };
    return SendCheckpointFiles(MakePeerChannel(node.peer_address()), *files_, outgoing, limits,
                               clock_);
  }
  return base::NotFound("no such node");
}

absl::Status Node::Poll() {
  if (!running_.load()) {
    BASALT_RETURN_IF_ERROR(forming_->Look());
    if (const std::optional<v1::ClusterMap> layout = forming_->layout()) {
      BASALT_RETURN_IF_ERROR(JoinCluster(*layout));
    } else if (!std::exchange(said_unformed_, true)) {
      logger_.Info({}, "waiting for a cluster; form one with: kvctl --endpoints {} cluster init",
                   self_.client_address());
    }
  }
  if (running_.load() && !std::exchange(checked_join_, true)) {
    BASALT_RETURN_IF_ERROR(forming_->CheckJoined());
  }
  const MonotonicTime now = clock_.Now();
  if (now >= next_housekeeping_ || (running_.load() && !said_ready_)) {
    next_housekeeping_ = now + kHousekeepingPeriod;
    Housekeep();
  }
  return absl::OkStatus();
}

void Node::Housekeep() {
  if (running_.load()) {
    transport_->TellTime();
    host_->Maintain();
    receiver_->RemoveDiscarded();
    if (transport_->unknown_messages() > 0 && !std::exchange(said_unknown_messages_, true)) {
      logger_.Warn({},
                   "peers of a newer release send what this one does not know: it is dropped, "
                   "and replicas that need it stay behind until this node is upgraded");
    }
  }
  CheckDisk();
  UpdateHealth();
}

void Node::Stop() {
  if (stopping_.exchange(true)) return;
  NotifyStopping();
  if (client_server_ != nullptr) UpdateHealth();
  // While it still serves: who asks the wrong node is told the right one.
  if (running_.load()) {
    const size_t kept = host_->HandOver(kHandOverMax);
    if (kept > 0)
      logger_.Warn({}, "{} leaderships were not handed over: an election follows", kept);
  }
  if (dispatch_ != nullptr) dispatch_->Stop();
  // What is under way is answered before the doors close.
  const MonotonicTime until = clock_.Now() + kDrainMax;
  while (budget_.bytes() > 0 && clock_.Now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto deadline = std::chrono::system_clock::now() + std::chrono::seconds(1);
  if (dialer_ != nullptr) dialer_->Stop();
  if (peer_door_ != nullptr) peer_door_->Stop();
  if (peer_server_ != nullptr) peer_server_->Shutdown(deadline);
  if (host_ != nullptr) host_->Stop();  // answers the rest: else the clients' calls would not end
  if (client_server_ != nullptr) client_server_->Shutdown(deadline);
  if (http_server_ != nullptr) http_server_->Stop();
}

}  // namespace basalt::server
