// Leases: a leader reads without asking anybody, because its voters have promised to elect nobody
// else for a while (dissertation, 6.4.1; the rules below go beyond it).
//
// The followers' half. Whoever answers a round of a leader refuses votes and pre-votes until the
// length of a promise has passed on its own clock since it *heard* that leader: its own vote as
// well, so it does not campaign earlier either. The promise is kept in memory only. So a replica
// that was restarted refuses every vote for one election timeout, which no promise outlasts: it may
// have promised in its earlier life.
//
// A promise may be shorter than the election timeout. Then a replica that has no sign that its
// leader is gone refuses for the whole timeout all the same, so that a leader that is held up keeps
// its place; only one whose connection to it broke (succession.h) goes to the end of its promise.
// Clocks decide, not ticks: a driver that was held up ticks once for many, and a tick may follow
// the leader's word at once.
//
// The leader's half. A lease runs from the *sending* of the newest round that a quorum has answered
// to this core, for the length of a promise divided by (1 + drift bound). Each of that quorum heard
// the leader no earlier than the round was sent, and a quorum that elects another leader shares a
// voter with it; that voter's promise, on a clock that is faster by the drift bound at most, ends
// no earlier than the lease. (From the arrival of the answers it could end later.)
//
// There is no lease before an entry of the leader's own term is *applied*: until then neither the
// commit index nor the state machine need hold what earlier leaders acknowledged. There is none
// after TimeoutNow was sent, for the rest of the term: see MayVoteByTransfer.
//
// A read under a lease is served at the commit index of the moment of the check, once that is
// applied here. It is linearizable however late the reply is: at the instant of the check no other
// leader could have committed anything, so the commit index covered all that had been acknowledged
// to anybody, and that instant lies between the read's call and its reply. The clock must have been
// read after the request came; it may be read long before the reply goes. The commit index, not the
// applied index of the leader: a follower may have applied more than its leader has and have shown
// it to a reader, and a read at the leader that comes later must not go back behind that.
//
// What this rests on: the rates of any two machines' clocks agree within the drift bound over one
// election timeout, and all replicas have promises of the same length.
#pragma once

#include <cstdint>
#include <optional>

#include "raft/core/message.h"
#include "raft/core/types.h"

namespace basalt::raft {

struct CoreOptions;
struct CoreState;

// What whoever serves reads needs to know: before `end`, on this node's clock, a read may be served
// as soon as `commit` is applied. To be taken before the clock is read for the check.
struct LeaseGrant {
  Time end;
  LogIndex commit;

  bool operator==(const LeaseGrant&) const = default;
};

// The longest lease that is safe for followers whose promises last for so long and whose clocks may
// be faster by `drift_percent`.
constexpr Time LeaseDuration(Time promise, uint32_t drift_percent) {
  return Time(promise.value() / (100 + drift_percent) * 100);
}
Time PromiseLength(const CoreOptions& options);

// ---- the leader's half ----

// The newest round leaves now.
void RoundSent(CoreState& state);
// The newest round that a quorum has answered.
Round AnsweredByQuorum(const CoreState& state);
// Whether it is still good is the caller's to check, against a clock read for that.
std::optional<LeaseGrant> CurrentLease(const CoreState& state);

// ---- the followers' half ----

void LeaderWasHeard(CoreState& state);
// Whether this replica leads, or has heard a leader too lately to help depose it: within an
// election timeout, or within its promise when it takes turns to follow that leader.
bool IsLeaderHeard(const CoreState& state);
// Whether this life is younger than an election timeout and an earlier one may have promised.
bool IsNewlyRestarted(const CoreState& state);
// Whether a promise forbids this replica to vote for itself.
bool IsOwnVoteHeldBack(const CoreState& state);
// Whether a promise forbids the vote that is asked for.
bool IsVoteHeldBack(const CoreState& state, const VoteRequest& request);

}  // namespace basalt::raft
