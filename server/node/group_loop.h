// GroupLoop: all Raft groups of a node, driven by events. One owner (the group thread; in the
// simulator its one thread) calls Handle for what has gathered and then FinishTurn, which carries
// out the effects of all groups together: one Transport::Send, one LogStore::Append.
//
// Batching needs no timer: while the log is busy with `log_appends_max` turns, writes gather and
// go as one entry per group when a turn becomes durable. Reads gather likewise behind the rounds
// of heartbeats that are under way, unless a lease makes a round needless. A replica that does not
// lead asks its leader for a round, for requests that want READ_INDEX.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "raft/group.h"
#include "raft/transport.h"
#include "server/clock/hybrid_clock.h"
#include "server/clock/known_time.h"
#include "server/node/session_retention.h"
#include "server/node/version_retention.h"
#include "server/node/work.h"

namespace basalt::server {

// For metrics: written by the loop, read by any thread.
struct GroupLoopCounters {
  std::atomic<uint64_t> campaigns{0};  // elections begun by replicas of this node
  std::atomic<uint64_t> leaderships_won{0};
  std::atomic<uint64_t> leaderships_lost{0};
  std::atomic<uint64_t> transfers{0};  // begun on request
  std::atomic<uint64_t> proposals{0};  // entries
  std::atomic<uint64_t> proposals_refused{0};
  std::atomic<uint64_t> commands{0};  // in those entries
  std::atomic<uint64_t> read_rounds{0};
  std::atomic<uint64_t> horizons{0};     // proposed
  std::atomic<uint64_t> forgettings{0};  // of sessions, proposed
  std::atomic<uint64_t> ceilings{0};     // proposed
  // Leaderships here that began with a ceiling above the clock.
  std::atomic<uint64_t> ceilings_passed{0};
  // Reads at a timestamp that waited here for what they need to be applied.
  std::atomic<uint64_t> snapshot_waits{0};
  std::atomic<uint64_t> checkpoint_logs_given_up{0};
  // By followers of this node (raft::CoreStatus); looked at with compaction.
  std::atomic<uint64_t> heartbeats_missed{0};
  // Replicas with a write under way for too long to lead; looked at with compaction.
  std::atomic<uint64_t> disks_stalled{0};
  std::atomic<int64_t> clock_ahead_ms{0};  // of the median of the nodes
  // Bytes of entries in memory; likewise.
  std::atomic<uint64_t> entry_bytes{0};
  // Bytes by which clients are remembered; likewise.
  std::atomic<uint64_t> session_bytes{0};
};

struct GroupLoopOptions {
  uint32_t log_appends_max = 2;
  uint32_t read_rounds_max = 2;  // per group
  size_t entry_bytes_max = 1u << 20;
  // Bytes of writes that may gather per group before new ones are refused as overload.
  size_t gathered_bytes_max = 64u << 20;
  // Of one group: what may lie with the apply thread while it sleeps, when nobody waits for it.
  size_t quiet_bytes_max = 128u << 10;
  // Recent log kept for followers that lag, per group, in bytes.
  uint64_t retained_log_bytes = 16u << 20;
  // What the node may log, all groups together, while a group keeps its log for a follower that is
  // brought up by a checkpoint.
  uint64_t checkpoint_log_bytes_max = 4ull << 30;
  uint32_t ticks_per_compaction_check = 20;
  VersionRetention::Limits versions;
  SessionRetention::Limits sessions;
};

class GroupLoop {
 public:
  // All that a loop acts upon; outlives it.
  struct Ports {
    raft::Transport& transport;
    raft::LogStore& log;
    ApplyInbox& apply;
    FeedInbox& feed;
    LeaderObserver& leaders;
    const Clock& clock;
    KnownTime& time;
    RequestObserver* observer = nullptr;
  };

  GroupLoop(const GroupLoopOptions& options, Ports ports, HybridClock hybrid_clock);
  ~GroupLoop();

  // Before the first event. `totals` are the state machine's. `campaign`:
  // stand for election again and again, without waiting for timeouts, until the group has its first
  // leader.
  void AddGroup(const raft::CoreOptions& options, raft::RecoveredState recovered,
                const StateTotals& totals, bool campaign);

  void Handle(GroupEvent event);
  void FinishTurn();
  // The end: refuses what has gathered and was never proposed.
  void Abandon();

  const GroupLoopCounters& counters() const { return counters_; }

 private:
  struct Hosted;
  struct SnapshotRead;

  void On(TickPassed& event);
  void On(PeerMessagesArrived& event);
  void On(LinkLost& event);
  void On(WritesArrived& event);
  void On(ReadsArrived& event);
  void On(OwnCommandArrived& event);
  void On(CommitsArrived& event);
  void On(ProposalsArrived& event);
  void On(TransferAsked& event);
  void On(WritesPersisted& event);
  void On(EntriesApplied& event);
  void On(EntriesFetched& event);
  void On(CheckpointMade& event);
  void On(CheckpointSent& event);
  void On(CheckpointStaged& event);
  void On(CheckpointInstalled& event);
  void On(CheckpointRefused& event);
  void On(StatesAsked& event);
  void On(StateFlushed& event);
  void On(GroupAdded& event);
  void On(GroupRemoved& event);
  void On(MembershipChangeAsked& event);

  // The clock, for the cores: after an event arrived, before a core hears of it (RaftCore::SetNow).
  void TakeTime();
  MonotonicTime TakenTime() const { return MonotonicTime(static_cast<int64_t>(now_.value())); }
  // Null: no replica of it lives here. Its core has been told the time of this event.
  Hosted* Find(raft::GroupId group);
  void MarkDirty(Hosted& hosted);
  bool Serves(const Hosted& hosted) const;
  // 0: of the newest.
  static Stamp AtOf(const v1::Request& request);

  void ProposeGathered(Hosted& hosted);
  bool ProposeEntry(Hosted& hosted, size_t count, size_t bytes);
  void NoteProposed(Hosted& hosted, const raft::Proposed& proposed);
  void NoteMoments(Hosted& hosted);
  static std::vector<NotedEntry> TakeNoted(Hosted& hosted, raft::LogIndex through);
  void StartReads(Hosted& hosted);
  void BeginToServe(Hosted& hosted);
  void TakeSnapshotRead(Hosted& hosted, PendingRead read);
  void StartSnapshotReads(Hosted& hosted);
  bool MayStart(Hosted& hosted, SnapshotRead& waiting);
  void ServeByLease(Hosted& hosted);
  void Serve(Hosted& hosted, raft::LogIndex index, std::vector<PendingRead> reads);
  void StartReadRound(Hosted& hosted);
  void RefuseGathered(Hosted& hosted, v1::Code code);
  void ExpireGathered(Hosted& hosted);
  void CampaignAgain(Hosted& hosted);
  void ProposeHorizon(Hosted& hosted);
  static bool SetsRetention(const Hosted& hosted);
  void ProposeForgetting(Hosted& hosted);
  void ProposeOwn(Hosted& hosted, std::string encoded_command);
  void NoteTotals(Hosted& hosted, const StateTotals& totals);
  void FollowClocks();
  void SetPriority(Hosted& hosted);
  void AnswerClocks(const Hosted& hosted, std::vector<PendingRead>& reads);
  bool IsPlausible(Stamp issued);
  void Compact(Hosted& hosted);
  void RefuseStaged(Hosted& hosted);
  void RefuseAll(Hosted& hosted, v1::Code code, const char* why);

  void PublishLease(Hosted& hosted);
  void CarryOut(raft::Turn& turn);
  void HandOutToApply(Hosted& hosted, std::vector<raft::Entry> entries);
  void OnLeadership(Hosted& hosted, const raft::Leadership& leadership);
  void TellLedTerm(const Hosted& hosted, bool leads);
  void FollowConfiguration(Hosted& hosted);
  void OnConfirmedRead(Hosted& hosted, const raft::ConfirmedRead& read);
  void OnRefusedRead(Hosted& hosted, raft::ReadId read);
  void OnInstall(Hosted& hosted, raft::LogBase base);

  void Refuse(const Hosted& hosted, const PendingWrite& write, v1::Code code);
  void Refuse(const Hosted& hosted, const PendingRead& read, v1::Code code);
  void Refuse(const Hosted& hosted, const PendingCommit& commit, v1::Code code);
  void AddLeader(const Hosted& hosted, v1::Response& response) const;
  static v1::Response MakeTooFarAhead(uint64_t request_id, bool is_write);
  static v1::Response MakeRefusal(uint64_t request_id, v1::Code code, bool is_write);

  GroupLoopOptions options_;
  Ports ports_;
  HybridClock hybrid_clock_;
  std::map<raft::GroupId, std::unique_ptr<Hosted>> hosted_;
  std::vector<Hosted*> dirty_;
  static void Count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
    counter.fetch_add(n, std::memory_order_relaxed);
  }

  GroupLoopCounters counters_;
  ReplyBuffer replies_;
  struct Append {
    uint32_t writes;  // not yet durable
    raft::Time began;
  };
  std::deque<Append> appends_;  // under way
  uint64_t next_read_ = 1;
  uint64_t ticks_ = 0;
  bool clock_is_off_ = false;
  uint64_t log_bytes_ = 0;  // of all groups, since the start
  raft::Time now_;
};

}  // namespace basalt::server
