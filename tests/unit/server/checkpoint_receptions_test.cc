#include "server/node/checkpoint_receptions.h"

#include <gtest/gtest.h>

namespace basalt::server {
namespace {

constexpr raft::GroupId kGroup{1};

CheckpointOffer Offer(uint64_t from, uint64_t term, uint64_t index, raft::GroupId group = kGroup) {
  return {group, raft::ReplicaId(from), raft::Term(term), raft::LogIndex(index)};
}

class CheckpointReceptionsTest : public ::testing::Test {
 protected:
  // Which reception ends for it; nullopt: it is refused.
  std::optional<uint64_t> Replaced(const CheckpointOffer& offer) {
    const auto admission = receptions_.Admit(offer);
    if (!admission.ok()) return std::nullopt;
    last_ = admission->number;
    return admission->replaced;
  }

  CheckpointReceptions receptions_;
  uint64_t last_ = 0;
};

TEST_F(CheckpointReceptionsTest, ALaterTermReplacesAnEarlierOne) {
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
  const uint64_t first = last_;
  EXPECT_EQ(Replaced(Offer(12, 6, 90)), first) << "of whatever index";
  const uint64_t second = last_;
  EXPECT_EQ(Replaced(Offer(12, 7, 90)), second) << "of whatever sender";
  EXPECT_EQ(receptions_.under_way(), 1u);
}

TEST_F(CheckpointReceptionsTest, AnEqualOrEarlierTermOfAnotherIsRefused) {
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
  EXPECT_EQ(Replaced(Offer(12, 5, 200)), std::nullopt);
  EXPECT_EQ(Replaced(Offer(12, 4, 200)), std::nullopt);
  EXPECT_EQ(Replaced(Offer(11, 4, 200)), std::nullopt);
  EXPECT_TRUE(receptions_.BeginInstall(kGroup, last_)) << "what was under way goes on";
}

TEST_F(CheckpointReceptionsTest, ASenderThatComesAgainReplacesItself) {
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
  const uint64_t first = last_;
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), first);
  const uint64_t second = last_;
  EXPECT_EQ(Replaced(Offer(11, 5, 110)), second);
  EXPECT_EQ(Replaced(Offer(11, 5, 109)), std::nullopt) << "a call that was overtaken";
}

TEST_F(CheckpointReceptionsTest, WhatIsBeingInstalledIsReplacedByNothing) {
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
  EXPECT_TRUE(receptions_.BeginInstall(kGroup, last_));
  EXPECT_EQ(Replaced(Offer(12, 6, 100)), std::nullopt);
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), std::nullopt);
  receptions_.End(kGroup, last_);
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
}

TEST_F(CheckpointReceptionsTest, WhatWasReplacedNeitherInstallsNorEndsItsSuccessor) {
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
  const uint64_t first = last_;
  EXPECT_EQ(Replaced(Offer(12, 6, 100)), first);
  EXPECT_FALSE(receptions_.BeginInstall(kGroup, first));
  receptions_.End(kGroup, first);
  EXPECT_TRUE(receptions_.BeginInstall(kGroup, last_));
  receptions_.End(kGroup, last_);
  EXPECT_EQ(receptions_.under_way(), 0u);
  EXPECT_FALSE(receptions_.BeginInstall(kGroup, last_));
}

TEST_F(CheckpointReceptionsTest, GroupsHaveNothingToDoWithEachOther) {
  EXPECT_EQ(Replaced(Offer(11, 5, 100)), 0u);
  EXPECT_EQ(Replaced(Offer(21, 4, 100, raft::GroupId(2))), 0u);
  EXPECT_EQ(receptions_.under_way(), 2u);
  receptions_.End(raft::GroupId(2), last_);
  EXPECT_EQ(receptions_.under_way(), 1u);
}

}  // namespace
}  // namespace basalt::server
