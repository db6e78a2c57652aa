#include "tests/simulator/virtual_cluster.h"

#include <algorithm>

#include "base/check.h"
#include "base/status.h"
#include "check/acknowledged.h"
#include "check/conditional_writes.h"
#include "check/counters.h"
#include "check/linearizability.h"
#include "check/requests.h"
#include "check/snapshots.h"
#include "check/version_order.h"
#include "server/placement/initial_layout.h"
#include "tests/simulator/txn_judge.h"

namespace basalt::testing {
namespace {

constexpr milliseconds kStatesEvery{200};
constexpr uint64_t kAllOfItsLog = uint64_t{1} << 40;
constexpr uint64_t kTransactionDraws = 77;

// Data shards only: what the meta shard replicates is not under test here.
v1::ClusterMap MakeLayout(const VirtualClusterOptions& options) {
  std::vector<uint64_t> node_ids;
  for (uint64_t id = 1; id <= options.nodes; ++id) node_ids.push_back(id);
  v1::ClusterMap map;
  map.set_cluster_id("a virtual cluster");
  for (const uint64_t id : node_ids) {
    v1::NodeDescriptor& node = *map.add_nodes();
    node.set_node_id(id);
    node.set_client_address("node-" + std::to_string(id));
  }
  for (const server::PlannedShard& planned :
       server::PlanInitialLayout(node_ids, options.shards, options.replicas)) {
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

struct WrittenSector {
  std::string path;
  uint64_t offset = 0;
  std::string bytes;
};

std::vector<WrittenSector> UnsyncedOfLog(FakeFileSystem& disk) {
  std::vector<WrittenSector> written;
  for (const UnsyncedSector& sector : disk.UnsyncedSectors()) {
    const uint64_t offset = sector.sector * kFakeSectorBytes;
    if (!sector.path.starts_with(kLogDirectory) || !disk.HasByte(sector.path, offset)) continue;
    written.push_back(
        {sector.path, offset, disk.Contents(sector.path).substr(offset, kFakeSectorBytes)});
  }
  return written;
}

// Sectors of files that kept their names; zeros say nothing.
bool HasLost(FakeFileSystem& disk, const std::vector<WrittenSector>& written) {
  return std::any_of(written.begin(), written.end(), [&disk](const WrittenSector& sector) {
    if (!disk.Exists(sector.path).value_or(false)) return false;
    if (sector.bytes.find_first_not_of('\0') == std::string::npos) return false;
    return !disk.HasByte(sector.path, sector.offset) ||
           disk.Contents(sector.path).compare(sector.offset, sector.bytes.size(), sector.bytes) !=
               0;
  });
}

std::string_view NameOfDeath(absl::StatusCode failure, bool of_log) {
  switch (failure) {
    case absl::StatusCode::kOk:
      return "deaths in the midst of a change to the disk";
    case absl::StatusCode::kResourceExhausted:
      return "ended because the disk was full";
    case absl::StatusCode::kDataLoss:
      return "ended because what it had logged was damaged";
    default:
      return of_log ? "ended because a sync of the log failed"
                    : "ended because a sync of a state machine failed";
  }
}

}  // namespace

VirtualCluster::VirtualCluster(const VirtualClusterOptions& options)
    : options_(options),
      time_(trace_),
      random_(options.seed),
      breaks_(~options.seed),
      network_(time_, base::Random(random_.Next())),
      elections_(findings_),
      logs_(findings_),
      states_(findings_),
      layout_(MakeLayout(options)),
      txn_marks_(findings_, time_, *server::BuildRoutingTable(layout_)),
      versions_(
          findings_, time_, [this](uint64_t own_ms) { return ShortestRetention(own_ms); },
          *server::BuildRoutingTable(layout_), txn_marks_),
      marks_(findings_),
      membership_marks_(findings_),
      leases_(findings_, time_),
      figure_8_(network_),
      members_(*this, layout_),
      workload_(options.workload, {time_, network_, *this, findings_},
                *server::BuildRoutingTable(layout_), options.nodes, base::Random(random_.Next())),
      // Apart, so that without such a load no other draw changes.
      transactions_(options.transactions,
                    {{time_, network_, *this, findings_},
                     [this](const std::string& key, uint64_t version) {
                       return versions_.HasVersion(key, version);
                     }},
                    *server::BuildRoutingTable(layout_), kFirstClient + options.workload.clients,
                    options.nodes, base::Random(Mix(options.seed, kTransactionDraws))) {
  trace_.WriteTo(options.trace);
  trace_.ShowIn(options.trace_hash);
  watchers_.Add(elections_);
  watchers_.Add(logs_.watcher());
  watchers_.Add(states_);
  watchers_.Add(versions_);
  watchers_.Add(txn_marks_);
  watchers_.Add(marks_);
  watchers_.Add(membership_marks_);
  watchers_.Add(leases_);
  watchers_.Add(trap_);
  watchers_.Add(figure_8_);
  network_.faults = options.faults;
  for (uint64_t id = 1; id <= options_.nodes; ++id) {
    Node& node = nodes_[id];
    node.disk = std::make_unique<FakeFileSystem>();
    const uint64_t rate = DrawRate();
    const auto error = static_cast<uint64_t>(options_.wall_error_max.count());
    const auto wall_error = static_cast<int64_t>(random_.Below(2 * error + 1));
    node.clock = std::make_unique<NodeClock>(time_, rate,
                                             milliseconds(wall_error) - options_.wall_error_max);
    Start(id);
  }
  workload_.Start();
  transactions_.Start();
  time_.After(kStatesEvery, [this] { AskStates(); });
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

void VirtualCluster::After(uint64_t id, uint64_t life, server::MonotonicTime delay,
                           VirtualTime::Event event) {
  const server::MonotonicTime span = nodes_.at(id).clock->TrueSpan(delay);
  time_.After(span, [this, id, life, event = std::move(event)]() mutable {
    Visit(id, life, [event = std::move(event)](VirtualProcess&) mutable { event(); });
  });
}

VirtualProcess::Ports VirtualCluster::PortsOf(uint64_t id, Node& node) {
  return {time_,
          network_,
          *node.view,
          *node.clock,
          *this,
          watchers_,
          findings_,
          [this, id, life = node.life](server::MonotonicTime delay, VirtualTime::Event event) {
            After(id, life, delay, std::move(event));
          },
          node.disk_speed};
}

bool VirtualCluster::Start(uint64_t id) {
  Node& node = nodes_.at(id);
  if (node.process != nullptr) return false;
  node.life = next_life_++;
  node.forgetful = std::make_unique<NoSyncFileSystem>(*node.disk);
  storage::FileSystem* seen = node.disk.get();
  if (!options_.disks_sync) seen = node.forgetful.get();
  node.view = std::make_unique<DyingDisk>(*node.disk, *seen, time_, node.tail, id);
  ProcessOptions options = options_.process;
  options.node = id;
  options.life = node.life;
  options.seed = random_.Next();
  options.has_log = node.has_log;
  if (id == options_.hoarder) options.retained_log_bytes = kAllOfItsLog;
  if (!options_.leader_priorities.empty()) {
    options.leader_priority = options_.leader_priorities[id - 1];
  }
  trace_.Add(time_.Now(), TraceKind::kStart, id, node.life);
  node.process = std::make_unique<VirtualProcess>(options, PortsOf(id, node));
  const absl::Status started = node.process->Start(layout_, members_.map());
  if (node.view->dead()) {
    BuryDead(id, node);
    return false;
  }
  if (started.ok()) {
    node.has_log = true;
    return true;
  }
  node.process = nullptr;
  node.disk->Kill();
  if (started.code() == absl::StatusCode::kResourceExhausted) {
    findings_.Mark("does not start because the disk is full");
  } else if (started.code() == absl::StatusCode::kDataLoss && node.flip) {
    findings_.Mark(node.flip->path.starts_with(kLogDirectory)
                       ? "a flipped bit of the log was refused"
                       : "a flipped bit of a state machine was refused");
    UndoFlip(node);
  } else {
    findings_.Violation("node " + std::to_string(id) +
                        " does not start: " + base::Message(started));
  }
  return false;
}

bool VirtualCluster::Visit(uint64_t id, uint64_t life,
                           absl::AnyInvocable<void(VirtualProcess&)> visit) {
  Node& node = nodes_.at(id);
  if (node.process == nullptr || (life != 0 && node.life != life)) return false;
  if (time_.Now() < node.paused_until) {
    node.held.push_back({node.life, std::move(visit)});
    return true;
  }
  visit(*node.process);
  if (node.view->dead()) {
    BuryDead(id, node);
  } else if (node.process->stopped()) {
    Bury(id, node, Death::kStop);
  }
  return true;
}

void VirtualCluster::EndLife(uint64_t id, Node& node) {
  if (!node.process->changing().empty()) findings_.Mark(node.process->changing());
  for (const server::GroupState& state : node.process->States()) watchers_.OnDying(id, state);
  watchers_.OnDied(id);
  node.process = nullptr;
}

void VirtualCluster::BuryDead(uint64_t id, Node& node) {
  const absl::StatusCode failure = node.view->failure().code();
  findings_.Mark(NameOfDeath(failure, node.view->failed_log()));
  if (!WasCaused(failure, node)) {
    findings_.Violation(
        "node " + std::to_string(id) +
        " ended itself, and its disk had not failed: " + base::Message(node.view->failure()));
  }
  std::unique_ptr<FakeFileSystem> left_behind = node.view->TakeLeftBehind();
  EndLife(id, node);
  node.disk = std::move(left_behind);
  Bury(id, node, failure == absl::StatusCode::kOk ? node.planned_death : Death::kProcess);
}

bool VirtualCluster::WasCaused(absl::StatusCode failure, const Node& node) {
  switch (failure) {
    case absl::StatusCode::kOk:
      return true;  // planned
    case absl::StatusCode::kResourceExhausted:
      return node.view->was_full();
    case absl::StatusCode::kDataLoss:
      return node.flip.has_value();
    case absl::StatusCode::kInternal:
      return node.view->failed();
    default:
      return false;
  }
}

void VirtualCluster::Bury(uint64_t id, Node& node, Death death) {
  if (node.process != nullptr) EndLife(id, node);
  trace_.Add(time_.Now(), TraceKind::kDeath, id, node.life);
  if (death == Death::kPower) {
    findings_.Mark("power cuts");
    const std::vector<WrittenSector> written = UnsyncedOfLog(*node.disk);
    node.disk->CutPower(random_);
    if (HasLost(*node.disk, written))
      findings_.Mark("power cuts that tore or lost writes of the log");
    node.clock->Boot(milliseconds(random_.Between(1'000, 60'000)));
    findings_.Mark("a machine's monotonic clock began anew");
  } else {
    findings_.Mark(death == Death::kStop ? "clean stops" : "kills");
    node.disk->Kill();
    workload_.OnProcessEnded(id);
    transactions_.OnProcessEnded(id);
  }
  for (const auto& [other, unused] : nodes_) {
    if (other != id) MayTellLinkLost(other, id);
  }
}

void VirtualCluster::Die(uint64_t id, Death death) {
  Node& node = nodes_.at(id);
  // The power may go after the process did: the page cache had outlived it.
  if (node.process != nullptr || death == Death::kPower) Bury(id, node, death);
}

void VirtualCluster::Stop(uint64_t id) {
  Visit(id, 0, [](VirtualProcess& process) { process.Stop(); });
}

void VirtualCluster::MayTellLinkLost(uint64_t to, uint64_t peer) {
  const uint64_t dice = breaks_.Below(4);
  if (dice == 0) return;
  const uint64_t late_max_us = dice == 1 ? 4'000'000 : 10'000;
  time_.After(microseconds(breaks_.Between(50, late_max_us)), [this, to, peer] {
    const bool told = Visit(to, 0, [peer](VirtualProcess& process) {
      process.Put(server::GroupEvent(server::LinkLost{raft::NodeId(peer)}));
    });
    if (told) findings_.Mark("a node was told that a connection broke");
  });
}

void VirtualCluster::BreakConnection(uint64_t a, uint64_t b) {
  MayTellLinkLost(a, b);
  MayTellLinkLost(b, a);
}

void VirtualCluster::HoldGroups(uint64_t id, server::MonotonicTime duration) {
  // A process that stands still is held from when it goes on; and it waits by its own clock.
  Visit(id, 0, [this, id, duration](VirtualProcess& process) {
    Node& node = nodes_.at(id);
    const server::MonotonicTime longest =
        duration * NodeClock::kExact / static_cast<int64_t>(SlowestRate());
    node.held_until = std::max(node.held_until, time_.Now() + longest);
    process.HoldGroups(duration);
  });
}

void VirtualCluster::DieInside(uint64_t id, Death death, uint64_t operations) {
  Node& node = nodes_.at(id);
  if (node.process == nullptr) return;
  node.planned_death = death;
  node.view->DieAt(operations);
}

void VirtualCluster::DieAtMoment(uint64_t id, DeadlyMoment moment, Death death,
                                 uint64_t operations) {
  trap_.Set(id, moment, [this, id, death, operations] { DieInside(id, death, operations); });
}

void VirtualCluster::Pause(uint64_t id, server::MonotonicTime duration) {
  Node& node = nodes_.at(id);
  node.paused_until = std::max(node.paused_until, time_.Now() + duration);
  findings_.Mark("pauses");
  if (marks_.Leads(id)) findings_.Mark("a leader was paused");
  time_.At(node.paused_until, [this, id] { Resume(id); });
}

void VirtualCluster::PauseAtLeaseCheck(uint64_t id, server::MonotonicTime duration) {
  trap_.Set(id, DeadlyMoment::kLeaseCheck, [this, id, duration] {
    findings_.Mark("a leader was paused between its lease check and its reply");
    Pause(id, duration);
  });
}

void VirtualCluster::Resume(uint64_t id) {
  Node& node = nodes_.at(id);
  if (time_.Now() < node.paused_until) return;
  for (const v1::ShardDescriptor& shard : layout_.shards()) {
    if (marks_.IsDeposed(id, raft::GroupId(shard.shard_id()))) {
      findings_.Mark("a leader woke up that had a successor");
    }
  }
  for (Held& held : std::exchange(node.held, {})) Visit(id, held.life, std::move(held.visit));
}

void VirtualCluster::StallDisk(uint64_t id, server::MonotonicTime duration) {
  nodes_.at(id).disk_speed.stalled_until = time_.Now() + duration;
}

void VirtualCluster::FailSync(uint64_t id, bool of_log) {
  Node& node = nodes_.at(id);
  if (node.process != nullptr) node.view->FailSyncOf(of_log ? kLogDirectory : kShardsDirectory);
}

void VirtualCluster::SetFreeBytes(uint64_t id, uint64_t bytes) {
  nodes_.at(id).disk->SetFreeBytes(bytes);
}

void VirtualCluster::FlipBit(uint64_t id) {
  Node& node = nodes_.at(id);
  if (node.flip) return;
  Die(id, Death::kProcess);
  std::vector<std::string> paths;
  for (const std::string& path : node.disk->DurableFiles()) {
    if (path.starts_with(kLogDirectory) || path.starts_with(kShardsDirectory)) {
      paths.push_back(path);
    }
  }
  if (paths.empty()) return;
  const std::string path = paths[random_.Below(paths.size())];
  const uint64_t size = node.disk->Contents(path).size();
  if (size == 0) return;
  const uint64_t bit = random_.Below(size * 8);
  if (node.tail.Touches(path, bit / 8)) return;
  findings_.Mark("flipped bits");
  node.flip = Flip{path, bit};
  node.disk->FlipBit(path, bit);
}

// Its owner restores what lay there; the process that refused it has changed nothing.
void VirtualCluster::UndoFlip(Node& node) {
  const Flip flip = *std::exchange(node.flip, std::nullopt);
  BASALT_CHECK(node.disk->HasByte(flip.path, flip.bit / 8));
  node.disk->FlipBit(flip.path, flip.bit);
}

uint64_t VirtualCluster::LeaderOf(uint64_t shard_id) {
  uint64_t leader = 0;
  raft::Term term;
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) continue;
    for (const server::GroupState& state : node.process->States()) {
      if (state.group.value() == shard_id && state.core.leadership.role == raft::Role::kLeader &&
          state.core.leadership.term > term) {
        leader = id;
        term = state.core.leadership.term;
      }
    }
  }
  return leader;
}

std::optional<raft::CoreStatus> VirtualCluster::StatusOf(uint64_t id, uint64_t shard_id) {
  const auto node = nodes_.find(id);
  if (node == nodes_.end() || node->second.process == nullptr) return std::nullopt;
  for (server::GroupState& state : node->second.process->States()) {
    if (state.group.value() == shard_id) return std::move(state.core);
  }
  return std::nullopt;
}

std::optional<raft::ReplicaId> VirtualCluster::ReplicaOf(uint64_t id, uint64_t shard_id) const {
  const Node& node = nodes_.at(id);
  if (node.process == nullptr) return std::nullopt;
  return node.process->ReplicaOf(raft::GroupId(shard_id));
}

// The slowest and the fastest are as far apart as the bound allows, and often just that.
uint64_t VirtualCluster::SlowestRate() const {
  return NodeClock::kExact * 1000 / (1000 + 5 * options_.drift_percent);
}

uint64_t VirtualCluster::FastestRate() const {
  return SlowestRate() + SlowestRate() * options_.drift_percent / 100;
}

server::MonotonicTime VirtualCluster::ShortestRetention(uint64_t own_ms) const {
  const server::VersionRetention::Limits& limits = options_.process.versions;
  if (limits.bytes_max != 0) return {};
  // A clock may begin to run faster in the midst of it, not faster than this.
  const server::MonotonicTime retention =
      own_ms != 0 ? server::MonotonicTime(milliseconds(own_ms)) : limits.retention;
  return retention * NodeClock::kExact / static_cast<int64_t>(FastestRate()) - milliseconds(1);
}

uint64_t VirtualCluster::DrawRate() {
  const uint64_t dice = random_.Below(4);
  if (dice == 0) return SlowestRate();
  if (dice == 1) return FastestRate();
  return SlowestRate() + random_.Below(FastestRate() - SlowestRate() + 1);
}

void VirtualCluster::AskStates() {
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) continue;
    for (const server::GroupState& state : node.process->States()) watchers_.OnState(id, state);
  }
  time_.After(kStatesEvery, [this] { AskStates(); });
}

bool VirtualCluster::AllWritten(server::MonotonicTime healed) {
  std::map<uint64_t, server::MonotonicTime> newest_writes;
  for (const v1::ShardDescriptor& shard : layout_.shards()) {
    newest_writes[shard.shard_id()] = workload_.NewestWrite(shard.shard_id());
  }
  return AllWrittenSince(healed, newest_writes);
}

// If there is anybody who does.
bool VirtualCluster::AllTransacted(server::MonotonicTime healed) {
  return options_.transactions.clients == 0 || transactions_.newest_commit() >= healed;
}

bool VirtualCluster::AllEqual() {
  std::vector<ReplicaProgress> replicas;
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) return false;
    for (const server::GroupState& state : node.process->States()) {
      const server::ReplicaStateMachine& machine = node.process->machine(state.group);
      replicas.push_back(
          {state.group, state.core.last, machine.applied().index, machine.applied_hash()});
    }
  }
  return AreEqual(replicas);
}

// On all replicas that live: those that left their group, or never were of it, and learn no more
// how what they hold ended, have to be ended first.
bool VirtualCluster::AllEnded(bool settled) {
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) return false;
    for (const server::GroupState& state : node.process->States()) {
      const txn::ShardState& shard = node.process->machine(state.group).txn()->state();
      if (!shard.prepared.empty() || (settled && !shard.open.empty())) return false;
    }
  }
  return true;
}

bool VirtualCluster::IsLedByPriority() {
  std::vector<Electable> replicas;
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) return false;
    for (const server::GroupState& state : node.process->States()) {
      const raft::CoreStatus& core = state.core;
      const raft::Member* member =
          raft::FindMember(core.configuration, *ReplicaOf(id, state.group.value()));
      if (member == nullptr || member->role != raft::MemberRole::kVoter) continue;
      const bool leads = core.leadership.role == raft::Role::kLeader;
      replicas.push_back({state.group, core.priority, leads ? core.leadership.term : raft::Term()});
    }
  }
  return AreLedByPriority(replicas);
}

std::string VirtualCluster::Describe() {
  std::string text;
  for (auto& [id, node] : nodes_) {
    text += "; node " + std::to_string(id) + (node.process == nullptr ? " is down" : "");
    if (node.process == nullptr) continue;
    for (const server::GroupState& state : node.process->States()) {
      const raft::CoreStatus& core = state.core;
      text += " [group " + std::to_string(state.group.value()) + " role " +
              std::to_string(static_cast<int>(core.leadership.role)) + " priority " +
              std::to_string(core.priority) + " term " +
              std::to_string(core.hard_state.term.value()) + " log " +
              std::to_string(core.base.value()) + ".." + std::to_string(core.last.value()) +
              " durable " + std::to_string(core.durable.value()) + " commit " +
              std::to_string(core.commit.value()) + " applied " +
              std::to_string(core.applied.value()) + "]";
    }
  }
  return text;
}

check::StoredVersions VirtualCluster::Store(uint64_t shard_id, uint64_t id) {
  check::StoredVersions stored;
  server::ReplicaStateMachine& machine = nodes_.at(id).process->machine(raft::GroupId(shard_id));
  const auto scan = server::StoredScan::Open(machine.store().engine());
  BASALT_CHECK(scan.ok());
  for (;;) {
    const auto rows = (*scan)->Next(1u << 20);
    BASALT_CHECK(rows.ok());
    if (rows->empty()) return stored;
    for (const server::StoredScan::Row& row : *rows) {
      std::optional<std::string> value;
      if (row.kind == storage::VersionKind::kValue) value = row.value;
      stored[row.key][row.stamp] = std::move(value);
    }
  }
}

void VirtualCluster::CompareReplicas() {
  check::StoredVersions all;
  for (const v1::ShardDescriptor& shard : layout_.shards()) {
    const raft::GroupId group(shard.shard_id());
    const check::StoredVersions kept = versions_.Kept(group);
    for (uint64_t id = 1; id <= options_.nodes; ++id) {
      if (ReplicaOf(id, shard.shard_id()) == raft::ReplicaId(0)) continue;
      if (Store(shard.shard_id(), id) != kept) {
        findings_.Violation("node " + std::to_string(id) + " stores other contents of shard " +
                            std::to_string(shard.shard_id()));
      }
    }
    check::StoredVersions committed = versions_.All(group);
    all.merge(committed);
  }
  JudgeTransactions(all);
  JudgeHistory(std::move(all));
}

// Takes what transactions have written out of `stored`, but for the judge of all that a snapshot
// shows.
void VirtualCluster::JudgeTransactions(check::StoredVersions& stored) {
  for (const std::string& violation :
       check::FindSnapshotViolations(workload_.snapshots(), workload_.history(), stored)) {
    findings_.Violation(violation);
  }
  check::StoredVersions of_transactions;
  for (auto row = stored.begin(); row != stored.end();) {
    const auto next = std::next(row);
    if (row->first.starts_with(kTxnKeyPrefix)) of_transactions.insert(stored.extract(row));
    row = next;
  }
  if (options_.transactions.clients == 0) return;
  for (const std::string& violation :
       FindTransactionViolations(transactions_, of_transactions, time_.Now().count(), findings_)) {
    findings_.Violation(violation);
  }
}

void VirtualCluster::JudgeHistory(check::StoredVersions stored) {
  const check::History& history = workload_.history();
  CountUnknown(stored);
  const std::vector<std::string> of_counters =
      check::FindCounterViolations(workload_.increments(), stored);
  for (const std::string& violation : of_counters) findings_.Violation(violation);
  for (const std::string& violation : check::FindRequestViolations(workload_.requests(), stored)) {
    findings_.Violation(violation);
  }
  for (const std::string& violation :
       check::FindConditionalViolations(workload_.conditional(), stored)) {
    findings_.Violation(violation);
  }
  for (const check::NamedRequest& request : workload_.requests()) stored.erase(request.key);
  for (const check::ConditionalWrite& write : workload_.conditional()) stored.erase(write.key);
  for (const check::Increment& increment : workload_.increments()) stored.erase(increment.key);
  for (const auto& violations :
       {leases_.FindViolations(), check::FindVersionOrderViolations(history, &stored),
        check::FindStoredViolations(history, stored),
        check::Describe(check::CheckLinearizability(history))}) {
    for (const std::string& violation : violations) findings_.Violation(violation);
  }
}

// A node may end once more when it meets a flipped bit, and is refused once for it.
void VirtualCluster::StartAll() {
  for (auto& [id, node] : nodes_) {
    if (node.process == nullptr) Start(id);
  }
}

void VirtualCluster::Heal() {
  figure_8_.End(0);
  network_.Heal();
  network_.faults = {};
  trap_.Clear();
  for (auto& [id, node] : nodes_) {
    if (node.view != nullptr) node.view->Spare();
    if (node.process != nullptr) node.process->ReleaseGroups();
    node.paused_until = {};
    Resume(id);
    node.disk_speed = {};
    node.disk->SetFreeBytes(uint64_t{1} << 40);
  }
  StartAll();
}

Convergence VirtualCluster::Converge() {
  Convergence seen;
  const server::MonotonicTime healed = time_.Now();
  RunUntil(kConvergenceLimit, [&] {
    StartAll();
    members_.Follow();
    return AllWritten(healed) && AllTransacted(healed);
  });
  seen.all_written = AllWritten(healed);
  seen.all_transacted = AllTransacted(healed);
  if (!seen.all_written || !seen.all_transacted) return seen;
  workload_.Stop();
  transactions_.Stop();
  // A node ends what it holds by its own clock.
  milliseconds longest = options_.workload.timeout;
  if (options_.transactions.clients > 0) longest = std::max(longest, options_.transactions.timeout);
  RunFor(longest * NodeClock::kExact / static_cast<int64_t>(SlowestRate()) + milliseconds(500));
  if (options_.transactions.clients > 0) {
    seen.all_unlocked = RunUntil(kLocksLimit, [&] {
      StartAll();
      members_.Settle();
      return AllEnded(/*settled=*/false);
    });
    seen.all_settled = RunUntil(kSettledLimit, [&] {
      StartAll();
      members_.Settle();
      return AllEnded(/*settled=*/true);
    });
  }
  seen.all_equal = RunUntil(kConvergenceLimit, [&] {
    StartAll();
    return members_.Settle() && AllEqual();
  });
  if (!seen.all_equal) return seen;
  seen.open_calls = workload_.open_calls() + transactions_.open_calls();
  seen.unanswered_requests = workload_.CountUnanswered() + transactions_.CountUnanswered();
  seen.led_by_priority = RunUntil(kHandOverLimit, [&] {
    StartAll();
    return IsLedByPriority() && AllEqual();
  });
  return seen;
}

RunReport VirtualCluster::Finish() {
  Heal();
  if (!findings_.violations().empty()) return Report();
  const Convergence seen = Converge();
  const std::string nodes = seen.led_by_priority ? "" : Describe();
  for (const std::string& violation : FindViolations(seen)) findings_.Violation(violation + nodes);
  if (seen.all_equal) CompareReplicas();
  return Report();
}

// What a harness would be wrong to take for a failure, and to take for done (hazard 49).
void VirtualCluster::CountUnknown(const check::StoredVersions& stored) {
  for (const check::Operation& operation : workload_.history()) {
    const bool is_unknown = operation.kind == check::OperationKind::kPut &&
                            operation.responded_ns && !operation.applied() && !operation.refused();
    if (!is_unknown) continue;
    const auto of_key = stored.find(operation.key);
    const bool is_stored =
        of_key != stored.end() &&
        std::any_of(of_key->second.begin(), of_key->second.end(),
                    [&](const auto& row) { return row.second == operation.value; });
    findings_.Mark(is_stored ? "a write of unknown outcome was stored"
                             : "a write of unknown outcome was not stored");
  }
}

void VirtualCluster::CountOperations() {
  for (const check::Increment& increment : workload_.increments()) {
    if (increment.outcome == check::Outcome::kApplied) findings_.Mark("increments acknowledged");
  }
  for (const check::Operation& operation : workload_.history()) {
    if (!operation.writes()) {
      findings_.Mark(operation.applied() ? "reads served" : "reads not served");
    } else if (operation.applied()) {
      findings_.Mark("writes acknowledged");
    } else {
      findings_.Mark(operation.refused() ? "writes refused" : "writes unknown");
    }
  }
}

RunReport VirtualCluster::Report() {
  CountOperations();
  const VirtualNetwork::Counts& counts = network_.counts();
  findings_.Mark("messages lost", counts.lost);
  findings_.Mark("messages doubled", counts.doubled);
  findings_.Mark("messages held back", counts.held);
  findings_.Mark("messages cut off", counts.cut_off);
  findings_.Mark("events", time_.events_run());
  RunReport report;
  report.violations = findings_.violations();
  for (const auto& [mark, count] : findings_.marks()) report.reached[std::string(mark)] = count;
  for (const auto& [kind, count] : findings_.faults()) report.faults[std::string(kind)] = count;
  report.trace_hash = trace_.hash();
  report.operations = workload_.history().size() + transactions_.history().transactions.size();
  report.virtual_time = time_.Now() - VirtualTime::Start();
  return report;
}

}  // namespace basalt::testing
