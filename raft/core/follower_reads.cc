#include "raft/core/follower_reads.h"

#include <algorithm>

namespace basalt::raft {
namespace {

void Refuse(CoreState& state, ReadId id) {
  state.effects.refused_reads.push_back(id);
  state.dirty = true;
}

template <typename Condition>
void RefuseIf(CoreState& state, Condition condition) {
  for (const CoreState::AskedRead& read : state.asked_reads) {
    if (condition(read)) Refuse(state, read.id);
  }
  std::erase_if(state.asked_reads, condition);
}

}  // namespace

void AskLeaderForRead(CoreState& state, ReadId id) {
  const ReplicaId leader = state.CurrentLeadership().leader;
  if (leader == ReplicaId(0) || state.asked_reads.size() >= kAskedReadsMax) {
    Refuse(state, id);
    return;
  }
  state.asked_reads.push_back({id, leader, state.term(), 0});
  state.Send(leader, ReadRequest{id, state.options.life});
}

void OnReadReply(CoreState& state, ReplicaId from, const ReadReply& reply) {
  if (reply.life != state.options.life) return;
  const auto asked =
      std::find_if(state.asked_reads.begin(), state.asked_reads.end(),
                   [&](const CoreState::AskedRead& read) { return read.id == reply.id; });
  if (asked == state.asked_reads.end() || asked->leader != from) return;
  if (reply.confirmed) {
    state.effects.reads.push_back({reply.id, reply.index});
    state.dirty = true;
  } else {
    Refuse(state, reply.id);
  }
  state.asked_reads.erase(asked);
}

void RefuseOrphanedReads(CoreState& state) {
  if (state.asked_reads.empty()) return;
  const Leadership now = state.CurrentLeadership();
  RefuseIf(state, [&](const CoreState::AskedRead& read) {
    return read.term != now.term || read.leader != now.leader;
  });
}

void TickAskedReads(CoreState& state) {
  for (CoreState::AskedRead& read : state.asked_reads) ++read.ticks;
  RefuseIf(state, [&](const CoreState::AskedRead& read) {
    return read.ticks >= state.options.election_timeout_ticks;
  });
}

void OnReadRequest(CoreState& state, ReplicaId from, const ReadRequest& request) {
  FollowerProgress* follower = state.FindFollower(from);
  if (follower == nullptr || follower->reads_waiting >= kAskedReadsMax) {
    state.Send(from, ReadReply{request.id, request.life, false, LogIndex(0)});
    return;
  }
  ++follower->reads_waiting;
  state.leader()->queued_reads.push_back({request.id, from, request.life});
  state.dirty = true;
}

}  // namespace basalt::raft
