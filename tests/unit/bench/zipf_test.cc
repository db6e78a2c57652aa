#include "client/bench/zipf.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace basalt::bench {
namespace {

TEST(ZipfTest, ZetaIsTheSum) {
  double sum = 0;
  for (int i = 1; i <= 1'000'000; ++i) {
    sum += std::pow(i, -kYcsbZipfConstant);
    if (i == 1 || i == 2 || i == 10'000 || i == 10'001 || i == 1'000'000) {
      EXPECT_NEAR(Zeta(static_cast<uint64_t>(i), kYcsbZipfConstant), sum, 1e-9) << i;
    }
  }
}

TEST(ZipfTest, ZetaIsWhatYcsbHoldsForTenBillion) {
  // ZETAN of YCSB's ScrambledZipfianGenerator.
  EXPECT_NEAR(Zeta(10'000'000'000, kYcsbZipfConstant), 26.46902820178302, 1e-6);
}

TEST(ZipfTest, RanksComeAsOftenAsTheLawSays) {
  constexpr uint64_t kCount = 1000;
  constexpr int kDraws = 400'000;
  const Zipf zipf(kCount);
  base::Random random(1);
  std::vector<int> drawn(kCount);
  for (int i = 0; i < kDraws; ++i) ++drawn.at(zipf.Next(random));
  const double zeta = Zeta(kCount, kYcsbZipfConstant);
  // The two most popular ranks are drawn exactly, the tail by Gray's continuous approximation.
  EXPECT_NEAR(drawn[0], kDraws / zeta, 0.02 * kDraws / zeta);
  EXPECT_NEAR(drawn[1], kDraws * std::pow(2, -kYcsbZipfConstant) / zeta, 0.03 * kDraws / zeta);
  int below = 0;
  for (uint64_t rank = 0; rank < kCount; ++rank) {
    below += drawn[rank];
    if (rank == 9 || rank == 99 || rank == 499) {
      EXPECT_NEAR(below, kDraws * Zeta(rank + 1, kYcsbZipfConstant) / zeta, 0.03 * kDraws) << rank;
    }
  }
  EXPECT_GT(drawn[kCount - 1] + drawn[kCount - 2] + drawn[kCount - 3], 0);
}

TEST(ZipfTest, GrownIsTheSameAsMadeSo) {
  Zipf grown(20'000);
  for (int i = 0; i < 500; ++i) grown.Grow();
  const Zipf made(20'500);
  ASSERT_EQ(grown.count(), made.count());
  base::Random left(7);
  base::Random right(7);
  int different = 0;
  for (int i = 0; i < 10'000; ++i) different += grown.Next(left) != made.Next(right) ? 1 : 0;
  EXPECT_LE(different, 10);  // sums in another order differ in their last bits
}

TEST(ZipfTest, StaysWithinFewRanks) {
  for (const uint64_t count : {1, 2, 3, 4}) {
    const Zipf zipf(count);
    base::Random random(count);
    std::vector<int> drawn(count);
    for (int i = 0; i < 10'000; ++i) ++drawn.at(zipf.Next(random));
    for (const int times : drawn) EXPECT_GT(times, 0) << count;
  }
}

TEST(ZipfTest, ScattersAsYcsbDoes) {
  // The names of YCSB's first keys are the absolute values: user6284781860667377211 and so on.
  EXPECT_EQ(0 - Scatter(0), 6284781860667377211ULL);
  EXPECT_EQ(Scatter(1) >> 63 == 1 ? 0 - Scatter(1) : Scatter(1), 8517097267634966620ULL);
  EXPECT_EQ(Scatter(2) >> 63 == 1 ? 0 - Scatter(2) : Scatter(2), 1820151046732198393ULL);
}

}  // namespace
}  // namespace basalt::bench
