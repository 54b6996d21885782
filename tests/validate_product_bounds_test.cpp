// The bounds of products: honest float32 evaluations stay inside, wrong ones are stopped.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "validate/product_bounds.hpp"

namespace normquant::validate {
namespace {

constexpr Eigen::Index row_count = 3, depth = 64, features = 5;

Array drawn(Eigen::Index m, Eigen::Index n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  Array values(m, n);
  for (Eigen::Index i = 0; i < values.size(); ++i) values.data()[i] = normal(generator);
  return reference::round_to_storage(values, reference::Storage::bfloat16);
}

/// One element in float32, terms from `first` in steps of `step`.
float evaluated(const Array& a, const Array& b, Eigen::Index i, Eigen::Index j, bool backwards) {
  float sum = 0;
  for (Eigen::Index n = 0; n < depth; ++n) {
    const Eigen::Index k = backwards ? depth - 1 - n : n;
    sum += static_cast<float>(a(i, k)) * static_cast<float>(b(j, k));
  }
  return sum;
}

TEST(ProductBounds, HoldHonestSumsInAnyOrder) {
  const Array a = drawn(row_count, depth, 1), b = drawn(features, depth, 2);
  const ProductBounds bounds = product_bounds(exact_operand(a), exact_operand(b));
  for (Eigen::Index i = 0; i < row_count; ++i) {
    for (Eigen::Index j = 0; j < features; ++j) {
      for (bool backwards : {false, true}) {
        EXPECT_LE(std::abs(evaluated(a, b, i, j, backwards) - bounds.value(i, j)), bounds.bound(i, j));
      }
    }
  }
}

TEST(ProductBounds, StopALostTermAndASumInSixteenBits) {
  const Array a = drawn(row_count, depth, 1), b = drawn(features, depth, 2);
  const ProductBounds bounds = product_bounds(exact_operand(a), exact_operand(b));
  for (Eigen::Index i = 0; i < row_count; ++i) {
    for (Eigen::Index j = 0; j < features; ++j) {
      const double without_last = bounds.value(i, j) - a(i, depth - 1) * b(j, depth - 1);
      EXPECT_GT(std::abs(without_last - bounds.value(i, j)), bounds.bound(i, j));
      double short_sum = 0;
      for (Eigen::Index k = 0; k < depth; ++k) {
        short_sum = reference::round_to_storage(short_sum + a(i, k) * b(j, k), reference::Storage::bfloat16);
      }
      EXPECT_GT(std::abs(short_sum - bounds.value(i, j)), bounds.bound(i, j));
    }
  }
}

/// A row of t, its error and scale as the norm's bounds give them.
QuantBounds one_row(std::initializer_list<double> t, double t_error, double scale, double scale_error) {
  QuantBounds bounds;
  bounds.t = Eigen::Map<const Array>(t.begin(), 1, static_cast<Eigen::Index>(t.size()));
  bounds.t_error = Array::Constant(1, bounds.t.cols(), t_error);
  bounds.dequant_scale = Vector::Constant(1, scale);
  bounds.scale_error = Vector::Constant(1, scale_error);
  return bounds;
}

TEST(Operands, HaveSlackOnlyNextToATie) {
  const auto away = reference::Rounding::half_away;
  const Operand y =
      activation_operand(one_row({3.2, 7.5 - 1e-7, 127}, 1e-6, 0.25, 0), away, reference::Storage::float32);
  EXPECT_LE(y.slack(0, 0), 1e-6);
  EXPECT_NEAR(y.slack(0, 1), 0.25, 1e-6) << "7 and 8 are both right";
  EXPECT_LE(y.slack(0, 2), 0x1p-19) << "a unit in the last place of 31.75";
}

TEST(Operands, HaveSlackWhereTheScalesErrorReachesTheNextNumberOfTheirType) {
  const auto away = reference::Rounding::half_away;
  const double tie = 1 + 0x1p-8;  // between 1 and the next bfloat16
  const Operand near_tie = activation_operand(one_row({1}, 1e-6, tie, 1e-6), away, reference::Storage::bfloat16);
  EXPECT_EQ(near_tie.slack(0, 0), 0x1p-7);
  const Operand clear = activation_operand(one_row({1}, 1e-6, 1.001, 1e-6), away, reference::Storage::bfloat16);
  EXPECT_EQ(clear.slack(0, 0), 0);
}

TEST(Operands, ARowOfNaNHasNaNAndNoSlack) {
  const Operand y =
      activation_operand(one_row({NAN, NAN}, 0, NAN, 0), reference::Rounding::half_away, reference::Storage::bfloat16);
  EXPECT_TRUE(std::isnan(y.value(0, 0)));
  EXPECT_EQ(y.slack(0, 1), 0);
}

TEST(CodeProducts, AreHeldTighterThanProductsOfOperands) {
  const Array a = drawn(row_count, depth, 1), b = drawn(features, depth, 2);
  const ProductBounds codes = code_product_bounds(exact_operand(a), exact_operand(b));
  const ProductBounds operands = product_bounds(exact_operand(a), exact_operand(b));
  EXPECT_TRUE((codes.bound < operands.bound / 20).all()) << "codes are added exactly";
}

TEST(FoldedColumns, AddWhatRepeats) {
  Array values(1, 6);
  values << 1, 2, 3, 10, 20, 30;
  const Array folded = folded_columns(values, 3);
  EXPECT_EQ(folded(0, 0), 11);
  EXPECT_EQ(folded(0, 2), 33);
}

TEST(ErrorOfDy, ReachesEveryGradientOfTheNorm) {
  BackwardBounds bounds{Array::Zero(1, 2), Vector::Zero(2), Vector::Zero(2)};
  Array error(1, 2), xhat(1, 2);
  error << 1, 0;
  xhat << 2, 3;
  add_error_of_dy(bounds, error, xhat, Vector::Constant(1, 10.0), {reference::NormKind::rms, {}},
                  Vector::Constant(1, 4.0));
  // c1 = 2 * 1 / 2 = 1: dx[0] = (1 + 2 * 1) * 10, dx[1] = (0 + 3 * 1) * 10.
  EXPECT_NEAR(bounds.dx(0, 0), 30, 0.1);
  EXPECT_NEAR(bounds.dx(0, 1), 30, 0.1);
  EXPECT_NEAR(bounds.dweight(0), 8, 0.1);
  EXPECT_EQ(bounds.dweight(1), 0);
  EXPECT_NEAR(bounds.dbias(0), 4, 0.1);
}

}  // namespace
}  // namespace normquant::validate
