// What the loops of a node hand to each other. Values; each is handled by the loop that is named.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "proto/peer.pb.h"
#include "raft/core/raft_core.h"
#include "raft/log_store.h"
#include "raft/state_machine.h"
#include "server/node/requests.h"
#include "server/shard/apply_observer.h"

namespace basalt::server {

class ReplicaStateMachine;

// ---- for the GroupLoop ----

struct TickPassed {};

struct PeerMessagesArrived {
  std::vector<raft::Message> messages;
};

// The connection to the node broke, whoever ended it (RaftCore::OnLinkLost).
struct LinkLost {
  raft::NodeId node;
};

struct WritesArrived {
  raft::GroupId group;
  std::vector<PendingWrite> writes;
};

struct ReadsArrived {
  raft::GroupId group;
  std::vector<PendingRead> reads;
};

// The cluster's own command, proposed only while this node leads the group; lost otherwise.
struct OwnCommandArrived {
  raft::GroupId group;
  std::string encoded_command;
};

// Transactions that clients want committed, anchored in the group's slots.
struct CommitsArrived {
  raft::GroupId group;
  std::vector<PendingCommit> commits;
};

// What the replica's TxnDesk has proposed: commands of transactions, and writes that were turned
// away. Lost where this node leads no more, but for the answer to a client.
struct ProposalsArrived {
  raft::GroupId group;
  std::vector<PendingWrite> writes;
};

// Hand the leadership of the group over; `to` 0: to the best successor. An answer of kStarted may
// yet come to nothing.
struct TransferAsked {
  raft::GroupId group;
  raft::ReplicaId to;
  std::function<void(raft::TransferAnswer)> done;  // called on the group thread
};

struct WritesPersisted {
  std::vector<raft::PersistDone> done;
};

struct EntriesApplied {
  raft::GroupId group;
  raft::LogIndex index;
  raft::Term term;  // of the entry at `index`
  StateTotals totals = {};
};

struct EntriesFetched {
  raft::GroupId group;
  raft::ReplicaId follower;
  std::vector<raft::Entry> entries;
};

// A checkpoint for the follower is about to be sent.
struct CheckpointMade {
  raft::GroupId group;
  raft::ReplicaId follower;
  raft::LogIndex base;
};

struct CheckpointSent {
  raft::GroupId group;
  raft::ReplicaId follower;
  raft::Term term;  // in which it was asked for
  std::optional<raft::LogIndex> installed;
  bool damaged = false;  // nothing was sent: what this replica has on disk is damaged
};

// A checkpoint lies in `directory`, each file as its sender listed it. `done` is called once, with
// an empty string when the replica holds now what it stands for, else with the reason. What is left
// of the directory is the caller's to remove.
struct CheckpointStaged {
  raft::Message message;  // CheckpointArrived
  std::string directory;
  std::function<void(std::string)> done;
};

struct CheckpointInstalled {
  raft::GroupId group;
  raft::LogIndex index;
  raft::Term term;
  StateTotals totals = {};
};

// What came was not what its sender said. The replica holds what it held.
struct CheckpointRefused {
  raft::GroupId group;
  raft::LogIndex index;
};

struct GroupState {
  raft::GroupId group;
  raft::ReplicaId replica;
  raft::CoreStatus core;
  raft::NodeId leader_node;  // 0: unknown
};

struct StatesAsked {
  std::function<void(std::vector<GroupState>)> reply;  // called on the group thread
};

// Everything up to `index` survives a crash of the state machine. The log up to `let_go` is wanted
// back, whatever is retained for followers.
struct StateFlushed {
  raft::GroupId group;
  raft::ReplicaId replica;  // of which: another one may have taken its place meanwhile
  raft::LogIndex index;
  raft::LogIndex let_go;
};

// A replica that was made while the node runs. Its log and its store are durable.
struct GroupAdded {
  raft::CoreOptions options;
  raft::RecoveredState recovered;
  StateTotals totals = {};
};

// The replica says nothing any more: refuses what waits for it and forgets it, then calls `done`.
// What is on its way to it (completions of the log, of apply, of the feed) is dropped. Another
// replica of the group may be added once the log has dropped this one: the log's completions and
// apply's have arrived by then.
struct GroupRemoved {
  raft::GroupId group;
  std::function<void()> done;
};

// Asks for other members (RaftCore::ChangeMembership). `done` is called once, on the group thread,
// with the first entry of the change or the reason why nothing was proposed; a node without a
// replica of the group is not its leader.
struct MembershipChangeAsked {
  raft::GroupId group;
  raft::Configuration target;
  std::function<void(std::variant<raft::Proposed, raft::ChangeRefusal>)> done;
};

using GroupEvent =
    std::variant<TickPassed, PeerMessagesArrived, LinkLost, WritesArrived, ReadsArrived,
                 OwnCommandArrived, CommitsArrived, ProposalsArrived, TransferAsked,
                 WritesPersisted, EntriesApplied, EntriesFetched, CheckpointMade, CheckpointSent,
                 CheckpointStaged, CheckpointInstalled, CheckpointRefused, StatesAsked,
                 StateFlushed, GroupAdded, GroupRemoved, MembershipChangeAsked>;

// ---- for the ApplyLoop ----

// When an entry that was proposed here got how far. 0: not seen.
struct EntryMoments {
  MonotonicTime proposed{};
  MonotonicTime durable{};  // here
  MonotonicTime committed{};
};
struct NotedEntry {
  raft::LogIndex index;
  raft::Term term;
  EntryMoments moments;
};

// Clients that wait for the entry (index, term); command i of the entry is write i.
struct WritesProposed {
  raft::GroupId group;
  raft::LogIndex index;
  raft::Term term;
  std::vector<PendingWrite> writes;
};

struct ApplyEntries {
  raft::GroupId group;
  std::vector<raft::Entry> entries;
  bool awaited = true;  // at once: this replica leads, and serves by what it has applied
  std::vector<NotedEntry> noted = {};  // of those that were proposed here
};

struct ServeReads {
  raft::GroupId group;
  raft::LogIndex index;  // once this is applied
  std::vector<PendingRead> reads;
};

struct InstallCheckpoint {
  raft::GroupId group;
  raft::LogBase base;  // what it stands for, as its sender says
  std::string directory;
  std::function<void(std::string)> done;
};

// Runs `work` with the group's state machine between two applies; with null when the replica is
// gone.
struct WithStateMachine {
  raft::GroupId group;
  std::function<void(raft::StateMachine*)> work;
};

// A replica that was made while the node runs, opened with the loop as its observer. It lives until
// ReplicaRemoved is done.
struct ReplicaAdded {
  ReplicaStateMachine* machine = nullptr;
};

// Comes after all that the group loop ever sent for the replica. Whoever still waits is answered,
// writes as "unknown"; then `done`.
struct ReplicaRemoved {
  raft::GroupId group;
  std::function<void()> done;
};

// What a replica has applied, all of one moment: equal indexes must have equal hashes, horizons,
// sessions, ceilings, retentions and rows of transactions.
struct AppliedState {
  raft::GroupId group;
  raft::LogIndex index;
  uint64_t highest_stamp = 0;
  uint64_t hash = 0;
  uint64_t horizon = 0;
  uint64_t sessions = 0;  // storage::SessionTable::Digest
  uint64_t ceiling = 0;
  uint64_t transactions = 0;  // TxnDigest; 0 where there is much of it
  uint64_t retention_ms = 0;  // VersionTotals
};

struct AppliedStatesAsked {
  std::function<void(std::vector<AppliedState>)> reply;  // called on the apply thread
};

// The term in which the replica here leads from now on; nothing: it leads no more. Comes before
// entries of that term.
struct LeadershipTold {
  raft::GroupId group;
  std::optional<raft::Term> term;
};

// From the group loop, which leads the group and has looked at them.
struct CommitsAsked {
  raft::GroupId group;
  std::vector<PendingCommit> commits;
};

// From leaders on other nodes.
struct TxnMessagesArrived {
  std::vector<v1::TxnMessage> messages;
  std::shared_ptr<void> charge = {};  // gives their bytes back to who took them in
};

// Now and then: what waited for too long is answered, what gathered for long enough is applied.
struct SweepDeadlines {};

using ApplyWork = std::variant<WritesProposed, ApplyEntries, ServeReads, InstallCheckpoint,
                               WithStateMachine, ReplicaAdded, ReplicaRemoved, AppliedStatesAsked,
                               LeadershipTold, CommitsAsked, TxnMessagesArrived, SweepDeadlines>;

// ---- for the follower feed (its own thread: reads the disk, streams checkpoints) ----

struct FetchForFollower {
  raft::GroupId group;
  raft::ReplicaId self;  // also the follower, when the entries are to be applied here
  raft::FetchEntries fetch;
};

struct CheckpointForFollower {
  raft::GroupId group;
  raft::ReplicaId self;
  raft::Term term;
  raft::SendCheckpoint send;
};

// The term in which the replica here leads from now on; nullopt: it leads no more, and what it was
// to send to followers helps nobody. Comes before what is asked for in that term.
struct LedTermChanged {
  raft::GroupId group;
  std::optional<raft::Term> term;
};

using FeedWork = std::variant<FetchForFollower, CheckpointForFollower, LedTermChanged>;

// ---- the doors between the loops; production puts a mailbox and a thread behind each ----

class GroupInbox {
 public:
  virtual ~GroupInbox() = default;
  virtual void Put(GroupEvent event) = 0;  // thread-safe
  // Together: writes of several groups that came in one message go into one round.
  virtual void PutAll(std::vector<GroupEvent> events) {
    for (GroupEvent& event : events) Put(std::move(event));
  }
  // No need to wake up for them; they are looked at with what comes next, a tick at the latest.
  virtual void PutAllQuietly(std::vector<GroupEvent> events) { PutAll(std::move(events)); }
};

class ApplyInbox {
 public:
  virtual ~ApplyInbox() = default;
  virtual void Put(ApplyWork work) = 0;         // thread-safe
  virtual void PutQuietly(ApplyWork work) = 0;  // no need to wake up for it
};

class FeedInbox {
 public:
  virtual ~FeedInbox() = default;
  virtual void Put(FeedWork work) = 0;  // thread-safe
};

// Told of leaders and leases as they change, on the group thread; must only take note.
class LeaderObserver {
 public:
  virtual ~LeaderObserver() = default;
  virtual void OnLeader(raft::GroupId group, raft::NodeId leader, raft::Term term) = 0;
  // What this node may serve reads of the group by; nothing: by a round only. Told before anything
  // else of the turn is carried out (see RaftCore::lease for why).
  virtual void OnLease(raft::GroupId /*group*/, std::optional<raft::LeaseGrant> /*lease*/) {}
};

}  // namespace basalt::server
