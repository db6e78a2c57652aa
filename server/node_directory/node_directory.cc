#include "server/node_directory/node_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/node_directory/durable_file.h"
#include "server/node_directory/layout_file.h"

namespace basalt::server {

using storage::FileSystem;

namespace {

constexpr std::string_view kLockName = "LOCK";
constexpr std::string_view kIdentityName = "IDENTITY";
constexpr std::string_view kLayoutName = "LAYOUT";
constexpr std::string_view kLogName = "log";
constexpr std::string_view kShardsName = "shards";
constexpr std::string_view kCheckpointsName = "checkpoints";
constexpr std::string_view kIncomingName = "incoming";
constexpr std::array kFolderNames = {kLogName, kShardsName, kCheckpointsName, kIncomingName};

std::string Join(std::string_view directory, std::string_view name) {
  return fmt::format("{}/{}", directory, name);
}

// "why" behind the path, with the code of `status`.
absl::Status About(const std::string& path, const absl::Status& status) {
  return base::MakeStatus(status.code(), fmt::format("{}: {}", path, base::Message(status)));
}

bool IsFolder(std::string_view name) {
  return std::find(kFolderNames.begin(), kFolderNames.end(), name) != kFolderNames.end();
}

// OK when a directory without IDENTITY is empty but for what an interrupted Create left behind.
absl::Status CheckUnused(FileSystem& file_system, const std::string& path) {
  BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_system.List(path));
  for (const std::string& name : names) {
    if (name == kLockName || name == "IDENTITY.tmp" || name == "lost+found") continue;
    if (!IsFolder(name)) {
      return base::FailedPrecondition(
          fmt::format("{} has no IDENTITY and is not empty ({} is in it): give the data directory "
                      "of a node or an empty one",
                      path, name));
    }
    BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> inside,
                            file_system.List(Join(path, name)));
    if (!inside.empty()) {
      return base::FailedPrecondition(
          fmt::format("{} holds data ({}/{}) and no IDENTITY: part of it was lost or left behind",
                      path, name, inside.front()));
    }
  }
  return absl::OkStatus();
}

std::string HolderText(FileSystem& file_system, const std::string& lock_path) {
  const absl::StatusOr<std::string> holder = ReadSmallFile(file_system, lock_path);
  uint64_t process_id = 0;
  if (!holder.ok() || holder->empty()) return "";
  const auto parsed = std::from_chars(holder->data(), holder->data() + holder->size(), process_id);
  return parsed.ec == std::errc() ? fmt::format(", pid {}", process_id) : "";
}

absl::StatusOr<std::unique_ptr<storage::DirectoryLock>> TakeLock(FileSystem& file_system,
                                                                 const std::string& path,
                                                                 uint64_t process_id) {
  const std::string lock_path = Join(path, kLockName);
  auto lock = file_system.Lock(lock_path);
  if (lock.status().code() == absl::StatusCode::kUnavailable) {
    return base::Unavailable(
        fmt::format("{} is in use by another process{}", path, HolderText(file_system, lock_path)));
  }
  if (!lock.ok()) return lock.status();
  // Only for that message: not synced, and no reason to fail.
  if (auto file = file_system.Open(lock_path, FileSystem::OpenMode::kReadWrite); file.ok()) {
    if ((*file)->Truncate(0).ok()) (void)(*file)->WriteAt(0, fmt::format("{}\n", process_id));
  }
  return lock;
}

std::optional<uint64_t> ParseId(std::string_view text) {
  uint64_t id = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  if (fmt::format("{}", id) != text) return std::nullopt;
  return id;
}

std::optional<ReplicaDirectory> ParseReplicaDirectory(std::string_view name) {
  const size_t dash = name.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto shard = ParseId(name.substr(0, dash));
  const auto replica = ParseId(name.substr(dash + 1));
  if (!shard || !replica) return std::nullopt;
  return ReplicaDirectory{*shard, *replica};
}

std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

}  // namespace

NodeDirectory::NodeDirectory(FileSystem& file_system, std::string path)
    : file_system_(file_system), path_(std::move(path)) {}

absl::StatusOr<std::unique_ptr<NodeDirectory>> NodeDirectory::Open(
    FileSystem& file_system, const NodeDirectoryOptions& options) {
  std::unique_ptr<NodeDirectory> directory(
      new NodeDirectory(file_system, WithoutTrailingSlashes(options.path)));
  BASALT_RETURN_IF_ERROR(directory->Recover(options));
  return directory;
}

absl::Status NodeDirectory::Recover(const NodeDirectoryOptions& options) {
  BASALT_RETURN_IF_ERROR(MakeDirectories(file_system_, path_));
  const std::string identity_path = Join(path_, kIdentityName);
  // Looked at before the lock is taken, so that nothing is left in somebody else's directory, and
  // once more under it.
  BASALT_ASSIGN_OR_RETURN(bool exists, file_system_.Exists(identity_path));
  if (!exists) BASALT_RETURN_IF_ERROR(CheckUnused(file_system_, path_));
  BASALT_ASSIGN_OR_RETURN(lock_, TakeLock(file_system_, path_, options.process_id));
  BASALT_ASSIGN_OR_RETURN(exists, file_system_.Exists(identity_path));
  if (exists) return Load(options);
  BASALT_RETURN_IF_ERROR(CheckUnused(file_system_, path_));
  return Create(options);
}

absl::Status NodeDirectory::Create(const NodeDirectoryOptions& options) {
  for (const std::string_view name : kFolderNames) {
    BASALT_RETURN_IF_ERROR(file_system_.CreateDirectory(Join(path_, name)));
  }
  // The folders first: a directory with an IDENTITY and without its log has lost its votes.
  BASALT_RETURN_IF_ERROR(EndIfDiskFailed(file_system_.SyncDirectory(path_)));
  identity_.node_id = options.node_id;
  identity_.store_id = options.fresh_store_id;
  identity_.release = options.release;
  fresh_ = true;
  return ReplaceFile(file_system_, path_, std::string(kIdentityName), SerializeIdentity(identity_));
}

absl::Status NodeDirectory::Load(const NodeDirectoryOptions& options) {
  const std::string identity_path = Join(path_, kIdentityName);
  BASALT_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file_system_, identity_path));
  absl::StatusOr<Identity> identity = ParseIdentity(text);
  if (!identity.ok()) return About(identity_path, identity.status());
  identity_ = *std::move(identity);
  if (identity_.node_id != options.node_id) {
    return base::FailedPrecondition(fmt::format("{} belongs to node {}, not to node {} (--node-id)",
                                                path_, identity_.node_id, options.node_id));
  }
  for (const std::string_view name : {kLogName, kShardsName}) {
    BASALT_ASSIGN_OR_RETURN(const bool exists, file_system_.Exists(Join(path_, name)));
    if (!exists) {
      return base::DataLoss(
          fmt::format("{}: it is gone, and this node's promises with it", Join(path_, name)));
    }
  }
  for (const std::string_view name : {kCheckpointsName, kIncomingName}) {
    BASALT_RETURN_IF_ERROR(file_system_.CreateDirectory(Join(path_, name)));
  }
  BASALT_RETURN_IF_ERROR(EndIfDiskFailed(file_system_.SyncDirectory(path_)));
  if (!formed()) return absl::OkStatus();

  const std::string layout_path = Join(path_, kLayoutName);
  const absl::StatusOr<std::string> bytes = ReadSmallFile(file_system_, layout_path);
  if (bytes.status().code() == absl::StatusCode::kNotFound) {
    return base::DataLoss(fmt::format("{}: it is gone", layout_path));
  }
  if (!bytes.ok()) return bytes.status();
  absl::StatusOr<std::string> layout = ParseLayout(*bytes);
  if (!layout.ok()) return About(layout_path, layout.status());
  layout_ = *std::move(layout);
  return absl::OkStatus();
}

absl::Status NodeDirectory::AdoptCluster(const RandomId& cluster_id, std::string_view layout) {
  BASALT_RETURN_IF_ERROR(CheckCluster(cluster_id));
  BASALT_RETURN_IF_ERROR(
      ReplaceFile(file_system_, path_, std::string(kLayoutName), SerializeLayout(layout)));
  if (!formed()) {
    Identity identity = identity_;
    identity.cluster_id = cluster_id;
    BASALT_RETURN_IF_ERROR(ReplaceIdentity(identity));
  }
  layout_ = layout;
  return absl::OkStatus();
}

absl::Status NodeDirectory::CheckCluster(const RandomId& cluster_id) const {
  if (!formed() || *identity_.cluster_id == cluster_id) return absl::OkStatus();
  return base::FailedPrecondition(fmt::format("{} belongs to cluster {}, not to cluster {}", path_,
                                              ToHex(*identity_.cluster_id), ToHex(cluster_id)));
}

absl::Status NodeDirectory::AdoptLog(uint64_t log_id) {
  BASALT_CHECK(log_id != 0 && (identity_.log_id == 0 || identity_.log_id == log_id));
  if (identity_.log_id == log_id) return absl::OkStatus();
  Identity identity = identity_;
  identity.log_id = log_id;
  return ReplaceIdentity(identity);
}

absl::Status NodeDirectory::ReplaceIdentity(const Identity& identity) {
  BASALT_RETURN_IF_ERROR(
      ReplaceFile(file_system_, path_, std::string(kIdentityName), SerializeIdentity(identity)));
  identity_ = identity;
  return absl::OkStatus();
}

std::string NodeDirectory::LogPath() const { return Join(path_, kLogName); }

std::string NodeDirectory::ShardsPath() const { return Join(path_, kShardsName); }

std::string NodeDirectory::ShardPath(uint64_t shard_id, uint64_t replica_id) const {
  return fmt::format("{}/{}-{}", ShardsPath(), shard_id, replica_id);
}

std::string NodeDirectory::CheckpointsPath() const { return Join(path_, kCheckpointsName); }

std::string NodeDirectory::IncomingPath() const { return Join(path_, kIncomingName); }

absl::StatusOr<std::vector<ReplicaDirectory>> NodeDirectory::Replicas() const {
  BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_system_.List(ShardsPath()));
  std::vector<ReplicaDirectory> replicas;
  for (const std::string& name : names) {
    const auto replica = ParseReplicaDirectory(name);
    if (!replica) {
      return base::FailedPrecondition(
          fmt::format("{}: not a replica's directory", Join(ShardsPath(), name)));
    }
    replicas.push_back(*replica);
  }
  std::sort(replicas.begin(), replicas.end());
  return replicas;
}

absl::Status NodeDirectory::EmptyStaging() {
  for (const std::string& folder : {CheckpointsPath(), IncomingPath()}) {
    BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, file_system_.List(folder));
    for (const std::string& name : names) {
      BASALT_RETURN_IF_ERROR(file_system_.RemoveTree(Join(folder, name)));
    }
  }
  return absl::OkStatus();
}

}  // namespace basalt::server
