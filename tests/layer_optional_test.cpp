// Every tensor of the layer that may be null works: each left out alone, each given alone, on every variant.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <normquant/bit_linear.hpp>

#include "optional_tensors.hpp"

namespace normquant::optional_tensors {
namespace {

TEST(OptionalTensors, OfTheLayersForward) {
  const Inputs in{3, 64};
  constexpr std::int64_t k_out = 24;
  const std::vector<float> linear_weight = drawn(k_out * in.columns, 7), linear_bias = drawn(k_out, 8);
  const std::int64_t size = in.rows * in.columns;
  const auto device = open_host_device();
  std::string why;
  const auto products = open_matrix_products(device->info(), why);
  std::vector<float> operand(k_out * in.columns), out(in.rows * k_out);
  std::vector<std::int8_t> codes(k_out * in.columns), packed(k_out * in.columns / 4);
  float factor = 0;
  const auto matrix = [&](float* data, std::int64_t ld) { return Matrix{data, DType::float32, ld}; };
  for (const NormKind norm : {NormKind::rms, NormKind::layer}) {
    BitLinearForward a;
    a.rows = in.rows, a.products = products.get(), a.x = in.matrix(in.x), a.out = matrix(out.data(), k_out);
    a.linear_weight = {linear_weight.data(), DType::float32, in.columns};
    BitLinearLayer& layer = a.layer;
    layer.k_in = in.columns, layer.k_out = k_out, layer.norm = norm, layer.eps = 1e-5F, layer.operand = DType::float32;
    layer.weights = {matrix(operand.data(), in.columns),
                     codes.data(),
                     in.columns,
                     reinterpret_cast<std::uint8_t*>(packed.data()),
                     in.columns / 4,
                     &factor};
    const Optionals<BitLinearForward> inputs = {
        {"residual", [&](auto& f, auto&) { f.residual = in.matrix(in.second); }},
        {"norm_weight", [&](auto& f, auto&) { f.layer.norm_weight = Inputs::vector(in.weight); }},
        {"norm_bias", [&](auto& f, auto&) { f.layer.norm_bias = Inputs::vector(in.bias); }},
        {"linear_bias", [&](auto& f, auto&) { f.layer.linear_bias = Inputs::vector(linear_bias); }}};
    Optionals<BitLinearForward> outputs = {
        {"out", [&](auto& f, auto& o) { f.out = matrix(o.values("out", in.rows * k_out, 1.0F), k_out); }},
        {"residual_out",
         [&](auto& f, auto& o) { f.residual_out = matrix(o.values("residual_out", size, 0), in.columns); }},
        {"rstd", [&](auto& f, auto& o) { f.rstd = o.values("rstd", in.rows, close); }},
        {"quant_scale", [&](auto& f, auto& o) { f.quant_scale = o.values("quant_scale", in.rows, close); }},
        {"y_q.out", [&](auto& f, auto& o) { f.y_q.out = matrix(o.values("y_q.out", size, step), in.columns); }},
        {"y_q.dequant_scale",
         [&](auto& f, auto& o) { f.y_q.dequant_scale = o.values("y_q.dequant_scale", in.rows, close); }},
        {"y_q.codes", [&](auto& f, auto& o) {
           f.y_q.codes = o.codes("y_q.codes", size), f.y_q.ld_codes = in.columns;
           f.y_q.dequant_scale = o.values("y_q.dequant_scale", in.rows, close);
         }}};
    if (norm == NormKind::layer) {
      outputs.push_back({"mean", [&](auto& f, auto& o) { f.mean = o.values("mean", in.rows, close); }});
    }
    EXPECT_GT(launches_that_work(a, inputs, outputs, "packed"), 50);
  }
}

TEST(OptionalTensors, OfTheLayersBackward) {
  const Inputs in{3, 64};
  constexpr std::int64_t k_out = 24;
  const std::vector<float> operand = drawn(k_out * in.columns, 7), dout = drawn(in.rows * k_out, 8);
  const std::int64_t size = in.rows * in.columns;
  const auto device = open_host_device();
  std::string why;
  const auto products = open_matrix_products(device->info(), why);
  std::vector<float> weights = operand, dx(static_cast<std::size_t>(size));
  const auto matrix = [&](float* data) { return Matrix{data, DType::float32, in.columns}; };
  const auto vector = [](float* data) { return Vector{data, DType::float32}; };
  BitLinearBackward a;
  a.rows = in.rows, a.products = products.get(), a.dout = {dout.data(), DType::float32, k_out};
  a.h = in.matrix(in.x), a.rstd = in.rstd.data(), a.dx = matrix(dx.data());
  a.layer.k_in = in.columns, a.layer.k_out = k_out, a.layer.eps = 1e-5F, a.layer.operand = DType::float32;
  a.layer.weights.operand = matrix(weights.data());
  const Optionals<BitLinearBackward> inputs = {
      {"norm_weight", [&](auto& b, auto&) { b.layer.norm_weight = Inputs::vector(in.weight); }},
      {"norm_bias", [&](auto& b, auto&) { b.layer.norm_bias = Inputs::vector(in.bias); }},
      {"quant_scale", [&](auto& b, auto&) { b.quant_scale = in.quant_scale.data(); }},
      {"dresidual", [&](auto& b, auto&) { b.dresidual = in.matrix(in.third); }}};
  const Optionals<BitLinearBackward> outputs = {
      {"dx", [&](auto& b, auto& o) { b.dx = matrix(o.values("dx", size, 0.01F)); }},
      {"dx_residual", [&](auto& b, auto& o) { b.dx_residual = matrix(o.values("dx_residual", size, 0.01F)); }},
      {"dlinear_weight",
       [&](auto& b, auto& o) { b.dlinear_weight = matrix(o.values("dlinear_weight", k_out * in.columns, 0.5F)); }},
      {"dlinear_bias", [&](auto& b, auto& o) { b.dlinear_bias = vector(o.values("dlinear_bias", k_out, close)); }},
      {"dnorm_weight", [&](auto& b, auto& o) { b.dnorm_weight = vector(o.values("dnorm_weight", in.columns, 0.01F)); }},
      {"dnorm_bias", [&](auto& b, auto& o) { b.dnorm_bias = vector(o.values("dnorm_bias", in.columns, 0.01F)); }}};
  EXPECT_GT(launches_that_work(a, inputs, outputs, "fake_quantised"), 30);
}

}  // namespace
}  // namespace normquant::optional_tensors
