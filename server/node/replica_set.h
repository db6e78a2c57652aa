// ReplicaSet: which replicas a node has on disk, and how they are opened, made and removed.
//
// The log's groups and tombstones are the truth. The layout that the node was formed with founds
// its replicas once; later ones are made empty, and get log and contents by a checkpoint. The order
// of durable steps, so that a node may die between any two:
//   made:    the log knows the replica; then its store is made; then it takes part (a vote, an
//            entry). So a replica without a store has taken part in nothing, and is made again.
//   removed: the log has its tombstone; then its folder goes. A folder whose replica has a
//            tombstone is what an interrupted removal left.
// A store that the log knows nothing of, without a tombstone, means that votes and entries are
// lost: the node must not start.
//
// No threads, no state of its own but where things are. In production one thread at a time calls
// it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "proto/types.pb.h"
#include "raft/core/raft_core.h"
#include "server/shard/replica_state_machine.h"
#include "storage/raft_log/raft_log.h"

namespace basalt::server {

// A replica that is ready to take part.
struct OpenedReplica {
  raft::GroupId group;
  raft::ReplicaId self;
  raft::RecoveredState recovered;
  std::unique_ptr<ReplicaStateMachine> machine;
  // It has neither voted nor got an entry, and the layout names its node first: it may campaign
  // at once.
  bool founds = false;
};

class ReplicaSet {
 public:
  struct Ports {
    storage::FileSystem& files;
    storage::EngineFactory& engines;
    // What the commands of a shard mean.
    std::function<std::unique_ptr<CommandSet>(uint64_t shard_id)> make_commands;
    ApplyObserver* observer = nullptr;
  };

  // `log_directory` is for messages only.
  ReplicaSet(raft::NodeId node, std::string shards_directory, std::string log_directory,
             Ports ports);

  // At start, before OpenAll: makes known to `log` the replicas that `layout` puts on this node and
  // that never lived here, and removes what interrupted removals left. DataLoss: a store that the
  // log does not know, be it of a replica that was made later.
  absl::Status Found(storage::RaftLog& log, const v1::ClusterMap& layout);
  // Every replica that `log` knows. DataLoss: one that cannot be what it is said to be.
  absl::StatusOr<std::vector<OpenedReplica>> OpenAll(storage::RaftLog& log,
                                                     const v1::ClusterMap& layout);

  // OK when `replica` may be made here now: no replica of the group lives here and its id is above
  // every one that did. FailedPrecondition: which. On OK the caller has the log create the group
  // with an empty base, durably, and then calls Open.
  static absl::Status MayMake(storage::RaftLog& log, raft::GroupId group, raft::ReplicaId replica);
  // Opens a group that `log` knows; makes its store, when there is none yet: empty, without a
  // configuration unless `descriptor` names the replica.
  absl::StatusOr<OpenedReplica> Open(storage::RaftLog& log, raft::GroupId group,
                                     const v1::ShardDescriptor& descriptor);
  // The log has the tombstone and nobody uses the store any more.
  absl::Status RemoveFiles(raft::GroupId group, raft::ReplicaId replica);

 private:
  std::string DirectoryOf(raft::GroupId group, raft::ReplicaId replica) const;
  // Removes what interrupted removals left. DataLoss: as Found.
  absl::Status CheckFolders(storage::RaftLog& log);

  const raft::NodeId node_;
  const std::string shards_directory_;
  const std::string log_directory_;
  const Ports ports_;
};

}  // namespace basalt::server
