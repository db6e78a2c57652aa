// MetaCommands: what the meta shard (shard 0) replicates: the cluster map.
#pragma once

#include <memory>

#include "proto/types.pb.h"
#include "server/shard/replica_state_machine.h"

namespace basalt::server {

class MetaCommands : public CommandSet {
 public:
  // `observer` may be null; it outlives this.
  explicit MetaCommands(ClusterMapObserver* observer) : observer_(observer) {}

  absl::Status Load(storage::Engine& engine) override;
  absl::Status CheckLoad(storage::Engine& engine) const override;
  void BeginRun(std::span<const v1::CommandBatch* const> batches) override;
  absl::StatusOr<CommandOutcome> Apply(const v1::Command& command, uint64_t stamp,
                                       storage::Engine& engine, storage::Batch& batch,
                                       storage::AppliedHash& hash) override;
  void EndRun() override;

 private:
  // No effect when the cluster is formed or `bytes` are no map.
  bool FormCluster(const std::string& bytes);
  // No effect when the node is not of the cluster, is so already, or `bytes` are no node.
  bool SetNode(const std::string& bytes);

  ClusterMapObserver* const observer_;
  bool formed_ = false;
  bool changed_ = false;  // by the run under way
  v1::ClusterMap map_;
};

}  // namespace basalt::server
