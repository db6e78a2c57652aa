// Two ends of the wire between nodes, dialled by PeerDialer: frames from many threads while streams
// break, and ends that come at the wrong moment.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "server/rpc/peer_dialer.h"
#include "server/rpc/peer_service.h"
#include "server/rpc/wire_version.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server_rpc/local_server.h"
#include "tests/unit/server_rpc/within.h"

namespace basalt::server {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::LocalServer;
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

class PeerEnd {
 public:
  PeerEnd(uint64_t self, uint64_t peer, const v1::ClusterMap& map, const Clock& clock)
      : peer_(peer) {
    view_.Set(map);
    v1::Hello hello;
    hello.set_wire_version(kWireVersion);
    hello.set_cluster_id(map.cluster_id());
    *hello.mutable_node() = map.nodes(static_cast<int>(self) - 1);
    hello.set_process(self);
    transport_ = std::make_unique<PeerTransport>(std::span(&peer_, 1), hello, view_, inbox_, clock);
    receiver_ = std::make_unique<CheckpointReceiver>(files_, "/incoming", *transport_, inbox_);
  }

  ClusterView& view() { return view_; }
  TermInbox& inbox() { return inbox_; }
  PeerTransport& transport() { return *transport_; }
  CheckpointReceiver& receiver() { return *receiver_; }
  PeerLink& link() { return *transport_->Link(peer_); }
  void SendTerm(uint64_t term) {
    transport_->Send({{raft::GroupId(1), raft::ReplicaId(1), raft::ReplicaId(2), peer_,
                       raft::Term(term), raft::HeartbeatRequest{}}});
  }

 private:
  const raft::NodeId peer_;
  ClusterView view_;
  TermInbox inbox_;
  std::unique_ptr<PeerTransport> transport_;
  basalt::testing::FakeFileSystem files_;
  std::unique_ptr<CheckpointReceiver> receiver_;
};

class PeerStreamTest : public ::testing::Test {
 protected:
  ~PeerStreamTest() override { ::close(silence_); }

  static v1::ClusterMap MapWith(const std::string& address_of_two) {
    v1::ClusterMap map = testing::MakeMap();
    map.mutable_nodes(1)->set_peer_address(address_of_two);
    return map;
  }

  const SystemClock clock_{};
  const int silence_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Logger logger_{LoggerOptions{.descriptor = silence_}};
  GrpcPeerCalls calls_;
};

TEST_F(PeerStreamTest, FramesOfManyThreadsGoOnWhileStreamsBreak) {
  constexpr int kBreaks = 6;
  PeerService service;
  LocalServer server(service);
  const v1::ClusterMap map = MapWith(server.address());
  PeerEnd one(1, 2, map, clock_);
  PeerEnd two(2, 1, map, clock_);
  service.Open(two.transport(), two.receiver());
  PeerDialer dialer(one.transport(), one.view(), calls_, logger_);
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
  server.Stop();
}

// Whichever end dialled.
TEST_F(PeerStreamTest, BothEndsLearnThatTheOtherIsGone) {
  PeerService service;
  LocalServer server(service);
  const v1::ClusterMap map = MapWith(server.address());
  PeerEnd two(2, 1, map, clock_);
  service.Open(two.transport(), two.receiver());
  const auto connect = [&](PeerEnd& one, PeerDialer& dialer) {
    dialer.Start();
    ASSERT_TRUE(
        Within(seconds(30), [&] { return one.link().connected() && two.link().connected(); }));
  };
  {
    PeerEnd one(1, 2, map, clock_);
    PeerDialer dialer(one.transport(), one.view(), calls_, logger_);
    connect(one, dialer);
    EXPECT_THAT(two.inbox().lost(), IsEmpty());
    dialer.Stop();
  }
  EXPECT_TRUE(Within(seconds(30), [&] { return !two.inbox().lost().empty(); }));
  EXPECT_THAT(two.inbox().lost(), ElementsAre(raft::NodeId(1)));
  PeerEnd one(1, 2, map, clock_);
  PeerDialer dialer(one.transport(), one.view(), calls_, logger_);
  connect(one, dialer);
  server.Stop();
  EXPECT_TRUE(Within(seconds(30), [&] { return !one.inbox().lost().empty(); }));
  EXPECT_THAT(one.inbox().lost(), ElementsAre(raft::NodeId(2)));
  dialer.Stop();
}

// A peer that takes every stream and never says a word.
class MutePeer final : public v1::Peer::CallbackService {
 public:
  grpc::ServerBidiReactor<v1::PeerFrame, v1::PeerFrame>* Stream(
      grpc::CallbackServerContext*) override {
    ++streams;
    return new Listener();
  }
  std::atomic<int> streams{0};

 private:
  class Listener final : public grpc::ServerBidiReactor<v1::PeerFrame, v1::PeerFrame> {
   public:
    Listener() { StartRead(&frame_); }
    void OnReadDone(bool ok) override {
      if (ok) return StartRead(&frame_);
      Finish(grpc::Status::OK);
    }
    void OnDone() override { delete this; }

   private:
    v1::PeerFrame frame_;
  };
};

TEST_F(PeerStreamTest, StopEndsAStreamThatIsStillBeingOpened) {
  MutePeer mute;
  LocalServer server(mute);
  PeerEnd one(1, 2, MapWith(server.address()), clock_);
  PeerDialer dialer(one.transport(), one.view(), calls_, logger_);
  dialer.Start();
  ASSERT_TRUE(Within(seconds(30), [&] { return mute.streams > 0; }));
  std::future<void> stopped = std::async(std::launch::async, [&] { dialer.Stop(); });
  EXPECT_EQ(stopped.wait_for(seconds(20)), std::future_status::ready);
  server.Stop();  // lets a dialer go that still waits
}

// Whatever Stop meets on the way: connecting, exchanging hellos, frames under way.
TEST_F(PeerStreamTest, StopAtAnyMomentReturns) {
  PeerService service;
  LocalServer server(service);
  const v1::ClusterMap map = MapWith(server.address());
  PeerEnd two(2, 1, map, clock_);
  service.Open(two.transport(), two.receiver());
  for (int round = 0; round < 20; ++round) {
    PeerEnd one(1, 2, map, clock_);
    PeerDialer dialer(one.transport(), one.view(), calls_, logger_);
    dialer.Start();
    for (int i = 0; i < round * 20; ++i) {
      one.SendTerm(1);
      std::this_thread::yield();
    }
    dialer.Stop();
    EXPECT_FALSE(one.link().connected());
  }
  server.Stop();
}

}  // namespace
}  // namespace basalt::server
