// ShardHost: everything that a node runs once it belongs to a cluster: the log, the replicas and
// the threads around them.
//
// Start and Stop from one thread; the rest is thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "proto/admin.pb.h"
#include "server/node/apply_loop.h"
#include "server/node/cluster_view.h"
#include "server/node/follower_feed.h"
#include "server/node/group_loop.h"
#include "server/node/lease_reads.h"
#include "server/node/loop_thread.h"
#include "server/node/replica_set.h"
#include "server/observe/logger.h"
#include "server/observe/metrics.h"
#include "storage/log_writer.h"
#include "storage/replica_store.h"
#include "storage/rocksdb_engine.h"

namespace basalt::server {

struct ShardHostOptions {
  raft::NodeId node;
  std::string log_directory;
  uint64_t log_id = 0;  // storage::RaftLog::identity; 0: the node has no log yet
  std::string shards_directory;
  std::string checkpoints_directory;
  uint64_t log_segment_bytes = 64u << 20;
  uint64_t log_retained_bytes = 64u << 20;  // all groups together
  storage::RocksDbSizes sizes;
  VersionRetention::Limits versions;
  MonotonicTime session_retention = std::chrono::hours(1);
  uint64_t session_bytes = uint64_t{64} << 20;  // of all replicas together
  // Recent log entries that all groups together keep in memory.
  uint64_t entry_bytes = 128u << 20;
  uint32_t election_timeout_ticks = 12;
  uint32_t heartbeat_ticks = 2;
  std::chrono::milliseconds tick{50};
  std::chrono::nanoseconds promise{};  // CoreOptions::promise
  bool leases = false;
  uint32_t clock_drift_percent = 20;
  uint32_t leader_priority = 1;  // raft::CoreOptions::priority of all replicas
  uint64_t seed = 0;             // of the election timeouts
};

// Ends the process for a replica that has stopped for good (ApplyLoop::Ports). Neither an entry of
// a newer release nor damage is a bug of this process, so neither looks like one
// (docs/operations.md, exit codes).
[[noreturn]] void EndWithReplica(const absl::Status& why);

class ShardHost final : public GroupInbox,
                        public ApplyInbox,
                        public LeaderObserver,
                        public ClusterMapObserver,
                        public raft::LogStoreListener {
 public:
  // All outlive the host.
  struct Ports {
    storage::FileSystem& files;
    const Clock& clock;
    KnownTime& time;
    ClusterView& view;
    Logger& logger;
    Metrics& metrics;
    std::function<absl::Status(const CheckpointToSend&)> send_checkpoint;
    RequestObserver* observer = nullptr;
    // See FollowerFeed::Ports.
    std::function<bool(raft::NodeId)> reachable = nullptr;
    // What brings peers' messages; polled by the group thread, between Start and Stop.
    Poller* peers = nullptr;
  };

  ShardHost(const ShardHostOptions& options, Ports ports);
  ~ShardHost() override;

  // Opens the log and this node's replicas of `layout`, making those that are not there yet. Every
  // error is one line. Nothing runs yet.
  absl::Status Open(const v1::ClusterMap& layout);
  // Of the log that was opened; durable.
  uint64_t log_id() const { return log_->log().identity(); }
  // Starts the threads. `transport` outlives Stop, as does `post`; null: no transactions over
  // several shards.
  void Start(raft::Transport& transport, TxnPost* post = nullptr);
  // Writes and reads under way are finished or answered; everything durable is marked so.
  void Stop();

  // Makes an empty replica of the shard, which takes part as soon as its group's leader knows it.
  // Durable when it returns. FailedPrecondition: one lives here, or the id is not above every one
  // that did. Between Start and Stop, from one thread at a time, as RemoveReplica.
  absl::Status MakeReplica(const v1::ShardDescriptor& descriptor, raft::ReplicaId replica);
  // Ends the replica here for good, with a durable tombstone; its files go once nobody reads them.
  // NotFound: it does not live here.
  absl::Status RemoveReplica(raft::GroupId group, raft::ReplicaId replica);

  // Hands every leadership over that somebody else here can take; returns once all have gone or
  // after `limit`, with how many have not. Between Start and Stop.
  size_t HandOver(std::chrono::milliseconds limit);

  // Flushes what keeps old log segments alive, tells the loop what is flushed, and has old versions
  // collected. Called about once a second by the node's own thread; blocks on the disk.
  void Maintain();

  // Empty when the loop does not answer within a second.
  std::vector<GroupState> States();
  std::vector<AppliedState> AppliedStates();
  std::vector<v1::ReplicaStatus> ReplicaStatuses();
  absl::StatusOr<std::unique_ptr<StoredScan>> ScanReplica(uint64_t shard_id);
  // Loops that have not begun a round for `limit`.
  std::vector<std::string> Stalled(std::chrono::milliseconds limit) const;
  storage::LogWriter& log() { return *log_; }
  // What the loops and the log count, for /metrics. After Start.
  std::vector<PulledSample> Samples() const;
  const storage::RocksDbResources& resources() const { return resources_; }
  // Of recent log entries in memory, of a moment ago. After Start.
  uint64_t entry_bytes() const {
    return group_loop_->counters().entry_bytes.load(std::memory_order_relaxed);
  }
  // Likewise, by which clients are remembered.
  uint64_t session_bytes() const {
    return group_loop_->counters().session_bytes.load(std::memory_order_relaxed);
  }
  LeaseReads& lease_reads() { return lease_reads_; }

  void Put(GroupEvent event) override { group_thread_.mailbox().Put(std::move(event)); }
  void PutAll(std::vector<GroupEvent> events) override {
    group_thread_.mailbox().PutAll(std::move(events));
  }
  void PutAllQuietly(std::vector<GroupEvent> events) override {
    group_thread_.mailbox().PutAllQuietly(std::move(events));
  }
  void Put(ApplyWork work) override { apply_thread_.mailbox().Put(std::move(work)); }
  void PutQuietly(ApplyWork work) override { apply_thread_.mailbox().PutQuietly(std::move(work)); }

  void OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) override;
  void OnLease(raft::GroupId group, std::optional<raft::LeaseGrant> lease) override {
    lease_reads_.Publish(group, lease);
  }
  void OnClusterMap(std::shared_ptr<const v1::ClusterMap> map) override;
  void OnDurable(std::span<const raft::PersistDone> done) override;

 private:
  struct Hosted {
    raft::ReplicaId replica;
    std::shared_ptr<ReplicaStateMachine> machine;
  };
  struct Recovered {
    raft::CoreOptions options;
    raft::RecoveredState state;
    StateTotals totals;
    bool campaign = false;
  };

  absl::StatusOr<std::unique_ptr<storage::RaftLog>> OpenLog();
  raft::CoreOptions CoreOptionsOf(const OpenedReplica& opened) const;
  void BoundMemory(raft::CoreOptions& options) const;
  void Host(raft::GroupId group, Hosted hosted) BASALT_EXCLUDES(hosted_mutex_);
  std::vector<Hosted> AllHosted() const BASALT_EXCLUDES(hosted_mutex_);
  // Null: no replica of the group lives here.
  std::shared_ptr<ReplicaStateMachine> MachineOf(raft::GroupId group) const
      BASALT_EXCLUDES(hosted_mutex_);
  bool HasReplica(raft::GroupId group, raft::ReplicaId replica) const
      BASALT_EXCLUDES(hosted_mutex_);
  void RemoveRetired();
  void RunGroupRound(std::vector<GroupEvent>& events);
  void ProposeFormation();
  void AddSessionSamples(std::vector<PulledSample>& samples) const;
  void AddSnapshotSamples(std::vector<PulledSample>& samples) const;
  void AddTransactionSamples(std::vector<PulledSample>& samples) const;
  void AddVersionSamples(std::vector<PulledSample>& samples) const;
  void OnLogCommit(std::span<const raft::LogWrite> writes, std::chrono::nanoseconds took);

  const ShardHostOptions options_;
  Ports ports_;
  storage::RocksDbResources resources_;
  storage::RocksDbEngineFactory engines_;
  std::unique_ptr<storage::LogWriter> log_;
  ReplicaSet replicas_;
  LeaseReads lease_reads_;
  mutable base::Mutex hosted_mutex_;
  std::map<raft::GroupId, Hosted> hosted_ BASALT_GUARDED_BY(hosted_mutex_);
  std::vector<Hosted> retired_ BASALT_GUARDED_BY(hosted_mutex_);  // removed; somebody may read yet
  std::vector<Recovered> recovered_;                              // between Open and Start
  size_t groups_at_start_ = 1;
  std::string formation_;  // the layout as a command for the meta shard
  std::atomic<bool> meta_formed_{false};

  LoopThread<GroupEvent> group_thread_;
  LoopThread<ApplyWork> apply_thread_;
  ApplyLoop apply_loop_;
  std::unique_ptr<FollowerFeed> feed_;
  std::unique_ptr<GroupLoop> group_loop_;
  MonotonicTime next_tick_{};
  std::atomic<uint64_t> ticks_missed_{0};
  uint64_t log_bytes_seen_ = 0;  // log thread
  bool started_ = false;
  bool stopped_ = false;
};

}  // namespace basalt::server
