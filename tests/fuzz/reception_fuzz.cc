// Checkpoints that peers stream here, some at a time and of one group, as gRPC hands them over: in
// any order and condition, cut off or cancelled. What goes to an install is what its sender listed.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "raft/wire/checkpoint_wire.h"
#include "server/rpc/checkpoint_receiver.h"
#include "server/rpc/wire_version.h"
#include "storage/checkpoint_files.h"
#include "storage/crc32c.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_message.h"
#include "tests/unit/server/cluster_maps.h"
#include "tests/unit/server/fake_clock.h"

namespace basalt::server {
namespace {

using fuzz::FuzzInput;
using fuzz::MakeMessage;

constexpr char kIncoming[] = "/incoming";

v1::Hello HelloOf(uint64_t node) {
  v1::Hello hello;
  hello.set_wire_version(kWireVersion);
  hello.set_cluster_id("0123456789abcdef");
  *hello.mutable_node() = testing::MakeNode(node);
  return hello;
}

// ---- what a sender has to send ----

struct Sent {
  v1::CheckpointHeader header;
  std::vector<std::string> contents;
  // Of the next piece.
  size_t file = 0;
  size_t offset = 0;

  bool AtEnd() {
    while (file < contents.size() && offset >= contents[file].size()) {
      ++file;
      offset = 0;
    }
    return file >= contents.size();
  }
};

void AddFile(FuzzInput& input, Sent& sent) {
  std::string bytes = input.Text(30);
  v1::CheckpointFile& file = *sent.header.add_files();
  file.set_name(std::string(1 + input.Below(3), 'a') + std::to_string(sent.contents.size()));
  if (input.OneIn(24)) file.set_name(input.Flag() ? "../a" : "a0");
  file.set_size(bytes.size());
  if (input.OneIn(24)) file.set_size(input.Number());
  file.set_crc32c(storage::Crc32c(bytes));
  if (input.OneIn(24)) file.set_crc32c(static_cast<uint32_t>(input.U64()));
  sent.contents.push_back(std::move(bytes));
}

Sent MakeSent(FuzzInput& input) {
  Sent sent;
  v1::CheckpointHeader& header = sent.header;
  if (input.OneIn(10)) {
    header = MakeMessage<v1::CheckpointHeader>(input);
    header.clear_files();
  } else {
    header.set_group(1 + input.Below(2));
    header.set_from(11);
    header.set_to(12);
    header.set_term(2 + input.Below(3));
    header.set_index(input.Below(6));
    header.set_index_term(input.Below(4));
    for (uint64_t node = 1 + input.Below(3); node > 0; --node) {
      v1::Member& member = *header.add_members();
      member.set_replica_id(14 - node);
      member.set_node_id(4 - node);
      member.set_role(1);
    }
  }
  *header.mutable_hello() = input.OneIn(12) ? MakeMessage<v1::Hello>(input) : HelloOf(1);
  for (uint64_t files = input.Below(4); files > 0; --files) AddFile(input, sent);
  return sent;
}

// The piece that is due, or another one, or one that went bad on its way.
v1::CheckpointChunk MakePiece(FuzzInput& input, Sent& sent) {
  v1::CheckpointChunk chunk;
  if (input.OneIn(16)) return MakeMessage<v1::CheckpointChunk>(input);
  if (sent.AtEnd()) return chunk;
  chunk.set_file(static_cast<uint32_t>(sent.file));
  chunk.set_offset(sent.offset);
  chunk.set_bytes(sent.contents[sent.file].substr(sent.offset, 1 + input.Below(16)));
  chunk.set_crc32c(storage::Crc32c(chunk.bytes()));
  if (input.OneIn(16)) {
    chunk.set_offset(input.Number());
  } else if (input.OneIn(16)) {
    chunk.set_bytes(input.Damaged(chunk.bytes()));
  } else if (!input.OneIn(16)) {  // else it is sent again
    sent.offset += chunk.bytes().size();
  }
  return chunk;
}

// ---- gRPC, as far as a stream of the receiver sees it ----

class Stream final : public grpc::ServerCallbackReader<v1::CheckpointChunk> {
 public:
  Stream(FuzzInput& input, CheckpointReceiver& receiver) : sent(MakeSent(input)) {
    reactor_ = receiver.Accept(&reply_);
    BindReactor(reactor_);
  }

  void SendInitialMetadata() override {}
  void Read(v1::CheckpointChunk* chunk) override {
    BASALT_CHECK(!finished_ && wanted_ == nullptr);
    wanted_ = chunk;
  }
  void Finish(grpc::Status status) override {
    BASALT_CHECK(!finished_ && status.ok());
    BASALT_CHECK(reply_.installed() == reply_.refusal().empty());
    finished_ = true;
  }

  bool IsRead() const { return wanted_ != nullptr; }
  void Deliver(v1::CheckpointChunk chunk) {
    *std::exchange(wanted_, nullptr) = std::move(chunk);
    reactor_->OnReadDone(true);
  }
  void EndReads() {
    wanted_ = nullptr;
    reactor_->OnReadDone(false);
  }
  void Cancel() { reactor_->OnCancel(); }

  // True: gRPC lets go of it.
  bool TryEnd() {
    if (!finished_) return false;
    if (IsRead()) EndReads();  // fails behind Finish
    reactor_->OnDone();
    return true;
  }
  bool finished() const { return finished_; }
  const v1::CheckpointReply& reply() const { return reply_; }

  Sent sent;
  bool header_sent = false;

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override {}

  grpc::ServerReadReactor<v1::CheckpointChunk>* reactor_ = nullptr;
  v1::CheckpointReply reply_;
  v1::CheckpointChunk* wanted_ = nullptr;  // where the read under way goes
  bool finished_ = false;
};

// ---- the node that receives ----

class Node final : public GroupInbox {
 public:
  explicit Node(FuzzInput& input) : input_(input) {
    view_.Set(testing::MakeMap());
    BASALT_CHECK(files_.CreateDirectory(kIncoming).ok());
  }

  void Live() {
    for (int turns = 0; turns < 60 && !input_.empty(); ++turns) {
      const size_t which = input_.Below(streams_.size());
      switch (input_.Below(10)) {
        case 0:
          EndInstall(which);
          break;
        case 1:
          receiver_.RemoveDiscarded();
          break;
        case 2:
          if (input_.OneIn(4)) files_.SetFreeBytes(input_.Below(200));
          break;
        case 3:
          BreakOff(which);
          break;
        default:
          GoOn(which);
      }
      LetGo();
    }
  }

  // Nothing of what came is left but what an install took.
  void Stop() {
    for (size_t which = 0; which < streams_.size(); ++which) {
      if (streams_[which] && streams_[which]->IsRead()) EndReads(which);
      EndInstall(which);
    }
    LetGo();
    for (const auto& stream : streams_) BASALT_CHECK(stream == nullptr);
    receiver_.RemoveDiscarded();
    const auto left = files_.List(kIncoming);
    BASALT_CHECK(left.ok() && left->empty());
  }

  void Put(GroupEvent event) override {
    auto staged = std::get<CheckpointStaged>(std::move(event));
    BASALT_CHECK(delivering_.has_value() && !staged_[*delivering_]);
    for (const auto& other : staged_) {
      BASALT_CHECK(!other || other->message.group != staged.message.group);
    }
    CheckStaged(streams_[*delivering_]->sent, staged);
    staged_[*delivering_] = std::move(staged);
  }

 private:
  void GoOn(size_t which) {
    std::unique_ptr<Stream>& stream = streams_[which];
    if (stream == nullptr) stream = std::make_unique<Stream>(input_, receiver_);
    if (!stream->IsRead()) return;
    v1::CheckpointChunk chunk;
    if (!stream->header_sent) {
      stream->header_sent = true;
      if (!input_.OneIn(16)) *chunk.mutable_header() = stream->sent.header;
    } else if (stream->sent.AtEnd() && !input_.OneIn(8)) {
      return EndReads(which);
    } else {
      chunk = MakePiece(input_, stream->sent);
    }
    delivering_ = which;
    stream->Deliver(std::move(chunk));
    delivering_.reset();
  }

  void EndReads(size_t which) {
    delivering_ = which;
    streams_[which]->EndReads();
    delivering_.reset();
  }

  void BreakOff(size_t which) {
    if (streams_[which] == nullptr) return;
    if (input_.Flag()) streams_[which]->Cancel();
    if (streams_[which]->IsRead()) EndReads(which);
  }

  // As the loops do, on their own time: meanwhile nobody may have touched what is installed.
  void EndInstall(size_t which) {
    if (!staged_[which]) return;
    CheckStaged(streams_[which]->sent, *staged_[which]);
    const std::string problem = input_.OneIn(3) ? "of no use" : "";
    std::exchange(staged_[which], std::nullopt)->done(problem);
    BASALT_CHECK(streams_[which]->finished() && streams_[which]->reply().refusal() == problem);
  }

  void LetGo() {
    for (auto& stream : streams_) {
      if (stream && stream->TryEnd()) stream.reset();
    }
  }

  void CheckStaged(const Sent& sent, const CheckpointStaged& staged) {
    std::vector<storage::CheckpointFile> expected;
    for (const v1::CheckpointFile& file : sent.header.files()) {
      expected.push_back({file.name(), file.size(), file.crc32c()});
    }
    std::sort(expected.begin(), expected.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    const auto listed = storage::ListCheckpoint(files_, staged.directory);
    BASALT_CHECK(listed.ok() && *listed == expected);
    v1::CheckpointHeader header;
    raft::CheckpointToWire(staged.message, header);
    v1::CheckpointHeader said = sent.header;
    BASALT_CHECK(transport_.CheckHello(said.hello()).empty());
    said.clear_hello();
    said.clear_files();
    BASALT_CHECK(header.SerializeAsString() == fuzz::KnownBytes(said));
  }

  FuzzInput& input_;
  testing::FakeClock clock_;
  testing::FakeFileSystem files_;
  ClusterView view_;
  const std::array<raft::NodeId, 2> peers_ = {raft::NodeId(1), raft::NodeId(3)};
  KnownTime time_{clock_};
  PeerTransport transport_{peers_, HelloOf(2), view_, *this, time_};
  CheckpointReceiver receiver_{files_, kIncoming, 0, transport_, *this};
  std::array<std::unique_ptr<Stream>, 3> streams_;
  std::array<std::optional<CheckpointStaged>, 3>
      staged_;                        // of the stream; its install is under way
  std::optional<size_t> delivering_;  // to which stream
};

void Fuzz(FuzzInput& input) {
  Node node(input);
  node.Live();
  node.Stop();
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
