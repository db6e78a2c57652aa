#include "raft/core/succession.h"

#include "raft/core/configuration.h"
#include "raft/core/lease.h"

namespace basalt::raft {

void OnLinkLost(CoreState& state, NodeId node) {
  const auto* follower = std::get_if<FollowerRole>(&state.role);
  if (state.succession || follower == nullptr || follower->leader == ReplicaId(0)) return;
  if (state.NodeOf(follower->leader) != node) return;
  uint32_t heirs = 0;
  std::optional<uint32_t> own_place;
  for (const Member& member : state.configuration().members) {
    if (!IsVoting(member.role) || member.replica == follower->leader) continue;
    if (member.replica == state.self()) own_place = heirs;
    ++heirs;
  }
  if (!own_place) return;  // it has no vote
  const auto shift = static_cast<uint32_t>(state.options.group.value() % heirs);
  state.succession = Succession{heirs, 0, (*own_place + shift) % heirs};
}

bool TakesTurns(const CoreState& state) {
  return state.succession && state.priority != 0 &&
         !std::holds_alternative<CandidateRole>(state.role);
}

bool TickTurn(CoreState& state) {
  if (IsLeaderHeard(state) || IsOwnVoteHeldBack(state)) return false;
  Succession& succession = *state.succession;
  if (succession.ticks >= state.options.election_timeout_ticks) {
    state.succession.reset();
    return false;
  }
  if (succession.ticks++ < succession.turn_at_ticks) return false;
  const auto later = static_cast<uint32_t>(state.random.Below(succession.heirs));
  succession.turn_at_ticks += succession.heirs + later;
  return true;
}

}  // namespace basalt::raft
