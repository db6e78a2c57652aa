#include "check/version_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/check/make_operations.h"

namespace basalt::check {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const StoredVersions kTwo{{"k", {{5, "a"}, {9, "b"}}}};
const StoredVersions kDeleted{{"k", {{5, "a"}, {7, std::nullopt}, {9, "b"}}}};

std::vector<std::string> Find(const History& history, const StoredVersions& stored) {
  return FindVersionOrderViolations(history, &stored);
}
// As clients alone would judge.
std::vector<std::string> Find(const History& history) {
  return FindVersionOrderViolations(history, nullptr);
}

const Operation kPutA = Put("a", 1, 2, 5);
const Operation kPutB = Put("b", 3, 4, 9);

TEST(VersionOrder, TruthPasses) {
  const History one{GetNothing(0, 1),  Put("a", 2, 4, 5), Get("a", 5, 6, 5),
                    Put("b", 6, 9, 9), Get("a", 7, 8, 5), Get("b", 10, 11, 9)};
  EXPECT_THAT(Find(one, kTwo), IsEmpty());
  EXPECT_THAT(Find(one), IsEmpty());
  const History two{kPutA, Delete(3, 6, 7), GetNothing(4, 5), Put("b", 7, 8, 9), GetNothing(7, 9)};
  EXPECT_THAT(Find(two, kDeleted), IsEmpty());
  EXPECT_THAT(Find(two), IsEmpty());
  // Nobody knows what became of b, and it is there; or it was refused, and is not.
  EXPECT_THAT(Find({kPutA, Unanswered(Put("b", 3, 4))}, kTwo), IsEmpty());
  EXPECT_THAT(Find({Refused(Put("b", 3, 4))}, {}), IsEmpty());
}

TEST(VersionOrder, StaleReads) {
  EXPECT_THAT(Find({kPutA, kPutB, Get("a", 5, 6, 5)}, kTwo),
              ElementsAre(HasSubstr("a stale read")));
  EXPECT_THAT(Find({kPutA, kPutB, Get("a", 5, 6, 5)}), ElementsAre(HasSubstr("a stale read")));
  EXPECT_THAT(Find({kPutA, kPutB, GetNothing(5, 6)}, kTwo),
              ElementsAre(HasSubstr("a stale read of nothing")));
  // After an old delete.
  EXPECT_THAT(Find({kPutA, Delete(3, 4, 7), Put("b", 5, 6, 9), GetNothing(7, 8)}, kDeleted),
              ElementsAre(HasSubstr("a stale read of nothing")));
  // Two reads that go back, beside the write.
  EXPECT_THAT(Find({kPutA, Put("b", 3, 20, 9), Get("b", 4, 5, 9), Get("a", 6, 7, 5)}, kTwo),
              ElementsAre(HasSubstr("a stale read")));
  // The delete was seen, so it had happened.
  EXPECT_THAT(Find({kPutA, Delete(3, 20, 7), GetNothing(4, 5), Get("a", 6, 7, 5)}, kDeleted),
              ElementsAre(HasSubstr("a stale read")));
}

TEST(VersionOrder, AtOneMomentIsConcurrent) {
  EXPECT_THAT(Find({kPutA, kPutB, Get("a", 4, 6, 5)}, kTwo), IsEmpty());
  EXPECT_THAT(Find({Put("b", 1, 3, 9), Put("a", 3, 4, 5)}, kTwo), IsEmpty());
}

TEST(VersionOrder, WritesAgainstTime) {
  EXPECT_THAT(Find({Put("b", 1, 2, 9), Put("a", 3, 4, 5)}, kTwo),
              ElementsAre(HasSubstr("a write below what was seen")));
  // Nobody was told of a, but it is stored below what was there before it was asked for.
  EXPECT_THAT(Find({Put("b", 1, 2, 9), Unanswered(Put("a", 3, 4))}, kTwo),
              ElementsAre(HasSubstr("a write below what was seen")));
  EXPECT_THAT(Find({Put("b", 1, 3, 9), Unanswered(Put("a", 3, 4))}, kTwo), IsEmpty());
}

TEST(VersionOrder, ReadsOfWhatCannotBe) {
  EXPECT_THAT(Find({kPutA, Get("b", 1, 2, 9), kPutB}, kTwo),
              Contains(HasSubstr("a read of the future")));
  EXPECT_THAT(Find({kPutA, Get("b", 1, 2, 9), Unanswered(kPutB)}, kTwo),
              Contains(HasSubstr("a read of the future")));
  EXPECT_THAT(Find({kPutA, Get("c", 5, 6, 10)}), ElementsAre(HasSubstr("read and never written")));
  EXPECT_THAT(Find({kPutA, Refused(kPutB), Get("b", 5, 6, 9)}),
              ElementsAre(HasSubstr("refused and yet seen")));
}

TEST(VersionOrder, VersionsThatContradictEachOther) {
  EXPECT_THAT(Find({kPutA, Get("a", 3, 4, 6)}),
              ElementsAre(HasSubstr("one write at version 6 of k and at version 5")));
  EXPECT_THAT(Find({kPutA, Put("b", 3, 4, 5)}), Contains(HasSubstr("two writes at version 5")));
  EXPECT_THAT(Find({kPutA}, {{"k", {{5, "a"}, {9, "a"}}}}),
              ElementsAre(HasSubstr("one write at version 9 of k and at version 5")));
  EXPECT_THAT(Find({Put("a", 1, 2, 5), Put("a", 3, 4, 9)}),
              Contains(HasSubstr("cannot be told apart")));
}

TEST(VersionOrder, ADeleteThatNobodyWasToldOf) {
  const History history{kPutA, Unanswered(Delete(3, 4)), GetNothing(5, 6), Put("b", 7, 8, 9)};
  EXPECT_THAT(Find(history), IsEmpty());
  // Here it is known that it did not happen.
  EXPECT_THAT(Find(history, kTwo), ElementsAre(HasSubstr("a stale read of nothing")));
  EXPECT_THAT(Find(history, kDeleted), IsEmpty());
  // It was asked for too late; it was refused.
  EXPECT_THAT(Find({kPutA, GetNothing(5, 6), Unanswered(Delete(7, 8))}, kDeleted),
              ElementsAre(HasSubstr("a stale read of nothing")));
  EXPECT_THAT(Find({kPutA, GetNothing(5, 6), Unanswered(Delete(7, 8))}),
              ElementsAre(HasSubstr("a stale read of nothing")));
  EXPECT_THAT(Find({kPutA, Refused(Delete(3, 4)), GetNothing(5, 6)}),
              ElementsAre(HasSubstr("a stale read of nothing")));
}

TEST(VersionOrder, AReadWithoutVersionIsPlacedByItsValue) {
  EXPECT_THAT(Find({kPutA, kPutB, Get("a", 5, 6)}), ElementsAre(HasSubstr("a stale read")));
  EXPECT_THAT(Find({kPutA, kPutB, Get("b", 5, 6)}), IsEmpty());
}

}  // namespace
}  // namespace basalt::check
