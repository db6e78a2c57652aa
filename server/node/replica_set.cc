#include "server/node/replica_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/status.h"

namespace basalt::server {
namespace {

// 0: the descriptor puts none on the node.
raft::ReplicaId ReplicaOn(const v1::ShardDescriptor& descriptor, raft::NodeId node) {
  for (const v1::Replica& replica : descriptor.replicas()) {
    if (replica.node_id() == node.value()) return raft::ReplicaId(replica.replica_id());
  }
  return raft::ReplicaId(0);
}

bool Names(const v1::ShardDescriptor& descriptor, raft::ReplicaId replica) {
  return std::any_of(descriptor.replicas().begin(), descriptor.replicas().end(),
                     [&](const v1::Replica& r) { return r.replica_id() == replica.value(); });
}

// The highest replica of the group that was removed from here; 0: none was.
raft::ReplicaId TombstoneOf(storage::RaftLog& log, raft::GroupId group) {
  for (const storage::raft_log::Owner& owner : log.Tombstones()) {
    if (owner.group == group) return owner.replica;
  }
  return raft::ReplicaId(0);
}

// "<shard>-<replica>"; nothing for any other name.
std::optional<storage::raft_log::Owner> ParseDirectoryName(const std::string& name) {
  uint64_t shard = 0;
  uint64_t replica = 0;
  const char* const end = name.data() + name.size();
  const auto [dash, shard_error] = std::from_chars(name.data(), end, shard);
  if (shard_error != std::errc() || dash == end || *dash != '-') return std::nullopt;
  const auto [rest, replica_error] = std::from_chars(dash + 1, end, replica);
  if (replica_error != std::errc() || rest != end) return std::nullopt;
  return storage::raft_log::Owner{raft::GroupId(shard), raft::ReplicaId(replica)};
}

}  // namespace

ReplicaSet::ReplicaSet(raft::NodeId node, std::string shards_directory, std::string log_directory,
                       Ports ports)
    : node_(node),
      shards_directory_(std::move(shards_directory)),
      log_directory_(std::move(log_directory)),
      ports_(std::move(ports)) {}

std::string ReplicaSet::DirectoryOf(raft::GroupId group, raft::ReplicaId replica) const {
  return fmt::format("{}/{}-{}", shards_directory_, group.value(), replica.value());
}

absl::Status ReplicaSet::CheckFolders(storage::RaftLog& log) {
  const std::vector<storage::raft_log::Owner> known = log.Replicas();
  BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          ports_.files.List(shards_directory_));
  for (const std::string& name : names) {
    const std::optional<storage::raft_log::Owner> owner = ParseDirectoryName(name);
    if (!owner) continue;
    const auto [group, replica] = *owner;
    if (replica <= TombstoneOf(log, group)) {
      BASALT_RETURN_IF_ERROR(RemoveFiles(group, replica));
      continue;
    }
    if (std::find(known.begin(), known.end(), *owner) != known.end()) continue;
    BASALT_ASSIGN_OR_RETURN(const bool is_store, storage::ReplicaStore::Exists(
                                                     ports_.files, DirectoryOf(group, replica)));
    if (is_store) {
      return base::DataLoss(
          fmt::format("{}: the log knows nothing of shard {}, which has a replica "
                      "here: votes and entries are lost",
                      log_directory_, group.value()));
    }
  }
  return absl::OkStatus();
}

absl::Status ReplicaSet::Found(storage::RaftLog& log, const v1::ClusterMap& layout) {
  BASALT_RETURN_IF_ERROR(CheckFolders(log));
  const std::vector<raft::GroupId> known = log.Groups();
  std::vector<storage::NewGroup> founded;
  for (const v1::ShardDescriptor& descriptor : layout.shards()) {
    const raft::GroupId group(descriptor.shard_id());
    const raft::ReplicaId replica = ReplicaOn(descriptor, node_);
    if (replica == raft::ReplicaId(0) || replica <= TombstoneOf(log, group) ||
        std::find(known.begin(), known.end(), group) != known.end()) {
      continue;
    }
    founded.push_back({group, replica, raft::LogBase{{}, {}, FoundingConfiguration(descriptor)}});
  }
  return founded.empty() ? absl::OkStatus() : log.CreateGroups(founded);
}

absl::StatusOr<std::vector<OpenedReplica>> ReplicaSet::OpenAll(storage::RaftLog& log,
                                                               const v1::ClusterMap& layout) {
  std::vector<OpenedReplica> opened;
  for (const raft::GroupId group : log.Groups()) {
    const auto descriptor = std::find_if(
        layout.shards().begin(), layout.shards().end(),
        [&](const v1::ShardDescriptor& shard) { return shard.shard_id() == group.value(); });
    if (descriptor == layout.shards().end()) {
      return base::DataLoss(
          fmt::format("{}: the log holds shard {}, which the layout does not name", log_directory_,
                      group.value()));
    }
    BASALT_ASSIGN_OR_RETURN(OpenedReplica replica, Open(log, group, *descriptor));
    const raft::ReplicaId founding = ReplicaOn(*descriptor, node_);
    if (founding > TombstoneOf(log, group) && founding != replica.self) {
      return base::DataLoss(
          fmt::format("{}: the log holds replica {} of shard {}, the layout names {}",
                      log_directory_, replica.self.value(), group.value(), founding.value()));
    }
    opened.push_back(std::move(replica));
  }
  return opened;
}

absl::Status ReplicaSet::MayMake(storage::RaftLog& log, raft::GroupId group,
                                 raft::ReplicaId replica) {
  const raft::ReplicaId dropped = TombstoneOf(log, group);
  if (replica <= dropped) {
    return base::FailedPrecondition(
        fmt::format("replica {} of shard {} was removed from here, or is older than one that was",
                    replica.value(), group.value()));
  }
  const std::vector<raft::GroupId> known = log.Groups();
  if (std::find(known.begin(), known.end(), group) != known.end()) {
    return base::FailedPrecondition(
        fmt::format("a replica of shard {} lives here already", group.value()));
  }
  return absl::OkStatus();
}

absl::StatusOr<OpenedReplica> ReplicaSet::Open(storage::RaftLog& log, raft::GroupId group,
                                               const v1::ShardDescriptor& descriptor) {
  BASALT_ASSIGN_OR_RETURN(raft::RecoveredLog recovered, log.Recover(group));
  const std::string directory = DirectoryOf(group, recovered.replica);
  const storage::ReplicaStore::Ports store_ports{ports_.files, ports_.engines};
  BASALT_ASSIGN_OR_RETURN(const bool exists,
                          storage::ReplicaStore::Exists(ports_.files, directory));
  if (!exists) {
    const raft::Configuration configuration = Names(descriptor, recovered.replica)
                                                  ? FoundingConfiguration(descriptor)
                                                  : raft::Configuration{};
    BASALT_RETURN_IF_ERROR(
        ReplicaStateMachine::Create(store_ports, directory, descriptor, configuration));
  }
  OpenedReplica opened;
  opened.group = group;
  opened.self = recovered.replica;
  BASALT_ASSIGN_OR_RETURN(
      opened.machine,
      ReplicaStateMachine::Open(store_ports, directory, ports_.make_commands(group.value()),
                                ports_.observer));
  opened.founds = recovered.hard_state == raft::HardState{} && recovered.entries.empty() &&
                  Names(descriptor, recovered.replica) &&
                  descriptor.replicas(0).node_id() == node_.value();
  opened.recovered.hard_state = recovered.hard_state;
  opened.recovered.base = std::move(recovered.base);
  opened.recovered.entries = std::move(recovered.entries);
  opened.recovered.applied = opened.machine->applied();
  const raft::LogIndex applied = opened.recovered.applied.index;
  if (applied < opened.recovered.base.index) {
    return base::DataLoss(
        fmt::format("shard {}: the state machine ends at entry {}, the log begins behind {}",
                    group.value(), applied.value(), opened.recovered.base.index.value()));
  }
  return opened;
}

absl::Status ReplicaSet::RemoveFiles(raft::GroupId group, raft::ReplicaId replica) {
  BASALT_RETURN_IF_ERROR(ports_.files.RemoveTree(DirectoryOf(group, replica)));
  return ports_.files.SyncDirectory(shards_directory_);
}

}  // namespace basalt::server
