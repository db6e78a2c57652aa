// The checker must object: each case breaks one field behind the rules' back.

#include "raft/core/invariants.h"

#include <functional>
#include <string>

#include "gtest/gtest.h"

#include "base/check.h"
#include "raft/core/election.h"
#include "raft/core/follower_reads.h"
#include "raft/core/lease.h"
#include "raft/core/membership.h"
#include "raft/core/replication.h"
#include "tests/unit/raft_core/make_entries.h"

namespace basalt::raft {
namespace {

CoreState Recovered() {
  CoreOptions options;
  options.group = GroupId(1);
  options.self = ReplicaId(1);
  options.check_thoroughly = true;
  return CoreState(options, {HardState{Term(3), ReplicaId(2)}, MakeBase(2, 1),
                             MakeEntries(3, {1, 2, 3, 3}), MakeBase(4, 2)});
}

CoreState Leading() {
  CoreState state = Recovered();
  StartCampaign(state);
  OnVoteReply(state, ReplicaId(2), Term(4), VoteReply{true, true});
  state.persists.Take(state.hard_state, state.log);
  state.persists.Finish(PersistId(1));
  OnHardStateDurable(state);
  OnVoteReply(state, ReplicaId(2), Term(4), VoteReply{false, true});
  return state;
}

void ExpectObjection(const CoreState& healthy, const std::string& to,
                     const std::function<void(CoreState&)>& harm) {
  EXPECT_EXIT(
      {
        CoreState state = healthy;
        Invariants invariants(state);
        invariants.Check(state);
        harm(state);
        invariants.Check(state);
      },
      ::testing::ExitedWithCode(base::kExitBug), to);
}

TEST(Invariants, AHealthyCorePasses) {
  CoreState state = Leading();
  ASSERT_NE(state.leader(), nullptr);
  Invariants invariants(state);
  invariants.Check(state);
}

TEST(Invariants, ObjectsToWhatAlwaysHolds) {
  const CoreState state = Recovered();
  ExpectObjection(state, "handed_to_apply", [](CoreState& s) { s.applied = LogIndex(5); });
  ExpectObjection(state, "commit <= ", [](CoreState& s) { s.commit = LogIndex(7); });
  ExpectObjection(state,
                  "handed_to_apply <= ", [](CoreState& s) { s.handed_to_apply = LogIndex(5); });
  ExpectObjection(state, "base", [](CoreState& s) { s.log.CompactTo(LogIndex(5)); });
  ExpectObjection(state, "last_term", [](CoreState& s) {
    s.log.Append({LogIndex(7), Term(9), EntryKind::kNoOp, {}});
  });
  ExpectObjection(state, "durable", [](CoreState& s) { s.log.TruncateFrom(LogIndex(6)); });
  ExpectObjection(state, "installing", [](CoreState& s) { s.installing = MakeBase(4, 2); });
}

TEST(Invariants, ObjectsToWhatMayNotChange) {
  const CoreState state = Recovered();
  ExpectObjection(state, "term", [](CoreState& s) { s.hard_state.term = Term(2); });
  ExpectObjection(state, "voted_for", [](CoreState& s) { s.hard_state.voted_for = ReplicaId(3); });
  ExpectObjection(state, "voted_for", [](CoreState& s) { s.hard_state.voted_for = ReplicaId(0); });
  ExpectObjection(state, "commit", [](CoreState& s) {
    s.commit = LogIndex(3);
    s.handed_to_apply = LogIndex(3);
    s.applied = LogIndex(3);
  });
  ExpectObjection(state, "commit_term", [](CoreState& s) {
    // Another history up to the commit index.
    s.log.TruncateFrom(LogIndex(4));
    s.log.Append({LogIndex(4), Term(3), EntryKind::kNoOp, {}});
    s.log.Append({LogIndex(5), Term(3), EntryKind::kNoOp, {}});
    s.log.Append({LogIndex(6), Term(3), EntryKind::kNoOp, {}});
  });
}

TEST(Invariants, ObjectsToALeaderGoneWrong) {
  const CoreState state = Leading();
  ExpectObjection(state, "voted_for", [](CoreState& s) { s.hard_state.voted_for = ReplicaId(2); });
  ExpectObjection(state, "IsHardStateDurable", [](CoreState& s) { s.persists.HardStateChanged(); });
  ExpectObjection(state, "follower.match", [](CoreState& s) {
    s.leader()->followers[0].match = s.leader()->followers[0].next;
  });
  ExpectObjection(state, "follower.next",
                  [](CoreState& s) { s.leader()->followers[0].next = s.log.last() + 2; });
  ExpectObjection(state, "acknowledged_round",
                  [](CoreState& s) { s.leader()->followers[0].acknowledged_round = Round(99); });
  ExpectObjection(state, "read_rounds", [](CoreState& s) {
    s.leader()->read_rounds.push_back({Round(99), LogIndex(4), {}});
  });
  ExpectObjection(state, "commit_term", [](CoreState& s) {
    s.commit = LogIndex(5);  // of term 3, by a leader of term 4
  });
}

// As a leader would, but for the rules.
void AppendConfiguration(CoreState& state, const Configuration& configuration) {
  AppendOwn(state, EntryKind::kConfiguration, MakePayload(EncodeConfiguration(configuration)));
  state.leader()->followers = FollowersOf(state, std::move(state.leader()->followers));
}

TEST(Invariants, ObjectsToMembersGoneWrong) {
  const CoreState state = Leading();
  ExpectObjection(state, "followers", [](CoreState& s) { s.leader()->followers.pop_back(); });
  ExpectObjection(state, "followers", [](CoreState& s) {
    const Member stranger{ReplicaId(9), NodeId(9)};
    s.leader()->followers.emplace_back(stranger, LogIndex(7), 0);
  });
  ExpectObjection(state, "follower->node",
                  [](CoreState& s) { s.leader()->followers[0].node = NodeId(9); });
  ExpectObjection(state, "own_uncommitted", [](CoreState& s) {
    for (uint64_t learner : {4, 5}) {
      Configuration next = s.configuration();
      next.members.push_back({ReplicaId(learner), NodeId(learner), MemberRole::kLearner});
      AppendConfiguration(s, next);
    }
  });
  Configuration without_itself = MakeConfiguration(3);
  without_itself.members.erase(without_itself.members.begin());
  const Configuration joint = StepTowards(MakeConfiguration(3), without_itself);
  ExpectObjection(state, "IsJoint", [&](CoreState& s) {
    AppendConfiguration(s, joint);
    s.commit = s.log.last();  // and no final one
  });
  ExpectObjection(state, "IsVoter", [&](CoreState& s) {
    AppendConfiguration(s, joint);
    s.commit = s.log.last();
    AppendConfiguration(s, FinalOf(joint));
    s.commit = s.log.last();  // and it leads on
  });
}

TEST(Invariants, ObjectsToACandidateWithoutAVote) {
  CoreOptions options;
  options.group = GroupId(1);
  options.self = ReplicaId(1);
  LogBase base = MakeBase(4, 2);
  base.configuration.members[0].role = MemberRole::kLearner;
  const CoreState state(options, {HardState{Term(3), ReplicaId(2)}, base, {}, base});
  ExpectObjection(state, "MayCampaign", [](CoreState& s) { s.role = PreCandidateRole{}; });
}

// Leads term 4 since 50, its no-op is applied, replica 2 has answered round 1.
CoreState LeadingWithLease() {
  CoreOptions options;
  options.group = GroupId(1);
  options.self = ReplicaId(1);
  options.leases = true;
  options.election_timeout = Time(20);
  options.lease_duration = Time(16);
  CoreState state(options, {HardState{Term(3), ReplicaId(2)}, MakeBase(2, 1),
                            MakeEntries(3, {1, 2, 3, 3}), MakeBase(4, 2)});
  state.started_at = Time(10);
  state.now = Time(50);
  StartCampaign(state);
  OnVoteReply(state, ReplicaId(2), Term(4), VoteReply{true, true});
  state.persists.Take(state.hard_state, state.log);
  state.persists.Finish(PersistId(1));
  OnHardStateDurable(state);
  OnVoteReply(state, ReplicaId(2), Term(4), VoteReply{false, true});
  state.persists.Take(state.hard_state, state.log);
  state.persists.Finish(PersistId(2));
  OnAppendReply(state, ReplicaId(2), AppendReply{true, LogIndex(7), {}, {}, Round(1)});
  state.handed_to_apply = state.commit;
  state.applied = state.commit;
  return state;
}

TEST(Invariants, AHealthyLeasePasses) {
  CoreState state = LeadingWithLease();
  Invariants invariants(state);
  invariants.Check(state);
  ASSERT_TRUE(CurrentLease(state).has_value());
  EXPECT_EQ(CurrentLease(state)->end, Time(66));
  state.now = Time(60);
  SendHeartbeats(state);
  OnHeartbeatReply(state, ReplicaId(3), HeartbeatReply{Round(2)});
  invariants.Check(state);
  EXPECT_EQ(CurrentLease(state)->end, Time(76));
}

TEST(Invariants, ObjectsToALeaseGoneWrong) {
  const CoreState state = LeadingWithLease();
  ExpectObjection(state, "newest_at", [](CoreState& s) {
    ++s.leader()->round;
    s.leader()->round_times.Sent(Round(2), Time(51));
  });
  ExpectObjection(state, "leader.round", [](CoreState& s) {
    s.now = Time(51);
    s.leader()->round_times.Sent(Round(2), Time(51));
  });
  ExpectObjection(state, "now.answered > before.answered", [](CoreState& s) {
    // As if it ran from the arrival of the answer.
    s.now = Time(55);
    s.leader()->round_times = {};
    s.leader()->round_times.Sent(Round(1), Time(55));
  });
  ExpectObjection(state, "leader.lease_given_up", [](CoreState& s) {
    s.leader()->transfer = LeaderRole::Transfer{ReplicaId(2), 0, true};
  });
  ExpectObjection(state, "transfer->to", [](CoreState& s) {
    s.leader()->transfer = LeaderRole::Transfer{s.self(), 0, false};
  });
  CoreState given_up = state;
  given_up.leader()->lease_given_up = true;
  ExpectObjection(given_up, "lease_given_up",
                  [](CoreState& s) { s.leader()->lease_given_up = false; });
}

TEST(Invariants, ObjectsToPromisesAndQuestionsGoneWrong) {
  CoreState state = Recovered();
  state.now = Time(50);
  state.leader_heard_at = Time(40);
  ExpectObjection(state, "now.time", [](CoreState& s) { s.now = Time(49); });
  ExpectObjection(state, "leader_heard_at", [](CoreState& s) { s.leader_heard_at = Time(51); });
  ExpectObjection(state, "leader_heard_at", [](CoreState& s) { s.leader_heard_at = Time(39); });
  ExpectObjection(state, "leader_heard_at", [](CoreState& s) { s.leader_heard_at.reset(); });
  ExpectObjection(state, "asked_reads",
                  [](CoreState& s) { s.asked_reads.resize(kAskedReadsMax + 1); });
  ExpectObjection(Leading(), "reads_waiting", [](CoreState& s) {
    s.leader()->followers[0].reads_waiting = kAskedReadsMax + 1;
  });
}

}  // namespace
}  // namespace basalt::raft
