// FollowerFeed: work for followers that lag: reads old entries from the log, makes checkpoints and
// streams them. A checkpoint may take minutes, and longer to a node whose disk stalls: so each node
// that ever needed one has a thread of its own, and gets one at a time.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "raft/log_store.h"
#include "server/node/apply_loop.h"
#include "server/node/loop_thread.h"
#include "server/observe/logger.h"
#include "server/observe/metrics.h"
#include "storage/file_system.h"

namespace basalt::server {

// A checkpoint that lies in `directory` and is to reach `send.node`.
struct CheckpointToSend {
  raft::GroupId group;
  raft::ReplicaId self;
  raft::Term term;
  raft::SendCheckpoint send;
  raft::LogBase base;
  std::string directory;
  // Once true, sending it is in vain: the feed stops, or this replica leads no more in `term`.
  // Thread-safe, and cheap.
  std::function<bool()> called_off;
};

class FollowerFeed final : public FeedInbox {
 public:
  struct Ports {
    raft::LogStore& log;
    GroupInbox& groups;
    ApplyInbox& apply;
    storage::FileSystem& files;
    Logger& logger;
    CheckpointMetrics& metrics;
    const Clock& clock;
    // Flushes a group's state machine, if it is still there; thread-safe.
    std::function<void(raft::GroupId)> flush;
    // Whether this replica lives here; thread-safe.
    std::function<bool(raft::GroupId, raft::ReplicaId)> has_replica;
    // Whether what a checkpoint in this directory holds is sound (EngineFactory::VerifyCheckpoint).
    std::function<absl::Status(const std::string&, const std::function<bool()>& stop)> verify;
    // Sends; blocks until it is installed there or refused, or soon after it is called off.
    std::function<absl::Status(const CheckpointToSend&)> send;
    // Whether there is a line to the node at all. Empty: always tried.
    std::function<bool(raft::NodeId)> reachable = nullptr;
  };

  // `directory`: where checkpoints are made.
  FollowerFeed(Ports ports, std::string directory);

  void Start();
  // Waits for the work under way, which is called off.
  void Stop();

  void Put(FeedWork work) override;

 private:
  // When a follower whose last one failed gets another.
  struct Waits {
    MonotonicTime not_before{0};
    uint32_t refusals = 0;  // in a row
  };
  // The checkpoints for one node.
  struct Sender {
    std::map<std::pair<raft::GroupId, raft::ReplicaId>, Waits> waits;  // its thread only
    std::unique_ptr<LoopThread<CheckpointForFollower>> thread;
  };

  void Fetch(const FetchForFollower& work);
  // Null once this stops.
  Sender* SenderTo(raft::NodeId node) BASALT_EXCLUDES(mutex_);
  bool Leads(const CheckpointForFollower& work) const BASALT_EXCLUDES(mutex_);
  void Send(const CheckpointForFollower& work, Waits& waits);
  static std::chrono::seconds PauseAfter(const absl::Status& failure, uint32_t& refusals);
  absl::Status MakeAndSend(const CheckpointForFollower& work, raft::LogBase& base);
  // The replica's own rows are damaged.
  void OnDamage(const CheckpointForFollower& work, const absl::Status& damage);

  Ports ports_;
  const std::string directory_;
  std::atomic<uint64_t> next_number_{1};
  std::atomic<bool> stopping_{false};
  LoopThread<FetchForFollower> fetches_;
  mutable base::Mutex mutex_;
  // What the replicas here lead, and in which term.
  std::map<raft::GroupId, raft::Term> led_ BASALT_GUARDED_BY(mutex_);
  bool stopped_ BASALT_GUARDED_BY(mutex_) = false;
  // They stay until this goes.
  std::map<raft::NodeId, std::unique_ptr<Sender>> senders_ BASALT_GUARDED_BY(mutex_);
};

}  // namespace basalt::server
