#include "server/node/session_retention.h"

#include <gtest/gtest.h>

namespace basalt::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Proposal = SessionRetention::Proposal;

class SessionRetentionTest : public ::testing::Test {
 protected:
  // Stamps are milliseconds.
  void RunUntil(MonotonicTime end, const SessionTotals& totals) {
    for (; now_ < end; now_ += milliseconds(50)) {
      retention_.Applied(now_, static_cast<Stamp>(now_ / milliseconds(1)), totals);
      retention_.Tick(now_);
    }
  }

  SessionRetention retention_{{.retention = seconds(10), .bytes_max = 1000}};
  MonotonicTime now_ = seconds(100);
};

TEST_F(SessionRetentionTest, AClientIsForgottenAfterTheRetentionAndNotBefore) {
  const SessionTotals silent{.bytes = 100, .oldest = 100'000};
  RunUntil(seconds(110), silent);
  EXPECT_EQ(retention_.Due(now_ - milliseconds(50)), std::nullopt);
  RunUntil(seconds(111), silent);
  const auto due = retention_.Due(now_);
  ASSERT_TRUE(due.has_value());
  EXPECT_GE(due->through, 100'000u);
  EXPECT_LE(due->through, 101'000u);
  EXPECT_EQ(due->bytes_max, 0u);
}

TEST_F(SessionRetentionTest, OneThatIsHeardOfStays) {
  for (int i = 0; i < 40; ++i) {
    RunUntil(now_ + seconds(1),
             {.bytes = 100, .oldest = static_cast<Stamp>(now_ / milliseconds(1))});
    EXPECT_EQ(retention_.Due(now_), std::nullopt);
  }
}

TEST_F(SessionRetentionTest, NobodyIsNobody) {
  RunUntil(seconds(200), {});
  EXPECT_EQ(retention_.Due(now_), std::nullopt);
}

TEST_F(SessionRetentionTest, TooManyGoEarlier) {
  RunUntil(seconds(101), {.bytes = 1000, .oldest = 100'000});
  EXPECT_EQ(retention_.Due(now_), std::nullopt);
  RunUntil(seconds(102), {.bytes = 1001, .oldest = 100'000});
  EXPECT_EQ(retention_.Due(now_), (Proposal{0, 750}));
}

TEST_F(SessionRetentionTest, AProposalIsRepeatedAfterAWhileOrOnceItWasApplied) {
  RunUntil(seconds(101), {.bytes = 2000, .oldest = 100'000});
  EXPECT_TRUE(retention_.Due(now_).has_value());
  EXPECT_FALSE(retention_.Due(now_ + milliseconds(900)).has_value());
  EXPECT_TRUE(retention_.Due(now_ + seconds(1)).has_value());
  retention_.Applied(now_, 101'000, {.bytes = 1500, .oldest = 100'500, .forgotten = 100'000});
  EXPECT_TRUE(retention_.Due(now_ + seconds(1)).has_value());
}

// ---- outcomes of transactions ----

TEST_F(SessionRetentionTest, AnOutcomeIsForgottenAfterTheRetentionAndNotBefore) {
  const OutcomeTotals kept{.kept = 1, .oldest = 100'000};
  const auto run = [&](MonotonicTime end) {
    for (; now_ < end; now_ += milliseconds(50)) {
      retention_.Applied(now_, static_cast<Stamp>(now_ / milliseconds(1)), {}, kept);
      retention_.Tick(now_);
    }
  };
  run(seconds(110));
  EXPECT_EQ(retention_.Due(now_ - milliseconds(50)), std::nullopt);
  run(seconds(111));
  const auto due = retention_.Due(now_);
  ASSERT_TRUE(due.has_value());
  EXPECT_TRUE(due->forgets_outcomes());
  EXPECT_FALSE(due->forgets_clients());
  EXPECT_GE(due->outcomes_through, 100'000u);
  EXPECT_LE(due->outcomes_through, 101'000u);
  EXPECT_EQ(due->outcomes_kept_max, 0u);
}

constexpr uint64_t kOutcome = SessionRetention::kBytesPerOutcome;

TEST_F(SessionRetentionTest, TooManyOutcomesGoEarlier) {
  SessionRetention retention({.retention = seconds(10), .bytes_max = 1000 * kOutcome});
  retention.Applied(now_, 100'000, {}, {.kept = 1000, .oldest = 99'000});
  retention.Tick(now_);
  EXPECT_EQ(retention.Due(now_), std::nullopt);
  EXPECT_EQ(retention.bytes(), 1000 * kOutcome);
  retention.Applied(now_, 100'000, {}, {.kept = 1001, .oldest = 99'000});
  EXPECT_EQ(retention.Due(now_), (Proposal{0, 0, 0, 750}));
}

TEST_F(SessionRetentionTest, ClientsAndOutcomesHaveOneBoundAndWhatTakesMoreGoes) {
  const uint64_t most = 1000 * kOutcome;
  SessionRetention retention({.retention = seconds(10), .bytes_max = most});
  const auto due = [&](uint64_t bytes, uint64_t kept) {
    retention.Applied(now_, 100'000, {.bytes = bytes, .oldest = 99'000},
                      {.kept = kept, .oldest = 99'000});
    retention.Tick(now_);
    return retention.Due(now_ += seconds(1));
  };
  EXPECT_EQ(due(400 * kOutcome, 600), std::nullopt);
  EXPECT_EQ(due(400 * kOutcome, 601), (Proposal{0, 0, 0, 350}));
  EXPECT_EQ(due(600 * kOutcome, 401), (Proposal{0, most * 349 / 1000}));
  // Far above it, some of each stays.
  EXPECT_EQ(due(2000 * kOutcome, 3000), (Proposal{0, 0, 0, 250}));
  EXPECT_EQ(due(3000 * kOutcome, 2000), (Proposal{0, most / 4}));
}

}  // namespace
}  // namespace basalt::server
