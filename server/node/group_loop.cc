#include "server/node/group_loop.h"

#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "server/node/hosted_group.h"

namespace basalt::server {

GroupLoop::GroupLoop(const GroupLoopOptions& options, Ports ports, HybridClock hybrid_clock)
    : options_(options),
      ports_(ports),
      hybrid_clock_(hybrid_clock),
      replies_(ports.observer, ports.clock) {}

GroupLoop::~GroupLoop() = default;

void GroupLoop::AddGroup(const raft::CoreOptions& options, raft::RecoveredState recovered,
                         const StateTotals& totals, bool campaign) {
  const raft::LogBase applied = recovered.applied;
  LogRetention retention({options_.retained_log_bytes, options_.checkpoint_log_bytes_max});
  retention.Recovered(recovered.entries);
  auto hosted =
      std::make_unique<Hosted>(options, std::move(recovered), std::move(retention), options_);
  hosted->flushed = applied.index;
  hosted->applied_term = applied.term;
  hosted->campaign = campaign;
  hosted->priority = options.priority;
  SetPriority(*hosted);
  TakeTime();
  NoteTotals(*hosted, totals);
  hosted->group.core().SetNow(now_);
  if (campaign) hosted->group.core().Campaign();
  MarkDirty(*hosted);
  const bool added = hosted_.emplace(options.group, std::move(hosted)).second;
  BASALT_CHECK(added);
}

void GroupLoop::Handle(GroupEvent event) {
  TakeTime();
  std::visit([this](auto& e) { On(e); }, event);
}

GroupLoop::Hosted* GroupLoop::Find(raft::GroupId group) {
  const auto place = hosted_.find(group);
  if (place == hosted_.end()) return nullptr;
  place->second->group.core().SetNow(now_);
  return place->second.get();
}

void GroupLoop::TakeTime() { now_ = raft::Time(static_cast<uint64_t>(ports_.clock.Now().count())); }

void GroupLoop::MarkDirty(Hosted& hosted) {
  if (std::exchange(hosted.dirty, true)) return;
  dirty_.push_back(&hosted);
}

void GroupLoop::On(TickPassed&) {
  ++ticks_;
  uint64_t disks_stalled = 0;
  uint64_t entry_bytes = 0;
  uint64_t session_bytes = 0;
  const bool check_compaction = ticks_ % options_.ticks_per_compaction_check == 0;
  if (check_compaction) FollowClocks();
  // A leader whose writes gather here has none under way of its own by which it would see that the
  // disk stands still.
  const std::optional<raft::Time> log_busy_since =
      appends_.empty() ? std::nullopt : std::optional(appends_.front().began);
  for (auto& [group, hosted] : hosted_) {
    hosted->group.core().SetNow(now_);
    hosted->group.core().SetLogBusySince(log_busy_since);
    hosted->group.core().Tick();
    if (hosted->campaign && ticks_ % 2 == 0) CampaignAgain(*hosted);
    ExpireGathered(*hosted);
    ProposeHorizon(*hosted);
    ProposeForgetting(*hosted);
    if (check_compaction) {
      Compact(*hosted);
      entry_bytes += hosted->group.core().status().memory_bytes;
      session_bytes += hosted->sessions.bytes();
    }
    if (hosted->disk_stalled) ++disks_stalled;
    MarkDirty(*hosted);
  }
  counters_.disks_stalled.store(disks_stalled, std::memory_order_relaxed);
  if (check_compaction) {
    counters_.entry_bytes.store(entry_bytes, std::memory_order_relaxed);
    counters_.session_bytes.store(session_bytes, std::memory_order_relaxed);
  }
  ports_.apply.PutQuietly(SweepDeadlines{});
}

void GroupLoop::FollowClocks() {
  hybrid_clock_.Shift(ports_.time.Slew());
  const int64_t ahead = ports_.time.AheadOfMedian();
  counters_.clock_ahead_ms.store(ahead, std::memory_order_relaxed);
  // Comes back only once it is nearer by a fifth, so that it does not go to and fro.
  const int64_t least = clock_is_off_ ? kFarOffMs * 4 / 5 : kFarOffMs;
  const bool is_off = std::abs(ahead) > least;
  if (is_off == std::exchange(clock_is_off_, is_off)) return;
  for (auto& [group, hosted] : hosted_) SetPriority(*hosted);
}

// Shards are stamped by their leaders' clocks: one that is far off leads only where nobody else
// can. So does one whose rows are damaged, for it has none to give to who lags.
void GroupLoop::SetPriority(Hosted& hosted) {
  hosted.group.core().SetPriority(clock_is_off_ || hosted.is_damaged ? 0 : hosted.priority);
}

void GroupLoop::NoteTotals(Hosted& hosted, const StateTotals& totals) {
  hybrid_clock_.Pass(totals.highest_stamp);
  // When it was given out, some node called a time at most so far below it by its name. That node
  // may have started since, with a clock that was set back; other shards must go on to take what
  // clients of this one know.
  if (const uint64_t stamped = StampMilliseconds(totals.highest_stamp); stamped > kAheadMaxMs) {
    ports_.time.Hear(stamped - kAheadMaxMs);
  }
  hosted.versions.Applied(TakenTime(), totals.highest_stamp, totals.versions);
  hosted.sessions.Applied(TakenTime(), totals.highest_stamp, totals.sessions, totals.outcomes);
  hosted.snapshots.Applied(hosted.applied_term, totals.highest_stamp, totals.ceiling);
}

// The first time, peers may not have been reachable yet.
void GroupLoop::CampaignAgain(Hosted& hosted) {
  // Votes that are on their way count for this candidacy only; its own timer ends it. Pre-votes
  // count for the next one too, which is for the same term.
  if (hosted.group.core().status().leadership.role == raft::Role::kCandidate) return;
  hosted.group.core().Campaign();
}

void GroupLoop::On(PeerMessagesArrived& event) {
  for (raft::Message& message : event.messages) {
    Hosted* hosted = Find(message.group);
    if (hosted == nullptr || message.to != hosted->group.self()) continue;
    hosted->group.core().Step(std::move(message));
    MarkDirty(*hosted);
  }
}

void GroupLoop::On(LinkLost& event) {
  for (auto& [group, hosted] : hosted_) {
    hosted->group.core().SetNow(now_);
    hosted->group.core().OnLinkLost(event.node);
  }
}

void GroupLoop::On(TransferAsked& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) {
    event.done(raft::TransferAnswer::kNotLeader);
    return;
  }
  const raft::TransferAnswer answer = hosted->group.core().TransferLeadership(event.to);
  if (answer == raft::TransferAnswer::kStarted) Count(counters_.transfers);
  MarkDirty(*hosted);
  event.done(answer);
}

void GroupLoop::On(WritesPersisted& event) {
  for (const raft::PersistDone& done : event.done) {
    BASALT_CHECK(!appends_.empty());
    if (--appends_.front().writes == 0) appends_.pop_front();
    Hosted* hosted = Find(done.group);
    if (hosted == nullptr) continue;  // removed meanwhile
    hosted->group.OnPersisted(done.id);
    MarkDirty(*hosted);
  }
}

void GroupLoop::On(EntriesApplied& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) return;  // removed meanwhile
  const bool served = Serves(*hosted);
  hosted->applied_term = event.term;
  NoteTotals(*hosted, event.totals);
  if (!served && Serves(*hosted)) BeginToServe(*hosted);
  if (!hosted->snapshot_reads.empty()) StartSnapshotReads(*hosted);
  hosted->group.core().OnApplied(event.index);
  MarkDirty(*hosted);
}

void GroupLoop::On(EntriesFetched& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) return;  // removed meanwhile
  hosted->group.core().OnEntriesFetched(event.follower, std::move(event.entries));
  MarkDirty(*hosted);
}

void GroupLoop::On(CheckpointMade& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) return;  // removed meanwhile
  hosted->retention.BringUp(event.follower, event.base, log_bytes_);
}

void GroupLoop::On(CheckpointSent& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) return;  // removed meanwhile
  if (event.damaged && !std::exchange(hosted->is_damaged, true)) {
    SetPriority(*hosted);
    hosted->group.core().TransferLeadership(raft::ReplicaId(0));
    MarkDirty(*hosted);
  }
  // Of a term that is over: by now another one may be on its way to the follower.
  if (!event.installed && event.term != hosted->leader_term) return;
  hosted->retention.CheckpointSent(event.follower, event.installed.has_value());
  hosted->group.core().OnCheckpointSent(event.follower, event.installed);
  MarkDirty(*hosted);
}

void GroupLoop::On(CheckpointStaged& event) {
  Hosted* hosted = Find(event.message.group);
  if (hosted == nullptr || event.message.to != hosted->group.self()) {
    event.done("this node has no such replica");
    return;
  }
  if (hosted->staged) {
    event.done("another checkpoint is being installed");
    return;
  }
  const raft::LogIndex index = std::get<raft::CheckpointArrived>(event.message.body).base.index;
  hosted->staged = Hosted::Staged{index, std::move(event.directory), std::move(event.done)};
  hosted->group.core().Step(std::move(event.message));
  MarkDirty(*hosted);
}

void GroupLoop::On(CheckpointInstalled& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) return;  // removed meanwhile
  hosted->applied_term = event.term;
  hosted->flushed = event.index;
  hosted->installing = false;
  hosted->is_damaged = false;  // these are others'
  SetPriority(*hosted);
  NoteTotals(*hosted, event.totals);
  hosted->group.core().OnCheckpointInstalled(event.index);
  MarkDirty(*hosted);
}

void GroupLoop::On(CheckpointRefused& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) return;  // removed meanwhile
  hosted->installing = false;
  hosted->group.core().OnCheckpointRefused(event.index);
  MarkDirty(*hosted);
}

void GroupLoop::On(StateFlushed& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr || hosted->group.self() != event.replica) return;  // removed meanwhile
  if (event.index > hosted->flushed) hosted->flushed = event.index;
  hosted->retention.LetGo(event.let_go);
}

void GroupLoop::On(MembershipChangeAsked& event) {
  Hosted* hosted = Find(event.group);
  if (hosted == nullptr) {
    event.done(raft::ChangeRefusal::kNotLeader);
    return;
  }
  event.done(hosted->group.core().ChangeMembership(std::move(event.target)));
  MarkDirty(*hosted);
}

void GroupLoop::On(StatesAsked& event) {
  std::vector<GroupState> states;
  for (const auto& [group, hosted] : hosted_) {
    states.push_back(
        {group, hosted->group.self(), hosted->group.core().status(), hosted->leader_node});
  }
  event.reply(std::move(states));
}

// Lets the log go below what the state machine has flushed, but for what is retained for followers.
void GroupLoop::Compact(Hosted& hosted) {
  const raft::CoreStatus status = hosted.group.core().status();
  hosted.disk_stalled = status.disk_stalled;
  const uint64_t missed = std::exchange(hosted.heartbeats_missed, status.heartbeats_missed);
  Count(counters_.heartbeats_missed, status.heartbeats_missed - missed);
  const uint64_t given_up = hosted.retention.given_up();
  const raft::LogIndex through =
      hosted.retention.MayDropThrough(status, hosted.flushed, log_bytes_);
  Count(counters_.checkpoint_logs_given_up, hosted.retention.given_up() - given_up);
  if (through > status.base && !hosted.installing) hosted.group.core().Compact(through);
}

void GroupLoop::FinishTurn() {
  TakeTime();
  // A core that becomes leader, or a log that becomes free, lets gathered requests go: they enter
  // the cores before the effects are taken, so that all leave in this turn.
  if (appends_.size() < options_.log_appends_max) {
    for (auto& [group, hosted] : hosted_) {
      if (!hosted->writes.empty()) ProposeGathered(*hosted);
    }
  }
  while (!dirty_.empty()) {
    raft::Turn turn;
    std::vector<Hosted*> dirty = std::exchange(dirty_, {});
    for (Hosted* hosted : dirty) {
      hosted->dirty = false;
      hosted->group.core().SetNow(now_);
      if (!hosted->reads.empty()) StartReads(*hosted);
      hosted->group.CollectInto(turn);
      NoteMoments(*hosted);
      PublishLease(*hosted);
      if (hosted->staged && !turn.HasInstall(hosted->group.id())) {
        RefuseStaged(*hosted);
      }
    }
    CarryOut(turn);
    for (Hosted* hosted : dirty) FollowConfiguration(*hosted);
  }
  replies_.Flush();
}

void GroupLoop::PublishLease(Hosted& hosted) {
  const std::optional<raft::LeaseGrant> lease = hosted.group.core().lease();
  if (lease == hosted.lease) return;
  hosted.lease = lease;
  ports_.leaders.OnLease(hosted.group.id(), lease);
}

// The core did not want it: what it stands for is here already, or its sender leads no more.
void GroupLoop::RefuseStaged(Hosted& hosted) {
  const Hosted::Staged staged = *std::exchange(hosted.staged, std::nullopt);
  const bool held = hosted.group.core().status().applied >= staged.index;
  staged.done(held ? "" : "the checkpoint is not of this term's leader");
}

void GroupLoop::RefuseAll(Hosted& hosted, v1::Code code, const char* why) {
  RefuseGathered(hosted, code);
  for (const auto& [id, reads] : hosted.rounds) {
    for (const PendingRead& read : reads) Refuse(hosted, read, code);
  }
  hosted.rounds.clear();
  if (hosted.staged) std::exchange(hosted.staged, std::nullopt)->done(why);
}

void GroupLoop::Abandon() {
  for (auto& [group, hosted] : hosted_) {
    RefuseAll(*hosted, v1::CODE_UNAVAILABLE, "the node is stopping");
  }
  replies_.Flush();
}

void GroupLoop::On(GroupAdded& event) {
  AddGroup(event.options, std::move(event.recovered), event.totals, /*campaign=*/false);
}

void GroupLoop::On(GroupRemoved& event) {
  if (Hosted* hosted = Find(event.group)) {
    hosted->leader_node = raft::NodeId(0);
    if (hosted->leads) TellLedTerm(*hosted, /*leads=*/false);
    RefuseAll(*hosted, v1::CODE_NOT_LEADER, "the replica was removed");
    std::erase(dirty_, hosted);
    hosted_.erase(event.group);
    ports_.leaders.OnLease(event.group, std::nullopt);
    ports_.leaders.OnLeader(event.group, raft::NodeId(0), raft::Term(0));
  }
  event.done();
}

void GroupLoop::CarryOut(raft::Turn& turn) {
  if (!turn.messages.empty()) ports_.transport.Send(std::move(turn.messages));
  if (!turn.writes.empty()) {
    for (const raft::LogWrite& write : turn.writes) {
      Find(write.group)->retention.Appended(write.persist.entries);
      for (const raft::Entry& entry : write.persist.entries) {
        log_bytes_ += raft::EntryBytes(entry);
      }
    }
    appends_.push_back({static_cast<uint32_t>(turn.writes.size()), now_});
    ports_.log.Append(std::move(turn.writes));
  }
  for (auto& [group, leadership] : turn.leaderships) OnLeadership(*Find(group), leadership);
  for (auto& [group, base] : turn.installs) OnInstall(*Find(group), std::move(base));
  for (auto& [group, entries] : turn.applies) {
    HandOutToApply(*Find(group), std::move(entries));
  }
  for (auto& [group, read] : turn.reads) OnConfirmedRead(*Find(group), read);
  for (auto& [group, read] : turn.refused_reads) OnRefusedRead(*Find(group), read);
  for (auto& [group, fetch] : turn.fetches) {
    ports_.feed.Put(FetchForFollower{group, Find(group)->group.self(), fetch});
  }
  for (auto& [group, send] : turn.checkpoints) {
    Hosted& hosted = *Find(group);
    // It will be of this index or a later one.
    hosted.retention.BringUp(send.follower, hosted.group.core().status().applied, log_bytes_);
    ports_.feed.Put(CheckpointForFollower{group, hosted.group.self(), send.term, send});
  }
}

// The apply thread is not woken for what nobody waits for: it looks ten times a second anyway.
void GroupLoop::HandOutToApply(Hosted& hosted, std::vector<raft::Entry> entries) {
  const bool awaited = hosted.leads || hosted.awaited_through >= entries.front().index;
  for (const raft::Entry& entry : entries) hosted.quiet_bytes += raft::EntryBytes(entry);
  std::vector<NotedEntry> noted = TakeNoted(hosted, entries.back().index);
  ApplyEntries work{hosted.group.id(), std::move(entries), hosted.leads, std::move(noted)};
  if (awaited || hosted.quiet_bytes >= options_.quiet_bytes_max) {
    hosted.quiet_bytes = 0;
    ports_.apply.Put(std::move(work));
  } else {
    ports_.apply.PutQuietly(std::move(work));
  }
}

void GroupLoop::OnLeadership(Hosted& hosted, const raft::Leadership& leadership) {
  hosted.leader = leadership.leader;
  hosted.leader_term = leadership.term;
  hosted.leader_node = hosted.NodeOf(leadership.leader);
  const bool leads = leadership.role == raft::Role::kLeader;
  if (leadership.role == raft::Role::kCandidate) Count(counters_.campaigns);
  if (leads && !hosted.leads) Count(counters_.leaderships_won);
  if (!leads && hosted.leads) {
    Count(counters_.leaderships_lost);
    hosted.awaited_through = hosted.group.core().status().last;  // by writes it had proposed
  }
  if (leads || hosted.leads) TellLedTerm(hosted, leads);
  hosted.leads = leads;
  if (hosted.leader_node != raft::NodeId(0)) hosted.campaign = false;
  ports_.leaders.OnLeader(hosted.group.id(), hosted.leader_node, leadership.term);
  if (leads) return;
  hosted.retention_set = raft::LogIndex(0);
  RefuseGathered(hosted, v1::CODE_NOT_LEADER);
}

void GroupLoop::TellLedTerm(const Hosted& hosted, bool leads) {
  LedTermChanged changed{hosted.group.id(), std::nullopt};
  if (leads) changed.term = hosted.leader_term;
  ports_.feed.Put(changed);
  ports_.apply.Put(LeadershipTold{hosted.group.id(), changed.term});
}

// A replica may hear of its leader before it has a configuration that names it. One that was left
// out of the configuration leads on for a while, from where it was.
void GroupLoop::FollowConfiguration(Hosted& hosted) {
  if (hosted.leader == raft::ReplicaId(0)) return;
  const raft::NodeId node = hosted.NodeOf(hosted.leader);
  if (node == raft::NodeId(0) || node == hosted.leader_node) return;
  hosted.leader_node = node;
  hosted.campaign = false;
  ports_.leaders.OnLeader(hosted.group.id(), node, hosted.leader_term);
}

void GroupLoop::OnInstall(Hosted& hosted, raft::LogBase base) {
  BASALT_CHECK(hosted.staged && hosted.staged->index == base.index);
  Hosted::Staged staged = *std::exchange(hosted.staged, std::nullopt);
  hosted.installing = true;
  ports_.apply.Put(InstallCheckpoint{hosted.group.id(), std::move(base),
                                     std::move(staged.directory), std::move(staged.done)});
}

}  // namespace basalt::server
