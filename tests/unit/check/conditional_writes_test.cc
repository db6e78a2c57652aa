#include "check/conditional_writes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace basalt::check {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Condition = ConditionalWrite::Condition;

std::vector<std::string> Judge(const std::vector<ConditionalWrite>& writes,
                               const VersionsOfKey& stored) {
  return FindConditionalViolations(writes, {{"k", stored}, {"other", {{1, "x"}}}});
}

ConditionalWrite If(uint64_t version, const std::string& value) {
  return {.condition = Condition::kVersion, .key = "k", .value = value, .if_version = version};
}
ConditionalWrite IfHolds(const std::string& held, const std::string& value) {
  return {.condition = Condition::kValue, .key = "k", .value = value, .if_value = held};
}
ConditionalWrite Done(ConditionalWrite write, uint64_t version, int64_t from, int64_t to) {
  write.invoked_ns = from;
  write.responded_ns = to;
  write.outcome = Outcome::kApplied;
  write.version = version;
  return write;
}
ConditionalWrite Failed(ConditionalWrite write, uint64_t found, int64_t from, int64_t to) {
  write = Done(std::move(write), found, from, to);
  write.outcome = Outcome::kNotApplied;
  write.failed = true;
  return write;
}
const ConditionalWrite kPut{.key = "k", .value = "a"};
const ConditionalWrite kDelete{.key = "k"};

TEST(ConditionalWritesTest, WhatIsSoIsNoViolation) {
  EXPECT_THAT(Judge({If(0, "a")}, {}), IsEmpty());
  EXPECT_THAT(Judge({If(0, "a")}, {{5, "a"}}), IsEmpty());
  EXPECT_THAT(Judge({Done(kPut, 5, 1, 2), Done(If(5, "b"), 6, 3, 4), Done(kDelete, 7, 5, 6),
                     Done(If(0, "c"), 8, 7, 8), Done(IfHolds("c", "d"), 9, 9, 10),
                     Failed(If(5, "e"), 9, 11, 12), Failed(IfHolds("a", "f"), 9, 11, 12)},
                    {{5, "a"}, {6, "b"}, {7, std::nullopt}, {8, "c"}, {9, "d"}}),
              IsEmpty());
  // Beside others that were under way: what was there at any moment of its own.
  EXPECT_THAT(Judge({Done(kPut, 5, 1, 2), Done(kDelete, 6, 3, 9), Failed(If(4, "b"), 5, 4, 8),
                     Failed(If(5, "c"), 0, 4, 8)},
                    {{5, "a"}, {6, std::nullopt}}),
              IsEmpty());
  EXPECT_THAT(Judge({Failed(IfHolds("a", "b"), 0, 1, 2)}, {}), IsEmpty());
}

// Hazard 50: the version of a value that was deleted, and written anew with the same bytes.
TEST(ConditionalWritesTest, ADoneWriteWhoseConditionDidNotHoldIsSeen) {
  EXPECT_THAT(Judge({kPut, If(5, "b")}, {{5, "a"}, {6, std::nullopt}, {7, "a2"}, {8, "b"}}),
              ElementsAre("the put of b of key k if its version is 5 was done at version 8, where "
                          "it held version 7"));
  EXPECT_EQ(Judge({kPut, If(5, "b")}, {{5, "a"}, {6, std::nullopt}, {8, "b"}}).size(), 1u);
  EXPECT_EQ(Judge({kPut, If(0, "b")}, {{5, "a"}, {8, "b"}}).size(), 1u);
  EXPECT_EQ(Judge({IfHolds("a", "b")}, {{8, "b"}}).size(), 1u);
  EXPECT_EQ(Judge({IfHolds("a", "b")}, {{5, "c"}, {8, "b"}}).size(), 1u);
}

TEST(ConditionalWritesTest, ALieIsSeen) {
  EXPECT_THAT(Judge({Done(If(0, "a"), 5, 1, 2)}, {{6, "a"}}),
              ElementsAre("the put of a of key k if its version is 0 was told to be done at "
                          "version 5, and was not"));
  EXPECT_EQ(Judge({Done(kDelete, 5, 1, 2)}, {{5, "a"}}).size(), 1u);
  EXPECT_EQ(Judge({Failed(If(4, "b"), 5, 1, 2)}, {{4, "a"}, {5, "b"}}).size(), 1u);
  EXPECT_EQ(Judge({If(0, "a")}, {{5, "a"}, {6, std::nullopt}, {7, "a"}}),
            std::vector<std::string>{"the put of a of key k if its version is 0 was done 2 times"});
}

TEST(ConditionalWritesTest, AFailureForWhatWasNotThereIsSeen) {
  const VersionsOfKey two{{5, "a"}, {6, "b"}};
  const std::vector<ConditionalWrite> writes{Done(kPut, 5, 1, 2),
                                             Done({.key = "k", .value = "b"}, 6, 3, 4)};
  const auto with = [&](const ConditionalWrite& failed) {
    std::vector<ConditionalWrite> all = writes;
    all.push_back(failed);
    return Judge(all, two);
  };
  EXPECT_THAT(with(Failed(If(4, "c"), 6, 5, 6)), IsEmpty());
  EXPECT_THAT(with(Failed(If(4, "c"), 5, 3, 6)), IsEmpty());
  EXPECT_THAT(with(Failed(If(4, "c"), 5, 5, 6)),
              ElementsAre("the put of c of key k if its version is 4 failed for version 5, which "
                          "version 6 had replaced before"));
  EXPECT_EQ(with(Failed(If(4, "c"), 7, 5, 6)).size(), 1u);
  EXPECT_EQ(with(Failed(If(6, "c"), 6, 5, 6)).size(), 1u);
  EXPECT_EQ(with(Failed(If(6, "c"), 0, 5, 6)).size(), 1u);
  EXPECT_EQ(with(Failed(If(0, "c"), 0, 5, 6)).size(), 2u);
  EXPECT_EQ(with(Failed(IfHolds("b", "c"), 6, 5, 6)).size(), 1u);
}

}  // namespace
}  // namespace basalt::check
