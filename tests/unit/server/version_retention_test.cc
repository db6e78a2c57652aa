#include "server/node/version_retention.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <optional>

#include "base/random.h"

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kRetention = seconds(10);

class Retention : public ::testing::Test {
 protected:
  // Ticks every 50 ms on the way; what is due is applied at once.
  void RunTo(MonotonicTime time) {
    for (; now_ < time; now_ += milliseconds(50)) {
      retention_->Tick(now_);
      if (!leads_) continue;
      const std::optional<Stamp> due = retention_->Due(now_);
      if (!due) continue;
      ++proposals_;
      if (loses_proposals_) continue;
      totals_.horizon = *due;
      Apply(++stamp_, 0);
    }
  }
  void Apply(Stamp stamp, uint64_t bytes) {
    stamp_ = stamp;
    totals_.bytes += bytes;
    retention_->Applied(now_, stamp_, totals_);
    written_[stamp_] = totals_.bytes;
  }
  uint64_t BytesAbove() const {
    const auto above = written_.upper_bound(horizon());
    return totals_.bytes - (above == written_.begin() ? 0 : std::prev(above)->second);
  }
  Stamp horizon() const { return totals_.horizon; }
  // 0: the node's own. A command of its own, with the next stamp.
  void Set(MonotonicTime retention) {
    totals_.retention_ms =
        static_cast<uint64_t>(std::chrono::duration_cast<milliseconds>(retention).count());
    Apply(stamp_ + 1, 0);
  }
  MonotonicTime retention() const {
    return totals_.retention_ms == 0 ? kRetention : milliseconds(totals_.retention_ms);
  }
  void Limit(const VersionRetention::Limits& limits) { retention_.emplace(limits); }

  MonotonicTime now_ = seconds(1000);
  const MonotonicTime start_ = now_;
  bool leads_ = true;
  bool loses_proposals_ = false;
  int proposals_ = 0;
  Stamp stamp_ = 0;
  VersionTotals totals_;
  std::map<Stamp, uint64_t> written_;  // bytes by then
  std::optional<VersionRetention> retention_{VersionRetention::Limits{kRetention, 0}};
};

TEST_F(Retention, RisesToWhatHasBeenAppliedForSoLong) {
  Apply(100, 10);
  RunTo(start_ + seconds(5));
  Apply(200, 10);
  RunTo(start_ + milliseconds(9900));
  EXPECT_EQ(horizon(), 0u);
  RunTo(start_ + seconds(11));
  EXPECT_EQ(horizon(), 100u);
  RunTo(start_ + milliseconds(14900));
  EXPECT_EQ(horizon(), 100u);
  RunTo(start_ + seconds(17));
  EXPECT_EQ(horizon(), 200u);
}

TEST_F(Retention, NeverBeforeTheRetentionWhateverTheLoad) {
  base::Random random(1);
  std::map<Stamp, MonotonicTime> applied_at;
  Stamp stamp = 1;
  for (int i = 0; i < 2000; ++i) {
    stamp += random.Between(1, 50) + proposals_;
    Apply(stamp, random.Below(3) * 100);
    applied_at[stamp] = now_;
    RunTo(now_ + milliseconds(random.Below(400)));
    if (horizon() == 0) continue;
    const auto reached = applied_at.lower_bound(horizon());
    if (reached == applied_at.end()) continue;
    ASSERT_GE(now_ - reached->second, kRetention) << horizon();
  }
  EXPECT_GT(horizon(), 0u);
}

TEST_F(Retention, RestsWhenThereIsNothingToLetGo) {
  Apply(100, 10);
  RunTo(start_ + seconds(100));
  EXPECT_EQ(horizon(), 100u);
  // Its own entries take stamps; they are no versions.
  EXPECT_EQ(proposals_, 1);
  Apply(++stamp_, 0);
  RunTo(start_ + seconds(200));
  EXPECT_EQ(proposals_, 1);
}

TEST_F(Retention, ProposesRarely) {
  for (int i = 0; i < 1000; ++i) {
    Apply(stamp_ + 1, 10);
    RunTo(now_ + milliseconds(100));
  }
  EXPECT_GE(proposals_, 80);  // in 100 s, of which the first ten are the retention
  EXPECT_LE(proposals_, 100);
}

TEST_F(Retention, ALostProposalIsMadeAgain) {
  Apply(100, 10);
  loses_proposals_ = true;
  RunTo(start_ + seconds(20));
  EXPECT_GE(proposals_, 5);
  EXPECT_LE(proposals_, 11);
  loses_proposals_ = false;
  RunTo(start_ + seconds(22));
  EXPECT_EQ(horizon(), 100u);
}

// A follower's samples count when it comes to lead, and what the last leader let go it does not
// let go again.
TEST_F(Retention, ARaisedOneHoldsForWhatIsHeldAlready) {
  Apply(100, 10);
  RunTo(start_ + seconds(9));
  Set(seconds(30));
  RunTo(start_ + milliseconds(29900));
  EXPECT_EQ(horizon(), 0u);
  RunTo(start_ + seconds(31));
  EXPECT_EQ(horizon(), 100u);
}

// What was applied under the higher one is let go once it was held for the lower one from the
// setting on, or for the higher one in all.
TEST_F(Retention, ALoweredOneCountsFromTheSettingOn) {
  Limit({seconds(60), 0});
  Apply(100, 10);
  RunTo(start_ + seconds(20));
  Set(seconds(2));
  RunTo(start_ + milliseconds(21900));
  EXPECT_EQ(horizon(), 0u);
  RunTo(start_ + milliseconds(22300));
  EXPECT_EQ(horizon(), 101u) << "the setting's own stamp";
}

TEST_F(Retention, ALoweredOneDoesNotKeepWhatTheHigherOneLetsGo) {
  Apply(100, 10);
  RunTo(start_ + seconds(8));
  Apply(200, 10);
  Set(seconds(9));
  RunTo(start_ + milliseconds(10300));
  EXPECT_EQ(horizon(), 100u);
  RunTo(start_ + milliseconds(16900));
  EXPECT_EQ(horizon(), 100u);
  RunTo(start_ + seconds(19));
  EXPECT_EQ(horizon(), 201u);
}

TEST_F(Retention, BackToTheNodesOwn) {
  Set(seconds(2));
  Apply(100, 10);
  RunTo(start_ + seconds(1));
  Set(seconds(0));
  RunTo(start_ + milliseconds(9900));
  EXPECT_EQ(horizon(), 0u);
  RunTo(start_ + milliseconds(10300));
  EXPECT_EQ(horizon(), 100u);
}

// Steps of the old one are too long for the new: its first sample is taken at once.
TEST_F(Retention, FromThirtyDaysToASecond) {
  Limit({std::chrono::hours(720), 0});
  Apply(100, 10);
  RunTo(start_ + seconds(60));
  Set(seconds(1));
  Apply(200, 10);
  RunTo(start_ + milliseconds(61300));
  EXPECT_EQ(horizon(), 200u);
}

TEST_F(Retention, WhateverIsSetNeverBeforeBothAllow) {
  base::Random random(2);
  struct Applied {
    MonotonicTime at{};
    MonotonicTime retention{};
  };
  std::map<Stamp, Applied> applied;
  int lowered = 0;
  int rises = 0;
  for (int i = 0; i < 3000; ++i) {
    const Stamp before = horizon();
    if (random.OneIn(20)) {
      const MonotonicTime chosen = seconds(random.Below(15));
      if (chosen.count() != 0 && chosen < retention()) ++lowered;
      Set(chosen);
    } else {
      Apply(stamp_ + random.Between(1, 50), random.Below(3) * 100);
    }
    applied[stamp_] = {now_, retention()};
    // One tick at a time, for what is in force changes between.
    for (uint64_t ticks = random.Below(8); ticks > 0; --ticks) {
      RunTo(now_ + milliseconds(50));
      applied.try_emplace(stamp_, Applied{now_, retention()});
      if (horizon() == before) continue;
      const auto reached = applied.lower_bound(horizon());
      if (reached == applied.end() || reached->first != horizon()) continue;
      ++rises;
      const MonotonicTime age = now_ - milliseconds(50) - reached->second.at;
      ASSERT_GE(age, std::max(reached->second.retention, retention())) << horizon();
    }
  }
  EXPECT_GE(lowered, 20);
  EXPECT_GE(rises, 100);
}

TEST_F(Retention, ANewLeaderGoesOnWhereTheOldOneWas) {
  leads_ = false;
  Apply(100, 10);
  RunTo(start_ + seconds(3));
  Apply(200, 10);
  RunTo(start_ + seconds(11));
  totals_.horizon = 50;
  Apply(201, 0);
  leads_ = true;
  RunTo(start_ + milliseconds(11100));
  EXPECT_EQ(horizon(), 100u);
  RunTo(start_ + seconds(15));
  EXPECT_EQ(horizon(), 200u);
}

TEST_F(Retention, WhatWasThereAtTheStartIsKeptAsIfAppliedThen) {
  totals_.horizon = 40;
  Apply(100, 1);  // "at least 1": something may lie above the horizon
  RunTo(start_ + milliseconds(9900));
  EXPECT_EQ(horizon(), 40u);
  RunTo(start_ + seconds(12));
  EXPECT_EQ(horizon(), 100u);
}

TEST_F(Retention, NothingAboveTheHorizonAtTheStart) {
  totals_.horizon = 100;
  Apply(100, 0);
  RunTo(start_ + seconds(50));
  EXPECT_EQ(proposals_, 0);
}

TEST_F(Retention, ABoundOnBytesMakesItRiseEarly) {
  Limit({kRetention, 1000});
  for (int i = 1; i <= 20; ++i) {
    Apply(stamp_ + 1, 100);
    RunTo(now_ + milliseconds(50));
  }
  RunTo(start_ + seconds(4));
  EXPECT_LE(BytesAbove(), 1000u);
  EXPECT_GE(BytesAbove(), 700u);  // a sample is taken with each eighth of the bound
}

TEST_F(Retention, TheBoundHoldsUnderLoad) {
  Limit({kRetention, 8000});
  for (int i = 1; i <= 2000; ++i) {
    Apply(stamp_ + 1, 100);
    RunTo(now_ + milliseconds(50));
    // The bound, the part of it that a sample waits for, and what a second brings: 2000.
    ASSERT_LE(BytesAbove(), 8000u + 1000u + 2000u) << i;
  }
  EXPECT_GE(BytesAbove(), 7000u);  // not more than need be
}

// More samples than it keeps: it forgets steps, never rises too early.
TEST_F(Retention, ManySamples) {
  Limit({kRetention, 1});
  leads_ = false;
  for (int i = 0; i < 1000; ++i) {
    Apply(stamp_ + 1, 100);
    RunTo(now_ + milliseconds(50));
  }
  retention_->Tick(now_);
  const std::optional<Stamp> due = retention_->Due(now_);
  ASSERT_TRUE(due);
  EXPECT_EQ(*due, 1000u);
}

}  // namespace
}  // namespace basalt::server
