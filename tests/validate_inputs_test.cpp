// Every kind of input values is what its name says, in every storage type.
#include <gtest/gtest.h>

#include <cmath>

#include "run_variants.hpp"
#include "validate/inputs.hpp"

namespace normquant::validate {
namespace {

constexpr DType all_types[] = {DType::float32, DType::float16, DType::bfloat16};

Array x_of(Values values, DType type, Operation op = Operation::activation_quant) {
  Problem p;
  p.op = op;
  p.x = type;
  p.values = values;
  return input_tensor(p, Tensor::x, type, 6, 200).values();
}

TEST(Inputs, NegativeZerosKeepTheirSign) {
  for (DType type : all_types) {
    const Array x = x_of(Values::negative_zeros, type);
    EXPECT_TRUE((x == 0).all());
    EXPECT_TRUE(x.unaryExpr([](double v) { return std::signbit(v) ? 1.0 : 0.0; }).all());
  }
}

TEST(Inputs, TheLargestAreFiniteAndNothingIsLarger) {
  for (DType type : all_types) {
    const Array x = x_of(Values::largest, type);
    EXPECT_TRUE(x.isFinite().all());
    EXPECT_TRUE((x.abs() == x(0, 0) * (x(0, 0) < 0 ? -1 : 1)).all());
    EXPECT_TRUE((x > 0).any() && (x < 0).any());
    EXPECT_GE(x.abs().maxCoeff() * (1 + 2 * unit_roundoff(type)), overflow_from(type));
  }
}

TEST(Inputs, ActivationsHaveScalesOfTheirOwnByColumn) {
  for (DType type : all_types) {
    const Array x = x_of(Values::activations, type);
    ASSERT_TRUE(x.isFinite().all());
    const Eigen::ArrayXd size = x.abs().colwise().mean();
    EXPECT_GT(size(77), 5 * size.mean()) << "one column in 512 is larger";
    EXPECT_LT(size.minCoeff(), 0.5 * size.mean());
    EXPECT_LT(x.abs().maxCoeff(), 5000);
  }
}

TEST(Inputs, UniformValuesLieBetweenMinusOneAndOne) {
  for (DType type : all_types) {
    const Array x = x_of(Values::uniform, type);
    EXPECT_LE(x.abs().maxCoeff(), 1);
    EXPECT_GT(x.maxCoeff(), 0.95);
    EXPECT_LT(x.minCoeff(), -0.95);
    EXPECT_NEAR(x.mean(), 0, 0.06) << "1200 of deviation 0.58: 3.5 standard errors";
  }
}

TEST(Inputs, ANanMayHaveItsSignBitSet) {
  for (DType type : all_types) {
    const Array plus = x_of(Values::one_nan, type), minus = x_of(Values::minus_nan, type);
    ASSERT_TRUE(std::isnan(plus(3, 66)) && std::isnan(minus(3, 66)));
    EXPECT_FALSE(std::signbit(plus(3, 66)));
    EXPECT_TRUE(std::signbit(minus(3, 66)));
    EXPECT_EQ(minus.isNaN().count(), 1);
  }
}

// Where the scale's reciprocal is no normal number, and what is quantised is finite all the same.
TEST(Inputs, HugeRowsAreBeyond1e30AndFinite) {
  for (DType type : {DType::float32, DType::bfloat16}) {
    const Array x = x_of(Values::huge, type);
    const Eigen::ArrayXd absmax = x.abs().rowwise().maxCoeff();
    EXPECT_TRUE((absmax > 1e30).all());
    EXPECT_LT(absmax(0), 1e32);
    EXPECT_GT(absmax(2), 2e37);
    EXPECT_LT(absmax.maxCoeff(), 3.4e38);
    Problem p;
    p.x = type, p.weight = type, p.values = Values::huge;
    EXPECT_GT(input_tensor(p, Tensor::weight, type, 1, 64).values().minCoeff(), 1e30) << "y of a norm";
    EXPECT_LT(input_tensor(p, Tensor::x, type, 4, 64).values().abs().maxCoeff(), 10);
    EXPECT_LT(x_of(Values::huge, type, Operation::weight_quant).abs().sum(), 3.4e38);
  }
  EXPECT_TRUE(x_of(Values::huge, DType::float16).isFinite().all());
}

TEST(Inputs, SubnormalsAreSubnormalAndNotAllZero) {
  for (DType type : all_types) {
    const Array x = x_of(Values::subnormals, type);
    EXPECT_LT(x.abs().maxCoeff(), type == DType::float16 ? 0x1p-14 : 0x1p-126);
    EXPECT_GT((x != 0).count(), x.size() / 2);
  }
}

TEST(Inputs, AbsmaxLiesOnBothSidesOfTheFloor) {
  for (DType type : all_types) {
    const Array x = x_of(Values::at_floor, type);
    const Eigen::ArrayXd absmax = x.abs().rowwise().maxCoeff();
    EXPECT_LT(absmax(0), 1e-5);
    EXPECT_NEAR(absmax(1), 1e-5, 5e-8);
    EXPECT_GT(absmax(2), 1e-5);
    EXPECT_LT(absmax(2), 1.02e-5);
  }
}

TEST(Inputs, NoRowsHaveNoValuesOfAnyKind) {
  std::string why;
  for (const char* values : {"normal", "outlier_columns", "one_nan", "huge_weight", "last_row", "last_nan", "minus_inf",
                             "ties", "at_floor", "one_hot", "minus_nan", "huge"}) {
    const auto p = parse_problem(std::string("op=weight_quant shape=0x200 x=float16 values=") + values, why);
    ASSERT_TRUE(p.has_value()) << why;
    EXPECT_EQ(input_tensor(*p, Tensor::x, p->x, 0, 200).bytes.size(), 0U) << values;
  }
}

TEST(Inputs, OneRowOrOneElementDiffers) {
  const Array last_row = x_of(Values::last_row, DType::float32);
  EXPECT_TRUE((last_row.topRows(5) == 0).all() && (last_row.row(5) != 0).any());
  const Array last_nan = x_of(Values::last_nan, DType::bfloat16);
  EXPECT_TRUE(std::isnan(last_nan(5, 199)));
  EXPECT_EQ(last_nan.isNaN().count(), 1);
  const Array minus_inf = x_of(Values::minus_inf, DType::float16);
  EXPECT_EQ(minus_inf.minCoeff(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(minus_inf.row(0).isInf().count(), 1);
}

TEST(Inputs, MeanAndDeviationAreAsNamed) {
  const Array x = x_of(Values::tiny_variance, DType::float32);
  EXPECT_NEAR(x.mean(), 100, 0.01);
  EXPECT_NEAR(std::sqrt((x - x.mean()).square().mean()), 0.01, 0.002);
}

// -0 + nothing is -0: a kernel that adds a zero residual where there is none loses the sign.
TEST(Inputs, ResidualOutKeepsTheSignOfZero) {
  for (DType type : all_types) {
    Problem p;
    p.rows = 3, p.columns = 72;
    p.x = type;
    p.out = p.residual_out = type;
    p.values = Values::negative_zeros;
    tests::expect_all_variants_pass(p);
  }
}

// A product of codes that is 0 is +0, whatever the signs of its factors.
TEST(Inputs, AnIntegerSumOfZeroIsPositive) {
  std::string why;
  const auto p = parse_problem(
      "op=bit_linear_forward shape=1x1 x=float16 weight=float16 out=float32 codes=1 norm=layer k_out=8 "
      "seed=7373514568681542804",
      why);
  ASSERT_TRUE(p.has_value()) << why;
  tests::expect_all_variants_pass(*p);
}

}  // namespace
}  // namespace normquant::validate
