// The checker must object: each case breaks one field behind the rules' back.

#include "raft/core/invariants.h"

#include <functional>
#include <string>

#include "gtest/gtest.h"

#include "base/check.h"
#include "raft/core/election.h"
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

}  // namespace
}  // namespace basalt::raft
