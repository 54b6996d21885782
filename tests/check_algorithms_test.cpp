// Honest algorithms other than our own pass `normquant check` far from zero, where the bounds of two passes stop them; the same
// algorithms with a mistake do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "validate/check/check.hpp"
#include "validate/inputs.hpp"
#include "validate/oracle/evaluation.hpp"

namespace normquant::check {
namespace {

using oracle::FloatVector;
using oracle::Moments;
using validate::Algorithm;
using validate::Array;
using validate::HostTensor;
using validate::Outcome;

struct Far {
  std::int64_t rows = 0, columns = 0;
  double mean = 0, deviation = 0;
};
/// From where Welford's update leaves the bounds of two passes, and further; mean 1449 is a report's.
constexpr Far far_from_zero[] = {{40, 8, 60, 0.6}, {40, 8, 30, 1},    {40, 16, 1449, 1},  {9, 96, 200, 1},
                                 {9, 256, 300, 1}, {5, 1000, 100, 1}, {3, 4096, 1000, 2}, {40, 8, 0, 1}};

Array rows_of(const Far& far) {
  validate::Problem p;
  p.seed = 3;
  const Array normal = validate::input_tensor(p, validate::Tensor::x, DType::float32, far.rows, far.columns).values();
  return (far.mean + far.deviation * normal).cast<float>().cast<double>();
}

tensors::Tensor tensor_of(const Array& values, std::vector<std::int64_t> shape) {
  return {tensors::Element::float32, std::move(shape), HostTensor::of(DType::float32, values).bytes};
}

validate::Verdict verdict_of(Op op, Algorithm algorithm, const Tensors& tensors) {
  Switches switches;
  switches.op = op;
  switches.problem.op = operation_of(op);
  switches.problem.norm = NormKind::layer;
  switches.problem.eps = 1e-5F;
  switches.algorithm = algorithm;
  std::string why;
  const auto given = arrange(switches, tensors, why);
  EXPECT_TRUE(given.has_value()) << why;
  return given ? check(*given) : validate::Verdict{};
}

std::string named(const Far& far, const oracle::Style& style) {
  return std::to_string(far.columns) + " columns about " + std::to_string(far.mean) + ", " + text_of(style);
}

/// Layer norm's mean, and rstd times a factor that is 1 where nothing is wrong, in that style.
Tensors evaluated(const Far& far, const oracle::Style& style, double rstd_factor = 1) {
  const Array x = rows_of(far);
  const reference::NormQuantForward forward{
      reference::NormKind::layer, reference::Rounding::half_away, static_cast<double>(1e-5F), {}, {}};
  const auto e = evaluate_forward(x.cast<float>(), forward, style);
  const Array rstd = e.rstd.cast<double>() * rstd_factor;
  return {{"x", tensor_of(x, {far.rows, far.columns})},
          {"mean", tensor_of(e.mean.cast<double>().transpose(), {far.rows})},
          {"rstd", tensor_of(rstd.transpose(), {far.rows})}};
}

TEST(CheckAlgorithms, WelfordsUpdatesPassInTheirBounds) {
  for (const Far& far : far_from_zero) {
    for (const oracle::Style& style : oracle::welford_styles_for(far.columns)) {
      const Tensors tensors = evaluated(far, style);
      for (Algorithm algorithm : {Algorithm::welford, Algorithm::any}) {
        const auto verdict = verdict_of(Op::norm, algorithm, tensors);
        EXPECT_EQ(verdict.outcome, Outcome::pass) << verdict.reason << " " << named(far, style);
      }
    }
  }
}

TEST(CheckAlgorithms, TwoPassesAreHeldToTheirOwnBounds) {
  const oracle::Style chain{oracle::Order::sequential, false, oracle::Division::exact, oracle::Root::exact,
                            Moments::welford_chain};
  EXPECT_EQ(verdict_of(Op::norm, Algorithm::two_pass, evaluated({40, 16, 1449, 1}, chain)).outcome, Outcome::wrong);
  for (const Far& far : far_from_zero) {
    const auto verdict = verdict_of(Op::norm, Algorithm::two_pass, evaluated(far, {}));
    EXPECT_EQ(verdict.outcome, Outcome::pass) << verdict.reason;
  }
}

TEST(CheckAlgorithms, TheUnbiasedVarianceIsStillFound) {
  for (const Far& far : {Far{9, 96, 0, 1}, Far{9, 256, 30, 1}, Far{5, 1000, 1, 1}, Far{3, 4096, 0.1, 1}}) {
    const auto n = static_cast<double>(far.columns);
    const auto verdict = verdict_of(Op::norm, Algorithm::any, evaluated(far, {}, std::sqrt((n - 1) / n)));
    EXPECT_EQ(verdict.outcome, Outcome::wrong) << far.columns;
  }
}

/// The backward's tensors in that style, as PyTorch's CPU kernel where it starts from h.
Tensors evaluated_backward(const Far& far, const oracle::Style& style) {
  const Array h = rows_of(far);
  const Array dy = validate::input_tensor({}, validate::Tensor::dy, DType::float32, far.rows, far.columns).values();
  const FloatVector mean = h.rowwise().mean().cast<float>();
  const FloatVector rstd = (1 / (h.colwise() - mean.cast<double>()).square().rowwise().mean().sqrt()).cast<float>();
  const auto e =
      evaluate_backward(dy.cast<float>(), h.cast<float>(), mean, rstd, {reference::NormKind::layer, {}}, style);
  return {{"h", tensor_of(h, {far.rows, far.columns})},
          {"dy", tensor_of(dy, {far.rows, far.columns})},
          {"mean", tensor_of(mean.cast<double>().transpose(), {far.rows})},
          {"rstd", tensor_of(rstd.cast<double>().transpose(), {far.rows})},
          {"dx", tensor_of(e.dx.cast<double>(), {far.rows, far.columns})},
          {"dweight", tensor_of(e.dweight.cast<double>().transpose(), {far.columns})},
          {"dbias", tensor_of(e.dbias.cast<double>().transpose(), {far.columns})}};
}

TEST(CheckAlgorithms, TheBackwardFromHPasses) {
  for (const Far& far :
       {Far{4, 8, 10, 1}, Far{4, 256, 10, 1}, Far{40, 96, 100, 1}, Far{7, 1000, 30, 0.5}, Far{4, 96, 0, 1}}) {
    for (oracle::Style style : oracle::styles_for(std::max(far.rows, far.columns))) {
      style.moments = Moments::welford_lanes;
      const auto verdict = verdict_of(Op::backward, Algorithm::any, evaluated_backward(far, style));
      EXPECT_EQ(verdict.outcome, Outcome::pass) << verdict.reason << " " << named(far, style);
    }
  }
}

TEST(CheckAlgorithms, TwoPassesStopTheBackwardFromHAndAnyStopsAWrongOne) {
  oracle::Style style;
  style.moments = Moments::welford_lanes;
  Tensors tensors = evaluated_backward({4, 256, 10, 1}, style);
  EXPECT_EQ(verdict_of(Op::backward, Algorithm::two_pass, tensors).outcome, Outcome::wrong);
  EXPECT_EQ(verdict_of(Op::backward, Algorithm::any, tensors).outcome, Outcome::pass);
  const Array dweight = HostTensor{DType::float32, 1, 256, tensors["dweight"].bytes}.values();
  tensors["dweight"] = tensor_of(1.01 * dweight, {256});
  EXPECT_EQ(verdict_of(Op::backward, Algorithm::any, tensors).outcome, Outcome::wrong);
}

TEST(CheckAlgorithms, AnyNumberOfThreadsFindsTheSame) {
  const Far far{700, 1000, 0, 1};
  Tensors tensors = evaluated(far, {});
  for (std::size_t i = 0; i < tensors["rstd"].bytes.size(); i += 404) tensors["rstd"].bytes[i + 3] ^= 1;
  Switches switches;
  switches.op = Op::norm;
  switches.problem.norm = NormKind::layer;
  switches.problem.eps = 1e-5F;
  std::string why;
  const auto given = arrange(switches, tensors, why);
  ASSERT_TRUE(given.has_value()) << why;
  std::vector<std::int64_t> seen;
  const auto one = check(*given);
  const auto four = check(*given, {4, false, [&](std::int64_t rows, std::int64_t) { seen.push_back(rows); }});
  EXPECT_EQ(one.elements_wrong, 7);
  EXPECT_EQ(four.elements_wrong, one.elements_wrong);
  EXPECT_EQ(four.elements_checked, one.elements_checked);
  EXPECT_EQ(four.reason, one.reason);
  EXPECT_EQ(four.worst_error_over_bound, one.worst_error_over_bound);
  ASSERT_EQ(four.mismatches.size(), one.mismatches.size());
  for (std::size_t i = 0; i < one.mismatches.size(); ++i) EXPECT_EQ(four.mismatches[i].row, one.mismatches[i].row);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back(), 700);
}

}  // namespace
}  // namespace normquant::check
