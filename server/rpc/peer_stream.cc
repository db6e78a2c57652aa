#include "server/rpc/peer_stream.h"

#include <unistd.h>

#include <optional>
#include <utility>

#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include "base/status.h"
#include "server/config/host_port.h"
#include "server/rpc/peer_frames.h"

namespace basalt::server {
namespace {

using asio::ip::tcp;
using Results = tcp::resolver::results_type;

constexpr std::chrono::milliseconds kPulse{500};
// A stream on which nothing was sent for so long carries an empty frame.
constexpr std::chrono::milliseconds kQuietMax{1000};
constexpr std::chrono::milliseconds kSilenceMax{4000};
// To connect and to hear the other's hello.
constexpr std::chrono::milliseconds kOpeningMax{4000};
// What a large frame left behind is given back.
constexpr size_t kIdleBytesMax = size_t{1} << 20;

bool WouldBlock(const asio::error_code& error) {
  return error == asio::error::would_block || error == asio::error::try_again;
}

// All but Write and Shut runs on the loop's thread, and so do all handlers: no locks.
class PeerStream final : public FrameWriter, public std::enable_shared_from_this<PeerStream> {
 public:
  // `expected_peer` 0: this end accepts, whoever says hello.
  PeerStream(EventLoop& loop, PeerTransport& transport, raft::NodeId expected_peer,
             std::function<void(std::string)> ended)
      : loop_(loop),
        transport_(transport),
        expected_peer_(expected_peer),
        ended_(std::move(ended)),
        socket_(loop.context()),
        timer_(loop.context()),
        reader_(/*expect_magic=*/expected_peer == raft::NodeId(0)),
        opened_(transport.clock().Now()),
        heard_(opened_),
        sent_(opened_) {}

  void Accept(int connected) {
    asio::error_code error;
    socket_.assign(tcp::v6(), connected, error);  // the family is asked for by nobody
    if (error) {
      ::close(connected);
      return End(error.message());
    }
    Begin();
  }

  void Connect(const Results& endpoints) {
    if (ending_) return;
    Watch();
    asio::async_connect(socket_, endpoints,
                        [self = shared_from_this()](const asio::error_code& error, const auto&) {
                          if (self->ending_) return;
                          if (error) return self->End("cannot connect: " + error.message());
                          self->outgoing_ = kPeerMagic;
                          self->Begin();
                        });
  }

  bool Write(v1::PeerFrame& frame) override {
    if (loop_.IsOwner()) return WriteForLink(frame);
    auto taken = std::make_shared<v1::PeerFrame>();
    taken->Swap(&frame);
    asio::post(loop_.context(), [self = shared_from_this(), taken] {
      if (self->WriteForLink(*taken)) self->link_->OnWritten(self.get());
    });
    return false;
  }

  void Shut() override {
    asio::post(loop_.context(),
               [self = shared_from_this()] { self->End("replaced or shut down"); });
  }

  void End(const std::string& why) {
    if (std::exchange(ending_, true)) return;
    if (link_ != nullptr) {
      // In this order: the link, and the transport behind it, may go once it has let go of this.
      if (link_->IsCarriedBy(this)) transport_.OnLinkLost(peer_);
      link_->Detach(this);
    }
    asio::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    if (ended_) std::exchange(ended_, nullptr)(why);
  }

 private:
  // The connection stands.
  void Begin() {
    asio::error_code error;
    socket_.non_blocking(true, error);
    if (!error) socket_.set_option(tcp::no_delay(true), error);
    if (error) return End(error.message());
    Watch();
    Read();
    v1::PeerFrame frame;
    *frame.mutable_hello() = transport_.self();
    if (WriteNow(frame)) OnFlushed();
  }

  void Watch() {
    if (std::exchange(watched_, true)) return;
    WaitForPulse();
  }

  void WaitForPulse() {
    timer_.expires_after(kPulse);
    timer_.async_wait([self = shared_from_this()](const asio::error_code& error) {
      if (!error && !self->ending_) self->OnPulse();
    });
  }

  void OnPulse() {
    const MonotonicTime now = transport_.clock().Now();
    if (!attached_ && now - opened_ > kOpeningMax) return End("no answer to the hello");
    if (attached_ && now - heard_ > kSilenceMax) return End("silent for 4 s");
    if (attached_ && outgoing_.empty() && now - sent_ >= kQuietMax) {
      WriteNow(v1::PeerFrame());
    }
    WaitForPulse();
  }

  void Read() {
    const std::span<char> room = reader_.Room();
    socket_.async_read_some(
        asio::buffer(room.data(), room.size()),
        [self = shared_from_this()](const asio::error_code& error, size_t bytes) {
          if (!self->ending_) self->OnRead(error, bytes);
        });
  }

  void OnRead(const asio::error_code& error, size_t bytes) {
    if (error) return End("the stream ended: " + error.message());
    reader_.Filled(bytes);
    heard_ = transport_.clock().Now();
    if (link_ != nullptr) link_->OnHeard(this);
    for (;;) {
      const absl::StatusOr<std::optional<std::string_view>> body = reader_.Next();
      if (!body.ok()) return Refuse(base::Message(body.status()));
      if (!body->has_value()) break;
      const std::string problem = OnFrame(**body);
      if (!problem.empty()) return Refuse(problem);
      if (ending_) return;
    }
    Read();
  }

  std::string OnFrame(std::string_view body) {
    incoming_.Clear();
    if (!incoming_.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
      return "a frame that is not one";
    }
    return link_ == nullptr ? TakeHello() : transport_.Receive(peer_, incoming_);
  }

  std::string TakeHello() {
    if (!incoming_.has_hello()) {
      if (incoming_.refusal().empty()) return "no hello";
      End("refused: " + incoming_.refusal());
      return {};
    }
    const v1::Hello& hello = incoming_.hello();
    if (std::string problem = transport_.CheckHello(hello); !problem.empty()) return problem;
    const raft::NodeId peer(hello.node().node_id());
    if (expected_peer_ != raft::NodeId(0) && peer != expected_peer_) return "not the node dialled";
    process_ = hello.process();
    peer_ = peer;
    link_ = transport_.Link(peer);
    if (link_ == nullptr) return "no such peer";
    reader_.set_body_max(kFrameBytesMax);
    return TryAttach();
  }

  // Frames may flow once both hellos are through.
  std::string TryAttach() {
    if (link_ == nullptr || !hello_sent_ || ending_) return {};
    if (!link_->Attach(shared_from_this(), process_)) {
      return "another process that calls itself this node is alive";
    }
    attached_ = true;
    return {};
  }

  // Tells the other end, as far as that goes without waiting.
  void Refuse(const std::string& why) {
    if (outgoing_.empty() && !attached_) {
      v1::PeerFrame frame;
      frame.set_refusal(why);
      std::string bytes;
      AppendFrame(frame, bytes);
      asio::error_code ignored;
      socket_.write_some(asio::buffer(bytes), ignored);
      socket_.shutdown(tcp::socket::shutdown_send, ignored);
    }
    End(why);
  }

  bool WriteForLink(const v1::PeerFrame& frame) {
    link_waits_ = !WriteNow(frame);
    return !link_waits_;
  }

  // True: the kernel has all that was ever written.
  bool WriteNow(const v1::PeerFrame& frame) {
    if (ending_) return false;
    AppendFrame(frame, outgoing_);
    sent_ = transport_.clock().Now();
    return Flush();
  }

  bool Flush() {
    while (written_ < outgoing_.size()) {
      asio::error_code error;
      written_ += socket_.write_some(
          asio::buffer(outgoing_.data() + written_, outgoing_.size() - written_), error);
      if (WouldBlock(error)) {
        WaitToWrite();
        return false;
      }
      if (error) {
        // Not from within Write: End calls back.
        asio::post(loop_.context(), [self = shared_from_this(), why = error.message()] {
          self->End("the stream broke: " + why);
        });
        return false;
      }
    }
    if (outgoing_.capacity() > kIdleBytesMax) {
      std::string().swap(outgoing_);
    } else {
      outgoing_.clear();
    }
    written_ = 0;
    return true;
  }

  void WaitToWrite() {
    if (std::exchange(waits_to_write_, true)) return;
    socket_.async_wait(tcp::socket::wait_write,
                       [self = shared_from_this()](const asio::error_code& error) {
                         self->waits_to_write_ = false;
                         if (self->ending_) return;
                         if (error) return self->End("the stream broke: " + error.message());
                         if (self->Flush()) self->OnFlushed();
                       });
  }

  void OnFlushed() {
    if (!std::exchange(hello_sent_, true)) {
      if (const std::string problem = TryAttach(); !problem.empty()) Refuse(problem);
    } else if (std::exchange(link_waits_, false)) {
      link_->OnWritten(this);
    }
  }

  EventLoop& loop_;
  PeerTransport& transport_;
  const raft::NodeId expected_peer_;
  std::function<void(std::string)> ended_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  FrameReader reader_;
  v1::PeerFrame incoming_;
  std::string outgoing_;  // of which `written_` bytes are with the kernel
  size_t written_ = 0;
  bool waits_to_write_ = false;
  bool link_waits_ = false;   // for OnWritten
  PeerLink* link_ = nullptr;  // once the other's hello was good
  raft::NodeId peer_;
  uint64_t process_ = 0;
  bool hello_sent_ = false;
  bool attached_ = false;
  bool ending_ = false;
  bool watched_ = false;
  const MonotonicTime opened_;
  MonotonicTime heard_;
  MonotonicTime sent_;
};

}  // namespace

void AcceptPeerStream(EventLoop& loop, PeerTransport& transport, int socket) {
  auto stream = std::make_shared<PeerStream>(loop, transport, raft::NodeId(0), nullptr);
  asio::post(loop.context(), [stream, socket] { stream->Accept(socket); });
}

std::shared_ptr<FrameWriter> DialPeerStream(EventLoop& loop, PeerTransport& transport,
                                            raft::NodeId peer, const std::string& address,
                                            std::function<void(std::string)> ended) {
  auto stream = std::make_shared<PeerStream>(loop, transport, peer, ended);
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  asio::error_code error;
  Results endpoints;
  if (parsed.ok()) {
    tcp::resolver resolver(loop.context());
    endpoints = resolver.resolve(parsed->host, std::to_string(parsed->port), error);
  }
  if (!parsed.ok() || error) {
    ended(parsed.ok() ? "cannot look up " + address + ": " + error.message()
                      : base::Message(parsed.status()));
    return nullptr;
  }
  asio::post(loop.context(), [stream, endpoints] { stream->Connect(endpoints); });
  return stream;
}

}  // namespace basalt::server
