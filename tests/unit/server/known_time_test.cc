// A node's own clock: where it lies among the others', and how it follows a wall clock that was
// set.
#include "server/clock/known_time.h"

#include <gtest/gtest.h>

#include <limits>

#include "server/clock/hybrid_clock.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint64_t kStart = 1'700'000'000'000;

class SetClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now; }
  uint64_t WallMilliseconds() const override {
    return kStart + static_cast<uint64_t>((now / milliseconds(1)) + error_ms);
  }
  MonotonicTime now{0};
  int64_t error_ms = 0;
};

class KnownTimeOfANode : public ::testing::Test {
 protected:
  void HearClock(uint64_t node, int64_t ahead_ms) {
    time_.HearClock(node, time_.OwnMilliseconds() + static_cast<uint64_t>(ahead_ms));
  }
  // Seconds, one Slew in each.
  int64_t Slew(int count) {
    int64_t by = 0;
    for (; count > 0; --count) {
      clock_.now += seconds(1);
      by += time_.Slew();
    }
    return by;
  }

  SetClock clock_;
  KnownTime time_{clock_};
};

TEST_F(KnownTimeOfANode, LiesAmongTheNodesThatItHears) {
  EXPECT_EQ(time_.AheadOfMedian(), 0) << "alone";
  HearClock(2, 60'000);
  EXPECT_EQ(time_.AheadOfMedian(), 0) << "of two nobody can say who is off";
  HearClock(3, 61'000);
  EXPECT_EQ(time_.AheadOfMedian(), -60'000);
  HearClock(4, -2'000);
  EXPECT_EQ(time_.AheadOfMedian(), 0) << "the nearer one of the two in the middle";
  HearClock(5, -3'000);
  EXPECT_EQ(time_.AheadOfMedian(), 0);
  HearClock(2, -50'000);
  EXPECT_EQ(time_.AheadOfMedian(), 2'000);
}

TEST_F(KnownTimeOfANode, WhoWasNotHeardForFiveSecondsDoesNotCount) {
  HearClock(2, 60'000);
  HearClock(3, 60'000);
  clock_.now += seconds(5);
  EXPECT_EQ(time_.AheadOfMedian(), -60'000);
  clock_.now += milliseconds(1);
  EXPECT_EQ(time_.AheadOfMedian(), 0);
  HearClock(3, 60'000);
  EXPECT_EQ(time_.AheadOfMedian(), 0) << "two again";
}

TEST_F(KnownTimeOfANode, WhatIsNoTimeIsNotHeard) {
  time_.HearClock(2, std::numeric_limits<uint64_t>::max());
  time_.HearClock(3, uint64_t{1} << 47);
  EXPECT_EQ(time_.AheadOfMedian(), 0);
}

TEST_F(KnownTimeOfANode, FollowsAWallClockThatWasSetSlowly) {
  clock_.error_ms = 1000;
  EXPECT_EQ(Slew(100), 0) << "near enough";
  clock_.error_ms = 3'600'000;
  EXPECT_EQ(Slew(10), 50);
  EXPECT_EQ(time_.OwnMilliseconds(), kStart + 110'000 + 50) << "a jump moves nothing at once";
  EXPECT_EQ(time_.Milliseconds(), time_.OwnMilliseconds());
  clock_.error_ms = -3'600'000;
  const uint64_t highest = time_.Milliseconds();
  EXPECT_EQ(Slew(10), -50);
  EXPECT_EQ(time_.OwnMilliseconds(), kStart + 120'000);
  EXPECT_EQ(time_.Milliseconds(), highest + 10'000) << "what is known does not fall back";
  clock_.error_ms = 1'012;
  EXPECT_EQ(Slew(10), 15) << "until it is within a second";
}

TEST_F(KnownTimeOfANode, IsMovedOncePerSecond) {
  clock_.error_ms = 60'000;
  clock_.now += milliseconds(999);
  EXPECT_EQ(time_.Slew(), 0);
  clock_.now += milliseconds(1);
  EXPECT_EQ(time_.Slew(), 5);
  EXPECT_EQ(time_.Slew(), 0);
  clock_.now += seconds(4);
  EXPECT_EQ(time_.Slew(), 20);
}

TEST(HybridClockThatIsMoved, GoesOnRising) {
  HybridClock clock(kStart, MonotonicTime(0));
  const Stamp before = clock.Take(seconds(1), 1);
  clock.Shift(-5);
  EXPECT_GT(clock.Take(seconds(1), 1), before);
  clock.Shift(10);
  EXPECT_EQ(StampMilliseconds(clock.Take(seconds(1), 1)), kStart + 1'005);
}

}  // namespace
}  // namespace basalt::server
