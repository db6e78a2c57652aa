#include "tests/simulator/virtual_process.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "raft/wire/raft_wire.h"
#include "server/node/fetch_failure.h"
#include "server/shard/shard_commands.h"

namespace basalt::testing {
namespace {

constexpr milliseconds kTick{50};
constexpr milliseconds kMaintenance{250};
constexpr uint64_t kMaintenancesPerTime = 4;  // once a second
constexpr uint64_t kRequestBytesMax = 64u << 20;
constexpr uint64_t kInstallMax = 80;  // milliseconds
// Between two looks of the apply thread at what nobody woke it for.
constexpr milliseconds kApplyPauseMax{100};

}  // namespace

VirtualProcess::VirtualProcess(const ProcessOptions& options, Ports ports)
    : options_(options),
      ports_(std::move(ports)),
      random_(options.seed),
      known_time_(ports_.clock),
      engines_(ports_.disk, {.flush_every_bytes = options.flush_every_bytes}),
      budget_(kRequestBytesMax),
      dispatch_({}, {view_, *this, budget_, ports_.clock, lease_reads_, this}),
      apply_loop_({*this, ports_.clock,
                   [this](uint64_t shard_id) { return view_.leader(shard_id); },
                   [](const absl::Status& why) { BASALT_CHECK_MSG(false, base::Message(why)); }}),
      replicas_(raft::NodeId(options.node), kShardsDirectory, kLogDirectory,
                {ports_.disk, engines_,
                 [](uint64_t) {
                   return std::make_unique<server::ShardCommands>(
                       server::ShardCommandsOptions{.check_every_key = true});
                 },
                 &apply_loop_}),
      checkpoints_(*this) {
  apply_loop_.SetPost(this);
}

VirtualProcess::~VirtualProcess() = default;

absl::Status VirtualProcess::Start(const v1::ClusterMap& founding, const v1::ClusterMap& map) {
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
  BASALT_ASSIGN_OR_RETURN(std::unique_ptr<storage::RaftLog> log, OpenLog());
  BASALT_RETURN_IF_ERROR(replicas_.Found(*log, founding));
  BASALT_ASSIGN_OR_RETURN(std::vector<server::OpenedReplica> opened,
                          replicas_.OpenAll(*log, founding));
  log_ = std::make_unique<VirtualLog>(
      VirtualLog::Ports{ports_.disk, ports_.after, ports_.time, ports_.disk_speed, *this,
                        ports_.watcher, options_.node, random_,
                        options_.commits_before_false_alarm},
      std::move(log), options_.segment_bytes);
  server::GroupLoopOptions loop_options;
  loop_options.retained_log_bytes = options_.retained_log_bytes;
  loop_options.ticks_per_compaction_check = 4;
  loop_options.versions = options_.versions;
  loop_options.sessions = options_.sessions;
  group_loop_ = std::make_unique<server::GroupLoop>(
      loop_options,
      server::GroupLoop::Ports{*this, *log_, *this, *this, *this, ports_.clock, known_time_},
      server::HybridClock(ports_.clock.WallMilliseconds(), ports_.clock.Now()));
  for (server::OpenedReplica& replica : opened) {
    const raft::CoreOptions core_options = Host(replica);
    server::ReplicaStateMachine& opened_machine = machine(replica.group);
    apply_loop_.AddReplica(opened_machine);
    group_loop_->AddGroup(core_options, std::move(replica.recovered), opened_machine.totals(),
                          false);
  }
  view_.Set(map);
  ports_.after(milliseconds(random_.Between(0, 50)), [this] { Tick(); });
  ports_.after(kMaintenance, [this] { Maintain(); });
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<storage::RaftLog>> VirtualProcess::OpenLog() {
  storage::RaftLogOptions log_options;
  log_options.segment_bytes = options_.segment_bytes;
  log_options.copy_segment_bytes_max = options_.segment_bytes / 4;
  log_options.identity_for_new_log = options_.node;
  if (options_.has_log) log_options.expected_identity = options_.node;
  return storage::RaftLog::Open(ports_.disk, kLogDirectory, log_options);
}

raft::CoreOptions VirtualProcess::CoreOptionsOf(const server::OpenedReplica& replica) {
  raft::CoreOptions core_options;
  core_options.group = replica.group;
  core_options.self = replica.self;
  core_options.node = raft::NodeId(options_.node);
  core_options.seed = options_.seed + replica.group.value();
  core_options.memory_bytes_max = options_.memory_bytes_max;
  core_options.append_bytes_max = options_.append_bytes_max;
  core_options.check_thoroughly = options_.check_thoroughly;
  core_options.leases = options_.leases;
  const std::chrono::nanoseconds timeout = core_options.election_timeout_ticks * kTick;
  core_options.election_timeout = raft::Time(static_cast<uint64_t>(timeout.count()));
  // As server/config/node_config.h has it.
  core_options.promise = raft::Time(core_options.election_timeout.value() * 2 / 3);
  core_options.lease_duration =
      raft::LeaseDuration(core_options.promise, options_.drift_percent_max);
  core_options.disk_stall = core_options.election_timeout;
  core_options.priority = options_.leader_priority;
  core_options.life = random_.Next();
  return core_options;
}

raft::CoreOptions VirtualProcess::Host(server::OpenedReplica& opened) {
  const raft::CoreOptions core_options = CoreOptionsOf(opened);
  ports_.watcher.OnOpened(options_.node, core_options, opened.recovered);
  const std::shared_ptr<server::ReplicaStateMachine> machine = std::move(opened.machine);
  lease_reads_.Add(opened.group, machine);
  const bool added = hosted_.emplace(opened.group, Hosted{opened.self, machine}).second;
  BASALT_CHECK(added);
  return core_options;
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
  if (ports_.time.Now() < groups_held_until_) {
    return ports_.after(groups_held_until_ - ports_.time.Now() + microseconds(1),
                        [this] { GroupRound(); });
  }
  group_round_planned_ = false;
  // As many as were missed count as one.
  if (std::exchange(tick_due_, false)) group_events_.push_back(server::TickPassed{});
  for (server::GroupEvent& event : std::exchange(group_events_, {})) {
    group_loop_->Handle(std::move(event));
  }
  group_loop_->FinishTurn();
  MarkSnapshots();
}

void VirtualProcess::MarkSnapshots() {
  const server::GroupLoopCounters& counters = group_loop_->counters();
  ports_.findings.Mark("a read at a timestamp waited for a ceiling",
                       counters.snapshot_waits.load() - snapshot_waits_);
  ports_.findings.Mark("a new leader began above its clock, at a ceiling",
                       counters.ceilings_passed.load() - ceilings_passed_);
  snapshot_waits_ = counters.snapshot_waits.load();
  ceilings_passed_ = counters.ceilings_passed.load();
}

void VirtualProcess::MarkTransactions() {
  constexpr std::array<std::string_view, 4> kMarks = {
      "a request waited for a lock", "a request was refused as the younger one",
      "a leader asked after locks that nobody had ended", "a read waited for a lock"};
  const server::ApplyLoopCounters& counters = apply_loop_.counters();
  const std::array<uint64_t, 4> now = {counters.txn.waits.load(), counters.txn.dies.load(),
                                       counters.txn.asks.load(), counters.blocked_reads.load()};
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i] > txn_counts_[i]) ports_.findings.Mark(kMarks[i], now[i] - txn_counts_[i]);
  }
  txn_counts_ = now;
}

void VirtualProcess::Put(server::ApplyWork work) {
  if (const auto* serve = std::get_if<server::ServeReads>(&work)) {
    if (!serve->reads.empty() && serve->reads.front().confirmed_by == v1::READ_MODE_LEASE) {
      ports_.watcher.OnLeaseRead(options_.node, serve->group, /*answered=*/false);
    }
  }
  const bool installs = std::holds_alternative<server::InstallCheckpoint>(work);
  apply_works_.push_back(std::move(work));
  PlanApplyRound(installs);
}

void VirtualProcess::PutQuietly(server::ApplyWork work) {
  const bool applies = std::holds_alternative<server::ApplyEntries>(work);
  apply_works_.push_back(std::move(work));
  if (!applies || std::exchange(apply_looks_, true)) return;
  ports_.after(kApplyPauseMax, [this] {
    apply_looks_ = false;
    ApplyRound();
  });
}

void VirtualProcess::PlanApplyRound(bool installs) {
  if (std::exchange(apply_round_planned_, true)) return;
  // For an install a replica is closed, moved and opened.
  const server::MonotonicTime delay =
      installs ? milliseconds(random_.Between(1, kInstallMax)) : Pause();
  ports_.after(delay, [this] { ApplyRound(); });
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
    // What has gathered may be applied.
    changed = changed || std::holds_alternative<server::SweepDeadlines>(work);
    const auto* install = std::get_if<server::InstallCheckpoint>(&work);
    if (install == nullptr) {
      apply_loop_.Handle(std::move(work));
      continue;
    }
    const raft::GroupId group = install->group;
    const raft::LogBase before = AppliedOf(group);
    apply_loop_.Handle(std::move(work));
    changed = true;
    if (dead()) {
      ports_.findings.Mark("died inside an install");
    } else if (AppliedOf(group).index > before.index) {
      ports_.findings.Mark("checkpoints installed");
      // A new replica has no members: that it needs a checkpoint has nothing to do with compaction.
      if (!before.configuration.members.empty()) {
        ports_.findings.Mark("a follower behind the compaction installed a checkpoint");
      }
    }
  }
  if (!dead()) apply_loop_.FinishRound();
  MarkTransactions();
  if (!dead() && changed) ReportApplied();
}

raft::LogBase VirtualProcess::AppliedOf(raft::GroupId group) const {
  const auto hosted = hosted_.find(group);
  return hosted == hosted_.end() ? raft::LogBase{} : hosted->second.machine->applied();
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
  tick_due_ = true;
  if (ports_.time.Now() < groups_held_until_) {
    PlanGroupRound();
  } else {
    GroupRound();
  }
  // The apply thread looks at what was put quietly twice a second at least.
  PlanApplyRound(/*installs=*/false);
}

void VirtualProcess::TellTime() {
  const uint64_t time_ms = known_time_.Milliseconds();
  const uint64_t clock_ms = known_time_.OwnMilliseconds();
  const uint64_t self = options_.node;
  for (const v1::NodeDescriptor& node : view_.known()->map.nodes()) {
    const uint64_t to = node.node_id();
    if (to == self) continue;
    ports_.network.SendSteadily(self, to, [&others = ports_.others, self, to, time_ms, clock_ms] {
      others.Visit(to, 0, [self, time_ms, clock_ms](VirtualProcess& there) {
        there.ReceiveTime(self, time_ms, clock_ms);
      });
    });
  }
}

void VirtualProcess::Maintain() {
  ports_.after(kMaintenance, [this] { Maintain(); });
  if (ports_.time.Now() < ports_.disk_speed.stalled_until) return;
  if (++maintained_ % kMaintenancesPerTime == 0) TellTime();
  std::map<raft::GroupId, raft::LogIndex> let_go;
  for (const auto& pinning : log_->log().GroupsPinning()) {
    const auto hosted = hosted_.find(pinning.group);
    if (hosted == hosted_.end() || hosted->second.replica != pinning.replica) continue;
    hosted->second.machine->Flush();
    if (dead()) return;
    let_go[pinning.group] = pinning.through;
  }
  for (const auto& [group, hosted] : hosted_) {
    Put(server::GroupEvent(
        server::StateFlushed{group, hosted.replica, hosted.machine->flushed(), let_go[group]}));
    storage::ReplicaStore& store = hosted.machine->store();
    const uint64_t collected = store.collected();
    store.Collect();
    ports_.findings.Mark("a version was collected", store.collected() - collected);
    store.RemoveRetired();
    if (dead()) return;
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

void VirtualProcess::OnLease(raft::GroupId group, std::optional<raft::LeaseGrant> lease) {
  lease_reads_.Publish(group, lease);
}

void VirtualProcess::OnAnswered(server::RequestKind /*kind*/, uint64_t shard_id, v1::Code /*code*/,
                                server::MonotonicTime /*took*/) {
  ports_.findings.Mark("reads by lease on arrival");
  ports_.watcher.OnLeaseRead(options_.node, raft::GroupId(shard_id), /*answered=*/true);
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
    const uint64_t time_ms = known_time_.Milliseconds();
    ports_.network.Send(options_.node, to, DigestOf(bytes), [&] {
      return [&others = ports_.others, to, bytes, time_ms] {
        others.Visit(to, 0, [bytes, time_ms](VirtualProcess& there) {
          there.ReceiveMessage(bytes, time_ms);
        });
      };
    });
  }
}

// Each by itself: what one frame of the node carries may as well be cut in two.
void VirtualProcess::Post(raft::NodeId to, std::vector<v1::TxnMessage> messages) {
  if (dead()) return;
  for (const v1::TxnMessage& message : messages) {
    ports_.watcher.OnTransactionSent(options_.node, message);
    const std::string bytes = message.SerializeAsString();
    ports_.network.Send(options_.node, to.value(), DigestOf(bytes), [&] {
      return [&others = ports_.others, to, bytes] {
        others.Visit(to.value(), 0,
                     [bytes](VirtualProcess& there) { there.ReceiveTransaction(bytes); });
      };
    });
  }
}

void VirtualProcess::ReceiveTransaction(const std::string& bytes) {
  server::TxnMessagesArrived arrived;
  BASALT_CHECK(arrived.messages.emplace_back().ParseFromString(bytes));
  Put(server::ApplyWork(std::move(arrived)));
}

void VirtualProcess::ReceiveMessage(const std::string& bytes, uint64_t time_ms) {
  known_time_.Hear(time_ms);
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

void VirtualProcess::SpoilAnswers(std::vector<v1::Response>& answers) {
  const uint64_t first = answers_ + 1;
  answers_ += answers.size();
  const auto place = [&](uint64_t answer) {
    return answers.begin() + static_cast<ptrdiff_t>(answer - first);
  };
  const auto is_here = [&](uint64_t answer) { return answer >= first && answer <= answers_; };
  if (is_here(options_.doubled_answer)) answers.push_back(*place(options_.doubled_answer));
  if (is_here(options_.lost_answer)) answers.erase(place(options_.lost_answer));
}

std::vector<server::GroupState> VirtualProcess::States() {
  std::vector<server::GroupState> result;
  if (group_loop_ == nullptr) return result;
  group_loop_->Handle(server::StatesAsked{
      [&](std::vector<server::GroupState> states) { result = std::move(states); }});
  return result;
}

void VirtualProcess::Put(server::FeedWork work) {
  if (auto* fetch = std::get_if<server::FetchForFollower>(&work)) {
    ports_.after(Pause(), [this, fetch = *fetch] { Fetch(fetch); });
    return;
  }
  if (const auto* led = std::get_if<server::LedTermChanged>(&work)) {
    checkpoints_.OnLedTerm(*led);
    return;
  }
  ports_.after(Pause(), [this, send = std::get<server::CheckpointForFollower>(work)] {
    const auto hosted = hosted_.find(send.group);
    if (hosted != hosted_.end()) hosted->second.machine->Flush();
    if (dead()) return;
    Put(server::ApplyWork(server::WithStateMachine{
        send.group,
        [this, send](raft::StateMachine* machine) { checkpoints_.Make(send, machine); }}));
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
    const bool for_itself = fetch.follower == work.self && ReplicaOf(work.group) == work.self;
    if (server::FailureOf(entries.status(), for_itself) == server::FetchFailure::kDiskFailed) {
      ports_.disk.EndProcess(entries.status());
      return;
    }
    entries = std::vector<raft::Entry>();
  }
  Put(server::GroupEvent(server::EntriesFetched{work.group, fetch.follower, *std::move(entries)}));
}

}  // namespace basalt::testing
