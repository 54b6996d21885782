// Paired statistics on numbers with known answers.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "bench/gate/paired.hpp"

namespace normquant::gate {
namespace {

TEST(ScatterOf, KnownValues) {
  const PairScatter scatter = scatter_of({0.01, 0.02, 0.03});
  EXPECT_NEAR(scatter.variance, 1e-4, 1e-12);
  EXPECT_EQ(scatter.degrees, 2);
  EXPECT_EQ(scatter_of({0.01}).degrees, 0);
  EXPECT_EQ(scatter_of({}).degrees, 0);
}

TEST(Pooled, WeighsByDegreesOfFreedom) {
  const PairScatter both = pooled({4, 1}, {1, 3});
  EXPECT_DOUBLE_EQ(both.variance, 1.75);
  EXPECT_EQ(both.degrees, 4);
  EXPECT_EQ(pooled({}, {}).degrees, 0);
}

TEST(PairedInterval, StudentsT) {
  // Mean 0.02, deviation 0.01, n = 3: t(2 degrees, 97.5%) = 4.3027, so 0.02 +- 0.024842.
  const auto interval = paired_interval({0.01, 0.02, 0.03}, {}, 0.05);
  ASSERT_TRUE(interval);
  EXPECT_NEAR(std::log(interval->low), 0.02 - 0.024842, 1e-5);
  EXPECT_NEAR(std::log(interval->high), 0.02 + 0.024842, 1e-5);
}

TEST(PairedInterval, WhatIsKnownOfTheScatterNarrowsIt) {
  const std::vector<double> two = {0.01, 0.03};
  const auto alone = paired_interval(two, {}, 0.01), helped = paired_interval(two, {2e-4, 100}, 0.01);
  EXPECT_LT(helped->high / helped->low, alone->high / alone->low);
  EXPECT_TRUE(paired_interval({0.01}, {1e-4, 10}, 0.05)) << "one pair will do when the scatter is known";
  EXPECT_FALSE(paired_interval({0.01}, {}, 0.05));
  EXPECT_FALSE(paired_interval({}, {1e-4, 10}, 0.05));
}

TEST(PairedInterval, EqualPairsAreNotCertain) {
  const auto interval = paired_interval({0, 0, 0, 0}, {}, 0.05);
  EXPECT_GT(interval->high, 1);
  EXPECT_LT(interval->low, 1);
}

TEST(PairedInterval, HoldsTheRatioAsOftenAsItSays) {
  std::mt19937 generator(5);
  std::normal_distribution<double> normal(0.01, 0.004);
  int missed = 0;
  constexpr int draws = 4000;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<double> pairs(4);
    for (double& pair : pairs) pair = normal(generator);
    const auto interval = paired_interval(pairs, {}, 0.05);
    missed += interval->low <= std::exp(0.01) && std::exp(0.01) <= interval->high ? 0 : 1;
  }
  EXPECT_NEAR(missed, 0.05 * draws, 0.015 * draws);
}

TEST(ClassifyPaired, TheLimitLiesHalfwayToTheMinimumEffect) {
  EXPECT_NEAR(limit_of(0.03), 1.014889, 1e-6);
  EXPECT_EQ(classify_paired(Interval{1.016, 1.04}, 0.03), Change::slower);
  EXPECT_EQ(classify_paired(Interval{0.96, 0.984}, 0.03), Change::faster);
  EXPECT_EQ(classify_paired(Interval{0.99, 1.014}, 0.03), Change::same);
  EXPECT_EQ(classify_paired(Interval{0.99, 1.016}, 0.03), Change::inconclusive);
  EXPECT_EQ(classify_paired(std::nullopt, 0.03), Change::inconclusive);
}

TEST(RateInterval, ClopperAndPearson) {
  // 0 of 60: upper end 1 - 0.025^(1/60); 60 of 60 mirrored; 9 of 10 from tables: 0.5550, 0.9975.
  EXPECT_EQ(rate_interval(0, 60, 0.95).low, 0);
  EXPECT_NEAR(rate_interval(0, 60, 0.95).high, 1 - std::pow(0.025, 1.0 / 60), 1e-9);
  EXPECT_NEAR(rate_interval(60, 60, 0.95).low, std::pow(0.025, 1.0 / 60), 1e-9);
  EXPECT_EQ(rate_interval(60, 60, 0.95).high, 1);
  EXPECT_NEAR(rate_interval(9, 10, 0.95).low, 0.5550, 5e-5);
  EXPECT_NEAR(rate_interval(9, 10, 0.95).high, 0.9975, 5e-5);
  EXPECT_EQ(rate_interval(0, 0, 0.95).high, 1);
}

}  // namespace
}  // namespace normquant::gate
