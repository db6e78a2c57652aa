#include "check/acknowledged.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/check/make_operations.h"

namespace basalt::check {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const StoredVersions kTwo{{"k", {{5, "a"}, {9, "b"}}}};
const StoredVersions kDeleted{{"k", {{5, "a"}, {7, std::nullopt}, {9, "b"}}}};

const Operation kPutA = Put("a", 1, 2, 5);
const Operation kPutB = Put("b", 3, 4, 9);

TEST(StoredVersionsHold, TruthPasses) {
  EXPECT_THAT(FindStoredViolations({}, {}), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB, Get("a", 1, 9, 5)}, kTwo), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, Delete(3, 6, 7), kPutB}, kDeleted), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, Unanswered(Put("b", 3, 4))}, kTwo), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB, Unanswered(Put("c", 3, 4))}, kTwo), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB, Refused(Put("c", 3, 4))}, kTwo), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, Unanswered(Delete(3, 4)), kPutB}, kDeleted), IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, Unanswered(Delete(3, 4)), kPutB}, kTwo), IsEmpty());
}

TEST(StoredVersionsHold, WhatWasAcknowledgedIsThere) {
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB}, {{"k", {{9, "b"}}}}),
              ElementsAre(HasSubstr("acknowledged and lost: put k = a")));
  EXPECT_THAT(FindStoredViolations({kPutA}, {}), ElementsAre(HasSubstr("acknowledged and lost")));
  EXPECT_THAT(FindStoredViolations({Put("a", 1, 2)}, {{"k", {{9, "b"}}}}),
              ElementsAre(HasSubstr("stored and never written"),
                          HasSubstr("acknowledged and lost: put k = a")));
  // At another version.
  EXPECT_THAT(FindStoredViolations({Put("a", 1, 2, 6), kPutB}, kTwo),
              ElementsAre(HasSubstr("acknowledged and lost: put k = a")));
  EXPECT_THAT(FindStoredViolations({kPutA, Delete(3, 6, 7), kPutB}, kTwo),
              ElementsAre(HasSubstr("acknowledged and lost: delete k")));
  EXPECT_THAT(FindStoredViolations({kPutA, Delete(3, 6), kPutB}, kTwo),
              ElementsAre(HasSubstr("acknowledged and lost: a delete of k")));
}

TEST(StoredVersionsHold, WhatWasRefusedIsNot) {
  EXPECT_THAT(FindStoredViolations({kPutA, Refused(kPutB)}, kTwo),
              ElementsAre(HasSubstr("refused and yet applied: put k = b")));
  EXPECT_THAT(FindStoredViolations({kPutA, Refused(Delete(3, 4)), kPutB}, kDeleted),
              ElementsAre(HasSubstr("more deletes stored than asked for")));
}

TEST(StoredVersionsHold, NothingElseIsThere) {
  EXPECT_THAT(FindStoredViolations({kPutA}, kTwo),
              ElementsAre(HasSubstr("stored and never written: k = b at version 9")));
  EXPECT_THAT(FindStoredViolations({}, {{"x", {{1, "a"}}}}),
              ElementsAre(HasSubstr("stored and never written: x = a")));
  EXPECT_THAT(FindStoredViolations({kPutA}, {{"k", {{5, "a"}, {9, "a"}}}}),
              ElementsAre(HasSubstr("applied twice: k = a at version 9")));
  // One delete applied twice; a second, unanswered one explains it.
  const StoredVersions twice{{"k", {{5, "a"}, {7, std::nullopt}, {8, std::nullopt}}}};
  EXPECT_THAT(
      FindStoredViolations({kPutA, Delete(3, 4, 7)}, twice),
      ElementsAre(HasSubstr("more deletes stored than asked for: k = nothing at version 8")));
  EXPECT_THAT(FindStoredViolations({kPutA, Delete(3, 4, 7), Unanswered(Delete(3, 4))}, twice),
              IsEmpty());
  EXPECT_THAT(FindStoredViolations({kPutA, Delete(3, 4, 7), Delete(5, 6, 7)},
                                   {{"k", {{5, "a"}, {7, std::nullopt}}}}),
              ElementsAre(HasSubstr("two deletes at one version")));
}

TEST(StoredVersionsHold, WhatWasReadIsThere) {
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB, Get("c", 5, 6, 10)}, kTwo),
              ElementsAre(HasSubstr("read and not stored")));
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB, Get("a", 5, 6, 9)}, kTwo),
              ElementsAre(HasSubstr("read and not stored")));
  EXPECT_THAT(FindStoredViolations({kPutA, kPutB, Get("c", 5, 6)}, kTwo),
              ElementsAre(HasSubstr("read and not stored")));
}

TEST(FinalContentsHold, TruthPasses) {
  EXPECT_THAT(FindFinalViolations({}, {}), IsEmpty());
  EXPECT_THAT(FindFinalViolations({kPutA, kPutB}, {{"k", "b"}}), IsEmpty());
  EXPECT_THAT(FindFinalViolations({kPutA, Delete(3, 4)}, {}), IsEmpty());
  // Side by side, either may be the last.
  EXPECT_THAT(FindFinalViolations({Put("a", 1, 4), Put("b", 2, 3)}, {{"k", "a"}}), IsEmpty());
  EXPECT_THAT(FindFinalViolations({Put("a", 1, 2), Put("b", 2, 3)}, {{"k", "a"}}), IsEmpty());
  // An unknown one may come last of all, or never.
  EXPECT_THAT(FindFinalViolations({Unanswered(Put("a", 1, 2)), kPutB}, {{"k", "a"}}), IsEmpty());
  EXPECT_THAT(FindFinalViolations({kPutA, InDoubt(Put("b", 3, 4))}, {{"k", "a"}}), IsEmpty());
  EXPECT_THAT(FindFinalViolations({kPutA, InDoubt(Delete(3, 4))}, {}), IsEmpty());
  EXPECT_THAT(FindFinalViolations({Refused(kPutA), Unanswered(kPutB)}, {}), IsEmpty());
}

TEST(FinalContentsHold, LiesAreSeen) {
  EXPECT_THAT(FindFinalViolations({kPutA, kPutB}, {{"k", "a"}}),
              ElementsAre(HasSubstr("an acknowledged write that replaced it is lost: put k = a")));
  EXPECT_THAT(FindFinalViolations({kPutA}, {}),
              ElementsAre(HasSubstr("k = nothing in the end: an acknowledged write is lost")));
  EXPECT_THAT(FindFinalViolations({Delete(0, 0), kPutA}, {}),
              ElementsAre(HasSubstr("an acknowledged write that replaced it is lost: delete k")));
  EXPECT_THAT(FindFinalViolations({kPutA, Refused(Delete(3, 4))}, {}),
              ElementsAre(HasSubstr("an acknowledged write is lost")));
  EXPECT_THAT(FindFinalViolations({kPutA, Refused(kPutB)}, {{"k", "b"}}),
              ElementsAre(HasSubstr("refused and yet applied: put k = b")));
  EXPECT_THAT(FindFinalViolations({kPutA}, {{"k", "z"}}),
              ElementsAre(HasSubstr("k = z in the end: never written")));
  EXPECT_THAT(FindFinalViolations({}, {{"k", "z"}}), ElementsAre(HasSubstr("never written")));
}

}  // namespace
}  // namespace basalt::check
