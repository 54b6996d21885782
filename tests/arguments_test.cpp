// Wrong arguments are refused with a status and a sentence that names the argument; nothing is written.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant {
namespace {

constexpr std::int64_t rows = 2, columns = 16;

struct Memory {
  std::vector<float> in = std::vector<float>(rows * columns, 1.0F), out = std::vector<float>(rows * columns, -7.0F),
                     second = out, vector = std::vector<float>(columns, 1.0F),
                     row_values = std::vector<float>(rows, 1.0F);
  std::vector<std::int8_t> codes = std::vector<std::int8_t>(rows * columns, 99);
};

NormQuantForward forward(Memory& m) {
  NormQuantForward a;
  a.rows = rows, a.columns = columns, a.eps = 1e-6F;
  a.x = {m.in.data(), DType::float32, columns};
  a.output.out = {m.out.data(), DType::float32, columns};
  return a;
}

NormQuantBackward backward(Memory& m) {
  NormQuantBackward a;
  a.rows = rows, a.columns = columns;
  a.dy = {m.in.data(), DType::float32, columns};
  a.h = a.dy;
  a.rstd = m.row_values.data();
  a.dx = {m.out.data(), DType::float32, columns};
  return a;
}

template <class Args>
void expect_refused(const Args& args, const Memory& memory, const std::string& named) {
  const auto device = open_host_device();
  for (const auto& variant : variants<Args>(DeviceKind::host)) {
    std::vector<unsigned char> scratch(1 << 20);
    const Status status = launch(variant, args, device->info(), {scratch.data(), scratch.size()}, nullptr);
    EXPECT_EQ(status.code, StatusCode::invalid_argument) << variant.name;
    EXPECT_NE(status.message.find(named), std::string::npos) << status.message;
  }
  for (float value : memory.out) EXPECT_EQ(value, -7.0F);
}

TEST(Arguments, ForwardRefusalsNameTheArgument) {
  const std::vector<std::pair<std::string, std::function<void(NormQuantForward&, Memory&)>>> wrongs = {
      {"columns", [](auto& a, auto&) { a.columns = 0; }},
      {"rows", [](auto& a, auto&) { a.rows = -1; }},
      {"x is null", [](auto& a, auto&) { a.x.data = nullptr; }},
      {"out and codes", [](auto& a, auto&) { a.output = {}; }},
      {"x's row stride", [](auto& a, auto&) { a.x.ld = columns - 1; }},
      {"out's row stride", [](auto& a, auto&) { a.output.out.ld = 0; }},
      {"eps", [](auto& a, auto&) { a.eps = 0.0F; }},
      {"eps", [](auto& a, auto&) { a.eps = -1e-6F; }},
      {"eps", [](auto& a, auto&) { a.eps = std::nanf(""); }},
      {"eps", [](auto& a, auto&) { a.eps = std::numeric_limits<float>::infinity(); }},
      {"x's type", [](auto& a, auto&) { a.x.type = static_cast<DType>(9); }},
      {"residual's row stride",
       [](auto& a, auto& m) {
         a.residual = {m.in.data(), DType::float32, columns - 1};
       }},
      {"residual_out's row stride",
       [](auto& a, auto& m) {
         a.residual_out = {m.second.data(), DType::float32, 1};
       }},
      {"weight's type",
       [](auto& a, auto& m) {
         a.weight = {m.vector.data(), static_cast<DType>(9)};
       }},
      {"bias's type",
       [](auto& a, auto& m) {
         a.bias = {m.vector.data(), static_cast<DType>(9)};
       }},
      {"out's type", [](auto& a, auto&) { a.output.out.type = static_cast<DType>(-1); }},
      {"norm", [](auto& a, auto&) { a.norm = static_cast<NormKind>(4); }},
      {"rounding", [](auto& a, auto&) { a.rounding = static_cast<Rounding>(4); }},
      {"h_source", [](auto& a, auto&) { a.h_source = static_cast<HSource>(4); }},
      {"dequant_scale", [](auto& a, auto& m) { a.output.codes = m.codes.data(), a.output.ld_codes = columns; }},
      {"codes's row stride",
       [](auto& a, auto& m) {
         a.output.codes = m.codes.data(), a.output.ld_codes = 3;
         a.output.dequant_scale = m.row_values.data();
       }},
      {"mean", [](auto& a, auto& m) { a.mean = m.row_values.data(); }},
      {"residual_out",
       [](auto& a, auto& m) {
         a.residual = {m.in.data(), DType::float32, columns};
         a.h_source = HSource::stored;
       }},
  };
  for (const auto& [named, change] : wrongs) {
    Memory memory;
    NormQuantForward args = forward(memory);
    change(args, memory);
    expect_refused(args, memory, named);
  }
}

TEST(Arguments, BackwardRefusalsNameTheArgument) {
  const std::vector<std::pair<std::string, std::function<void(NormQuantBackward&, Memory&)>>> wrongs = {
      {"columns", [](auto& a, auto&) { a.columns = 0; }},
      {"dy is null", [](auto& a, auto&) { a.dy.data = nullptr; }},
      {"h is null", [](auto& a, auto&) { a.h.data = nullptr; }},
      {"dx is null", [](auto& a, auto&) { a.dx.data = nullptr; }},
      {"rstd is null", [](auto& a, auto&) { a.rstd = nullptr; }},
      {"mean is null", [](auto& a, auto&) { a.norm = NormKind::layer; }},
      {"mean is given", [](auto& a, auto& m) { a.mean = m.row_values.data(); }},
      {"rows", [](auto& a, auto&) { a.rows = -1; }},
      {"norm", [](auto& a, auto&) { a.norm = static_cast<NormKind>(4); }},
      {"rounding", [](auto& a, auto&) { a.rounding = static_cast<Rounding>(4); }},
      {"dy's row stride", [](auto& a, auto&) { a.dy.ld = 1; }},
      {"h's row stride", [](auto& a, auto&) { a.h.ld = 1; }},
      {"dx's row stride", [](auto& a, auto&) { a.dx.ld = 1; }},
      {"dresidual's row stride",
       [](auto& a, auto& m) {
         a.dresidual = {m.in.data(), DType::float32, 1};
       }},
      {"dx_residual's row stride",
       [](auto& a, auto& m) {
         a.dx_residual = {m.second.data(), DType::float32, 1};
       }},
      {"recomputed.out's row stride",
       [](auto& a, auto& m) {
         a.recomputed.out = {m.second.data(), DType::float32, 1};
       }},
      {"weight's type",
       [](auto& a, auto& m) {
         a.weight = {m.vector.data(), static_cast<DType>(9)};
       }},
      {"bias's type",
       [](auto& a, auto& m) {
         a.bias = {m.vector.data(), static_cast<DType>(9)};
       }},
      {"dweight's type",
       [](auto& a, auto& m) {
         a.dweight = {m.second.data(), static_cast<DType>(9)};
       }},
      {"dbias's type",
       [](auto& a, auto& m) {
         a.dbias = {m.second.data(), static_cast<DType>(9)};
       }},
      {"recomputed.dequant_scale", [](auto& a, auto& m) { a.recomputed.dequant_scale = m.row_values.data(); }},
  };
  for (const auto& [named, change] : wrongs) {
    Memory memory;
    NormQuantBackward args = backward(memory);
    change(args, memory);
    expect_refused(args, memory, named);
  }
}

TEST(Arguments, QuantisationRefusalsNameTheArgument) {
  Memory memory;
  ActivationQuant activation;
  activation.rows = rows, activation.columns = columns;
  expect_refused(activation, memory, "x is null");
  activation.x = {memory.in.data(), DType::float32, columns};
  expect_refused(activation, memory, "out and codes");
  WeightQuant weight;
  weight.rows = rows, weight.columns = columns;
  weight.w = {memory.in.data(), DType::float32, columns};
  expect_refused(weight, memory, "out, codes and packed");
  weight.codes = memory.codes.data(), weight.ld_codes = columns;
  expect_refused(weight, memory, "dequant_factor");
  float factor = 0;
  std::vector<std::uint8_t> packed(rows * columns);
  weight.dequant_factor = &factor;
  const auto expect_weight_refused = [&](const std::string& named, auto change) {
    WeightQuant wrong = weight;
    change(wrong);
    expect_refused(wrong, memory, named);
  };
  expect_weight_refused("rows", [](auto& w) { w.rows = -1; });
  expect_weight_refused("columns", [](auto& w) { w.columns = 0; });
  expect_weight_refused("w's row stride", [](auto& w) { w.w.ld = 1; });
  expect_weight_refused("codes's row stride", [](auto& w) { w.ld_codes = columns - 1; });
  expect_weight_refused("packed's row stride",
                        [&](auto& w) { w.packed = packed.data(), w.ld_packed = columns / 4 - 1; });
  expect_weight_refused("out's row stride", [&](auto& w) { w.out = {memory.out.data(), DType::float32, 1}; });
}

TEST(Arguments, AWorkspaceThatIsTooSmallIsRefused) {
  Memory memory;
  NormQuantBackward args = backward(memory);
  args.weight = {memory.vector.data(), DType::float32};
  args.dweight = {memory.second.data(), DType::float32};
  const auto device = open_host_device();
  int refused = 0;
  for (const auto& variant : variants<NormQuantBackward>(DeviceKind::host)) {
    if (!variant.why_not(variant, args, device->info()).empty()) continue;
    const Status status = launch(variant, args, device->info(), {}, nullptr);
    EXPECT_EQ(status.code, StatusCode::invalid_argument) << variant.name;
    EXPECT_NE(status.message.find("workspace"), std::string::npos) << status.message;
    ++refused;
  }
  EXPECT_GT(refused, 3);
}

TEST(Arguments, AVariantThatDoesNotServeAProblemSaysWhy) {
  Memory memory;
  NormQuantForward args = forward(memory);
  args.columns = 3;
  args.x.ld = args.output.out.ld = 5;
  const auto device = open_host_device();
  int refused = 0, ran = 0;
  for (const auto& variant : variants<NormQuantForward>(DeviceKind::host)) {
    const Status status = launch(variant, args, device->info(), {}, nullptr);
    refused += status.code == StatusCode::unsupported && status.message.find("multiple") != std::string::npos ? 1 : 0;
    ran += status.ok() ? 1 : 0;
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(ran, 0);
}

TEST(Arguments, APackedRowMustStartWhereAPacketsCodesDo) {
  alignas(256) static unsigned char memory[4096] = {};
  float factor = 0;
  WeightQuant a;
  a.rows = 2, a.columns = 64, a.w = {memory, DType::bfloat16, 64};
  a.packed = memory + 2048, a.ld_packed = 17, a.dequant_factor = &factor;
  const auto device = open_host_device();
  int told = 0;
  for (const auto& variant : variants<WeightQuant>(DeviceKind::host)) {
    if (!variant.name.starts_with("two_pass") || variant.tuning.access_bytes < 16) continue;
    EXPECT_EQ(variant.why_not(variant, a, device->info()), "needs every row of packed to start at a multiple of 2");
    ++told;
  }
  EXPECT_GT(told, 0);
}

}  // namespace
}  // namespace normquant
