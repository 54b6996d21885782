#include "validate/bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace normquant::validate {
namespace {

using namespace float32_arithmetic;

bool is_power_of_two(double value) {
  int exponent = 0;
  return std::isfinite(value) && std::frexp(value, &exponent) == 0.5;
}

/// What may be off in one row's y: `own` an element, apart from a factor that all elements share.
struct RowError {
  Eigen::ArrayXd own;
  double shared = 0;  ///< relative error of that factor
};

/// t = 127 y / max(absmax, floor) of one row, from the errors of y. The shared factor cancels, unless the floor holds.
void quantise_row(Eigen::Index row, const Array& y, const RowError& error, QuantBounds& bounds) {
  const auto values = y.row(row).transpose();
  const double absmax = values.abs().maxCoeff();
  const double scale = std::max(absmax, reference::scale_floor);
  // |max|a| - max|b|| is at most the largest error among the elements that could be the maximum.
  const double least = (values.abs() - error.own).maxCoeff();
  const double own_max = (values.abs() + error.own >= least).select(error.own, 0.0).maxCoeff();
  bounds.dequant_scale(row) = scale / 127;
  // Either scale may be the inverse of the other: two divisions. One u more for the floor's own rounding.
  bounds.scale_error(row) = second_order * (own_max / scale + error.shared) + (2 * division + 1) * u;
  const auto t = bounds.t.row(row).transpose();
  // 127 / scale, the product, the floor's own rounding; none of them errs when absmax is exact and the quotient a power of
  // two.
  const bool exact_scale = own_max == 0 && is_power_of_two(127 / scale);
  const double left = scale - own_max;
  if (!(left > 0)) {
    bounds.t_error.row(row).setConstant(std::numeric_limits<double>::infinity());
    return;
  }
  bounds.t_error.row(row) =
      (second_order * (127 * error.own + t.abs() * own_max) / left + (exact_scale ? 0.0 : (division + 2) * u) * t.abs())
          .transpose();
}

QuantBounds empty_bounds(const Array& y, const Vector& quant_scale) {
  QuantBounds bounds;
  bounds.t = y.colwise() * quant_scale;
  bounds.t_error = Array::Zero(y.rows(), y.cols());
  bounds.dequant_scale = Vector::Constant(y.rows(), std::numeric_limits<double>::quiet_NaN());
  bounds.scale_error = Vector::Zero(y.rows());
  return bounds;
}

/// Weight or bias as a row; `absent` where there is none.
Eigen::ArrayXd vector_or(const std::optional<Vector>& vector, Eigen::Index columns, double absent) {
  return vector ? *vector : Eigen::ArrayXd::Constant(columns, absent);
}

/// Errors of y = xhat * weight + bias in one row, from mean's absolute and rstd's relative error.
/// Rounded: h - mean, * rstd, * weight (gamma(3)), + bias (u |y|, nothing when the product is exactly zero).
RowError affine_error(const Eigen::ArrayXd& xhat, const Eigen::ArrayXd& y, const Eigen::ArrayXd& weight,
                      const Eigen::ArrayXd& bias, double rstd, double mean_error, double rstd_error, bool floor_holds) {
  const Eigen::ArrayXd product = (xhat * weight).abs();
  const Eigen::ArrayXd rounding =
      (product == 0)
          .select(Eigen::ArrayXd::Zero(y.size()), gamma(3) * product +
                                                      (bias == 0).select(Eigen::ArrayXd::Zero(y.size()), u * y.abs()) +
                                                      underflow * (1 + weight.abs()));
  const Eigen::ArrayXd from_mean = mean_error * rstd * weight.abs();
  // rstd's error either is a factor of every y, but for the bias, or an error of every product.
  const Eigen::ArrayXd as_factor = rstd_error * bias.abs();
  const Eigen::ArrayXd as_error = rstd_error * product;
  const bool factor = !floor_holds && as_factor.maxCoeff() < as_error.maxCoeff();
  return {second_order * (rounding + from_mean + (factor ? as_factor : as_error)), factor ? rstd_error : 0.0};
}

bool floor_may_hold(double absmax) { return absmax < reference::scale_floor * (1 + 1e-3); }

}  // namespace

double gamma(double roundings) { return roundings * u / (1 - roundings * u); }

double row_sum_depth(std::int64_t columns) {
  const auto n = static_cast<double>(columns);
  return std::min(n, 96 + n / 1024);
}

double matrix_sum_depth(std::int64_t elements) { return std::min(static_cast<double>(elements), 144.0 + 32.0); }

double column_sum_depth(std::int64_t rows) {
  const auto m = static_cast<double>(rows);
  return std::min(m, 256 + m / 64);
}

ForwardBounds forward_bounds(const Array& h, const reference::NormQuantForward& forward,
                             const reference::NormQuantForwardResult& truth) {
  const Eigen::Index rows = h.rows(), columns = h.cols();
  const double depth = row_sum_depth(columns);
  const bool layer = forward.norm == reference::NormKind::layer;
  ForwardBounds bounds{Vector::Zero(rows), Vector::Zero(rows), empty_bounds(truth.y, truth.quant_scale)};
  const Eigen::ArrayXd weight = vector_or(forward.weight, columns, 1.0), bias = vector_or(forward.bias, columns, 0.0);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const double magnitudes = h.row(i).abs().sum();
    if (layer && magnitudes > std::numeric_limits<float>::max()) {
      // A sum that leaves float32 on the way may end anywhere, and all that follows from it.
      constexpr double anything = std::numeric_limits<double>::infinity();
      bounds.mean_error(i) = bounds.rstd_error(i) = bounds.quant.scale_error(i) = anything;
      bounds.quant.t_error.row(i).setConstant(anything);
      continue;
    }
    if (!std::isfinite(truth.rstd(i))) continue;  // a row of NaN has no bounds
    const double power = truth.var(i) + forward.eps;
    // The mean of one column is that column: nothing is added, and a quotient by 1 is exact.
    if (layer && magnitudes > 0 && columns > 1) {
      bounds.mean_error(i) = gamma(depth + division) * magnitudes / static_cast<double>(columns) + underflow;
    }
    // var: h - mean (twice, squared), the product, the sum, / N, + eps; and the square of the mean's own error.
    const double var_error =
        gamma(depth + 4 + division) + (bounds.mean_error(i) * bounds.mean_error(i) + underflow) / power;
    // 1 / sqrt: half of that.
    bounds.rstd_error(i) = second_order * var_error / 2 + reciprocal_root * u;
    if (!std::isfinite(truth.absmax(i))) continue;
    quantise_row(i, truth.y,
                 affine_error(truth.xhat.row(i).transpose(), truth.y.row(i).transpose(), weight, bias, truth.rstd(i),
                              bounds.mean_error(i), bounds.rstd_error(i), floor_may_hold(truth.absmax(i))),
                 bounds.quant);
  }
  return bounds;
}

QuantBounds recompute_bounds(const reference::NormQuantForward& forward, const reference::NormQuantForwardResult& truth,
                             const Vector& saved_scale) {
  const Eigen::Index rows = truth.y.rows(), columns = truth.y.cols();
  QuantBounds bounds = empty_bounds(truth.y, saved_scale.size() > 0 ? saved_scale : truth.quant_scale);
  const Eigen::ArrayXd weight = vector_or(forward.weight, columns, 1.0), bias = vector_or(forward.bias, columns, 0.0);
  for (Eigen::Index i = 0; i < rows; ++i) {
    if (!std::isfinite(truth.absmax(i))) continue;
    const RowError error = affine_error(truth.xhat.row(i).transpose(), truth.y.row(i).transpose(), weight, bias,
                                        truth.rstd(i), 0.0, 0.0, floor_may_hold(truth.absmax(i)));
    quantise_row(i, truth.y, error, bounds);
    if (saved_scale.size() == 0) continue;
    const double scale = saved_scale(i);  // exact: it was given
    bounds.dequant_scale(i) = 1 / scale;
    bounds.scale_error(i) = division * u;
    bounds.t_error.row(i) =
        (scale * error.own + (is_power_of_two(scale) ? 0.0 : u) * bounds.t.row(i).transpose().abs()).transpose();
  }
  return bounds;
}

QuantBounds activation_bounds(const Array& x, const reference::ActivationQuantResult& truth) {
  QuantBounds bounds = empty_bounds(x, truth.quant_scale);
  for (Eigen::Index i = 0; i < x.rows(); ++i) {
    if (std::isfinite(truth.absmax(i))) quantise_row(i, x, {Eigen::ArrayXd::Zero(x.cols()), 0.0}, bounds);
  }
  return bounds;
}

BackwardBounds backward_bounds(const Array& dy, const Vector& rstd, const Array* dresidual,
                               const reference::NormQuantBackwardResult& truth, const Vector& multiplicity,
                               std::int64_t total_rows) {
  const auto columns = static_cast<double>(dy.cols());
  const double row_depth = row_sum_depth(dy.cols()), column_depth = column_sum_depth(total_rows);
  BackwardBounds bounds;
  // c1: xhat (2), wdy (1), product, sum, / N. c2: wdy, sum, / N.
  const Vector c1_error = gamma(row_depth + 4 + division) * (truth.xhat * truth.wdy).abs().rowwise().sum() / columns;
  const Vector c2_error = gamma(row_depth + 1 + division) * truth.wdy.abs().rowwise().sum() / columns;
  const Array terms =
      truth.wdy.abs() + truth.xhat.abs().colwise() * truth.c1.abs() + truth.c2.abs().replicate(1, dy.cols());
  // xhat (2), wdy (1), the product, two additions, * rstd: 7 roundings of terms no larger than their sum of magnitudes.
  bounds.dx = (gamma(7) * terms + truth.xhat.abs().colwise() * c1_error + c2_error.replicate(1, dy.cols())).colwise() *
              rstd.abs();
  if (dresidual != nullptr) bounds.dx += u * (truth.dx.abs() + dresidual->abs());
  bounds.dx = second_order * bounds.dx + underflow * (1 + rstd.abs().replicate(1, dy.cols()));
  // dweight: xhat (2), product, sum.
  const Array products = (dy * truth.xhat).abs().colwise() * multiplicity;
  bounds.dweight = second_order * gamma(column_depth + 3) * products.colwise().sum().transpose() + underflow;
  bounds.dbias = gamma(column_depth) * (dy.abs().colwise() * multiplicity).colwise().sum().transpose() + underflow;
  return bounds;
}

namespace {

/// Whether every float32 sum of `total` is exact, whatever its order: all magnitudes are multiples of the smallest power of
/// two that one of them needs, and the total is below 2^24 of it.
bool sums_exactly(const Array& w, double total) {
  double least = std::numeric_limits<double>::infinity();
  for (Eigen::Index i = 0; i < w.size(); ++i) {
    int exponent = 0;
    double fraction = std::frexp(std::abs(w.data()[i]), &exponent);
    if (fraction == 0) continue;
    while (fraction != std::floor(fraction)) fraction *= 2, --exponent;
    least = std::min(least, std::ldexp(1.0, exponent));
  }
  return total < 0x1p24 * least;
}

}  // namespace

WeightBounds weight_bounds(const Array& w, const reference::WeightQuantResult& truth, std::int64_t elements) {
  WeightBounds bounds;
  bounds.t = w * truth.weight_scale;
  // absmean: the sum, / count. The scale: one division, its inverse another; one u for the floor's own rounding. t: one
  // product.
  const double absmean_error = second_order * gamma(matrix_sum_depth(elements) + division);
  bounds.scale_error = absmean_error + (2 * division + 1) * u;
  bounds.t_error = bounds.t.abs() * (absmean_error + (division + 2) * u) + underflow;
  // A mean that is a power of two comes out exactly where the sum does, and so do the quotient and the products: then a tie
  // has one admissible code.
  if (is_power_of_two(truth.absmean) && truth.absmean > reference::scale_floor &&
      sums_exactly(w, truth.absmean * static_cast<double>(elements))) {
    bounds.scale_error = 0;
    bounds.t_error.setZero();
  }
  return bounds;
}

}  // namespace normquant::validate
