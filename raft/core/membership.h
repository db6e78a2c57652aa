// Membership: how the members of a group change (dissertation, chapter 4).
//
// A change is asked of the leader as the members that there shall be. Whoever leads carries it to
// its end: what is to be done next is read off the log (a joint configuration that is committed
// wants its final one), so that no change depends on the leader that began it.
#pragma once

#include <variant>

#include "raft/core/core_state.h"
#include "raft/core/raft_core.h"
#include "raft/core/types.h"

namespace basalt::raft {

// See RaftCore::ChangeMembership.
std::variant<Proposed, ChangeRefusal> ChangeMembership(CoreState& state, Configuration target);

// After every input: a leader appends the final configuration behind a committed joint one, and
// steps down when the one that leaves it out is committed (dissertation, 4.2.2).
void ContinueMembershipChange(CoreState& state);

// Whether this replica may stand for election. A voter of the newest configuration that is known
// to be committed may, and one of any behind it: a replica that the configuration in force leaves
// out can be the only one whose log is new enough, until that configuration is committed. It does
// not count itself then (dissertation, 4.2.2).
bool MayCampaign(const CoreState& state);

// Whether the leader may promote this learner: it takes appends as they come, was heard within an
// election timeout, and durably holds what was committed when the heartbeat before the last one
// left, and this leader's first entry.
bool IsCaughtUp(const CoreState& state, const FollowerProgress& follower);
// A heartbeat of the leader's clock leaves.
void NoteHeartbeat(CoreState& state);

// The list of followers: all members of the configuration in force but this leader itself. Who
// stays keeps its place.
std::vector<FollowerProgress> FollowersOf(const CoreState& state,
                                          std::vector<FollowerProgress> before);

}  // namespace basalt::raft
