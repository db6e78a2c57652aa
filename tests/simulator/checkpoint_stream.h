// CheckpointStreams: checkpoints on their way from one process to another, piece by piece, as the
// production sender and receiver carry them; the network loses pieces and spoils some. Which
// streams are taken is decided by production's code; whoever sends gives up as production's does.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/node/checkpoint_receptions.h"
#include "server/node/work.h"
#include "storage/checkpoint_files.h"

namespace basalt::testing {

class VirtualProcess;

class CheckpointStreams {
 public:
  explicit CheckpointStreams(VirtualProcess& owner) : owner_(owner) {}

  // Makes a checkpoint of the group, sends it, and tells the group loop how that ended.
  // Without a machine: the replica is gone.
  void Make(const server::CheckpointForFollower& work, raft::StateMachine* machine);
  void OnLedTerm(const server::LedTermChanged& led);

 private:
  // Made and kept at the sender.
  struct Outgoing {
    uint64_t sender = 0;
    uint64_t sender_life = 0;
    uint64_t transfer = 0;
    server::CheckpointForFollower work;
    raft::LogBase base;
    std::string directory;
    std::vector<storage::CheckpointFile> list;
  };
  using SharedOutgoing = std::shared_ptr<const Outgoing>;
  struct Piece {
    size_t file = 0;
    uint64_t offset = 0;
    std::string bytes;
    uint32_t crc32c = 0;
  };
  struct Incoming {
    uint64_t sender = 0;
    uint64_t sender_life = 0;
    uint64_t transfer = 0;
    raft::Term term;
    uint64_t number = 0;  // of the reception
    std::unique_ptr<storage::CheckpointStaging> staging;
  };
  static bool IsFrom(const Incoming& incoming, const Outgoing& outgoing);

  bool Leads(const Outgoing& outgoing) const;
  void Begin(const std::shared_ptr<Outgoing>& outgoing);
  void SendPiece(const SharedOutgoing& outgoing, size_t file, uint64_t offset);
  void SendEnd(const SharedOutgoing& outgoing);
  void End(const Outgoing& outgoing, bool installed);
  void ToReceiver(const SharedOutgoing& outgoing, uint64_t digest,
                  std::function<void(CheckpointStreams&)> arrival);
  // At the receiver: tells the sender, should it still live.
  void Answer(const SharedOutgoing& outgoing, std::function<void(CheckpointStreams&)> event);
  // At the receiver; false: refused, the stream ends.
  bool Receive(const Outgoing& outgoing, const Piece& piece);
  bool StartStaging(const Outgoing& outgoing);
  // Throws away what has come of the group's.
  void DropIncoming(raft::GroupId group);
  void ReceiveEnd(const SharedOutgoing& outgoing, std::function<void(const std::string&)> done);
  void Install(const SharedOutgoing& outgoing, const std::function<void(const std::string&)>& done);

  VirtualProcess& owner_;
  uint64_t next_number_ = 1;
  std::set<uint64_t> sending_;  // transfers not yet answered
  std::map<raft::GroupId, raft::Term> led_;
  server::CheckpointReceptions receptions_;
  std::map<raft::GroupId, Incoming> receiving_;
};

}  // namespace basalt::testing
