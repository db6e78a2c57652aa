#include "raft/wire/raft_wire.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "raft/wire/checkpoint_wire.h"
#include "tests/unit/engine/hex.h"

namespace basalt::raft {
namespace {

Message Sample(decltype(Message::body) body) {
  return {GroupId(7), ReplicaId(71), ReplicaId(72), NodeId(2), Term(3), std::move(body), NodeId(4)};
}

std::vector<Message> Samples() {
  return {
      Sample(VoteRequest{true, LogIndex(10), Term(2)}),
      Sample(VoteReply{true, false}),
      Sample(AppendRequest{LogIndex(10),
                           Term(2),
                           LogIndex(9),
                           Round(5),
                           {{LogIndex(11), Term(2), EntryKind::kCommands, MakePayload("abc")},
                            {LogIndex(12), Term(3), EntryKind::kNoOp, nullptr}}}),
      Sample(AppendReply{false, LogIndex(10), LogIndex(8), Term(1), Round(5)}),
      Sample(HeartbeatRequest{LogIndex(9), Round(6), LogIndex(12)}),
      Sample(HeartbeatReply{Round(6), 3}),
      Sample(VoteRequest{false, LogIndex(10), Term(2), true}),
      Sample(AppendReply{false, LogIndex(10), LogIndex(0), Term(0), Round(5), true}),
      Sample(TimeoutNow{}),
      Sample(ReadRequest{ReadId(8), 9}),
      Sample(ReadReply{ReadId(8), 9, true, LogIndex(10)}),
  };
}

std::string BytesOf(const Message& message) {
  v1::RaftMessage wire;
  ToWire(message, wire);
  return wire.SerializeAsString();
}

absl::StatusOr<Message> Parse(const std::string& bytes) {
  v1::RaftMessage wire;
  if (!wire.ParseFromString(bytes)) return absl::InvalidArgumentError("no message");
  return FromWire(std::move(wire), NodeId(2));
}

TEST(RaftWire, GoldenBytes) {
  std::string golden;
  for (const Message& message : Samples()) golden += testing::ToHex(BytesOf(message)) + "\n";
  EXPECT_EQ(golden,
            "0807104718482003280452060801100a1802\n"
            "080710471848200328045a020801\n"
            "080710471848200328046217080a1002180920052a09080210011a036162632a020803\n"
            "080710471848200328046a08100a180820012805\n"
            "08071047184820032804720608091006180c\n"
            "080710471848200328047a0408061003\n"
            "080710471848200328045206100a18022001\n"
            "080710471848200328046a06100a28053001\n"
            "08071047184820032804820100\n"
            "080710471848200328048a0112090800000000000000110900000000000000\n"
            "080710471848200328049201160908000000000000001109000000000000001801200a\n");
}

TEST(RaftWire, ComesBackAsItWas) {
  const std::vector<Message> samples = Samples();
  for (const Message& message : samples) {
    const auto back = Parse(BytesOf(message));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->group, message.group);
    EXPECT_EQ(back->from, message.from);
    EXPECT_EQ(back->to, message.to);
    EXPECT_EQ(back->to_node, NodeId(2));
    EXPECT_EQ(back->from_node, NodeId(4));
    EXPECT_EQ(back->term, message.term);
    EXPECT_EQ(back->body.index(), message.body.index());
    EXPECT_EQ(BytesOf(*back), BytesOf(message));
  }
  const auto back = Parse(BytesOf(samples[2]));
  const auto& append = std::get<AppendRequest>(back->body);
  ASSERT_EQ(append.entries.size(), 2u);
  EXPECT_EQ(append.entries[0].index, LogIndex(11));
  EXPECT_EQ(*append.entries[0].payload, "abc");
  EXPECT_EQ(append.entries[1].index, LogIndex(12));
  EXPECT_EQ(append.entries[1].term, Term(3));
  EXPECT_EQ(append.entries[1].payload, nullptr);
}

TEST(RaftWire, WhatNoPeerSendsIsRefused) {
  const auto refused = [](auto change) {
    v1::RaftMessage wire;
    ToWire(Samples()[2], wire);
    change(wire);
    return FromWire(std::move(wire), NodeId(2)).status();
  };
  constexpr uint64_t kHuge = ~uint64_t{0};
  using Wire = v1::RaftMessage;
  const absl::Status statuses[] = {
      refused([](Wire& m) { m.set_from(0); }),
      refused([](Wire& m) { m.set_to(0); }),
      refused([](Wire& m) { m.set_term(kHuge); }),
      refused([](Wire& m) { m.mutable_append()->set_previous_index(kHuge); }),
      refused([](Wire& m) { m.mutable_append()->set_commit(kHuge); }),
      refused([](Wire& m) { m.mutable_append()->mutable_entries(0)->set_kind(257); }),
      refused([](Wire& m) { m.mutable_append()->mutable_entries(1)->set_term(1); }),
      refused([](Wire& m) { m.mutable_append()->set_previous_term(9); }),
      // Terms behind the sender's own: taken, they would stand in a log whose term is lower.
      refused([](Wire& m) { m.mutable_append()->mutable_entries(1)->set_term(4); }),
      refused([](Wire& m) {
        m.mutable_append()->clear_entries();
        m.mutable_append()->set_previous_term(4);
      }),
      refused([](Wire& m) { m.mutable_vote()->set_last_index(kHuge); }),
      refused([](Wire& m) { m.mutable_vote()->set_last_term(4); }),
      refused([](Wire& m) { m.mutable_append_reply()->set_index(kHuge); }),
      refused([](Wire& m) { m.mutable_append_reply()->set_hint_index(kHuge); }),
      refused([](Wire& m) { m.mutable_heartbeat()->set_commit(kHuge); }),
      refused([](Wire& m) { m.mutable_read_reply()->set_index(kHuge); }),
  };
  for (const absl::Status& status : statuses) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
  EXPECT_TRUE(Parse("").status().code() == absl::StatusCode::kInvalidArgument);
}

TEST(RaftWire, WhatANewerReleaseSendsIsToldApart) {
  v1::RaftMessage wire;
  ToWire(Samples()[2], wire);
  wire.mutable_append()->mutable_entries(0)->set_kind(3);
  EXPECT_TRUE(absl::IsUnimplemented(FromWire(std::move(wire), NodeId(2)).status()));
  ToWire(Samples()[2], wire);
  wire.clear_append();
  EXPECT_TRUE(absl::IsUnimplemented(FromWire(std::move(wire), NodeId(2)).status()));
}

v1::CheckpointHeader SampleHeader() {
  const LogBase base{LogIndex(10),
                     Term(2),
                     {{{ReplicaId(71), NodeId(1), MemberRole::kVoter},
                       {ReplicaId(72), NodeId(2), MemberRole::kLearner},
                       {ReplicaId(73), NodeId(3), MemberRole::kIncoming},
                       {ReplicaId(74), NodeId(4), MemberRole::kOutgoing},
                       {ReplicaId(75), NodeId(5), MemberRole::kDemoted}}}};
  v1::CheckpointHeader header;
  CheckpointToWire(Sample(CheckpointArrived{base}), header);
  return header;
}

TEST(CheckpointWire, ComesBackAsItWas) {
  const v1::CheckpointHeader header = SampleHeader();
  const auto message = CheckpointFromWire(header, NodeId(2));
  ASSERT_TRUE(message.ok()) << message.status();
  EXPECT_EQ(message->group, GroupId(7));
  EXPECT_EQ(message->from, ReplicaId(71));
  EXPECT_EQ(message->to, ReplicaId(72));
  EXPECT_EQ(message->to_node, NodeId(2));
  EXPECT_EQ(message->term, Term(3));
  const LogBase& base = std::get<CheckpointArrived>(message->body).base;
  EXPECT_EQ(base.index, LogIndex(10));
  EXPECT_EQ(base.term, Term(2));
  ASSERT_EQ(base.configuration.members.size(), 5u);
  for (size_t i = 0; i < 5; ++i) {
    const Member expected{ReplicaId(71 + i), NodeId(1 + i), static_cast<MemberRole>(1 + i)};
    EXPECT_EQ(base.configuration.members[i], expected);
  }
  v1::CheckpointHeader again;
  CheckpointToWire(*message, again);
  EXPECT_EQ(again.SerializeAsString(), header.SerializeAsString());
}

TEST(CheckpointWire, WhatNoPeerSendsIsRefused) {
  const auto refused = [](auto change) {
    v1::CheckpointHeader header = SampleHeader();
    change(header);
    return CheckpointFromWire(header, NodeId(2)).status();
  };
  constexpr uint64_t kHuge = ~uint64_t{0};
  using Header = v1::CheckpointHeader;
  const absl::Status statuses[] = {
      refused([](Header& h) { h.set_from(0); }),
      refused([](Header& h) { h.set_to(0); }),
      refused([](Header& h) { h.set_term(kHuge); }),
      refused([](Header& h) { h.set_index(kHuge); }),
      refused([](Header& h) { h.set_index_term(4); }),
      refused([](Header& h) { h.mutable_members(0)->set_replica_id(0); }),
      refused([](Header& h) { h.mutable_members(1)->set_replica_id(71); }),
      refused([](Header& h) { h.mutable_members(1)->set_node_id(0); }),
      refused([](Header& h) { h.mutable_members(1)->set_role(0); }),
      refused([](Header& h) { h.mutable_members(1)->set_role(6); }),
      refused([](Header& h) { h.mutable_members(1)->set_role(256 + 1); }),
      refused([](Header& h) {
        h.mutable_members(0)->set_role(2);
        h.mutable_members(2)->set_role(2);
      }),
      refused([](Header& h) { h.clear_members(); }),
  };
  for (const absl::Status& status : statuses) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

// A checkpoint that has arrived is told by a node to its own core, never sent.
TEST(RaftWire, ACheckpointThatArrivedNeverTravels) {
  EXPECT_TRUE(absl::IsUnimplemented(Parse(BytesOf(Sample(CheckpointArrived{}))).status()));
}

// Flipped and cut bytes give a message or a status, never a crash; a message that is given obeys
// what the core relies on.
TEST(RaftWire, DamagedBytesAreToleratedAndEntriesStayContiguous) {
  base::Random random(1);
  const std::vector<Message> samples = Samples();
  int parsed = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes = BytesOf(samples[random.Below(samples.size())]);
    for (uint64_t flips = random.Between(1, 4); flips > 0; --flips) {
      bytes[random.Below(bytes.size())] ^= static_cast<char>(1 << random.Below(8));
    }
    if (random.OneIn(4)) bytes.resize(random.Below(bytes.size()));
    const auto message = Parse(bytes);
    if (!message.ok()) continue;
    ++parsed;
    const auto* append = std::get_if<AppendRequest>(&message->body);
    if (append == nullptr) continue;
    LogIndex expected = append->previous_index;
    for (const Entry& entry : append->entries) ASSERT_EQ(entry.index, ++expected);
  }
  EXPECT_GT(parsed, 1000);
}

}  // namespace
}  // namespace basalt::raft
