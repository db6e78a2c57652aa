// Histories of a counter that are right, and each way in which one can be wrong.
#include "check/counters.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace basalt::check {
namespace {

Increment Applied(int64_t invoked, int64_t responded, int64_t number) {
  return {.key = "c",
          .invoked_ns = invoked,
          .responded_ns = responded,
          .outcome = Outcome::kApplied,
          .number = number};
}
Increment Ended(int64_t invoked, int64_t responded, Outcome outcome) {
  return {.key = "c", .invoked_ns = invoked, .responded_ns = responded, .outcome = outcome};
}
StoredVersions Counted(int64_t to) {
  StoredVersions stored;
  for (int64_t i = 1; i <= to; ++i) stored["c"][static_cast<uint64_t>(10 * i)] = std::to_string(i);
  return stored;
}
std::string FirstOf(const std::vector<Increment>& increments, const StoredVersions& stored) {
  const std::vector<std::string> violations = FindCounterViolations(increments, stored);
  return violations.empty() ? "" : violations.front();
}

TEST(CountersTest, WhatMayBe) {
  EXPECT_EQ(FirstOf({}, {}), "");
  EXPECT_EQ(FirstOf({Applied(0, 10, 1), Applied(11, 20, 2)}, Counted(2)), "");
  // Beside each other, in either order.
  EXPECT_EQ(FirstOf({Applied(0, 10, 2), Applied(5, 20, 1)}, Counted(2)), "");
  EXPECT_EQ(FirstOf({Applied(0, 10, 2), Applied(10, 20, 1)}, Counted(2)), "");
  // Unknown: either way. Without an answer, likewise.
  for (const int64_t stored : {1, 2, 3}) {
    EXPECT_EQ(FirstOf({Applied(0, 10, 1),
                       Ended(0, 10, Outcome::kUnknown),
                       {.key = "c", .outcome = Outcome::kUnknown}},
                      Counted(stored)),
              "");
  }
  EXPECT_EQ(FirstOf({Applied(0, 10, 1), Ended(0, 10, Outcome::kNotApplied)}, Counted(1)), "");
}

TEST(CountersTest, AppliedTwice) {
  EXPECT_NE(FirstOf({Applied(0, 10, 1)}, Counted(2)).find("raised 2 times by 1"),
            std::string::npos);
}

TEST(CountersTest, AcknowledgedAndLost) {
  EXPECT_NE(FirstOf({Applied(0, 10, 1), Applied(0, 10, 2)}, Counted(1)).find("and lost"),
            std::string::npos);
  EXPECT_NE(FirstOf({Applied(0, 10, 1)}, {}).find("and lost"), std::string::npos);
}

TEST(CountersTest, RefusedAndYetApplied) {
  EXPECT_NE(FirstOf({Ended(0, 10, Outcome::kNotApplied)}, Counted(1)).find("by 0 increments"),
            std::string::npos);
}

TEST(CountersTest, OneNumberTwice) {
  EXPECT_NE(FirstOf({Applied(0, 10, 1), Applied(0, 10, 1)}, Counted(2)).find("one number"),
            std::string::npos);
}

TEST(CountersTest, AnUpdateThatWasLost) {
  StoredVersions stored = Counted(2);
  stored["c"][20] = "1";
  EXPECT_NE(FirstOf({Applied(0, 10, 1), Ended(0, 10, Outcome::kUnknown)}, stored).find("not 2"),
            std::string::npos);
  stored["c"][20] = std::nullopt;
  EXPECT_NE(FirstOf({Applied(0, 10, 1)}, stored).find("has nothing"), std::string::npos);
}

TEST(CountersTest, OutOfOrder) {
  EXPECT_NE(FirstOf({Applied(0, 10, 2), Applied(11, 20, 1)}, Counted(2)).find("out of order"),
            std::string::npos);
}

}  // namespace
}  // namespace basalt::check
