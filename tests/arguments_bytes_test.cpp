// The bytes of a problem: each tensor that is given counts once; what a variant reads again is asked of memory again.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant::bytes_of_arguments {
namespace {

constexpr std::int64_t rows = 3, columns = 40, k_out = 24;
constexpr std::int64_t row_values = 4 * rows;  // of one float a row

alignas(256) float memory[1];  // nothing is read or written: that a tensor is given is all that counts
std::int8_t codes[1];
std::uint8_t packed[1];

Matrix matrix(DType type) { return {memory, type, columns}; }
ConstMatrix const_matrix(DType type) { return {memory, type, columns}; }
Vector vector(DType type) { return {memory, type}; }
ConstVector const_vector(DType type) { return {memory, type}; }

constexpr DType f32 = DType::float32, f16 = DType::float16, bf16 = DType::bfloat16;

/// An optional tensor: how it is given, and its bytes.
template <class Args>
struct Tensor {
  std::string name;
  std::function<void(Args&)> give;
  std::int64_t bytes = 0;
};

/// `required` have `bytes`; each other tensor adds its own, alone and with all others.
template <class Args>
void expect_bytes(const Args& required, std::int64_t bytes, const std::vector<Tensor<Args>>& optional) {
  EXPECT_EQ(algorithmic_bytes(required), bytes);
  Args all = required;
  std::int64_t sum = bytes;
  for (const Tensor<Args>& tensor : optional) {
    Args with = required;
    tensor.give(with);
    EXPECT_EQ(algorithmic_bytes(with), bytes + tensor.bytes) << tensor.name;
    tensor.give(all);
    sum += tensor.bytes;
    EXPECT_EQ(algorithmic_bytes(all), sum) << "up to " << tensor.name;
  }
}

NormQuantForward forward() {
  NormQuantForward a;
  a.rows = rows, a.columns = columns, a.norm = NormKind::layer, a.x = const_matrix(f32);
  return a;
}

NormQuantBackward backward() {
  NormQuantBackward a;
  a.rows = rows, a.columns = columns, a.norm = NormKind::layer;
  a.h = const_matrix(f32), a.dy = const_matrix(f16), a.dx = matrix(bf16), a.rstd = memory;
  return a;
}

TEST(AlgorithmicBytes, OfTheForward) {
  using A = NormQuantForward;
  expect_bytes<A>(forward(), rows * columns * 4,
                  {{"residual", [](A& a) { a.residual = const_matrix(f16); }, rows * columns * 2},
                   {"residual_out", [](A& a) { a.residual_out = matrix(f32); }, rows * columns * 4},
                   {"out", [](A& a) { a.output.out = matrix(bf16); }, rows * columns * 2},
                   {"codes", [](A& a) { a.output.codes = codes; }, rows * columns},
                   {"dequant_scale", [](A& a) { a.output.dequant_scale = memory; }, row_values},
                   {"mean", [](A& a) { a.mean = memory; }, row_values},
                   {"rstd", [](A& a) { a.rstd = memory; }, row_values},
                   {"quant_scale", [](A& a) { a.quant_scale = memory; }, row_values},
                   {"weight", [](A& a) { a.weight = const_vector(f32); }, columns * 4},
                   {"bias", [](A& a) { a.bias = const_vector(f16); }, columns * 2}});
}

TEST(AlgorithmicBytes, OfTheBackward) {
  using A = NormQuantBackward;
  expect_bytes<A>(backward(), rows * columns * (4 + 2 + 2) + row_values,
                  {{"dresidual", [](A& a) { a.dresidual = const_matrix(f32); }, rows * columns * 4},
                   {"dx_residual", [](A& a) { a.dx_residual = matrix(f16); }, rows * columns * 2},
                   {"recomputed.out", [](A& a) { a.recomputed.out = matrix(f32); }, rows * columns * 4},
                   {"recomputed.codes", [](A& a) { a.recomputed.codes = codes; }, rows * columns},
                   {"dequant_scale", [](A& a) { a.recomputed.dequant_scale = memory; }, row_values},
                   {"mean", [](A& a) { a.mean = memory; }, row_values},
                   {"quant_scale", [](A& a) { a.quant_scale = memory; }, row_values},
                   {"weight", [](A& a) { a.weight = const_vector(f32); }, columns * 4},
                   {"bias", [](A& a) { a.bias = const_vector(f16); }, columns * 2},
                   {"dweight", [](A& a) { a.dweight = vector(f32); }, columns * 4},
                   {"dbias", [](A& a) { a.dbias = vector(bf16); }, columns * 2}});
}

TEST(AlgorithmicBytes, OfTheQuantisations) {
  using A = ActivationQuant;
  ActivationQuant activation;
  activation.rows = rows, activation.columns = columns, activation.x = const_matrix(f16);
  expect_bytes<A>(activation, rows * columns * 2,
                  {{"out", [](A& a) { a.output.out = matrix(f32); }, rows * columns * 4},
                   {"codes", [](A& a) { a.output.codes = codes; }, rows * columns},
                   {"dequant_scale", [](A& a) { a.output.dequant_scale = memory; }, row_values}});
  using W = WeightQuant;
  WeightQuant weight;
  weight.rows = rows, weight.columns = columns, weight.w = const_matrix(f32);
  expect_bytes<W>(weight, rows * columns * 4,
                  {{"out", [](W& a) { a.out = matrix(f16); }, rows * columns * 2},
                   {"codes", [](W& a) { a.codes = codes; }, rows * columns},
                   {"packed", [](W& a) { a.packed = packed; }, rows * columns / 4},
                   {"dequant_factor", [](W& a) { a.dequant_factor = memory; }, 4}});
}

TEST(AlgorithmicBytes, OfTheLayersForward) {
  using A = BitLinearForward;
  BitLinearForward required;
  required.rows = rows, required.layer.k_in = columns, required.layer.k_out = k_out;
  required.x = const_matrix(f16), required.out = matrix(f32);
  const std::int64_t matrices = rows * columns * 2 + rows * k_out * 4;
  expect_bytes<A>(required, matrices,
                  {{"residual", [](A& a) { a.residual = const_matrix(f32); }, rows * columns * 4},
                   {"residual_out", [](A& a) { a.residual_out = matrix(f16); }, rows * columns * 2},
                   {"mean", [](A& a) { a.mean = memory; }, row_values},
                   {"rstd", [](A& a) { a.rstd = memory; }, row_values},
                   {"norm_weight", [](A& a) { a.layer.norm_weight = const_vector(f32); }, columns * 4},
                   {"norm_bias", [](A& a) { a.layer.norm_bias = const_vector(f16); }, columns * 2},
                   {"linear_bias", [](A& a) { a.layer.linear_bias = const_vector(f32); }, k_out * 4},
                   {"linear_weight", [](A& a) { a.linear_weight = const_matrix(f32); }, k_out * columns * 4}});
  // Cached weights count as the smallest of their forms.
  required.layer.weights.operand = matrix(bf16);
  EXPECT_EQ(algorithmic_bytes(required), matrices + k_out * columns * 2);
  required.layer.weights.codes = codes;
  EXPECT_EQ(algorithmic_bytes(required), matrices + k_out * columns);
  required.layer.weights.packed = packed;
  EXPECT_EQ(algorithmic_bytes(required), matrices + k_out * columns / 4);
  required.linear_weight = const_matrix(f32);
  EXPECT_EQ(algorithmic_bytes(required), matrices + k_out * columns * 4) << "they are written anew";
}

TEST(AlgorithmicBytes, OfTheLayersBackward) {
  using A = BitLinearBackward;
  BitLinearBackward required;
  required.rows = rows, required.layer.k_in = columns, required.layer.k_out = k_out;
  required.layer.weights.operand = matrix(bf16);
  required.dout = const_matrix(bf16), required.h = const_matrix(f32), required.dx = matrix(f16), required.rstd = memory;
  expect_bytes<A>(required, rows * columns * (4 + 2) + rows * k_out * 2 + row_values + k_out * columns * 2,
                  {{"dresidual", [](A& a) { a.dresidual = const_matrix(f32); }, rows * columns * 4},
                   {"dx_residual", [](A& a) { a.dx_residual = matrix(f16); }, rows * columns * 2},
                   {"mean", [](A& a) { a.mean = memory; }, row_values},
                   {"quant_scale", [](A& a) { a.quant_scale = memory; }, row_values},
                   {"norm_weight", [](A& a) { a.layer.norm_weight = const_vector(f32); }, columns * 4},
                   {"norm_bias", [](A& a) { a.layer.norm_bias = const_vector(f16); }, columns * 2},
                   {"dnorm_weight", [](A& a) { a.dnorm_weight = vector(f32); }, columns * 4},
                   {"dnorm_bias", [](A& a) { a.dnorm_bias = vector(f16); }, columns * 2},
                   {"dlinear_weight", [](A& a) { a.dlinear_weight = matrix(f32); }, k_out * columns * 4},
                   {"dlinear_bias", [](A& a) { a.dlinear_bias = vector(f16); }, k_out * 2}});
}

/// What the variant of that name asks of memory beyond what the operation takes at least.
template <class Args>
std::int64_t bytes_again(const Args& args, const DeviceInfo& device, const std::string& name) {
  for (const Variant<Args>& variant : variants<Args>(device.kind)) {
    if (variant.name == name) return variant.requested_bytes(variant, args, device) - algorithmic_bytes(args);
  }
  ADD_FAILURE() << "there is no variant " << name;
  return -1;
}

TEST(RequestedBytes, CountWhatIsReadAgain) {
  const auto device = open_host_device();
  NormQuantForward a = forward();
  a.output.out = matrix(f16);
  EXPECT_EQ(bytes_again(a, device->info(), "two_pass_t1024_v1"), 3 * rows * columns * 4);
  a.residual = const_matrix(f16);
  EXPECT_EQ(bytes_again(a, device->info(), "two_pass_t1024_v1"), 3 * rows * columns * (4 + 2));
  a.norm = NormKind::rms;
  EXPECT_EQ(bytes_again(a, device->info(), "two_pass_t1024_v1"), 2 * rows * columns * (4 + 2));
  EXPECT_EQ(bytes_again(a, device->info(), "split"), rows * columns * 4);

  ActivationQuant activation;
  activation.rows = rows, activation.columns = columns, activation.x = const_matrix(f16);
  activation.output.out = matrix(f16);
  EXPECT_EQ(bytes_again(activation, device->info(), "two_pass_t1024_v1"), rows * columns * 2);

  WeightQuant weight;
  weight.rows = rows, weight.columns = columns, weight.w = const_matrix(f32), weight.out = matrix(f32);
  EXPECT_EQ(bytes_again(weight, device->info(), "two_pass_t256_v1"), rows * columns * 4);

  BitLinearForward layer;
  layer.rows = rows, layer.layer.k_in = columns, layer.layer.k_out = k_out, layer.x = const_matrix(f16);
  layer.out = matrix(f16);
  EXPECT_EQ(bytes_again(layer, device->info(), "fake_quantised"), 0);
}

/// Partial sums over rows are written and read; the sums' own kernel of two_pass reads h and dy again.
void expect_workspace_twice(const NormQuantBackward& a, std::int64_t read_again_by_two_pass) {
  const auto device = open_host_device();
  const DeviceInfo& info = device->info();
  int workspaces = 0;
  for (const Variant<NormQuantBackward>& variant : variants<NormQuantBackward>(DeviceKind::host)) {
    if (!variant.why_not(variant, a, info).empty()) continue;
    const auto workspace = static_cast<std::int64_t>(variant.workspace_bytes(variant, a, info));
    workspaces += workspace > 0 ? 1 : 0;
    const std::int64_t read_again = variant.name.starts_with("two_pass") ? read_again_by_two_pass : 0;
    EXPECT_EQ(variant.requested_bytes(variant, a, info), algorithmic_bytes(a) + 2 * workspace + read_again)
        << variant.name;
  }
  EXPECT_EQ(workspaces > 0, a.dweight.given());
}

TEST(RequestedBytes, OfTheBackwardCountItsWorkspaceTwice) {
  const auto device = open_host_device();
  NormQuantBackward a = backward();
  EXPECT_EQ(bytes_again(a, device->info(), "two_pass_t1024_v1"), rows * columns * (4 + 2));
  expect_workspace_twice(a, rows * columns * (4 + 2));
  a.weight = const_vector(f32), a.dweight = vector(f32);
  expect_workspace_twice(a, 2 * rows * columns * (4 + 2));
}

/// In one type, whose forms more variants serve.
TEST(RequestedBytes, OfTheBackwardInOneTypeToo) {
  NormQuantBackward a;
  a.rows = rows, a.columns = columns, a.norm = NormKind::rms, a.rstd = memory;
  a.h = const_matrix(bf16), a.dy = const_matrix(bf16), a.dx = matrix(bf16), a.recomputed.out = matrix(bf16);
  a.weight = const_vector(bf16), a.dweight = vector(bf16);
  expect_workspace_twice(a, 2 * rows * columns * (2 + 2));
  a.recomputed.out = {};
  expect_workspace_twice(a, 2 * rows * columns * (2 + 2));
}

}  // namespace
}  // namespace normquant::bytes_of_arguments
