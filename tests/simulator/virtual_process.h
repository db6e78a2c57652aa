// VirtualProcess: one life of a node. The production loops, log, replicas, routing and wire
// encoding, run by events of virtual time instead of threads, over a disk, a network and a clock
// that misbehave.
//
// It lives from Start until its owner destroys it, at the end of any event or (DyingDisk) in the
// midst of one: from that moment on it says nothing any more. Its replicas come and go meanwhile
// (virtual_process_changes.cc).
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proto/types.pb.h"
#include "raft/transport.h"
#include "server/clock/known_time.h"
#include "server/node/apply_loop.h"
#include "server/node/cluster_view.h"
#include "server/node/group_loop.h"
#include "server/node/lease_reads.h"
#include "server/node/replica_set.h"
#include "server/node/txn_post.h"
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
  bool has_log = false;  // a process before this one had
  uint64_t segment_bytes = 64u << 10;
  uint64_t retained_log_bytes = 16u << 10;
  size_t flush_every_bytes = 32u << 10;
  size_t memory_bytes_max = 4u << 10;  // so that older entries are fetched
  size_t append_bytes_max = 1u << 20;
  uint64_t free_bytes_min = 64u << 10;
  server::VersionRetention::Limits versions = {seconds(3), 0};
  server::SessionRetention::Limits sessions = {seconds(10), 1u << 20};
  bool leases = true;
  uint32_t drift_percent_max = 20;  // that the node trusts all clocks to keep within
  uint32_t leader_priority = 1;
  bool check_thoroughly = true;
  // Planted bugs: the so-manieth answer to a client is never sent, or sent twice; 0: none.
  uint64_t lost_answer = 0;
  uint64_t doubled_answer = 0;
  // VirtualLog::Ports.
  uint64_t commits_before_false_alarm = 0;
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
                             public server::RequestObserver,
                             public raft::LogStoreListener,
                             public raft::Transport,
                             public server::TxnPost {
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

  // Opens the log and the node's replicas as basaltd does, and lets the loops go. `founding` is the
  // layout that the node was formed with, `map` what it tells clients.
  absl::Status Start(const v1::ClusterMap& founding, const v1::ClusterMap& map);

  // As ShardHost, step by step, with time to die between any two. Nothing happens when the replica
  // may not be made or does not live here, or while another change is under way.
  void MakeReplica(const v1::ShardDescriptor& founding, raft::ReplicaId replica);
  void RemoveReplica(raft::GroupId group, raft::ReplicaId replica);
  // As a node that is told to stop: hands over what it leads, answers what is under way, and is
  // then `stopped`.
  void Stop();
  bool stopped() const { return stopped_; }
  // The thread of the groups gets no processor for so long; all others do.
  void HoldGroups(server::MonotonicTime duration);
  void ReleaseGroups() { groups_held_until_ = {}; }
  // What it would mean to die now, in the midst of a change of its replicas; empty: there is none.
  std::string_view changing() const { return changing_; }

  void Put(server::GroupEvent event) override;
  void Put(server::ApplyWork work) override;
  void PutQuietly(server::ApplyWork work) override;
  void Put(server::FeedWork work) override;
  void OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnLease(raft::GroupId group, std::optional<raft::LeaseGrant> lease) override;
  // A read by lease, on the thread that brought it.
  void OnAnswered(server::RequestKind kind, uint64_t shard_id, v1::Code code,
                  server::MonotonicTime took) override;
  void OnDurable(std::span<const raft::PersistDone> done) override;
  void Send(std::vector<raft::Message> messages) override;
  raft::NodeId node() const override { return raft::NodeId(options_.node); }
  uint64_t ShardOf(uint32_t slot) const override { return view_.ShardOf(slot); }
  raft::NodeId LeaderOf(uint64_t shard_id) override { return view_.NodeToAsk(shard_id, turns_++); }
  void Post(raft::NodeId to, std::vector<v1::TxnMessage> messages) override;

  // From the network.
  void ReceiveMessage(const std::string& bytes, uint64_t time_ms);
  void ReceiveTime(uint64_t from, uint64_t time_ms, uint64_t clock_ms) {
    known_time_.Hear(time_ms);
    known_time_.HearClock(from, clock_ms);
  }
  void ReceiveTransaction(const std::string& bytes);
  void ReceiveRequests(const std::shared_ptr<server::ReplySink>& sink, const std::string& bytes);

  const ProcessOptions& options() const { return options_; }
  Ports& ports() { return ports_; }
  bool dead() const { return ports_.disk.dead(); }
  // Does what the planted bugs do.
  void SpoilAnswers(std::vector<v1::Response>& answers);
  server::MonotonicTime Pause();  // how long a thread needs to wake up
  base::Random& random() { return random_; }
  CheckpointStreams& checkpoints() { return checkpoints_; }
  server::ClusterView& view() { return view_; }
  // None before it has started.
  std::vector<server::GroupState> States();
  server::ReplicaStateMachine& machine(raft::GroupId group) { return *hosted_.at(group).machine; }
  // 0: none of the group lives here.
  raft::ReplicaId ReplicaOf(raft::GroupId group) const;

 private:
  struct Hosted {
    raft::ReplicaId replica;
    std::shared_ptr<server::ReplicaStateMachine> machine;
  };

  absl::StatusOr<std::unique_ptr<storage::RaftLog>> OpenLog();
  raft::CoreOptions CoreOptionsOf(const server::OpenedReplica& replica);
  // Of a replica that takes part from now on.
  raft::CoreOptions Host(server::OpenedReplica& opened);

  void OpenMade(const v1::ShardDescriptor& founding);
  void DropRemoved(raft::GroupId group, raft::ReplicaId replica);
  void RemoveFiles(raft::GroupId group, raft::ReplicaId replica);
  void HandOver(server::MonotonicTime until);
  void Drain(server::MonotonicTime until);
  void End();

  void PlanGroupRound();
  void PlanApplyRound(bool installs);
  void GroupRound();
  void MarkSnapshots();
  void MarkTransactions();
  void ApplyRound();
  // Nothing: none of the group lives here.
  raft::LogBase AppliedOf(raft::GroupId group) const;
  void ReportApplied();
  void Tick();
  void Maintain();
  void TellTime();
  void Fetch(const server::FetchForFollower& work);

  const ProcessOptions options_;
  Ports ports_;
  base::Random random_;
  uint64_t maintained_ = 0;  // times
  server::KnownTime known_time_;
  storage::MemoryEngineFactory engines_;
  std::unique_ptr<VirtualLog> log_;
  server::ClusterView view_;
  server::RequestBudget budget_;
  server::LeaseReads lease_reads_;
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
  bool apply_looks_ = false;  // at what was put quietly, before long
  server::MonotonicTime groups_held_until_{};
  bool tick_due_ = false;
  std::string_view changing_;
  bool stopping_ = false;
  bool stopped_ = false;
  uint64_t answers_ = 0;
  uint64_t turns_ = 0;
  uint64_t snapshot_waits_ = 0;  // that were marked
  uint64_t ceilings_passed_ = 0;
  std::array<uint64_t, 4> txn_counts_{};
};

}  // namespace basalt::testing
