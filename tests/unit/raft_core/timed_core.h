// A core with a clock and a disk that a test moves: 100 units of time a tick, an election timeout
// of 1000, leases of 800.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "raft/core/raft_core.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {

class TimedCore {
 public:
  static constexpr uint64_t kTick = 100;
  static constexpr uint64_t kTimeout = 1000;

  static CoreOptions Options() {
    CoreOptions options;
    options.group = GroupId(7);
    options.self = ReplicaId(1);
    options.election_timeout_ticks = 10;
    options.heartbeat_ticks = 2;
    options.leases = true;
    options.election_timeout = Time(kTimeout);
    options.lease_duration = LeaseDuration(Time(kTimeout), 25);
    options.life = 17;
    options.check_thoroughly = true;
    return options;
  }
  static RecoveredState Fresh(uint64_t voters) {
    return {HardState{}, MakeBase(0, 0, voters), {}, MakeBase(0, 0, voters)};
  }
  // Replica 1 as it was in `term`, with an empty log.
  static RecoveredState Restarted(uint64_t term) {
    RecoveredState state = Fresh(3);
    state.hard_state = HardState{Term(term), ReplicaId(0)};
    return state;
  }

  explicit TimedCore(RecoveredState state, const CoreOptions& options = Options())
      : core(options, std::move(state)) {
    core.SetNow(now);
  }

  // As its driver acts on the effects: what is written is durable and what is handed out is applied
  // at once, unless the test holds it back.
  void Turn() {
    while (core.HasEffects()) {
      Effects effects = core.TakeEffects();
      if (effects.persist && !disk_stands_still) core.OnPersisted(effects.persist->id);
      if (!effects.apply.empty() && !machine_stands_still) {
        core.OnApplied(effects.apply.back().index);
      }
      Keep(effects.messages);
      if (!disk_stands_still) Keep(effects.messages_after_persist);
      for (ConfirmedRead& read : effects.reads) reads.push_back(read);
      for (ReadId read : effects.refused_reads) refused.push_back(read);
    }
  }
  void At(uint64_t time) {
    now = Time(time);
    core.SetNow(now);
  }
  template <typename Body>
  void Hear(uint64_t replica, uint64_t term, Body body) {
    core.Step({GroupId(7), ReplicaId(replica), ReplicaId(1), NodeId(1), Term(term), std::move(body),
               NodeId(replica)});
    Turn();
  }
  void Tick(int ticks = 1) {
    for (; ticks > 0; --ticks) {
      At(now.value() + kTick);
      core.Tick();
      Turn();
    }
  }
  // Replica 1 becomes leader of `term`, by the votes of the lowest others that are needed.
  void Lead(uint64_t term = 1, uint64_t votes = 1) {
    core.Campaign();
    Turn();
    for (uint64_t other = 2; other < 2 + votes; ++other) Hear(other, term, VoteReply{true, true});
    for (uint64_t other = 2; other < 2 + votes; ++other) Hear(other, term, VoteReply{false, true});
    sent.clear();
  }
  // `replica` answers: it holds everything, and heard the newest round.
  void Acknowledge(uint64_t replica) {
    const CoreStatus status = core.status();
    Hear(replica, status.hard_state.term.value(),
         AppendReply{true, status.last, {}, {}, NewestRound()});
  }

  // Of what was sent since the last Lead.
  Round NewestRound() const {
    Round newest(1);
    for (const Message& message : sent) {
      if (const auto* heartbeat = std::get_if<HeartbeatRequest>(&message.body)) {
        newest = std::max(newest, heartbeat->round);
      }
    }
    return newest;
  }
  // The last message of this kind to `replica`.
  template <typename Body>
  std::optional<Body> Last(uint64_t replica) const {
    std::optional<Body> last;
    for (const Message& message : sent) {
      if (message.to != ReplicaId(replica)) continue;
      if (const auto* body = std::get_if<Body>(&message.body)) last = *body;
    }
    return last;
  }
  std::optional<Time> LeaseEnd() const {
    const std::optional<LeaseGrant> lease = core.lease();
    return lease ? std::optional<Time>(lease->end) : std::nullopt;
  }

  RaftCore core;
  Time now{5000};
  bool disk_stands_still = false;
  bool machine_stands_still = false;
  std::vector<Message> sent;
  std::vector<ConfirmedRead> reads;
  std::vector<ReadId> refused;

 private:
  void Keep(std::vector<Message>& messages) {
    for (Message& message : messages) sent.push_back(std::move(message));
  }
};

}  // namespace basalt::raft
