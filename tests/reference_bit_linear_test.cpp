// The reference's layer: a hand-computed example, gradients against finite differences of the straight-through
// surrogate, and the residual stream.
#include "reference/bit_linear.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

#include "tests/small_layer.hpp"

namespace normquant::reference {
namespace {

TEST(ReferenceBitLinear, MatchesALayerComputedByHand) {
  // x = 1 7, eps 11: rstd 1/6, y = 1/6 7/6, codes 18.14 -> 18, 127 over 127 * 6/7.
  // absmean 9/16: codes 1 -1 / 0 0. out = 9/16 * (18 - 127) * 7 / (6 * 127) + bias, and 0 + bias.
  Array x(1, 2), w(2, 2);
  x << 1, 7;
  w << 1, -1, 0.25, 0;
  Vector bias(2);
  bias << 10, 20;
  const BitLinearForwardResult result =
      bit_linear_forward(x, nullptr, bit_linear({std::nullopt, std::nullopt, w, bias}, 11.0));
  EXPECT_DOUBLE_EQ(result.out(0, 0), 10.0 - 9.0 / 16.0 * 109.0 * 7.0 / (6.0 * 127.0));
  EXPECT_DOUBLE_EQ(result.out(0, 1), 20.0);
  EXPECT_FALSE(result.residual_out.has_value());
}

TEST(ReferenceBitLinear, ComputesGradientsOfTheProductFromTheQuantisedOperands) {
  for (const Storage operand : {Storage::float64, Storage::bfloat16}) {
    BitLinearLayer layer = bit_linear(random_parameters(), 1e-6);
    layer.operand = operand;
    const BitLinearForwardResult saved = bit_linear_forward(x_values(), nullptr, layer);
    const BitLinearGradients gradients = bit_linear_backward(dout_values(), nullptr, saved, layer);
    EXPECT_LE(worst_error(gradients.dlinear_weight, loop_product(dout_values().transpose(), saved.y_q)), product_bound);
    EXPECT_LE(worst_error(*gradients.dlinear_bias, loop_product(dout_values().transpose(), Array::Ones(row_count, 1))),
              product_bound);

    const NormQuantBackwardResult normed =
        norm_quant_backward(loop_product(dout_values(), saved.w_q), x_values(), saved.mean, saved.rstd, nullptr,
                            {NormKind::rms, layer.parameters.norm_weight});
    EXPECT_LE(worst_error(gradients.dx, normed.dx), product_bound);
  }
}

TEST(ReferenceBitLinear, RoundsBothOperandsToTheirTypeButNotTheResult) {
  BitLinearLayer layer = bit_linear(random_parameters(), 1e-6);
  const BitLinearForwardResult exact = bit_linear_forward(x_values(), nullptr, layer);
  layer.operand = Storage::bfloat16;
  const BitLinearForwardResult rounded = bit_linear_forward(x_values(), nullptr, layer);
  EXPECT_TRUE((rounded.y_q == round_to_storage(exact.y_q, Storage::bfloat16)).all());
  EXPECT_TRUE((rounded.w_q == round_to_storage(exact.w_q, Storage::bfloat16)).all());
  EXPECT_FALSE((rounded.y_q == exact.y_q).all());
  const Array bias = layer.parameters.linear_bias->transpose().replicate(row_count, 1);
  EXPECT_LE(worst_error(rounded.out, loop_product(rounded.y_q, rounded.w_q.transpose()) + bias), product_bound);
}

// --- gradients: the straight-through surrogate ---

/// The layer with each quantised operand replaced by the value that went in plus a constant: what straight-through
/// differentiates. loss = sum(dout * out) + sum(dresidual * residual_out).
struct Surrogate {
  BitLinearLayer layer;
  Array x = x_values();
  Array y_constant{}, w_constant{};

  Array y() const {
    const BitLinearParameters& p = layer.parameters;
    return norm_quant_forward(x, {layer.norm, layer.rounding, layer.eps, p.norm_weight, p.norm_bias}).y;
  }
  void fix_constants() {
    const BitLinearForwardResult result = bit_linear_forward(x, nullptr, layer);
    y_constant = result.y_q - y();
    w_constant = result.w_q - layer.parameters.linear_weight;
  }
  double loss() const {
    Array out = loop_product(y() + y_constant, (layer.parameters.linear_weight + w_constant).transpose());
    if (layer.parameters.linear_bias) out.rowwise() += layer.parameters.linear_bias->transpose();
    return (dout_values() * out).sum() + (layer.prenorm ? (dresidual_values() * x).sum() : 0.0);
  }
};

/// d loss / d (what `field` returns) by central differences. They err by step^2 / 6 times a third derivative (about
/// 1000 at most here: 2e-8) and by the rounding of the loss over the step (100 * 2^-53 / 1e-5: 1e-9).
constexpr double difference_bound = 1e-7;

template <class Field>
auto finite_differences(const Surrogate& surrogate, Field field) {
  constexpr double step = 1e-5;
  Surrogate varied = surrogate;
  auto& values = field(varied);
  auto differences = values;
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    const double value = values.data()[i];
    values.data()[i] = value + step;
    const double above = varied.loss();
    values.data()[i] = value - step;
    const double below = varied.loss();
    values.data()[i] = value;
    differences.data()[i] = (above - below) / (2 * step);
  }
  return differences;
}

struct GradientCase {
  const char* name;
  NormKind norm;
  bool prenorm, has_norm_parameters;
  Storage operand;
};

class ReferenceBitLinearGradients : public testing::TestWithParam<GradientCase> {};

INSTANTIATE_TEST_SUITE_P(Cases, ReferenceBitLinearGradients,
                         testing::Values(GradientCase{"layer", NormKind::layer, false, true, Storage::float64},
                                         GradientCase{"layer_prenorm", NormKind::layer, true, true, Storage::float64},
                                         GradientCase{"layer_plain", NormKind::layer, false, false, Storage::float64},
                                         GradientCase{"rms", NormKind::rms, false, true, Storage::float64},
                                         GradientCase{"rms_prenorm_bfloat16", NormKind::rms, true, true,
                                                      Storage::bfloat16},
                                         GradientCase{"rms_plain", NormKind::rms, false, false, Storage::float64}),
                         [](const auto& test) { return test.param.name; });

TEST_P(ReferenceBitLinearGradients, AreTheDerivativesOfTheStraightThroughSurrogate) {
  const auto& [name, norm, prenorm, has_norm_parameters, operand] = GetParam();
  BitLinearParameters parameters = random_parameters();
  if (!has_norm_parameters) {
    parameters.norm_weight.reset();
    parameters.norm_bias.reset();
  }
  ResidualStream stream;
  stream.prenorm = prenorm;
  Surrogate surrogate{layer_norm_linear_quant(parameters, 1e-2, stream, norm)};
  surrogate.layer.operand = operand;
  surrogate.fix_constants();

  const BitLinearForwardResult saved = bit_linear_forward(surrogate.x, nullptr, surrogate.layer);
  const Array dresidual = dresidual_values();
  const BitLinearGradients gradients =
      bit_linear_backward(dout_values(), prenorm ? &dresidual : nullptr, saved, surrogate.layer);

  const auto check = [&](const char* what, const auto& gradient, auto field) {
    EXPECT_LE(worst_error(gradient, finite_differences(surrogate, field)), difference_bound) << what;
  };
  check("dx", gradients.dx, [](Surrogate& s) -> Array& { return s.x; });
  check("dlinear_weight", gradients.dlinear_weight,
        [](Surrogate& s) -> Array& { return s.layer.parameters.linear_weight; });
  check("dlinear_bias", gradients.dlinear_bias.value(),
        [](Surrogate& s) -> Vector& { return *s.layer.parameters.linear_bias; });
  if (has_norm_parameters) {
    check("dnorm_weight", gradients.dnorm_weight.value(),
          [](Surrogate& s) -> Vector& { return *s.layer.parameters.norm_weight; });
    check("dnorm_bias", gradients.dnorm_bias.value(),
          [](Surrogate& s) -> Vector& { return *s.layer.parameters.norm_bias; });
  }
}

TEST(ReferenceBitLinearGradients, AreGivenOnlyForWhatTheLayerHas) {
  const BitLinearLayer layer = bit_linear({std::nullopt, std::nullopt, random_array(outputs, inputs, 3), {}}, 1e-6);
  const BitLinearForwardResult saved = bit_linear_forward(x_values(), nullptr, layer);
  const BitLinearGradients gradients = bit_linear_backward(dout_values(), nullptr, saved, layer);
  EXPECT_FALSE(gradients.dresidual || gradients.dnorm_weight || gradients.dnorm_bias || gradients.dlinear_bias);
}

// --- the residual stream ---

TEST(ReferenceBitLinearResidual, EntersAsXPlusResidualAndItsGradientIsDx) {
  const Array residual = random_array(row_count, inputs, 8);
  const BitLinearLayer layer = rms_norm_linear_quant(random_parameters(), 1e-5, {});
  const BitLinearForwardResult with_residual = bit_linear_forward(x_values(), &residual, layer);
  const BitLinearForwardResult of_sum = bit_linear_forward(residual_add(x_values(), &residual), nullptr, layer);
  expect_same_numbers(with_residual, of_sum);

  const BitLinearGradients gradients = bit_linear_backward(dout_values(), nullptr, with_residual, layer);
  const BitLinearGradients gradients_of_sum = bit_linear_backward(dout_values(), nullptr, of_sum, layer);
  EXPECT_TRUE((gradients.dx == gradients_of_sum.dx).all());
  ASSERT_TRUE(gradients.dresidual.has_value());
  EXPECT_TRUE((*gradients.dresidual == gradients.dx).all());
  EXPECT_FALSE(gradients_of_sum.dresidual.has_value());
}

TEST(ReferenceBitLinearResidual, ComesOutAsStoredWithPrenormOnly) {
  const Array residual = round_to_storage(random_array(row_count, inputs, 8), Storage::bfloat16);
  ResidualStream stream{true, HSource::unrounded, Storage::bfloat16};
  const auto residual_out = [&] {
    return bit_linear_forward(x_values(), &residual, rms_norm_linear_quant(random_parameters(), 1e-5, stream))
        .residual_out;
  };
  const Array h = residual_add(x_values(), &residual);
  EXPECT_TRUE((residual_out().value() == round_to_storage(h, Storage::bfloat16)).all());
  EXPECT_FALSE((residual_out().value() == h).all());
  stream.storage = Storage::float32;
  EXPECT_TRUE((residual_out().value() == h).all());
  stream.prenorm = false;
  EXPECT_FALSE(residual_out().has_value());
}

TEST(ReferenceBitLinearResidual, AddsDresidualToDx) {
  ResidualStream stream;
  stream.prenorm = true;
  const BitLinearLayer layer = rms_norm_linear_quant(random_parameters(), 1e-5, stream);
  const BitLinearForwardResult saved = bit_linear_forward(x_values(), nullptr, layer);
  const Array dresidual = dresidual_values();
  const BitLinearGradients without = bit_linear_backward(dout_values(), nullptr, saved, layer);
  const BitLinearGradients with = bit_linear_backward(dout_values(), &dresidual, saved, layer);
  EXPECT_TRUE((with.dx == without.dx + dresidual).all());
  EXPECT_TRUE((with.dlinear_weight == without.dlinear_weight).all());
}

TEST(ReferenceBitLinearResidual, RefusesDresidualWithoutPrenorm) {
  const BitLinearLayer layer = rms_norm_linear_quant(random_parameters(), 1e-5, {});
  const BitLinearForwardResult saved = bit_linear_forward(x_values(), nullptr, layer);
  const Array dresidual = dresidual_values();
  EXPECT_THROW(bit_linear_backward(dout_values(), &dresidual, saved, layer), std::invalid_argument);
}

TEST(ReferenceBitLinearResidual, IsStoredInItsOwnTypeElseInFloat32WhenAskedElseInXs) {
  EXPECT_EQ(residual_stream_storage(Storage::float16, Storage::bfloat16, false), Storage::bfloat16);
  EXPECT_EQ(residual_stream_storage(Storage::float16, Storage::bfloat16, true), Storage::bfloat16);
  EXPECT_EQ(residual_stream_storage(Storage::float16, std::nullopt, true), Storage::float32);
  EXPECT_EQ(residual_stream_storage(Storage::float16, std::nullopt, false), Storage::float16);
}

TEST(ReferenceBitLinearResidual, MakesTheBackwardStartFromTheStoredH) {
  constexpr Eigen::Index columns = 512;  // enough elements for some codes to differ
  const Array x = round_to_storage(random_array(row_count, columns, 9), Storage::bfloat16);
  const Array residual = round_to_storage(random_array(row_count, columns, 10), Storage::bfloat16);
  for (const HSource source : {HSource::stored, HSource::unrounded}) {
    const BitLinearLayer layer =
        rms_norm_linear_quant(random_parameters(columns), 1e-5, {false, source, Storage::bfloat16});
    const BitLinearForwardResult saved = bit_linear_forward(x, &residual, layer);
    const BitLinearParameters& p = layer.parameters;
    const Array recomputed =
        recompute_output(round_to_storage(residual_add(x, &residual), Storage::bfloat16), Vector(), saved.rstd,
                         {layer.norm, layer.rounding, layer.eps, p.norm_weight, p.norm_bias})
            .out;
    EXPECT_EQ((recomputed == saved.y_q).all(), source == HSource::stored);
    const BitLinearGradients gradients = bit_linear_backward(dout_values(), nullptr, saved, layer);
    EXPECT_LE(worst_error(gradients.dlinear_weight, loop_product(dout_values().transpose(), recomputed)),
              product_bound);
  }
}

}  // namespace
}  // namespace normquant::reference
