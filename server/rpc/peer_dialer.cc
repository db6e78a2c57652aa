#include "server/rpc/peer_dialer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/status.h"
#include "proto/peer.grpc.pb.h"
#include "server/rpc/peer_stream.h"

namespace basalt::server {
namespace {

constexpr std::chrono::milliseconds kRound{50};
constexpr uint32_t kRoundsToWaitMax = 10;
constexpr std::chrono::milliseconds kCallTimeout{1000};
constexpr int kMessageBytesMax = 128 << 20;

template <typename Reply, typename Call>
absl::StatusOr<Reply> CallWithTimeout(const std::string& address, Call call) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  context.set_wait_for_ready(true);  // for a node that is just being started
  Reply reply;
  const grpc::Status status = call(context, reply);
  if (!status.ok()) return base::Unavailable(address + ": " + status.error_message());
  return reply;
}

}  // namespace

std::shared_ptr<grpc::Channel> MakePeerChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments.SetMaxSendMessageSize(kMessageBytesMax);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

std::shared_ptr<grpc::Channel> GrpcPeerCalls::Channel(const std::string& address) {
  base::MutexLock lock(mutex_);
  std::shared_ptr<grpc::Channel>& channel = channels_[address];
  if (channel == nullptr) channel = MakePeerChannel(address);
  return channel;
}

absl::StatusOr<v1::HelloReply> GrpcPeerCalls::Meet(const std::string& address,
                                                   const v1::Hello& hello) {
  return CallWithTimeout<v1::HelloReply>(
      address, [&](grpc::ClientContext& context, v1::HelloReply& reply) {
        return v1::Peer::NewStub(Channel(address))->Meet(&context, hello, &reply);
      });
}

absl::StatusOr<v1::ReserveReply> GrpcPeerCalls::Reserve(const std::string& address,
                                                        const v1::ReserveRequest& request) {
  return CallWithTimeout<v1::ReserveReply>(
      address, [&](grpc::ClientContext& context, v1::ReserveReply& reply) {
        return v1::Peer::NewStub(Channel(address))->Reserve(&context, request, &reply);
      });
}

absl::StatusOr<v1::AdoptReply> GrpcPeerCalls::Adopt(const std::string& address,
                                                    const v1::AdoptRequest& request) {
  return CallWithTimeout<v1::AdoptReply>(
      address, [&](grpc::ClientContext& context, v1::AdoptReply& reply) {
        return v1::Peer::NewStub(Channel(address))->Adopt(&context, request, &reply);
      });
}

PeerDialer::PeerDialer(PeerTransport& transport, EventLoop& loop, ClusterView& view,
                       PeerCalls& calls, Logger& logger)
    : transport_(transport), loop_(loop), view_(view), calls_(calls), logger_(logger) {}

PeerDialer::~PeerDialer() { Stop(); }

void PeerDialer::Start() {
  thread_ = std::thread([this] { Run(); });
}

void PeerDialer::Stop() {
  {
    base::MutexLock lock(mutex_);
    stopped_ = true;
    stopped_changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
  std::vector<std::shared_ptr<FrameWriter>> streams;
  {
    base::MutexLock lock(mutex_);
    for (auto& [node, peer] : peers_) {
      if (peer.stream != nullptr) streams.push_back(std::move(peer.stream));
    }
  }
  for (const std::shared_ptr<FrameWriter>& stream : streams) stream->Shut();
  streams.clear();
  transport_.Shut();
  base::MutexLock lock(mutex_);
  while (streams_ > 0) stopped_changed_.Wait(mutex_);
}

std::string PeerDialer::AddressOf(raft::NodeId node) const {
  const auto known = view_.known();
  for (const v1::NodeDescriptor& descriptor : known->map.nodes()) {
    if (descriptor.node_id() == node.value()) return descriptor.peer_address();
  }
  return {};
}

void PeerDialer::Run() {
  const uint64_t self = transport_.self().node().node_id();
  for (;;) {
    for (const raft::NodeId peer : transport_.Peers()) Visit(peer, self);
    base::MutexLock lock(mutex_);
    if (stopped_) return;
    stopped_changed_.WaitFor(mutex_, kRound);
    if (stopped_) return;
  }
}

void PeerDialer::Visit(raft::NodeId node, uint64_t self) {
  if (transport_.Link(node)->connected()) {
    base::MutexLock lock(mutex_);
    peers_[node].failures = 0;
    return;
  }
  const std::string address = AddressOf(node);
  const bool we_dial = node.value() > self;
  {
    base::MutexLock lock(mutex_);
    Peer& peer = peers_[node];
    if (peer.dialling) return;
    if (peer.rounds_to_wait > 0) {
      --peer.rounds_to_wait;
      return;
    }
    peer.rounds_to_wait = std::min(kRoundsToWaitMax, ++peer.failures);
    if (we_dial) {
      peer.dialling = true;
      ++streams_;
    } else {
      peer.rounds_to_wait = kRoundsToWaitMax;
    }
  }
  if (!we_dial) {
    (void)calls_.Meet(address, transport_.self()).ok();  // it dials us; it may not know where
    return;
  }
  std::shared_ptr<FrameWriter> stream =
      DialPeerStream(loop_, transport_, node, address,
                     [this, node](const std::string& problem) { OnEnded(node, problem); });
  base::MutexLock lock(mutex_);
  Peer& peer = peers_[node];
  if (peer.dialling) peer.stream = std::move(stream);
}

void PeerDialer::OnEnded(raft::NodeId node, const std::string& problem) {
  bool is_news = false;
  {
    base::MutexLock lock(mutex_);
    Peer& peer = peers_[node];
    peer.dialling = false;
    peer.stream = nullptr;
    is_news = std::exchange(peer.last_problem, problem) != problem && !stopped_;
  }
  if (is_news) logger_.Warn({.peer = node.value()}, "no stream to the peer: {}", problem);
  base::MutexLock lock(mutex_);
  --streams_;
  stopped_changed_.NotifyAll();
}

}  // namespace basalt::server
