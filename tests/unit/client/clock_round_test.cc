#include "client/clock_round.h"

#include <gtest/gtest.h>

namespace basalt::client {
namespace {

CallResult Told(uint64_t clock) {
  CallResult result;
  result.payload.clock = clock;
  return result;
}

TEST(ClockRoundTest, TheHighestClockOfAllShardsCounts) {
  ClockRound round(3, 0);
  EXPECT_FALSE(round.Take(Told(50)));
  EXPECT_FALSE(round.Take(Told(70)));
  EXPECT_FALSE(round.done());
  EXPECT_TRUE(round.Take(Told(60)));
  EXPECT_TRUE(round.done());
  EXPECT_EQ(*round.timestamp(), 70U);
}

TEST(ClockRoundTest, ASnapshotIsNotBelowTheToken) {
  ClockRound behind(1, 90);
  behind.Take(Told(70));
  EXPECT_EQ(*behind.timestamp(), 90U);
  ClockRound ahead(1, 60);
  ahead.Take(Told(70));
  EXPECT_EQ(*ahead.timestamp(), 70U);
}

TEST(ClockRoundTest, WithoutOneOfThemThereIsNone) {
  ClockRound round(2, 0);
  CallResult failed;
  failed.status = Status(Code::kUnavailable, Outcome::kNotApplied, "no leader");
  round.Take(std::move(failed));
  EXPECT_TRUE(round.Take(Told(70)));
  EXPECT_EQ(round.timestamp().status().message(), "no leader");
}

TEST(ClockRoundTest, AQuestionNamesItsShardAndMode) {
  const Operation operation =
      ClockOf({.shard_id = 3, .first_slot = 100, .slot_count = 7}, ReadMode::kReadIndex);
  EXPECT_EQ(operation.kind, OperationKind::kClock);
  EXPECT_EQ(operation.read_mode, ReadMode::kReadIndex);
  EXPECT_EQ(operation.page.shard_id, 3U);
  EXPECT_EQ(operation.page.first_slot, 100U);
  EXPECT_EQ(operation.page.slot_count, 7U);
}

}  // namespace
}  // namespace basalt::client
