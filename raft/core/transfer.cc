#include "raft/core/transfer.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "raft/core/election.h"
#include "raft/core/lease.h"
#include "raft/core/membership.h"

namespace basalt::raft {
namespace {

// A transfer to a higher priority that fails is tried again after 2, 4, ... 32 election timeouts:
// each attempt keeps proposals waiting, and lasts one.
constexpr uint32_t kBackoffDoublingsMax = 5;
// Behind a stalled disk they wait anyway.
constexpr uint32_t kStallRetryTimeouts = 2;

bool HasStood(const CoreState& state, std::optional<Time> since, uint64_t stalls) {
  const uint64_t stall = state.options.disk_stall.value();
  return stall != 0 && since && state.now - *since >= stalls * stall;
}

// Of the priority that a successor must have at least; nothing: the disk is well enough. What this
// leader has under way itself must get to somebody, also to one that would rather not lead, or that
// says so because it cannot. With nothing under way there is time: for the followers to find out
// whether it is their disk too, and whoever cannot take over is not asked, for a leader that asked
// gives its lease up.
std::optional<uint64_t> StallPriorityMin(const CoreState& state) {
  if (HasStood(state, state.disk.oldest_own(), 1)) return 0;
  if (HasStood(state, state.disk.oldest(), 2)) return 1;
  return std::nullopt;
}

bool MayBeLeader(const Configuration& configuration, ReplicaId replica) {
  const Member* member = FindMember(configuration, replica);
  return member != nullptr && IsInNewHalf(member->role);
}

bool IsActive(const CoreState& state, const FollowerProgress& follower) {
  return state.leader()->ticks - follower.heard_at_ticks < state.options.election_timeout_ticks;
}

bool MayTakeOver(const CoreState& state) {
  return !IsNewlyRestarted(state) && !IsDiskStalled(state);
}

// The caught-up replica of the highest priority, at least `priority_min`; of equal ones the one
// with the longest log. 0: there is none.
ReplicaId BestSuccessor(const CoreState& state, uint64_t priority_min) {
  const FollowerProgress* best = nullptr;
  for (const FollowerProgress& follower : state.leader()->followers) {
    if (!MayBeLeader(state.configuration(), follower.replica)) continue;
    if (follower.priority < priority_min || !IsCaughtUp(state, follower)) continue;
    if (best == nullptr ||
        std::tuple(follower.priority, follower.match) > std::tuple(best->priority, best->match)) {
      best = &follower;
    }
  }
  return best == nullptr ? ReplicaId(0) : best->replica;
}

}  // namespace

TransferAnswer StartTransfer(CoreState& state, ReplicaId to) {
  LeaderRole* leading = state.leader();
  if (leading == nullptr) return TransferAnswer::kNotLeader;
  if (leading->transfer) return TransferAnswer::kUnderWay;
  if (to == ReplicaId(0)) to = BestSuccessor(state, 0);
  if (to == ReplicaId(0)) return TransferAnswer::kNobodyFit;
  if (to == state.self() || !MayBeLeader(state.configuration(), to)) {
    return TransferAnswer::kNotAVoter;
  }
  const FollowerProgress* follower = state.FindFollower(to);
  if (follower == nullptr || !IsActive(state, *follower)) return TransferAnswer::kNobodyFit;
  leading->transfer = LeaderRole::Transfer{to, leading->ticks};
  state.dirty = true;
  return TransferAnswer::kStarted;
}

void AdvanceTransfer(CoreState& state) {
  LeaderRole& leading = *state.leader();
  if (!leading.transfer || leading.transfer->told) return;
  const FollowerProgress* follower = state.FindFollower(leading.transfer->to);
  if (follower == nullptr || follower->match != state.log.last()) return;
  // In this order: once TimeoutNow may have left, another leader may be elected at any moment.
  leading.lease_given_up = true;
  leading.transfer->told = true;
  state.Send(leading.transfer->to, TimeoutNow{});
}

void TickTransfer(CoreState& state) {
  LeaderRole& leading = *state.leader();
  const uint64_t timeout_ticks = state.options.election_timeout_ticks;
  if (leading.transfer) {
    if (leading.ticks - leading.transfer->began_at_ticks < timeout_ticks) return;
    leading.transfer.reset();
    state.dirty = true;  // proposals go on
    return;
  }
  const std::optional<uint64_t> stall_priority_min = StallPriorityMin(state);
  const bool stalled = stall_priority_min.has_value();
  uint64_t& next_ticks =
      stalled ? leading.next_stall_handover_ticks : leading.next_priority_handover_ticks;
  if (leading.ticks < std::max(timeout_ticks, next_ticks)) return;
  const uint64_t priority_min = stall_priority_min.value_or(uint64_t{state.priority} + 1);
  const ReplicaId to = BestSuccessor(state, priority_min);
  if (to == ReplicaId(0)) return;
  if (stalled) {
    next_ticks = leading.ticks + kStallRetryTimeouts * timeout_ticks;
  } else {
    leading.priority_handovers = std::min(leading.priority_handovers + 1, kBackoffDoublingsMax);
    next_ticks = leading.ticks + (timeout_ticks << leading.priority_handovers);
  }
  StartTransfer(state, to);
}

void OnTimeoutNow(CoreState& state) {
  if (state.leader() != nullptr || !MayCampaign(state) || !MayTakeOver(state)) return;
  CampaignByTransfer(state);
}

uint32_t PriorityToTell(const CoreState& state) { return MayTakeOver(state) ? state.priority : 0; }

bool IsDiskStalled(const CoreState& state) { return HasStood(state, state.disk.oldest(), 1); }

}  // namespace basalt::raft
