#include "tests/cluster/virtual_cluster.h"

#include "base/check.h"
#include "base/status.h"
#include "check/acknowledged.h"
#include "check/linearizability.h"
#include "check/version_order.h"
#include "server/node/cluster_view.h"
#include "server/placement/initial_layout.h"

namespace basalt::testing {
namespace {

// Data shards only: what the meta shard replicates is not under test here.
v1::ClusterMap MakeLayout(const VirtualClusterOptions& options) {
  std::vector<uint64_t> node_ids;
  for (uint64_t id = 1; id <= options.nodes; ++id) node_ids.push_back(id);
  v1::ClusterMap map;
  for (const server::PlannedShard& planned :
       server::PlanInitialLayout(node_ids, options.shards, 3)) {
    if (planned.shard_id == 0) continue;
    v1::ShardDescriptor& shard = *map.add_shards();
    shard.set_shard_id(planned.shard_id);
    shard.set_epoch(1);
    shard.set_first_slot(planned.first_slot);
    shard.set_slot_count(planned.slot_count);
    for (const server::PlannedReplica& replica : planned.replicas) {
      v1::Replica& added = *shard.add_replicas();
      added.set_replica_id(replica.replica_id);
      added.set_node_id(replica.node_id);
    }
  }
  return map;
}

}  // namespace

VirtualCluster::VirtualCluster(const VirtualClusterOptions& options)
    : options_(options),
      random_(options.seed),
      network_(time_, base::Random(random_.Next())),
      layout_(MakeLayout(options)),
      clients_({time_, network_, *this, [this](std::string what) { Violation(std::move(what)); }},
               *server::BuildRoutingTable(layout_), options.nodes, base::Random(random_.Next())) {
  network_.faults = options.faults;
  for (uint64_t id = 1; id <= options_.nodes; ++id) {
    nodes_[id].disk = std::make_unique<FakeFileSystem>();
    Start(id);
  }
  clients_.Start(options_.clients, options_.keys);
}

VirtualCluster::~VirtualCluster() = default;

void VirtualCluster::RunFor(server::MonotonicTime duration) {
  const server::MonotonicTime until = time_.Now() + duration;
  while (time_.Now() < until) BASALT_CHECK(time_.RunNext());
}

void VirtualCluster::RunEvents(uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) BASALT_CHECK(time_.RunNext());
}

bool VirtualCluster::RunUntil(server::MonotonicTime limit, const std::function<bool()>& condition) {
  const server::MonotonicTime until = time_.Now() + limit;
  while (time_.Now() < until) {
    if (condition()) return true;
    RunFor(milliseconds(20));
  }
  return condition();
}

void VirtualCluster::Start(uint64_t id) {
  Node& node = nodes_.at(id);
  if (node.process != nullptr) return;
  node.life = next_life_++;
  node.forgetful = std::make_unique<NoSyncFileSystem>(*node.disk);
  storage::FileSystem* seen = node.disk.get();
  if (!options_.disks_sync) seen = node.forgetful.get();
  node.view = std::make_unique<DyingDisk>(*node.disk, *seen);
  ProcessOptions options = options_.process;
  options.node = id;
  options.life = node.life;
  options.seed = random_.Next();
  node.process = std::make_unique<VirtualProcess>(
      options,
      VirtualProcess::Ports{
          time_, network_, *node.view, *this, *this,
          [this, id, life = node.life](server::MonotonicTime delay, VirtualTime::Event event) {
            time_.After(delay, [this, id, life, event = std::move(event)] {
              Visit(id, life, [event](VirtualProcess&) { event(); });
            });
          }});
  const absl::Status started = node.process->Start(layout_);
  if (!started.ok()) {
    Violation("node " + std::to_string(id) + " does not start: " + base::Message(started));
    node.process = nullptr;
  }
}

bool VirtualCluster::Visit(uint64_t id, uint64_t life,
                           const std::function<void(VirtualProcess&)>& visit) {
  Node& node = nodes_.at(id);
  if (node.process == nullptr || (life != 0 && node.life != life)) return false;
  if (time_.Now() < node.paused_until) {
    time_.After(node.paused_until - time_.Now(),
                [this, id, life = node.life, visit] { Visit(id, life, visit); });
    return true;
  }
  visit(*node.process);
  if (!node.view->dead()) return true;
  Note("deaths in the midst of a change to the disk");
  std::unique_ptr<FakeFileSystem> left_behind = node.view->TakeLeftBehind();
  node.process = nullptr;
  node.disk = std::move(left_behind);
  Bury(node, node.planned_death);
  return true;
}

void VirtualCluster::Bury(Node& node, Death death) {
  node.process = nullptr;
  if (death == Death::kPower) {
    Note("power cuts");
    node.disk->CutPower(random_);
  } else {
    Note("kills");
    node.disk->Kill();
  }
}

void VirtualCluster::Die(uint64_t id, Death death) {
  Node& node = nodes_.at(id);
  // The power may go after the process did: the page cache had outlived it.
  if (node.process != nullptr || death == Death::kPower) Bury(node, death);
}

void VirtualCluster::DieInside(uint64_t id, Death death, uint64_t operations) {
  Node& node = nodes_.at(id);
  if (node.process == nullptr) return;
  node.planned_death = death;
  node.view->DieAt(operations);
}

void VirtualCluster::Pause(uint64_t id, server::MonotonicTime duration) {
  nodes_.at(id).paused_until = time_.Now() + duration;
  Note("pauses");
}

uint64_t VirtualCluster::LeaderOf(uint64_t shard_id) {
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) continue;
    for (const server::GroupState& state : node.process->States()) {
      if (state.group.value() == shard_id && state.core.leadership.role == raft::Role::kLeader) {
        return id;
      }
    }
  }
  return 0;
}

void VirtualCluster::OnLeads(uint64_t node, raft::GroupId group, raft::Term term) {
  const auto [place, is_new] = leaders_.try_emplace({group.value(), term.value()}, node);
  if (is_new) Note("leaders");
  if (place->second != node) {
    Violation("two leaders of shard " + std::to_string(group.value()) + " in term " +
              std::to_string(term.value()));
  }
}

void VirtualCluster::OnApplied(uint64_t node, const server::AppliedState& state) {
  const auto [place, is_new] =
      hashes_.try_emplace({state.group.value(), state.index.value()}, state.hash);
  if (!is_new) Note("applied hashes compared");
  if (place->second != state.hash) {
    Violation("node " + std::to_string(node) + " differs in shard " +
              std::to_string(state.group.value()) + " at entry " +
              std::to_string(state.index.value()));
  }
}

void VirtualCluster::OnInstalled(uint64_t) { Note("checkpoints installed"); }

bool VirtualCluster::AllWrittenSince(server::MonotonicTime since) {
  for (const v1::ShardDescriptor& shard : layout_.shards()) {
    if (clients_.NewestWrite(shard.shard_id()) < since) return false;
  }
  return true;
}

bool VirtualCluster::AllEqual() {
  std::map<raft::GroupId, std::pair<raft::LogIndex, uint64_t>> first;
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) return false;
    for (const server::GroupState& state : node.process->States()) {
      const server::ReplicaStateMachine& machine = node.process->machine(state.group);
      if (state.core.last != machine.applied().index) return false;
      const std::pair here(machine.applied().index, machine.applied_hash());
      if (first.try_emplace(state.group, here).first->second != here) return false;
    }
  }
  return true;
}

check::StoredVersions VirtualCluster::Store(uint64_t id) {
  check::StoredVersions stored;
  for (const v1::ShardDescriptor& shard : layout_.shards()) {
    server::ReplicaStateMachine& machine =
        nodes_.at(id).process->machine(raft::GroupId(shard.shard_id()));
    const auto scan = server::StoredScan::Open(machine.store().engine());
    BASALT_CHECK(scan.ok());
    for (;;) {
      const auto rows = (*scan)->Next(1u << 20);
      BASALT_CHECK(rows.ok());
      if (rows->empty()) break;
      for (const server::StoredScan::Row& row : *rows) {
        std::optional<std::string> value;
        if (row.kind == storage::VersionKind::kValue) value = row.value;
        stored[row.key][row.stamp] = std::move(value);
      }
    }
  }
  return stored;
}

void VirtualCluster::CompareReplicas() {
  const check::StoredVersions first = Store(1);
  for (uint64_t id = 2; id <= options_.nodes; ++id) {
    if (Store(id) != first) Violation("node " + std::to_string(id) + " stores other contents");
  }
  JudgeHistory(first);
}

void VirtualCluster::JudgeHistory(const check::StoredVersions& stored) {
  const check::History& history = clients_.history();
  for (const auto& violations : {check::FindVersionOrderViolations(history, &stored),
                                 check::FindStoredViolations(history, stored),
                                 check::Describe(check::CheckLinearizability(history))}) {
    for (const std::string& violation : violations) Violation(violation);
  }
  for (const check::Operation& operation : history) {
    if (!operation.writes()) {
      Note(operation.applied() ? "reads served" : "reads not served");
    } else if (operation.applied()) {
      Note("writes acknowledged");
    } else {
      Note(operation.refused() ? "writes refused" : "writes unknown");
    }
  }
}

RunReport VirtualCluster::Finish() {
  network_.Heal();
  network_.faults = {};
  for (auto& [id, node] : nodes_) {
    if (node.view != nullptr) node.view->DieAt(0);
    node.paused_until = {};
    Start(id);
  }
  if (!report_.violations.empty()) return report_;
  const server::MonotonicTime healed = time_.Now();
  if (!RunUntil(seconds(10), [&] { return AllWrittenSince(healed); })) {
    Violation("no writes within ten seconds of healing");
    return report_;
  }
  clients_.Stop();
  RunFor(seconds(3));
  if (!RunUntil(seconds(10), [&] { return AllEqual(); })) Violation("replicas do not get equal");
  CompareReplicas();
  report_.reached["entries replaced by another leader's"] += clients_.replaced();
  report_.reached["messages lost"] += network_.lost();
  report_.reached["events"] += time_.events_run();
  return report_;
}

}  // namespace basalt::testing
