// The layer through its public header, on the host device: the forms of docs/operations.md, section 4, against the
// reference's, exactness of the integer products, cached weights, refused arguments.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include <normquant/bit_linear.hpp>

#include "reference/bit_linear.hpp"

namespace normquant {
namespace {

using reference::Array;

constexpr std::int64_t rows = 7, k_in = 48, k_out = 24;

/// Values that float32 holds: standard normal, rounded.
std::vector<float> drawn(std::int64_t count, unsigned seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = scale * normal(generator);
  return values;
}

Array as_array(const std::vector<float>& values, std::int64_t columns) {
  Array array(static_cast<std::int64_t>(values.size()) / columns, columns);
  for (Eigen::Index i = 0; i < array.size(); ++i) array.data()[i] = values[static_cast<std::size_t>(i)];
  return array;
}
reference::Vector as_vector(const std::vector<float>& values) {
  return as_array(values, static_cast<std::int64_t>(values.size())).row(0).transpose();
}

/// Tensors of one layer, all float32, in ordinary memory: the host device's own.
struct Network {
  std::vector<float> x = drawn(rows * k_in, 1), residual = drawn(rows * k_in, 2), norm_weight = drawn(k_in, 3),
                     norm_bias = drawn(k_in, 4), linear_weight = drawn(k_out * k_in, 5, 0.02F),
                     linear_bias = drawn(k_out, 6), dout = drawn(rows * k_out, 7), dresidual = drawn(rows * k_in, 8);
  std::vector<float> w_q = std::vector<float>(k_out * k_in), out = std::vector<float>(rows * k_out),
                     residual_out = std::vector<float>(rows * k_in), mean = std::vector<float>(rows), rstd = mean,
                     dx = residual_out, dlinear_weight = w_q, dlinear_bias = std::vector<float>(k_out),
                     dnorm_weight = std::vector<float>(k_in), dnorm_bias = dnorm_weight;
  std::vector<std::int8_t> w_codes = std::vector<std::int8_t>(k_out * k_in);
  std::vector<std::uint8_t> packed = std::vector<std::uint8_t>(k_out * k_in / 4);
  float factor = 0;
  std::unique_ptr<Device> device = open_host_device();
  std::string why;
  std::shared_ptr<MatrixProducts> products = open_matrix_products(device->info(), why);

  static ConstMatrix matrix(const std::vector<float>& values, std::int64_t columns) {
    return {values.data(), DType::float32, columns};
  }
  static Matrix matrix(std::vector<float>& values, std::int64_t columns) {
    return {values.data(), DType::float32, columns};
  }
  static ConstVector vector(const std::vector<float>& values) { return {values.data(), DType::float32}; }
  static Vector vector(std::vector<float>& values) { return {values.data(), DType::float32}; }

  /// The form with this network's sizes, parameters and memory for the weights.
  BitLinearLayer layer(BitLinearLayer form) {
    form.k_in = k_in;
    form.k_out = k_out;
    form.operand = DType::float32;
    form.norm_weight = vector(std::as_const(norm_weight));
    form.norm_bias = vector(std::as_const(norm_bias));
    form.linear_bias = vector(std::as_const(linear_bias));
    form.weights = {matrix(w_q, k_in), w_codes.data(), k_in, packed.data(), k_in / 4, &factor};
    return form;
  }
  BitLinearForward forward(const BitLinearLayer& form, bool with_residual) {
    BitLinearForward a;
    a.rows = rows;
    a.layer = layer(form);
    a.products = products.get();
    a.linear_weight = matrix(std::as_const(linear_weight), k_in);
    a.x = matrix(std::as_const(x), k_in);
    if (with_residual) a.residual = matrix(std::as_const(residual), k_in);
    a.residual_out = matrix(residual_out, k_in);
    a.out = matrix(out, k_out);
    a.mean = form.norm == NormKind::layer ? mean.data() : nullptr;
    a.rstd = rstd.data();
    return a;
  }
  BitLinearBackward backward(const BitLinearForward& f, bool with_dresidual) {
    BitLinearBackward a;
    a.rows = rows;
    a.layer = f.layer;
    a.products = products.get();
    a.dout = matrix(std::as_const(dout), k_out);
    a.h = matrix(std::as_const(residual_out), k_in);
    a.mean = f.mean;
    a.rstd = f.rstd;
    if (with_dresidual) a.dresidual = matrix(std::as_const(dresidual), k_in);
    a.dx = matrix(dx, k_in);
    a.dlinear_weight = matrix(dlinear_weight, k_in);
    if (a.layer.adds_bias()) a.dlinear_bias = vector(dlinear_bias);
    a.dnorm_weight = vector(dnorm_weight);
    a.dnorm_bias = vector(dnorm_bias);
    return a;
  }
  reference::BitLinearParameters parameters() const {
    return {as_vector(norm_weight), as_vector(norm_bias), as_array(linear_weight, k_in), as_vector(linear_bias)};
  }

  template <class Args>
  Status run(const Args& args, std::string_view name) {
    for (const Variant<Args>& variant : variants<Args>(DeviceKind::host)) {
      if (variant.name != name) continue;
      std::vector<unsigned char> scratch(1U << 20);
      return launch(variant, args, device->info(), {scratch.data(), scratch.size()}, nullptr);
    }
    return Status::invalid_argument("no variant " + std::string(name));
  }
};

/// float32 evaluations of sums of 50 terms of at most a few units each are off by less than this; a code that flips moves an
/// output by dequant_scale * dequant_factor, a hundred times as much.
constexpr double close = 1e-4;

void expect_close(const std::vector<float>& actual, const Array& expected, const char* what) {
  ASSERT_EQ(static_cast<Eigen::Index>(actual.size()), expected.size()) << what;
  double worst = 0;
  for (Eigen::Index i = 0; i < expected.size(); ++i) {
    const double error = std::abs(actual[static_cast<std::size_t>(i)] - expected.data()[i]);
    worst = error <= worst ? worst : error;  // keeps NaN
  }
  EXPECT_LE(worst, close) << what;
}
void expect_close(const std::vector<float>& actual, const reference::Vector& expected, const char* what) {
  expect_close(actual, Array(expected.transpose()), what);
}

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

template <class Args>
void expect_refused(Network& n, const Args& args, const std::string& named) {
  for (const Variant<Args>& variant : variants<Args>(DeviceKind::host)) {
    const Status status = n.run(args, variant.name);
    EXPECT_EQ(status.code, StatusCode::invalid_argument) << named;
    EXPECT_NE(status.message.find(named), std::string::npos) << status.message;
  }
  for (float value : n.out) EXPECT_EQ(value, 0.0F);
}

TEST(LayerArguments, ForwardRefusalsNameTheArgument) {
  using Change = std::function<void(BitLinearForward&)>;
  const std::vector<std::pair<std::string, Change>> wrongs = {
      {"rows", [](auto& a) { a.rows = -1; }},
      {"k_in", [](auto& a) { a.layer.k_in = 0; }},
      {"k_out", [](auto& a) { a.layer.k_out = 0; }},
      {"x is null", [](auto& a) { a.x = {}; }},
      {"out is null", [](auto& a) { a.out = {}; }},
      {"out's row stride", [](auto& a) { a.out.ld = k_out - 1; }},
      {"linear_weight's row stride", [](auto& a) { a.linear_weight.ld = 1; }},
      {"eps", [](auto& a) { a.layer.eps = 0.0F; }},
      {"operand", [](auto& a) { a.layer.operand = DType::bfloat16; }},
      {"weights.packed", [](auto& a) { a.layer.weights.ld_packed = 1; }},
      {"dequant_factor", [](auto& a) { a.layer.weights.dequant_factor = nullptr; }},
      {"all null", [](auto& a) { a.layer.weights = {}; }},
      {"mean", [](auto& a) { a.layer.norm = NormKind::rms, a.mean = a.rstd; }},
  };
  for (const auto& [named, change] : wrongs) {
    Network n;
    BitLinearForward args = n.forward(layer_norm_linear_quant(), true);
    change(args);
    expect_refused(n, args, named);
  }
}

TEST(LayerArguments, BackwardRefusalsNameTheArgument) {
  using Change = std::function<void(BitLinearBackward&)>;
  const std::vector<std::pair<std::string, Change>> wrongs = {
      {"products", [](auto& a) { a.products = nullptr; }},
      {"weights.operand", [](auto& a) { a.layer.weights.operand = {}; }},
      {"dout is null", [](auto& a) { a.dout = {}; }},
      {"dout's type", [](auto& a) { a.dout.type = DType::bfloat16; }},
      {"rstd", [](auto& a) { a.rstd = nullptr; }},
      {"mean", [](auto& a) { a.mean = nullptr; }},
      {"dx is null", [](auto& a) { a.dx = {}; }},
      {"dlinear_weight's row stride", [](auto& a) { a.dlinear_weight.ld = 3; }},
  };
  for (const auto& [named, change] : wrongs) {
    Network n;
    BitLinearBackward args = n.backward(n.forward(layer_norm_linear_quant(), true), true);
    change(args);
    expect_refused(n, args, named);
  }
}

TEST(LayerArguments, AWorkspaceThatIsTooSmallIsRefused) {
  Network n;
  const BitLinearForward forward = n.forward(bit_linear(), false);
  const auto& variant = choose_variant(forward, n.device->info());
  const std::size_t needed = variant.workspace_bytes(variant, forward, n.device->info());
  std::vector<unsigned char> scratch(needed);
  const Status status = launch(variant, forward, n.device->info(), {scratch.data(), needed - 1}, nullptr);
  EXPECT_EQ(status.code, StatusCode::invalid_argument);
  EXPECT_NE(status.message.find(std::to_string(needed)), std::string::npos) << status.message;
}

}  // namespace
}  // namespace normquant
