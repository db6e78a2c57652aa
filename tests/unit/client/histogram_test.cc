#include "client/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace basalt::client {
namespace {

TEST(HistogramTest, EmptyIsZero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.Percentile(0.5), 0U);
  EXPECT_EQ(histogram.max(), 0U);
}

TEST(HistogramTest, SmallValuesAreExact) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 100; ++value) histogram.Add(value);
  EXPECT_EQ(histogram.Percentile(0.5), 50U);
  EXPECT_EQ(histogram.Percentile(0.99), 99U);
  EXPECT_EQ(histogram.Percentile(1), 100U);
  EXPECT_EQ(histogram.Percentile(0), 1U);
}

TEST(HistogramTest, PercentilesAreWithinTheirBoundOfTheTrueOnes) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    base::Random random(seed);
    Histogram histogram;
    Histogram half;
    std::vector<uint64_t> values;
    for (int i = 0; i < 2000; ++i) {
      const uint64_t value = random.Next() >> random.Below(64);
      values.push_back(value);
      (i % 2 == 0 ? histogram : half).Add(value);
    }
    histogram.Merge(half);
    std::sort(values.begin(), values.end());
    EXPECT_EQ(histogram.count(), values.size());
    EXPECT_EQ(histogram.max(), values.back());
    for (const double share : {0.5, 0.9, 0.99, 0.999, 1.0}) {
      const auto rank = static_cast<size_t>(share * 2000 + 0.999) - 1;
      const uint64_t exact = values[std::min<size_t>(rank, 1999)];
      const uint64_t got = histogram.Percentile(share);
      EXPECT_GE(got, exact);
      EXPECT_LE(got - exact, exact / 64 + 1) << "seed " << seed << " share " << share;
    }
  }
}

TEST(HistogramTest, TheLargestValueFits) {
  Histogram histogram;
  histogram.Add(~uint64_t{0});
  EXPECT_EQ(histogram.Percentile(0.5), ~uint64_t{0});
}

}  // namespace
}  // namespace basalt::client
