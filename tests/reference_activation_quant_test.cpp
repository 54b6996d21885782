// The reference's activation_quant against hand-computed rows and the edge cases of docs/operations.md, section 5.
#include "reference/activation_quant.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tests/random_arrays.hpp"

namespace normquant::reference {
namespace {

TEST(ReferenceActivationQuant, MatchesARowComputedByHand) {
  Array x(2, 3);
  x << 1.0, -2.0, 0.3,   // scale 63.5: 63.5 -> 64, -127, 19.05 -> 19
      254.0, 3.0, -7.0;  // scale 0.5: 127, 1.5 -> 2, -3.5 -> -4
  Array code(2, 3);
  code << 64, -127, 19, 127, 2, -4;
  const ActivationQuantResult result = activation_quant(x);
  EXPECT_TRUE((result.code == code).all()) << result.code;
  EXPECT_EQ(result.absmax(0), 2.0);
  EXPECT_EQ(result.absmax(1), 254.0);
  EXPECT_EQ(result.quant_scale(0), 63.5);
  EXPECT_EQ(result.quant_scale(1), 0.5);
  EXPECT_EQ(result.out(0, 0), 64.0 / 63.5);
  EXPECT_EQ(result.out(0, 1), -2.0);
  EXPECT_EQ(result.out(1, 2), -8.0);
}

TEST(ReferenceActivationQuant, RoundsTiesAsAskedAndHalfToEvenByDefault) {
  Array x(1, 6);
  x << 127.0, 0.5, 1.5, 2.5, -0.5, -2.5;  // scale 1: every other element is a tie
  Array even(1, 6), away(1, 6);
  even << 127, 0, 2, 2, 0, -2;
  away << 127, 1, 2, 3, -1, -3;
  EXPECT_TRUE((activation_quant(x).code == even).all());
  EXPECT_TRUE((activation_quant(x, Rounding::half_even).code == even).all());
  EXPECT_TRUE((activation_quant(x, Rounding::half_away).code == away).all());
}

TEST(ReferenceActivationQuant, NeverReachesTheClampForFiniteInput) {
  // |x| * 127 / max|x| may exceed 127 by float64 rounding only: the code of the largest element is 127 or -127.
  for (int i = 1; i <= 1000; ++i) {
    Array x(1, 2);
    x << -1.0 / i, 0.0;
    const ActivationQuantResult result = activation_quant(x, Rounding::half_away);
    ASSERT_EQ(result.code(0, 0), -127.0) << i;
    ASSERT_EQ(activation_quant(-x, Rounding::half_away).code(0, 0), 127.0) << i;
  }
}

TEST(ReferenceActivationQuant, GivesARowOfZerosTheFloorScale) {
  const ActivationQuantResult result = activation_quant(Array::Zero(1, 4));
  EXPECT_EQ(result.absmax(0), 0.0);
  EXPECT_EQ(result.quant_scale(0), 127.0 / 1e-5);
  EXPECT_TRUE((result.code == 0.0).all());
  EXPECT_TRUE((result.out == 0.0).all());
}

TEST(ReferenceActivationQuant, UsesTheFloorScaleBelowTheFloorAndNotAboveIt) {
  Array x(2, 2);
  x << 4e-6, -1e-6,  // 50.8 -> 51, -12.7 -> -13
      2e-5, 1.2e-5;  // its own absmax: 127, 76.2 -> 76
  Array code(2, 2);
  code << 51, -13, 127, 76;
  const ActivationQuantResult result = activation_quant(x, Rounding::half_away);
  EXPECT_EQ(result.absmax(0), 4e-6);
  EXPECT_EQ(result.quant_scale(0), 127.0 / 1e-5);
  EXPECT_EQ(result.quant_scale(1), 127.0 / 2e-5);
  EXPECT_TRUE((result.code == code).all()) << result.code;
}

TEST(ReferenceActivationQuant, TurnsARowWithOneNonFiniteElementIntoNaNAndLeavesOtherRowsAlone) {
  Array x(3, 9);
  for (Eigen::Index i = 0; i < x.size(); ++i) x(i / 9, i % 9) = 0.25 * static_cast<double>(i) - 3.0;
  const ActivationQuantResult clean = activation_quant(x);
  for (const double bad : {nan, infinity, -infinity, 1e39}) {  // 1e39 is infinite as a float32
    for (Eigen::Index column = 0; column < x.cols(); ++column) {
      Array spoilt = x;
      spoilt(1, column) = bad;
      const ActivationQuantResult result = activation_quant(spoilt);
      ASSERT_TRUE(std::isnan(result.absmax(1)) && std::isnan(result.quant_scale(1))) << bad << " at " << column;
      ASSERT_TRUE(result.out.row(1).isNaN().all()) << bad << " at " << column;
      ASSERT_TRUE((result.code.row(1) == 0.0).all()) << bad << " at " << column;
      for (const Eigen::Index row : {0, 2}) {
        ASSERT_TRUE((result.out.row(row) == clean.out.row(row)).all());
        ASSERT_TRUE((result.code.row(row) == clean.code.row(row)).all());
        ASSERT_EQ(result.quant_scale(row), clean.quant_scale(row));
      }
    }
  }
}

TEST(ReferenceActivationQuant, KeepsTheLargestFloatFinite) {
  constexpr double largest = std::numeric_limits<float>::max();
  Array x(1, 2);
  x << -largest, largest / 127.0;
  const ActivationQuantResult result = activation_quant(x);
  EXPECT_EQ(result.absmax(0), largest);
  EXPECT_EQ(result.code(0, 0), -127.0);
  EXPECT_EQ(result.code(0, 1), 1.0);
}

TEST(ReferenceActivationQuant, ReturnsNothingForNoRows) {
  const ActivationQuantResult result = activation_quant(Array(0, 5));
  EXPECT_EQ(result.out.rows(), 0);
  EXPECT_EQ(result.out.cols(), 5);
  EXPECT_EQ(result.quant_scale.size(), 0);
}

}  // namespace
}  // namespace normquant::reference
