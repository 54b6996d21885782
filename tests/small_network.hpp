// The layer's arguments over memory of the host device, with drawn values and the reference's view of them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <normquant/bit_linear.hpp>

#include "reference/bit_linear.hpp"

namespace normquant::small_network {

using reference::Array;

inline constexpr std::int64_t rows = 7, k_in = 48, k_out = 24;

/// Values that float32 holds: standard normal, rounded.
inline std::vector<float> drawn(std::int64_t count, unsigned seed, float scale = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = scale * normal(generator);
  return values;
}

inline Array as_array(const std::vector<float>& values, std::int64_t columns) {
  Array array(static_cast<std::int64_t>(values.size()) / columns, columns);
  for (Eigen::Index i = 0; i < array.size(); ++i) array.data()[i] = values[static_cast<std::size_t>(i)];
  return array;
}
inline reference::Vector as_vector(const std::vector<float>& values) {
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
inline constexpr double close = 1e-4;

inline void expect_close(const std::vector<float>& actual, const Array& expected, const char* what) {
  ASSERT_EQ(static_cast<Eigen::Index>(actual.size()), expected.size()) << what;
  double worst = 0;
  for (Eigen::Index i = 0; i < expected.size(); ++i) {
    const double error = std::abs(actual[static_cast<std::size_t>(i)] - expected.data()[i]);
    worst = error <= worst ? worst : error;  // keeps NaN
  }
  EXPECT_LE(worst, close) << what;
}
inline void expect_close(const std::vector<float>& actual, const reference::Vector& expected, const char* what) {
  expect_close(actual, Array(expected.transpose()), what);
}

}  // namespace normquant::small_network
