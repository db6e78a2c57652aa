#include "raft/core/read_barrier.h"

#include <utility>

#include "raft/core/quorum.h"
#include "raft/core/replication.h"

namespace basalt::raft {
namespace {

// Reads that come while this many rounds are unanswered share the next one; that one leaves with
// the next answer or heartbeat.
constexpr size_t kUnansweredRoundsMax = 8;

}  // namespace

void RequestRead(CoreState& state, ReadId id) {
  state.dirty = true;
  if (LeaderRole* leading = state.leader()) {
    leading->queued_reads.push_back(id);
  } else {
    state.effects.refused_reads.push_back(id);
  }
}

bool AssignReadsToNextRound(CoreState& state) {
  LeaderRole& leading = *state.leader();
  if (leading.queued_reads.empty() || state.commit < leading.first_of_term) return false;
  leading.read_rounds.push_back(
      {leading.round + 1, state.commit, std::exchange(leading.queued_reads, {})});
  return true;
}

void StartReadRound(CoreState& state) {
  if (state.leader()->read_rounds.size() >= kUnansweredRoundsMax) return;
  if (!AssignReadsToNextRound(state)) return;
  SendHeartbeats(state);
  ConfirmReads(state);  // a group of one has its quorum already
}

void ConfirmReads(CoreState& state) {
  LeaderRole& leading = *state.leader();
  if (leading.read_rounds.empty()) return;
  const auto answered = ReachedByQuorum<Round>(state.configuration(), [&](ReplicaId replica) {
    if (replica == state.self()) return leading.round;
    const FollowerProgress* follower = state.FindFollower(replica);
    return follower == nullptr ? Round(0) : follower->acknowledged_round;
  });
  while (!leading.read_rounds.empty() && leading.read_rounds.front().round <= answered) {
    const LeaderRole::ReadRound& round = leading.read_rounds.front();
    for (ReadId id : round.reads) state.effects.reads.push_back({id, round.index});
    leading.read_rounds.pop_front();
    state.dirty = true;
  }
}

}  // namespace basalt::raft
