// A slow follower never stalls the others, and what a leader has under way for it is bounded.

#include <variant>

#include "gtest/gtest.h"

#include "tests/unit/raft_core/timed_core.h"

namespace basalt::raft {
namespace {

constexpr size_t kEntryBytes = 132;  // as EntryBytes counts it

CoreOptions SmallWindows() {
  CoreOptions options = TimedCore::Options();
  options.inflight_appends_max = 4;
  options.inflight_bytes_max = 1000;
  options.append_bytes_max = 400;
  options.memory_bytes_max = 1000;
  return options;
}

// Replica 1 leads; 2 answers everything at once, 3 answered once and then no more.
class SlowFollower : public ::testing::Test {
 protected:
  SlowFollower() : one_(TimedCore::Fresh(3), SmallWindows()) {
    one_.Lead();
    one_.Acknowledge(2);
    one_.Acknowledge(3);
    one_.sent.clear();
  }

  void Propose(int count) {
    for (; count > 0; --count) {
      ASSERT_TRUE(std::holds_alternative<Proposed>(
          one_.core.Propose(EntryKind::kCommands, MakePayload(std::string(100, 'x')))));
      // Fetches are kept apart: TimedCore does not answer them.
      Effects effects = one_.core.TakeEffects();
      if (effects.persist) one_.core.OnPersisted(effects.persist->id);
      if (!effects.apply.empty()) one_.core.OnApplied(effects.apply.back().index);
      for (const Message& message : effects.messages) Count(message);
      for (const FetchEntries& fetch : effects.fetches) {
        fetches_ += fetch.follower == ReplicaId(3) ? 1 : 0;
        EXPECT_LE(fetch.bytes_max, SmallWindows().append_bytes_max);
      }
      one_.Hear(2, 1, AppendReply{true, one_.core.status().last, {}, {}, Round(1)});
      for (const Message& message : one_.sent) Count(message);
      one_.sent.clear();
    }
  }
  void Count(const Message& message) {
    const auto* append = std::get_if<AppendRequest>(&message.body);
    if (append == nullptr || message.to != ReplicaId(3)) return;
    bytes_ += append->entries.size() * kEntryBytes;
    ++appends_;
  }

  TimedCore one_;
  size_t bytes_ = 0;    // of entries sent to the slow one
  size_t appends_ = 0;  // likewise
  int fetches_ = 0;
};

TEST_F(SlowFollower, DoesNotHoldBackWhatTheOthersCommit) {
  Propose(200);
  EXPECT_EQ(one_.core.status().commit, LogIndex(201));
  EXPECT_EQ(one_.core.status().applied, LogIndex(201));
  EXPECT_LE(appends_, 4u);
  EXPECT_LE(bytes_, 1000u + 400u) << "the last append may pass the bound by its own size";
  EXPECT_EQ(fetches_, 0) << "nothing is read from the disk for it while its window is full";
}

TEST_F(SlowFollower, HasOneFetchUnderWayWhenItComesBack) {
  Propose(200);
  appends_ = 0;
  // It has what was in its window; the rest has left the leader's memory.
  one_.core.Step({GroupId(7), ReplicaId(3), ReplicaId(1), NodeId(1), Term(1),
                  AppendReply{true, LogIndex(2), {}, {}, Round(1)}, NodeId(3)});
  Propose(20);
  EXPECT_EQ(fetches_, 1);
  EXPECT_EQ(appends_, 0u) << "entries go in order: none before those that are fetched";
  EXPECT_EQ(one_.core.status().commit, LogIndex(221));
}

}  // namespace
}  // namespace basalt::raft
