// RaftCore: the Raft consensus algorithm for one replica of one group, as a pure state machine.
//
// Events go in through the On.../Step/Tick/Propose functions; what must be done comes out of
// TakeEffects(), in the order in which it must be done. No clock, thread, file, socket, random
// device or log line is touched here: time is what SetNow() tells and the number of Tick() calls,
// randomness is the seed in the options. The same calls give the same effects, always. (That is
// what the simulator and the scenarios rest on, and why callbacks were refused: with callbacks a
// half-changed core would be re-entered.) Ticks serve liveness only: campaigns, heartbeats, giving
// up. Whatever a lease rests on is measured by SetNow().
//
// Not thread-safe: one owner calls it. Misuse of the contract is a CHECK; whatever a peer may send
// is tolerated.
//
// Election with pre-vote and check-quorum, replication with probe/replicate/checkpoint flow
// control, commit by quorum, compaction, checkpoint install, ReadIndex from leader and followers,
// leases, transfer of leadership, learners and joint consensus. Reference: dissertation, chapters
// 3, 4, 5, 6.4, 9.6, 10.2.1 (parallel disk write of the leader).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "raft/core/effects.h"
#include "raft/core/lease.h"
#include "raft/core/message.h"
#include "raft/core/types.h"

namespace basalt::raft {

struct CoreOptions {
  GroupId group;
  ReplicaId self;
  NodeId node;
  uint64_t seed = 0;
  // Followers campaign after election_timeout_ticks plus a random share of as much again.
  uint32_t election_timeout_ticks = 12;
  uint32_t heartbeat_ticks = 2;
  // Bounds of what may be under way to one follower, of one append, and of entries handed out for
  // apply and not yet acknowledged.
  uint32_t inflight_appends_max = 64;
  size_t inflight_bytes_max = 8u << 20;
  size_t append_bytes_max = 1u << 20;
  size_t apply_bytes_max = 4u << 20;
  // Recent entries kept in memory for followers and apply; older ones are fetched.
  size_t memory_bytes_max = 16u << 20;
  // Entries appended and not yet committed: above it Propose refuses.
  size_t uncommitted_bytes_max = 32u << 20;
  // Leases (lease.h). The lengths are of the clock behind SetNow. `election_timeout` is the length
  // of election_timeout_ticks, the same on all replicas; 0 makes no promise that a lease could rest
  // on. `promise` is how long one lasts, the same on all replicas too, at most election_timeout; 0:
  // just that. `lease_duration` is LeaseDuration of the promise and of the drift bound.
  bool leases = false;
  Time election_timeout;
  Time promise;
  Time lease_duration;
  // A leader with a write under way for this long hands over, also to one that would rather not
  // lead; one whose log has had another group's under way for twice as long, only to one that
  // would. A follower whose log has had any under way for so long does not campaign. 0: disks never
  // stall.
  Time disk_stall;
  // How willing this replica is to lead; a leader hands over to a higher one. 0: rather not.
  uint32_t priority = 1;
  // Unlike that of any other life of this replica: an answer to another life's question is not
  // taken for one to this life's. A random number of the start will do.
  uint64_t life = 0;
  // Walks the whole log after every input to check it (invariants.h); for tests.
  bool check_thoroughly = false;
};

// What a core starts from: the durable log and state of its replica.
struct RecoveredState {
  HardState hard_state;
  // base.index is 0 for a fresh group; base.configuration is set. Without a configuration, and then
  // without entries: a fresh replica that joins a group by a checkpoint.
  LogBase base;
  std::vector<Entry> entries;  // contiguous from base.index + 1; all durable
  // What the state machine holds, and holds durably; at least base.index. When the log does not
  // hold this place (it ends below, or a checkpoint was installed and the log not yet told) the log
  // is dropped and starts behind it.
  LogBase applied;
};

struct Proposed {
  LogIndex index;
  Term term;
};

enum class ProposeRefusal : uint8_t { kNotLeader, kTooMuchUncommitted, kTransferring };

enum class TransferAnswer : uint8_t {
  kStarted,
  kNotLeader,
  kNotAVoter,  // the target cannot lead, or leads already
  kUnderWay,   // another transfer is
  kNobodyFit,  // the target is silent, or no follower is caught up
};

// Why the members stay as they are. Nothing was appended.
enum class ChangeRefusal : uint8_t {
  kNotLeader,
  kNothingCommittedInTerm,  // the leader is new: soon
  kChangeUnderWay,          // the one before is not yet committed to its end
  kMalformed,               // doubles, ids of 0, roles other than voter and learner
  kNoVoter,
  kReplicaIdUsed,      // the id is another node's, or was a member's that left
  kVoterWasNoLearner,  // a replica becomes a learner first
  kNotCaughtUp,        // a learner that would be a voter lags, or was not heard
  kUnchanged,
  kTransferring,  // leadership is being handed over
};

// See status() below.
struct FollowerStatus {
  ReplicaId replica;
  NodeId node;
  LogIndex match;
  LogIndex next;
  bool recently_active = false;
  enum class Mode : uint8_t { kProbe, kReplicate, kCheckpoint } mode = Mode::kProbe;
  uint32_t priority = 1;  // as it last said
};

struct CoreStatus {
  Leadership leadership;
  HardState hard_state;
  LogIndex base;
  LogIndex last;
  LogIndex durable;
  LogIndex commit;
  LogIndex group_commit;  // as far as heard; at least commit
  LogIndex applied;
  Configuration configuration;   // in force
  LogIndex configuration_index;  // its entry; the base's index when it is older. Above commit: it
                                 // may still be rolled back
  bool is_joint = false;
  // A leader that has not applied an entry of its own term serves no read and vouches for nothing.
  bool applied_own_term = false;
  std::vector<FollowerStatus> followers;  // leader only
  std::optional<LeaseGrant> lease;        // leader only; may be over
  ReplicaId transfer_to;                  // leader only; 0: none is under way
  uint32_t priority = 1;
  bool disk_stalled = false;
  bool takes_turns = false;  // to campaign: the link to its leader broke
  size_t memory_bytes = 0;   // of entries
  // Of this life: heartbeats of a leader that should have been heard here in the time between two
  // words of one, and were not. From two intervals on; 0 where CoreOptions has no election_timeout.
  uint64_t heartbeats_missed = 0;
};

struct CoreState;
class Invariants;

class RaftCore {
 public:
  RaftCore(const CoreOptions& options, RecoveredState recovered);
  ~RaftCore();
  RaftCore(const RaftCore&) = delete;
  RaftCore& operator=(const RaftCore&) = delete;

  // Inputs.
  // The driver's clock; never falls. To be read after an input arrived and before it is given: a
  // promise to a leader runs from there. For effects an older reading does no harm: a lease is then
  // shorter.
  void SetNow(Time now);
  // By SetNow, since when the oldest durable write of any group that shares this replica's log has
  // been under way; nothing: none is. What this replica has under way itself it knows without; what
  // it would have next waits behind that one. Holds until the next call: one before each Tick.
  void SetLogBusySince(std::optional<Time> began);
  void Tick();
  void Step(Message message);
  // Appends to the leader's log; configurations go by ChangeMembership. The caller remembers
  // (index, term): another term at that index when it is applied means that another entry took its
  // place.
  std::variant<Proposed, ProposeRefusal> Propose(EntryKind kind, Payload payload);
  // Begins to make `target` (voters and learners, in any order) the members; at most one change is
  // under way. The entry named is the first of it: the whole change has ended when a configuration
  // that is not joint is committed behind it. A leader that the target leaves out, or makes a
  // learner, leads until then.
  std::variant<Proposed, ChangeRefusal> ChangeMembership(Configuration target);
  // Answered in Effects::reads once a round sent after this call is acknowledged by a quorum, or
  // in Effects::refused_reads. Any number of reads between two TakeEffects() share one round. A
  // follower asks its leader.
  void RequestRead(ReadId id);
  // Hands leadership over; 0: to the best successor. While it is under way Propose refuses; it ends
  // with this leadership or after an election timeout.
  TransferAnswer TransferLeadership(ReplicaId to);
  void SetPriority(uint32_t priority);
  // The connection to `node` broke. A follower of a leader there stands for election in its turn,
  // not after a random share of the timeout (succession.h). A hint: it may be late, wrong or never
  // come.
  void OnLinkLost(NodeId node);
  // Everything up to `id` is durable.
  void OnPersisted(PersistId id);
  void OnApplied(LogIndex index);
  // `entries` is what FetchEntries asked for, cut short or not, or empty when they are gone
  // (compacted meanwhile). Every FetchEntries is answered once.
  void OnEntriesFetched(ReplicaId follower, std::vector<Entry> entries);
  // How SendCheckpoint ended: what the follower says it installed, or nothing. Answered once.
  void OnCheckpointSent(ReplicaId follower, std::optional<LogIndex> installed);
  // How Effects::install ended. Answered once.
  void OnCheckpointInstalled(LogIndex index);
  void OnCheckpointRefused(LogIndex index);
  // The state machine has durably flushed everything up to `index` (at most applied): the log may
  // start behind it.
  void Compact(LogIndex index);
  // Campaigns (with pre-vote) without waiting for a timeout: a group of one replica, tests. Not
  // while a promise to a leader lasts (lease.h).
  void Campaign();

  // Output. Cheap when nothing happened.
  bool HasEffects() const;
  Effects TakeEffects();

  // The index at which a read may be served without a round, by a leader whose lease is valid at
  // `now`, which was read after the request came. See lease.h for why, and for how late.
  std::optional<LogIndex> LeaseRead(Time now) const;
  // For who serves such reads on another thread. To be published before the effects of the same
  // turn are carried out: a reader that has heard of a write, by its answer or from a follower,
  // must find a grant that covers it; and no reader may find one of a leader whose TimeoutNow, or
  // whose vote for another, has left.
  std::optional<LeaseGrant> lease() const;

  // For status pages and tests.
  CoreStatus status() const;
  bool is_leader() const;
  Term term() const;
  LogIndex durable() const;  // here
  LogIndex commit() const;
  // In force.
  const Configuration& configuration() const;

 private:
  void InputDone();

  std::unique_ptr<CoreState> state_;
  std::unique_ptr<Invariants> invariants_;
};

}  // namespace basalt::raft
