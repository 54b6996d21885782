// The reference's layer: what the forms of the Triton system share and do not share, and values that are not finite.
#include "reference/bit_linear.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "reference/activation_quant.hpp"
#include "tests/small_layer.hpp"

namespace normquant::reference {
namespace {

TEST(ReferenceBitLinearForms, DefaultEpsAreThoseOfTheTritonSystem) {
  EXPECT_EQ(default_eps::layer_norm_linear_quant, 1e-6);
  EXPECT_EQ(default_eps::rms_norm_linear_quant, 1e-5);
  EXPECT_EQ(default_eps::bit_linear, default_eps::layer_norm_linear_quant);  // its own 1e-8 is ignored
  EXPECT_EQ(default_eps::unfused_module, 1e-8);
  EXPECT_EQ(default_eps::fused_module, default_eps::layer_norm_linear_quant);  // its norm's 1e-8 is ignored
}

TEST(ReferenceBitLinearForms, RmsFormsAgreeForTheSameEps) {
  const BitLinearParameters parameters = random_parameters();
  constexpr double eps = 1e-3;
  const auto forward = [](const BitLinearLayer& layer) { return bit_linear_forward(x_values(), nullptr, layer); };
  const BitLinearForwardResult general = forward(layer_norm_linear_quant(parameters, eps, {}, NormKind::rms));
  expect_same_numbers(forward(rms_norm_linear_quant(parameters, eps, {})), general);
  expect_same_numbers(forward(bit_linear(parameters, eps)), general);
  expect_same_numbers(forward(fused_bit_linear_module(parameters, eps)), general);
}

TEST(ReferenceBitLinearForms, TheGeneralFormSubtractsTheMeanUnlessRmsIsAsked) {
  const BitLinearParameters parameters = random_parameters();
  const Array shifted = x_values() + 5.0;
  const auto rstd = [&](const BitLinearLayer& layer) { return bit_linear_forward(shifted, nullptr, layer).rstd(0); };
  const double variance = (shifted.row(0) - shifted.row(0).mean()).square().mean();
  EXPECT_DOUBLE_EQ(rstd(layer_norm_linear_quant(parameters, 1e-3, {})), 1 / std::sqrt(variance + 1e-3));
  EXPECT_DOUBLE_EQ(rstd(rms_norm_linear_quant(parameters, 1e-3, {})),
                   1 / std::sqrt(shifted.row(0).square().mean() + 1e-3));
}

TEST(ReferenceBitLinearForms, TheEpsThatIsPassedActs) {
  const Array x = 1e-3 * x_values();  // mean square near 1e-6
  const auto rstd = [&](double eps) {
    return bit_linear_forward(x, nullptr, bit_linear(random_parameters(), eps)).rstd(0);
  };
  EXPECT_GT(rstd(1e-8), 1.2 * rstd(1e-6));
}

TEST(ReferenceBitLinearForms, TheUnfusedModuleIsNormThenTheTwoQuantisationsThenTheProduct) {
  // The definition once more, by plain loops.
  const BitLinearParameters parameters = random_parameters();
  const Array x = x_values();
  Array x_quant(row_count, inputs), w_quant(outputs, inputs);
  for (Eigen::Index row = 0; row < row_count; ++row) {
    double squares = 0.0, absmax = 0.0;
    for (Eigen::Index i = 0; i < inputs; ++i) squares += x(row, i) * x(row, i);
    const double rstd = 1.0 / std::sqrt(squares / inputs + default_eps::unfused_module);
    const auto x_norm = [&](Eigen::Index i) {
      return x(row, i) * rstd * (*parameters.norm_weight)(i) + (*parameters.norm_bias)(i);
    };
    for (Eigen::Index i = 0; i < inputs; ++i) absmax = std::max(absmax, std::abs(x_norm(i)));
    for (Eigen::Index i = 0; i < inputs; ++i)
      x_quant(row, i) = std::nearbyint(x_norm(i) * 127.0 / absmax) * absmax / 127.0;
  }
  const Array& w = parameters.linear_weight;
  double magnitudes = 0.0;
  for (Eigen::Index i = 0; i < w.size(); ++i) magnitudes += std::abs(w.data()[i]);
  const double absmean = magnitudes / static_cast<double>(w.size());
  for (Eigen::Index i = 0; i < w.size(); ++i)
    w_quant.data()[i] = std::clamp(std::nearbyint(w.data()[i] / absmean), -1.0, 1.0) * absmean;
  const Array bias = parameters.linear_bias->transpose().replicate(row_count, 1);

  const BitLinearLayer module = unfused_bit_linear_module(parameters, default_eps::unfused_module);
  const BitLinearForwardResult result = bit_linear_forward(x, nullptr, module);
  EXPECT_LE(worst_error(result.out, loop_product(x_quant, w_quant.transpose()) + bias), product_bound);
  const BitLinearGradients gradients = bit_linear_backward(dout_values(), nullptr, result, module);
  EXPECT_LE(worst_error(gradients.dlinear_weight, loop_product(dout_values().transpose(), x_quant)), product_bound);
}

TEST(ReferenceBitLinearForms, TheUnfusedModuleQuantisesAsActivationQuantDoes) {
  const BitLinearParameters parameters = random_parameters();
  const BitLinearForwardResult result =
      bit_linear_forward(x_values(), nullptr, unfused_bit_linear_module(parameters, 1e-8));
  const Array x_norm =
      norm_quant_forward(x_values(), {NormKind::rms, {}, 1e-8, parameters.norm_weight, parameters.norm_bias}).y;
  EXPECT_TRUE((result.y_q == activation_quant(x_norm).out).all());
}

TEST(ReferenceBitLinearForms, FusedAndUnfusedDifferInATieOnly) {
  // x = 1 and eps 3 make xhat 1/2; the weights make y = 127 0.5 and the scale 1.
  Vector norm_weight(2);
  norm_weight << 254, 1;
  const BitLinearParameters tie{norm_weight, std::nullopt, Array::Ones(1, 2), std::nullopt};
  const Array ones = Array::Ones(1, 2);
  EXPECT_EQ(bit_linear_forward(ones, nullptr, fused_bit_linear_module(tie, 3.0)).y_q(0, 1), 1.0);
  EXPECT_EQ(bit_linear_forward(ones, nullptr, unfused_bit_linear_module(tie, 3.0)).y_q(0, 1), 0.0);

  const BitLinearParameters parameters = random_parameters();
  expect_same_numbers(bit_linear_forward(x_values(), nullptr, fused_bit_linear_module(parameters, 1e-8)),
                      bit_linear_forward(x_values(), nullptr, unfused_bit_linear_module(parameters, 1e-8)));
}

TEST(ReferenceBitLinearForms, TheUnfusedModuleAddsItsBiasUnlessTheDroppedBiasIsReproduced) {
  const BitLinearParameters parameters = random_parameters();
  BitLinearParameters without_bias = parameters;
  without_bias.linear_bias = std::nullopt;
  const auto out = [](const BitLinearLayer& layer) { return bit_linear_forward(x_values(), nullptr, layer).out; };
  const Array plain = out(unfused_bit_linear_module(without_bias, 1e-8));
  const Array bias = parameters.linear_bias->transpose().replicate(row_count, 1);
  EXPECT_TRUE((out(unfused_bit_linear_module(parameters, 1e-8)) == plain + bias).all());
  EXPECT_TRUE((out(unfused_bit_linear_module(parameters, 1e-8, true)) == plain).all());
}

TEST(ReferenceBitLinearForms, ADroppedBiasHasNoGradient) {
  const BitLinearLayer dropping = unfused_bit_linear_module(random_parameters(), 1e-8, true);
  const BitLinearForwardResult saved = bit_linear_forward(x_values(), nullptr, dropping);
  EXPECT_FALSE(bit_linear_backward(dout_values(), nullptr, saved, dropping).dlinear_bias.has_value());
}

// --- edge cases ---

TEST(ReferenceBitLinearEdges, ANonFiniteRowTurnsItsOwnOutputIntoNaNOnly) {
  Array x = x_values();
  const BitLinearLayer layer = bit_linear(random_parameters(), 1e-6);
  const BitLinearForwardResult clean = bit_linear_forward(x, nullptr, layer);
  x(1, 2) = std::numeric_limits<double>::infinity();
  const BitLinearForwardResult result = bit_linear_forward(x, nullptr, layer);
  EXPECT_TRUE(result.out.row(1).isNaN().all());
  EXPECT_TRUE((result.out.row(0) == clean.out.row(0)).all());
  EXPECT_TRUE((result.out.row(2) == clean.out.row(2)).all());
}

TEST(ReferenceBitLinearEdges, ANonFiniteWeightTurnsTheWholeOutputIntoNaN) {
  BitLinearParameters parameters = random_parameters();
  parameters.linear_weight(2, 3) = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(bit_linear_forward(x_values(), nullptr, bit_linear(parameters, 1e-6)).out.isNaN().all());
}

TEST(ReferenceBitLinearEdges, NoRowsGiveNoOutputAndZeroParameterGradients) {
  const BitLinearLayer layer = bit_linear(random_parameters(), 1e-6);
  const BitLinearForwardResult saved = bit_linear_forward(Array(0, inputs), nullptr, layer);
  EXPECT_EQ(saved.out.rows(), 0);
  EXPECT_EQ(saved.out.cols(), outputs);
  const BitLinearGradients gradients = bit_linear_backward(Array(0, outputs), nullptr, saved, layer);
  ASSERT_EQ(gradients.dlinear_weight.rows(), outputs);
  EXPECT_TRUE((gradients.dlinear_weight == 0.0).all());
  EXPECT_TRUE((gradients.dlinear_bias.value() == 0.0).all());
  EXPECT_TRUE((gradients.dnorm_weight.value() == 0.0).all());
  EXPECT_EQ(gradients.dx.rows(), 0);
}

}  // namespace
}  // namespace normquant::reference
