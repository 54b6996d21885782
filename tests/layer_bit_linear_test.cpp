// The layer through its public header, on the host device: the forms of docs/operations.md, section 4, against the
// reference's, exactness of the integer products, cached weights.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include <normquant/bit_linear.hpp>

#include "reference/bit_linear.hpp"
#include "tests/small_network.hpp"

namespace normquant::small_network {
namespace {

struct Form {
  std::string name;
  BitLinearLayer layer;
  std::function<reference::BitLinearLayer(const reference::BitLinearParameters&)> truth;
  bool stream;  ///< a residual comes in, residual_out goes on, dresidual comes back
};

std::vector<Form> forms() {
  using reference::BitLinearParameters;
  const reference::ResidualStream prenorm{true, reference::HSource::unrounded, reference::Storage::float32};
  BitLinearLayer stored = layer_norm_linear_quant();
  stored.h_source = HSource::stored;
  return {
      {"layer_norm_linear_quant", layer_norm_linear_quant(),
       [=](const BitLinearParameters& p) {
         return reference::layer_norm_linear_quant(p, reference::default_eps::layer_norm_linear_quant, prenorm);
       },
       true},
      {"layer_norm_linear_quant, h stored", stored,
       [=](const BitLinearParameters& p) {
         auto stream = prenorm;
         stream.h_source = reference::HSource::stored;
         return reference::layer_norm_linear_quant(p, reference::default_eps::layer_norm_linear_quant, stream);
       },
       true},
      {"rms_norm_linear_quant", rms_norm_linear_quant(),
       [=](const BitLinearParameters& p) {
         return reference::rms_norm_linear_quant(p, reference::default_eps::rms_norm_linear_quant, prenorm);
       },
       true},
      {"bit_linear", bit_linear(),
       [](const BitLinearParameters& p) { return reference::bit_linear(p, reference::default_eps::bit_linear); },
       false},
      {"unfused_bit_linear_module", unfused_bit_linear_module(),
       [](const BitLinearParameters& p) {
         return reference::unfused_bit_linear_module(p, reference::default_eps::unfused_module);
       },
       false},
      {"unfused_bit_linear_module, bias dropped", unfused_bit_linear_module(default_eps::unfused_module, true),
       [](const BitLinearParameters& p) {
         return reference::unfused_bit_linear_module(p, reference::default_eps::unfused_module, true);
       },
       false},
      {"fused_bit_linear_module", fused_bit_linear_module(),
       [](const BitLinearParameters& p) {
         return reference::fused_bit_linear_module(p, reference::default_eps::fused_module);
       },
       false},
  };
}

TEST(LayerForms, EachGivesTheReferencesOutputAndGradients) {
  for (const Form& form : forms()) {
    for (const char* variant : {"fake_quantised", "integer", "packed"}) {
      SCOPED_TRACE(form.name + ", " + variant);
      Network n;
      const reference::BitLinearLayer layer = form.truth(n.parameters());
      const Array x = as_array(n.x, k_in), residual = as_array(n.residual, k_in);
      const auto truth = reference::bit_linear_forward(x, form.stream ? &residual : nullptr, layer);
      const BitLinearForward forward = n.forward(form.layer, form.stream);
      ASSERT_TRUE(n.run(forward, variant).ok()) << n.run(forward, variant).message;
      expect_close(n.out, truth.out, "out");
      if (form.stream) expect_close(n.residual_out, *truth.residual_out, "residual_out");

      const Array dresidual = as_array(n.dresidual, k_in);
      const auto gradients =
          reference::bit_linear_backward(as_array(n.dout, k_out), form.stream ? &dresidual : nullptr, truth, layer);
      const BitLinearBackward backward = n.backward(forward, form.stream);
      ASSERT_TRUE(n.run(backward, "fake_quantised").ok());
      expect_close(n.dx, gradients.dx, "dx");
      expect_close(n.dlinear_weight, gradients.dlinear_weight, "dlinear_weight");
      expect_close(n.dnorm_weight, *gradients.dnorm_weight, "dnorm_weight");
      expect_close(n.dnorm_bias, *gradients.dnorm_bias, "dnorm_bias");
      EXPECT_EQ(gradients.dlinear_bias.has_value(), backward.dlinear_bias.given());
      if (gradients.dlinear_bias) expect_close(n.dlinear_bias, *gradients.dlinear_bias, "dlinear_bias");
    }
  }
}

TEST(LayerForms, DefaultEpsAreTheReferences) {
  const auto same = [](const BitLinearLayer& form, double eps) { EXPECT_EQ(form.eps, static_cast<float>(eps)); };
  same(layer_norm_linear_quant(), reference::default_eps::layer_norm_linear_quant);
  same(rms_norm_linear_quant(), reference::default_eps::rms_norm_linear_quant);
  same(bit_linear(), reference::default_eps::bit_linear);
  same(unfused_bit_linear_module(), reference::default_eps::unfused_module);
  same(fused_bit_linear_module(), reference::default_eps::fused_module);
}

TEST(LayerForms, OnlyTheUnfusedModuleRoundsTiesToEven) {
  Network n;
  std::fill(n.norm_weight.begin(), n.norm_weight.end(), 0.0F);  // y is the bias: exact, and ties stay ties
  for (std::size_t j = 0; j < n.norm_bias.size(); ++j) n.norm_bias[j] = j == 0 ? 127.0F : 2.5F;
  std::vector<std::int8_t> codes(rows * k_in);
  std::vector<float> scales(rows);
  const auto second_code = [&](const BitLinearLayer& form) {
    BitLinearForward forward = n.forward(form, false);
    forward.y_q.codes = codes.data();
    forward.y_q.ld_codes = k_in;
    forward.y_q.dequant_scale = scales.data();
    EXPECT_TRUE(n.run(forward, "integer").ok());
    return static_cast<int>(codes[1]);
  };
  EXPECT_EQ(second_code(unfused_bit_linear_module()), 2);
  EXPECT_EQ(second_code(fused_bit_linear_module()), 3);
  EXPECT_EQ(second_code(bit_linear()), 3);
}

TEST(LayerProducts, IntegerAndPackedGiveTheSameBits) {
  Network n;
  const BitLinearForward forward = n.forward(bit_linear(), false);
  ASSERT_TRUE(n.run(forward, "integer").ok());
  const std::vector<float> integer = n.out;
  std::fill(n.out.begin(), n.out.end(), NAN);
  ASSERT_TRUE(n.run(forward, "packed").ok());
  EXPECT_EQ(std::memcmp(n.out.data(), integer.data(), integer.size() * sizeof(float)), 0);
}

/// ||out - truth|| / ||truth||, truth unrounded in float64, with operands in bfloat16.
double error_of(const char* variant) {
  Network n;
  BitLinearForward forward = n.forward(bit_linear(), false);
  forward.layer.operand = DType::bfloat16;
  forward.layer.weights.operand.type = DType::bfloat16;
  EXPECT_TRUE(n.run(forward, variant).ok()) << variant;
  const auto layer = reference::bit_linear(n.parameters(), reference::default_eps::bit_linear);
  const Array truth = reference::bit_linear_forward(as_array(n.x, k_in), nullptr, layer).out;
  return (as_array(n.out, k_out) - truth).matrix().norm() / truth.matrix().norm();
}

TEST(LayerProducts, CodesStayAThousandTimesCloserToFloat64ThanOperandsInBfloat16) {
  const double fake_quantised = error_of("fake_quantised"), integer = error_of("integer"), packed = error_of("packed");
  std::printf("relative errors: fake_quantised %.2g, integer %.2g, packed %.2g\n", fake_quantised, integer, packed);
  EXPECT_LE(integer, fake_quantised / 1000);
  EXPECT_EQ(packed, integer);
}

TEST(LayerWeights, AreQuantisedOnlyWhenTheWeightIsGiven) {
  for (const char* variant : {"fake_quantised", "integer", "packed"}) {
    Network n;
    BitLinearForward forward = n.forward(bit_linear(), false);
    ASSERT_TRUE(n.run(forward, variant).ok());
    const std::vector<float> before = n.out;
    for (float& w : n.linear_weight) w = -w;
    BitLinearForward cached = forward;
    cached.linear_weight = {};
    ASSERT_TRUE(n.run(cached, variant).ok());
    EXPECT_EQ(n.out, before) << variant << ": the cached codes are the old weight's";
    ASSERT_TRUE(n.run(forward, variant).ok());
    EXPECT_NE(n.out, before) << variant;
  }
}

TEST(LayerWeights, ComeFromWeightQuantAlone) {
  Network n;
  BitLinearForward forward = n.forward(bit_linear(), false);
  ASSERT_TRUE(n.run(forward, "packed").ok());
  const std::vector<float> expected = n.out;
  std::fill(n.packed.begin(), n.packed.end(), std::uint8_t{0xFF});
  const WeightQuant quantise = weight_quant_of(forward.layer, forward.linear_weight);
  const auto& variant = choose_variant(quantise, n.device->info());
  std::vector<unsigned char> scratch(1U << 16);
  ASSERT_TRUE(launch(variant, quantise, n.device->info(), {scratch.data(), scratch.size()}, nullptr).ok());
  forward.linear_weight = {};
  ASSERT_TRUE(n.run(forward, "packed").ok());
  EXPECT_EQ(n.out, expected);
}

TEST(LayerEdges, NaNStaysInItsRow) {
  for (const char* variant : {"fake_quantised", "integer", "packed"}) {
    Network n;
    n.x[3 * k_in + 5] = NAN;
    ASSERT_TRUE(n.run(n.forward(bit_linear(), false), variant).ok());
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < k_out; ++j) {
        EXPECT_EQ(std::isnan(n.out[static_cast<std::size_t>(i * k_out + j)]), i == 3)
            << variant << " " << i << " " << j;
      }
    }
  }
}

TEST(LayerEdges, NoRowsGiveZeroGradientsOfParameters) {
  Network n;
  BitLinearForward forward = n.forward(bit_linear(), false);
  ASSERT_TRUE(n.run(forward, "fake_quantised").ok());
  BitLinearBackward backward = n.backward(forward, false);
  backward.rows = 0;
  for (auto* sums : {&n.dlinear_weight, &n.dlinear_bias, &n.dnorm_weight, &n.dnorm_bias}) {
    std::fill(sums->begin(), sums->end(), NAN);
  }
  ASSERT_TRUE(n.run(backward, "fake_quantised").ok());
  for (const auto* sums : {&n.dlinear_weight, &n.dlinear_bias, &n.dnorm_weight, &n.dnorm_bias}) {
    for (float sum : *sums) EXPECT_EQ(sum, 0.0F);
  }
}

}  // namespace
}  // namespace normquant::small_network
