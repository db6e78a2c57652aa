// EntryIndex: replay from the middle of history, and the counts that let segments go.
#include "storage/raft_log/entry_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace basalt::storage::raft_log {
namespace {

const Owner kOwner{raft::GroupId(1), raft::ReplicaId(5)};

raft::LogBase Base(uint64_t index, uint64_t term) {
  return {raft::LogIndex(index), raft::Term(term), {}};
}

std::vector<EntryPosition> Positions(FileNumber file, size_t count, uint64_t term) {
  return std::vector<EntryPosition>(count, {raft::Term(term), file, 512, 10, 0});
}

TEST(EntryIndexTest, CountsWhatEachFileStillHolds) {
  EntryIndex index;
  index.SetState(kOwner, StateReason::kCreated, {}, Base(0, 0), 1);
  index.ReplaceFrom(kOwner, raft::LogIndex(1), Positions(1, 4, 1));
  EXPECT_EQ(index.UseOf(1).entries, 4u);
  EXPECT_EQ(index.UseOf(1).states, 2u);
  index.ReplaceFrom(kOwner, raft::LogIndex(3), Positions(2, 1, 2));
  EXPECT_EQ(index.UseOf(1).entries, 2u);
  index.SetBase(kOwner, Base(1, 1), false, 2);
  EXPECT_EQ(index.UseOf(1).entries, 1u);
  EXPECT_EQ(index.UseOf(1).states, 1u);
  index.SetHardState(kOwner, {raft::Term(2), raft::ReplicaId(0)}, 2);
  index.Relocate(kOwner, raft::LogIndex(2), Positions(2, 1, 1));
  EXPECT_TRUE(index.UseOf(1).empty());
  index.Drop(kOwner, 3);
  EXPECT_TRUE(index.UseOf(2).empty());
  EXPECT_EQ(index.UseOf(3).states, 1u);
}

TEST(EntryIndexTest, HoldsKnowsTermsOfEntriesAndBase) {
  EntryIndex index;
  index.SetState(kOwner, StateReason::kCreated, {}, Base(4, 2), 1);
  index.ReplaceFrom(kOwner, raft::LogIndex(5), Positions(1, 2, 3));
  EXPECT_TRUE(index.Holds(kOwner, raft::LogIndex(4), raft::Term(2)));
  EXPECT_TRUE(index.Holds(kOwner, raft::LogIndex(6), raft::Term(3)));
  EXPECT_FALSE(index.Holds(kOwner, raft::LogIndex(6), raft::Term(2)));
  EXPECT_FALSE(index.Holds(kOwner, raft::LogIndex(7), raft::Term(3)));
  EXPECT_FALSE(index.Holds(kOwner, raft::LogIndex(3), raft::Term(2)));
}

// The segment with the entries' beginning and the state is gone; both were carried forward.
TEST(EntryIndexTest, ReplayMayStartInTheMiddle) {
  EntryIndex index;
  index.ReplaceFrom(kOwner, raft::LogIndex(8), Positions(2, 3, 1));
  EXPECT_FALSE(index.CheckComplete().ok()) << "no state yet";
  index.Relocate(kOwner, raft::LogIndex(6), Positions(3, 1, 1));
  index.SetState(kOwner, StateReason::kForwarded, {}, Base(5, 1), 3);
  EXPECT_FALSE(index.CheckComplete().ok()) << "entry 7 is missing";
  index.Relocate(kOwner, raft::LogIndex(7), Positions(3, 1, 1));
  EXPECT_TRUE(index.CheckComplete().ok()) << index.CheckComplete();
  EXPECT_EQ(index.Find(kOwner.group)->first, raft::LogIndex(6));
  EXPECT_EQ(index.Find(kOwner.group)->next(), raft::LogIndex(11));
}

TEST(EntryIndexTest, AMissingBeginningIsNoticed) {
  EntryIndex index;
  index.SetState(kOwner, StateReason::kForwarded, {}, Base(5, 1), 3);
  index.ReplaceFrom(kOwner, raft::LogIndex(8), Positions(3, 1, 1));
  EXPECT_EQ(index.CheckComplete().code(), absl::StatusCode::kDataLoss);
}

TEST(EntryIndexTest, CountsHoles) {
  EntryIndex index;
  index.ReplaceFrom(kOwner, raft::LogIndex(8), Positions(2, 3, 1));
  EXPECT_EQ(index.HolesBeside(kOwner, EntriesReason::kAppended, raft::LogIndex(14), 1), 3u);
  EXPECT_EQ(index.HolesBeside(kOwner, EntriesReason::kAppended, raft::LogIndex(2), 1), 0u);
  EXPECT_EQ(index.HolesBeside(kOwner, EntriesReason::kCopied, raft::LogIndex(2), 1), 5u);
  index.ReplaceFrom(kOwner, raft::LogIndex(14), Positions(2, 1, 1));
  index.Relocate(kOwner, raft::LogIndex(2), Positions(3, 1, 1));
  EXPECT_EQ(index.holes(), 8u);
  index.Relocate(kOwner, raft::LogIndex(3), Positions(3, 5, 1));
  EXPECT_EQ(index.holes(), 3u);
  index.ReplaceFrom(kOwner, raft::LogIndex(12), Positions(2, 1, 1));
  EXPECT_EQ(index.holes(), 1u);
  index.Drop(kOwner, 3);
  EXPECT_EQ(index.holes(), 0u);
}

std::vector<EncodedEntry> Encoded(size_t count) {
  return std::vector<EncodedEntry>(count, {raft::Term(1), 0, 20, 0});
}

// Indexes that would take all memory, or wrap: of a bug or a forger, never of a log.
TEST(EntryIndexTest, IndexesThatNoLogHasAreRefused) {
  constexpr uint64_t kHuge = ~uint64_t{0};
  const auto refused = [](auto feed) {
    EntryIndex index;
    IndexingSink sink(index, 1, 512, 10);
    sink.OnState(kOwner, StateReason::kCreated, {}, Base(0, 0));
    sink.OnEntries(kOwner, EntriesReason::kAppended, raft::LogIndex(1), Encoded(2));
    EXPECT_TRUE(sink.status().ok());
    feed(sink);
    EXPECT_EQ(index.Find(kOwner.group)->entries.size(), 2u);
    return sink.status().code();
  };
  constexpr auto kRefused = absl::StatusCode::kDataLoss;
  using Sink = IndexingSink;
  EXPECT_EQ(refused([](Sink& sink) {
              sink.OnState(kOwner, StateReason::kForwarded, {}, Base(kHuge, 1));
            }),
            kRefused);
  EXPECT_EQ(refused([](Sink& sink) { sink.OnBase(kOwner, Base(kHuge, 1), true); }), kRefused);
  EXPECT_EQ(refused([](Sink& sink) {
              sink.OnEntries(kOwner, EntriesReason::kCopied, raft::LogIndex(kHuge), Encoded(5));
            }),
            kRefused);
  EXPECT_EQ(refused([](Sink& sink) {
              sink.OnEntries(kOwner, EntriesReason::kAppended, raft::LogIndex(14), Encoded(1));
            }),
            kRefused);
  // None at all: an empty log would begin elsewhere than behind its base.
  EXPECT_EQ(refused([](Sink& sink) {
              sink.OnEntries(kOwner, EntriesReason::kAppended, raft::LogIndex(1), {});
            }),
            kRefused);
  EXPECT_EQ(refused([](Sink& sink) {
              sink.OnBase(kOwner, Base(kHuge, 1), true);
              // Nothing behind what was refused counts.
              sink.OnHardState(kOwner, {});
              sink.OnDropped(kOwner);
            }),
            kRefused);
}

TEST(EntryIndexTest, RecordsOfOtherReplicasAreVoid) {
  EntryIndex index;
  const Owner successor{kOwner.group, raft::ReplicaId(6)};
  index.SetState(kOwner, StateReason::kCreated, {}, Base(0, 0), 1);
  index.ReplaceFrom(kOwner, raft::LogIndex(1), Positions(1, 3, 1));
  index.SetState(successor, StateReason::kCreated, {}, Base(0, 0), 1);
  EXPECT_EQ(index.Find(kOwner.group)->entries.size(), 0u);
  index.ReplaceFrom(kOwner, raft::LogIndex(1), Positions(1, 3, 1));
  EXPECT_EQ(index.Find(kOwner.group)->entries.size(), 0u);
  index.Drop(successor, 2);
  EXPECT_FALSE(index.Admits(successor));
  EXPECT_TRUE(index.Admits({kOwner.group, raft::ReplicaId(7)}));
  EXPECT_EQ(index.Find(kOwner.group), nullptr);
}

TEST(EntryIndexTest, FindsRunsAndPins) {
  EntryIndex index;
  index.SetState(kOwner, StateReason::kCreated, {}, Base(0, 0), 1);
  index.ReplaceFrom(kOwner, raft::LogIndex(1), Positions(1, 2, 1));
  index.ReplaceFrom(kOwner, raft::LogIndex(3), Positions(2, 2, 1));
  index.ReplaceFrom(kOwner, raft::LogIndex(5), Positions(1, 1, 1));
  const auto runs = index.EntriesIn(1, SIZE_MAX);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].positions.size(), 2u);
  EXPECT_EQ(runs[1].first, raft::LogIndex(5));
  EXPECT_EQ(index.EntriesIn(1, 1)[0].positions.size(), 1u);
  ASSERT_EQ(index.GroupsPinning(1).size(), 1u);
  EXPECT_EQ(index.GroupsPinning(1)[0].through, raft::LogIndex(5));
}

}  // namespace
}  // namespace basalt::storage::raft_log
