// The layer's suites: M rows, K_in columns, K_out output layer_features.
#include <array>
#include <random>

#include "validate/repetition.hpp"
#include "validate/suite.hpp"

namespace normquant::validate {
namespace {

using namespace short_names;

struct LayerSizes {
  std::int64_t rows, k_in, k_out;
};

Problem plain_layer(Operation op, LayerSizes sizes, DType x) {
  Problem p;
  p.op = op;
  p.rows = sizes.rows;
  p.columns = sizes.k_in;
  if (sizes.k_out != sizes.k_in) p.k_out = sizes.k_out;
  p.x = x;
  p.out = x;
  p.weight = x;
  return p;
}

/// The plain_layer problem with each feature in turn.
std::vector<Problem> layer_features(Operation op, LayerSizes sizes, DType x) {
  std::vector<Problem> all;
  const auto with = [&](auto change) {
    Problem p = plain_layer(op, sizes, x);
    change(p);
    all.push_back(p);
  };
  with([](Problem&) {});
  with([](Problem& p) { p.out = f32; });
  with([](Problem& p) { p.linear_bias = p.x; });
  with([](Problem& p) { p.linear_bias = f32, p.out = f32; });
  with([](Problem& p) { p.norm = NormKind::layer, p.bias = p.x; });
  with([](Problem& p) { p.norm = NormKind::layer, p.weight.reset(); });
  with([](Problem& p) { p.weight = f32, p.bias = f32; });
  with([](Problem& p) { p.rounding = Rounding::half_even, p.eps = default_eps::unfused_module; });
  with([](Problem& p) { p.operand = bf16, p.out = bf16; });
  with([](Problem& p) { p.row_padding = 8; });
  with([](Problem& p) { p.row_padding = 5, p.offset = 1; });
  if (op == Operation::bit_linear_forward) {
    with([](Problem& p) { p.codes = true; });
    with([](Problem& p) { p.codes = true, p.row_padding = 8, p.dense_outputs = true; });
    with([](Problem& p) { p.codes = true, p.out = f32, p.linear_bias = bf16; });
    with([](Problem& p) { p.cached = true, p.codes = true; });
    with([](Problem& p) { p.cached = true, p.linear_bias = p.x, p.row_padding = 3; });
    with([](Problem& p) { p.linear_weight = f32, p.training = true; });
    with([](Problem& p) { p.residual = p.x, p.residual_out = p.x; });
    with([](Problem& p) { p.residual = f32, p.residual_out = f32, p.norm = NormKind::layer, p.codes = true; });
    with([](Problem& p) { p.residual = p.x, p.residual_out = p.x, p.h_source = HSource::stored; });
    with([](Problem& p) { p.residual_out = f32; });
  } else {
    with([](Problem& p) { p.out.reset(); });
    with([](Problem& p) { p.dresidual = p.x, p.norm = NormKind::layer, p.bias = f32; });
    with([](Problem& p) { p.dresidual = f32, p.dx_residual = f32, p.linear_bias = f32; });
  }
  return all;
}

std::vector<Problem> layer_kinds_of_values(Operation op, LayerSizes sizes, DType x) {
  std::vector<Problem> all;
  for (Values values : {Values::outlier_columns, Values::constant, Values::zeros, Values::one_hot, Values::tiny,
                        Values::one_nan, Values::one_inf}) {
    Problem p = plain_layer(op, sizes, x);
    p.values = values;
    p.codes = op == Operation::bit_linear_forward;
    p.linear_bias = x;
    all.push_back(p);
  }
  return all;
}

void add_layers(std::vector<Case>& cases, const std::vector<Problem>& problems, std::uint64_t seed) {
  for (Problem p : problems) {
    p.seed += seed;
    cases.push_back({p, 0, false});
  }
}

/// LayerSizes around the tiles of 8 layer_features, 16 rows and 256 codes, and of cuBLASLt's; odd ones.
constexpr std::array<std::int64_t, 12> some_rows = {1, 2, 5, 8, 15, 16, 17, 31, 33, 48, 64, 100};
constexpr std::array<std::int64_t, 14> some_columns = {1, 3, 8, 16, 40, 64, 100, 128, 255, 256, 264, 320, 512, 520};

void add_drawn_layers(std::vector<Case>& cases, Operation op, int count, std::uint64_t seed) {
  std::mt19937_64 generator(seed);
  const auto one_of = [&](const auto& choices) { return choices[generator() % choices.size()]; };
  const auto one_in = [&](unsigned n) { return generator() % n == 0; };
  for (int i = 0; i < count; ++i) {
    Problem p = plain_layer(op, {one_of(some_rows), one_of(some_columns), one_of(some_columns)}, one_of(all_types));
    p.norm = one_in(2) ? NormKind::layer : NormKind::rms;
    p.rounding = one_in(2) ? Rounding::half_even : Rounding::half_away;
    if (one_in(2)) p.bias = one_of(all_types);
    if (one_in(3)) p.operand = p.out = bf16;
    if (one_in(3)) p.out = f32;
    if (one_in(2)) p.linear_bias = one_in(2) ? *p.out : f32;
    p.row_padding = one_of(std::array<std::int64_t, 4>{0, 0, 16, 3});
    p.offset = one_of(std::array{0, 0, 16, 1});
    p.seed = generator();
    if (op == Operation::bit_linear_forward) {
      p.codes = one_in(2);
      p.cached = one_in(2);
      p.training = one_in(3);
      if (one_in(3)) p.residual = one_of(all_types), p.residual_out = one_of(all_types);
    } else {
      if (one_in(3)) p.dresidual = one_of(all_types);
      if (one_in(3)) p.dx_residual = one_of(all_types);
    }
    cases.push_back({p, 0, false});
  }
}

void add_large_layers(std::vector<Case>& cases, Operation op, std::uint64_t seed) {
  const auto with = [&](LayerSizes sizes, bool codes) {
    Problem p = plain_layer(op, sizes, bf16);
    p.seed += seed;
    p.codes = codes && op == Operation::bit_linear_forward;
    cases.push_back({p, distinct_rows(p), true});
  };
  with({16, 4096, 4096}, true);
  with({1, 14336, 4096}, true);
  with({2048, 4096, 4096}, true);
  with({4099, 2560, 6912}, false);
}

}  // namespace

std::vector<Case> layer_suite_cases(Operation op, SuiteSize size, std::uint64_t seed,
                                    const std::vector<Shape>& shapes) {
  std::vector<Case> cases;
  for (Shape shape : shapes) {
    for (DType x : all_types) add_layers(cases, layer_features(op, {shape.rows, shape.columns, shape.k_out}, x), seed);
  }
  if (!shapes.empty()) return cases;
  const bool smoke = size == SuiteSize::smoke;
  add_layers(cases, {plain_layer(op, {0, 64, 32}, bf16), plain_layer(op, {1, 1, 1}, f32)}, seed);
  for (DType x : all_types) {
    add_layers(cases, layer_features(op, smoke ? LayerSizes{5, 144, 80} : LayerSizes{37, 528, 272}, x), seed);
    if (!smoke || x == bf16) add_layers(cases, layer_kinds_of_values(op, {19, 80, 48}, x), seed);
  }
  // Depths that 4, 8 and 16 warps share, with work for each.
  for (std::int64_t k_in : {1000, 2040, 4096}) {
    Problem deep = plain_layer(op, {3, k_in, 40}, bf16);
    deep.codes = op == Operation::bit_linear_forward;
    add_layers(cases, {deep}, seed);
  }
  // More features than packed_product.cu's blocks take at a time on a GPU: 32 times an H200's multiprocessors and some. Of little
  // depth, in larger and smaller tiles, and of more depth.
  for (LayerSizes sizes : {LayerSizes{2, 64, 8200}, LayerSizes{16, 320, 4300}, LayerSizes{5, 4200, 4300}}) {
    Problem wide = plain_layer(op, sizes, bf16);
    wide.seed += seed;
    if (op == Operation::bit_linear_forward) cases.push_back({wide, 0, true});
  }
  add_drawn_layers(cases, op, smoke ? 20 : size == SuiteSize::standard ? 150 : 1000, seed);
  if (!smoke) add_large_layers(cases, op, seed);
  return cases;
}

}  // namespace normquant::validate
