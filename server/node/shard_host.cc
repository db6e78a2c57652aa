#include "server/node/shard_host.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/shard/meta_commands.h"
#include "server/shard/shard_commands.h"

namespace basalt::server {
namespace {

// Recent log entries that all groups together keep in memory, and what each may keep at least.
constexpr size_t kEntriesInMemory = 128u << 20;
constexpr size_t kGroupMemoryMin = 1u << 20;

raft::Configuration ConfigurationOf(const v1::ShardDescriptor& descriptor) {
  raft::Configuration configuration;
  for (const v1::Replica& replica : descriptor.replicas()) {
    configuration.members.push_back({raft::ReplicaId(replica.replica_id()),
                                     raft::NodeId(replica.node_id()), raft::MemberRole::kVoter});
  }
  std::sort(configuration.members.begin(), configuration.members.end(),
            [](const raft::Member& a, const raft::Member& b) { return a.replica < b.replica; });
  return configuration;
}

// 0: this node has none.
uint64_t ReplicaOn(const v1::ShardDescriptor& descriptor, raft::NodeId node) {
  for (const v1::Replica& replica : descriptor.replicas()) {
    if (replica.node_id() == node.value()) return replica.replica_id();
  }
  return 0;
}

const char* RoleName(raft::Role role) {
  switch (role) {
    case raft::Role::kLeader:
      return "leader";
    case raft::Role::kFollower:
      return "follower";
    case raft::Role::kPreCandidate:
    case raft::Role::kCandidate:
      return "candidate";
  }
  return "follower";
}

// Asks a loop by `ask(reply)` and waits for a second at most.
template <typename State, typename Ask>
std::vector<State> Await(Ask ask) {
  auto promise = std::make_shared<std::promise<std::vector<State>>>();
  std::future<std::vector<State>> future = promise->get_future();
  ask([promise](std::vector<State> states) { promise->set_value(std::move(states)); });
  if (future.wait_for(std::chrono::seconds(1)) != std::future_status::ready) return {};
  return future.get();
}

}  // namespace

ShardHost::ShardHost(const ShardHostOptions& options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      resources_(options.sizes),
      engines_(resources_),
      group_thread_({"groups", options.tick,
                     [this](std::vector<GroupEvent>& events) { RunGroupRound(events); }},
                    ports_.clock),
      apply_thread_({"apply", std::chrono::milliseconds(500),
                     [this](std::vector<ApplyWork>& works) {
                       for (ApplyWork& work : works) apply_loop_.Handle(std::move(work));
                       apply_loop_.FinishRound();
                     }},
                    ports_.clock),
      apply_loop_({*this, ports_.clock,
                   [this](uint64_t shard_id) { return ports_.view.leader(shard_id); },
                   [this](const std::string& why) {
                     ports_.logger.Error({}, "{}", why);
                     base::CheckFailed("replica goes on", __FILE__, __LINE__, why);
                   },
                   ports_.observer}) {}

ShardHost::~ShardHost() { Stop(); }

absl::Status ShardHost::Open(const v1::ClusterMap& layout) {
  BASALT_RETURN_IF_ERROR(ports_.files.CreateDirectory(options_.shards_directory));
  BASALT_RETURN_IF_ERROR(OpenLog(layout));
  for (const v1::ShardDescriptor& descriptor : layout.shards()) {
    const uint64_t replica_id = ReplicaOn(descriptor, options_.node);
    if (replica_id == 0) continue;
    BASALT_RETURN_IF_ERROR(OpenReplica(descriptor, replica_id));
    BASALT_RETURN_IF_ERROR(AddGroup(descriptor, replica_id));
  }
  v1::Command command;
  command.mutable_form_cluster()->set_map(layout.SerializeAsString());
  formation_ = EncodeCommandElement(command);
  return absl::OkStatus();
}

// The order matters for a node that dies in between: groups are in the log before a replica takes
// its first vote, and a replica that the log does not know has never voted.
absl::Status ShardHost::OpenLog(const v1::ClusterMap& layout) {
  storage::RaftLogOptions log_options;
  log_options.segment_bytes = options_.log_segment_bytes;
  // What is retained for slow followers must fit twice, and a segment is emptied by copying only
  // when little of it is alive: else an idle log would copy in a circle.
  log_options.segments_kept =
      std::max<size_t>(4, 2 + 2 * options_.log_retained_bytes / options_.log_segment_bytes);
  log_options.copy_segment_bytes_max =
      std::min<uint64_t>(log_options.copy_segment_bytes_max, options_.log_segment_bytes / 8);
  log_options.identity_for_new_log = options_.seed | 1;
  absl::StatusOr<std::unique_ptr<storage::RaftLog>> log =
      storage::RaftLog::Open(ports_.files, options_.log_directory, log_options);
  BASALT_RETURN_IF_ERROR(log.status());
  const std::vector<raft::GroupId> known = (*log)->Groups();
  std::vector<storage::NewGroup> created;
  for (const v1::ShardDescriptor& descriptor : layout.shards()) {
    const uint64_t replica_id = ReplicaOn(descriptor, options_.node);
    const raft::GroupId group(descriptor.shard_id());
    if (replica_id == 0 || std::find(known.begin(), known.end(), group) != known.end()) continue;
    BASALT_ASSIGN_OR_RETURN(
        const bool exists,
        storage::ReplicaStore::Exists(ports_.files,
                                      ReplicaDirectoryOf(descriptor.shard_id(), replica_id)));
    if (exists) {
      return base::DataLoss(options_.log_directory + ": the log knows nothing of shard " +
                            std::to_string(group.value()) +
                            ", which has a replica here: votes and entries are lost");
    }
    created.push_back(
        {group, raft::ReplicaId(replica_id), raft::LogBase{{}, {}, ConfigurationOf(descriptor)}});
  }
  if (!created.empty()) BASALT_RETURN_IF_ERROR((*log)->CreateGroups(created));
  storage::LogWriterOptions writer_options;
  writer_options.write_ahead_bytes = options_.log_segment_bytes;
  writer_options.on_commit = [this](std::span<const raft::LogWrite> writes,
                                    std::chrono::nanoseconds took) { OnLogCommit(writes, took); };
  log_ = std::make_unique<storage::LogWriter>(ports_.files, *std::move(log), writer_options);
  return absl::OkStatus();
}

std::string ShardHost::ReplicaDirectoryOf(uint64_t shard_id, uint64_t replica_id) const {
  return options_.shards_directory + "/" + std::to_string(shard_id) + "-" +
         std::to_string(replica_id);
}

absl::Status ShardHost::OpenReplica(const v1::ShardDescriptor& descriptor, uint64_t replica_id) {
  const std::string directory = ReplicaDirectoryOf(descriptor.shard_id(), replica_id);
  const storage::ReplicaStore::Ports store_ports{ports_.files, engines_};
  BASALT_ASSIGN_OR_RETURN(const bool exists,
                          storage::ReplicaStore::Exists(ports_.files, directory));
  if (!exists) {
    BASALT_RETURN_IF_ERROR(ReplicaStateMachine::Create(store_ports, directory, descriptor));
  }
  std::unique_ptr<CommandSet> commands;
  if (descriptor.shard_id() == 0) {
    commands = std::make_unique<MetaCommands>(this);
  } else {
    commands = std::make_unique<ShardCommands>(ShardCommandsOptions{});
  }
  BASALT_ASSIGN_OR_RETURN(
      std::unique_ptr<ReplicaStateMachine> machine,
      ReplicaStateMachine::Open(store_ports, directory, std::move(commands), &apply_loop_));
  apply_loop_.AddReplica(*machine);
  machines_.emplace(raft::GroupId(descriptor.shard_id()), std::move(machine));
  return absl::OkStatus();
}

// On the clock that the cores are told.
raft::Time ShardHost::ElectionTimeout() const {
  const std::chrono::nanoseconds timeout = options_.election_timeout_ticks * options_.tick;
  return raft::Time(static_cast<uint64_t>(timeout.count()));
}

absl::Status ShardHost::AddGroup(const v1::ShardDescriptor& descriptor, uint64_t replica_id) {
  const raft::GroupId group(descriptor.shard_id());
  BASALT_ASSIGN_OR_RETURN(raft::RecoveredLog log, log_->log().Recover(group));
  if (log.replica != raft::ReplicaId(replica_id)) {
    return base::DataLoss("the log holds replica " + std::to_string(log.replica.value()) +
                          " of shard " + std::to_string(group.value()) + ", the layout names " +
                          std::to_string(replica_id));
  }
  const ReplicaStateMachine& machine = *machines_.at(group);
  Recovered recovered;
  recovered.options.group = group;
  recovered.options.self = log.replica;
  recovered.options.seed = options_.seed + group.value() * 0x9e3779b97f4a7c15ULL;
  recovered.options.election_timeout_ticks = options_.election_timeout_ticks;
  recovered.options.heartbeat_ticks = options_.heartbeat_ticks;
  recovered.options.leases = options_.leases;
  recovered.options.election_timeout = ElectionTimeout();
  recovered.options.lease_duration =
      raft::LeaseDuration(ElectionTimeout(), options_.clock_drift_percent);
  recovered.options.disk_stall = ElectionTimeout();
  recovered.options.life = options_.seed;  // a random number of this start
  recovered.highest_stamp = machine.highest_stamp();
  recovered.campaign = log.hard_state == raft::HardState{} && log.entries.empty() &&
                       descriptor.replicas(0).node_id() == options_.node.value();
  recovered.state.hard_state = log.hard_state;
  recovered.state.base = std::move(log.base);
  recovered.state.entries = std::move(log.entries);
  recovered.state.applied = machine.applied();
  if (recovered.state.applied.index < recovered.state.base.index) {
    return base::DataLoss(
        "shard " + std::to_string(group.value()) + ": the state machine ends at entry " +
        std::to_string(recovered.state.applied.index.value()) + ", the log begins behind " +
        std::to_string(recovered.state.base.index.value()));
  }
  recovered_.push_back(std::move(recovered));
  return absl::OkStatus();
}

void ShardHost::Start(raft::Transport& transport) {
  feed_ = std::make_unique<FollowerFeed>(
      FollowerFeed::Ports{*log_, *this, *this, ports_.files, ports_.logger,
                          ports_.metrics.checkpoints(), ports_.clock,
                          [this](raft::GroupId group) { machines_.at(group)->Flush(); },
                          ports_.send_checkpoint},
      options_.checkpoints_directory);
  GroupLoopOptions loop_options;
  loop_options.retained_log_bytes = std::max<uint64_t>(
      1u << 20, options_.log_retained_bytes / std::max<size_t>(1, machines_.size()));
  group_loop_ = std::make_unique<GroupLoop>(
      loop_options,
      GroupLoop::Ports{transport, *log_, *this, *feed_, *this, ports_.clock, ports_.observer},
      HybridClock(ports_.clock.WallMilliseconds(), ports_.clock.Now()));
  for (Recovered& recovered : recovered_) {
    recovered.options.memory_bytes_max =
        std::max<size_t>(kGroupMemoryMin, kEntriesInMemory / recovered_.size());
    group_loop_->AddGroup(recovered.options, std::move(recovered.state), recovered.highest_stamp,
                          recovered.campaign);
  }
  recovered_.clear();
  next_tick_ = ports_.clock.Now() + options_.tick;
  started_ = true;
  log_->Start(*this);
  feed_->Start();
  apply_thread_.Start();
  group_thread_.Start();
}

void ShardHost::Stop() {
  if (!started_ || std::exchange(stopped_, true)) return;
  feed_->Stop();
  // The log may still report to the group thread's mailbox: completions nobody waits for.
  group_thread_.Stop();
  group_loop_->Abandon();
  apply_thread_.Stop();
  apply_loop_.Abandon();
  log_->Stop();
  for (auto& [group, machine] : machines_) machine->Flush();
}

void ShardHost::RunGroupRound(std::vector<GroupEvent>& events) {
  for (GroupEvent& event : events) group_loop_->Handle(std::move(event));
  const MonotonicTime now = ports_.clock.Now();
  if (now >= next_tick_) {
    // A thread that was held up ticks once, not for all that it missed: its peers' silence may be
    // its own.
    next_tick_ = now + options_.tick;
    group_loop_->Handle(TickPassed{});
  }
  group_loop_->FinishTurn();
}

void ShardHost::OnDurable(std::span<const raft::PersistDone> done) {
  Put(GroupEvent(WritesPersisted{{done.begin(), done.end()}}));
}

void ShardHost::OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) {
  ports_.view.OnLeader(group, leader, term);
  const LogContext context{.shard = group.value(), .term = term.value()};
  if (leader == options_.node) {
    ports_.logger.Info(context, "this node leads");
  } else {
    ports_.logger.Debug(context, "leader is node {}", leader.value());
  }
}

void ShardHost::OnClusterMap(std::shared_ptr<const v1::ClusterMap> map) {
  meta_formed_.store(map != nullptr && !map->cluster_id().empty());
}

// The meta shard's first leader gives it its first contents; proposing them again has no effect.
void ShardHost::ProposeFormation() {
  if (meta_formed_.load() || !machines_.contains(raft::GroupId(0))) return;
  if (ports_.view.leader(0).node_id() != options_.node.value()) return;
  Put(GroupEvent(OwnCommandArrived{raft::GroupId(0), formation_}));
}

void ShardHost::Maintain() {
  ProposeFormation();
  for (const auto& pinning : log_->log().GroupsPinning()) machines_.at(pinning.group)->Flush();
  for (const auto& [group, machine] : machines_) {
    Put(GroupEvent(StateFlushed{group, machine->flushed()}));
  }
}

std::vector<GroupState> ShardHost::States() {
  return Await<GroupState>([this](auto reply) { Put(GroupEvent(StatesAsked{std::move(reply)})); });
}

std::vector<AppliedState> ShardHost::AppliedStates() {
  return Await<AppliedState>(
      [this](auto reply) { Put(ApplyWork(AppliedStatesAsked{std::move(reply)})); });
}

std::vector<v1::ReplicaStatus> ShardHost::ReplicaStatuses() {
  std::map<raft::GroupId, AppliedState> applied;
  for (const AppliedState& state : AppliedStates()) applied.emplace(state.group, state);
  std::vector<v1::ReplicaStatus> statuses;
  for (const GroupState& state : States()) {
    ReplicaStateMachine& machine = *machines_.at(state.group);
    v1::ReplicaStatus status;
    status.set_shard_id(state.group.value());
    status.set_replica_id(state.replica.value());
    status.set_role(RoleName(state.core.leadership.role));
    status.set_term(state.core.hard_state.term.value());
    status.set_leader_node(state.leader_node.value());
    status.set_first_index(state.core.base.value() + 1);
    status.set_last_index(state.core.last.value());
    status.set_commit_index(state.core.commit.value());
    const auto place = applied.find(state.group);
    if (place != applied.end()) {
      status.set_applied_index(place->second.index.value());
      status.set_applied_hash(place->second.hash);
      status.set_max_stamp(place->second.highest_stamp);
    } else {
      status.set_applied_index(state.core.applied.value());
    }
    status.set_flushed_index(machine.flushed().value());
    status.set_size_bytes(machine.store().engine()->ApproximateBytes());
    status.set_epoch(1);
    statuses.push_back(std::move(status));
  }
  return statuses;
}

absl::StatusOr<std::unique_ptr<StoredScan>> ShardHost::ScanReplica(uint64_t shard_id) {
  const auto place = machines_.find(raft::GroupId(shard_id));
  if (place == machines_.end()) {
    return base::NotFound("this node has no replica of shard " + std::to_string(shard_id));
  }
  return StoredScan::Open(place->second->store().engine());
}

void ShardHost::OnLogCommit(std::span<const raft::LogWrite> writes, std::chrono::nanoseconds took) {
  LogMetrics& metrics = ports_.metrics.log();
  const storage::RaftLogCounters& counters = log_->log().counters();
  size_t entries = 0;
  for (const raft::LogWrite& write : writes) entries += write.persist.entries.size();
  const uint64_t bytes = counters.bytes.load(std::memory_order_relaxed);
  metrics.bytes->Increment(static_cast<double>(bytes - std::exchange(log_bytes_seen_, bytes)));
  metrics.syncs->Increment();
  metrics.entries->Increment(static_cast<double>(entries));
  metrics.batch_entries->Observe(static_cast<double>(entries));
  metrics.sync_seconds->Observe(std::chrono::duration<double>(took).count());
  metrics.segments->Set(static_cast<double>(counters.segments_live.load()));
}

std::vector<PulledSample> ShardHost::Samples() const {
  const GroupLoopCounters& groups = group_loop_->counters();
  const ApplyLoopCounters& apply = apply_loop_.counters();
  const auto counter = [](const char* name, const char* help, const std::atomic<uint64_t>& value) {
    return PulledSample{
        name, help, true, {}, static_cast<double>(value.load(std::memory_order_relaxed))};
  };
  return {
      counter("basalt_raft_campaigns_total", "Elections begun by this node.", groups.campaigns),
      counter("basalt_raft_leaderships_won_total", "Times a replica here won.",
              groups.leaderships_won),
      counter("basalt_raft_leaderships_lost_total", "Times a leader here stepped down.",
              groups.leaderships_lost),
      counter("basalt_raft_proposals_total", "Entries proposed.", groups.proposals),
      counter("basalt_raft_proposals_refused_total", "Proposals put off: too much under way.",
              groups.proposals_refused),
      counter("basalt_raft_proposed_commands_total", "Commands in proposed entries.",
              groups.commands),
      counter("basalt_raft_read_barriers_total", "Rounds asked for to confirm reads.",
              groups.read_rounds),
      counter("basalt_raft_lease_reads_total", "Reads that a lease made a round needless for.",
              groups.lease_reads),
      counter("basalt_apply_entries_total", "Log entries applied.", apply.entries),
      counter("basalt_apply_commands_total", "Commands applied.", apply.commands),
      counter("basalt_checkpoints_installed_total", "Checkpoints installed.",
              apply.checkpoints_installed),
  };
}

std::vector<std::string> ShardHost::Stalled(std::chrono::milliseconds limit) const {
  std::vector<std::string> stalled;
  const MonotonicTime now = ports_.clock.Now();
  if (now - group_thread_.last_round() > limit) stalled.push_back("groups");
  if (now - apply_thread_.last_round() > limit) stalled.push_back("apply");
  return stalled;
}

}  // namespace basalt::server
