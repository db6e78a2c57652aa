// The line to a peer: what gathers, what is dropped, whose stream counts.
#include "server/rpc/peer_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "raft/wire/raft_wire.h"
#include "server/rpc/peer_transport.h"
#include "server/rpc/wire_version.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class Writer final : public FrameWriter {
 public:
  bool Write(v1::PeerFrame& frame) override {
    frames.push_back(std::move(frame));
    return takes_more;
  }
  void Shut() override { shut = true; }
  std::vector<v1::PeerFrame> frames;
  bool shut = false;
  bool takes_more = false;
};

std::vector<v1::RaftMessage> Messages(size_t count, size_t bytes = 0) {
  std::vector<v1::RaftMessage> messages(count);
  for (v1::RaftMessage& message : messages) {
    message.set_group(1);
    if (bytes > 0) message.mutable_append()->add_entries()->set_payload(std::string(bytes, 'x'));
  }
  return messages;
}

class PeerLinkTest : public ::testing::Test {
 protected:
  testing::FakeClock clock_;
  KnownTime time_{clock_};
  PeerLink link_{time_};
  std::shared_ptr<Writer> writer_ = std::make_shared<Writer>();
};

TEST_F(PeerLinkTest, GathersWhileWriting) {
  ASSERT_TRUE(link_.Attach(writer_, 1));
  link_.Send(Messages(2));
  link_.Send(Messages(3));
  link_.Send(Messages(4));
  ASSERT_EQ(writer_->frames.size(), 1u) << "one write at a time";
  EXPECT_EQ(writer_->frames[0].messages_size(), 2);
  link_.OnWritten(writer_.get());
  ASSERT_EQ(writer_->frames.size(), 2u);
  EXPECT_EQ(writer_->frames[1].messages_size(), 7) << "all that gathered goes at once";
  link_.OnWritten(writer_.get());
  EXPECT_EQ(writer_->frames.size(), 2u);
  link_.Send(Messages(1));
  EXPECT_EQ(writer_->frames.size(), 3u);
}

TEST_F(PeerLinkTest, EachFrameSaysWhatTimeIsKnown) {
  ASSERT_TRUE(link_.Attach(writer_, 1));
  link_.Send(Messages(1));
  link_.OnWritten(writer_.get());
  const uint64_t heard = time_.Milliseconds() + 5000;
  time_.Hear(heard);
  clock_.now += milliseconds(250);
  link_.Send(Messages(1));
  ASSERT_EQ(writer_->frames.size(), 2u);
  EXPECT_EQ(writer_->frames[0].time_ms(), heard - 5000);
  EXPECT_EQ(writer_->frames[1].time_ms(), heard + 250) << "carried on by the clock here";
}

TEST_F(PeerLinkTest, ALinkThatHasNothingElseToSaySaysWhatTimeIsKnown) {
  link_.TellTime();  // to nobody
  ASSERT_TRUE(link_.Attach(writer_, 1));
  EXPECT_TRUE(writer_->frames.empty());
  link_.TellTime();
  ASSERT_EQ(writer_->frames.size(), 1u);
  EXPECT_EQ(writer_->frames[0].time_ms(), time_.Milliseconds());
  EXPECT_EQ(writer_->frames[0].messages_size(), 0);
  link_.TellTime();
  EXPECT_EQ(writer_->frames.size(), 1u) << "one write at a time, and this one tells it";
  link_.Send(Messages(1));
  EXPECT_EQ(writer_->frames.size(), 1u);
  link_.OnWritten(writer_.get());
  ASSERT_EQ(writer_->frames.size(), 2u);
  EXPECT_EQ(writer_->frames[1].messages_size(), 1);
  link_.OnWritten(writer_.get());
  writer_->takes_more = true;
  link_.TellTime();
  link_.TellTime();
  EXPECT_EQ(writer_->frames.size(), 4u);
}

TEST(KnownTimeTest, RisesWithWhatOthersSayAndNeverFalls) {
  testing::FakeClock clock;
  KnownTime time(clock);
  const uint64_t start = time.Milliseconds();
  time.Hear(start + 100);
  time.Hear(start + 50);
  time.Hear(0);
  EXPECT_EQ(time.Milliseconds(), start + 100);
  time.Hear(uint64_t{1} << 47);
  time.Hear(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(time.Milliseconds(), start + 100) << "what is no time is not believed";
  clock.now += seconds(1);
  EXPECT_EQ(time.Milliseconds(), start + 1100);
}

TEST_F(PeerLinkTest, AWriterThatTakesAllIsNotWaitedFor) {
  ASSERT_TRUE(link_.Attach(writer_, 1));
  writer_->takes_more = true;
  link_.Send(Messages(2));
  link_.Send(Messages(3));
  ASSERT_EQ(writer_->frames.size(), 2u);
  writer_->takes_more = false;
  link_.Send(Messages(4));
  link_.Send(Messages(5));
  ASSERT_EQ(writer_->frames.size(), 3u) << "busy now";
  writer_->takes_more = true;
  link_.OnWritten(writer_.get());
  link_.Send(Messages(6));
  ASSERT_EQ(writer_->frames.size(), 5u);
  EXPECT_EQ(writer_->frames[3].messages_size(), 5);
  EXPECT_EQ(writer_->frames[4].messages_size(), 6);
}

TEST_F(PeerLinkTest, WithoutStreamMessagesAreDropped) {
  link_.Send(Messages(3));
  EXPECT_EQ(link_.dropped_messages(), 3u);
  EXPECT_FALSE(link_.connected());
  link_.Attach(writer_, 1);
  EXPECT_TRUE(writer_->frames.empty()) << "nothing old is sent";
}

TEST_F(PeerLinkTest, PeerThatReadsNothingCostsBoundedMemory) {
  link_.Attach(writer_, 1);
  for (int i = 0; i < 100; ++i) link_.Send(Messages(1, 1u << 20));
  EXPECT_GE(link_.dropped_messages(), 30u);
  link_.OnWritten(writer_.get());
  EXPECT_LE(writer_->frames[1].ByteSizeLong(), (64u << 20) + 4096);
  const uint64_t dropped = link_.dropped_messages();
  link_.Send(Messages(1, 1u << 20));
  EXPECT_EQ(link_.dropped_messages(), dropped) << "room again";
}

TEST_F(PeerLinkTest, HoldsAsMuchAsItIsAllowed) {
  PeerLink link(time_, size_t{3} << 20);
  link.Attach(writer_, 1);
  link.Send(Messages(1));
  for (int i = 0; i < 10; ++i) link.Send(Messages(1, 1u << 20));
  EXPECT_EQ(link.dropped_messages(), 8u);
  EXPECT_GE(link.gathered_bytes(), size_t{2} << 20);
  link.OnWritten(writer_.get());
  EXPECT_EQ(link.gathered_bytes(), 0u);
}

// A transaction of 15 MiB is sent again until it is answered; heartbeats must get through.
TEST_F(PeerLinkTest, TransactionsLeaveRoomForRaft) {
  PeerLink link(time_, size_t{8} << 20);
  link.Attach(writer_, 1);
  link.Send(Messages(1));
  for (int i = 0; i < 10; ++i) {
    std::vector<v1::TxnMessage> messages(1);
    messages[0].mutable_prepare()->add_parts()->add_writes()->set_value(std::string(1 << 20, 'x'));
    link.Send(std::move(messages));
  }
  EXPECT_EQ(link.dropped_messages(), 7u);
  link.Send(Messages(1));
  EXPECT_EQ(link.dropped_messages(), 7u);
  link.OnWritten(writer_.get());
  EXPECT_EQ(writer_->frames[1].transactions_size(), 3);
  EXPECT_EQ(writer_->frames[1].messages_size(), 1);

  std::vector<v1::TxnMessage> large(1);
  large[0].mutable_prepare()->add_parts()->add_writes()->set_value(std::string(6 << 20, 'x'));
  link.Send(large);
  EXPECT_EQ(link.dropped_messages(), 7u) << "larger than half the room, and first";
  link.Send(large);
  EXPECT_EQ(link.dropped_messages(), 8u);
  link.Send(Messages(1));
  EXPECT_EQ(link.dropped_messages(), 8u);
}

// Many groups that lag may send more in one turn than there is room for, turn after turn.
TEST_F(PeerLinkTest, OfATurnThatIsTooLargeWhatFitsIsSent) {
  link_.Attach(writer_, 1);
  std::vector<v1::RaftMessage> turn = Messages(80, 1u << 20);
  turn.push_back(Messages(1).front());
  link_.Send(std::move(turn));
  ASSERT_EQ(writer_->frames.size(), 1u);
  EXPECT_GE(writer_->frames[0].messages_size(), 60);
  EXPECT_LE(writer_->frames[0].ByteSizeLong(), (64u << 20) + 4096);
  EXPECT_EQ(link_.dropped_messages(), 81u - writer_->frames[0].messages_size());
  EXPECT_FALSE(writer_->frames[0].messages().rbegin()->has_append()) << "a small one still fits";
}

TEST_F(PeerLinkTest, NewStreamOfTheSameProcessReplacesTheOld) {
  link_.Attach(writer_, 1);
  link_.Send(Messages(1));
  link_.Send(Messages(1));
  auto newer = std::make_shared<Writer>();
  ASSERT_TRUE(link_.Attach(newer, 1));
  EXPECT_TRUE(writer_->shut);
  link_.OnWritten(writer_.get());
  link_.Detach(writer_.get());
  EXPECT_TRUE(link_.connected()) << "the old stream's end changes nothing";
  EXPECT_TRUE(newer->frames.empty());
  link_.Send(Messages(1));
  EXPECT_EQ(newer->frames.size(), 1u);
  EXPECT_EQ(writer_->frames.size(), 1u);
  link_.Detach(newer.get());
  EXPECT_FALSE(link_.connected());
}

// Hazard 23: a directory that was copied and is used twice.
TEST_F(PeerLinkTest, SecondProcessWaitsUntilTheFirstIsSilent) {
  link_.Attach(writer_, 1);
  auto copy = std::make_shared<Writer>();
  clock_.now += milliseconds(1900);
  link_.OnHeard(writer_.get());
  clock_.now += milliseconds(1900);
  EXPECT_FALSE(link_.Attach(copy, 2));
  EXPECT_FALSE(writer_->shut);
  clock_.now += milliseconds(200);
  EXPECT_TRUE(link_.Attach(copy, 2)) << "a restart, or the other one is gone";
  EXPECT_TRUE(writer_->shut);
  link_.OnHeard(writer_.get());
  clock_.now += seconds(3);
  EXPECT_TRUE(link_.Attach(writer_, 1)) << "only the stream that counts is heard";
}

TEST_F(PeerLinkTest, ShutEndsTheStream) {
  link_.Attach(writer_, 1);
  link_.Shut();
  EXPECT_TRUE(writer_->shut);
  EXPECT_FALSE(link_.connected());
}

class UnreadApply final : public ApplyInbox {
 public:
  void Put(ApplyWork work) override { events.push_back(std::move(work)); }
  void PutQuietly(ApplyWork work) override { Put(std::move(work)); }
  std::vector<ApplyWork> events;
};

class Inbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override { events.push_back(std::move(event)); }
  std::vector<GroupEvent> events;
};

v1::Hello MakeHello(uint64_t node, const std::string& store = "") {
  v1::Hello hello;
  hello.set_wire_version(kWireVersion);
  hello.set_cluster_id("0123456789abcdef");
  hello.set_election_timeout_ms(600);
  *hello.mutable_node() = testing::MakeNode(node, store);
  return hello;
}

class PeerTransportTest : public ::testing::Test {
 protected:
  PeerTransportTest() { view_.Set(testing::MakeMap()); }

  testing::FakeClock clock_;
  ClusterView view_;
  Inbox inbox_;
  std::vector<raft::NodeId> peers_{raft::NodeId(2), raft::NodeId(3)};
  KnownTime time_{clock_};
  PeerTransport transport_{peers_, MakeHello(1), view_, inbox_, time_};
};

TEST_F(PeerTransportTest, HelloTellsFriendFromStranger) {
  EXPECT_EQ(transport_.CheckHello(MakeHello(2)), "");
  EXPECT_THAT(transport_.CheckHello(MakeHello(1)), HasSubstr("two processes"));
  EXPECT_THAT(transport_.CheckHello(MakeHello(4)), HasSubstr("not part"));
  EXPECT_THAT(transport_.CheckHello(MakeHello(2, "wiped")), HasSubstr("lost or replaced"));
  v1::Hello hello = MakeHello(2);
  hello.set_cluster_id("fedcba9876543210");
  EXPECT_THAT(transport_.CheckHello(hello), HasSubstr("another cluster"));
  hello = MakeHello(2);
  hello.set_wire_version(kWireVersion + 1);
  EXPECT_THAT(transport_.CheckHello(hello), HasSubstr("wire version"));
  hello = MakeHello(3);
  hello.mutable_node()->set_peer_address("moved");
  EXPECT_EQ(transport_.CheckHello(hello), "");
  EXPECT_EQ(view_.known()->map.nodes(2).peer_address(), "moved");
}

TEST_F(PeerTransportTest, LeasesNeedEqualElectionTimeouts) {
  v1::Hello other = MakeHello(2);
  other.set_election_timeout_ms(500);
  EXPECT_EQ(transport_.CheckHello(other), "") << "nobody's lease rests on it";
  other.set_leases(true);
  EXPECT_EQ(transport_.CheckHello(other),
            "election timeout 500 ms here is 600 ms, and leases are on");
  v1::Hello self = MakeHello(1);
  self.set_leases(true);
  PeerTransport leasing(peers_, self, view_, inbox_, time_);
  other.set_leases(false);
  EXPECT_THAT(leasing.CheckHello(other), HasSubstr("leases are on"));
  other.set_election_timeout_ms(600);
  EXPECT_EQ(leasing.CheckHello(other), "");
  other.set_promise_ms(400);
  EXPECT_EQ(leasing.CheckHello(other), "promise of 400 ms, here of 0 ms, and leases are on");
}

// A replica may live on a node that was not there when this process started.
TEST_F(PeerTransportTest, ANodeThatIsNoPeerIsNotConnected) {
  EXPECT_FALSE(transport_.IsConnected(raft::NodeId(99)));
  EXPECT_FALSE(transport_.IsConnected(raft::NodeId(2)));
  ASSERT_TRUE(transport_.Link(raft::NodeId(2))->Attach(std::make_shared<Writer>(), 1));
  EXPECT_TRUE(transport_.IsConnected(raft::NodeId(2)));
}

// Two that have no group in common hear each other's time all the same: a client of both takes the
// timestamps of one to the other.
TEST_F(PeerTransportTest, EveryPeerIsToldWhatTimeItIsAndHearsIt) {
  auto to_two = std::make_shared<Writer>();
  auto to_three = std::make_shared<Writer>();
  transport_.Link(raft::NodeId(2))->Attach(to_two, 1);
  transport_.Link(raft::NodeId(3))->Attach(to_three, 1);
  const uint64_t ahead = time_.Milliseconds() + 3'600'000;
  time_.Hear(ahead);
  transport_.TellTime();
  ASSERT_EQ(to_two->frames.size(), 1u);
  ASSERT_EQ(to_three->frames.size(), 1u);

  KnownTime time_there(clock_);
  PeerTransport there(peers_, MakeHello(1), view_, inbox_, time_there);
  EXPECT_EQ(there.Receive(raft::NodeId(2), to_two->frames[0]), "");
  EXPECT_EQ(time_there.Milliseconds(), ahead);
  EXPECT_EQ(to_two->frames[0].clock_ms(), time_there.OwnMilliseconds()) << "its clock is not ahead";
  to_two->frames[0].set_clock_ms(ahead);
  EXPECT_EQ(there.Receive(raft::NodeId(2), to_two->frames[0]), "");
  EXPECT_EQ(there.Receive(raft::NodeId(3), to_two->frames[0]), "");
  EXPECT_EQ(time_there.AheadOfMedian(), -3'600'000);
  EXPECT_TRUE(inbox_.events.empty());
}

TEST_F(PeerTransportTest, OneFrameANodeForAllGroups) {
  auto to_two = std::make_shared<Writer>();
  auto to_three = std::make_shared<Writer>();
  transport_.Link(raft::NodeId(2))->Attach(to_two, 1);
  transport_.Link(raft::NodeId(3))->Attach(to_three, 1);
  EXPECT_EQ(transport_.Link(raft::NodeId(9)), nullptr);
  std::vector<raft::Message> messages;
  for (const uint64_t node : {2, 3, 2, 9, 2}) {
    messages.push_back({raft::GroupId(node), raft::ReplicaId(1), raft::ReplicaId(node),
                        raft::NodeId(node), raft::Term(1), raft::HeartbeatRequest{}});
  }
  transport_.Send(messages);
  ASSERT_EQ(to_two->frames.size(), 1u);
  EXPECT_EQ(to_two->frames[0].messages_size(), 3);
  EXPECT_EQ(to_three->frames[0].messages_size(), 1);
  EXPECT_EQ(transport_.Receive(raft::NodeId(2), to_three->frames[0]), "");
  ASSERT_EQ(inbox_.events.size(), 1u);
  EXPECT_EQ(std::get<PeerMessagesArrived>(inbox_.events[0]).messages.size(), 1u);
}

// Else the link would break for all groups, and again after every reconnect, while the entry lasts.
TEST_F(PeerTransportTest, WhatANewerReleaseSendsIsDroppedAlone) {
  v1::PeerFrame frame;
  for (const uint64_t group : {1, 2, 3}) {
    raft::AppendRequest append;
    append.entries.push_back({raft::LogIndex(1), raft::Term(1),
                              static_cast<raft::EntryKind>(group == 2 ? 77 : 1), nullptr});
    raft::ToWire({raft::GroupId(group), raft::ReplicaId(1), raft::ReplicaId(2), raft::NodeId(2),
                  raft::Term(1), std::move(append)},
                 *frame.add_messages());
  }
  EXPECT_EQ(transport_.Receive(raft::NodeId(2), frame), "");
  ASSERT_EQ(inbox_.events.size(), 1u);
  const auto& arrived = std::get<PeerMessagesArrived>(inbox_.events[0]).messages;
  ASSERT_EQ(arrived.size(), 2u);
  EXPECT_EQ(arrived[0].group, raft::GroupId(1));
  EXPECT_EQ(arrived[1].group, raft::GroupId(3));
  EXPECT_EQ(transport_.unknown_messages(), 1u);
}

TEST_F(PeerTransportTest, OfTransactionsThatNobodyLooksAtABoundedPartIsKept) {
  UnreadApply looked_at_by_nobody;
  transport_.SetTransactions(&looked_at_by_nobody);
  const auto receive = [this] {
    v1::PeerFrame frame;
    v1::PrepareCommand& prepare = *frame.add_transactions()->mutable_prepare();
    prepare.add_parts()->add_writes()->set_value(std::string(size_t{8} << 20, 'x'));
    EXPECT_EQ(transport_.Receive(raft::NodeId(2), frame), "");
  };
  for (int i = 0; i < 10; ++i) receive();
  EXPECT_EQ(looked_at_by_nobody.events.size(), 7u);
  EXPECT_EQ(transport_.dropped_transactions(), 3u);
  looked_at_by_nobody.events.clear();
  receive();
  EXPECT_EQ(transport_.dropped_transactions(), 3u);
}

TEST_F(PeerTransportTest, TheTimeThatAPeerKnowsIsHeard) {
  const uint64_t before = time_.Milliseconds();
  v1::PeerFrame frame;
  frame.set_time_ms(before + 7000);
  EXPECT_EQ(transport_.Receive(raft::NodeId(2), frame), "");
  EXPECT_EQ(time_.Milliseconds(), before + 7000);
  EXPECT_TRUE(inbox_.events.empty());
}

TEST_F(PeerTransportTest, MalformedFramesAreRefusedWhole) {
  v1::PeerFrame frame;
  raft::ToWire({raft::GroupId(1), raft::ReplicaId(1), raft::ReplicaId(2), raft::NodeId(2),
                raft::Term(1), raft::HeartbeatRequest{}},
               *frame.add_messages());
  frame.add_messages();
  EXPECT_NE(transport_.Receive(raft::NodeId(2), frame), "");
  EXPECT_TRUE(inbox_.events.empty());
  v1::PeerFrame empty;
  EXPECT_EQ(transport_.Receive(raft::NodeId(2), empty), "");
  EXPECT_TRUE(inbox_.events.empty()) << "nothing to wake up for";
}

}  // namespace
}  // namespace basalt::server
