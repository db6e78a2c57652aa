#include "tests/cluster/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace basalt::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RunReportTest, ComesHomeFromTheChild) {
  const RunReport report = RunInChild([] {
    return RunReport{{"one line", "another"}, {{"things seen", 3}}};
  });
  EXPECT_THAT(report.violations, ElementsAre("one line", "another"));
  EXPECT_EQ(report.reached.at("things seen"), 3u);
  EXPECT_THAT(RunInChild([]() -> RunReport { std::_Exit(70); }).violations,
              ElementsAre(HasSubstr("exit code 70")));
}

}  // namespace
}  // namespace basalt::testing
