// Wait-die, rule by rule. The smaller an age, the older.

#include "server/txn/lock_queue.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace basalt::txn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr LockMode kShared = LockMode::kShared;
constexpr LockMode kExclusive = LockMode::kExclusive;

TxnId IdOfAge(uint64_t age) { return {0, 1, {1, 1}, age}; }

LockRequest Aged(RequestId request, uint64_t age, std::vector<WantedKey> keys) {
  return {request, AgeOfFirstAttempt(IdOfAge(age)), IdOfAge(age), std::move(keys)};
}

LockRequest OneKeyWrite(RequestId request, const std::string& key) {
  return {request, std::nullopt, std::nullopt, {{key, kExclusive}}};
}

class LockQueueTest : public testing::Test {
 protected:
  void Lock(const std::string& key, uint64_t age, LockMode mode) {
    locks_.Add(key, {IdOfAge(age), AgeOfFirstAttempt(IdOfAge(age)), mode});
  }
  void Unlock(const std::string& key, uint64_t age) { locks_.Remove(key, IdOfAge(age)); }

  LockTable locks_;
  LockQueue queue_{&locks_};
};

TEST_F(LockQueueTest, WhoMeetsNobodyIsProposedAtOnce) {
  EXPECT_THAT(queue_.Offer(Aged(1, 5, {{"a", kExclusive}})).proposed, ElementsAre(1));
}

TEST_F(LockQueueTest, TheOlderWaitsTheYoungerDies) {
  Lock("a", 5, kExclusive);
  EXPECT_THAT(queue_.Offer(Aged(1, 9, {{"a", kShared}})).refused, ElementsAre(1));
  EXPECT_THAT(queue_.Offer(Aged(2, 5, {{"a", kShared}})).proposed, ElementsAre(2));  // its own
  EXPECT_THAT(queue_.Offer(Aged(3, 3, {{"a", kShared}})).refused, IsEmpty());
  EXPECT_EQ(queue_.waiting(), 1u);
  Unlock("a", 5);
  queue_.Done(2);
  EXPECT_EQ(queue_.waiting(), 0u);
}

// Its next attempt is as old as itself, and would be refused behind it.
TEST_F(LockQueueTest, WhatIsOverNoLongerWaits) {
  Lock("a", 9, kExclusive);
  queue_.Offer(Aged(1, 5, {{"a", kExclusive}}));
  LockRequest next_attempt{
      2, AgeOfFirstAttempt(IdOfAge(5)), TxnId{0, 1, {1, 1}, 50}, {{"a", kExclusive}}};
  EXPECT_THAT(queue_.WithdrawAll(IdOfAge(6)), IsEmpty());
  EXPECT_THAT(queue_.WithdrawAll(IdOfAge(5)), ElementsAre(1));
  EXPECT_FALSE(queue_.Knows(IdOfAge(5)));
  EXPECT_THAT(queue_.Offer(next_attempt).refused, IsEmpty());
  EXPECT_EQ(queue_.waiting(), 1u);
}

TEST_F(LockQueueTest, WhatIsProposedHolds) {
  queue_.Offer(Aged(1, 5, {{"a", kExclusive}}));
  EXPECT_THAT(queue_.Offer(Aged(2, 9, {{"a", kShared}})).refused, ElementsAre(2));
  queue_.Offer(Aged(3, 3, {{"a", kShared}}));
  EXPECT_EQ(queue_.waiting(), 1u);
  EXPECT_THAT(queue_.Done(1).proposed, ElementsAre(3));
}

TEST_F(LockQueueTest, SharedLocksQueueBehindAWaitingWriter) {
  Lock("a", 7, kShared);
  queue_.Offer(Aged(1, 5, {{"a", kExclusive}}));
  EXPECT_THAT(queue_.Offer(Aged(2, 6, {{"a", kShared}})).refused, ElementsAre(2));
  queue_.Offer(Aged(3, 4, {{"a", kShared}}));
  EXPECT_EQ(queue_.waiting(), 2u);
  queue_.Offer(OneKeyWrite(4, "a"));
  EXPECT_EQ(queue_.waiting(), 3u);
}

// Also of those that do not exclude it.
TEST_F(LockQueueTest, WhoWaitsIsOlderThanEveryHolderOfItsKeys) {
  Lock("a", 9, kExclusive);
  Lock("b", 2, kShared);
  EXPECT_THAT(queue_.Offer(Aged(1, 5, {{"a", kShared}, {"b", kShared}})).refused, ElementsAre(1));
  EXPECT_THAT(queue_.Offer(Aged(2, 5, {{"a", kShared}})).refused, IsEmpty());
}

TEST_F(LockQueueTest, WhoWaitsIsJudgedAnewWhenHoldersChange) {
  Lock("a", 9, kExclusive);
  queue_.Offer(Aged(1, 5, {{"a", kShared}, {"b", kShared}}));
  EXPECT_EQ(queue_.waiting(), 1u);
  Lock("b", 2, kExclusive);  // applied from what an earlier leader proposed
  EXPECT_THAT(queue_.LocksChanged().refused, ElementsAre(1));
}

TEST_F(LockQueueTest, OneKeyWritesHaveNoAgeHoldNothingAndWait) {
  Lock("a", 1, kShared);
  EXPECT_THAT(queue_.Offer(OneKeyWrite(1, "a")).refused, IsEmpty());
  EXPECT_THAT(queue_.Offer(OneKeyWrite(2, "b")).proposed, ElementsAre(2));
  EXPECT_THAT(queue_.Offer(Aged(3, 5, {{"b", kExclusive}})).proposed, ElementsAre(3));
  Unlock("a", 1);
  EXPECT_THAT(queue_.LocksChanged().proposed, ElementsAre(1));
}

TEST_F(LockQueueTest, WhoIsWithdrawnLetsOthersGo) {
  Lock("a", 7, kShared);
  queue_.Offer(OneKeyWrite(1, "a"));
  queue_.Offer(Aged(2, 4, {{"a", kShared}}));
  EXPECT_EQ(queue_.waiting(), 2u);
  EXPECT_TRUE(queue_.Withdraw(1));
  EXPECT_FALSE(queue_.Withdraw(1));
  EXPECT_THAT(queue_.LocksChanged().proposed, ElementsAre(2));
  EXPECT_TRUE(queue_.Knows(IdOfAge(4)));
}

}  // namespace
}  // namespace basalt::txn
