// docs/operations.md, section 5: each edge case that the Triton system gets wrong or refuses, on every variant of every
// device of this machine. Each test would fail with the Triton system's behaviour, which its comment states.
#include <gtest/gtest.h>

#include <cmath>

#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>

#include "reference/norm_quant_forward.hpp"
#include "run_variants.hpp"
#include "validate/inputs.hpp"

namespace normquant {
namespace {

using tests::expect_all_variants_pass;
using validate::Problem;
using validate::Values;

Problem forward(std::int64_t rows, std::int64_t columns, DType type = DType::bfloat16) {
  Problem p;
  p.op = Operation::norm_quant_forward;
  p.rows = rows;
  p.columns = columns;
  p.x = type;
  p.out = type;
  p.codes = true;
  p.weight = type;
  return p;
}

Problem backward(std::int64_t rows, std::int64_t columns, DType type = DType::bfloat16) {
  Problem p = forward(rows, columns, type);
  p.op = Operation::norm_quant_backward;
  p.dy = type;
  return p;
}

/// The forward of the library itself on the host device, for looking at single numbers.
struct Direct {
  std::vector<float> x, out, weight, bias;
  std::vector<std::int8_t> codes;
  std::vector<float> dequant_scale, rstd;
  NormQuantForward args;

  Direct(std::int64_t rows, std::int64_t columns) {
    const auto m = static_cast<std::size_t>(rows), n = static_cast<std::size_t>(columns);
    x.resize(m * n, 1.0F), out.resize(m * n, -7.0F), codes.resize(m * n, 99);
    weight.resize(n, 1.0F), bias.resize(n, 0.0F);
    dequant_scale.resize(m, -7.0F), rstd.resize(m, -7.0F);
    args.rows = rows, args.columns = columns, args.eps = 1e-6F;
    args.x = {x.data(), DType::float32, columns};
    args.weight = {weight.data(), DType::float32};
    args.bias = {bias.data(), DType::float32};
    args.output.out = {out.data(), DType::float32, columns};
    args.output.codes = codes.data(), args.output.ld_codes = columns;
    args.output.dequant_scale = dequant_scale.data();
    args.rstd = rstd.data();
  }
  void run(const Variant<NormQuantForward>& variant) {
    const auto device = open_host_device();
    const Status status = launch(variant, args, device->info(), {}, nullptr);
    ASSERT_TRUE(status.ok()) << status.message;
  }
};

/// The variants that serve such a problem.
std::vector<Variant<NormQuantForward>> serving(std::int64_t rows, std::int64_t columns) {
  const Direct direct(rows, columns);
  const DeviceInfo device = open_host_device()->info();
  std::vector<Variant<NormQuantForward>> found;
  for (const auto& variant : variants<NormQuantForward>(DeviceKind::host)) {
    if (variant.why_not(variant, direct.args, device).empty()) found.push_back(variant);
  }
  EXPECT_GT(found.size(), 3U) << rows << "x" << columns;
  return found;
}

// Triton: fused kernels round half away only; both must be available, and differ exactly on the ties.
TEST(EdgeCases, TiesRoundAsAsked) {
  for (const auto& variant : serving(1, 4)) {
    for (Rounding rounding : {Rounding::half_away, Rounding::half_even}) {
      Direct d(1, 4);
      d.args.rounding = rounding;
      d.weight.assign(4, 0.0F);  // y is the bias
      d.bias = {127.0F, 2.5F, -2.5F, 3.5F};
      d.run(variant);
      const bool away = rounding == Rounding::half_away;
      EXPECT_EQ(d.codes, (std::vector<std::int8_t>{127, static_cast<std::int8_t>(away ? 3 : 2),
                                                   static_cast<std::int8_t>(away ? -3 : -2), 4}))
          << variant.name;
    }
  }
  for (auto op : {Operation::norm_quant_forward, Operation::norm_quant_backward, Operation::activation_quant}) {
    for (Rounding rounding : {Rounding::half_away, Rounding::half_even}) {
      Problem p = op == Operation::norm_quant_backward ? backward(5, 264) : forward(5, 264);
      p.op = op;
      p.bias = p.x;
      p.values = Values::ties;
      p.rounding = rounding;
      expect_all_variants_pass(p);
    }
  }
}

// Triton: finite numbers come out of a row with NaN or Inf (min and max swallow the NaN).
TEST(EdgeCases, ARowWithNanOrInfIsNanAndOthersAreUntouched) {
  for (const auto& variant : serving(3, 8)) {
    for (float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      for (NormKind norm : {NormKind::layer, NormKind::rms}) {
        Direct clean(3, 8), d(3, 8);
        for (std::size_t i = 0; i < 24; ++i) clean.x[i] = d.x[i] = std::sin(static_cast<float>(i));
        d.x[8 + 5] = bad;
        d.args.norm = clean.args.norm = norm;
        d.run(variant);
        clean.run(variant);
        for (std::size_t i = 0; i < 24; ++i) {
          const bool bad_row = i / 8 == 1;
          EXPECT_EQ(std::isnan(d.out[i]), bad_row) << variant.name << " element " << i;
          EXPECT_EQ(d.codes[i], bad_row ? 0 : clean.codes[i]) << variant.name;
        }
        EXPECT_TRUE(std::isnan(d.dequant_scale[1])) << variant.name;
        EXPECT_FALSE(std::isnan(d.dequant_scale[0])) << variant.name;
      }
    }
  }
  for (Values values : {Values::one_nan, Values::one_inf}) {
    for (Problem p : {forward(5, 264), backward(5, 264)}) {
      p.values = values;
      expect_all_variants_pass(p);  // among others: dweight and dbias columns are NaN as the sums say
    }
  }
}

// A NaN in the weight makes y NaN in every row. Triton's absmax skips it.
TEST(EdgeCases, ANanWeightMakesEveryRowNan) {
  for (const auto& variant : serving(2, 8)) {
    Direct d(2, 8);
    d.weight[3] = std::nanf("");
    d.run(variant);
    for (float value : d.out) EXPECT_TRUE(std::isnan(value)) << variant.name;
    for (std::int8_t code : d.codes) EXPECT_EQ(code, 0) << variant.name;
  }
}

// Triton: padding lanes up to the next power of two enter the absmax as (0 - mean) * rstd; 7% off at mean 30, N = 3000.
TEST(EdgeCases, LayerNormWithoutWeightTakesNoPaddingIntoTheAbsmax) {
  for (DType type : {DType::float32, DType::bfloat16}) {
    Problem p = forward(3, 3000, type);
    p.norm = NormKind::layer;
    p.weight.reset();
    p.values = Values::huge_mean;
    expect_all_variants_pass(p);
  }
  for (const auto& variant : serving(1, 12)) {
    Direct d(1, 12);
    d.args.weight = {}, d.args.bias = {};
    d.args.norm = NormKind::layer;
    for (std::size_t i = 0; i < 12; ++i) d.x[i] = i % 2 == 0 ? 31.0F : 29.0F;  // xhat = +-1; a padding lane has -30
    d.run(variant);
    EXPECT_NEAR(d.dequant_scale[0] * 127.0F, 1.0F, 1e-5F) << variant.name;
  }
}

// (h - mean) * weight leaves float32's range where y does not. Only the largest tells, for which a saved scale has no other use.
TEST(EdgeCases, ProductsThatOverflowAreRightBySavedScalesToo) {
  for (DType type : {DType::float32, DType::bfloat16}) {
    for (NormKind norm : {NormKind::rms, NormKind::layer}) {
      for (bool saved : {false, true}) {
        Problem p = backward(3, 72, type);
        p.codes = false, p.norm = norm, p.save_quant_scale = saved;
        p.values = Values::huge_weight;
        expect_all_variants_pass(p);
      }
    }
  }
}

// Triton: 32-bit offsets; an illegal memory access at 70000 x 32768. Rows that start beyond 2^31 elements show the same
// with little memory touched; the suites run the full size on GPUs.
TEST(EdgeCases, RowsBeyondTwoToThe31ElementsAreRight) {
  for (Problem p : {forward(3, 64), backward(3, 64)}) {
    p.row_padding = std::int64_t{1} << 30;
    p.codes = false;
    expect_all_variants_pass(p);
  }
}

// Triton: "feature dim >= 64KB" refused: N > 32768 in 16-bit types, N > 16384 in float32.
TEST(EdgeCases, LongRowsAreServed) {
  expect_all_variants_pass(forward(1, 32776));
  expect_all_variants_pass(backward(1, 32776));
  expect_all_variants_pass(forward(1, 1048576));
  expect_all_variants_pass(backward(2, 131073, DType::float32));
}

// absmax below 1e-5, and zero: the scale is 127 / 1e-5 (the Triton system agrees).
TEST(EdgeCases, SmallRowsUseTheFloor) {
  for (const auto& variant : serving(1, 8)) {
    Direct d(1, 8);
    d.weight.assign(8, 0.0F);
    d.bias = {5.02e-6F, 0, 0, 0, 0, 0, 0, -2.5e-6F};
    d.run(variant);
    EXPECT_FLOAT_EQ(d.dequant_scale[0], 1e-5F / 127.0F) << variant.name;
    EXPECT_EQ(d.codes[0], 64) << variant.name;  // 63.754
    EXPECT_EQ(d.codes[7], -32) << variant.name;
  }
  for (Values values : {Values::zeros, Values::tiny}) {
    Problem p = forward(3, 136);
    p.values = values;
    expect_all_variants_pass(p);
  }
}

// Triton: a launch error with M = 0.
TEST(EdgeCases, NoRowsSucceedWritesNothingButZeroSums) {
  Problem p = backward(0, 264);
  p.bias = p.x;
  expect_all_variants_pass(p);  // dweight and dbias are checked: zeros over poison
  Problem layer;
  layer.op = Operation::bit_linear_forward;
  layer.rows = 0, layer.columns = 64;
  layer.k_out = 200;  // so many that a GPU with few multiprocessors streams the packed weights
  expect_all_variants_pass(layer);
  for (const auto& variant : serving(1, 8)) {
    Direct d(1, 8);
    d.args.rows = 0;
    d.run(variant);
    EXPECT_EQ(d.out[0], -7.0F) << variant.name;
  }
}

// With a bfloat16 residual the Triton system's backward recomputes other codes than the forward wrote (28% of them at
// N = 4096), because it starts from the stored residual. h_source = stored agrees code for code.
TEST(EdgeCases, StoredSourceMakesForwardAndBackwardAgreeCodeForCode) {
  constexpr std::int64_t rows = 8, columns = 512;
  Problem p;
  const Eigen::ArrayXXd noise = validate::input_values(p, validate::Tensor::residual, rows, columns);
  std::int64_t differing_unrounded = 0;
  for (HSource source : {HSource::stored, HSource::unrounded}) {
    Direct d(rows, columns);
    const auto x = validate::input_values(p, validate::Tensor::x, rows, columns);
    std::vector<float> residual(rows * columns);
    std::vector<std::uint16_t> stored(rows * columns);
    for (Eigen::Index i = 0; i < rows; ++i) {
      for (Eigen::Index j = 0; j < columns; ++j) {
        const auto k = static_cast<std::size_t>(i * columns + j);
        d.x[k] = static_cast<float>(x(i, j));
        residual[k] = static_cast<float>(noise(i, j));
      }
    }
    d.args.residual = {residual.data(), DType::float32, columns};
    d.args.residual_out = {stored.data(), DType::bfloat16, columns};
    d.args.h_source = source;
    d.run(choose_variant(d.args, open_host_device()->info()));

    std::vector<float> dy(rows * columns, 1.0F), dx(rows * columns), dequant(rows);
    std::vector<std::int8_t> again(rows * columns);
    NormQuantBackward b;
    b.rows = rows, b.columns = columns;
    b.dy = {dy.data(), DType::float32, columns};
    b.h = {stored.data(), DType::bfloat16, columns};
    b.weight = d.args.weight, b.bias = d.args.bias;
    b.rstd = d.rstd.data();
    b.dx = {dx.data(), DType::float32, columns};
    b.recomputed.codes = again.data(), b.recomputed.ld_codes = columns, b.recomputed.dequant_scale = dequant.data();
    const auto device = open_host_device();
    for (const auto& variant : variants<NormQuantBackward>(DeviceKind::host)) {
      std::vector<unsigned char> scratch(variant.workspace_bytes(variant, b, device->info()));
      if (!variant.why_not(variant, b, device->info()).empty()) continue;
      ASSERT_TRUE(launch(variant, b, device->info(), {scratch.data(), scratch.size()}, nullptr).ok());
      std::int64_t differing = 0;
      for (std::size_t k = 0; k < again.size(); ++k) differing += again[k] != d.codes[k] ? 1 : 0;
      if (source == HSource::unrounded) {
        differing_unrounded += differing;
      } else {
        EXPECT_EQ(differing, 0) << variant.name;
      }
    }
  }
  EXPECT_GT(differing_unrounded, 0) << "the Triton system's numbers, offered too, do differ";
}

// The clamp at -128 cannot bind for finite input: the most negative code is -127.
TEST(EdgeCases, MinusOneHundredAndTwentyEightNeverOccurs) {
  for (const auto& variant : serving(1, 256)) {
    Direct d(1, 256);
    for (std::size_t i = 0; i < 256; ++i) d.x[i] = -1.0F - 1e-4F * static_cast<float>(i % 7);
    d.run(variant);
    for (std::int8_t code : d.codes) EXPECT_GE(code, -127) << variant.name;
  }
}

// weight_quant: ties half to even, one scale.
TEST(EdgeCases, WeightTiesGoToEven) {
  Problem p;
  p.op = Operation::weight_quant;
  p.rows = 4, p.columns = 520;
  p.x = DType::bfloat16, p.out = DType::float32, p.codes = true, p.packed = true;
  for (Values values : {Values::normal, Values::zeros, Values::constant, Values::one_nan}) {
    p.values = values;
    expect_all_variants_pass(p);
  }
}

}  // namespace
}  // namespace normquant
