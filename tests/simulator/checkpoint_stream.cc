#include "tests/simulator/checkpoint_stream.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "storage/crc32c.h"
#include "tests/simulator/virtual_process.h"

namespace basalt::testing {
namespace {

constexpr seconds kTransferTimeout{2};
constexpr size_t kPieceBytes = 8192;
constexpr uint64_t kSpoilOneIn = 200;
// The disk takes its time over the last sync: long enough for elections, and for the sender to give
// up and come again.
constexpr uint64_t kSlowFinishOneIn = 8;
constexpr uint64_t kSlowFinishMaxMs = 5'000;

}  // namespace

void CheckpointStreams::OnLedTerm(const server::LedTermChanged& led) {
  led_.erase(led.group);
  if (led.term) led_.emplace(led.group, *led.term);
}

bool CheckpointStreams::Leads(const Outgoing& outgoing) const {
  const auto place = led_.find(outgoing.work.group);
  return place != led_.end() && place->second == outgoing.work.term;
}

void CheckpointStreams::Make(const server::CheckpointForFollower& work,
                             raft::StateMachine* machine) {
  auto outgoing = std::make_shared<Outgoing>();
  outgoing->sender = owner_.options().node;
  outgoing->sender_life = owner_.options().life;
  outgoing->transfer = next_number_++;
  outgoing->work = work;
  outgoing->directory = kCheckpointsDirectory + "/" + std::to_string(outgoing->transfer);
  sending_.insert(outgoing->transfer);
  if (machine == nullptr) return End(*outgoing, false);
  auto base = machine->CreateCheckpoint(outgoing->directory);
  if (owner_.dead()) return;
  if (!base.ok()) {
    BASALT_CHECK_MSG(base.status().code() == absl::StatusCode::kResourceExhausted,
                     base::Message(base.status()));
    owner_.ports().findings.Mark("no space for a checkpoint");
    return End(*outgoing, false);
  }
  outgoing->base = *base;
  owner_.ports().after(owner_.Pause(), [this, outgoing] { Begin(outgoing); });
}

void CheckpointStreams::Begin(const std::shared_ptr<Outgoing>& outgoing) {
  auto list = storage::ListCheckpoint(owner_.ports().disk, outgoing->directory);
  BASALT_CHECK_MSG(list.ok(), base::Message(list.status()));
  outgoing->list = *std::move(list);
  owner_.ports().after(kTransferTimeout, [this, outgoing] { End(*outgoing, false); });
  SendPiece(outgoing, 0, 0);
}

void CheckpointStreams::ToReceiver(const SharedOutgoing& outgoing, uint64_t digest,
                                   std::function<void(CheckpointStreams&)> arrival) {
  VirtualProcess::Ports& ports = owner_.ports();
  const uint64_t to = outgoing->work.send.node.value();
  const bool sent = ports.network.SendOnce(
      owner_.options().node, to, digest,
      [&others = ports.others, to, arrival = std::move(arrival)]() mutable {
        others.Visit(to, 0, [arrival = std::move(arrival)](VirtualProcess& there) {
          arrival(there.checkpoints());
        });
      });
  if (!sent) ports.findings.Mark("a piece of a checkpoint was lost");
}

void CheckpointStreams::Answer(const SharedOutgoing& outgoing,
                               std::function<void(CheckpointStreams&)> event) {
  VirtualProcess::Ports& ports = owner_.ports();
  ports.network.SendOnce(owner_.options().node, outgoing->sender, outgoing->transfer,
                         [&others = ports.others, outgoing, event = std::move(event)]() mutable {
                           others.Visit(outgoing->sender, outgoing->sender_life,
                                        [event = std::move(event)](VirtualProcess& sender) {
                                          event(sender.checkpoints());
                                        });
                         });
}

// One piece at a time; the receiver's word for one lets the next go.
void CheckpointStreams::SendPiece(const SharedOutgoing& outgoing, size_t file, uint64_t offset) {
  if (!sending_.contains(outgoing->transfer)) return;
  if (!Leads(*outgoing)) {
    owner_.ports().findings.Mark("a sender that led no more gave its checkpoint up");
    return End(*outgoing, false);
  }
  if (file == outgoing->list.size()) return SendEnd(outgoing);
  auto bytes = storage::ReadCheckpointPiece(owner_.ports().disk, outgoing->directory,
                                            outgoing->list[file], offset, kPieceBytes);
  BASALT_CHECK_MSG(bytes.ok(), base::Message(bytes.status()));
  Piece piece{file, offset, *bytes, storage::Crc32c(*bytes)};
  if (owner_.random().OneIn(kSpoilOneIn) && !piece.bytes.empty()) {
    piece.bytes[0] = static_cast<char>(piece.bytes[0] ^ 1);
    owner_.ports().findings.Mark("a piece of a checkpoint was spoiled");
  }
  const uint64_t end = offset + bytes->size();
  const bool whole = end == outgoing->list[file].size;
  const size_t next_file = whole ? file + 1 : file;
  const uint64_t next_offset = whole ? 0 : end;
  const uint64_t digest = DigestOf(piece.bytes);
  ToReceiver(
      outgoing, digest,
      [outgoing, next_file, next_offset, piece = std::move(piece)](CheckpointStreams& there) {
        const bool taken = there.Receive(*outgoing, piece);
        if (there.owner_.dead()) return;
        there.Answer(outgoing,
                     [outgoing, taken, next_file, next_offset](CheckpointStreams& sender) {
                       if (!taken) return sender.End(*outgoing, false);
                       sender.SendPiece(outgoing, next_file, next_offset);
                     });
      });
}

void CheckpointStreams::SendEnd(const SharedOutgoing& outgoing) {
  ToReceiver(outgoing, outgoing->transfer, [outgoing](CheckpointStreams& there) {
    there.ReceiveEnd(outgoing, [outgoing, &there](const std::string& problem) {
      there.Answer(outgoing, [outgoing, installed = problem.empty()](CheckpointStreams& sender) {
        sender.End(*outgoing, installed);
      });
    });
  });
}

void CheckpointStreams::End(const Outgoing& outgoing, bool installed) {
  if (sending_.erase(outgoing.transfer) == 0) return;
  owner_.ports().disk.RemoveTree(outgoing.directory).IgnoreError();
  std::optional<raft::LogIndex> index;
  if (installed) index = outgoing.base.index;
  owner_.Put(server::GroupEvent(server::CheckpointSent{
      outgoing.work.group, outgoing.work.send.follower, outgoing.work.term, index}));
}

bool CheckpointStreams::StartStaging(const Outgoing& outgoing) {
  const server::CheckpointForFollower& work = outgoing.work;
  const auto admission = receptions_.Admit({work.group, work.self, work.term, outgoing.base.index});
  if (!admission.ok()) {
    owner_.ports().findings.Mark("a stream was refused for another one of the group");
    return false;
  }
  if (admission->replaced != 0) {
    const bool again = receiving_.at(work.group).sender == outgoing.sender &&
                       receiving_.at(work.group).term == work.term;
    owner_.ports().findings.Mark(again ? "a checkpoint broke off and another began"
                                       : "a later leader's stream replaced an earlier one's");
    owner_.ports().disk.RemoveTree(receiving_.at(work.group).staging->directory()).IgnoreError();
    receiving_.erase(work.group);
  }
  auto staging = storage::CheckpointStaging::Start(
      owner_.ports().disk, kIncomingDirectory + "/" + std::to_string(next_number_++),
      outgoing.list);
  if (!staging.ok()) {
    owner_.ports().findings.Mark("no space for an incoming checkpoint");
    receptions_.End(work.group, admission->number);
    return false;
  }
  receiving_[work.group] = {outgoing.sender, outgoing.sender_life, outgoing.transfer,
                            work.term,       admission->number,    *std::move(staging)};
  return true;
}

void CheckpointStreams::DropIncoming(raft::GroupId group) {
  const auto incoming = receiving_.extract(group);
  owner_.ports().disk.RemoveTree(incoming.mapped().staging->directory()).IgnoreError();
  receptions_.End(group, incoming.mapped().number);
}

bool CheckpointStreams::Receive(const Outgoing& outgoing, const Piece& piece) {
  if (piece.file == 0 && piece.offset == 0 && !StartStaging(outgoing)) return false;
  const auto incoming = receiving_.find(outgoing.work.group);
  if (incoming == receiving_.end() || !IsFrom(incoming->second, outgoing)) return false;
  const absl::Status taken =
      incoming->second.staging->Write(piece.file, piece.offset, piece.bytes, piece.crc32c);
  if (!taken.ok() && !owner_.dead()) DropIncoming(outgoing.work.group);
  return taken.ok();
}

bool CheckpointStreams::IsFrom(const Incoming& incoming, const Outgoing& outgoing) {
  return incoming.sender == outgoing.sender && incoming.sender_life == outgoing.sender_life &&
         incoming.transfer == outgoing.transfer;
}

void CheckpointStreams::ReceiveEnd(const SharedOutgoing& outgoing,
                                   std::function<void(const std::string&)> done) {
  const auto place = receiving_.find(outgoing->work.group);
  if (place == receiving_.end() || !IsFrom(place->second, *outgoing)) {
    return done("another stream took its place");
  }
  const absl::Status finished = place->second.staging->Finish();
  if (owner_.dead()) return;
  if (!finished.ok()) {
    DropIncoming(outgoing->work.group);
    return done("the disk has no room");
  }
  if (!owner_.random().OneIn(kSlowFinishOneIn)) return Install(outgoing, done);
  owner_.ports().after(milliseconds(owner_.random().Between(1, kSlowFinishMaxMs)),
                       [this, outgoing, done = std::move(done)] { Install(outgoing, done); });
}

void CheckpointStreams::Install(const SharedOutgoing& outgoing,
                                const std::function<void(const std::string&)>& done) {
  const auto place = receiving_.find(outgoing->work.group);
  if (place == receiving_.end() || !IsFrom(place->second, *outgoing)) {
    owner_.ports().findings.Mark("a checkpoint was replaced when all of it had come");
    return done("another stream took its place");
  }
  const auto incoming = receiving_.extract(place);
  const uint64_t number = incoming.mapped().number;
  BASALT_CHECK(receptions_.BeginInstall(outgoing->work.group, number));
  raft::Message message;
  message.group = outgoing->work.group;
  message.from = outgoing->work.self;
  message.to = outgoing->work.send.follower;
  message.term = outgoing->work.term;
  message.body = raft::CheckpointArrived{outgoing->base};
  const raft::GroupId group = message.group;
  owner_.ports().watcher.OnReceived(owner_.options().node, message);
  owner_.ports().watcher.OnInstall(owner_.options().node, group, true);
  owner_.Put(server::GroupEvent(server::CheckpointStaged{
      std::move(message), incoming.mapped().staging->directory(),
      [this, group, number, directory = incoming.mapped().staging->directory(),
       done](const std::string& problem) {
        if (!problem.empty()) owner_.ports().disk.RemoveTree(directory).IgnoreError();
        if (owner_.dead()) return;
        if (problem.find("term's leader") != std::string::npos) {
          owner_.ports().findings.Mark("a checkpoint of another term's leader was refused");
        }
        owner_.ports().watcher.OnInstall(owner_.options().node, group, false);
        receptions_.End(group, number);
        done(problem);
      }}));
}

}  // namespace basalt::testing
