// norm_quant_forward, the norm alone, and norm_quant_backward of given tensors.
#include <cmath>
#include <limits>

#include "reference/activation_quant.hpp"
#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "validate/check/blocks.hpp"

namespace normquant::check {

reference::NormQuantForward forward_of(const Given& given) {
  const validate::Problem& p = given.problem;
  reference::NormQuantForward forward{reference_norm(p.norm),
                                      reference_rounding(p.rounding),
                                      p.eps,
                                      {},
                                      {},
                                      validate::reference_quantisation(p.quantisation)};
  const bool layer = is_layer(p.op);
  if (const HostTensor* weight = given.tensor(layer ? "norm_weight" : "weight")) forward.weight = vector_of(*weight);
  if (const HostTensor* bias = given.tensor(layer ? "norm_bias" : "bias")) forward.bias = vector_of(*bias);
  return forward;
}

Vector values_of_rows(const Given& given, std::string_view role, Block block) {
  const HostTensor* tensor = given.tensor(role);
  return tensor != nullptr ? vector_of(*tensor, block.first, block.count) : Vector{};
}

namespace {

/// The codes of y after rounding to a type: an element whose neighbourhood rounds to two numbers may be either.
validate::QuantBounds bounds_of_rounded(const reference::NormQuantForwardResult& truth, const Array& y_error,
                                        DType type, const reference::NormQuantForward& forward) {
  const auto rounded = [type](double y) { return reference::round_to_storage(y, reference_storage(type)); };
  const Array y = truth.y.unaryExpr(rounded);
  const Array above = (truth.y + y_error).unaryExpr(rounded) - y, below = y - (truth.y - y_error).unaryExpr(rounded);
  const auto quantised = reference::activation_quant(y, forward.rounding, forward.quantisation);
  return validate::quantised_bounds(y, above.max(below), quantised.absmax, quantised.quant_scale, forward.quantisation);
}

/// Adds what rounding each step to 16 bits brings, where sums are kept in float32: mean 1; h - mean 1; its square, the mean
/// square, + eps, each 1 (var: 2 for the squared difference, and mean's own error squared); root and quotient 2; then the two
/// products and + bias.
void widen_for_steps(DType type, const reference::NormQuantForward& forward,
                     const reference::NormQuantForwardResult& truth, validate::ForwardBounds& bounds, Array& y_error) {
  const double u = validate::unit_roundoff(type), least = validate::half_smallest(type);
  const Vector mean = u * truth.mean.abs() + least;
  const Vector var = 5 * u + (mean.square() + least) / (truth.var + forward.eps);
  const Vector rstd = (1 + 8 * u) * (var / 2 + 2 * u);
  bounds.mean_error += mean;
  bounds.rstd_error += rstd;
  if (y_error.size() == 0) return;
  Array product = truth.xhat.abs(), of_mean = (mean * truth.rstd).replicate(1, product.cols());
  if (forward.weight) {
    product.rowwise() *= forward.weight->transpose().abs();
    of_mean.rowwise() *= forward.weight->transpose().abs();
  }
  Array y = product;
  if (forward.bias) y.rowwise() += forward.bias->transpose().abs();
  y_error += (1 + 8 * u) * (product.colwise() * (rstd + 3 * u) + of_mean + u * y) + least;
}

/// What y may be in a row.
enum class RowOfY {
  finite,    ///< the norm, within its bounds
  nan,       ///< NaN: there is one in h
  infinite,  ///< NaN or 0: infinity in h, or a sum of squares that leaves float32, makes rstd 0
  free       ///< anything: the sum of |h| leaves float32, and so layer norm's mean may be anything
};

RowOfY row_of_y(const Array& h, Eigen::Index row, double rstd, bool layer) {
  if (std::isfinite(rstd)) return RowOfY::finite;
  if (h.row(row).isNaN().any()) return RowOfY::nan;
  return layer && h.row(row).isFinite().all() ? RowOfY::free : RowOfY::infinite;
}

void compare_y(const Given& given, Block block, const Array& h, const reference::NormQuantForwardResult& truth,
               const reference::NormQuantForward& forward, const Array& y_error, Comparison& comparison) {
  const HostTensor* tensor = given.tensor("y");
  if (tensor == nullptr) return;
  // truth.y is NaN where y leaves float32 somewhere in the row; here each element is judged by itself.
  Array y = truth.xhat;
  if (forward.weight) y.rowwise() *= forward.weight->transpose();
  if (forward.bias) y.rowwise() += forward.bias->transpose();
  std::vector<RowOfY> rows;
  for (Eigen::Index i = 0; i < block.count; ++i) {
    rows.push_back(row_of_y(h, i, truth.rstd(i), forward.norm == reference::NormKind::layer));
  }
  for_each_element(tensor, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
    const auto judge = [&](double value, double bound) {
      comparison.value("y", row, j, tensor->type, bits, value, bound);
    };
    switch (rows[static_cast<std::size_t>(i)]) {
      case RowOfY::finite: return judge(y(i, j), y_error(i, j));
      case RowOfY::nan: return judge(reference::nan, 0);
      case RowOfY::infinite: return judge(validate::decode(tensor->type, bits) == 0 ? 0 : reference::nan, 0);
      case RowOfY::free: return judge(0, std::numeric_limits<double>::infinity());
    }
  });
}

}  // namespace

SummedRows summed_rows(const Given& given, Block block) {
  const validate::Problem& p = given.problem;
  const Array x = rows_of(*given.tensor("x"), block);
  const HostTensor* residual_tensor = given.tensor("residual");
  const Array residual = residual_tensor != nullptr ? rows_of(*residual_tensor, block) : Array{};
  const Array h = reference::residual_add(x, residual_tensor != nullptr ? &residual : nullptr);
  SummedRows rows;
  rows.stored = p.residual_out ? reference::round_to_storage(h, reference_storage(*p.residual_out)) : h;
  rows.source = p.h_source == HSource::stored ? rows.stored : h;
  return rows;
}

void compare_statistics(const Given& given, Block block, const reference::NormQuantForwardResult& truth,
                        const validate::ForwardBounds& bounds, Comparison& comparison) {
  compare_rows(
      given, "mean", block, comparison, [&](auto i) { return truth.mean(i); },
      [&](auto i) { return bounds.mean_error(i); });
  compare_rows(
      given, "rstd", block, comparison, [&](auto i) { return truth.rstd(i); },
      [&](auto i) { return truth.rstd(i) * bounds.rstd_error(i); });
}

void compare_residual_out(const Given& given, Block block, const SummedRows& rows, Comparison& comparison) {
  const HostTensor* residual_out = given.tensor("residual_out");
  for_each_element(residual_out, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
    comparison.exact("residual_out", row, j, residual_out->type, bits, rows.stored(i, j));
  });
}

void check_forward(const Given& given, const Walk& walk, Comparison& total) {
  const validate::Problem& p = given.problem;
  const validate::Algorithm algorithm = given.switches.algorithm;
  const reference::NormQuantForward forward = forward_of(given);
  for_each_block(p, walk, total, [&](Block block, Comparison& comparison) {
    const SummedRows rows = summed_rows(given, block);
    const Array& source = rows.source;
    const auto truth = reference::norm_quant_forward(source, forward);
    auto bounds = validate::forward_bounds(source, forward, truth, algorithm);
    const bool needs_y = given.tensor("y") != nullptr || given.switches.y_type;
    Array y_error = needs_y ? validate::norm_bounds(forward, truth, bounds, algorithm) : Array{};
    if (given.switches.arithmetic) widen_for_steps(*given.switches.arithmetic, forward, truth, bounds, y_error);
    const auto quant =
        slipped(given, given.switches.y_type ? bounds_of_rounded(truth, y_error, *given.switches.y_type, forward)
                                             : bounds.quant);

    compare_quantised(given, block, quant, comparison);
    compare_statistics(given, block, truth, bounds, comparison);
    compare_rows(
        given, "quant_scale", block, comparison, [&](auto i) { return 1 / quant.dequant_scale(i); },
        [&](auto i) { return quant.scale_error(i) / quant.dequant_scale(i); });
    compare_y(given, block, source, truth, forward, y_error, comparison);
    compare_residual_out(given, block, rows, comparison);
  });
}

void check_backward(const Given& given, const Walk& walk, Comparison& total) {
  const validate::Problem& p = given.problem;
  const validate::Algorithm algorithm = given.switches.algorithm;
  const reference::NormQuantForward forward = forward_of(given);
  const reference::NormQuantBackward backward{forward.norm, forward.weight};
  /// Sums over the rows, and their bounds.
  struct Sums {
    Vector dweight, dweight_bound, dbias, dbias_bound;
  };
  const Vector zeros = Vector::Zero(p.columns);
  Sums all{zeros, zeros, zeros, zeros};
  const auto visit = [&](Block block, Comparison& comparison) {
    const Array dy = rows_of(*given.tensor("dy"), block), h = rows_of(*given.tensor("h"), block);
    const Vector mean = values_of_rows(given, "mean", block), rstd = values_of_rows(given, "rstd", block);
    const Vector saved = values_of_rows(given, "quant_scale", block);
    const HostTensor* dresidual_tensor = given.tensor("dresidual");
    const Array dresidual = dresidual_tensor != nullptr ? rows_of(*dresidual_tensor, block) : Array{};
    const Array* added = dresidual_tensor != nullptr ? &dresidual : nullptr;
    const auto truth = reference::norm_quant_backward(dy, h, mean, rstd, added, backward);
    const auto bounds =
        validate::backward_bounds(dy, rstd, added, truth, Vector::Ones(block.count), p.rows, algorithm, mean);

    for (const char* role : {"dx", "dx_residual"}) {
      const HostTensor* gradient = given.tensor(role);
      for_each_element(gradient, block, [&](auto row, auto i, auto j, std::uint32_t bits) {
        comparison.value(role, row, j, gradient->type, bits, truth.dx(i, j), bounds.dx(i, j));
      });
    }
    if (p.out || p.codes || given.tensor("dequant_scale") != nullptr) {
      const auto recomputed = reference::recompute_output(h, mean, rstd, forward);
      compare_quantised(given, block, validate::recompute_bounds(forward, recomputed, saved, algorithm), comparison);
    }
    return Sums{truth.dweight, bounds.dweight, truth.dbias, bounds.dbias};
  };
  for_each_block(p, walk, total, visit, [&](const Sums& part) {
    all.dweight += part.dweight;
    all.dweight_bound += part.dweight_bound;
    all.dbias += part.dbias;
    all.dbias_bound += part.dbias_bound;
  });
  const auto compare_sums = [&](std::string_view role, const Vector& sums, const Vector& bound) {
    const HostTensor* tensor = given.tensor(role);
    for_each_element(tensor, {0, 1}, [&](auto, auto, auto j, std::uint32_t bits) {
      total.value(role, 0, j, tensor->type, bits, sums(j), bound(j));
    });
  };
  compare_sums("dweight", all.dweight, all.dweight_bound);
  compare_sums("dbias", all.dbias, all.dbias_bound);
}

}  // namespace normquant::check
