// NodeDirectory: the folder that one node owns, its lock, its identity and its cluster's layout.
//
//   LOCK          held while the process lives; says who holds it
//   IDENTITY      format, node, store, cluster (identity.h)
//   LAYOUT        the serialized cluster map that the node started from
//   log/          the shared Raft log
//   shards/<shard>-<replica>/   one replica's state machine
//   checkpoints/  outgoing, incoming/  staged; both may be emptied at start
//
// IDENTITY and LAYOUT are replaced whole: temporary file, sync, rename, sync of the directory. A
// crash at any step leaves the old one or the new one. The node counts as formed exactly when
// IDENTITY names a cluster, and LAYOUT is durable before that.
//
// One thread calls it. A write or sync that the disk refuses ends the process (base::DiskFailed);
// a full disk is a status.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/node_directory/identity.h"
#include "storage/file_system.h"

namespace basalt::server {

struct NodeDirectoryOptions {
  std::string path;
  uint64_t node_id = 0;
  std::string release;        // of this program
  RandomId fresh_store_id{};  // used only when the directory is made
  uint64_t process_id = 0;
};

// shards/<shard_id>-<replica_id>
struct ReplicaDirectory {
  uint64_t shard_id = 0;
  uint64_t replica_id = 0;

  auto operator<=>(const ReplicaDirectory&) const = default;
};

class NodeDirectory {
 public:
  // Makes the directory (and its parents) when it is missing or empty. `file_system` outlives the
  // result. Every error is one line that names the path:
  //   Unavailable         another process has it
  //   FailedPrecondition  another node's, a newer format, or somebody else's files
  //   DataLoss            IDENTITY or LAYOUT is damaged
  //   others              what the file system said
  static absl::StatusOr<std::unique_ptr<NodeDirectory>> Open(storage::FileSystem& file_system,
                                                             const NodeDirectoryOptions& options);

  const Identity& identity() const { return identity_; }
  bool formed() const { return identity_.cluster_id.has_value(); }
  // What LAYOUT holds; empty when not formed.
  const std::string& layout() const { return layout_; }
  // Whether Open made it.
  bool fresh() const { return fresh_; }

  // Joins the cluster for good: `layout` durable first, then the cluster's id. Again with the same
  // id: replaces the layout. FailedPrecondition: the directory belongs to another cluster.
  absl::Status AdoptCluster(const RandomId& cluster_id, std::string_view layout);
  // FailedPrecondition with a message when `cluster_id` is not this directory's cluster. A
  // directory that is not formed goes with any.
  absl::Status CheckCluster(const RandomId& cluster_id) const;

  // Notes which log holds this node's votes, before there are any; the log is durable. From then on
  // identity().log_id says it, and the node must not start from another one.
  absl::Status AdoptLog(uint64_t log_id);

  const std::string& path() const { return path_; }
  std::string LogPath() const;
  std::string ShardsPath() const;
  std::string ShardPath(uint64_t shard_id, uint64_t replica_id) const;
  std::string CheckpointsPath() const;
  std::string IncomingPath() const;
  // What stands in shards/, sorted. FailedPrecondition names an entry that is not ours.
  absl::StatusOr<std::vector<ReplicaDirectory>> Replicas() const;
  // Removes what is in checkpoints/ and incoming/: at start, before anything uses them.
  absl::Status EmptyStaging();

 private:
  NodeDirectory(storage::FileSystem& file_system, std::string path);

  absl::Status Recover(const NodeDirectoryOptions& options);
  absl::Status Create(const NodeDirectoryOptions& options);
  absl::Status Load(const NodeDirectoryOptions& options);
  absl::Status ReplaceIdentity(const Identity& identity);

  storage::FileSystem& file_system_;
  const std::string path_;
  std::unique_ptr<storage::DirectoryLock> lock_;
  Identity identity_;
  std::string layout_;
  bool fresh_ = false;
};

}  // namespace basalt::server
