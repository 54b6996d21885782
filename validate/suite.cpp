#include "validate/suite.hpp"

#include <algorithm>

#include "validate/space/plan.hpp"

namespace normquant::validate {
namespace {

using namespace short_names;

bool is_row_norm(Operation op) { return op == Operation::norm_quant_forward || op == Operation::norm_quant_backward; }

/// The plain problem of an operation: everything in x's type, weight given.
Problem plain(Operation op, Shape shape, DType x) {
  Problem p;
  p.op = op;
  p.rows = shape.rows;
  p.columns = shape.columns;
  p.x = x;
  p.out = x;
  if (is_row_norm(op)) p.weight = x;
  if (op == Operation::norm_quant_backward) p.dy = x;
  if (op == Operation::activation_quant) p.rounding = Rounding::half_even;
  return p;
}

/// The plain problem with each feature in turn.
std::vector<Problem> features(Operation op, Shape shape, DType x) {
  std::vector<Problem> all;
  const auto with = [&](auto change) {
    Problem p = plain(op, shape, x);
    change(p);
    all.push_back(p);
  };
  with([](Problem&) {});
  with([](Problem& p) { p.codes = true, p.out.reset(); });
  with([](Problem& p) { p.codes = true; });
  with([](Problem& p) { p.out = f32; });
  with([](Problem& p) { p.row_padding = 8; });
  with([](Problem& p) { p.row_padding = 8, p.codes = true; });
  with([](Problem& p) { p.row_padding = 8, p.dense_outputs = true, p.codes = true; });
  with([](Problem& p) { p.row_padding = 8, p.dense_inputs = true, p.codes = true, p.out.reset(); });
  with([](Problem& p) { p.row_padding = 5, p.offset = 1; });
  if (op == Operation::weight_quant) {
    with([](Problem& p) { p.packed = true, p.out.reset(); });
    with([](Problem& p) { p.packed = true, p.codes = true; });
    return all;
  }
  with([](Problem& p) { p.rounding = p.rounding == Rounding::half_even ? Rounding::half_away : Rounding::half_even; });
  if (op != Operation::norm_quant_backward) {
    with([](Problem& p) { p.codes = true, p.out.reset(), p.quantisation.format = QuantFormat::fp8_e4m3; });
    with([](Problem& p) { p.codes = true, p.out.reset(), p.quantisation = {QuantFormat::fp8_e4m3, 160.0F}; });
    with([](Problem& p) { p.codes = true, p.out.reset(), p.quantisation = {QuantFormat::int8, 48.5F}; });
  }
  if (op == Operation::activation_quant) return all;
  with([](Problem& p) { p.norm = NormKind::layer, p.bias = p.x; });
  with([](Problem& p) { p.norm = NormKind::layer, p.weight.reset(); });
  with([](Problem& p) { p.weight = f32, p.bias = f32; });
  with([](Problem& p) { p.save_quant_scale = true, p.eps = 1e-5F; });
  // The forms that kernels know when they are compiled, where no row is aligned too.
  const auto shifted = [](Problem& p) { p.row_padding = 5, p.offset = 1; };
  with([&](Problem& p) { p.norm = NormKind::layer, p.bias = p.x, shifted(p); });
  if (op == Operation::norm_quant_forward) {
    with([&](Problem& p) { p.codes = true, p.out.reset(), shifted(p); });
    with([&](Problem& p) { p.residual = p.x, p.residual_out = p.x, shifted(p); });
    with([](Problem& p) { p.residual = p.x, p.residual_out = p.x; });
    with([](Problem& p) { p.residual = f32, p.residual_out = f32, p.norm = NormKind::layer; });
    with([](Problem& p) { p.residual = p.x, p.residual_out = p.x, p.h_source = HSource::stored; });
    with([](Problem& p) { p.residual_out = f32; });
  } else {
    with([](Problem& p) { p.out.reset(); });
    with([](Problem& p) { p.dresidual = p.x; });
    with([&](Problem& p) { p.dresidual = p.x, shifted(p); });
    with([](Problem& p) { p.dresidual = p.x, p.norm = NormKind::layer, p.bias = f32; });
    with([](Problem& p) { p.dresidual = f32, p.dx_residual = f32, p.dy = f32; });
    with([](Problem& p) { p.dresidual = p.x, p.dx_residual = p.x == f32 ? bf16 : f32, p.row_padding = 8; });
  }
  return all;
}

void add(std::vector<Case>& cases, const std::vector<Problem>& problems, std::uint64_t seed) {
  for (Problem p : problems) {
    p.seed += seed;
    cases.push_back({p, 0, false});
  }
}

}  // namespace

std::optional<SuiteSize> suite_named(std::string_view name) {
  if (name == "smoke") return SuiteSize::smoke;
  if (name == "standard") return SuiteSize::standard;
  if (name == "exhaustive") return SuiteSize::exhaustive;
  return std::nullopt;
}

std::vector<Case> suite_cases(Operation op, SuiteSize size, std::uint64_t seed, const std::vector<Shape>& shapes,
                              const DeviceInfo* device) {
  if (shapes.empty()) {
    if (device != nullptr) return space::cases_of(op, size, seed, *device);
    return space::cases_of(op, size, seed, open_host_device()->info());
  }
  if (is_layer(op)) return layer_shape_cases(op, seed, shapes);
  std::vector<Case> cases;
  for (Shape shape : shapes) {
    for (DType x : all_types) add(cases, features(op, shape, x), seed);
  }
  return cases;
}

bool is_for(const Case& subject, std::string_view variant) {
  return subject.variants.empty() ||
         std::find(subject.variants.begin(), subject.variants.end(), variant) != subject.variants.end();
}

}  // namespace normquant::validate
