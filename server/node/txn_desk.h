// TxnDesk: what the leader of a shard does for transactions (docs/transactions.md): as participant
// it queues what meets locks, has Prepares proposed and answers them; as coordinator it drives what
// clients bring to its decision and tells everybody; and it asks after locks that nobody ends. The
// rules are server/txn's; this carries messages to them and their effects out.
//
// It lives from the moment when this leader has applied an entry of its own term until it leads no
// more: all that must outlive it is in the log. The apply thread's.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "proto/peer.pb.h"
#include "raft/core/types.h"
#include "server/clock/clock.h"
#include "server/clock/hybrid_clock.h"
#include "server/node/requests.h"
#include "server/shard/apply_observer.h"
#include "server/txn/coordinator.h"
#include "server/txn/inquirer.h"
#include "server/txn/lock_queue.h"
#include "server/txn/txn_shard.h"

namespace basalt::server {

// For metrics: written by the desks of a node, read by any thread.
struct TxnCounters {
  std::atomic<uint64_t> commits{0};  // decisions applied here
  std::atomic<uint64_t> aborts{0};   // likewise
  std::atomic<uint64_t> waits{0};    // requests that waited for locks
  std::atomic<uint64_t> dies{0};     // requests that were refused as the younger one
  std::atomic<uint64_t> asks{0};     // after locks that nobody ended
};

class TxnDesk {
 public:
  // What the desk has done by others; all of it only hands on.
  class Edge {
   public:
    virtual ~Edge() = default;
    // A command for this shard's log, in an entry that is stamped above `floor`. Its outcome comes
    // with `ticket`, or never.
    virtual void Propose(const v1::Command& command, Stamp floor, uint64_t ticket) = 0;
    // A client's write that was turned away; likewise.
    virtual void ProposeAgain(PendingWrite write) = 0;
    virtual uint64_t ShardOf(uint32_t slot) const = 0;
    // To the leader of the shard that owns the slot, wherever it is; fills in the address.
    virtual void SendToOwner(uint32_t slot, v1::TxnMessage message) = 0;
    // To the one on this node, if it leads.
    virtual void SendToNode(raft::NodeId node, v1::TxnMessage message) = 0;
    // `clock`: the highest timestamp that this desk has heard of; the client's next number is
    // issued above it.
    virtual void Answer(const PendingCommit& commit, const txn::CommitAnswer& answer,
                        Stamp clock) = 0;
    // Its deadline has passed, and no decision was applied.
    virtual void AnswerLate(const PendingCommit& commit) = 0;
    // Of this shard, applied.
    virtual Stamp HighestStamp() const = 0;
    // Likewise; see txn::VersionStore. 0 also where it cannot be read.
    virtual Stamp VersionOf(const std::string& key) = 0;
    // A write that waited for a lock: for too long, or for what it may not wait for.
    virtual void AnswerLocked(const PendingWrite& write, bool out_of_time) = 0;
    // Never given twice.
    virtual uint64_t NewTicket() = 0;
  };

  // All outlive the desk. Whoever waits must be told before it goes: TakeCommits, TakeWrites.
  TxnDesk(const txn::TxnShard& shard, Edge& edge, TxnCounters& counters);
  ~TxnDesk();

  void OnCommit(PendingCommit commit, MonotonicTime now);
  void OnMessage(v1::TxnMessage message, MonotonicTime now);
  // `write`, which is `command`, met a lock when it was applied.
  void OnTurnedAway(PendingWrite write, const v1::Command& command, MonotonicTime now);
  // A command of a transaction was applied; `ticket` of one that was proposed for this desk, or 0.
  void OnApplied(const TxnAnswer& answer, uint64_t ticket, MonotonicTime now);
  // A write of this ticket was applied, and not turned away.
  void OnDone(uint64_t ticket);
  // Some ten times a second.
  void OnTick(MonotonicTime now);
  // Those whose outcome is open.
  std::vector<PendingCommit> TakeCommits();
  std::vector<PendingWrite> TakeWrites();

  size_t waiting() const { return queue_.waiting(); }
  size_t driving() const { return coordinator_.driving(); }

 private:
  struct PrepareWaiting {
    v1::PrepareCommand command;
    raft::NodeId from;
    size_t bytes = 0;
  };
  // Of a decision to commit.
  struct DecideWaiting {
    v1::DecideCommand command;
    Stamp floor = 0;
    size_t bytes = 0;
  };
  struct Waiting {
    std::variant<PrepareWaiting, DecideWaiting, PendingWrite> what;
    MonotonicTime until{};
  };

  template <typename Message>
  bool Fits(const Message& message) const;
  void On(v1::PrepareCommand prepare, raft::NodeId from, MonotonicTime now);
  void OnPrepared(uint64_t ticket, const txn::PrepareAnswer& answer);
  bool IsOvertaken(const v1::PrepareCommand& prepare) const;
  void OnDecided(const txn::TxnId& id, uint64_t ticket, const txn::DecideAnswer& answer);
  void Offer(txn::DecideOffer offer);
  void Offer(txn::LockRequest request, Waiting waiting);
  void CarryQueue(const txn::QueueEffects& effects);
  // Returns the Prepares that have been overtaken: neither.
  std::vector<uint64_t> ProposeOrRefuse(const txn::QueueEffects& effects);
  void TurnAway(Waiting waiting, bool out_of_time);
  static size_t PartBytes(const Waiting& waiting);  // 0: it has no parts
  std::optional<Waiting> TakeWaiting(uint64_t ticket);
  void Reply(const PrepareWaiting& prepare, txn::PrepareAnswer answer);
  void AnswerLate(MonotonicTime now);
  void EndWaiting(const txn::TxnId& id);
  void CarryEffects();
  void SendPrepares(const txn::Prepare& prepare);
  void SendResolves(const txn::Resolve& resolve);
  void Propose(const txn::Decide& decide);
  void Propose(const txn::Resolve& resolve);
  void Propose(const txn::Settle& settle);

  const txn::TxnShard& shard_;
  Edge& edge_;
  TxnCounters& counters_;
  txn::LockQueue queue_;
  txn::Coordinator coordinator_;
  txn::Inquirer inquirer_;
  std::map<uint64_t, Waiting> waiting_;  // in the queue or in the log, by ticket
  size_t part_bytes_ = 0;                // of the Prepares and decisions among those
  Stamp heard_ = 0;                      // the highest clock that a participant told
  MonotonicTime now_{};                  // of the last call that told it
  std::map<txn::TxnId, std::vector<PendingCommit>> commits_;
  using Asker = std::pair<raft::NodeId, uint32_t>;  // a node, and the slot that it asks for
  std::map<Asker, txn::AskerId> asker_ids_;         // who asks again is the same
  std::vector<Asker> askers_;                       // by AskerId
};

}  // namespace basalt::server
