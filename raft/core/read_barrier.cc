#include "raft/core/read_barrier.h"

#include <utility>

#include "raft/core/follower_reads.h"
#include "raft/core/lease.h"
#include "raft/core/replication.h"

namespace basalt::raft {
namespace {

// Reads that come while this many rounds are unanswered share the next one; that one leaves with
// the next answer or heartbeat.
constexpr size_t kUnansweredRoundsMax = 8;

void Confirm(CoreState& state, const LeaderRole::WaitingRead& read, LogIndex index) {
  state.dirty = true;
  if (read.follower == ReplicaId(0)) {
    state.effects.reads.push_back({read.id, index});
  } else if (FollowerProgress* follower = state.FindFollower(read.follower)) {
    if (follower->reads_waiting > 0) --follower->reads_waiting;
    state.Send(read.follower, ReadReply{read.id, read.life, true, index});
  }
}

void Refuse(CoreState& state, const std::vector<LeaderRole::WaitingRead>& reads) {
  for (const LeaderRole::WaitingRead& read : reads) {
    if (read.follower == ReplicaId(0)) state.effects.refused_reads.push_back(read.id);
  }
}

}  // namespace

void RequestRead(CoreState& state, ReadId id) {
  state.dirty = true;
  if (LeaderRole* leading = state.leader()) {
    leading->queued_reads.push_back({id, ReplicaId(0), 0});
  } else {
    AskLeaderForRead(state, id);
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
  const Round answered = AnsweredByQuorum(state);
  while (!leading.read_rounds.empty() && leading.read_rounds.front().round <= answered) {
    const LeaderRole::ReadRound& round = leading.read_rounds.front();
    for (const LeaderRole::WaitingRead& read : round.reads) Confirm(state, read, round.index);
    leading.read_rounds.pop_front();
  }
}

void RefuseReads(CoreState& state, const LeaderRole& leading) {
  for (const LeaderRole::ReadRound& round : leading.read_rounds) Refuse(state, round.reads);
  Refuse(state, leading.queued_reads);
}

}  // namespace basalt::raft
