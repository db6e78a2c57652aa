#include "server/rpc/peer_stream.h"

#include <atomic>
#include <functional>
#include <utility>

#include "base/mutex.h"

namespace basalt::server {
namespace {

// What both ends have in common. `Reactor` is gRPC's server or client class: both have StartRead
// and StartWrite. Only one read and one write are ever under way.
template <typename Reactor>
class PeerStream : public Reactor,
                   public FrameWriter,
                   public std::enable_shared_from_this<PeerStream<Reactor>> {
 public:
  PeerStream(PeerTransport& transport, raft::NodeId expected_peer)
      : transport_(transport), expected_peer_(expected_peer) {}

  void Write(v1::PeerFrame& frame) override {
    {
      base::MutexLock lock(mutex_);
      if (ending_) return;
      outgoing_.Clear();
      outgoing_.Swap(&frame);
      writing_ = true;
    }
    this->StartWrite(&outgoing_);
  }

  void Shut() override { End("replaced or shut down"); }

  void OnWriteDone(bool ok) override {
    bool hello_sent = false;
    bool ending = false;
    bool release = false;
    {
      base::MutexLock lock(mutex_);
      writing_ = false;
      hello_sent = !std::exchange(hello_sent_, true);
      ending = ending_;
      release = ending_ && !cutting_;  // else End does it
    }
    if (release) Release(why());
    if (ending) return;
    if (!ok) return End("the stream broke");
    if (hello_sent) {
      TryAttach();
    } else {
      link_.load()->OnWritten(this);
    }
  }

  void OnReadDone(bool ok) override {
    std::string problem;
    if (!ok) {
      problem = "the stream ended";
    } else if (!peer_known_) {
      problem = TakeHello();
    } else {
      link_.load()->OnHeard(this);
      problem = transport_.Receive(incoming_);
    }
    if (!problem.empty()) return End(problem);
    incoming_.Clear();
    this->StartRead(&incoming_);
  }

 protected:
  // Makes what is under way fail soon. `writing`: a write is among it. Never during or after
  // Release.
  virtual void Cut(bool writing) = 0;
  // Called once, when the stream is ending and no write is or will be under way: gRPC may let go
  // of the stream from here on.
  virtual void Release(const std::string& why) = 0;

  // With the first read under way the stream lives until End.
  void Start() {
    this->StartRead(&incoming_);
    v1::PeerFrame frame;
    *frame.mutable_hello() = transport_.self();
    Write(frame);
  }

  void End(const std::string& why) {
    bool writing = false;
    {
      base::MutexLock lock(mutex_);
      if (std::exchange(ending_, true)) return;
      why_ = why;
      writing = writing_;
      cutting_ = true;
    }
    if (PeerLink* const link = link_.load()) {
      // In this order: the link, and the transport behind it, may go once it has let go of this.
      if (link->IsCarriedBy(this)) transport_.OnLinkLost(peer_);
      link->Detach(this);
    }
    Cut(writing);
    bool release = false;
    {
      base::MutexLock lock(mutex_);
      cutting_ = false;
      release = !writing_;
    }
    if (release) Release(why);
  }

  std::string why() {
    base::MutexLock lock(mutex_);
    return why_;
  }

 private:
  std::string TakeHello() {
    if (!incoming_.has_hello()) {
      return incoming_.refusal().empty() ? "no hello" : "refused: " + incoming_.refusal();
    }
    const v1::Hello& hello = incoming_.hello();
    if (std::string problem = transport_.CheckHello(hello); !problem.empty()) return problem;
    const raft::NodeId peer(hello.node().node_id());
    if (expected_peer_ != raft::NodeId(0) && peer != expected_peer_) return "not the node dialled";
    process_ = hello.process();
    peer_ = peer;
    link_.store(transport_.Link(peer));
    if (link_.load() == nullptr) return "no such peer";
    peer_known_ = true;
    TryAttach();
    return {};
  }

  // Frames may flow once both hellos are through.
  void TryAttach() {
    {
      base::MutexLock lock(mutex_);
      if (++hellos_ < 2 || ending_) return;
    }
    if (!link_.load()->Attach(this->shared_from_this(), process_)) {
      End("another process that calls itself this node is alive");
    }
  }

  PeerTransport& transport_;
  const raft::NodeId expected_peer_;  // 0: whoever says hello
  v1::PeerFrame incoming_;            // owned by the read under way
  v1::PeerFrame outgoing_;            // owned by the write under way
  // Set by the read of the hello, before anything else uses them.
  std::atomic<PeerLink*> link_{nullptr};
  uint64_t process_ = 0;
  raft::NodeId peer_;
  bool peer_known_ = false;

  base::Mutex mutex_;
  bool writing_ BASALT_GUARDED_BY(mutex_) = false;
  bool hello_sent_ BASALT_GUARDED_BY(mutex_) = false;
  int hellos_ BASALT_GUARDED_BY(mutex_) = 0;
  bool ending_ BASALT_GUARDED_BY(mutex_) = false;
  bool cutting_ BASALT_GUARDED_BY(mutex_) = false;  // End is in Cut: what that uses must stay
  std::string why_ BASALT_GUARDED_BY(mutex_);
};

using ServerReactor = grpc::ServerBidiReactor<v1::PeerFrame, v1::PeerFrame>;
using ClientReactor = grpc::ClientBidiReactor<v1::PeerFrame, v1::PeerFrame>;

class AcceptedStream final : public PeerStream<ServerReactor> {
 public:
  AcceptedStream(PeerTransport& transport, grpc::CallbackServerContext* context)
      : PeerStream(transport, raft::NodeId(0)), context_(context) {}

  void Begin() {
    self_ = shared_from_this();
    Start();
  }

  void OnCancel() override { End("cancelled"); }
  void OnDone() override { self_.reset(); }

 protected:
  void Cut(bool writing) override {
    if (writing) context_->TryCancel();  // a peer that reads nothing would hold the write for ever
  }
  void Release(const std::string& why) override {
    Finish(grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, why));
  }

 private:
  grpc::CallbackServerContext* context_;  // gRPC's, until Finish
  std::shared_ptr<FrameWriter> self_;
};

class DialledStream final : public PeerStream<ClientReactor> {
 public:
  DialledStream(PeerTransport& transport, raft::NodeId peer, std::function<void(std::string)> ended)
      : PeerStream(transport, peer), ended_(std::move(ended)) {}

  void Begin(const std::shared_ptr<grpc::Channel>& channel) {
    self_ = shared_from_this();
    stub_ = v1::Peer::NewStub(channel);
    stub_->async()->Stream(&context_, this);
    AddHold();  // until Release: frames are written from outside of gRPC's reactions
    Start();
    StartCall();
  }

  void OnDone(const grpc::Status& status) override {
    const bool ours = status.ok() || status.error_code() == grpc::StatusCode::CANCELLED;
    ended_(ours ? why() : status.error_message());
    self_.reset();
  }

 protected:
  void Cut(bool) override { context_.TryCancel(); }
  void Release(const std::string&) override { RemoveHold(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::Peer::Stub> stub_;
  std::function<void(std::string)> ended_;
  std::shared_ptr<FrameWriter> self_;
};

}  // namespace

grpc::ServerBidiReactor<v1::PeerFrame, v1::PeerFrame>* AcceptPeerStream(
    PeerTransport& transport, grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<AcceptedStream>(transport, context);
  stream->Begin();
  return stream.get();
}

std::shared_ptr<FrameWriter> DialPeerStream(PeerTransport& transport, raft::NodeId peer,
                                            const std::shared_ptr<grpc::Channel>& channel,
                                            std::function<void(std::string)> ended) {
  auto stream = std::make_shared<DialledStream>(transport, peer, std::move(ended));
  stream->Begin(channel);
  return stream;
}

}  // namespace basalt::server
