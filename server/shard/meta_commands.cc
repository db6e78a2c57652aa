#include "server/shard/meta_commands.h"

#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "storage/big_endian.h"
#include "storage/state_rows.h"

namespace basalt::server {

using Verdict = CommandOutcome::Verdict;

namespace {

// Nothing: the cluster is not formed.
absl::StatusOr<std::optional<v1::ClusterMap>> ReadMap(storage::Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(const std::optional<std::string> bytes,
                          engine.Get(storage::Family::kState, storage::kMapRow));
  if (!bytes) return std::nullopt;
  v1::ClusterMap map;
  if (!map.ParseFromString(*bytes)) return base::DataLoss("the cluster map is damaged");
  return map;
}

}  // namespace

absl::Status MetaCommands::Load(storage::Engine& engine) {
  BASALT_ASSIGN_OR_RETURN(std::optional<v1::ClusterMap> map, ReadMap(engine));
  formed_ = map.has_value();
  map_ = formed_ ? *std::move(map) : v1::ClusterMap();
  if (formed_ && observer_ != nullptr) {
    observer_->OnClusterMap(std::make_shared<v1::ClusterMap>(map_));
  }
  return absl::OkStatus();
}

absl::Status MetaCommands::CheckLoad(storage::Engine& engine) const {
  return ReadMap(engine).status();
}

void MetaCommands::BeginRun(std::span<const v1::CommandBatch* const>) { changed_ = false; }

absl::StatusOr<CommandOutcome> MetaCommands::Apply(const v1::Command& command, uint64_t stamp,
                                                   storage::Engine&, storage::Batch& batch,
                                                   storage::AppliedHash& hash) {
  bool changed = false;
  switch (command.operation_case()) {
    case v1::Command::kFormCluster:
      changed = FormCluster(command.form_cluster().map());
      break;
    case v1::Command::kSetNode:
      changed = SetNode(command.set_node().node());
      break;
    case v1::Command::kPut:
    case v1::Command::kDelete:
    case v1::Command::kCompareAndSet:
    case v1::Command::kIncrement:
    case v1::Command::kOneShard:
    case v1::Command::kFence:
    case v1::Command::kPrepare:
    case v1::Command::kDecide:
    case v1::Command::kResolve:
    case v1::Command::kSettle:
    case v1::Command::kForgetTransactions:
    case v1::Command::kAdvanceHorizon:
    case v1::Command::kSetVersionRetention:
      return CommandOutcome{Verdict::kWrongShard};  // no user keys here
    case v1::Command::kRaiseCeiling:
    case v1::Command::kForgetSessions:  // the state machine's own
    case v1::Command::OPERATION_NOT_SET:
      base::CheckFailed("known operation", __FILE__, __LINE__);
  }
  if (!changed) return CommandOutcome{Verdict::kNoEffect};
  changed_ = true;
  const std::string bytes = map_.SerializeAsString();
  batch.Put(storage::Family::kState, storage::kMapRow, bytes);
  // The meta shard owns no slots; its changes count in the first bucket.
  std::string stamped;
  storage::AppendBigEndian<uint64_t>(stamp, stamped);
  hash.Add(0, stamped + bytes);
  return CommandOutcome{Verdict::kApplied, stamp};
}

bool MetaCommands::FormCluster(const std::string& bytes) {
  v1::ClusterMap map;
  if (formed_ || !map.ParseFromString(bytes)) return false;
  map.clear_leaders();
  map_ = std::move(map);
  formed_ = true;
  return true;
}

bool MetaCommands::SetNode(const std::string& bytes) {
  v1::NodeDescriptor node;
  if (!node.ParseFromString(bytes)) return false;
  for (v1::NodeDescriptor& known : *map_.mutable_nodes()) {
    if (known.node_id() != node.node_id()) continue;
    if (known.SerializeAsString() == node.SerializeAsString()) return false;
    known = std::move(node);
    return true;
  }
  return false;
}

void MetaCommands::EndRun() {
  if (changed_ && observer_ != nullptr) {
    observer_->OnClusterMap(std::make_shared<v1::ClusterMap>(map_));
  }
}

}  // namespace basalt::server
