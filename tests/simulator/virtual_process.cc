#include "tests/simulator/virtual_process.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "raft/wire/raft_wire.h"
#include "server/shard/shard_commands.h"

namespace basalt::testing {
namespace {

constexpr milliseconds kTick{50};
constexpr milliseconds kMaintenance{250};
constexpr uint64_t kRequestBytesMax = 64u << 20;

uint64_t ReplicaOn(const v1::ShardDescriptor& shard, uint64_t node) {
  for (const v1::Replica& replica : shard.replicas()) {
    if (replica.node_id() == node) return replica.replica_id();
  }
  return 0;
}

raft::Configuration ConfigurationOf(const v1::ShardDescriptor& shard) {
  raft::Configuration configuration;
  for (const v1::Replica& replica : shard.replicas()) {
    configuration.members.push_back({raft::ReplicaId(replica.replica_id()),
                                     raft::NodeId(replica.node_id()), raft::MemberRole::kVoter});
  }
  return configuration;
}

std::string ReplicaDirectory(const v1::ShardDescriptor& shard, uint64_t replica_id) {
  return kShardsDirectory + "/" + std::to_string(shard.shard_id()) + "-" +
         std::to_string(replica_id);
}

}  // namespace

VirtualProcess::VirtualProcess(const ProcessOptions& options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      random_(options.seed),
      engines_(ports_.disk, {.flush_every_bytes = options.flush_every_bytes}),
      budget_(kRequestBytesMax),
      dispatch_({}, view_, *this, budget_, ports_.clock),
      apply_loop_({*this, ports_.clock,
                   [this](uint64_t shard_id) { return view_.leader(shard_id); },
                   [](const std::string& why) { BASALT_CHECK_MSG(false, why); }}),
      checkpoints_(*this) {}

VirtualProcess::~VirtualProcess() = default;

absl::Status VirtualProcess::Start(const v1::ClusterMap& layout) {
  for (const std::string& directory :
       {kShardsDirectory, kCheckpointsDirectory, kIncomingDirectory}) {
    BASALT_RETURN_IF_ERROR(ports_.disk.CreateDirectory(directory));
  }
  for (const std::string& staging : {kCheckpointsDirectory, kIncomingDirectory}) {
    BASALT_ASSIGN_OR_RETURN(const std::vector<std::string> names, ports_.disk.List(staging));
    for (const std::string& name : names) {
      BASALT_RETURN_IF_ERROR(ports_.disk.RemoveTree(std::string(staging).append("/").append(name)));
    }
  }
  BASALT_RETURN_IF_ERROR(ports_.disk.SyncDirectory("/"));
  BASALT_RETURN_IF_ERROR(OpenLog(layout));
  server::GroupLoopOptions loop_options;
  loop_options.retained_log_bytes = options_.retained_log_bytes;
  loop_options.ticks_per_compaction_check = 4;
  group_loop_ = std::make_unique<server::GroupLoop>(
      loop_options, server::GroupLoop::Ports{*this, *log_, *this, *this, *this, ports_.clock},
      server::HybridClock(ports_.clock.WallMilliseconds(), ports_.clock.Now()));
  for (const v1::ShardDescriptor& shard : layout.shards()) {
    const uint64_t replica_id = ReplicaOn(shard, options_.node);
    if (replica_id == 0) continue;
    BASALT_RETURN_IF_ERROR(OpenReplica(shard, replica_id));
    BASALT_RETURN_IF_ERROR(AddGroup(raft::GroupId(shard.shard_id())));
  }
  view_.Set(layout);
  ports_.after(milliseconds(random_.Between(0, 50)), [this] { Tick(); });
  ports_.after(kMaintenance, [this] { Maintain(); });
  return absl::OkStatus();
}

absl::Status VirtualProcess::OpenLog(const v1::ClusterMap& layout) {
  storage::RaftLogOptions log_options;
  log_options.segment_bytes = options_.segment_bytes;
  log_options.copy_segment_bytes_max = options_.segment_bytes / 4;
  log_options.identity_for_new_log = options_.node;
  auto log = storage::RaftLog::Open(ports_.disk, kLogDirectory, log_options);
  BASALT_RETURN_IF_ERROR(log.status());
  const std::vector<raft::GroupId> known = (*log)->Groups();
  std::vector<storage::NewGroup> created;
  for (const v1::ShardDescriptor& shard : layout.shards()) {
    const uint64_t replica_id = ReplicaOn(shard, options_.node);
    const raft::GroupId group(shard.shard_id());
    if (replica_id == 0 || std::find(known.begin(), known.end(), group) != known.end()) continue;
    BASALT_ASSIGN_OR_RETURN(
        const bool exists,
        storage::ReplicaStore::Exists(ports_.disk, ReplicaDirectory(shard, replica_id)));
    if (exists) return base::DataLoss("a replica that the log does not know");
    created.push_back(
        {group, raft::ReplicaId(replica_id), raft::LogBase{{}, {}, ConfigurationOf(shard)}});
  }
  if (!created.empty()) BASALT_RETURN_IF_ERROR((*log)->CreateGroups(created));
  log_ = std::make_unique<VirtualLog>(
      VirtualLog::Ports{ports_.disk, ports_.after, ports_.time, ports_.disk_speed, *this,
                        ports_.watcher, options_.node, random_},
      *std::move(log), options_.segment_bytes);
  return absl::OkStatus();
}

absl::Status VirtualProcess::OpenReplica(const v1::ShardDescriptor& shard, uint64_t replica_id) {
  const std::string directory = ReplicaDirectory(shard, replica_id);
  const storage::ReplicaStore::Ports store_ports{ports_.disk, engines_};
  BASALT_ASSIGN_OR_RETURN(const bool exists, storage::ReplicaStore::Exists(ports_.disk, directory));
  if (!exists) {
    BASALT_RETURN_IF_ERROR(server::ReplicaStateMachine::Create(store_ports, directory, shard));
  }
  auto commands = std::make_unique<server::ShardCommands>(
      server::ShardCommandsOptions{.check_every_key = true});
  BASALT_ASSIGN_OR_RETURN(
      auto machine,
      server::ReplicaStateMachine::Open(store_ports, directory, std::move(commands), &apply_loop_));
  apply_loop_.AddReplica(*machine);
  machines_.emplace(raft::GroupId(shard.shard_id()), std::move(machine));
  return absl::OkStatus();
}

absl::Status VirtualProcess::AddGroup(raft::GroupId group) {
  BASALT_ASSIGN_OR_RETURN(raft::RecoveredLog log, log_->log().Recover(group));
  const server::ReplicaStateMachine& machine = *machines_.at(group);
  raft::CoreOptions core_options;
  core_options.group = group;
  core_options.self = log.replica;
  core_options.seed = options_.seed + group.value();
  core_options.memory_bytes_max = options_.memory_bytes_max;
  core_options.check_thoroughly = options_.check_thoroughly;
  raft::RecoveredState recovered;
  recovered.hard_state = log.hard_state;
  recovered.base = std::move(log.base);
  recovered.entries = std::move(log.entries);
  recovered.applied = machine.applied();
  if (recovered.applied.index < recovered.base.index) {
    return base::DataLoss("the state machine ends before the log begins");
  }
  ports_.watcher.OnOpened(options_.node, core_options, recovered);
  group_loop_->AddGroup(core_options, std::move(recovered), machine.highest_stamp(), false);
  return absl::OkStatus();
}

// Now and then the machine has something better to do.
server::MonotonicTime VirtualProcess::Pause() {
  const uint64_t time_max_us = random_.OneIn(500) ? 50'000 : 40;
  return microseconds(random_.Between(1, time_max_us));
}

void VirtualProcess::Put(server::GroupEvent event) {
  if (const auto* reads = std::get_if<server::ReadsArrived>(&event)) {
    ports_.watcher.OnReadAsked(options_.node, reads->group);
  }
  group_events_.push_back(std::move(event));
  PlanGroupRound();
}

void VirtualProcess::PlanGroupRound() {
  if (std::exchange(group_round_planned_, true)) return;
  ports_.after(Pause(), [this] { GroupRound(); });
}

void VirtualProcess::GroupRound() {
  group_round_planned_ = false;
  for (server::GroupEvent& event : std::exchange(group_events_, {})) {
    group_loop_->Handle(std::move(event));
  }
  group_loop_->FinishTurn();
}

void VirtualProcess::Put(server::ApplyWork work) {
  apply_works_.push_back(std::move(work));
  PlanApplyRound();
}

void VirtualProcess::PutQuietly(server::ApplyWork work) { apply_works_.push_back(std::move(work)); }

void VirtualProcess::PlanApplyRound() {
  if (std::exchange(apply_round_planned_, true)) return;
  ports_.after(Pause(), [this] { ApplyRound(); });
}

void VirtualProcess::ApplyRound() {
  apply_round_planned_ = false;
  bool changed = false;
  for (server::ApplyWork& work : std::exchange(apply_works_, {})) {
    if (dead()) return;
    if (const auto* apply = std::get_if<server::ApplyEntries>(&work)) {
      ports_.watcher.OnCommitted(options_.node, apply->group, apply->entries);
      changed = true;
    }
    const bool installs = std::holds_alternative<server::InstallCheckpoint>(work);
    apply_loop_.Handle(std::move(work));
    if (!installs) continue;
    changed = true;
    ports_.findings.Mark(dead() ? "died inside an install" : "checkpoints installed");
  }
  if (changed) ReportApplied();
  if (!dead()) apply_loop_.FinishRound();
}

void VirtualProcess::ReportApplied() {
  apply_loop_.Handle(server::AppliedStatesAsked{[this](const auto& states) {
    for (const server::AppliedState& state : states) {
      if (!dead()) ports_.watcher.OnApplied(options_.node, state);
    }
  }});
}

void VirtualProcess::Tick() {
  ports_.after(kTick, [this] { Tick(); });
  group_events_.push_back(server::TickPassed{});
  GroupRound();
  // The apply thread looks at what was put quietly twice a second at least.
  PlanApplyRound();
}

void VirtualProcess::Maintain() {
  ports_.after(kMaintenance, [this] { Maintain(); });
  if (ports_.time.Now() < ports_.disk_speed.stalled_until) return;
  for (const auto& pinning : log_->log().GroupsPinning()) machines_.at(pinning.group)->Flush();
  if (dead()) return;
  for (const auto& [group, machine] : machines_) {
    Put(server::GroupEvent(server::StateFlushed{group, machine->flushed()}));
  }
  const auto free_bytes = ports_.disk.FreeBytes("/");
  const bool full = free_bytes.ok() && *free_bytes < options_.free_bytes_min;
  if (full) ports_.findings.Mark("refused writes because the disk is nearly full");
  dispatch_.SetReadOnly(full);
}

void VirtualProcess::OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) {
  if (dead()) return;
  view_.OnLeader(group, leader, term);
  ports_.watcher.OnLeader(options_.node, group, leader, term);
}

void VirtualProcess::OnDurable(std::span<const raft::PersistDone> done) {
  for (const raft::PersistDone& one : done) ports_.watcher.OnDurable(options_.node, one);
  Put(server::GroupEvent(server::WritesPersisted{{done.begin(), done.end()}}));
}

void VirtualProcess::Send(std::vector<raft::Message> messages) {
  if (dead()) return;
  for (const raft::Message& message : messages) {
    ports_.watcher.OnSent(options_.node, message);
    v1::RaftMessage encoded;
    raft::ToWire(message, encoded);
    const uint64_t to = message.to_node.value();
    const std::string bytes = encoded.SerializeAsString();
    ports_.network.Send(options_.node, to, DigestOf(bytes), [&] {
      return [&others = ports_.others, to, bytes] {
        others.Visit(to, 0, [bytes](VirtualProcess& there) { there.ReceiveMessage(bytes); });
      };
    });
  }
}

void VirtualProcess::ReceiveMessage(const std::string& bytes) {
  v1::RaftMessage encoded;
  BASALT_CHECK(encoded.ParseFromString(bytes));
  auto message = raft::FromWire(std::move(encoded), raft::NodeId(options_.node));
  BASALT_CHECK_MSG(message.ok(), base::Message(message.status()));
  ports_.watcher.OnReceived(options_.node, *message);
  server::PeerMessagesArrived arrived;
  arrived.messages.push_back(*std::move(message));
  Put(server::GroupEvent(std::move(arrived)));
}

void VirtualProcess::ReceiveRequests(const std::shared_ptr<server::ReplySink>& sink,
                                     const std::string& bytes) {
  v1::RequestBatch batch;
  BASALT_CHECK(batch.ParseFromString(bytes));
  std::vector<v1::Request> requests;
  for (v1::Request& request : *batch.mutable_requests()) requests.push_back(std::move(request));
  dispatch_.Handle(sink, std::move(requests));
}

std::vector<server::GroupState> VirtualProcess::States() {
  std::vector<server::GroupState> result;
  group_loop_->Handle(server::StatesAsked{
      [&](std::vector<server::GroupState> states) { result = std::move(states); }});
  return result;
}

void VirtualProcess::Put(server::FeedWork work) {
  if (auto* fetch = std::get_if<server::FetchForFollower>(&work)) {
    ports_.after(Pause(), [this, fetch = *fetch] { Fetch(fetch); });
    return;
  }
  ports_.after(Pause(), [this, send = std::get<server::CheckpointForFollower>(work)] {
    machines_.at(send.group)->Flush();
    if (dead()) return;
    Put(server::ApplyWork(server::WithStateMachine{
        send.group,
        [this, send](raft::StateMachine& machine) { checkpoints_.Make(send, machine); }}));
  });
}

void VirtualProcess::Fetch(const server::FetchForFollower& work) {
  if (log_->IsPending(work.group)) {
    ports_.after(microseconds(200), [this, work] { Fetch(work); });
    return;
  }
  const raft::FetchEntries& fetch = work.fetch;
  auto entries = log_->Read(work.group, fetch.first, fetch.last, fetch.bytes_max);
  if (!entries.ok()) {
    const bool damaged = entries.status().code() == absl::StatusCode::kDataLoss;
    if (damaged && fetch.follower == work.self) {
      ports_.disk.EndProcess(entries.status());
      return;
    }
    BASALT_CHECK_MSG(damaged || entries.status().code() == absl::StatusCode::kNotFound,
                     base::Message(entries.status()));
    entries = std::vector<raft::Entry>();
  }
  Put(server::GroupEvent(server::EntriesFetched{work.group, fetch.follower, *std::move(entries)}));
}

}  // namespace basalt::testing
