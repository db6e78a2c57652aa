#include "raft/core/election.h"

#include <utility>

#include "base/check.h"
#include "raft/core/lease.h"
#include "raft/core/membership.h"
#include "raft/core/read_barrier.h"
#include "raft/core/replication.h"
#include "raft/core/succession.h"
#include "raft/core/transfer.h"

namespace basalt::raft {
namespace {

void BecomeCandidate(CoreState& state, bool by_transfer) {
  state.hard_state = HardState{state.term() + 1, state.self()};
  state.persists.HardStateChanged();
  state.role = CandidateRole{};
  state.dirty = true;
  RestartElectionTimer(state);
  // Requests wait until term, own vote and the log that they describe are durable. Otherwise this
  // replica could crash, campaign again in the same term with a shorter log, and win with votes
  // that were given to the longer one.
  for (const Member& member : state.configuration().members) {
    if (member.replica == state.self() || !IsVoting(member.role)) continue;
    state.SendWhenDurable(member.replica,
                          VoteRequest{false, state.log.last(), state.log.last_term(), by_transfer});
  }
}

void BecomeLeader(CoreState& state) {
  LeaderRole leading;
  leading.followers = FollowersOf(state, {});
  leading.first_of_term = state.log.last() + 1;
  state.role = std::move(leading);
  state.succession.reset();
  RoundSent(state);
  // An entry of its own term, through which older ones commit and reads become safe (dissertation,
  // 3.6.2 and 6.4).
  AppendOwn(state, EntryKind::kNoOp, nullptr);
}

// Dissertation, 3.6.1: the log with the later last term is the newer one; of equal terms, the
// longer.
bool IsUpToDate(const CoreState& state, const VoteRequest& request) {
  if (request.last_term != state.log.last_term()) {
    return request.last_term > state.log.last_term();
  }
  return request.last_index >= state.log.last();
}

bool IsTimerOver(const CoreState& state) {
  // Who would rather not lead gives the others time for a first try and another.
  const uint32_t patience_ticks =
      state.priority == 0 ? 2 * state.options.election_timeout_ticks : 0;
  return state.election_elapsed_ticks >= state.election_deadline_ticks + patience_ticks;
}

bool MayVoteFor(const CoreState& state, ReplicaId candidate) {
  if (state.hard_state.voted_for == candidate) return true;
  return state.hard_state.voted_for == ReplicaId(0) &&
         state.CurrentLeadership().leader == ReplicaId(0);
}

void AnswerPreVote(CoreState& state, ReplicaId from, Term term, const VoteRequest& request) {
  const bool may = term > state.term() || (term == state.term() && MayVoteFor(state, from));
  if (may && !IsVoteHeldBack(state, request) && IsUpToDate(state, request)) {
    // Promises nothing, so it rests on nothing durable. It names the term that was asked for.
    state.SendAtTerm(from, term, VoteReply{true, true});
  } else {
    // A refusal carries our own term: without it two replicas, one with the higher term and one
    // with the newer log, would refuse each other for ever.
    state.Send(from, VoteReply{true, false});
  }
}

}  // namespace

void RestartElectionTimer(CoreState& state) {
  state.election_elapsed_ticks = 0;
  state.election_deadline_ticks =
      state.options.election_timeout_ticks +
      static_cast<uint32_t>(state.random.Between(0, state.options.election_timeout_ticks));
}

void BecomeFollower(CoreState& state, Term term, ReplicaId leader) {
  BASALT_CHECK(term >= state.term());
  if (term > state.term()) {
    state.hard_state = HardState{term, ReplicaId(0)};
    state.persists.HardStateChanged();
    state.dirty = true;
  }
  auto* follower = std::get_if<FollowerRole>(&state.role);
  if (follower != nullptr) {
    // Terms that come from failing candidates must not put off this replica's own campaign: only a
    // leader or a vote restarts the timer (dissertation, 3.4).
    if (follower->leader != leader) state.dirty = true;
    follower->leader = leader;
    return;
  }
  if (LeaderRole* leading = state.leader()) {
    RefuseReads(state, *leading);
  }
  state.role = FollowerRole{leader};
  state.dirty = true;
  RestartElectionTimer(state);
}

void StartCampaign(CoreState& state) {
  if (state.leader() != nullptr || !MayCampaign(state)) return;
  if (IsOwnVoteHeldBack(state) || IsDiskStalled(state)) return;
  // Dissertation, 9.6: asks first whether the others would vote for it, and disturbs nobody when
  // they would not.
  PreCandidateRole campaign;
  campaign.votes.Record(state.self(), true);
  const bool won = campaign.votes.Result(state.configuration()) == VoteResult::kWon;
  state.role = std::move(campaign);
  state.dirty = true;
  RestartElectionTimer(state);
  if (won) {
    BecomeCandidate(state, false);
    return;
  }
  for (const Member& member : state.configuration().members) {
    if (member.replica == state.self() || !IsVoting(member.role)) continue;
    state.SendAtTerm(member.replica, state.term() + 1,
                     VoteRequest{true, state.log.last(), state.log.last_term()});
  }
}

void CampaignByTransfer(CoreState& state) { BecomeCandidate(state, true); }

void TickElection(CoreState& state) {
  ++state.election_elapsed_ticks;
  const bool is_due = TakesTurns(state) ? TickTurn(state) : IsTimerOver(state);
  if (!is_due) return;
  StartCampaign(state);
  // Who may not campaign is without a leader all the same, and follows the next that it hears, in
  // this term too: it may have taken a deposed leader for the one of this term.
  if (std::holds_alternative<FollowerRole>(state.role)) {
    BecomeFollower(state, state.term(), ReplicaId(0));
  }
}

void CheckLeaderStillHeard(CoreState& state) {
  // Check-quorum (dissertation, 6.2): a leader that a majority has not answered for an election
  // timeout may have been replaced, and clients wait for it in vain.
  const LeaderRole& leading = *state.leader();
  VoteTally heard;
  heard.Record(state.self(), true);
  for (const FollowerProgress& follower : leading.followers) {
    heard.Record(follower.replica,
                 leading.ticks - follower.heard_at_ticks < state.options.election_timeout_ticks);
  }
  if (heard.Result(state.configuration()) != VoteResult::kWon) {
    BecomeFollower(state, state.term(), ReplicaId(0));
  }
}

void OnVoteRequest(CoreState& state, ReplicaId from, Term term, const VoteRequest& request) {
  if (request.pre_vote) {
    AnswerPreVote(state, from, term, request);
    return;
  }
  if (term < state.term() || !MayVoteFor(state, from) || IsVoteHeldBack(state, request) ||
      !IsUpToDate(state, request)) {
    state.Send(from, VoteReply{false, false});
    return;
  }
  if (state.hard_state.voted_for != from) {
    state.hard_state.voted_for = from;
    state.persists.HardStateChanged();
    BecomeFollower(state, term, ReplicaId(0));
    state.succession.reset();
    RestartElectionTimer(state);
  }
  state.SendWhenHardStateDurable(from, VoteReply{false, true});
}

void OnVoteReply(CoreState& state, ReplicaId from, Term term, const VoteReply& reply) {
  VoteTally* votes = nullptr;
  if (auto* campaign = std::get_if<PreCandidateRole>(&state.role)) {
    // A grant answers the campaign for the next term; a refusal comes at the refuser's term.
    if (reply.pre_vote && (!reply.granted || term == state.term() + 1)) votes = &campaign->votes;
  } else if (auto* candidacy = std::get_if<CandidateRole>(&state.role)) {
    // Nobody was asked before the own vote was durable.
    const bool asked = state.persists.IsHardStateDurable();
    if (asked && !reply.pre_vote && term == state.term()) votes = &candidacy->votes;
  }
  if (votes == nullptr) return;
  votes->Record(from, reply.granted);
  const VoteResult result = votes->Result(state.configuration());
  if (result == VoteResult::kLost) {
    BecomeFollower(state, state.term(), ReplicaId(0));
  } else if (result == VoteResult::kWon) {
    reply.pre_vote ? BecomeCandidate(state, false) : BecomeLeader(state);
  }
}

void OnHardStateDurable(CoreState& state) {
  auto* candidacy = std::get_if<CandidateRole>(&state.role);
  if (candidacy == nullptr) return;
  candidacy->votes.Record(state.self(), true);
  if (candidacy->votes.Result(state.configuration()) == VoteResult::kWon) BecomeLeader(state);
}

}  // namespace basalt::raft
