// The reference's norm_quant_forward against hand-computed rows, plain loops and the edge cases of section 5.
#include "reference/norm_quant_forward.hpp"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tests/random_arrays.hpp"

namespace normquant::reference {
namespace {

Vector vector_of(std::initializer_list<double> values) {
  return Eigen::Map<const Vector>(values.begin(), static_cast<Eigen::Index>(values.size()));
}

NormQuantForward forward_with(NormKind norm, double eps) {
  NormQuantForward forward;
  forward.norm = norm;
  forward.eps = eps;
  return forward;
}

void expect_same_row(const NormQuantForwardResult& a, Eigen::Index row_a, const NormQuantForwardResult& b,
                     Eigen::Index row_b) {
  EXPECT_EQ(a.mean(row_a), b.mean(row_b));
  EXPECT_EQ(a.rstd(row_a), b.rstd(row_b));
  EXPECT_EQ(a.quant_scale(row_a), b.quant_scale(row_b));
  EXPECT_TRUE((a.y.row(row_a) == b.y.row(row_b)).all());
  EXPECT_TRUE((a.code.row(row_a) == b.code.row(row_b)).all());
  EXPECT_TRUE((a.out.row(row_a) == b.out.row(row_b)).all());
}

void expect_nan_row(const NormQuantForwardResult& result, Eigen::Index row) {
  EXPECT_TRUE(result.out.row(row).isNaN().all());
  EXPECT_TRUE(result.y.row(row).isNaN().all());
  EXPECT_TRUE((result.code.row(row) == 0.0).all());
  EXPECT_TRUE(std::isnan(result.absmax(row)));
  EXPECT_TRUE(std::isnan(result.quant_scale(row)));
}

TEST(ReferenceResidualAdd, IsOneCorrectlyRoundedFloat32Addition) {
  Array x(1, 3), residual(1, 3);
  x << 1.0, 16777216.0, 3.0;
  residual << 0x1p-30, 1.0, -5.5;
  Array expected(1, 3);
  expected << 1.0, 16777216.0, -2.5;  // 1 + 2^-30 and the tie 2^24 + 1 both round down
  EXPECT_TRUE((residual_add(x, &residual) == expected).all());
}

TEST(ReferenceResidualAdd, OverflowsLikeFloat32) {
  const Array x = Array::Constant(1, 1, 3e38);
  EXPECT_EQ(residual_add(x, &x)(0, 0), infinity);
}

TEST(ReferenceResidualAdd, ReturnsXItselfWithoutAResidual) {
  const Array x = Array::Constant(1, 1, 1.0 + 0x1p-40);
  EXPECT_EQ(residual_add(x, nullptr)(0, 0), 1.0 + 0x1p-40);
}

TEST(ReferenceNormQuantForward, MatchesALayerNormRowComputedByHand) {
  // mean 5, deviations -4 4 -2 2, var 10, eps 6: rstd 1/4, xhat -1 1 -0.5 0.5; y = xhat * weight + bias = -1 2 0 2.5
  Array h(1, 4);
  h << 1, 9, 3, 7;
  NormQuantForward forward = forward_with(NormKind::layer, 6.0);
  forward.weight = vector_of({2, 1, -2, 4});
  forward.bias = vector_of({1, 1, -1, 0.5});
  const NormQuantForwardResult result = norm_quant_forward(h, forward);
  Array xhat(1, 4), y(1, 4), code(1, 4);
  xhat << -1, 1, -0.5, 0.5;
  y << -1, 2, 0, 2.5;
  code << -51, 102, 0, 127;  // scale 50.8: -50.8, 101.6, 0, 127
  EXPECT_EQ(result.mean(0), 5.0);
  EXPECT_EQ(result.var(0), 10.0);
  EXPECT_EQ(result.rstd(0), 0.25);
  EXPECT_TRUE((result.xhat == xhat).all()) << result.xhat;
  EXPECT_TRUE((result.y == y).all()) << result.y;
  EXPECT_EQ(result.absmax(0), 2.5);
  EXPECT_EQ(result.quant_scale(0), 127.0 / 2.5);
  EXPECT_TRUE((result.code == code).all()) << result.code;
  EXPECT_TRUE((result.out == code / (127.0 / 2.5)).all());
}

TEST(ReferenceNormQuantForward, MatchesAnRmsNormRowComputedByHand) {
  // mean square (1 + 49) / 2 = 25, eps 11: rstd 1/6; y = 1/6 7/6; scale 127 * 6/7: 18.14 -> 18, 127
  Array h(1, 2);
  h << 1, -7;
  const NormQuantForwardResult result = norm_quant_forward(h, forward_with(NormKind::rms, 11.0));
  EXPECT_EQ(result.mean(0), 0.0);
  EXPECT_EQ(result.var(0), 25.0);
  EXPECT_EQ(result.rstd(0), 1.0 / 6.0);
  EXPECT_DOUBLE_EQ(result.y(0, 1), -7.0 / 6.0);
  EXPECT_DOUBLE_EQ(result.absmax(0), 7.0 / 6.0);
  EXPECT_EQ(result.code(0, 0), 18.0);
  EXPECT_EQ(result.code(0, 1), -127.0);
  EXPECT_DOUBLE_EQ(result.out(0, 0), 18.0 / 127.0 * 7.0 / 6.0);
}

TEST(ReferenceNormQuantForward, RoundsTiesAsAskedAndHalfAwayByDefault) {
  // rstd 1/2 and xhat 1/2 for h = 1, eps 3; the weights make y = 127 0.5 -2.5 and the scale 1
  const Array h = Array::Ones(1, 3);
  NormQuantForward forward = forward_with(NormKind::rms, 3.0);
  forward.weight = vector_of({254, 1, -5});
  Array away(1, 3), even(1, 3);
  away << 127, 1, -3;
  even << 127, 0, -2;
  EXPECT_TRUE((norm_quant_forward(h, forward).code == away).all());
  forward.rounding = Rounding::half_even;
  EXPECT_TRUE((norm_quant_forward(h, forward).code == even).all());
}

TEST(ReferenceNormQuantForward, TakesTheAbsmaxFromTheRowAloneWhenTheMeanIsLarge) {
  // A padding lane of 0 would look like (0 - 30) * rstd: 7% error in out, measured in the Triton system.
  constexpr Eigen::Index columns = 3000;
  const Array h = random_array(1, columns, 1) + 30.0;
  const NormQuantForwardResult result = norm_quant_forward(h, forward_with(NormKind::layer, 1e-6));

  double sum = 0.0, squares = 0.0, absmax = 0.0;
  for (Eigen::Index i = 0; i < columns; ++i) sum += h(0, i);
  const double mean = sum / columns;
  for (Eigen::Index i = 0; i < columns; ++i) squares += (h(0, i) - mean) * (h(0, i) - mean);
  const double rstd = 1.0 / std::sqrt(squares / columns + 1e-6);
  for (Eigen::Index i = 0; i < columns; ++i) absmax = std::max(absmax, std::abs((h(0, i) - mean) * rstd));

  // Two orders of the same float64 sums: each of the N additions rounds by at most 2^-53 of the sum.
  const double bound = columns * 0x1p-53;
  EXPECT_NEAR(result.mean(0), mean, bound * mean);
  EXPECT_NEAR(result.rstd(0), rstd, 2 * bound * rstd);
  EXPECT_NEAR(result.absmax(0), absmax, 4 * bound * 30.0);
  EXPECT_LT(result.absmax(0), 6.0);  // 30 with the padding lane
  for (Eigen::Index i = 0; i < columns; ++i) {
    ASSERT_EQ(result.code(0, i), std::round((h(0, i) - mean) * rstd * (127.0 / absmax))) << i;
  }
}

TEST(ReferenceNormQuantForward, TreatsEachRowByItself) {
  const Array h = random_array(5, 37, 2);
  const NormQuantForward forward = forward_with(NormKind::layer, 1e-5);
  const NormQuantForwardResult all = norm_quant_forward(h, forward);
  for (Eigen::Index row = 0; row < h.rows(); ++row) {
    const NormQuantForwardResult alone = norm_quant_forward(h.row(row), forward);
    const double bound = 37 * 0x1p-53;  // Eigen sums a row in an order that depends on its alignment
    EXPECT_NEAR(all.mean(row), alone.mean(0), bound);
    EXPECT_NEAR(all.rstd(row), alone.rstd(0), 4 * bound * alone.rstd(0));
    EXPECT_TRUE((all.code.row(row) == alone.code.row(0)).all()) << row;
  }
}

TEST(ReferenceNormQuantForward, GivesARowOfZerosTheFloorScale) {
  for (const NormKind norm : {NormKind::layer, NormKind::rms}) {
    const NormQuantForwardResult result = norm_quant_forward(Array::Zero(1, 6), forward_with(norm, 1e-6));
    EXPECT_DOUBLE_EQ(result.rstd(0), 1000.0);
    EXPECT_EQ(result.absmax(0), 0.0);
    EXPECT_EQ(result.quant_scale(0), 127.0 / 1e-5);
    EXPECT_TRUE((result.code == 0.0).all());
    EXPECT_TRUE((result.out == 0.0).all());
  }
}

TEST(ReferenceNormQuantForward, UsesTheFloorScaleForATinyAbsmax) {
  // h = 1, eps 3: xhat 1/2; y = 4e-6 is below the floor: 4e-6 * 127 / 1e-5 = 50.8 -> 51
  NormQuantForward forward = forward_with(NormKind::rms, 3.0);
  forward.weight = vector_of({8e-6, 0});
  const NormQuantForwardResult result = norm_quant_forward(Array::Ones(1, 2), forward);
  EXPECT_EQ(result.quant_scale(0), 127.0 / 1e-5);
  EXPECT_EQ(result.code(0, 0), 51.0);
  EXPECT_DOUBLE_EQ(result.out(0, 0), 51e-5 / 127.0);
}

TEST(ReferenceNormQuantForward, NormalisesASingleColumn) {
  NormQuantForward forward = forward_with(NormKind::layer, 1e-6);
  forward.bias = vector_of({-3});
  const NormQuantForwardResult layer = norm_quant_forward(Array::Constant(1, 1, 42.0), forward);
  EXPECT_EQ(layer.y(0, 0), -3.0);  // one column has no deviation from its mean
  EXPECT_EQ(layer.code(0, 0), -127.0);
  const NormQuantForwardResult rms = norm_quant_forward(Array::Constant(1, 1, 4.0), forward_with(NormKind::rms, 9.0));
  EXPECT_DOUBLE_EQ(rms.y(0, 0), 0.8);
}

TEST(ReferenceNormQuantForward, ReturnsNothingForNoRows) {
  const NormQuantForwardResult result = norm_quant_forward(Array(0, 7), forward_with(NormKind::layer, 1e-6));
  EXPECT_EQ(result.out.rows(), 0);
  EXPECT_EQ(result.out.cols(), 7);
  EXPECT_EQ(result.rstd.size(), 0);
}

TEST(ReferenceNormQuantForward, TurnsARowWithOneNonFiniteElementIntoNaNAndLeavesOtherRowsAlone) {
  const Array h = random_array(3, 9, 3);
  for (const NormKind norm : {NormKind::layer, NormKind::rms}) {
    const NormQuantForward forward = forward_with(norm, 1e-6);
    const NormQuantForwardResult clean = norm_quant_forward(h, forward);
    for (const double bad : {nan, infinity, -infinity}) {
      for (Eigen::Index column = 0; column < h.cols(); ++column) {
        Array spoilt = h;
        spoilt(1, column) = bad;
        const NormQuantForwardResult result = norm_quant_forward(spoilt, forward);
        expect_nan_row(result, 1);
        EXPECT_TRUE(std::isnan(result.rstd(1)));
        expect_same_row(result, 0, clean, 0);
        expect_same_row(result, 2, clean, 2);
      }
    }
  }
}

TEST(ReferenceNormQuantForward, TurnsARowWhoseSumOfSquaresOverflowsFloat32IntoNaN) {
  Array h(3, 4);
  h << 1e19, -1e19, 1e19, -1e19,  // squares sum to 4e38 > 3.4e38
      8e18, -8e18, 8e18, -8e18,   // 2.6e38
      1, 2, 3, 4;
  for (const NormKind norm : {NormKind::layer, NormKind::rms}) {
    const NormQuantForwardResult result = norm_quant_forward(h, forward_with(norm, 1e-6));
    expect_nan_row(result, 0);
    EXPECT_TRUE(std::isnan(result.rstd(0)));
    EXPECT_DOUBLE_EQ(result.rstd(1), 1.0 / 8e18);
    EXPECT_EQ(result.code(1, 1), -127.0);
    EXPECT_TRUE(result.out.row(2).isFinite().all());
  }
}

TEST(ReferenceNormQuantForward, MeasuresOverflowFromTheMeanForLayerNormAndFromZeroForRms) {
  Array h(1, 4);
  h << 1e20, 1e20, 1e20, 1e20;
  const NormQuantForwardResult layer = norm_quant_forward(h, forward_with(NormKind::layer, 1e-6));
  EXPECT_DOUBLE_EQ(layer.rstd(0), 1000.0);
  EXPECT_TRUE((layer.out == 0.0).all());
  const NormQuantForwardResult rms = norm_quant_forward(h, forward_with(NormKind::rms, 1e-6));
  expect_nan_row(rms, 0);
}

TEST(ReferenceNormQuantForward, TurnsARowWhoseSumOverflowsFloat32IntoNaN) {
  Array h(2, 2);
  h << 2e38, 2e38,  // no deviation from the mean, but the sum is 4e38
      -2e38, -2e38;
  const NormQuantForwardResult result = norm_quant_forward(h, forward_with(NormKind::layer, 1e-6));
  for (const Eigen::Index row : {0, 1}) {
    expect_nan_row(result, row);
    EXPECT_TRUE(std::isnan(result.rstd(row)));
  }
}

TEST(ReferenceNormQuantForward, KeepsRstdOfARowWhoseYAloneOverflowsFloat32) {
  NormQuantForward forward = forward_with(NormKind::rms, 1e-12);
  forward.weight = vector_of({3e38, 1});
  Array h(2, 2);
  h << 1, 0,  // xhat 1.41: y = 4.2e38
      1, 1;   // xhat 1:    y = 3.0e38
  const NormQuantForwardResult result = norm_quant_forward(h, forward);
  expect_nan_row(result, 0);
  EXPECT_NEAR(result.rstd(0), std::sqrt(2.0), 1e-11);  // eps moves it by eps / var, relatively
  EXPECT_EQ(result.code(1, 0), 127.0);
  EXPECT_EQ(result.code(1, 1), 0.0);
}

TEST(ReferenceNormQuantForward, TurnsEveryRowIntoNaNForANaNInTheWeightOrBias) {
  const Array h = random_array(2, 3, 4);
  NormQuantForward with_weight = forward_with(NormKind::rms, 1e-6), with_bias = with_weight;
  with_weight.weight = vector_of({1, nan, 1});
  with_bias.bias = vector_of({0, 0, infinity});
  for (const NormQuantForward& forward : {with_weight, with_bias}) {
    const NormQuantForwardResult result = norm_quant_forward(h, forward);
    expect_nan_row(result, 0);
    expect_nan_row(result, 1);
    EXPECT_TRUE(result.rstd.isFinite().all());
  }
}

TEST(ReferenceRecomputeOutput, RepeatsTheForwardFromItsStatistics) {
  const Array h = random_array(4, 33, 5);
  for (const NormKind norm : {NormKind::layer, NormKind::rms}) {
    NormQuantForward forward = forward_with(norm, 1e-6);
    forward.weight = random_array(33, 1, 6).col(0);
    forward.bias = random_array(33, 1, 7).col(0);
    const NormQuantForwardResult first = norm_quant_forward(h, forward);
    const Vector mean = norm == NormKind::layer ? first.mean : Vector();  // empty for rms
    const NormQuantForwardResult again = recompute_output(h, mean, first.rstd, forward);
    for (Eigen::Index row = 0; row < h.rows(); ++row) expect_same_row(again, row, first, row);
  }
}

TEST(ReferenceRecomputeOutput, UsesTheGivenStatistics) {
  Array h(1, 2);
  h << 3, 5;
  const NormQuantForwardResult result =
      recompute_output(h, vector_of({1}), vector_of({0.5}), forward_with(NormKind::layer, 1e-6));
  EXPECT_EQ(result.y(0, 0), 1.0);
  EXPECT_EQ(result.y(0, 1), 2.0);
  EXPECT_EQ(result.absmax(0), 2.0);
  EXPECT_EQ(result.code(0, 0), 64.0);
}

TEST(ReferenceRecomputeOutput, KeepsARowOfTheForwardThatWasNaN) {
  Array h = random_array(2, 5, 8);
  h.row(0) *= 1e30;
  const NormQuantForward forward = forward_with(NormKind::rms, 1e-6);
  const NormQuantForwardResult first = norm_quant_forward(h, forward);
  const NormQuantForwardResult again = recompute_output(h, first.mean, first.rstd, forward);
  expect_nan_row(again, 0);
  expect_same_row(again, 1, first, 1);
}

TEST(ReferenceStoredH, GivesTheForwardsCodesAgainWhileUnroundedHDoesNot) {
  const Array x = round_to_storage(random_array(64, 4096, 9), Storage::bfloat16);
  const Array residual = round_to_storage(random_array(64, 4096, 10), Storage::bfloat16);
  const Array unrounded = residual_add(x, &residual);
  const Array stored = round_to_storage(unrounded, Storage::bfloat16);
  const NormQuantForward forward = forward_with(NormKind::rms, 1e-6);
  const auto recomputed = [&](const NormQuantForwardResult& first) {
    return recompute_output(stored, first.mean, first.rstd, forward);
  };
  const NormQuantForwardResult from_stored = norm_quant_forward(stored, forward);
  EXPECT_TRUE((recomputed(from_stored).code == from_stored.code).all());

  // Section 1: with a bfloat16 residual 28% of the recomputed outputs differ (measured; as bfloat16, at N = 4096).
  const NormQuantForwardResult from_unrounded = norm_quant_forward(unrounded, forward);
  const auto different = (round_to_storage(recomputed(from_unrounded).out, Storage::bfloat16) !=
                          round_to_storage(from_unrounded.out, Storage::bfloat16))
                             .count();
  EXPECT_NEAR(static_cast<double>(different) / static_cast<double>(x.size()), 0.28, 0.08);
}

}  // namespace
}  // namespace normquant::reference
