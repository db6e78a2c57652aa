// Which replicas a node finds on its disk: a layout, a log with groups and tombstones, and folders
// of any name, whatever died between them. Every start finds what was made and not removed, or
// refuses what cannot have come about by dying.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "base/status.h"
#include "server/node/layout_check.h"
#include "server/node/replica_set.h"
#include "server/shard/shard_commands.h"
#include "storage/memory_engine.h"
#include "tests/fakes/fake_file_system.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/server/cluster_maps.h"

namespace basalt::server {
namespace {

using fuzz::FuzzInput;
using raft::GroupId;
using raft::NodeId;
using raft::ReplicaId;

constexpr NodeId kSelf(1);
constexpr uint64_t kSlots = 16384;

v1::ShardDescriptor MakeShard(FuzzInput& input, uint64_t shard_id, uint64_t nodes) {
  v1::ShardDescriptor shard;
  shard.set_shard_id(shard_id);
  shard.set_epoch(1);
  const uint64_t first = input.Below(nodes);
  for (uint64_t left = 1 + input.Below(nodes); left > 0; --left) {
    const uint64_t node = 1 + (first + left) % nodes;
    v1::Replica& replica = *shard.add_replicas();
    replica.set_replica_id(10 * shard_id + node + (shard_id == 1 && input.OneIn(3) ? 20 : 0));
    replica.set_node_id(node);
  }
  return shard;
}

// Of one to three nodes; nothing that no node would have adopted.
v1::ClusterMap MakeLayout(FuzzInput& input) {
  v1::ClusterMap layout;
  layout.set_cluster_id("0123456789abcdef");
  const uint64_t nodes = 1 + input.Below(3);
  for (uint64_t id = 1; id <= nodes; ++id) *layout.add_nodes() = testing::MakeNode(id);
  const uint64_t shards = 1 + input.Below(2);
  for (uint64_t id = 0; id <= shards; ++id) {
    v1::ShardDescriptor& shard = *layout.add_shards();
    shard = MakeShard(input, id == 2 && input.OneIn(4) ? 7 : id, nodes);
    if (id == 0) continue;
    shard.set_first_slot(static_cast<uint32_t>((id - 1) * kSlots / shards));
    shard.set_slot_count(static_cast<uint32_t>(kSlots / shards));
  }
  BASALT_CHECK(CheckLayout(layout).ok());
  return layout;
}

ReplicaId FoundingReplica(const v1::ShardDescriptor& shard) {
  for (const v1::Replica& replica : shard.replicas()) {
    if (replica.node_id() == kSelf.value()) return ReplicaId(replica.replica_id());
  }
  return ReplicaId(0);
}

bool IsAnothers(const v1::ShardDescriptor& shard, ReplicaId replica) {
  return std::any_of(shard.replicas().begin(), shard.replicas().end(), [&](const auto& other) {
    return other.replica_id() == replica.value() && other.node_id() != kSelf.value();
  });
}

std::string FolderOf(GroupId group, ReplicaId replica) {
  return fmt::format("/shards/{}-{}", group.value(), replica.value());
}

// What a node must find.
struct Known {
  std::map<GroupId, ReplicaId> living;
  std::map<GroupId, ReplicaId> dropped;
  std::set<GroupId> took_part;  // of those that live

  ReplicaId DroppedOf(GroupId group) const {
    const auto found = dropped.find(group);
    return found == dropped.end() ? ReplicaId(0) : found->second;
  }
  // A start with `layout`; false: it must be refused.
  bool Start(const v1::ClusterMap& layout) {
    std::map<GroupId, ReplicaId> founding;
    for (const v1::ShardDescriptor& shard : layout.shards()) {
      const GroupId group(shard.shard_id());
      founding[group] = FoundingReplica(shard);
      if (founding[group] > DroppedOf(group)) living.try_emplace(group, founding[group]);
    }
    return std::all_of(living.begin(), living.end(), [&](const auto& one) {
      const auto named = founding.find(one.first);
      return named != founding.end() &&
             (named->second <= DroppedOf(one.first) || named->second == one.second);
    });
  }
};

class Node {
 public:
  explicit Node(FuzzInput& input) : input_(input), layout_(MakeLayout(input)) {
    BASALT_CHECK(disk_.CreateDirectory("/shards").ok() && disk_.SyncDirectory("/").ok());
    MustBegin();
  }

  void Live() {
    for (int turns = 0; turns < 12 && !input_.empty(); ++turns) {
      switch (input_.Below(6)) {
        case 0:
        case 1:
          Make();
          break;
        case 2:
          Remove();
          break;
        case 3:
          TakePart();
          break;
        case 4:
          LeaveFolder();
          break;
        default:
          MustBegin();
      }
    }
  }

  // What no death of the process leaves.
  void Doubt() {
    switch (input_.Below(4)) {
      case 0:
        return OtherLayout();
      case 1:
        return LostLog();
      case 2:
        return MachineBehindLog();
      default:
        return UnknownStore();
    }
  }

 private:
  absl::Status Begin(const v1::ClusterMap& layout) {
    replicas_.clear();
    set_.reset();
    log_.reset();
    base::Random random(input_.U8());
    input_.Flag() ? disk_.CutPower(random) : disk_.Kill();
    set_ = std::make_unique<ReplicaSet>(
        kSelf, "/shards", "/log",
        ReplicaSet::Ports{disk_, engines_, [](uint64_t) {
                            return std::make_unique<ShardCommands>(ShardCommandsOptions{});
                          }});
    storage::RaftLogOptions options;
    options.identity_for_new_log = 7;
    options.segment_bytes = 8u << 10;
    BASALT_ASSIGN_OR_RETURN(log_, storage::RaftLog::Open(disk_, "/log", options));
    BASALT_RETURN_IF_ERROR(set_->Found(*log_, layout));
    BASALT_ASSIGN_OR_RETURN(replicas_, set_->OpenAll(*log_, layout));
    return absl::OkStatus();
  }

  void MustBegin() {
    BASALT_CHECK(known_.Start(layout_));
    const absl::Status begun = Begin(layout_);
    BASALT_CHECK_MSG(begun.ok(), base::Message(begun));
    CheckFound();
  }

  void MustRefuse(const v1::ClusterMap& layout) {
    const absl::Status begun = Begin(layout);
    BASALT_CHECK_MSG(begun.code() == absl::StatusCode::kDataLoss, base::Message(begun));
  }

  void CheckFound() {
    BASALT_CHECK(replicas_.size() == known_.living.size());
    for (const OpenedReplica& replica : replicas_) CheckOpened(replica);
    CheckRemoved();
  }

  void CheckRemoved() {
    for (const auto& [group, replica] : known_.dropped) {
      BASALT_CHECK(!*disk_.Exists(FolderOf(group, replica)));
    }
  }

  void CheckOpened(const OpenedReplica& replica) {
    BASALT_CHECK(known_.living.at(replica.group) == replica.self);
    BASALT_CHECK(*storage::ReplicaStore::Exists(disk_, FolderOf(replica.group, replica.self)));
    const v1::ShardDescriptor& shard = ShardOf(replica.group);
    const bool founding = FoundingReplica(shard) == replica.self;
    const raft::Configuration expected =
        founding ? FoundingConfiguration(shard) : raft::Configuration{};
    BASALT_CHECK(replica.recovered.base.configuration == expected);
    BASALT_CHECK(replica.machine->applied().configuration == expected);
    BASALT_CHECK(replica.founds == (founding && !known_.took_part.contains(replica.group) &&
                                    shard.replicas(0).node_id() == kSelf.value()));
  }

  const v1::ShardDescriptor& ShardOf(GroupId group) const {
    return *std::find_if(layout_.shards().begin(), layout_.shards().end(),
                         [&](const auto& shard) { return shard.shard_id() == group.value(); });
  }
  const v1::ShardDescriptor& SomeShard() {
    return layout_.shards(
        static_cast<int>(input_.Below(static_cast<uint64_t>(layout_.shards_size()))));
  }

  void Make() {
    const v1::ShardDescriptor& shard = SomeShard();
    const GroupId group(shard.shard_id());
    const ReplicaId replica(1 + input_.Below(60));
    if (IsAnothers(shard, replica)) return;
    const absl::Status may = ReplicaSet::MayMake(*log_, group, replica);
    BASALT_CHECK(may.ok() == (!known_.living.contains(group) && replica > known_.DroppedOf(group)));
    BASALT_CHECK(may.ok() || may.code() == absl::StatusCode::kFailedPrecondition);
    if (!may.ok()) return;
    const storage::NewGroup made{group, replica, raft::LogBase{}};
    BASALT_CHECK(log_->CreateGroups({&made, 1}).ok());
    known_.living[group] = replica;
    if (input_.OneIn(4)) return MustBegin();
    auto opened = set_->Open(*log_, group, shard);
    BASALT_CHECK(opened.ok());
    CheckOpened(*opened);
    replicas_.push_back(*std::move(opened));
  }

  void Remove() {
    if (known_.living.empty()) return;
    const std::pair<GroupId, ReplicaId> chosen = SomeLiving();
    const GroupId group = chosen.first;
    const ReplicaId replica = chosen.second;
    BASALT_CHECK(log_->DropGroup(group, replica).ok());
    known_.living.erase(group);
    known_.took_part.erase(group);
    known_.dropped[group] = replica;
    if (input_.OneIn(3)) return MustBegin();
    std::erase_if(replicas_, [&](const OpenedReplica& open) { return open.group == group; });
    BASALT_CHECK(set_->RemoveFiles(group, replica).ok());
    CheckRemoved();
  }

  std::pair<GroupId, ReplicaId> SomeLiving() {
    return *std::next(known_.living.begin(),
                      static_cast<ptrdiff_t>(input_.Below(known_.living.size())));
  }

  void TakePart() {
    if (known_.living.empty()) return;
    const auto [group, replica] = SomeLiving();
    raft::LogWrite write{group, replica, {}};
    write.persist.hard_state = raft::HardState{raft::Term(1 + input_.Below(9)), replica};
    BASALT_CHECK(log_->Commit(std::vector{write}).ok());
    known_.took_part.insert(group);
  }

  // Of no store: what an interrupted making leaves, or somebody who looked around.
  void LeaveFolder() {
    std::string name = fmt::format("{}-{}", input_.Number(), input_.Number());
    if (input_.OneIn(3)) name = input_.Damaged(name);
    if (input_.OneIn(8)) name = input_.Text(8);
    if (name.find_first_of(std::string("/.\0", 3)) != std::string::npos || name.empty()) return;
    const std::string path = "/shards/" + name;
    if (*disk_.Exists(path)) return;
    BASALT_CHECK(disk_.CreateDirectory(path).ok());
    if (input_.Flag()) BASALT_CHECK(disk_.CreateDirectory(path + "/1").ok());
    if (input_.Flag()) BASALT_CHECK(disk_.SyncDirectory("/shards").ok());
  }

  void OtherLayout() {
    const v1::ClusterMap other = MakeLayout(input_);
    if (!known_.Start(other)) return MustRefuse(other);
    const absl::Status begun = Begin(other);
    BASALT_CHECK_MSG(begun.ok(), base::Message(begun));
    BASALT_CHECK(replicas_.size() == known_.living.size());
  }

  // Whatever lived here may have voted.
  void LostLog() {
    BASALT_CHECK(disk_.RemoveTree("/log").ok() && disk_.SyncDirectory("/").ok());
    if (!known_.living.empty()) return MustRefuse(layout_);
    known_ = {};
    MustBegin();
  }

  void MachineBehindLog() {
    if (known_.living.empty()) return;
    const auto [group, replica] = SomeLiving();
    raft::LogWrite write{group, replica, {}};
    write.persist.base = raft::LogBase{raft::LogIndex(1 + input_.Below(9)), raft::Term(1),
                                       FoundingConfiguration(ShardOf(group))};
    BASALT_CHECK(log_->Commit(std::vector{write}).ok());
    MustRefuse(layout_);
  }

  void UnknownStore() {
    const GroupId group(input_.Below(4));
    const ReplicaId replica(1 + input_.Below(60));
    const std::string path = FolderOf(group, replica);
    if (*disk_.Exists(path)) return;
    const auto store = storage::ReplicaStore::Create({disk_, engines_}, path, {}, {});
    BASALT_CHECK(store.ok());
    if (replica > known_.DroppedOf(group)) return MustRefuse(layout_);
    MustBegin();
    BASALT_CHECK(!*disk_.Exists(path));
  }

  FuzzInput& input_;
  testing::FakeFileSystem disk_;
  storage::MemoryEngineFactory engines_{disk_, {.flush_every_bytes = 1u << 20}};
  const v1::ClusterMap layout_;
  Known known_;
  std::unique_ptr<ReplicaSet> set_;
  std::unique_ptr<storage::RaftLog> log_;
  std::vector<OpenedReplica> replicas_;
};

void Fuzz(FuzzInput& input) {
  Node node(input);
  node.Live();
  node.Doubt();
}

}  // namespace
}  // namespace basalt::server

void basalt::fuzz::FuzzOne(FuzzInput input) { server::Fuzz(input); }
