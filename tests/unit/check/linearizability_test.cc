// Known good and known bad histories. Random ones: random_history_test.cc.
#include "check/linearizability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/check/make_operations.h"

namespace basalt::check {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Verdict VerdictOn(const History& history) { return CheckLinearizability(history).verdict; }

void ExpectOk(const History& history) {
  EXPECT_THAT(Describe(CheckLinearizability(history)), IsEmpty());
  EXPECT_EQ(VerdictOn(history), Verdict::kOk);
}
void ExpectViolation(const History& history) { EXPECT_EQ(VerdictOn(history), Verdict::kViolation); }

TEST(Linearizability, NothingHappened) {
  ExpectOk({});
  ExpectOk({GetNothing(0, 1)});
  ExpectOk({Put("a", 0, 1)});
}

TEST(Linearizability, OneAfterTheOther) {
  ExpectOk({GetNothing(0, 1), Put("a", 2, 3), Get("a", 4, 5), Delete(6, 7), GetNothing(8, 9),
            Put("a", 10, 11), Get("a", 12, 13)});
}

TEST(Linearizability, AReadBesideAWriteSeesOldOrNew) {
  ExpectOk({Put("a", 0, 1), Put("b", 2, 9), Get("a", 3, 4), Get("b", 5, 6)});
  ExpectOk({Put("a", 0, 1), Put("b", 2, 9), Get("a", 3, 6), Get("b", 4, 5)});
}

// As drawn in the README of Porcupine: the first can be, the second cannot.
TEST(Linearizability, PorcupinesExamples) {
  ExpectOk({Put("100", 0, 100), GetNothing(25, 75), Get("100", 30, 60)});
  ExpectViolation({Put("200", 0, 100), Get("200", 10, 30), GetNothing(40, 90)});
}

// Herlihy and Wing, 1990, figure 2: H1 and H3 are linearizable, H2 and H4 are not (of registers).
TEST(Linearizability, HerlihyAndWingsRegisters) {
  ExpectOk({Put("0", 0, 1), Put("1", 2, 10), Get("1", 3, 4), Put("0", 5, 9), Get("0", 6, 8)});
  ExpectViolation({Put("0", 0, 1), Put("1", 2, 10), Get("1", 3, 4), Get("0", 5, 6)});
}

TEST(Linearizability, StaleRead) {
  ExpectViolation({Put("a", 0, 1), Put("b", 2, 3), Get("a", 4, 5)});
  ExpectViolation({Put("a", 0, 1), GetNothing(2, 3)});
  ExpectViolation({Put("a", 0, 1), Delete(2, 3), Get("a", 4, 5)});
}

TEST(Linearizability, LostUpdate) {
  ExpectViolation({Put("a", 0, 1), Get("a", 2, 3), Put("b", 2, 4), GetNothing(5, 6)});
  // The older of two acknowledged writes is what a failover left.
  ExpectViolation({Put("a", 0, 1), Put("b", 2, 3), Get("b", 4, 5), Get("a", 6, 7), Get("a", 8, 9)});
}

TEST(Linearizability, TwoReadsThatGoBack) {
  // Lamport's new-old inversion: a regular register, not an atomic one.
  ExpectViolation({Put("a", 0, 1), Put("b", 2, 10), Get("b", 3, 4), Get("a", 5, 6)});
  // Two writes side by side, seen in both orders.
  ExpectViolation(
      {Put("a", 0, 10), Put("b", 0, 10), Get("a", 1, 2), Get("b", 3, 4), Get("a", 5, 6)});
  ExpectOk({Put("a", 0, 10), Put("b", 0, 10), Get("a", 1, 2), Get("b", 3, 4)});
}

TEST(Linearizability, ReadOfTheFuture) {
  ExpectViolation({Get("a", 0, 1), Put("a", 2, 3)});
  ExpectViolation({Put("a", 0, 1), Get("b", 2, 3), Unanswered(Put("b", 4, 5))});
}

TEST(Linearizability, ReadOfWhatNobodyWrote) {
  ExpectViolation({Put("a", 0, 1), Get("z", 0, 9)});
  ExpectViolation({Get("z", 0, 9)});
}

TEST(Linearizability, RefusedWritesAreNeverSeen) {
  ExpectOk({Put("a", 0, 1), Refused(Put("b", 2, 3)), Get("a", 4, 5)});
  ExpectOk({Put("a", 0, 1), Refused(Delete(2, 3)), Get("a", 4, 5)});
  ExpectViolation({Put("a", 0, 1), Refused(Put("b", 2, 3)), Get("b", 4, 5)});
  ExpectViolation({Put("a", 0, 1), Refused(Put("b", 2, 9)), Get("b", 4, 5)});
  ExpectViolation({Put("a", 0, 1), Refused(Delete(2, 3)), GetNothing(4, 5)});
}

TEST(Linearizability, UnknownWritesHappenAnyTimeOrNever) {
  for (const Operation& b : {Unanswered(Put("b", 2, 3)), InDoubt(Put("b", 2, 3))}) {
    ExpectOk({Put("a", 0, 1), b, Get("a", 4, 5)});
    ExpectOk({Put("a", 0, 1), b, Get("b", 4, 5), Get("b", 6, 7)});
    // Late, even after another write.
    ExpectOk({Put("a", 0, 1), b, Get("a", 4, 5), Put("c", 6, 7), Get("c", 8, 9), Get("b", 10, 11)});
    // Not before it was asked for.
    ExpectViolation({Put("a", 0, 1), Get("b", 1, 1), b});
    // It was there and is not any more.
    ExpectViolation({Put("a", 0, 1), b, Get("b", 4, 5), Get("a", 6, 7)});
    // Twice.
    ExpectViolation({b, Get("b", 4, 5), Put("c", 6, 7), Get("c", 8, 9), Get("b", 10, 11)});
  }
  ExpectOk({Put("a", 0, 1), Unanswered(Delete(2, 3)), Get("a", 4, 5), GetNothing(6, 7)});
  ExpectViolation({Put("a", 0, 1), Unanswered(Delete(2, 3)), GetNothing(4, 5), Get("a", 6, 7)});
}

TEST(Linearizability, AWriteAppliedTwice) {
  ExpectViolation({Put("a", 0, 1), Put("b", 2, 3), Get("b", 4, 5), Get("a", 6, 7)});
  // One of two deletes may have been, one alone not.
  const History twice{Put("a", 0, 1), Delete(2, 9),   GetNothing(3, 4),
                      Put("b", 5, 6), Get("b", 7, 8), GetNothing(7, 9)};
  ExpectViolation({twice[0], twice[1], twice[2], twice[3], twice[4], GetNothing(10, 11)});
  ExpectOk({twice[0], twice[1], twice[2], twice[3], twice[4], GetNothing(10, 11),
            Unanswered(Delete(1, 2))});
}

TEST(Linearizability, ReadsWithoutAnAnswerTellNothing) {
  ExpectOk({Put("a", 0, 1), Unanswered(Get("z", 2, 3)), InDoubt(Get("z", 2, 3)),
            Refused(Get("z", 2, 3))});
}

TEST(Linearizability, AtOneMomentIsConcurrent) {
  ExpectOk({Put("a", 0, 1), Put("b", 2, 3), Get("a", 3, 4)});
  ExpectViolation({Put("a", 0, 1), Put("b", 2, 3), Get("a", 4, 4)});
  ExpectOk({Get("a", 0, 1), Put("a", 1, 2)});
  ExpectViolation({Get("a", 0, 1), Put("a", 2, 2)});
  ExpectOk({Put("a", 1, 1), Put("b", 1, 1), Get("a", 1, 1), Get("b", 1, 1)});
}

TEST(Linearizability, EqualValuesAreInterchangeable) {
  ExpectOk({Put("a", 0, 1), Put("b", 2, 3), Put("a", 2, 5), Get("a", 6, 7)});
  // Reads of one value that two writes must serve in turn.
  ExpectOk({Put("a", 0, 20), Put("a", 0, 20), Put("b", 0, 20), Get("a", 1, 2), Get("b", 3, 4),
            Get("a", 5, 6)});
  ExpectViolation({Put("a", 0, 20), Put("a", 0, 20), Put("b", 0, 20), Get("a", 1, 2),
                   Get("b", 3, 4), Get("a", 5, 6), Get("b", 7, 8)});
}

TEST(Linearizability, KeysAreJudgedOneByOne) {
  // Each by itself can be, though their clients saw the two keys change in different orders.
  ExpectOk({OfKey("x", Put("1", 0, 9)), OfKey("y", Put("1", 0, 9)), OfKey("x", Get("1", 1, 2)),
            OfKey("y", GetNothing(3, 4)), OfKey("y", Get("1", 5, 6))});
  const LinearizabilityReport report = CheckLinearizability(
      {OfKey("x", Get("1", 1, 2)), OfKey("y", Put("1", 1, 2)), OfKey("z", Get("1", 1, 2))});
  ASSERT_THAT(report.violations, SizeIs(2));
  EXPECT_EQ(report.violations[0].key, "x");
  EXPECT_EQ(report.violations[1].key, "z");
}

TEST(Linearizability, AViolationIsExplained) {
  History history;
  for (int64_t i = 0; i < 100; ++i) {
    history.push_back(Put("old" + std::to_string(i), 10 * i, 10 * i + 2));
    history.push_back(Get("old" + std::to_string(i), 10 * i + 4, 10 * i + 6));
    history.push_back(Unanswered(Put("lost" + std::to_string(i), 10 * i, 10 * i)));
    history.push_back(i % 3 == 0 ? GetNothing(0, 1) : Delete(10 * i + 8, 10 * i + 9));
  }
  history.push_back(Put("a", 2000, 2001));
  history.push_back(Put("b", 2002, 2003));
  history.push_back(Get("a", 2004, 1'000'002'005));
  history.back().client = 7;
  history.push_back(Put("later", 3000, 2'000'000'000));
  history.push_back(Get("unheard-of", 3000, 2'000'000'000));
  const LinearizabilityReport report = CheckLinearizability(history);
  ASSERT_THAT(report.violations, SizeIs(1));
  EXPECT_EQ(report.violations[0].prefix_ends_ns, 1'000'002'005);
  EXPECT_EQ(report.violations[0].prefix_operations, 404u);
  EXPECT_THAT(
      Describe(report),
      ElementsAre("not linearizable: k: no order for its first 404 operations, up to the answer at "
                  "1.000002005; nor for these 3 of them:",
                  "  put k = a by client 0 [0.000002000, 0.000002001] applied",
                  "  put k = b by client 0 [0.000002002, 0.000002003] applied",
                  "  get k = a by client 7 [0.000002004, 1.000002005] served"));
}

TEST(Linearizability, AWitnessKeepsWhatItsReadsMayHaveRead) {
  EXPECT_THAT(Describe(CheckLinearizability(
                  {Put("a", 0, 1), Delete(2, 3), GetNothing(4, 5), Get("a", 6, 7)})),
              ElementsAre(HasSubstr("first 4 operations"), HasSubstr("put k = a"),
                          HasSubstr("delete k"), HasSubstr("get k = a")));
}

TEST(Linearizability, AWitnessNamesTheWriteThatExplainsNothing) {
  const History refused{Put("a", 0, 1), Refused(Put("b", 2, 3)), Get("b", 4, 5)};
  EXPECT_THAT(
      Describe(CheckLinearizability(refused)),
      ElementsAre(HasSubstr("first 2 operations"), HasSubstr("put k = b"), HasSubstr("get k = b")));
  const History late{Get("a", 0, 1), Put("b", 0, 1), Unanswered(Put("a", 2, 3))};
  EXPECT_THAT(
      Describe(CheckLinearizability(late)),
      ElementsAre(HasSubstr("first 2 operations"), HasSubstr("get k = a"), HasSubstr("put k = a")));
}

// Deletes cannot be told apart, and yet the old ones have nothing to do with it.
TEST(Linearizability, AWitnessLeavesOldDeletesOut) {
  History history;
  for (int64_t i = 0; i < 100; ++i) {
    history.push_back(Put("old" + std::to_string(i), 10 * i, 10 * i + 2));
    history.push_back(Delete(10 * i + 3, 10 * i + 4));
    history.push_back(GetNothing(10 * i + 5, 10 * i + 6));
  }
  history.push_back(Put("a", 2000, 2001));
  history.push_back(GetNothing(2002, 2003));
  const LinearizabilityReport report = CheckLinearizability(history);
  ASSERT_THAT(report.violations, SizeIs(1));
  EXPECT_THAT(report.violations[0].witness, SizeIs(2));
}

// Two values, each made by several writes at once: there is a choice.
History Choosing(int64_t groups) {
  History history;
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t begin = 100 * group;
    for (const char* value : {"a", "b", "a", "b"}) history.push_back(Put(value, begin, begin + 50));
    for (int64_t read = 0; read < 4; ++read) {
      history.push_back(Get(read % 2 == 0 ? "a" : "b", begin + 10 * read, begin + 10 * read + 5));
    }
  }
  return history;
}

TEST(Linearizability, UndecidedIsNotOk) {
  EXPECT_EQ(VerdictOn(Choosing(3)), Verdict::kOk);
  const LinearizabilityReport report = CheckLinearizability(Choosing(3), {.choices_max = 0});
  EXPECT_EQ(report.verdict, Verdict::kUndecided);
  EXPECT_THAT(report.undecided_keys, ElementsAre("k"));
  EXPECT_THAT(Describe(report), ElementsAre(HasSubstr("undecided: k")));

  // A violation elsewhere outweighs it.
  History both = Choosing(3);
  both.push_back(OfKey("x", Get("z", 0, 1)));
  EXPECT_EQ(CheckLinearizability(both, {.choices_max = 0}).verdict, Verdict::kViolation);
}

// What was tried is not tried again: choices add up and do not multiply.
TEST(Linearizability, SetsAreRemembered) {
  for (const int64_t groups : {1, 10, 30}) {
    History history = Choosing(groups);
    EXPECT_EQ(VerdictOn(history), Verdict::kOk) << groups << " groups";
    history.push_back(Get("z", 10'000, 10'001));
    const LinearizabilityReport report = CheckLinearizability(history, {.choices_max = 1000});
    EXPECT_EQ(report.verdict, Verdict::kViolation) << groups << " groups";
  }
}

TEST(Linearizability, BytesThatDoNotPrintAreEscaped) {
  EXPECT_EQ(DescribeBytes(std::string("a\0 \\\xff", 5)), "a\\x00\\x20\\x5c\\xff");
  EXPECT_EQ(DescribeBytes(""), "\"\"");
  EXPECT_EQ(DescribeBytes(std::string(60, 'x')), std::string(48, 'x') + "... (60 bytes)");
  EXPECT_EQ(DescribeTime(-1'500'000'000), "-1.500000000");
}

}  // namespace
}  // namespace basalt::check
