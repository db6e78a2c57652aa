// What nodes say besides Raft: hellos, reservations, layouts, frames, transactions.
#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/slot.h"
#include "base/status.h"
#include "raft/core/raft_core.h"
#include "raft/wire/raft_wire.h"
#include "server/node/forming.h"
#include "server/node/layout_check.h"
#include "server/node/txn_desk.h"
#include "server/node/txn_messages.h"
#include "server/rpc/peer_frames.h"
#include "server/rpc/peer_transport.h"
#include "server/rpc/wire_version.h"
#include "server/shard/command_entry.h"
#include "server/shard/replica_state_machine.h"
#include "server/shard/txn_codec.h"
#include "server/txn/parts.h"
#include "tests/fuzz/fuzz_message.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"

namespace basalt::server {
namespace {

using fuzz::FuzzInput;
using fuzz::MakeMessage;

constexpr uint64_t kSelf = 2;

v1::NodeDescriptor MakeDescriptor(FuzzInput& input) {
  if (input.OneIn(3)) return MakeMessage<v1::NodeDescriptor>(input);
  const uint64_t id = input.Below(5);
  return testing::MakeNode(id, input.OneIn(6) ? "wiped" : "");
}

v1::ClusterMap MakeLayout(FuzzInput& input) {
  v1::ClusterMap map = input.OneIn(4) ? MakeMessage<v1::ClusterMap>(input) : testing::MakeMap();
  if (input.OneIn(4)) map.set_cluster_id(input.Flag() ? "fedcba9876543210" : input.Text(20));
  for (v1::NodeDescriptor& node : *map.mutable_nodes()) {
    if (input.OneIn(8)) node = MakeDescriptor(input);
  }
  for (v1::ShardDescriptor& shard : *map.mutable_shards()) {
    if (input.OneIn(12)) shard = MakeMessage<v1::ShardDescriptor>(input);
  }
  return map;
}

v1::Hello MakeHello(FuzzInput& input) {
  auto hello = MakeMessage<v1::Hello>(input);
  if (!input.OneIn(8)) hello.set_wire_version(kWireVersion);
  if (!input.OneIn(4)) *hello.mutable_node() = MakeDescriptor(input);
  if (input.OneIn(3)) hello.set_cluster_id("0123456789abcdef");
  if (input.OneIn(3)) hello.clear_cluster_id();
  return hello;
}

v1::HelloReply MakeReply(FuzzInput& input) {
  v1::HelloReply reply;
  *reply.mutable_hello() = MakeHello(input);
  if (input.OneIn(5)) *reply.mutable_layout() = MakeLayout(input);
  if (input.OneIn(16)) reply.set_refusal("no");
  return reply;
}

// Peers that answer whatever the input says; each call takes a second.
class AnyPeers final : public PeerCalls {
 public:
  AnyPeers(FuzzInput& input, testing::FakeClock& clock) : input_(input), clock_(clock) {}

  absl::StatusOr<v1::HelloReply> Meet(const std::string&, const v1::Hello&) override {
    if (!Answers()) return base::Unavailable("no answer");
    return MakeReply(input_);
  }
  absl::StatusOr<v1::ReserveReply> Reserve(const std::string&, const v1::ReserveRequest&) override {
    if (!Answers()) return base::Unavailable("no answer");
    v1::ReserveReply reply;
    reply.set_granted(!input_.OneIn(4));
    return reply;
  }
  absl::StatusOr<v1::AdoptReply> Adopt(const std::string&, const v1::AdoptRequest&) override {
    if (!Answers()) return base::Unavailable("no answer");
    return MakeMessage<v1::AdoptReply>(input_);
  }

 private:
  bool Answers() {
    clock_.now += std::chrono::milliseconds(100);
    return !input_.OneIn(8);
  }

  FuzzInput& input_;
  testing::FakeClock& clock_;
};

// A node takes a layout once, only a whole one, and only one that names it and its store.
class Forming {
 public:
  explicit Forming(FuzzInput& input) : input_(input), peers_(input, clock_) {
    FormingOptions options;
    options.self = testing::MakeNode(kSelf);
    options.process = 77;
    options.join = {"peer-1", "peer-3"};
    options.bootstrap_expect = static_cast<uint32_t>(input.Below(4));
    std::optional<v1::ClusterMap> formed;
    if (input.OneIn(8)) formed = testing::MakeMap();
    if (formed) cluster_id_ = formed->cluster_id();
    forming_ = std::make_unique<ClusterForming>(
        options, std::move(formed), "fresh-cluster-id", peers_,
        [this](const v1::ClusterMap& layout) { return Persist(layout); }, clock_);
  }

  void TakeTurn() {
    clock_.now += std::chrono::seconds(input_.Below(12));
    switch (input_.Below(6)) {
      case 0: {
        const v1::Hello hello = MakeHello(input_);
        CheckReply(hello, forming_->OnMeet(hello));
        break;
      }
      case 1: {
        const auto request = MakeMessage<v1::ReserveRequest>(input_);
        const v1::ReserveReply reply = forming_->OnReserve(request);
        BASALT_CHECK(!reply.granted() || cluster_id_.empty());
        BASALT_CHECK(reply.granted() == reply.refusal().empty());
        break;
      }
      case 2: {
        v1::AdoptRequest request;
        *request.mutable_layout() = MakeLayout(input_);
        const v1::AdoptReply reply = forming_->OnAdopt(request);
        BASALT_CHECK(!reply.adopted() || cluster_id_ == request.layout().cluster_id());
        break;
      }
      case 3:
        (void)forming_->CheckJoined().ok();
        break;
      case 4:
        (void)forming_->Form(4, 3).ok();
        break;
      default:
        (void)forming_->Look().ok();
    }
    CheckNode();
  }

 private:
  absl::Status Persist(const v1::ClusterMap& layout) {
    BASALT_CHECK(cluster_id_.empty());
    if (input_.OneIn(8)) return base::ResourceExhausted("no space");
    cluster_id_ = layout.cluster_id();
    return absl::OkStatus();
  }

  // A layout goes only to a node that it names, with the store that it names.
  void CheckReply(const v1::Hello& asker, const v1::HelloReply& reply) {
    if (!reply.has_layout()) return;
    bool named = false;
    for (const v1::NodeDescriptor& node : reply.layout().nodes()) {
      named = named || (node.node_id() == asker.node().node_id() &&
                        node.store_id() == asker.node().store_id());
    }
    BASALT_CHECK(named && asker.cluster_id().empty());
  }

  void CheckNode() {
    const std::optional<v1::ClusterMap> layout = forming_->layout();
    BASALT_CHECK(layout.has_value() == !cluster_id_.empty());
    std::vector<uint64_t> met;
    for (const v1::NodeDescriptor& node : forming_->Met()) {
      BASALT_CHECK(node.node_id() != 0);
      for (const uint64_t other : met) BASALT_CHECK(other != node.node_id());
      met.push_back(node.node_id());
    }
    if (!layout) return;
    BASALT_CHECK(layout->cluster_id() == cluster_id_ && cluster_id_.size() == 16);
    BASALT_CHECK(CheckLayout(*layout).ok());
    Found(*layout);
    CheckRoutes(*BuildRoutingTable(*layout), static_cast<uint32_t>(input_.Below(base::kSlotCount)));
    bool named = false;
    for (const v1::NodeDescriptor& node : layout->nodes()) {
      named = named || (node.node_id() == kSelf && node.store_id() == "store-2");
    }
    BASALT_CHECK(named);
  }

  static void CheckRoutes(const RoutingTable& routes, uint32_t slot) {
    const ShardRange& owner = routes.OwnerOf(slot);
    BASALT_CHECK(slot >= owner.first_slot && slot - owner.first_slot < owner.slot_count);
    BASALT_CHECK(routes.Find(owner.shard_id) == &owner && routes.Find(0) == nullptr);
    BASALT_CHECK(routes.CheckAddress(slot, owner.shard_id, owner.epoch) == nullptr);
    BASALT_CHECK(routes.CheckAddress(slot, owner.shard_id, owner.epoch + 1) == &owner);
    BASALT_CHECK(routes.CheckAddress(slot, 0, 0) == nullptr);
  }

  // Every shard of what it adopted can be founded.
  static void Found(const v1::ClusterMap& layout) {
    for (const v1::ShardDescriptor& shard : layout.shards()) {
      const raft::Configuration members = FoundingConfiguration(shard);
      raft::CoreOptions options;
      options.group = raft::GroupId(shard.shard_id());
      options.self = members.members.front().replica;
      raft::RecoveredState recovered;
      recovered.base.configuration = members;
      recovered.applied = recovered.base;
      const raft::RaftCore core(options, std::move(recovered));
      BASALT_CHECK(core.configuration() == members);
    }
  }

  FuzzInput& input_;
  testing::FakeClock clock_;
  AnyPeers peers_;
  std::string cluster_id_;
  std::unique_ptr<ClusterForming> forming_;
};

class NotedInbox final : public GroupInbox {
 public:
  void Put(GroupEvent event) override {
    messages += std::get<PeerMessagesArrived>(event).messages.size();
  }
  size_t messages = 0;
};

// A writer that takes every frame and is told of nothing.
class TakenFrames final : public FrameWriter {
 public:
  bool Write(v1::PeerFrame& frame) override {
    frame.Clear();
    return false;
  }
  void Shut() override {}
};

// All messages of a frame but those of a newer release; none of one that is malformed.
std::optional<size_t> KnownMessages(const v1::PeerFrame& frame) {
  size_t known = 0;
  for (v1::RaftMessage message : frame.messages()) {
    const absl::Status status = raft::FromWire(std::move(message), raft::NodeId(kSelf)).status();
    if (!status.ok() && !absl::IsUnimplemented(status)) return std::nullopt;
    if (status.ok()) ++known;
  }
  return known;
}

void TryTransport(FuzzInput& input) {
  testing::FakeClock clock;
  ClusterView view;
  const bool ready = !input.OneIn(12);
  if (ready) view.Set(testing::MakeMap());
  NotedInbox inbox;
  v1::Hello self;
  self.set_wire_version(kWireVersion);
  self.set_cluster_id("0123456789abcdef");
  *self.mutable_node() = testing::MakeNode(kSelf);
  const std::vector<raft::NodeId> ids = {raft::NodeId(1), raft::NodeId(3)};
  KnownTime time(clock);
  PeerTransport transport(ids, self, view, inbox, time);
  BASALT_CHECK(transport.Peers() == ids);
  transport.Link(raft::NodeId(1))->Attach(std::make_shared<TakenFrames>(), 1);
  while (!input.empty()) {
    const v1::Hello hello = MakeHello(input);
    if (transport.CheckHello(hello).empty()) {
      const uint64_t id = hello.node().node_id();
      BASALT_CHECK(ready && hello.cluster_id() == self.cluster_id());
      BASALT_CHECK(id == 1 || id == 3);
      BASALT_CHECK(hello.node().store_id() == "store-" + std::to_string(id));
      BASALT_CHECK(transport.Link(raft::NodeId(id)) != nullptr);
    }
    auto frame = MakeMessage<v1::PeerFrame>(input);
    const std::optional<size_t> known = KnownMessages(frame);
    const size_t before = inbox.messages;
    BASALT_CHECK(transport.Receive(raft::NodeId(2), frame).empty() == known.has_value());
    BASALT_CHECK(inbox.messages == before + known.value_or(0));
    raft::Message message;
    message.to_node = raft::NodeId(input.Below(4));
    transport.Send({message});
  }
  transport.Shut();
}

// Hands a stream to a reader in pieces; the frames that come out before it ends or is refused.
std::vector<std::string> ReadFrames(FuzzInput& input, std::string_view stream, bool magic) {
  FrameReader reader(magic);
  if (input.Flag()) reader.set_body_max(kFrameBytesMax);
  std::vector<std::string> frames;
  while (!stream.empty()) {
    const std::span<char> room = reader.Room();
    BASALT_CHECK(!room.empty());
    const size_t piece = 1 + input.Below(200);
    const size_t bytes = std::min({piece, room.size(), stream.size()});
    std::memcpy(room.data(), stream.data(), bytes);
    reader.Filled(bytes);
    stream.remove_prefix(bytes);
    for (;;) {
      const auto body = reader.Next();
      if (!body.ok()) return frames;
      if (!body->has_value()) break;
      frames.emplace_back(**body);
    }
  }
  return frames;
}

// What was framed comes back, however it is cut; of a damaged stream, what stood before the damage.
void TryFrames(FuzzInput& input) {
  const bool magic = input.Flag();
  std::string stream(magic ? kPeerMagic : "");
  std::vector<std::string> written;
  for (uint64_t left = input.Below(6); left > 0; --left) {
    const auto frame = MakeMessage<v1::PeerFrame>(input);
    AppendFrame(frame, stream);
    written.push_back(stream.substr(stream.size() - frame.ByteSizeLong()));
  }
  if (input.Flag()) {
    BASALT_CHECK(ReadFrames(input, stream, magic) == written);
    return;
  }
  const std::string damaged = input.Damaged(stream);
  const size_t same = static_cast<size_t>(
      std::mismatch(stream.begin(), stream.end(), damaged.begin(), damaged.end()).first -
      stream.begin());
  size_t end = magic ? kPeerMagic.size() : 0;
  const std::vector<std::string> read = ReadFrames(input, damaged, magic);
  for (size_t i = 0; i < written.size(); ++i) {
    end += kFrameHeaderBytes + written[i].size();
    if (end <= same) BASALT_CHECK(i < read.size() && read[i] == written[i]);
  }
}

// What a desk makes of messages goes into a log: it is what every replica can decode.
class CheckingEdge final : public TxnDesk::Edge {
 public:
  void Propose(const v1::Command& command, Stamp floor, uint64_t) override {
    BASALT_CHECK(floor <= uint64_t{1} << 62);
    BASALT_CHECK(!CommandProblem(command));
  }
  void ProposeAgain(PendingWrite) override {}
  uint64_t ShardOf(uint32_t slot) const override { return slot < base::kSlotCount / 2 ? 1 : 2; }
  void SendToOwner(uint32_t, v1::TxnMessage message) override { Sent(message); }
  void SendToNode(raft::NodeId, v1::TxnMessage message) override { Sent(message); }
  void Answer(const PendingCommit&, const txn::CommitAnswer&, Stamp) override {}
  void AnswerLocked(const PendingWrite&, bool) override {}
  Stamp HighestStamp() const override { return 1; }
  Stamp VersionOf(const std::string& key) override { return key == "a" ? 1 : 0; }
  void AnswerLate(const PendingCommit&) override {}
  uint64_t NewTicket() override { return ++tickets_; }

 private:
  void Sent(const v1::TxnMessage& message) { BASALT_CHECK(!TxnMessageProblem(message)); }

  uint64_t tickets_ = 0;
};

// Mostly of one of a few transactions.
v1::TxnMessage MakeTxnMessage(FuzzInput& input) {
  auto message = MakeMessage<v1::TxnMessage>(input);
  if (!input.OneIn(8)) message.set_to_slot(1);
  const txn::TxnId id{
      static_cast<txn::Slot>(input.Below(3)), input.Below(3), {}, 1 + input.Below(3)};
  if (input.OneIn(4)) return message;
  if (message.has_prepare_reply()) ToProto(id, *message.mutable_prepare_reply()->mutable_id());
  if (message.has_resolve_reply()) ToProto(id, *message.mutable_resolve_reply()->mutable_id());
  if (message.has_inquiry()) ToProto(id, *message.mutable_inquiry()->mutable_id());
  if (message.has_inquiry_reply()) ToProto(id, *message.mutable_inquiry_reply()->mutable_id());
  if (message.has_resolve()) {
    message.mutable_resolve()->clear_slots();
    ToProto(txn::Resolve{id, txn::Outcome::kAborted, 0, {1}}, *message.mutable_resolve());
  }
  if (message.has_prepare()) {
    const std::string key(1, static_cast<char>('a' + input.Below(4)));
    message.mutable_prepare()->Clear();
    ToProto(txn::Prepare{id, AgeOfFirstAttempt(id), txn::PartsOf({}, {{key, "v"}}), true},
            *message.mutable_prepare());
  }
  return message;
}

void TryDesk(FuzzInput& input) {
  const txn::TxnShard shard({0, base::kSlotCount});
  CheckingEdge edge;
  TxnCounters counters;
  TxnDesk desk(shard, edge, counters);
  MonotonicTime now = std::chrono::hours(1);
  while (!input.empty()) {
    v1::TxnMessage message = MakeTxnMessage(input);
    now += std::chrono::milliseconds(input.Below(300));
    if (!TxnMessageProblem(message)) desk.OnMessage(std::move(message), now);
    if (input.OneIn(3)) desk.OnTick(now);
  }
}

void Fuzz(FuzzInput& input) {
  if (input.OneIn(4)) return TryDesk(input);
  if (input.OneIn(6)) return TryFrames(input);
  if (input.OneIn(3)) return TryTransport(input);
  Forming forming(input);
  for (int turns = 0; turns < 12 && !input.empty(); ++turns) forming.TakeTurn();
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
