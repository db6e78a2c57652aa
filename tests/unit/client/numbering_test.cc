#include "client/numbering.h"

#include <gtest/gtest.h>

#include <vector>

namespace basalt::client {
namespace {

TEST(NumberingTest, EachShardHasLinesOfItsOwn) {
  Numbering numbering;
  const auto a = numbering.Open(1);
  const auto b = numbering.Open(2);
  EXPECT_NE(a.line, b.line);
  EXPECT_EQ(a.sequence, 1U);
  EXPECT_EQ(b.sequence, 1U);
  numbering.Close(b);
  EXPECT_EQ(numbering.LowestOpen(a.line), 1U);
  EXPECT_EQ(numbering.LowestOpen(b.line), 2U);
}

TEST(NumberingTest, AFullLineIsLeftAndTakenUpAgain) {
  Numbering numbering;
  const auto oldest = numbering.Open(1);
  std::vector<Numbering::Number> rest;
  for (size_t i = 1; i < kOpenPerLine; ++i) rest.push_back(numbering.Open(1));
  for (const auto& number : rest) EXPECT_EQ(number.line, oldest.line);
  // All but the oldest have ended: the shard keeps their results for its sake.
  for (const auto& number : rest) numbering.Close(number);
  const auto next = numbering.Open(1);
  EXPECT_NE(next.line, oldest.line);
  numbering.Close(oldest);
  EXPECT_EQ(numbering.LowestOpen(oldest.line), kOpenPerLine + 1);
  for (size_t i = 1; i < kOpenPerLine; ++i) EXPECT_EQ(numbering.Open(1).line, next.line);
  EXPECT_EQ(numbering.Open(1).line, oldest.line);
}

}  // namespace
}  // namespace basalt::client
