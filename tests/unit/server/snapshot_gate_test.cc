#include "server/node/snapshot_gate.h"

#include <gtest/gtest.h>

namespace basalt::server {
namespace {

constexpr Stamp At(uint64_t ms) { return ms << kStampCounterBits; }

TEST(SnapshotGate, IsClosedBelowTheHighestStamp) {
  SnapshotGate gate;
  EXPECT_FALSE(gate.IsClosed(0));
  gate.Applied(raft::Term(3), 500, 0);
  EXPECT_TRUE(gate.IsClosed(499));
  EXPECT_FALSE(gate.IsClosed(500)) << "the same entry may have a part above it";
  gate.Applied(raft::Term(4), 0, 0);  // a no-op
  EXPECT_TRUE(gate.IsClosed(499));
}

TEST(SnapshotGate, ACeilingCoversWhatIsBelowItInTheTermThatServes) {
  SnapshotGate gate;
  gate.Applied(raft::Term(3), 500, 1000);
  EXPECT_TRUE(gate.IsCovered(999, raft::Term(3)));
  EXPECT_FALSE(gate.IsCovered(1000, raft::Term(3)));
  EXPECT_FALSE(gate.IsCovered(999, raft::Term(2))) << "a later leader's, under which it may write";
  EXPECT_FALSE(gate.IsCovered(999, raft::Term(4))) << "nothing of its own is applied yet";
  gate.Applied(raft::Term(4), 500, 1000);
  EXPECT_TRUE(gate.IsCovered(999, raft::Term(4))) << "an older leader's binds this one";
}

TEST(SnapshotGate, OneCeilingServesTheReadsOfSeconds) {
  SnapshotGate gate;
  gate.Applied(raft::Term(1), At(100'000), 0);
  const auto first = gate.Due(At(100'001), raft::Term(1), 100'001);
  EXPECT_EQ(first, At(105'001)) << "5 s above the time that is known";
  EXPECT_EQ(gate.Due(At(100'002), raft::Term(1), 100'002), std::nullopt) << "it is on its way";
  gate.Applied(raft::Term(1), At(100'003), *first);
  EXPECT_EQ(gate.Due(At(104'000), raft::Term(1), 104'000), std::nullopt);
  EXPECT_EQ(gate.Due(At(104'002), raft::Term(1), 104'002), At(109'002)) << "before it is needed";
}

TEST(SnapshotGate, ATimestampAheadOfTimeGetsACeilingJustAboveIt) {
  SnapshotGate gate;
  gate.Applied(raft::Term(1), At(100'000), 0);
  EXPECT_EQ(gate.Due(At(109'000), raft::Term(1), 100'000), At(109'000) + 1);
  EXPECT_EQ(gate.Due(At(109'000), raft::Term(1), 100'000), std::nullopt);
  gate.Applied(raft::Term(1), At(100'001), At(109'000) + 1);
  EXPECT_EQ(gate.Due(At(109'000), raft::Term(1), 100'000), std::nullopt);
  EXPECT_EQ(gate.Due(At(109'000) + 1, raft::Term(1), 100'000), At(109'000) + 2);
}

TEST(SnapshotGate, WhatWasAskedForInAnEarlierTermMayBeLost) {
  SnapshotGate gate;
  gate.Applied(raft::Term(1), At(100'000), 0);
  ASSERT_TRUE(gate.Due(At(100'001), raft::Term(1), 100'001));
  EXPECT_EQ(gate.Due(At(100'001), raft::Term(3), 100'002), At(105'002));
}

}  // namespace
}  // namespace basalt::server
