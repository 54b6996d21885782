// The reference's norm_quant_backward against hand-computed rows and against finite differences of the straight-through
// surrogate: the norm without quantisation.
#include "reference/norm_quant_backward.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "reference/norm_quant_forward.hpp"
#include "tests/random_arrays.hpp"

namespace normquant::reference {
namespace {

/// d loss / d values by central differences.
Array finite_differences(const std::function<double(const Array&)>& loss, const Array& values) {
  constexpr double step = 1e-5;
  return Array::NullaryExpr(values.rows(), values.cols(), [&](Eigen::Index row, Eigen::Index column) {
    Array above = values, below = values;
    above(row, column) += step;
    below(row, column) -= step;
    return (loss(above) - loss(below)) / (2 * step);
  });
}

/// Central differences err by step^2 / 6 times a third derivative (about 100 at most here: 2e-9) and by the rounding of
/// the loss over the step (about 100 * 2^-53 / 1e-5: 1e-9).
constexpr double central_difference_bound = 1e-8;

/// One backward with random values: M = 3, N = 7.
struct Case {
  NormKind norm;
  bool has_weight, has_dresidual;
  Array h = random_array(3, 7, 1) + 0.5;
  Array dy = random_array(3, 7, 2);
  Array dresidual = random_array(3, 7, 3);
  Vector weight = random_vector(7, 4);
  Vector bias = random_vector(7, 5);

  NormQuantForward forward() const {
    NormQuantForward result;
    result.norm = norm;
    result.eps = 1e-2;  // large enough to matter
    if (has_weight) result.weight = weight;
    result.bias = bias;
    return result;
  }
  NormQuantBackwardResult gradients() const {
    const NormQuantForwardResult saved = norm_quant_forward(h, forward());
    return norm_quant_backward(dy, h, norm == NormKind::layer ? saved.mean : Vector(), saved.rstd,
                               has_dresidual ? &dresidual : nullptr, {norm, forward().weight});
  }
  /// sum(dy * y) + sum(dresidual * h)
  double loss() const {
    const double through_y = (dy * norm_quant_forward(h, forward()).y).sum();
    return has_dresidual ? through_y + (dresidual * h).sum() : through_y;
  }
};

const Case cases[] = {{NormKind::layer, false, false}, {NormKind::layer, false, true}, {NormKind::layer, true, false},
                      {NormKind::layer, true, true},   {NormKind::rms, false, false},  {NormKind::rms, false, true},
                      {NormKind::rms, true, false},    {NormKind::rms, true, true}};

class ReferenceNormQuantBackward : public testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Cases, ReferenceNormQuantBackward, testing::ValuesIn(cases), [](const auto& test) {
  return std::string(test.param.norm == NormKind::layer ? "layer" : "rms") +
         (test.param.has_weight ? "_weight" : "_plain") + (test.param.has_dresidual ? "_dresidual" : "");
});

TEST_P(ReferenceNormQuantBackward, GivesTheDerivativeWithRespectToH) {
  const auto loss = [](const Array& h) {
    Case varied = GetParam();
    varied.h = h;
    return varied.loss();
  };
  EXPECT_LE(worst_error(GetParam().gradients().dx, finite_differences(loss, GetParam().h)), central_difference_bound);
}

TEST_P(ReferenceNormQuantBackward, GivesTheDerivativeWithRespectToTheWeight) {
  Case with_weight = GetParam();
  if (!with_weight.has_weight) with_weight.weight.setOnes();  // a weight that is not given is 1
  with_weight.has_weight = true;
  const auto loss = [&](const Array& weight) {
    Case varied = with_weight;
    varied.weight = weight.col(0);
    return varied.loss();
  };
  const Array expected = finite_differences(loss, with_weight.weight);
  EXPECT_LE(worst_error(GetParam().gradients().dweight, expected), central_difference_bound);
}

TEST_P(ReferenceNormQuantBackward, GivesTheDerivativeWithRespectToTheBias) {
  const auto loss = [](const Array& bias) {
    Case varied = GetParam();
    varied.bias = bias.col(0);
    return varied.loss();
  };
  EXPECT_LE(worst_error(GetParam().gradients().dbias, finite_differences(loss, GetParam().bias)),
            central_difference_bound);
}

TEST(ReferenceNormQuantBackwardByHand, MatchesALayerNormRow) {
  // xhat = (h - 1) / 2 = -1 2; wdy = 4 3 ; c1 = (-4 + 6) / 2 = 1, c2 = 3.5; dx = (wdy - (xhat + 3.5)) / 2 + dresidual
  Array h(1, 2), dy(1, 2), dresidual(1, 2), dx(1, 2);
  h << -1, 5;
  dy << 2, -3;
  dresidual << 10, 20;
  Vector weight(2), mean(1), rstd(1);
  weight << 2, -1;
  mean << 1;
  rstd << 0.5;
  dx << 10.75, 18.75;
  const NormQuantBackwardResult result = norm_quant_backward(dy, h, mean, rstd, &dresidual, {NormKind::layer, weight});
  EXPECT_EQ(result.c1(0), 1.0);
  EXPECT_EQ(result.c2(0), 3.5);
  EXPECT_EQ(result.wdy(0, 1), 3.0);
  EXPECT_TRUE((result.dx == dx).all()) << result.dx;
  EXPECT_EQ(result.dweight(0), -2.0);
  EXPECT_EQ(result.dweight(1), -6.0);
  EXPECT_EQ(result.dbias(0), 2.0);
  EXPECT_EQ(result.dbias(1), -3.0);
}

TEST(ReferenceNormQuantBackwardByHand, MatchesAnRmsNormRow) {
  // xhat = h / 2 = -1 2; wdy = dy; c1 = (-4 + 6) / 2 = 1, no c2; dx = (wdy - xhat) / 2
  Array h(1, 2), dy(1, 2), dx(1, 2);
  h << -2, 4;
  dy << 4, 3;
  dx << 2.5, 0.5;
  const NormQuantBackwardResult result =
      norm_quant_backward(dy, h, Vector(), Vector::Constant(1, 0.5), nullptr, {NormKind::rms, std::nullopt});
  EXPECT_EQ(result.c1(0), 1.0);
  EXPECT_EQ(result.c2(0), 0.0);
  EXPECT_TRUE((result.dx == dx).all()) << result.dx;
}

TEST(ReferenceNormQuantBackwardSums, CountARowAsOftenAsItsMultiplicitySays) {
  const Array h = random_array(3, 5, 6), dy = random_array(3, 5, 7);
  const Vector mean = random_vector(3, 8), rstd = random_vector(3, 9).abs();
  const NormQuantBackward backward{NormKind::layer, random_vector(5, 10)};
  Vector multiplicity(3);
  multiplicity << 2, 1, 3;
  const NormQuantBackwardResult counted = norm_quant_backward(dy, h, mean, rstd, nullptr, backward, &multiplicity);

  const std::vector<int> rows = {0, 1, 2, 0, 2, 2};
  const NormQuantBackwardResult repeated =
      norm_quant_backward(dy(rows, Eigen::all), h(rows, Eigen::all), mean(rows), rstd(rows), nullptr, backward);
  const double bound = 6 * 0x1p-53 * 10.0;  // another order of 6 float64 additions of numbers below 10
  EXPECT_LE(worst_error(counted.dweight, repeated.dweight), bound);
  EXPECT_LE(worst_error(counted.dbias, repeated.dbias), bound);
  EXPECT_TRUE((counted.dx == repeated.dx.topRows(3)).all());  // dx of a row does not count rows
}

TEST(ReferenceNormQuantBackwardSums, AreZerosForNoRows) {
  const Array none(0, 4);
  const NormQuantBackwardResult result =
      norm_quant_backward(none, none, Vector(), Vector(), nullptr, {NormKind::layer, std::nullopt});
  ASSERT_EQ(result.dweight.size(), 4);
  ASSERT_EQ(result.dbias.size(), 4);
  EXPECT_TRUE((result.dweight == 0.0).all());
  EXPECT_TRUE((result.dbias == 0.0).all());
  EXPECT_EQ(result.dx.rows(), 0);
}

TEST(ReferenceNormQuantBackwardSums, BecomeNaNInTheColumnsThatANaNReaches) {
  const Array h = random_array(3, 4, 11);
  const Vector rstd = Vector::Ones(3);
  Array dy = random_array(3, 4, 12);
  const NormQuantBackward backward{NormKind::rms, std::nullopt};
  const NormQuantBackwardResult clean = norm_quant_backward(dy, h, Vector(), rstd, nullptr, backward);
  dy(1, 2) = std::numeric_limits<double>::quiet_NaN();
  const NormQuantBackwardResult result = norm_quant_backward(dy, h, Vector(), rstd, nullptr, backward);
  for (Eigen::Index column = 0; column < 4; ++column) {
    EXPECT_EQ(std::isnan(result.dweight(column)), column == 2);
    EXPECT_EQ(std::isnan(result.dbias(column)), column == 2);
  }
  EXPECT_TRUE(result.dx.row(1).isNaN().all());  // through c1
  EXPECT_TRUE((result.dx.row(0) == clean.dx.row(0)).all());
  EXPECT_TRUE((result.dx.row(2) == clean.dx.row(2)).all());
}

TEST(ReferenceNormQuantBackwardSums, BecomeNaNInEveryColumnForARowThatTheForwardMadeNaN) {
  Array h = random_array(3, 4, 13);
  h(1, 0) = std::numeric_limits<double>::infinity();
  NormQuantForward forward;
  forward.eps = 1e-6;
  const NormQuantForwardResult saved = norm_quant_forward(h, forward);
  const NormQuantBackwardResult result =
      norm_quant_backward(Array::Ones(3, 4), h, Vector(), saved.rstd, nullptr, {NormKind::rms, std::nullopt});
  EXPECT_TRUE(result.dweight.isNaN().all());
  EXPECT_TRUE((result.dbias == 3.0).all());  // dbias sums dy alone
  EXPECT_TRUE(result.dx.row(1).isNaN().all());
  EXPECT_TRUE(result.dx.row(0).isFinite().all());
}

}  // namespace
}  // namespace normquant::reference
