// The layer's forward and backward of given tensors.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "reference/norm_quant_backward.hpp"
#include "reference/weight_quant.hpp"
#include "validate/check/blocks.hpp"
#include "validate/product_bounds.hpp"

namespace normquant::check {
namespace {

using validate::Operand;
using validate::ProductBounds;

/// One answer to what is multiplied: codes, or operands of a type.
struct Multiplied {
  std::optional<DType> operand;
  reference::Storage storage() const { return operand ? reference_storage(*operand) : reference::Storage::float64; }
};

/// What `--product` allows. `any`: codes, or operands of out's type or of x's.
std::vector<Multiplied> allowed(const Given& given) {
  const validate::Problem& p = given.problem;
  switch (given.switches.product) {
    case Product::codes: return {{}};
    case Product::float32: return {{DType::float32}};
    case Product::bfloat16: return {{DType::bfloat16}};
    case Product::float16: return {{DType::float16}};
    case Product::any: break;
  }
  std::vector<Multiplied> all{{}};
  if (p.out) all.push_back({p.out});
  if (p.out && *p.out != p.x) all.push_back({p.x});
  return all;
}

/// Bounds so wide that they are no number admit anything.
double or_anything(double bound) { return std::isnan(bound) ? std::numeric_limits<double>::infinity() : bound; }

/// Whether a row's codes may be anything though it is no row of NaN: its sums leave float32 on the way.
bool has_no_bounds(const validate::QuantBounds& quant, std::int64_t row) {
  return quant.t_error.cols() > 0 && std::isinf(quant.t_error(row, 0)) && !std::isnan(quant.t(row, 0));
}

/// The weights and their codes' bounds, one scale for the whole matrix.
struct Weights {
  reference::WeightQuantResult truth;
  validate::WeightBounds bounds;
};

/// Of the first `features` rows of w, by the scale of all.
Weights weights_of(const HostTensor& w, double absmean, std::int64_t features) {
  const Array values = rows_of(w, {0, features});
  Weights weights{reference::weight_quant(values, absmean), {}};
  weights.bounds = validate::weight_bounds(values, weights.truth, w.rows * w.columns);
  return weights;
}

double absmean_of(const HostTensor& w) {
  double sum = 0;
  for (std::int64_t i = 0; i < w.rows; ++i) sum += rows_of(w, {i, 1}).abs().sum();
  return sum / static_cast<double>(w.rows * w.columns);
}

constexpr validate::CodeGrid weight_grid{reference::Format::int8, reference::Rounding::half_even, -1, 1};

void compare_weights(const Given& given, const Weights& weights, Comparison& comparison) {
  const HostTensor* w_q = given.tensor("w_q");
  for_each_element(w_q, {0, given.problem.k_out}, [&](auto row, auto i, auto j, std::uint32_t bits) {
    comparison.fake_quantised("w_q", row, j, w_q->type, bits, weights.bounds.t(i, j), weights.bounds.t_error(i, j),
                              weights.truth.dequant_factor, weights.bounds.scale_error, weight_grid);
  });
}

void count_codes(const Array& t, const Array& t_error, const validate::CodeGrid& grid, Comparison& comparison) {
  for (Eigen::Index i = 0; i < t.size(); ++i) {
    comparison.count_unseen_code(t.data()[i], t_error.data()[i], grid);
  }
}

/// out of a block, by one answer: as many of its columns as w_q has rows.
void compare_out(const Given& given, Block block, const validate::QuantBounds& quant, const Operand& w_q,
                 const Multiplied& multiplied, Comparison& comparison) {
  const HostTensor& out = *given.tensor("out");
  const auto rounding = reference_rounding(given.problem.rounding);
  const Operand y_q = validate::activation_operand(quant, rounding, multiplied.storage());
  ProductBounds truth =
      multiplied.operand ? validate::product_bounds(y_q, w_q) : validate::code_product_bounds(y_q, w_q);
  const HostTensor* bias = given.tensor("linear_bias");
  if (bias != nullptr && !given.switches.drops_linear_bias) {
    validate::add_bias(truth, vector_of(*bias, 0, truth.value.cols()));
  }
  for (std::int64_t i = 0; i < block.count; ++i) {
    for (std::int64_t j = 0; j < truth.value.cols(); ++j) {
      const std::int64_t row = block.first + i;
      const double value = has_no_bounds(quant, i) ? 0 : truth.value(i, j);
      comparison.value("out", row, j, out.type, bits_at(out, row * out.columns + j), value,
                       or_anything(truth.bound(i, j)));
    }
  }
  const validate::CodeGrid grid = validate::CodeGrid::of(reference::Format::int8, rounding);
  count_codes(quant.t, quant.t_error, grid, comparison);
}

/// All outputs of a block, by one answer.
void compare_forward(const Given& given, Block block, const reference::NormQuantForward& forward, const Operand& w_q,
                     const Multiplied& multiplied, Comparison& comparison) {
  const SummedRows rows = summed_rows(given, block);
  const auto truth = reference::norm_quant_forward(rows.source, forward);
  const auto bounds = validate::forward_bounds(rows.source, forward, truth, given.switches.algorithm);
  if (given.problem.out) compare_out(given, block, bounds.quant, w_q, multiplied, comparison);
  compare_statistics(given, block, truth, bounds, comparison);
  compare_residual_out(given, block, rows, comparison);
}

Operand operand_of(const Given& given, const Weights& weights, const Multiplied& multiplied) {
  if (!given.problem.out) return {};
  return validate::weight_operand(weights.bounds, weights.truth.dequant_factor, multiplied.storage());
}

/// By the answer with the fewest wrong elements: compare(answer, comparison) of each in turn, until one has none.
template <class Compare>
validate::Verdict best_of(const Given& given, Compare compare) {
  std::optional<validate::Verdict> best;
  for (const Multiplied& multiplied : allowed(given)) {
    Comparison own;
    compare(multiplied, own);
    if (!best || own.verdict().elements_wrong < best->elements_wrong) best = own.verdict();
    if (best->elements_wrong == 0) break;
  }
  return *best;
}

/// Sums over the rows, and their bounds. What is not given is empty.
struct Sums {
  Vector dweight, dweight_bound, dbias, dbias_bound;  ///< of the norm
  Array dlinear_weight, dlinear_weight_bound;         ///< [K_out, K_in]
  Vector dlinear_bias, dlinear_bias_bound;

  void operator+=(const Sums& part) {
    dweight += part.dweight, dweight_bound += part.dweight_bound;
    dbias += part.dbias, dbias_bound += part.dbias_bound;
    dlinear_weight += part.dlinear_weight, dlinear_weight_bound += part.dlinear_weight_bound;
    dlinear_bias += part.dlinear_bias, dlinear_bias_bound += part.dlinear_bias_bound;
  }
};

Array transposed_product(const Array& a, const Array& b) { return (a.matrix().transpose() * b.matrix()).array(); }

/// dout^T * y_q of a block, of `rows` rows in all; y_q is computed again.
void add_dlinear_weight(const Array& dout, const validate::QuantBounds& quant, reference::Rounding rounding,
                        DType operand, std::int64_t rows, Sums& sums) {
  const Operand y_q = validate::activation_operand(quant, rounding, reference_storage(operand));
  const double roundings = validate::gamma(2 * static_cast<double>(rows) + 1);
  sums.dlinear_weight = transposed_product(dout, y_q.value);
  sums.dlinear_weight_bound = transposed_product(dout.abs(), y_q.slack + roundings * (y_q.value.abs() + y_q.slack));
}

/// dy = dout * w_q of a block, and how far it may be off once it waits for the norm's backward.
ProductBounds dy_of(const Array& dout, const Array& w_q, DType waits_as) {
  ProductBounds dy{(dout.matrix() * w_q.matrix()).array(), (dout.abs().matrix() * w_q.abs().matrix()).array()};
  dy.bound =
      validate::gamma(2 * static_cast<double>(dout.cols()) + 1) * dy.bound + validate::float32_arithmetic::underflow;
  dy.bound += validate::rounding_error(dy.value, dy.bound, waits_as);
  return dy;
}

}  // namespace

void check_layer_forward(const Given& given, const Walk& walk, Comparison& total) {
  const validate::Problem& p = given.problem;
  const HostTensor& w = *given.tensor("linear_weight");
  const double absmean = absmean_of(w);
  const reference::NormQuantForward forward = forward_of(given);
  if (walk.stop_at_wrong) {  // most of what is wrong is so in the first rows and features
    const Weights few = weights_of(w, absmean, std::min<std::int64_t>(p.k_out, 64));
    const Block block{0, std::min<std::int64_t>(p.rows, 4)};
    const validate::Verdict found = best_of(given, [&](const Multiplied& multiplied, Comparison& own) {
      compare_forward(given, block, forward, operand_of(given, few, multiplied), multiplied, own);
    });
    if (found.elements_wrong > 0) return total.merge(found);
  }
  const Weights weights = weights_of(w, absmean, p.k_out);
  total.merge(best_of(given, [&](const Multiplied& multiplied, Comparison& own) {
    const Operand w_q = operand_of(given, weights, multiplied);
    for_each_block(p, walk, own, [&](Block block, Comparison& comparison) {
      compare_forward(given, block, forward, w_q, multiplied, comparison);
    });
  }));
  compare_weights(given, weights, total);
  if (p.out) count_codes(weights.bounds.t, weights.bounds.t_error, weight_grid, total);
}

void check_layer_backward(const Given& given, const Walk& walk, Comparison& total) {
  const validate::Problem& p = given.problem;
  const validate::Algorithm algorithm = given.switches.algorithm;
  const reference::NormQuantForward forward = forward_of(given);
  const reference::NormQuantBackward backward{forward.norm, forward.weight};
  const HostTensor &w_tensor = *given.tensor("w_q"), &dout_tensor = *given.tensor("dout");
  const Array w_q = rows_of(w_tensor, {0, p.k_out});
  const DType coarser = validate::unit_roundoff(dout_tensor.type) > validate::unit_roundoff(w_tensor.type)
                            ? dout_tensor.type
                            : w_tensor.type;
  const bool has_weight = given.tensor("dlinear_weight") != nullptr;
  const Vector zeros = Vector::Zero(p.columns), no_features = Vector::Zero(p.k_out);
  const Array no_weights = has_weight ? Array(Array::Zero(p.k_out, p.columns)) : Array{};
  Sums all{zeros, zeros, zeros, zeros, no_weights, no_weights, no_features, no_features};
  const auto visit = [&](Block block, Comparison& comparison) {
    const Array dout = rows_of(dout_tensor, block), h = rows_of(*given.tensor("h"), block);
    const Vector mean = values_of_rows(given, "mean", block), rstd = values_of_rows(given, "rstd", block);
    const HostTensor* dresidual_tensor = given.tensor("dresidual");
    const Array dresidual = dresidual_tensor != nullptr ? rows_of(*dresidual_tensor, block) : Array{};
    const Array* added = dresidual_tensor != nullptr ? &dresidual : nullptr;
    const ProductBounds dy = dy_of(dout, w_q, coarser);
    const auto truth = reference::norm_quant_backward(dy.value, h, mean, rstd, added, backward);
    const Array largest_dy = dy.value.abs() + dy.bound;
    reference::NormQuantBackwardResult largest = truth;  // the norm's own bound, of the largest dy
    largest.wdy = largest_dy;
    if (backward.weight) largest.wdy.rowwise() *= backward.weight->abs().transpose();
    const Vector once = Vector::Ones(block.count);
    auto bounds = validate::backward_bounds(largest_dy, rstd, added, largest, once, p.rows, algorithm, mean);
    add_error_of_dy(bounds, dy.bound, truth.xhat, rstd, backward, once);
    for (const char* role : {"dx", "dx_residual"}) {
      const HostTensor* gradient = given.tensor(role);
      for_each_element(gradient, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
        comparison.value(role, row, j, gradient->type, bits, truth.dx(i, j), or_anything(bounds.dx(i, j)));
      });
    }
    Sums part{truth.dweight, bounds.dweight, truth.dbias, bounds.dbias, {}, {}, {}, {}};
    part.dlinear_bias = dout.colwise().sum().transpose();
    part.dlinear_bias_bound =
        validate::gamma(validate::column_sum_depth(p.rows)) * dout.abs().colwise().sum().transpose();
    if (has_weight) {
      const auto recomputed = reference::recompute_output(h, mean, rstd, forward);
      const auto quant =
          validate::recompute_bounds(forward, recomputed, values_of_rows(given, "quant_scale", block), algorithm);
      add_dlinear_weight(dout, quant, forward.rounding, w_tensor.type, p.rows, part);
      count_codes(quant.t, quant.t_error, validate::CodeGrid::of(reference::Format::int8, forward.rounding),
                  comparison);
    }
    return part;
  };
  for_each_block(p, walk, total, visit, [&](const Sums& part) { all += part; });
  const auto compare_sums = [&](std::string_view role, const auto& sums, const auto& bound) {
    const HostTensor* tensor = given.tensor(role);
    for_each_element(tensor, {0, tensor != nullptr ? tensor->rows : 0},
                     [&](auto row, auto i, auto j, std::uint32_t bits) {
                       const Eigen::Index at = i * tensor->columns + j;
                       total.value(role, row, j, tensor->type, bits, sums.data()[at], or_anything(bound.data()[at]));
                     });
  };
  compare_sums("dnorm_weight", all.dweight, all.dweight_bound);
  compare_sums("dnorm_bias", all.dbias, all.dbias_bound);
  compare_sums("dlinear_weight", all.dlinear_weight, all.dlinear_weight_bound);
  compare_sums("dlinear_bias", all.dlinear_bias, all.dlinear_bias_bound);
}

}  // namespace normquant::check
