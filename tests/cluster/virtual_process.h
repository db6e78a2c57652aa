// VirtualProcess: one life of a node. The production loops, log, replicas and wire encoding, run
// by events of virtual time instead of threads, over a disk and a network that misbehave.
//
// It lives from Start until its owner destroys it, at the end of any event or (DyingDisk) in the
// midst of one: from that moment on it says nothing any more.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "proto/types.pb.h"
#include "raft/transport.h"
#include "server/node/apply_loop.h"
#include "server/node/group_loop.h"
#include "storage/checkpoint_files.h"
#include "storage/memory_engine.h"
#include "tests/cluster/dying_disk.h"
#include "tests/cluster/virtual_log.h"
#include "tests/cluster/virtual_network.h"

namespace basalt::testing {

struct ProcessOptions {
  uint64_t node = 0;
  uint64_t life = 0;  // unlike any other process's
  uint64_t seed = 0;
  uint64_t segment_bytes = 32u << 10;
  uint64_t retained_log_bytes = 8u << 10;
  size_t flush_every_bytes = 16u << 10;
};

// Sees what processes do, as it happens.
class ProcessObserver {
 public:
  virtual ~ProcessObserver() = default;
  virtual void OnLeads(uint64_t node, raft::GroupId group, raft::Term term) = 0;
  virtual void OnApplied(uint64_t node, const server::AppliedState& state) = 0;
  virtual void OnInstalled(uint64_t node) = 0;
};

class VirtualProcess;

// Where processes are found.
class ProcessDirectory {
 public:
  virtual ~ProcessDirectory() = default;
  // Runs `visit` as an event of the process that lives at `node`, if there is one, and if it is
  // that of `life` (0: any); later, if it stands still just now. False: there is none.
  virtual bool Visit(uint64_t node, uint64_t life,
                     const std::function<void(VirtualProcess&)>& visit) = 0;
};

class VirtualProcess final : public server::GroupInbox,
                             public server::ApplyInbox,
                             public server::FeedInbox,
                             public server::LeaderObserver,
                             public raft::LogStoreListener,
                             public raft::Transport {
 public:
  struct Ports {
    VirtualTime& time;
    VirtualNetwork& network;
    DyingDisk& disk;
    ProcessDirectory& others;
    ProcessObserver& observer;
    // Runs an event in this life, if it still lasts then.
    std::function<void(server::MonotonicTime, VirtualTime::Event)> after;
  };

  VirtualProcess(const ProcessOptions& options, Ports ports);
  ~VirtualProcess() override;

  // Opens the log and the node's replicas as basaltd does, and lets the loops go.
  absl::Status Start(const v1::ClusterMap& layout);

  void Put(server::GroupEvent event) override;
  void Put(server::ApplyWork work) override;
  void PutQuietly(server::ApplyWork work) override;
  void Put(server::FeedWork work) override;
  void OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnDurable(std::span<const raft::PersistDone> done) override;
  void Send(std::vector<raft::Message> messages) override;

  // From the network.
  void ReceiveMessage(const std::string& bytes);

  uint64_t life() const { return options_.life; }
  bool dead() const { return ports_.disk.dead(); }
  std::vector<server::GroupState> States();
  server::ReplicaStateMachine& machine(raft::GroupId group) { return *machines_.at(group); }

 private:
  // A checkpoint on its way to a follower; made and kept at the sender.
  struct Outgoing {
    // At the receiver: tells the sender, should it still live.
    void Answer(std::function<void(VirtualProcess&)> event) const;

    VirtualNetwork& network;
    ProcessDirectory& others;
    uint64_t sender = 0;
    uint64_t sender_life = 0;
    uint64_t transfer = 0;
    raft::GroupId group;
    raft::ReplicaId self;
    raft::Term term;
    raft::SendCheckpoint send;
    raft::LogBase base;
    std::string directory;
    std::vector<storage::CheckpointFile> list;
  };
  struct Piece {
    size_t file = 0;
    uint64_t offset = 0;
    std::string bytes;
    uint32_t crc32c = 0;
  };

  struct Incoming {
    uint64_t sender_life = 0;
    uint64_t transfer = 0;
    std::unique_ptr<storage::CheckpointStaging> staging;
  };
  static bool IsFrom(const Incoming& incoming, const Outgoing& outgoing);

  absl::Status OpenLog(const v1::ClusterMap& layout);
  absl::Status OpenReplica(const v1::ShardDescriptor& shard, uint64_t replica_id);
  absl::Status AddGroup(raft::GroupId group);
  std::string ReplicaDirectory(const v1::ShardDescriptor& shard, uint64_t replica_id) const;

  server::MonotonicTime Pause();
  void PlanGroupRound();
  void PlanApplyRound();
  void GroupRound();
  void ApplyRound();
  void Tick();
  void Maintain();

  void Fetch(const server::FetchForFollower& work);
  void MakeCheckpoint(const server::CheckpointForFollower& work);
  void BeginSending(const std::shared_ptr<Outgoing>& outgoing);
  void SendPiece(const std::shared_ptr<const Outgoing>& outgoing, size_t file, uint64_t offset);
  void SendEnd(const std::shared_ptr<const Outgoing>& outgoing);
  void EndSending(const Outgoing& outgoing, bool installed);
  // At the receiver; false: refused, the stream ends.
  bool ReceivePiece(const Outgoing& outgoing, const Piece& piece);
  void ReceiveEnd(const Outgoing& outgoing, std::function<void(const std::string&)> done);

  const ProcessOptions options_;
  Ports ports_;
  base::Random random_;
  const ProcessClock clock_;
  storage::MemoryEngineFactory engines_;
  std::unique_ptr<VirtualLog> log_;
  server::ApplyLoop apply_loop_;
  std::map<raft::GroupId, std::unique_ptr<server::ReplicaStateMachine>> machines_;
  std::map<raft::GroupId, raft::ReplicaId> selves_;
  std::unique_ptr<server::GroupLoop> group_loop_;

  std::vector<server::GroupEvent> group_events_;
  std::vector<server::ApplyWork> apply_works_;
  bool group_round_planned_ = false;
  bool apply_round_planned_ = false;
  std::map<raft::GroupId, raft::NodeId> leaders_;

  uint64_t next_checkpoint_ = 1;
  std::set<uint64_t> sending_;  // transfers not yet answered
  std::map<raft::GroupId, Incoming> receiving_;
};

}  // namespace basalt::testing
