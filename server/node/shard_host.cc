#include "server/node/shard_host.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "server/node/hand_over.h"
#include "server/shard/meta_commands.h"
#include "server/shard/shard_commands.h"

namespace basalt::server {
namespace {

// What each group may keep of its entries in memory, whatever there is for all.
constexpr size_t kGroupMemoryMin = 64u << 10;
// A client and all the results that one may have take a quarter of it.
constexpr uint64_t kSessionBytesMin = 256u << 10;

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

PulledSample CounterSample(const char* name, const char* help, const std::atomic<uint64_t>& value) {
  return {name, help, true, {}, static_cast<double>(value.load(std::memory_order_relaxed))};
}

}  // namespace

void EndWithReplica(const absl::Status& why) {
  if (why.code() != absl::StatusCode::kFailedPrecondition) base::DiskFailed(base::Message(why));
  constexpr int kExitCannotServe = 1;
  std::fprintf(stderr, "basaltd: %s\n", base::Message(why).c_str());
  std::fflush(stderr);
  ::_exit(kExitCannotServe);
}

ShardHost::ShardHost(const ShardHostOptions& options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      resources_(options.sizes),
      engines_(resources_),
      replicas_(options.node, options.shards_directory, options.log_directory,
                {ports_.files, engines_,
                 [this](uint64_t shard_id) -> std::unique_ptr<CommandSet> {
                   if (shard_id == 0) return std::make_unique<MetaCommands>(this);
                   return std::make_unique<ShardCommands>(ShardCommandsOptions{});
                 },
                 &apply_loop_}),
      group_thread_({"groups", options.tick,
                     [this](std::vector<GroupEvent>& events) { RunGroupRound(events); },
                     [this] { return next_tick_ - ports_.clock.Now(); }, ports_.peers},
                    ports_.clock),
      apply_thread_({"apply", std::chrono::milliseconds(100),
                     [this](std::vector<ApplyWork>& works) {
                       for (ApplyWork& work : works) apply_loop_.Handle(std::move(work));
                       apply_loop_.FinishRound();
                     }},
                    ports_.clock),
      apply_loop_({*this, ports_.clock,
                   [this](uint64_t shard_id) { return ports_.view.leader(shard_id); },
                   EndWithReplica, ports_.observer,
                   [this](raft::GroupId group, const absl::Status& why) {
                     ports_.logger.Warn({.shard = group.value()}, "checkpoint refused: {}",
                                        base::Message(why));
                   }}) {}

ShardHost::~ShardHost() { Stop(); }

absl::Status ShardHost::Open(const v1::ClusterMap& layout) {
  BASALT_RETURN_IF_ERROR(ports_.files.CreateDirectory(options_.shards_directory));
  BASALT_ASSIGN_OR_RETURN(std::unique_ptr<storage::RaftLog> log, OpenLog());
  BASALT_RETURN_IF_ERROR(replicas_.Found(*log, layout));
  BASALT_ASSIGN_OR_RETURN(std::vector<OpenedReplica> opened, replicas_.OpenAll(*log, layout));
  for (OpenedReplica& replica : opened) {
    apply_loop_.AddReplica(*replica.machine);
    recovered_.push_back({CoreOptionsOf(replica), std::move(replica.recovered),
                          replica.machine->totals(), replica.founds});
    Host(replica.group, {replica.self, std::move(replica.machine)});
  }
  storage::LogWriterOptions writer_options;
  writer_options.write_ahead_bytes = options_.log_segment_bytes;
  writer_options.on_commit = [this](std::span<const raft::LogWrite> writes,
                                    std::chrono::nanoseconds took) { OnLogCommit(writes, took); };
  log_ = std::make_unique<storage::LogWriter>(ports_.files, std::move(log), writer_options);
  v1::Command command;
  command.mutable_form_cluster()->set_map(layout.SerializeAsString());
  formation_ = EncodeCommandElement(command);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<storage::RaftLog>> ShardHost::OpenLog() {
  storage::RaftLogOptions log_options;
  log_options.segment_bytes = options_.log_segment_bytes;
  // What is retained for slow followers must fit twice, and while the log is no larger than that a
  // segment is emptied by copying only when little of it is alive: else an idle log would copy in a
  // circle.
  log_options.segments_kept =
      std::max<size_t>(4, 2 + 2 * options_.log_retained_bytes / options_.log_segment_bytes);
  log_options.copy_segment_bytes_max =
      std::min<uint64_t>(log_options.copy_segment_bytes_max, options_.log_segment_bytes / 8);
  log_options.identity_for_new_log = options_.seed | 1;
  log_options.expected_identity = options_.log_id;
  return storage::RaftLog::Open(ports_.files, options_.log_directory, log_options);
}

raft::CoreOptions ShardHost::CoreOptionsOf(const OpenedReplica& opened) const {
  raft::CoreOptions options;
  options.group = opened.group;
  options.self = opened.self;
  options.node = options_.node;
  options.seed = options_.seed + opened.group.value() * 0x9e3779b97f4a7c15ULL;
  options.election_timeout_ticks = options_.election_timeout_ticks;
  options.heartbeat_ticks = options_.heartbeat_ticks;
  const std::chrono::nanoseconds timeout = options_.election_timeout_ticks * options_.tick;
  options.leases = options_.leases;
  options.election_timeout = raft::Time(static_cast<uint64_t>(timeout.count()));
  options.promise = raft::Time(static_cast<uint64_t>(options_.promise.count()));
  options.lease_duration =
      raft::LeaseDuration(raft::PromiseLength(options), options_.clock_drift_percent);
  options.disk_stall = options.election_timeout;
  options.priority = options_.leader_priority;
  options.life = options_.seed;  // a random number of this start
  return options;
}

// An equal share for each group, of what it keeps and of what it sends ahead: that lies in the
// follower's memory until its disk has it.
void ShardHost::BoundMemory(raft::CoreOptions& options) const {
  const size_t share = options_.entry_bytes / groups_at_start_;
  options.memory_bytes_max = std::max(kGroupMemoryMin, share);
  options.inflight_bytes_max =
      std::clamp(share, options.append_bytes_max, options.inflight_bytes_max);
  options.apply_bytes_max = std::clamp(share, options.append_bytes_max, options.apply_bytes_max);
}

void ShardHost::Host(raft::GroupId group, Hosted hosted) {
  lease_reads_.Add(group, hosted.machine);
  base::MutexLock lock(hosted_mutex_);
  hosted_.emplace(group, std::move(hosted));
}

absl::Status ShardHost::MakeReplica(const v1::ShardDescriptor& descriptor,
                                    raft::ReplicaId replica) {
  const raft::GroupId group(descriptor.shard_id());
  BASALT_RETURN_IF_ERROR(ReplicaSet::MayMake(log_->log(), group, replica));
  log_->CreateGroups({{group, replica, raft::LogBase{}}});
  BASALT_ASSIGN_OR_RETURN(OpenedReplica opened, replicas_.Open(log_->log(), group, descriptor));
  raft::CoreOptions options = CoreOptionsOf(opened);
  BoundMemory(options);
  const StateTotals totals = opened.machine->totals();
  ReplicaStateMachine* const machine = opened.machine.get();
  Host(group, {replica, std::move(opened.machine)});
  // The apply loop knows it before anything can be handed to it.
  Put(ApplyWork(ReplicaAdded{machine}));
  Put(GroupEvent(GroupAdded{options, std::move(opened.recovered), totals}));
  return absl::OkStatus();
}

absl::Status ShardHost::RemoveReplica(raft::GroupId group, raft::ReplicaId replica) {
  if (!HasReplica(group, replica)) {
    return base::NotFound(
        fmt::format("replica {} of shard {} does not live here", replica.value(), group.value()));
  }
  // First nobody speaks for it any more, then the tombstone, then the files: with a crash between
  // any two of them it is either alive or on its way out.
  std::promise<void> gone;
  Put(GroupEvent(GroupRemoved{group, [&] {
                                Put(ApplyWork(ReplicaRemoved{group, [&] { gone.set_value(); }}));
                              }}));
  gone.get_future().wait();
  lease_reads_.Remove(group);
  log_->DropGroup(group, replica);
  {
    base::MutexLock lock(hosted_mutex_);
    const auto place = hosted_.find(group);
    retired_.push_back(std::move(place->second));
    hosted_.erase(place);
  }
  RemoveRetired();
  return absl::OkStatus();
}

void ShardHost::RemoveRetired() {
  std::vector<Hosted> unused;
  {
    base::MutexLock lock(hosted_mutex_);
    std::erase_if(retired_, [&](Hosted& retired) {
      // The store has one engine; whoever reads it holds it too.
      if (retired.machine.use_count() > 1 || retired.machine->store().engine().use_count() > 2) {
        return false;
      }
      unused.push_back(std::move(retired));
      return true;
    });
  }
  for (Hosted& retired : unused) {
    const raft::GroupId group = retired.machine->group();
    retired.machine = nullptr;
    if (absl::Status status = replicas_.RemoveFiles(group, retired.replica); !status.ok()) {
      // The next start removes them: there is a tombstone.
      ports_.logger.Warn({.shard = group.value()}, "files of a removed replica remain: {}",
                         base::Message(status));
    }
  }
}

std::vector<ShardHost::Hosted> ShardHost::AllHosted() const {
  base::MutexLock lock(hosted_mutex_);
  std::vector<Hosted> all;
  for (const auto& [group, hosted] : hosted_) all.push_back(hosted);
  return all;
}

std::shared_ptr<ReplicaStateMachine> ShardHost::MachineOf(raft::GroupId group) const {
  base::MutexLock lock(hosted_mutex_);
  const auto place = hosted_.find(group);
  return place == hosted_.end() ? nullptr : place->second.machine;
}

bool ShardHost::HasReplica(raft::GroupId group, raft::ReplicaId replica) const {
  base::MutexLock lock(hosted_mutex_);
  const auto place = hosted_.find(group);
  return place != hosted_.end() && place->second.replica == replica;
}

void ShardHost::Start(raft::Transport& transport, TxnPost* post) {
  apply_loop_.SetPost(post);
  feed_ = std::make_unique<FollowerFeed>(
      FollowerFeed::Ports{*log_, *this, *this, ports_.files, ports_.logger,
                          ports_.metrics.checkpoints(), ports_.clock,
                          [this](raft::GroupId group) {
                            if (const auto machine = MachineOf(group)) machine->Flush();
                          },
                          [this](raft::GroupId group, raft::ReplicaId replica) {
                            return HasReplica(group, replica);
                          },
                          [this](const std::string& directory, const auto& stop) {
                            return engines_.VerifyCheckpoint(directory, stop);
                          },
                          ports_.send_checkpoint, ports_.reachable},
      options_.checkpoints_directory);
  const size_t groups = std::max<size_t>(1, recovered_.size());
  GroupLoopOptions loop_options;
  loop_options.retained_log_bytes =
      std::max<uint64_t>(1u << 20, options_.log_retained_bytes / groups);
  loop_options.versions = options_.versions;
  loop_options.sessions = {options_.session_retention,
                           std::max(kSessionBytesMin, options_.session_bytes / groups)};
  group_loop_ =
      std::make_unique<GroupLoop>(loop_options,
                                  GroupLoop::Ports{transport, *log_, *this, *feed_, *this,
                                                   ports_.clock, ports_.time, ports_.observer},
                                  HybridClock(ports_.clock.WallMilliseconds(), ports_.clock.Now()));
  groups_at_start_ = groups;
  for (Recovered& recovered : recovered_) {
    BoundMemory(recovered.options);
    group_loop_->AddGroup(recovered.options, std::move(recovered.state), recovered.totals,
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

size_t ShardHost::HandOver(std::chrono::milliseconds limit) {
  constexpr std::chrono::milliseconds kPeriod{5};
  const MonotonicTime until = ports_.clock.Now() + limit;
  for (;;) {
    const HandOverStep step = PlanHandOver(States());
    for (const raft::GroupId group : step.ask) {
      Put(GroupEvent(TransferAsked{group, raft::ReplicaId(0), [](raft::TransferAnswer) {}}));
    }
    if (step.led == 0 || ports_.clock.Now() >= until) return step.led;
    std::this_thread::sleep_for(kPeriod);
  }
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
  for (const Hosted& hosted : AllHosted()) hosted.machine->Flush();
}

void ShardHost::RunGroupRound(std::vector<GroupEvent>& events) {
  for (GroupEvent& event : events) group_loop_->Handle(std::move(event));
  const MonotonicTime now = ports_.clock.Now();
  if (now >= next_tick_) {
    // A thread that was held up ticks once, not for all that it missed: its peers' silence may be
    // its own.
    ticks_missed_.fetch_add(static_cast<uint64_t>((now - next_tick_) / options_.tick),
                            std::memory_order_relaxed);
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
  if (meta_formed_.load() || MachineOf(raft::GroupId(0)) == nullptr) return;
  if (ports_.view.leader(0).node_id() != options_.node.value()) return;
  Put(GroupEvent(OwnCommandArrived{raft::GroupId(0), formation_}));
}

void ShardHost::Maintain() {
  ProposeFormation();
  std::map<std::pair<raft::GroupId, raft::ReplicaId>, raft::LogIndex> pinning;
  for (const auto& [group, replica, through] : log_->log().GroupsPinning()) {
    pinning[{group, replica}] = through;
  }
  for (const Hosted& hosted : AllHosted()) {
    const raft::GroupId group = hosted.machine->group();
    const auto pins = pinning.find({group, hosted.replica});
    const raft::LogIndex let_go = pins == pinning.end() ? raft::LogIndex(0) : pins->second;
    if (hosted.machine->flushed() < let_go) hosted.machine->Flush();
    Put(GroupEvent(StateFlushed{group, hosted.replica, hosted.machine->flushed(), let_go}));
    hosted.machine->store().Collect();
    hosted.machine->store().RemoveRetired();
  }
  RemoveRetired();
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
    const std::shared_ptr<ReplicaStateMachine> machine = MachineOf(state.group);
    if (machine == nullptr) continue;  // removed meanwhile
    v1::ReplicaStatus status;
    status.set_shard_id(state.group.value());
    status.set_replica_id(state.replica.value());
    status.set_role(RoleName(state.core.leadership.role));
    status.set_term(state.core.hard_state.term.value());
    status.set_leader_node(state.leader_node.value());
    status.set_first_index(state.core.base.value() + 1);
    status.set_last_index(state.core.last.value());
    status.set_commit_index(state.core.commit.value());
    status.set_group_commit_index(state.core.group_commit.value());
    const auto place = applied.find(state.group);
    if (place != applied.end()) {
      status.set_applied_index(place->second.index.value());
      status.set_applied_hash(place->second.hash);
      status.set_max_stamp(place->second.highest_stamp);
      status.set_version_retention_ms(place->second.retention_ms);
    } else {
      status.set_applied_index(state.core.applied.value());
    }
    status.set_flushed_index(machine->flushed().value());
    status.set_size_bytes(machine->store().engine()->ApproximateBytes());
    status.set_epoch(1);
    statuses.push_back(std::move(status));
  }
  return statuses;
}

absl::StatusOr<std::unique_ptr<StoredScan>> ShardHost::ScanReplica(uint64_t shard_id) {
  const std::shared_ptr<ReplicaStateMachine> machine = MachineOf(raft::GroupId(shard_id));
  if (machine == nullptr) {
    return base::NotFound("this node has no replica of shard " + std::to_string(shard_id));
  }
  return StoredScan::Open(machine->store().engine());
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
  const auto reads = [](const char* mode, const char* thread, uint64_t count) {
    return PulledSample{"basalt_reads_total",
                        "Reads served, by what told that they miss nothing and on whose thread.",
                        true,
                        {{"mode", mode}, {"thread", thread}},
                        static_cast<double>(count)};
  };
  std::vector<PulledSample> samples = {
      CounterSample("basalt_raft_campaigns_total", "Elections begun by this node.",
                    groups.campaigns),
      CounterSample(
          "basalt_raft_heartbeats_missed_total",
          "Heartbeats that followers here should have heard and did not, from two intervals of "
          "silence on.",
          groups.heartbeats_missed),
      CounterSample("basalt_raft_ticks_missed_total",
                    "Ticks of the Raft groups' thread that were left out because it was held up.",
                    ticks_missed_),
      CounterSample("basalt_raft_leaderships_won_total", "Times a replica here won.",
                    groups.leaderships_won),
      CounterSample("basalt_raft_leaderships_lost_total", "Times a leader here stepped down.",
                    groups.leaderships_lost),
      CounterSample("basalt_raft_transfers_total", "Transfers of leadership begun on request.",
                    groups.transfers),
      CounterSample("basalt_raft_proposals_total", "Entries proposed.", groups.proposals),
      CounterSample("basalt_raft_proposals_refused_total", "Proposals put off: too much under way.",
                    groups.proposals_refused),
      CounterSample("basalt_raft_proposed_commands_total", "Commands in proposed entries.",
                    groups.commands),
      CounterSample("basalt_raft_read_barriers_total", "Rounds asked for to confirm reads.",
                    groups.read_rounds),
      {"basalt_raft_leases_held",
       "Groups that this node may read by a lease.",
       false,
       {},
       static_cast<double>(lease_reads_.Held(ports_.clock.Now()))},
      {"basalt_raft_disks_stalled",
       "Replicas whose log write takes too long for a leader.",
       false,
       {},
       static_cast<double>(groups.disks_stalled.load(std::memory_order_relaxed))},
      {"basalt_clock_ahead_seconds",
       "By how much this node's clock is ahead of the median of the nodes that it hears.",
       false,
       {},
       static_cast<double>(groups.clock_ahead_ms.load(std::memory_order_relaxed)) / 1000},
      reads("lease", "arrival", lease_reads_.reads()),
      reads("lease", "apply", apply.lease_reads.load(std::memory_order_relaxed)),
      reads("read-index", "apply", apply.round_reads.load(std::memory_order_relaxed)),
      reads("snapshot", "apply", apply.snapshot_reads.load(std::memory_order_relaxed)),
      CounterSample("basalt_raft_checkpoint_logs_given_up_total",
                    "Followers for which too much log would have been kept behind a checkpoint.",
                    groups.checkpoint_logs_given_up),
      CounterSample("basalt_apply_entries_total", "Log entries applied.", apply.entries),
      CounterSample("basalt_apply_commands_total", "Commands applied.", apply.commands),
      CounterSample("basalt_checkpoints_installed_total", "Checkpoints installed.",
                    apply.checkpoints_installed),
      CounterSample("basalt_version_horizons_proposed_total", "Horizons proposed by leaders here.",
                    groups.horizons),
  };
  AddSessionSamples(samples);
  AddSnapshotSamples(samples);
  AddTransactionSamples(samples);
  AddVersionSamples(samples);
  return samples;
}

void ShardHost::AddSessionSamples(std::vector<PulledSample>& samples) const {
  const ApplyLoopCounters& apply = apply_loop_.counters();
  const std::vector<PulledSample> added = {
      CounterSample("basalt_session_replays_total",
                    "Writes answered with the result of an earlier run.", apply.repeated),
      CounterSample(
          "basalt_session_refusals_total",
          "Writes turned away: their client has too many that it has not heard of, or gave "
          "their number to another one before.",
          apply.turned_away),
      CounterSample("basalt_session_forgotten_total",
                    "Writes refused: the shard no longer remembers whether it ran them.",
                    apply.forgotten),
      CounterSample("basalt_session_forgettings_proposed_total",
                    "Times that leaders here had clients forgotten.",
                    group_loop_->counters().forgettings),
  };
  samples.insert(samples.end(), added.begin(), added.end());
}

void ShardHost::AddSnapshotSamples(std::vector<PulledSample>& samples) const {
  const GroupLoopCounters& groups = group_loop_->counters();
  const std::vector<PulledSample> added = {
      CounterSample("basalt_snapshot_waits_total",
                    "Reads at a timestamp that waited until a ceiling above it was applied.",
                    groups.snapshot_waits),
      CounterSample("basalt_snapshot_ceilings_proposed_total",
                    "Ceilings proposed by leaders here for reads at a timestamp.", groups.ceilings),
      CounterSample("basalt_snapshot_reads_too_old_total",
                    "Reads refused at a timestamp of which nothing is kept any more.",
                    apply_loop_.counters().too_old),
  };
  samples.insert(samples.end(), added.begin(), added.end());
}

void ShardHost::AddTransactionSamples(std::vector<PulledSample>& samples) const {
  const TxnCounters& txn = apply_loop_.counters().txn;
  const std::vector<PulledSample> added = {
      CounterSample("basalt_txn_commits_total", "Decisions to commit applied by coordinators here.",
                    txn.commits),
      CounterSample("basalt_txn_aborts_total", "Decisions to abort applied by coordinators here.",
                    txn.aborts),
      CounterSample("basalt_txn_waits_total",
                    "Prepares and writes that waited for locks at leaders here.", txn.waits),
      CounterSample("basalt_txn_dies_total",
                    "Prepares and writes refused because an older one was in their way.", txn.dies),
      CounterSample("basalt_txn_asks_total",
                    "Questions after locks that nobody had ended for a second.", txn.asks),
      CounterSample("basalt_txn_blocked_reads_total", "Reads that waited for a lock.",
                    apply_loop_.counters().blocked_reads),
  };
  samples.insert(samples.end(), added.begin(), added.end());
}

void ShardHost::AddVersionSamples(std::vector<PulledSample>& samples) const {
  uint64_t collected = 0;
  for (const Hosted& hosted : AllHosted()) {
    const storage::ReplicaStore& store = hosted.machine->store();
    collected += store.collected();
    samples.push_back({"basalt_version_horizon_seconds",
                       "Unix time below which old versions are gone; 0: none went yet.",
                       false,
                       {{"shard", std::to_string(hosted.machine->group().value())}},
                       static_cast<double>(StampMilliseconds(store.horizon())) / 1000});
  }
  samples.push_back({"basalt_versions_collected_total",
                     "Old versions dropped from replicas that live here.",
                     true,
                     {},
                     static_cast<double>(collected)});
}

std::vector<std::string> ShardHost::Stalled(std::chrono::milliseconds limit) const {
  std::vector<std::string> stalled;
  const MonotonicTime now = ports_.clock.Now();
  if (now - group_thread_.last_round() > limit) stalled.push_back("groups");
  if (now - apply_thread_.last_round() > limit) stalled.push_back("apply");
  return stalled;
}

}  // namespace basalt::server
