#include "raft/core/replication.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "raft/core/checkpoint.h"
#include "raft/core/election.h"
#include "raft/core/lease.h"
#include "raft/core/membership.h"
#include "raft/core/read_barrier.h"
#include "raft/core/transfer.h"

namespace basalt::raft {
namespace {

using Mode = FollowerProgress::Mode;

size_t BytesOf(const std::vector<Entry>& entries) {
  size_t bytes = 0;
  for (const Entry& entry : entries) bytes += EntryBytes(entry);
  return bytes;
}

// The leader heard from a follower in its own term.
FollowerProgress* Heard(CoreState& state, ReplicaId from, Round round) {
  FollowerProgress* follower = state.FindFollower(from);
  if (follower == nullptr || round > state.leader()->round) return nullptr;
  follower->heard_at_ticks = state.leader()->ticks;
  if (round > follower->acknowledged_round) {
    follower->acknowledged_round = round;
    state.leader()->round_times.ForgetBelow(AnsweredByQuorum(state));
    ConfirmReads(state);
  }
  return follower;
}

void SendAppend(CoreState& state, FollowerProgress& follower, std::vector<Entry> entries) {
  const LogIndex previous = follower.next - 1;
  const std::optional<Term> previous_term = state.log.TermAt(previous);
  BASALT_CHECK(previous_term.has_value());
  const LogIndex last = previous + entries.size();
  follower.Sent(last, BytesOf(entries));
  state.Send(follower.replica, AppendRequest{previous, *previous_term, state.commit,
                                             state.leader()->round, std::move(entries)});
}

void SendAppendsTo(CoreState& state, FollowerProgress& follower) {
  if (follower.mode == Mode::kCheckpoint) return;
  if (follower.next <= state.log.base().index) {
    // After one that failed, not before the follower shows that it lives.
    if (!follower.probe_sent || follower.resend_empty) StartCheckpoint(state, follower);
    return;
  }
  if (follower.resend_empty) {
    follower.resend_empty = false;
    SendAppend(state, follower, {});
  }
  while (follower.MaySendEntries(state.options)) {
    const bool probing = follower.mode == Mode::kProbe;
    if (follower.next > state.log.last()) {
      if (probing) SendAppend(state, follower, {});
      return;
    }
    if (follower.next < state.log.memory_first()) {
      if (probing) {
        // Finds the place first; the disk is read for entries that are sure to be wanted.
        SendAppend(state, follower, {});
        return;
      }
      follower.fetching = true;
      state.effects.fetches.push_back({follower.replica, follower.next,
                                       state.log.memory_first() - 1,
                                       state.options.append_bytes_max});
      return;
    }
    SendAppend(state, follower,
               state.log.Slice(follower.next, state.log.last(), state.options.append_bytes_max));
  }
}

// The follower's side of dissertation, 3.5. Entries that match are never truncated: an append may
// be late, and what follows them may be acknowledged already.
// False for what no leader sends.
bool TakeEntries(CoreState& state, std::vector<Entry> entries) {
  for (Entry& entry : entries) {
    if (entry.index <= state.commit) continue;  // agreed for ever
    if (entry.term < state.log.TermAt(entry.index - 1)) return false;
    if (entry.index <= state.log.last()) {
      if (state.log.Holds(entry.index, entry.term)) continue;
      state.log.TruncateFrom(entry.index);
      state.persists.Truncated(entry.index);
    }
    if (entry.kind == EntryKind::kConfiguration &&
        !MayFollow(state.configuration(), *ConfigurationOf(entry))) {
      return false;
    }
    state.log.Append(std::move(entry));
    state.dirty = true;
  }
  return true;
}

// Everything up to `index` equals the leader's log. Says so once it is durable.
void AcknowledgeAppend(CoreState& state, ReplicaId leader, LogIndex index, Round round) {
  AppendReply reply{true, index, LogIndex(0), Term(0), round};
  if (index <= state.durable() && state.persists.IsHardStateDurable()) {
    state.Send(leader, reply);
    return;
  }
  // The newest acknowledgement of a turn says all that the earlier ones do.
  std::vector<Message>& waiting = state.effects.messages_after_persist;
  if (!waiting.empty() && waiting.back().to == leader && waiting.back().term == state.term()) {
    auto* earlier = std::get_if<AppendReply>(&waiting.back().body);
    if (earlier != nullptr && earlier->accepted) {
      earlier->index = std::max(earlier->index, index);
      earlier->round = std::max(earlier->round, round);
      return;
    }
  }
  state.SendWhenDurable(leader, reply);
}

// A refusal answers a round too, and a lease may rest on it: whoever forgot that it has heard of
// this term could elect another leader at once.
void Refuse(CoreState& state, ReplicaId leader, AppendReply refusal) {
  state.SendWhenHardStateDurable(leader, refusal);
}

void RefuseAppend(CoreState& state, ReplicaId leader, const AppendRequest& request) {
  // Dissertation, 3.5: skips whole terms at once. Up to the commit index the logs agree anyway.
  const LogIndex hint = std::max(
      state.commit,
      state.log.LastAtMost(request.previous_index, request.previous_term).value_or(state.commit));
  const std::optional<Term> hint_term = state.log.TermAt(hint);
  BASALT_CHECK(hint_term.has_value());
  Refuse(state, leader,
         AppendReply{false, request.previous_index, hint, *hint_term, request.round});
}

}  // namespace

LogIndex AppendOwn(CoreState& state, EntryKind kind, Payload payload) {
  Entry entry{state.log.last() + 1, state.term(), kind, std::move(payload)};
  state.leader()->uncommitted.Push(entry.index, EntryBytes(entry));
  state.log.Append(std::move(entry));
  state.dirty = true;
  return state.log.last();
}

void TickLeader(CoreState& state) {
  LeaderRole& leading = *state.leader();
  ++leading.ticks;
  if (++leading.heartbeat_elapsed_ticks < state.options.heartbeat_ticks) return;
  leading.heartbeat_elapsed_ticks = 0;
  NoteHeartbeat(state);
  CheckLeaderStillHeard(state);
  if (state.leader() == nullptr) return;
  AssignReadsToNextRound(state);
  SendHeartbeats(state);
  ConfirmReads(state);  // a leader that is the only voter has its quorum already
}

void SendHeartbeats(CoreState& state) {
  LeaderRole& leading = *state.leader();
  ++leading.round;
  RoundSent(state);
  for (const FollowerProgress& follower : leading.followers) {
    state.Send(follower.replica, HeartbeatRequest{std::min(state.commit, follower.match),
                                                  leading.round, state.commit});
  }
}

void SendAppends(CoreState& state) {
  for (FollowerProgress& follower : state.leader()->followers) SendAppendsTo(state, follower);
}

void AdvanceCommit(CoreState& state) {
  if (state.leader() == nullptr) return;
  const auto reached = ReachedByQuorum<LogIndex>(state.configuration(), [&](ReplicaId replica) {
    // Dissertation, 10.2.1: the leader's own disk may be slower than its followers'.
    if (replica == state.self()) return state.durable();
    const FollowerProgress* follower = state.FindFollower(replica);
    return follower == nullptr ? LogIndex(0) : follower->match;
  });
  // Dissertation, 3.6.2: only entries of the own term commit by counting, older ones through them.
  if (reached <= state.commit || state.log.TermAt(reached) != state.term()) return;
  state.CommitUpTo(reached);
}

void OnAppendRequest(CoreState& state, ReplicaId from, AppendRequest request) {
  state.group_commit = std::max(state.group_commit, request.commit);
  if (state.configuration().members.empty()) {
    // No log that this replica could take has a first entry that tells the members.
    AppendReply refusal{false, request.previous_index, LogIndex(0), Term(0), request.round};
    refusal.needs_checkpoint = true;
    Refuse(state, from, refusal);
    return;
  }
  const LogIndex last_new = request.previous_index + request.entries.size();
  if (last_new <= state.commit) {
    AcknowledgeAppend(state, from, state.commit, request.round);
    return;
  }
  // At or below the commit index the logs agree, whatever the terms of dropped entries were.
  if (request.previous_index > state.commit &&
      !state.log.Holds(request.previous_index, request.previous_term)) {
    RefuseAppend(state, from, request);
    return;
  }
  if (!TakeEntries(state, std::move(request.entries))) return;
  AcknowledgeAppend(state, from, last_new, request.round);
  state.CommitUpTo(std::min(request.commit, last_new));
  // What is being installed is committed, and now this log holds it too: see OnCheckpointArrived.
  if (state.installing && state.log.Holds(state.installing->index, state.installing->term)) {
    state.CommitUpTo(state.installing->index);
  }
}

void OnAppendReply(CoreState& state, ReplicaId from, const AppendReply& reply) {
  FollowerProgress* follower = Heard(state, from, reply.round);
  if (follower == nullptr || reply.index > state.log.last()) return;
  if (reply.accepted) {
    const LogIndex before = follower->match;
    follower->Accepted(reply.index);
    state.dirty = true;  // its window has room again
    if (follower->match > before) AdvanceCommit(state);
    return;
  }
  if (reply.needs_checkpoint) {
    // One that is not late: it has acknowledged nothing since.
    if (follower->match == LogIndex(0) && follower->mode != Mode::kCheckpoint) {
      StartCheckpoint(state, *follower);
    }
    return;
  }
  if (!follower->IsNews(reply.index)) return;
  // Each refusal lowers `next`, by whole terms where the hint allows.
  LogIndex from_index = std::min(reply.index, reply.hint_index + 1);
  if (reply.hint_index >= state.log.base().index) {
    const std::optional<LogIndex> meeting = state.log.LastAtMost(reply.hint_index, reply.hint_term);
    from_index = std::min(reply.index, meeting ? *meeting + 1 : state.log.base().index);
  }
  follower->BecomeProbe(from_index);
  state.dirty = true;
}

void OnHeartbeatRequest(CoreState& state, ReplicaId from, const HeartbeatRequest& request) {
  state.group_commit = std::max(state.group_commit, request.group_commit);
  state.CommitUpTo(request.commit);
  state.SendWhenHardStateDurable(from, HeartbeatReply{request.round, PriorityToTell(state)});
}

void OnHeartbeatReply(CoreState& state, ReplicaId from, const HeartbeatReply& reply) {
  FollowerProgress* follower = Heard(state, from, reply.round);
  if (follower == nullptr) return;
  follower->priority = reply.priority;
  // What was under way when nothing moved between two replies may be lost.
  const bool stalled = follower->match == follower->match_at_heartbeat;
  if (stalled && (follower->probe_sent || !follower->window.empty())) {
    follower->resend_empty = true;
    state.dirty = true;
  }
  follower->match_at_heartbeat = follower->match;
}

void OnFollowerEntriesFetched(CoreState& state, ReplicaId replica, std::vector<Entry> entries) {
  FollowerProgress* follower = state.FindFollower(replica);
  if (follower == nullptr || !follower->fetching) return;  // asked by an earlier leadership
  follower->fetching = false;
  state.dirty = true;
  if (follower->mode != Mode::kReplicate) return;
  if (entries.empty()) {
    StartCheckpoint(state, *follower);
    return;
  }
  // It may be the answer to an earlier leadership's question, or the follower has moved on.
  if (entries.front().index != follower->next) return;
  if (follower->next <= state.log.base().index) return;  // compacted in the meantime
  for (const Entry& entry : entries) {
    if (!state.log.Holds(entry.index, entry.term)) return;
  }
  SendAppend(state, *follower, std::move(entries));
}

void HandOutApply(CoreState& state) {
  if (state.installing || state.apply_fetching) return;
  const LogIndex last = std::min(state.commit, state.durable());
  while (state.handed_to_apply < last && state.applying.bytes() < state.options.apply_bytes_max) {
    const LogIndex first = state.handed_to_apply + 1;
    const size_t room = state.options.apply_bytes_max - state.applying.bytes();
    if (first < state.log.memory_first()) {
      state.apply_fetching = first;
      state.effects.fetches.push_back(
          {state.self(), first, std::min(last, state.log.memory_first() - 1), room});
      return;
    }
    std::vector<Entry> entries = state.log.Slice(first, last, room);
    state.handed_to_apply = entries.back().index;
    state.applying.Push(state.handed_to_apply, BytesOf(entries));
    std::vector<Entry>& apply = state.effects.apply;
    apply.insert(apply.end(), std::make_move_iterator(entries.begin()),
                 std::make_move_iterator(entries.end()));
  }
}

void OnOwnEntriesFetched(CoreState& state, std::vector<Entry> entries) {
  if (!state.apply_fetching) return;
  const LogIndex asked = *std::exchange(state.apply_fetching, std::nullopt);
  state.dirty = true;
  if (state.installing || asked != state.handed_to_apply + 1) return;  // overtaken by a checkpoint
  BASALT_CHECK_MSG(!entries.empty() && entries.front().index == asked,
                   "the log store lost entries that are not applied");
  const LogIndex last = std::min(state.commit, state.durable());
  for (const Entry& entry : entries) {
    if (entry.index > last || !state.log.Holds(entry.index, entry.term)) return;
  }
  state.handed_to_apply = entries.back().index;
  state.applying.Push(state.handed_to_apply, BytesOf(entries));
  std::vector<Entry>& apply = state.effects.apply;
  apply.insert(apply.end(), std::make_move_iterator(entries.begin()),
               std::make_move_iterator(entries.end()));
}

}  // namespace basalt::raft
