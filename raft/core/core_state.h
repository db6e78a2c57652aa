// CoreState: everything that one core knows. The rules that change it stand in election,
// replication, checkpoint, read_barrier, follower_reads, lease, succession and transfer, one topic
// a file; raft_core only dispatches.
//
// A role is a variant: only a leader has followers and reads, only a candidate has votes.
//
// The numbers are those of invariants.h, which checks them after every input.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "raft/core/disk_watch.h"
#include "raft/core/effects.h"
#include "raft/core/flow_window.h"
#include "raft/core/follower_progress.h"
#include "raft/core/log.h"
#include "raft/core/message.h"
#include "raft/core/persist_queue.h"
#include "raft/core/quorum.h"
#include "raft/core/raft_core.h"
#include "raft/core/round_times.h"
#include "raft/core/types.h"

namespace basalt::raft {

struct FollowerRole {
  ReplicaId leader;  // 0: unknown
};

struct PreCandidateRole {
  VoteTally votes;
};

struct CandidateRole {
  VoteTally votes;  // its own is counted when it is durable
};

struct LeaderRole {
  struct WaitingRead {
    ReadId id;
    ReplicaId follower;  // that asked; 0: this replica's own driver
    uint64_t life = 0;   // of that follower
  };
  // Reads that wait for acknowledgement of a round that was sent after they came.
  struct ReadRound {
    Round round;
    LogIndex index;
    std::vector<WaitingRead> reads;
  };
  struct Transfer {
    ReplicaId to;  // (34) a follower
    uint64_t began_at_ticks = 0;
    bool told = false;  // TimeoutNow has been sent
  };

  std::vector<FollowerProgress> followers;  // (10) (23) members in force but itself
  LogIndex first_of_term;                   // its no-op (dissertation, 6.4)
  Round round{1};                           // (13) the newest that was sent
  std::vector<WaitingRead> queued_reads;    // no round yet
  std::deque<ReadRound> read_rounds;        // (13) round rises, index does not fall
  FlowWindow uncommitted;                   // own proposals
  uint64_t ticks = 0;                       // since it became leader
  LogIndex commit_at_last_heartbeat;        // of its clock, not of a read
  LogIndex commit_before_last_heartbeat;
  uint32_t heartbeat_elapsed_ticks = 0;

  RoundTimes round_times;       // (31)
  bool lease_given_up = false;  // (33) TimeoutNow was sent in this term
  std::optional<Transfer> transfer;
  // No transfer by its own will before: for a higher priority, for its stalled disk.
  uint64_t next_priority_handover_ticks = 0;
  uint64_t next_stall_handover_ticks = 0;
  uint32_t priority_handovers = 0;  // that it began
};

// Of a replica whose connection to the leader broke: succession.h.
struct Succession {
  uint32_t heirs = 0;          // who take turns
  uint32_t ticks = 0;          // since its promise was over
  uint32_t turn_at_ticks = 0;  // its next turn
};

struct CoreState {
  CoreState(const CoreOptions& core_options, RecoveredState recovered);

  const CoreOptions options;
  base::Random random;

  HardState hard_state;  // (1) term never falls (2) one vote a term
  Log log;               // (14) no entry above the term (16) what was committed stays
  PersistQueue persists;
  LogIndex commit;           // (3) never falls (7) <= last
  LogIndex group_commit;     // the highest commit index that a leader has told; for status only
  LogIndex handed_to_apply;  // (8) <= min(commit, durable)
  LogIndex applied;          // (4) never falls, <= handed_to_apply
  FlowWindow applying;
  std::optional<LogIndex> apply_fetching;  // first of a FetchEntries for ourselves, unanswered
  std::optional<LogBase> installing;       // (17) above all that was handed out; applies wait

  // Of followers and candidates: since a leader was heard, a vote given, a campaign begun.
  uint32_t election_elapsed_ticks = 0;
  uint32_t election_deadline_ticks = 0;
  std::optional<Succession> succession;  // (37) until a leader is heard or a vote given
  std::variant<FollowerRole, PreCandidateRole, CandidateRole, LeaderRole> role;

  // Of the message under way. It may be of no configuration that this replica knows, and is
  // answered all the same (dissertation, 4.2.2).
  ReplicaId sender;
  NodeId sender_node;

  Time now;                             // (30) as SetNow last told
  bool restarted = false;               // an earlier life may have answered a leader
  std::optional<Time> started_at;       // the first SetNow of this life
  std::optional<Time> leader_heard_at;  // (35) never falls, whatever becomes of role and term
  uint64_t heartbeats_missed = 0;       // see CoreStatus
  DiskWatch disk;                       // of persists
  uint32_t priority = 1;

  struct AskedRead {
    ReadId id;
    ReplicaId leader;
    Term term;
    uint32_t ticks = 0;  // since it was asked
  };
  std::vector<AskedRead> asked_reads;  // (36) of a leader, not answered yet

  Effects effects;      // gathered since the last TakeEffects
  Leadership reported;  // by the last TakeEffects
  bool dirty = false;   // TakeEffects has something to do

  LeaderRole* leader() { return std::get_if<LeaderRole>(&role); }
  const LeaderRole* leader() const { return std::get_if<LeaderRole>(&role); }
  Term term() const { return hard_state.term; }
  ReplicaId self() const { return options.self; }
  // In force: the newest in the log.
  const Configuration& configuration() const { return log.configuration(); }
  LogIndex durable() const { return persists.durable(); }
  Leadership CurrentLeadership() const;
  // Where messages to `replica` go: members and the sender of the message under way; else 0.
  NodeId NodeOf(ReplicaId replica) const;
  // Any replica but this one; null for strangers.
  FollowerProgress* FindFollower(ReplicaId replica);

  using Body = decltype(Message::body);
  // At once.
  void Send(ReplicaId to, Body body) { SendAtTerm(to, term(), std::move(body)); }
  void SendAtTerm(ReplicaId to, Term message_term, Body body);
  // After everything that changed up to now is durable.
  void SendWhenDurable(ReplicaId to, Body body);
  // After the term and vote are durable.
  void SendWhenHardStateDurable(ReplicaId to, Body body);

  // Raises the commit index, never above what the log holds.
  void CommitUpTo(LogIndex index);
  // Lets memory go that nothing but slow followers could need.
  void TrimMemory();
};

}  // namespace basalt::raft
