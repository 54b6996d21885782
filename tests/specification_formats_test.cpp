// docs/operations.md, section 8: fp8 codes, static scales and the floor, on every variant of every device of this machine, and by
// hand on the host device.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_forward.hpp>

#include "run_variants.hpp"

namespace normquant {
namespace {

using tests::expect_all_variants_pass;
using validate::Problem;
using validate::Values;

constexpr Quantisation fp8{QuantFormat::fp8_e4m3};
constexpr Quantisation by(QuantFormat format, float scale) { return {format, scale}; }

/// activation_quant of one row of float32 on the host device: codes as bytes, out, and the scale where there is one.
struct OneRow {
  std::vector<float> x, out;
  std::vector<std::uint8_t> codes;
  float dequant_scale = -7;
  ActivationQuant args;

  OneRow(std::vector<float> values, const Quantisation& quantisation) : x(std::move(values)) {
    out.assign(x.size(), -7.0F), codes.assign(x.size(), 0x55);
    const auto columns = static_cast<std::int64_t>(x.size());
    args.rows = 1, args.columns = columns;
    args.x = {x.data(), DType::float32, columns};
    args.output.out = {out.data(), DType::float32, columns};
    args.output.codes = reinterpret_cast<std::int8_t*>(codes.data()), args.output.ld_codes = columns;
    args.quantisation = quantisation;
    if (!quantisation.has_static_scale()) args.output.dequant_scale = &dequant_scale;
  }
};

/// Calls check(row) for the row as each variant that serves it leaves it.
template <class Check>
void on_all_variants(const std::vector<float>& x, const Quantisation& quantisation, Check check) {
  const auto device = open_host_device();
  int served = 0;
  for (const auto& variant : variants<ActivationQuant>(DeviceKind::host)) {
    OneRow row(x, quantisation);
    if (!variant.why_not(variant, row.args, device->info()).empty()) continue;
    SCOPED_TRACE(std::string(variant.name));
    const Status status = launch(variant, row.args, device->info(), {}, nullptr);
    ASSERT_TRUE(status.ok()) << status.message;
    check(row);
    ++served;
  }
  EXPECT_GE(served, 3);
}

TEST(Formats, Fp8RoundsToTheNearestNumberAndTiesToTheEvenCode) {
  // 448 sets the scale 1. 17 lies between 16 and 18, 19 between 18 and 20; the subnormals are multiples of 2^-9.
  const std::vector<float> x = {448, 17, 19, -17, 1.0F, 0x1p-9F, 0x1p-10F, -0x1p-10F, 0x3p-10F, 0x1.8p-6F, -0.0F, 0};
  on_all_variants(x, fp8, [](const OneRow& row) {
    EXPECT_EQ(row.codes,
              (std::vector<std::uint8_t>{0x7E, 0x58, 0x5A, 0xD8, 0x38, 0x01, 0x00, 0x80, 0x02, 0x0C, 0x80, 0x00}));
    EXPECT_EQ(row.out, (std::vector<float>{448, 16, 20, -16, 1, 0x1p-9F, 0, 0, 0x1p-8F, 0x1.8p-6F, 0, 0}));
    EXPECT_EQ(row.dequant_scale, 1);
  });
}

TEST(Formats, AStaticScaleSaturatesAndWritesNoScale) {
  const std::vector<float> x = {1.0F, -300.0F, 3e38F, INFINITY, -INFINITY, 0.25F, 500.0F, -0.0F};
  on_all_variants(x, by(QuantFormat::fp8_e4m3, 2), [](const OneRow& row) {
    EXPECT_EQ(row.codes, (std::vector<std::uint8_t>{0x40, 0xFE, 0x7E, 0x7E, 0xFE, 0x30, 0x7E, 0x80}));
    EXPECT_EQ(row.dequant_scale, -7);
  });
  on_all_variants(x, by(QuantFormat::int8, 2), [](const OneRow& row) {
    EXPECT_EQ(row.codes, (std::vector<std::uint8_t>{2, 0x80, 127, 127, 0x80, 0, 127, 0}));
    EXPECT_EQ(row.out[1], -64);
  });
}

TEST(Formats, ByAStaticScaleNanIsNanByItself) {
  const std::vector<float> x = {1.0F, NAN, -NAN, 2.0F};
  on_all_variants(x, by(QuantFormat::fp8_e4m3, 1), [](const OneRow& row) {
    EXPECT_EQ(row.codes, (std::vector<std::uint8_t>{0x38, 0x7F, 0x7F, 0x40}));
    EXPECT_EQ(row.out[0], 1);
    EXPECT_TRUE(std::isnan(row.out[1]) && std::isnan(row.out[2]));
  });
  on_all_variants(x, by(QuantFormat::int8, 1), [](const OneRow& row) {
    EXPECT_EQ(row.codes, (std::vector<std::uint8_t>{1, 0, 0, 2}));
    EXPECT_TRUE(std::isnan(row.out[1]) && std::isnan(row.out[2]));
  });
}

TEST(Formats, ByItsOwnScaleARowWithNanOrInfinityIsNan) {
  for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
    on_all_variants({1.0F, bad, 2.0F, 3.0F}, fp8, [](const OneRow& row) {
      EXPECT_EQ(row.codes, std::vector<std::uint8_t>(4, 0x7F));
      EXPECT_TRUE(std::isnan(row.dequant_scale));
    });
  }
}

TEST(Formats, TheFloorIsTheLeastAbsmaxThatScales) {
  // 127 / 0.5 = 254 in place of 127 / 0.25 = 508.
  on_all_variants({0.25F, -0.125F, 0, 0}, {.floor = 0.5F}, [](const OneRow& row) {
    EXPECT_EQ(row.codes, (std::vector<std::uint8_t>{64, 0xE0, 0, 0}));
    EXPECT_FLOAT_EQ(row.dequant_scale, 0.5F / 127);
  });
  on_all_variants({1e-9F, 0, 0, 0}, {.format = QuantFormat::fp8_e4m3, .floor = 1e-10F},
                  [](const OneRow& row) { EXPECT_EQ(row.codes[0], 0x7E); });
}

Problem problem(Operation op, const Quantisation& quantisation) {
  Problem p;
  p.op = op;
  p.rows = 5, p.columns = 264;
  p.x = DType::bfloat16, p.out = p.x, p.codes = true;
  if (op == Operation::norm_quant_forward) p.weight = p.bias = p.x;
  p.quantisation = quantisation;
  return p;
}

TEST(Formats, EveryVariantIsRightOrSaysWhyNot) {
  for (auto op : {Operation::norm_quant_forward, Operation::activation_quant}) {
    for (const Quantisation& q :
         {fp8, by(QuantFormat::fp8_e4m3, 1), by(QuantFormat::int8, 1), Quantisation{.floor = 0.5F}}) {
      for (Values values : {Values::normal, Values::ties, Values::near_ties, Values::at_floor, Values::one_nan,
                            Values::minus_inf, Values::negative_zeros, Values::huge, Values::subnormals}) {
        Problem p = problem(op, q);
        p.values = values;
        expect_all_variants_pass(p);
      }
    }
  }
}

TEST(Formats, WhatHasNoMeaningIsRefused) {
  const auto refused = [](auto change) {
    OneRow row({1, 2, 3, 4}, {});
    change(row.args);
    return check_arguments(row.args).message;
  };
  EXPECT_EQ(refused([](ActivationQuant&) {}), "");
  const auto names = [](const std::string& message, std::string_view what) {
    return message.find(what) != std::string::npos ? "" : "not named in: " + message;
  };
  EXPECT_EQ(names(refused([](auto& a) { a.quantisation.format = static_cast<QuantFormat>(7); }), "format"), "");
  for (float scale : {-1.0F, std::nanf(""), INFINITY, 1e-13F, 1e13F}) {
    EXPECT_EQ(names(refused([=](auto& a) { a.quantisation.static_scale = scale; }), "static_scale is"), "") << scale;
  }
  for (float floor : {0.0F, -1.0F, std::nanf(""), INFINITY, 1e-20F}) {
    EXPECT_EQ(names(refused([=](auto& a) { a.quantisation.floor = floor; }), "floor is"), "") << floor;
  }
  EXPECT_EQ(names(refused([](auto& a) { a.quantisation.static_scale = 1; }), "dequant_scale is given"), "");
  NormQuantForward forward;
  OneRow row({1, 2, 3, 4}, by(QuantFormat::int8, 1));
  float quant_scale = 0;
  forward.rows = 1, forward.columns = 4, forward.eps = 1e-6F, forward.x = row.args.x, forward.output = row.args.output;
  forward.quantisation = row.args.quantisation;
  EXPECT_EQ(check_arguments(forward).message, "");
  forward.quant_scale = &quant_scale;
  EXPECT_EQ(names(check_arguments(forward).message, "quant_scale is given"), "");
}

}  // namespace
}  // namespace normquant
