#include "tests/simulator/child_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace basalt::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ChildRunTest, ComesHomeFromTheChild) {
  const RunReport report = RunInChild([] {
    return RunReport{{"one line", "another"}, {{"things seen", 3}}, {{"kill", 2}}, 77, 5};
  });
  EXPECT_EQ(report.faults.at("kill"), 2u);
  EXPECT_EQ(report.trace_hash, 77u);
  EXPECT_EQ(report.operations, 5u);
  EXPECT_THAT(report.violations, ElementsAre("one line", "another"));
  EXPECT_EQ(report.reached.at("things seen"), 3u);
}

TEST(ChildRunTest, ChildThatFailsACheckIsAFinding) {
  const RunReport report = RunInChild([]() -> RunReport {
    std::fputs("CHECK failed: planted\n", stderr);
    std::_Exit(70);
  });
  EXPECT_THAT(report.violations, ElementsAre("ended with exit code 70: CHECK failed: planted"));
}

TEST(ChildRunTest, ChildThatIsKilledIsAFinding) {
  EXPECT_THAT(RunInChild([]() -> RunReport { std::abort(); }).violations,
              ElementsAre(HasSubstr("signal 6")));
}

TEST(ChildRunTest, HashOfTheTraceComesHomeHoweverTheChildEnds) {
  const RunReport report = RunInChild([](std::atomic<uint64_t>& trace_hash) -> RunReport {
    trace_hash = 76;
    trace_hash = 77;
    std::abort();
  });
  EXPECT_EQ(report.trace_hash, 77u);
  EXPECT_EQ(report.violations.size(), 1u);
}

}  // namespace
}  // namespace basalt::testing
