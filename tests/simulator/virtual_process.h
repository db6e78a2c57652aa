// VirtualProcess: one life of a node. The production loops, log, replicas, routing and wire
// encoding, run by events of virtual time instead of threads, over a disk, a network and a clock
// that misbehave.
//
// It lives from Start until its owner destroys it, at the end of any event or (DyingDisk) in the
// midst of one: from that moment on it says nothing any more.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "proto/types.pb.h"
#include "raft/transport.h"
#include "server/node/apply_loop.h"
#include "server/node/cluster_view.h"
#include "server/node/group_loop.h"
#include "server/node/lease_reads.h"
#include "server/node/replica_set.h"
#include "server/rpc/dispatch.h"
#include "storage/memory_engine.h"
#include "tests/simulator/checkpoint_stream.h"
#include "tests/simulator/dying_disk.h"
#include "tests/simulator/node_clock.h"
#include "tests/simulator/replica_watcher.h"
#include "tests/simulator/virtual_log.h"
#include "tests/simulator/virtual_network.h"

namespace basalt::testing {

struct ProcessOptions {
  uint64_t node = 0;
  uint64_t life = 0;  // unlike any other process's
  uint64_t seed = 0;
  uint64_t segment_bytes = 64u << 10;
  uint64_t retained_log_bytes = 16u << 10;
  size_t flush_every_bytes = 32u << 10;
  size_t memory_bytes_max = 4u << 10;  // so that older entries are fetched
  uint64_t free_bytes_min = 64u << 10;
  bool leases = true;
  uint32_t drift_percent_max = 20;  // that the node trusts all clocks to keep within
  bool check_thoroughly = true;
};

// Where processes are found.
class ProcessDirectory {
 public:
  virtual ~ProcessDirectory() = default;
  // Runs `visit` as an event of the process that lives at `node`, if there is one, and if it is
  // that of `life` (0: any); later, if it stands still just now. False: there is none.
  virtual bool Visit(uint64_t node, uint64_t life,
                     absl::AnyInvocable<void(VirtualProcess&)> visit) = 0;
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
    NodeClock& clock;
    ProcessDirectory& others;
    ReplicaWatcher& watcher;
    Findings& findings;
    // Runs an event in this life, if it still lasts when this node's clock has gone on so far.
    std::function<void(server::MonotonicTime, VirtualTime::Event)> after;
    const DiskSpeed& disk_speed;
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
  void ReceiveRequests(const std::shared_ptr<server::ReplySink>& sink, const std::string& bytes);

  const ProcessOptions& options() const { return options_; }
  Ports& ports() { return ports_; }
  bool dead() const { return ports_.disk.dead(); }
  server::MonotonicTime Pause();  // how long a thread needs to wake up
  base::Random& random() { return random_; }
  CheckpointStreams& checkpoints() { return checkpoints_; }
  const server::ClusterView& view() const { return view_; }
  std::vector<server::GroupState> States();
  server::ReplicaStateMachine& machine(raft::GroupId group) { return *hosted_.at(group).machine; }
  bool hosts(raft::GroupId group) const { return hosted_.contains(group); }

 private:
  struct Hosted {
    raft::ReplicaId replica;
    std::unique_ptr<server::ReplicaStateMachine> machine;
  };

  absl::StatusOr<std::unique_ptr<storage::RaftLog>> OpenLog();
  raft::CoreOptions CoreOptionsOf(const server::OpenedReplica& replica);

  void PlanGroupRound();
  void PlanApplyRound();
  void GroupRound();
  void ApplyRound();
  void ReportApplied();
  void Tick();
  void Maintain();
  void Fetch(const server::FetchForFollower& work);

  const ProcessOptions options_;
  Ports ports_;
  base::Random random_;
  storage::MemoryEngineFactory engines_;
  std::unique_ptr<VirtualLog> log_;
  server::ClusterView view_;
  server::RequestBudget budget_;
  server::LeaseReads lease_reads_;  // nothing is published: reads by lease go through the loop
  server::Dispatch dispatch_;
  server::ApplyLoop apply_loop_;
  server::ReplicaSet replicas_;
  std::map<raft::GroupId, Hosted> hosted_;
  std::unique_ptr<server::GroupLoop> group_loop_;
  CheckpointStreams checkpoints_;

  std::vector<server::GroupEvent> group_events_;
  std::vector<server::ApplyWork> apply_works_;
  bool group_round_planned_ = false;
  bool apply_round_planned_ = false;
};

}  // namespace basalt::testing
