// The layer's features at given shapes: M rows, K_in columns, K_out output layer_features.
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

void add_layers(std::vector<Case>& cases, const std::vector<Problem>& problems, std::uint64_t seed) {
  for (Problem p : problems) {
    p.seed += seed;
    cases.push_back({p, 0, false});
  }
}

}  // namespace

std::vector<Case> layer_shape_cases(Operation op, std::uint64_t seed, const std::vector<Shape>& shapes) {
  std::vector<Case> cases;
  for (Shape shape : shapes) {
    for (DType x : all_types) add_layers(cases, layer_features(op, {shape.rows, shape.columns, shape.k_out}, x), seed);
  }
  return cases;
}

}  // namespace normquant::validate
