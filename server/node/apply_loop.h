// ApplyLoop: applies committed entries to the state machines of a node, answers the clients that
// wait for them, and serves confirmed reads once the state is new enough. One owner (the apply
// thread; in the simulator its one thread) calls Handle for what has gathered and then FinishRound,
// which sends the gathered answers.
//
// A write is answered by what became of its entry, told by (index, term): the same term applied it;
// another term at that index means that the entry is lost for good, hence "not applied"; a
// deadline, or a checkpoint that jumps over the index, leaves it "unknown".
//
// Transactions (docs/transactions.md): while this node leads a shard, a TxnDesk works here for it,
// which hears of every command of theirs as it is applied (apply_transactions.cc). A read that
// meets a lock that is held exclusively waits here until that has ended.
//
// What nobody waits for here, as on a follower, gathers for a while: the rows of a large run lie
// closer together, and finding a row's place in the memtable is most of what applying costs. All
// that needs the newest state (a read, a checkpoint, entries that clients wait for) has it applied
// first, so the work left to a new leader is bounded by Options.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/node/blocked_reads.h"
#include "server/node/stage_report.h"
#include "server/node/txn_desk.h"
#include "server/node/txn_post.h"
#include "server/node/work.h"
#include "server/shard/replica_state_machine.h"
#include "server/shard/shard_reads.h"

namespace basalt::server {

// For metrics: written by the loop, read by any thread.
struct ApplyLoopCounters {
  std::atomic<uint64_t> entries{0};
  std::atomic<uint64_t> commands{0};
  std::atomic<uint64_t> checkpoints_installed{0};
  std::atomic<uint64_t> lease_reads{0};
  std::atomic<uint64_t> round_reads{0};
  std::atomic<uint64_t> snapshot_reads{0};  // and those too old for it:
  std::atomic<uint64_t> too_old{0};
  // Answers to writes: with the result of an earlier run; to a client with too many open ones; to
  // one that was forgotten.
  std::atomic<uint64_t> repeated{0};
  std::atomic<uint64_t> turned_away{0};
  std::atomic<uint64_t> forgotten{0};
  std::atomic<uint64_t> blocked_reads{0};  // waited for a lock
  TxnCounters txn;
};

class ApplyLoop final : public ApplyObserver {
 public:
  struct Options {
    // Of one replica: with so much gathered it applies.
    size_t gathered_bytes_max = size_t{128} << 10;
    // Or at the first sweep so long after the first came.
    MonotonicTime gathering_max = std::chrono::milliseconds(150);
  };
  struct Ports {
    GroupInbox& groups;
    const Clock& clock;
    // Who leads, for answers that send a client elsewhere.
    std::function<v1::LeaderHint(uint64_t)> leader;
    // A replica that stopped for good: FailedPrecondition, an entry of a newer release; any other
    // code, damage or a disk that failed. Ends the process.
    std::function<void(const absl::Status&)> replica_stopped;
    RequestObserver* observer = nullptr;
    // A checkpoint that was not what its sender said; the replica goes on without it. May be empty.
    std::function<void(raft::GroupId, const absl::Status&)> checkpoint_refused;
  };

  // What commits and Prepares of transactions go by; without it they are refused. Before the first
  // Handle; outlives the last.
  void SetPost(TxnPost* post) { post_ = post; }

  explicit ApplyLoop(Ports ports) : ApplyLoop(std::move(ports), Options()) {}
  ApplyLoop(Ports ports, const Options& options)
      : options_(options),
        ports_(std::move(ports)),
        replies_(ports_.observer, ports_.clock),
        stages_(ports_.observer) {}

  // Before the first Handle. The machine was opened with this loop as its observer and outlives it.
  void AddReplica(ReplicaStateMachine& machine);

  void Handle(ApplyWork work);
  void FinishRound();
  // The end: answers whoever still waits, writes as "unknown".
  void Abandon();

  const ApplyLoopCounters& counters() const { return counters_; }

  void OnApplied(raft::GroupId group, const raft::Entry& entry,
                 std::span<const CommandOutcome> outcomes) override;

 private:
  struct Waiting {
    raft::Term term;
    std::vector<PendingWrite> writes;
    EntryMoments moments = {};
  };
  struct Replica {
    ReplicaStateMachine* machine = nullptr;
    std::multimap<raft::LogIndex, Waiting> writes;
    std::multimap<raft::LogIndex, std::vector<PendingRead>> reads;
    // Committed, not applied yet.
    std::vector<raft::Entry> gathered;
    size_t gathered_bytes = 0;
    MonotonicTime gathered_since{};
    bool awaited = false;      // something waits for what is gathered
    raft::Term reported_term;  // of the last entry that was applied
    uint64_t reported_ceiling = 0;
    std::optional<raft::Term> led;  // by this node
    std::unique_ptr<TxnDesk::Edge> edge;
    std::unique_ptr<TxnDesk> desk;  // once an entry of that term is applied
    BlockedReads blocked;
  };
  class DeskEdge;

  void On(WritesProposed& work);
  void On(ApplyEntries& work);
  void On(ServeReads& work);
  void On(InstallCheckpoint& work);
  void On(WithStateMachine& work);
  void On(ReplicaAdded& work);
  void On(ReplicaRemoved& work);
  void On(AppliedStatesAsked& work);
  void On(LeadershipTold& work);
  void On(CommitsAsked& work);
  void On(TxnMessagesArrived& work);
  void On(SweepDeadlines& work);

  // --- transactions ---
  void OpenDesk(Replica& replica);
  void CloseDesk(raft::GroupId group, Replica& replica, const char* why);
  void TellDesk(Replica& replica, std::span<const CommandOutcome> outcomes,
                std::span<const PendingWrite> ours);
  // Write `place` of the entry was turned away by a lock.
  void EndTicket(Replica& replica, const PendingWrite& write, const CommandOutcome& outcome);
  void WaitForLock(Replica& replica, const v1::Command& command, PendingWrite write);
  void AnswerLocked(raft::GroupId group, const PendingWrite& write, bool out_of_time);
  void AnswerCommit(raft::GroupId group, const PendingCommit& commit,
                    const txn::CommitAnswer& answer, Stamp clock);
  void RefuseCommit(raft::GroupId group, const PendingCommit& commit, v1::Code code,
                    v1::Outcome outcome, const char* why);
  void Deliver(v1::TxnMessage message);
  // What desks said to desks of this node and of others, and what they proposed.
  void CarryTransactions();
  void TakeBlocked(Replica& replica, std::vector<PendingRead>& reads);
  void ServeAgain(Replica& replica, std::vector<PendingRead> reads);

  Replica& Find(raft::GroupId group);
  static void TakeNotes(Replica& replica, const std::vector<NotedEntry>& noted);
  void ApplyGathered(Replica& replica);
  // Tells the group loop what was applied; before anything else that stands for it.
  void Report();
  void ServeWaitingReads(Replica& replica);
  void Serve(Replica& replica, std::vector<PendingRead>& reads);
  static v1::Response AnswerRead(Replica& replica, const ShardReads& reads,
                                 const PendingRead& read);
  void CountServed(const std::vector<PendingRead>& reads, MonotonicTime now);
  void AnswerAllWaiting(raft::GroupId group, Replica& replica, const char* why_writes,
                        const char* why_reads);
  void AnswerUnknown(raft::GroupId group, const PendingWrite& write, v1::Code code,
                     const char* why);
  void AnswerApplied(raft::GroupId group, const Waiting& waiting, const PendingWrite& write,
                     const CommandOutcome& outcome);
  void AnswerTurnedAway(raft::GroupId group, const PendingWrite& write,
                        CommandOutcome::Verdict verdict);
  void AnswerLost(raft::GroupId group, const PendingWrite& write, const char* why);

  const Options options_;
  Ports ports_;
  std::map<raft::GroupId, Replica> replicas_;
  std::vector<GroupEvent> applied_;  // not reported yet
  bool is_awaited_ = false;          // the group loop waits for one of them
  ApplyLoopCounters counters_;
  ReplyBuffer replies_;
  StageReport stages_;
  TxnPost* post_ = nullptr;
  std::deque<v1::TxnMessage> local_messages_;
  std::map<raft::NodeId, std::vector<v1::TxnMessage>> outbox_;  // of the round
  std::map<raft::GroupId, std::vector<PendingWrite>> proposals_;
  uint64_t last_ticket_ = 0;
  // Of the run of entries that is being applied.
  MonotonicTime apply_began_{};
  MonotonicTime applied_at_{};  // 0: the clock was not read yet
};

}  // namespace basalt::server
