// The judge sees each kind of lie, and lets the truth pass.
#include "tests/simulator/register_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulator/run_report.h"

namespace basalt::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = RegisterOperation::Kind;

server::MonotonicTime At(int64_t time) { return server::MonotonicTime(time); }

RegisterOperation Put(std::string value, int64_t began, int64_t ended, uint64_t version) {
  return {Kind::kPut, "k",   std::move(value), At(began), At(ended), v1::OUTCOME_APPLIED,
          false,      false, version};
}
RegisterOperation Delete(int64_t began, int64_t ended, uint64_t version) {
  return {Kind::kDelete, "k", "", At(began), At(ended), v1::OUTCOME_APPLIED, false, false, version};
}
RegisterOperation Get(std::string value, int64_t began, int64_t ended, uint64_t version) {
  return {Kind::kGet, "k",  std::move(value), At(began), At(ended), v1::OUTCOME_UNKNOWN,
          true,       true, version};
}
RegisterOperation GetNothing(int64_t began, int64_t ended) {
  return {Kind::kGet, "k", "", At(began), At(ended), v1::OUTCOME_UNKNOWN, true, false, 0};
}
RegisterOperation With(RegisterOperation operation, v1::Outcome outcome) {
  operation.outcome = outcome;
  operation.version = 0;
  return operation;
}

const StoredVersions kTwo{{"k", {{5, "a"}, {9, "b"}}}};
const StoredVersions kDeleted{{"k", {{5, "a"}, {7, std::nullopt}, {9, "b"}}}};

TEST(RegisterHistoryTest, TruthPasses) {
  EXPECT_THAT(FindViolations({GetNothing(0, 1), Put("a", 2, 4, 5), Get("a", 5, 6, 5),
                              Put("b", 6, 9, 9), Get("a", 7, 8, 5), Get("b", 10, 11, 9)},
                             kTwo),
              IsEmpty());
  EXPECT_THAT(FindViolations({Put("a", 1, 2, 5), Delete(3, 6, 7), GetNothing(4, 5),
                              Put("b", 7, 8, 9), GetNothing(7, 9)},
                             kDeleted),
              IsEmpty());
  // Nobody knows what became of b, and it is there; or it was refused, and is not.
  EXPECT_THAT(
      FindViolations({Put("a", 1, 2, 5), With(Put("b", 3, 4, 0), v1::OUTCOME_UNKNOWN)}, kTwo),
      IsEmpty());
  EXPECT_THAT(FindViolations({With(Put("b", 3, 4, 0), v1::OUTCOME_NOT_APPLIED)}, {}), IsEmpty());
}

TEST(RegisterHistoryTest, LiesAreSeen) {
  const auto put_a = Put("a", 1, 2, 5);
  const auto put_b = Put("b", 3, 4, 9);
  EXPECT_THAT(FindViolations({put_a, put_b}, {{"k", {{9, "b"}}}}),
              ElementsAre(HasSubstr("acknowledged and lost")));
  EXPECT_THAT(FindViolations({put_a, With(put_b, v1::OUTCOME_NOT_APPLIED)}, kTwo),
              ElementsAre(HasSubstr("refused and yet applied")));
  EXPECT_THAT(FindViolations({put_a}, kTwo), ElementsAre(HasSubstr("never written")));
  EXPECT_THAT(FindViolations({put_a}, {{"k", {{5, "a"}, {9, "a"}}}}),
              ElementsAre(HasSubstr("applied twice")));
  EXPECT_THAT(FindViolations({put_a, put_b, Get("a", 5, 6, 5)}, kTwo),
              ElementsAre(HasSubstr("a stale read")));
  EXPECT_THAT(FindViolations({put_a, put_b, GetNothing(5, 6)}, kTwo),
              ElementsAre(HasSubstr("a stale read of nothing")));
  EXPECT_THAT(FindViolations({put_a, put_b, Get("c", 5, 6, 10)}, kTwo),
              ElementsAre(HasSubstr("read and not stored")));
  EXPECT_THAT(FindViolations({put_a, Get("b", 1, 2, 9), put_b}, kTwo),
              ::testing::Contains(HasSubstr("a read of the future")));
  EXPECT_THAT(FindViolations({Put("b", 1, 2, 9), Put("a", 3, 4, 5)}, kTwo),
              ElementsAre(HasSubstr("a write below what was seen")));
}

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
