// Two ends of the wire between nodes, dialled by PeerDialer: frames from many threads while streams
// break, and ends that come at the wrong moment; what comes to the peer port besides.
#include "server/rpc/peer_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "server/rpc/peer_dialer.h"
#include "server/rpc/peer_door.h"
#include "server/rpc/peer_frames.h"
#include "server/rpc/wire_version.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Within;

// Remembers the highest term that came, and how often links were lost.
class TermInbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    base::MutexLock lock(mutex_);
    if (const auto* lost = std::get_if<LinkLost>(&event)) {
      lost_.push_back(lost->node);
      return;
    }
    for (const raft::Message& message : std::get<PeerMessagesArrived>(event).messages) {
      highest_ = std::max(highest_, message.term.value());
      ++messages_;
    }
  }
  uint64_t highest() {
    base::MutexLock lock(mutex_);
    return highest_;
  }
  uint64_t messages() {
    base::MutexLock lock(mutex_);
    return messages_;
  }
  std::vector<raft::NodeId> lost() {
    base::MutexLock lock(mutex_);
    return lost_;
  }

 private:
  base::Mutex mutex_;
  std::vector<raft::NodeId> lost_ BASALT_GUARDED_BY(mutex_);
  uint64_t highest_ BASALT_GUARDED_BY(mutex_) = 0;
  uint64_t messages_ BASALT_GUARDED_BY(mutex_) = 0;
};

// What polls a node's sockets: there, its group thread.
class LoopRunner {
 public:
  LoopRunner() : thread_([this] { Run(); }) {}
  ~LoopRunner() { Stop(); }
  void Stop() {
    stop_ = true;
    loop_.Wake();
    if (thread_.joinable()) thread_.join();
  }
  EventLoop& loop() { return loop_; }

 private:
  void Run() {
    while (!stop_) loop_.Poll(seconds(1));
  }

  EventLoop loop_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class PeerEnd {
 public:
  PeerEnd(uint64_t self, uint64_t peer, const v1::ClusterMap& map, const Clock& clock)
      : peer_(peer), time_(clock) {
    view_.Set(map);
    v1::Hello hello;
    hello.set_wire_version(kWireVersion);
    hello.set_cluster_id(map.cluster_id());
    *hello.mutable_node() = map.nodes(static_cast<int>(self) - 1);
    hello.set_process(self);
    transport_ = std::make_unique<PeerTransport>(std::span(&peer_, 1), hello, view_, inbox_, time_);
  }
  ~PeerEnd() {
    if (close_first_) close_first_();
    runner_.Stop();
  }

  ClusterView& view() { return view_; }
  TermInbox& inbox() { return inbox_; }
  PeerTransport& transport() { return *transport_; }
  EventLoop& loop() { return runner_.loop(); }
  PeerLink& link() { return *transport_->Link(peer_); }
  void SendTerm(uint64_t term) {
    transport_->Send({{raft::GroupId(1), raft::ReplicaId(1), raft::ReplicaId(2), peer_,
                       raft::Term(term), raft::HeartbeatRequest{}}});
  }
  // What gives it work closes before it does.
  void CloseFirst(std::function<void()> close) { close_first_ = std::move(close); }

 private:
  const raft::NodeId peer_;
  KnownTime time_;
  std::function<void()> close_first_;
  LoopRunner runner_;
  ClusterView view_;
  TermInbox inbox_;
  std::unique_ptr<PeerTransport> transport_;
};

// The port of a node, open before the node's own end is there.
class Port {
 public:
  Port() {
    auto door = PeerDoor::Open({"127.0.0.1", 0}, {[this](int socket) {
                                                    ++streams;
                                                    PeerEnd* const end = end_.load();
                                                    if (end == nullptr) {
                                                      held_.push_back(socket);
                                                    } else {
                                                      AcceptPeerStream(end->loop(),
                                                                       end->transport(), socket);
                                                    }
                                                  },
                                                  [this](int socket) {
                                                    ++calls;
                                                    held_.push_back(socket);
                                                  }});
    EXPECT_TRUE(door.ok()) << door.status();
    door_ = *std::move(door);
  }
  ~Port() {
    Stop();
    for (const int socket : held_) ::close(socket);
  }
  void Open(PeerEnd& end) {
    end.CloseFirst([this] { Stop(); });
    end_ = &end;
  }
  void Stop() { door_->Stop(); }
  uint16_t port() const { return door_->port(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port()); }

  std::atomic<int> streams{0};
  std::atomic<int> calls{0};

 private:
  std::atomic<PeerEnd*> end_{nullptr};
  std::vector<int> held_;  // never answered; the door's thread's, until Stop
  std::unique_ptr<PeerDoor> door_;
};

// A connection that says what a test wants, and nothing else.
class RawConnection {
 public:
  explicit RawConnection(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    EXPECT_TRUE(connected_);
  }
  ~RawConnection() { ::close(socket_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  void Say(std::string_view bytes) const {
    EXPECT_EQ(::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // All frames until the other end closes, at most for `limit`; nullopt: it has not closed.
  std::optional<std::vector<v1::PeerFrame>> Hear(std::chrono::milliseconds limit) const {
    FrameReader reader(/*expect_magic=*/false);
    reader.set_body_max(kFrameBytesMax);
    std::vector<v1::PeerFrame> frames;
    const auto until = std::chrono::steady_clock::now() + limit;
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          until - std::chrono::steady_clock::now());
      pollfd waiting{socket_, POLLIN, 0};
      if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
        return std::nullopt;
      }
      const std::span<char> room = reader.Room();
      const ssize_t bytes = ::recv(socket_, room.data(), room.size(), 0);
      if (bytes <= 0) return frames;
      reader.Filled(static_cast<size_t>(bytes));
      for (;;) {
        const auto body = reader.Next();
        if (!body.ok() || !body->has_value()) break;
        EXPECT_TRUE(frames.emplace_back().ParseFromArray((*body)->data(),
                                                         static_cast<int>((*body)->size())));
      }
    }
  }

 private:
  const int socket_;
  bool connected_ = false;
};

std::string Framed(const v1::PeerFrame& frame) {
  std::string bytes;
  AppendFrame(frame, bytes);
  return bytes;
}

class PeerStreamTest : public ::testing::Test {
 protected:
  ~PeerStreamTest() override { ::close(silence_); }

  static v1::ClusterMap MapWith(const std::string& address_of_two) {
    v1::ClusterMap map = testing::MakeMap();
    map.mutable_nodes(1)->set_peer_address(address_of_two);
    return map;
  }

  // What node 1 says first.
  static v1::PeerFrame HelloOfOne(const v1::ClusterMap& map, const std::string& cluster_id) {
    v1::PeerFrame frame;
    frame.mutable_hello()->set_wire_version(kWireVersion);
    frame.mutable_hello()->set_cluster_id(cluster_id);
    *frame.mutable_hello()->mutable_node() = map.nodes(0);
    frame.mutable_hello()->set_process(1);
    return frame;
  }

  const SystemClock clock_{};
  const int silence_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Logger logger_{LoggerOptions{.descriptor = silence_}};
  GrpcPeerCalls calls_;
};

TEST_F(PeerStreamTest, FramesOfManyThreadsGoOnWhileStreamsBreak) {
  constexpr int kBreaks = 6;
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd one(1, 2, map, clock_);
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
  dialer.Start();

  std::atomic<bool> stop{false};
  std::vector<std::thread> senders;
  for (PeerEnd* end : {&one, &two, &one, &two}) {
    senders.emplace_back([end, &stop] {
      while (!stop) {
        for (int i = 0; i < 10; ++i) end->SendTerm(1);
        std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < kBreaks; ++i) {
    PeerEnd& sender = i % 2 == 0 ? one : two;
    PeerEnd& receiver = i % 2 == 0 ? two : one;
    const uint64_t before = receiver.inbox().messages();
    EXPECT_TRUE(Within(seconds(30), [&] {
      return sender.link().connected() && receiver.inbox().messages() > before;
    }));
    sender.link().Shut();
  }
  stop = true;
  for (std::thread& sender : senders) sender.join();
  // What comes last may be dropped with a stream, so it is sent until it has arrived.
  for (PeerEnd* end : {&one, &two}) {
    PeerEnd& other = end == &one ? two : one;
    EXPECT_TRUE(Within(seconds(30), [&] {
      end->SendTerm(2);
      return other.inbox().highest() == 2;
    }));
  }
  dialer.Stop();
  EXPECT_FALSE(one.link().connected());
}

// Whichever end dialled.
TEST_F(PeerStreamTest, BothEndsLearnThatTheOtherIsGone) {
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  const auto connect = [&](PeerEnd& one, PeerDialer& dialer) {
    dialer.Start();
    ASSERT_TRUE(
        Within(seconds(30), [&] { return one.link().connected() && two.link().connected(); }));
  };
  {
    PeerEnd one(1, 2, map, clock_);
    PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
    connect(one, dialer);
    EXPECT_THAT(two.inbox().lost(), IsEmpty());
    dialer.Stop();
  }
  EXPECT_TRUE(Within(seconds(30), [&] { return !two.inbox().lost().empty(); }));
  EXPECT_THAT(two.inbox().lost(), ElementsAre(raft::NodeId(1)));
  PeerEnd one(1, 2, map, clock_);
  PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
  connect(one, dialer);
  port.Stop();
  two.transport().Shut();
  EXPECT_TRUE(Within(seconds(30), [&] { return !one.inbox().lost().empty(); }));
  EXPECT_THAT(one.inbox().lost(), ElementsAre(raft::NodeId(2)));
  dialer.Stop();
}

// A peer that takes every stream and never says a word.
TEST_F(PeerStreamTest, StopEndsAStreamThatIsStillBeingOpened) {
  Port mute;
  PeerEnd one(1, 2, MapWith(mute.address()), clock_);
  PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
  dialer.Start();
  ASSERT_TRUE(Within(seconds(30), [&] { return mute.streams > 0; }));
  std::future<void> stopped = std::async(std::launch::async, [&] { dialer.Stop(); });
  EXPECT_EQ(stopped.wait_for(seconds(20)), std::future_status::ready);
}

// Else a peer that hangs, or a network that swallows everything, would hold the link for ever.
TEST_F(PeerStreamTest, ASilentPeerIsLeftAndDialledAgain) {
  Port mute;
  PeerEnd one(1, 2, MapWith(mute.address()), clock_);
  PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
  dialer.Start();
  EXPECT_TRUE(Within(seconds(30), [&] { return mute.streams > 1; }));
  dialer.Stop();
}

TEST_F(PeerStreamTest, AnIdleStreamLives) {
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  PeerEnd one(1, 2, map, clock_);
  PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
  dialer.Start();
  ASSERT_TRUE(
      Within(seconds(30), [&] { return one.link().connected() && two.link().connected(); }));
  // Longer than silence is borne.
  EXPECT_FALSE(Within(seconds(6),
                      [&] { return !one.inbox().lost().empty() || !two.inbox().lost().empty(); }));
  dialer.Stop();
}

// A stream that was attached and then says nothing, while its connection stands.
TEST_F(PeerStreamTest, APeerThatFallsSilentIsLost) {
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  RawConnection one(port.port());
  one.Say(std::string(kPeerMagic) + Framed(HelloOfOne(map, map.cluster_id())));
  ASSERT_TRUE(Within(seconds(30), [&] { return two.link().connected(); }));
  EXPECT_TRUE(Within(seconds(30), [&] { return !two.inbox().lost().empty(); }));
  EXPECT_FALSE(two.link().connected());
}

// More than sockets hold: the rest waits with the stream and in the link, and leaves in order.
TEST_F(PeerStreamTest, APeerThatReadsLateGetsEveryFrameWhole) {
  constexpr uint64_t kMessages = 100;
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  RawConnection one(port.port());
  one.Say(std::string(kPeerMagic) + Framed(HelloOfOne(map, map.cluster_id())));
  ASSERT_TRUE(Within(seconds(30), [&] { return two.link().connected(); }));
  const raft::Payload payload = raft::MakePayload(std::string(size_t{128} << 10, 'p'));
  for (uint64_t term = 1; term <= kMessages; ++term) {
    raft::AppendRequest append;
    append.entries.push_back(
        {raft::LogIndex(1), raft::Term(1), raft::EntryKind::kCommands, payload});
    two.transport().Send({{raft::GroupId(1), raft::ReplicaId(2), raft::ReplicaId(1),
                           raft::NodeId(1), raft::Term(term), std::move(append)}});
  }
  EXPECT_GT(two.link().gathered_bytes(), 0u) << "all of it fitted into the sockets";
  const auto frames = one.Hear(seconds(30));  // until silence ends the stream
  ASSERT_TRUE(frames.has_value());
  uint64_t messages = 0;
  for (const v1::PeerFrame& frame : *frames) {
    for (const v1::RaftMessage& message : frame.messages()) {
      EXPECT_EQ(message.term(), ++messages);
      EXPECT_EQ(message.append().entries(0).payload().size(), payload->size());
    }
  }
  EXPECT_EQ(messages, kMessages);
  EXPECT_EQ(two.link().dropped_messages(), 0u);
}

TEST_F(PeerStreamTest, WhoMayNotTalkIsToldWhy) {
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  RawConnection one(port.port());
  one.Say(std::string(kPeerMagic) + Framed(HelloOfOne(map, "another one")));
  const auto frames = one.Hear(seconds(30));
  ASSERT_TRUE(frames.has_value()) << "the stream goes on";
  ASSERT_EQ(frames->size(), 2u);
  EXPECT_TRUE(frames->front().has_hello());
  EXPECT_EQ(frames->back().refusal(), "another cluster");
  EXPECT_FALSE(two.link().connected());
}

TEST_F(PeerStreamTest, WhatIsNoStreamOfOursIsEnded) {
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  v1::PeerFrame hello;
  hello.mutable_hello()->set_wire_version(kWireVersion);
  std::string damaged = Framed(hello);
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  std::string endless = Framed(hello);
  endless[3] = 1;  // 16 MiB before anybody is known
  for (const std::string& said :
       {std::string("bogus bytes"), std::string(kPeerMagic) + damaged,
        std::string(kPeerMagic) + endless, std::string(kPeerMagic) + Framed(v1::PeerFrame())}) {
    RawConnection one(port.port());
    one.Say(said);
    const auto frames = one.Hear(seconds(30));
    ASSERT_TRUE(frames.has_value()) << "the stream goes on";
    EXPECT_TRUE(!frames->empty() && !frames->back().refusal().empty());
  }
  EXPECT_EQ(port.streams, 4);
  EXPECT_FALSE(two.link().connected());
}

TEST_F(PeerStreamTest, TheDoorTellsCallsFromStreams) {
  Port port;
  RawConnection silent(port.port());
  RawConnection call(port.port());
  call.Say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_TRUE(Within(seconds(30), [&] { return port.calls == 1; }));
  RawConnection stream(port.port());
  stream.Say(kPeerMagic.substr(0, 1));
  EXPECT_TRUE(Within(seconds(30), [&] { return port.streams == 1; }));
  EXPECT_TRUE(silent.Hear(seconds(30)).has_value()) << "held open though it says nothing";
  EXPECT_EQ(port.calls, 1);
}

TEST_F(PeerStreamTest, TheDoorsPortIsOneProcesss) {
  Port port;
  const auto second = PeerDoor::Open({"127.0.0.1", port.port()}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message().data(), second.status().message().size()),
              ::testing::HasSubstr("in use"));
  port.Stop();
  EXPECT_TRUE(PeerDoor::Open({"127.0.0.1", port.port()}, {}).ok());
}

// Whatever Stop meets on the way: connecting, exchanging hellos, frames under way.
TEST_F(PeerStreamTest, StopAtAnyMomentReturns) {
  Port port;
  const v1::ClusterMap map = MapWith(port.address());
  PeerEnd two(2, 1, map, clock_);
  port.Open(two);
  for (int round = 0; round < 20; ++round) {
    PeerEnd one(1, 2, map, clock_);
    PeerDialer dialer(one.transport(), one.loop(), one.view(), calls_, logger_);
    dialer.Start();
    for (int i = 0; i < round * 20; ++i) {
      one.SendTerm(1);
      std::this_thread::yield();
    }
    dialer.Stop();
    EXPECT_FALSE(one.link().connected());
  }
}

}  // namespace
}  // namespace basalt::server
