// Cluster: the replicas of one group, a network and what watches over them, moved step by step.
//
// Every step gives one replica one input and carries out the effects: messages go into flight,
// writes to the replica's disk, entries to its queue. The test (a script or a seeded generator)
// chooses the next step, so it chooses every order, loss, doubling and crash.
//
// Every replica has a clock of its own, and reads it before each input. Tick lets one tick's length
// pass on it unless TickOnly is called: there the test moves all clocks by LetTimePass.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/core/raft_core.h"
#include "tests/scenarios/raft/replica.h"
#include "tests/scenarios/raft/safety.h"

namespace basalt::raft {

// How often things happened: a test that reached nothing proved nothing.
struct Reached {
  uint64_t leaders = 0;
  uint64_t overlapping_leaders = 0;  // elected while another thought that it leads
  uint64_t commits = 0;
  uint64_t reads_served = 0;
  uint64_t reads_refused = 0;
  uint64_t truncations = 0;
  uint64_t fetches = 0;
  uint64_t own_fetches = 0;
  uint64_t checkpoints_installed = 0;
  uint64_t checkpoints_ignored = 0;
  uint64_t logs_dropped = 0;
  uint64_t logs_dropped_at_start = 0;
  uint64_t writes_lost = 0;
  uint64_t changes = 0;  // of the members, begun
  uint64_t changes_refused = 0;
  uint64_t joint_configurations = 0;  // written by a leader
  uint64_t finals_by_successors = 0;  // another leader ended what one began
  uint64_t configurations_rolled_back = 0;
  uint64_t joined_by_checkpoint = 0;
  uint64_t leaders_left_out = 0;    // stepped down when a configuration without them was committed
  uint64_t asked_by_strangers = 0;  // requests for votes from replicas that are no members
  uint64_t lease_reads = 0;
  uint64_t lease_reads_refused = 0;  // by a leader whose lease was not valid
  uint64_t follower_reads = 0;       // served by a replica that did not lead
  uint64_t transfers = 0;            // TimeoutNow sent
};

class Cluster {
 public:
  static constexpr uint64_t kTickNanoseconds = 10'000'000;

  // Replicas 1..count on nodes 1..count, voters, and as many `spares` behind them as fresh replicas
  // that have yet to join; `options` but for `self`. All start.
  Cluster(uint64_t count, const CoreOptions& options, uint64_t spares = 0);

  // True time, on all clocks; a multiple of 100.
  void LetTimePass(uint64_t nanoseconds);
  // A read by lease, answered at once or not at all; the clock is read now. What it was served at.
  std::optional<LogIndex> ReadByLease(ReplicaId id);

  // Inputs.
  void Tick(ReplicaId id);
  void TickOnly(ReplicaId id);
  TransferAnswer Transfer(ReplicaId id, ReplicaId to);
  void SetPriority(ReplicaId id, uint32_t priority);
  void Campaign(ReplicaId id);
  // `id` is told that its connection to the other's node broke, whether it did or not.
  void TellLinkLost(ReplicaId id, ReplicaId other);
  bool Propose(ReplicaId id, const std::string& payload);
  // Whether the change has begun.
  bool ChangeMembership(ReplicaId id, const Configuration& target);
  // The ids of a replica's reads are counted anew in each of its lives.
  void Read(ReplicaId id);
  // The oldest write under way completes.
  void CompleteWrite(ReplicaId id);
  // The next `count` entries, or the checkpoint under install, reach the state machine.
  void Apply(ReplicaId id, size_t count);
  // The checkpoint under install turns out to be unusable.
  void RefuseInstall(ReplicaId id);
  void Flush(ReplicaId id);
  void Compact(ReplicaId id, LogIndex index);
  // The oldest question for entries is answered.
  void AnswerFetch(ReplicaId id);
  // The oldest checkpoint that the core asked for arrives at the follower, or is lost.
  void CarryCheckpoint(ReplicaId id, bool arrives);
  // What `from` holds now arrives at `to` as a checkpoint of `term` that nobody asked for.
  void DeliverCheckpoint(ReplicaId from, ReplicaId to, Term term);
  // Hands over message `position` of those in flight; it stays in flight when `again`.
  void Deliver(size_t position, bool again);
  void Drop(size_t position);
  // One that was taken out before.
  void PutInFlight(Message message) { in_flight_.push_back(std::move(message)); }
  void Crash(ReplicaId id);
  void Start(ReplicaId id);
  // Messages between the two are lost, in the direction given.
  void Cut(ReplicaId from, ReplicaId to) { cut_.emplace(from, to); }
  void Mend() { cut_.clear(); }

  Replica& replica(ReplicaId id) { return replicas_.at(id); }
  const std::vector<ReplicaId>& ids() const { return ids_; }
  const std::deque<Message>& in_flight() const { return in_flight_; }
  // The running leader of the highest term.
  std::optional<ReplicaId> Leader() const;
  const Safety& safety() const { return safety_; }
  const Reached& reached() const { return reached_; }
  // What happened since the last call, a line each; kept only when asked for.
  void KeepTrace() { keeps_trace_ = true; }
  std::vector<std::string> TakeTrace() { return std::exchange(trace_, {}); }

 private:
  struct AskedRead {
    uint64_t life = 0;
    LogIndex committed_before;
  };

  // As its driver gives it an input: with the clock read for that.
  static RaftCore& Core(Replica& replica);
  void Collect(Replica& replica);
  void CollectWrite(Replica& replica, Effects& effects);
  void CountConfigurations(const Replica& replica, const Persist& persist);
  void CollectReads(Replica& replica, const Effects& effects);
  void Emit(Replica& replica, std::vector<Message> messages);
  void ReleaseHeld(Replica& replica);
  bool Arrive(const MachineState& state, ReplicaId from, ReplicaId to, Term term);
  void FinishInstall(Replica& replica);
  // Tells the leader that waits for it.
  void InstallEnded(Replica& replica, std::optional<LogIndex> installed);
  template <typename... Words>
  void Trace(const Words&... words);

  std::vector<ReplicaId> ids_;
  Safety::Replicas replicas_;
  std::deque<Message> in_flight_;
  std::set<std::pair<ReplicaId, ReplicaId>> cut_;
  // Checkpoints that a leader waits for: follower, and the leader's life.
  struct Installing {
    ReplicaId from;
    uint64_t life;
    ReplicaId to;
  };
  std::deque<Installing> installing_;
  std::map<LogIndex, Term> joint_terms_;  // of the joint configurations that leaders wrote
  std::map<std::pair<ReplicaId, ReadId>, AskedRead> reads_;
  Safety safety_;
  Reached reached_;
  bool keeps_trace_ = false;
  std::vector<std::string> trace_;
};

}  // namespace basalt::raft
