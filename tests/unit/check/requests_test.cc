#include "check/requests.h"

#include <gtest/gtest.h>

namespace basalt::check {
namespace {

const RequestAnswer kUnknown;
const RequestAnswer kNever{.outcome = Outcome::kNotApplied};
RequestAnswer AppliedAt(uint64_t version) {
  return {.outcome = Outcome::kApplied, .version = version};
}

std::vector<std::string> Judge(std::vector<RequestAnswer> answers, VersionsOfKey applied) {
  StoredVersions stored;
  if (!applied.empty()) stored["k"] = std::move(applied);
  stored["other"] = {{1, "x"}};
  return FindRequestViolations({{.key = "k", .value = "v", .answers = std::move(answers)}}, stored);
}

TEST(RequestsTest, WhatIsSoIsNoViolation) {
  EXPECT_TRUE(Judge({}, {}).empty());
  EXPECT_TRUE(Judge({kUnknown}, {}).empty());
  EXPECT_TRUE(Judge({kUnknown}, {{7, "v"}}).empty());
  EXPECT_TRUE(Judge({AppliedAt(7), AppliedAt(7), kUnknown}, {{7, "v"}}).empty());
  EXPECT_TRUE(Judge({kNever, kUnknown, kNever}, {}).empty());
}

TEST(RequestsTest, EveryLieIsSeen) {
  EXPECT_EQ(Judge({kNever}, {{7, "v"}}),
            std::vector<std::string>{
                "the request to put k was told never to be applied, and was, at version 7"});
  EXPECT_EQ(Judge({AppliedAt(7)}, {}),
            std::vector<std::string>{
                "the request to put k was told to be applied at version 7, and was not"});
  EXPECT_EQ(Judge({AppliedAt(7)}, {{8, "v"}}).size(), 1U);
  EXPECT_EQ(Judge({AppliedAt(7), kNever}, {{7, "v"}}).size(), 1U);
  EXPECT_EQ(Judge({}, {{7, "v"}, {9, "v"}}),
            std::vector<std::string>{"the request to put k was applied 2 times"});
  EXPECT_EQ(Judge({}, {{7, "w"}}), std::vector<std::string>{"the request to put k wrote w"});
  EXPECT_EQ(Judge({}, {{7, std::nullopt}}).size(), 1U);
}

}  // namespace
}  // namespace basalt::check
