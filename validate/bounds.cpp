#include "validate/bounds.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "validate/moment_bounds.hpp"

namespace normquant::validate {
namespace {

using namespace float32_arithmetic;

bool is_power_of_two(double value) {
  int exponent = 0;
  return std::isfinite(value) && std::frexp(value, &exponent) == 0.5;
}

constexpr double anything = std::numeric_limits<double>::infinity();

/// What may be off in one row's y: `own` an element, apart from a factor that all elements share.
struct RowError {
  Eigen::ArrayXd own;
  double shared = 0;  ///< relative error of that factor
};

/// t = y * scale of one row by a static scale, which is exact: the errors of y, and the product's rounding. Infinity stays what it is.
void scale_row(Eigen::Index row, double scale, const Eigen::ArrayXd& error, QuantBounds& bounds) {
  bounds.dequant_scale(row) = 1 / scale;
  bounds.scale_error(row) = division * u;
  const Eigen::ArrayXd magnitudes = bounds.t.row(row).transpose().abs();
  const Eigen::ArrayXd of_finite = scale * error + (is_power_of_two(scale) ? 0.0 : u) * magnitudes;
  bounds.t_error.row(row) = magnitudes.isInf().select(error, of_finite).transpose();
}

/// t = largest y / max(absmax, floor) of one row, from the errors of y. The shared factor cancels, unless the floor holds.
void quantise_row(Eigen::Index row, const Array& y, const RowError& error, QuantBounds& bounds) {
  const reference::Quantisation& q = bounds.quantisation;
  if (q.has_static_scale()) return scale_row(row, q.static_scale, error.own, bounds);
  const double largest = q.format == reference::Format::int8 ? 127 : reference::e4m3::largest;
  const auto values = y.row(row).transpose();
  const double absmax = values.abs().maxCoeff();
  const double scale = std::max(absmax, q.floor);
  // |max|a| - max|b|| is at most the largest error among the elements that could be the maximum.
  const double least = (values.abs() - error.own).maxCoeff();
  const double own_max = (values.abs() + error.own >= least).select(error.own, 0.0).maxCoeff();
  bounds.dequant_scale(row) = scale / largest;
  // Either scale may be the inverse of the other: two divisions. One u more for the floor's own rounding.
  bounds.scale_error(row) = second_order * (own_max / scale + error.shared) + (2 * division + 1) * u;
  const auto t = bounds.t.row(row).transpose();
  // largest / scale, the product, the floor's own rounding; none of them errs when absmax is exact and the quotient a power of
  // two.
  const bool exact_scale = own_max == 0 && is_power_of_two(largest / scale);
  const double left = scale - own_max;
  if (!(left > 0)) {
    bounds.t_error.row(row).setConstant(std::numeric_limits<double>::infinity());
    return;
  }
  bounds.t_error.row(row) = (second_order * (largest * error.own + t.abs() * own_max) / left +
                             (exact_scale ? 0.0 : (division + 2) * u) * t.abs())
                                .transpose();
}

QuantBounds empty_bounds(const Array& y, const Vector& quant_scale, const reference::Quantisation& quantisation) {
  QuantBounds bounds;
  bounds.quantisation = quantisation;
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

/// One row of y = xhat * weight + bias, and what is known of it.
struct AffineRow {
  Eigen::ArrayXd xhat, y;
  const Eigen::ArrayXd &weight, &bias;
  double rstd = 0, mean_error = 0, rstd_error = 0;  ///< the errors of mean (absolute) and rstd (relative)
};

/// Absolute errors of y, rstd's own apart. Rounded: h - mean, * rstd, * weight (gamma(3)), + bias (u |y|, nothing when the
/// product is exactly zero).
Eigen::ArrayXd affine_rounding(const AffineRow& row) {
  const Eigen::ArrayXd product = (row.xhat * row.weight).abs();
  const Eigen::ArrayXd rounding =
      (product == 0)
          .select(Eigen::ArrayXd::Zero(row.y.size()),
                  gamma(3) * product + (row.bias == 0).select(Eigen::ArrayXd::Zero(row.y.size()), u * row.y.abs()) +
                      underflow * (1 + row.weight.abs()));
  return rounding + row.mean_error * row.rstd * row.weight.abs();
}

/// The same as what a code sees of it.
RowError affine_error(const AffineRow& row, bool floor_holds) {
  // rstd's error either is a factor of every y, but for the bias, or an error of every product.
  const Eigen::ArrayXd as_factor = row.rstd_error * row.bias.abs();
  const Eigen::ArrayXd as_error = row.rstd_error * (row.xhat * row.weight).abs();
  const bool factor = !floor_holds && as_factor.maxCoeff() < as_error.maxCoeff();
  const Eigen::ArrayXd own = second_order * (affine_rounding(row) + (factor ? as_factor : as_error));
  // An infinite weight or bias makes y infinite. xhat's sign is certain where the mean's error leaves it.
  const Eigen::ArrayXd of_infinite = (row.bias.isInf() || row.xhat.abs() > 2 * row.mean_error * row.rstd)
                                         .select(Eigen::ArrayXd::Zero(own.size()), anything);
  return {row.y.isInf().select(of_infinite, own), factor ? row.rstd_error : 0.0};
}

/// What h rstd - mean rstd errs by where (h - mean) rstd does not, as an error of the mean: two products that are larger than
/// their difference.
double shift_error(double mean, Algorithm algorithm) {
  return algorithm == Algorithm::two_pass ? 0.0 : gamma(2) * std::abs(mean);
}

/// Whether the scale does not follow from the row's absmax.
bool scale_may_be_fixed(const reference::Quantisation& q, const Vector& absmax, Eigen::Index row) {
  return q.has_static_scale() || absmax(row) < q.floor * (1 + 1e-3);
}

/// Whether the row has codes that are not NaN for certain.
bool has_codes(const reference::NormQuantForwardResult& truth, Eigen::Index row) {
  return truth.absmax.size() > 0 ? std::isfinite(truth.absmax(row)) : std::isfinite(truth.rstd(row));
}

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

namespace {

constexpr double largest_float = std::numeric_limits<float>::max();

/// Lets rstd of a row be anything, and what follows from it.
void set_free(Eigen::Index row, ForwardBounds& bounds) {
  bounds.rstd_error(row) = bounds.quant.scale_error(row) = anything;
  bounds.quant.t_error.row(row).setConstant(anything);
}

/// Whether Welford's merges (a squared difference of means, times their counts), or h rstd and mean rstd, leave float32 where
/// neither the variance nor xhat does.
bool leaves_float32(const reference::NormQuantForwardResult& truth, Eigen::Index row, Eigen::Index columns,
                    const reference::NormQuantForward& forward, Algorithm algorithm) {
  if (algorithm == Algorithm::two_pass || forward.norm != reference::NormKind::layer) return false;
  const auto n = static_cast<double>(columns);
  return 2 * truth.var(row) * n * n > largest_float ||
         std::abs(truth.mean(row)) * truth.rstd(row) + truth.xhat.row(row).abs().maxCoeff() > largest_float;
}

}  // namespace

ForwardBounds forward_bounds(const Array& h, const reference::NormQuantForward& forward,
                             const reference::NormQuantForwardResult& truth, Algorithm algorithm) {
  const Eigen::Index rows = h.rows(), columns = h.cols();
  const bool layer = forward.norm == reference::NormKind::layer;
  ForwardBounds bounds{Vector::Zero(rows), Vector::Zero(rows),
                       empty_bounds(truth.y, truth.quant_scale, forward.quantisation)};
  const Eigen::ArrayXd weight = vector_or(forward.weight, columns, 1.0), bias = vector_or(forward.bias, columns, 0.0);
  for (Eigen::Index i = 0; i < rows; ++i) {
    const double magnitudes = h.row(i).abs().sum();
    if (layer && magnitudes > largest_float) {
      // A sum that leaves float32 on the way may end anywhere, and all that follows from it.
      bounds.mean_error(i) = anything;
      set_free(i, bounds);
      continue;
    }
    if (!std::isfinite(truth.mean(i)) || !std::isfinite(truth.var(i))) continue;  // a row of NaN has no bounds
    const MomentErrors errors =
        moment_errors({columns, layer, magnitudes, truth.mean(i), truth.var(i), truth.var(i) + forward.eps}, algorithm);
    bounds.mean_error(i) = errors.mean;
    if (!std::isfinite(truth.rstd(i))) continue;  // squares overflowed: all but the mean is NaN
    if (leaves_float32(truth, i, columns, forward, algorithm)) {
      set_free(i, bounds);
      continue;
    }
    // 1 / sqrt: half of that.
    bounds.rstd_error(i) = second_order * errors.var / 2 + reciprocal_root * u;
    if (!has_codes(truth, i)) continue;
    const AffineRow row{truth.xhat.row(i).transpose(),
                        truth.y.row(i).transpose(),
                        weight,
                        bias,
                        truth.rstd(i),
                        errors.mean + shift_error(truth.mean(i), algorithm),
                        bounds.rstd_error(i)};
    quantise_row(i, truth.y, affine_error(row, scale_may_be_fixed(forward.quantisation, truth.absmax, i)),
                 bounds.quant);
  }
  return bounds;
}

Array norm_bounds(const reference::NormQuantForward& forward, const reference::NormQuantForwardResult& truth,
                  const ForwardBounds& statistics, Algorithm algorithm) {
  const Eigen::Index columns = truth.y.cols();
  const Eigen::ArrayXd weight = vector_or(forward.weight, columns, 1.0), bias = vector_or(forward.bias, columns, 0.0);
  Array bounds = Array::Constant(truth.y.rows(), columns, std::numeric_limits<double>::infinity());
  for (Eigen::Index i = 0; i < bounds.rows(); ++i) {
    if (!std::isfinite(truth.rstd(i)) || !std::isfinite(statistics.rstd_error(i))) continue;
    const AffineRow row{truth.xhat.row(i).transpose(),
                        truth.y.row(i).transpose(),
                        weight,
                        bias,
                        truth.rstd(i),
                        statistics.mean_error(i) + shift_error(truth.mean(i), algorithm),
                        statistics.rstd_error(i)};
    bounds.row(i) =
        (second_order * (affine_rounding(row) + row.rstd_error * (row.xhat * row.weight).abs())).transpose();
  }
  return bounds;
}

QuantBounds recompute_bounds(const reference::NormQuantForward& forward, const reference::NormQuantForwardResult& truth,
                             const Vector& saved_scale, Algorithm algorithm) {
  const Eigen::Index rows = truth.y.rows(), columns = truth.y.cols();
  QuantBounds bounds =
      empty_bounds(truth.y, saved_scale.size() > 0 ? saved_scale : truth.quant_scale, forward.quantisation);
  const Eigen::ArrayXd weight = vector_or(forward.weight, columns, 1.0), bias = vector_or(forward.bias, columns, 0.0);
  for (Eigen::Index i = 0; i < rows; ++i) {
    if (!has_codes(truth, i)) continue;
    const AffineRow row{truth.xhat.row(i).transpose(),
                        truth.y.row(i).transpose(),
                        weight,
                        bias,
                        truth.rstd(i),
                        shift_error(truth.mean(i), algorithm),
                        0.0};
    const RowError error = affine_error(row, scale_may_be_fixed(forward.quantisation, truth.absmax, i));
    quantise_row(i, truth.y, error, bounds);
    if (saved_scale.size() == 0) continue;
    scale_row(i, saved_scale(i), error.own, bounds);  // exact: it was given
  }
  return bounds;
}

QuantBounds quantised_bounds(const Array& y, const Array& y_error, const Vector& absmax, const Vector& quant_scale,
                             const reference::Quantisation& quantisation) {
  QuantBounds bounds = empty_bounds(y, quant_scale, quantisation);
  for (Eigen::Index i = 0; i < y.rows(); ++i) {
    if (absmax.size() == 0 || std::isfinite(absmax(i))) quantise_row(i, y, {y_error.row(i).transpose(), 0.0}, bounds);
  }
  return bounds;
}

QuantBounds activation_bounds(const Array& x, const reference::ActivationQuantResult& truth,
                              const reference::Quantisation& quantisation) {
  return quantised_bounds(x, Array::Zero(x.rows(), x.cols()), truth.absmax, truth.quant_scale, quantisation);
}

BackwardBounds backward_bounds(const Array& dy, const Vector& rstd, const Array* dresidual,
                               const reference::NormQuantBackwardResult& truth, const Vector& multiplicity,
                               std::int64_t total_rows, Algorithm algorithm, const Vector& mean) {
  const auto columns = static_cast<double>(dy.cols());
  const double row_depth = row_sum_depth(dy.cols()), column_depth = column_sum_depth(total_rows);
  // Where h itself is multiplied, |h rstd| <= |xhat| + |mean rstd| takes the place of |xhat|.
  const bool from_h = algorithm != Algorithm::two_pass && mean.size() > 0;
  const Vector offset = from_h ? Vector((mean * rstd).abs()) : Vector::Zero(dy.rows());
  BackwardBounds bounds;
  // c1: xhat (2), wdy (1), product, sum, / N. c2: wdy, sum, / N.
  Vector c1_error = gamma(row_depth + 4 + division) * (truth.xhat * truth.wdy).abs().rowwise().sum() / columns;
  const Vector wdy_sum = truth.wdy.abs().rowwise().sum() / columns;
  const Vector c2_error = gamma(row_depth + 1 + division) * wdy_sum;
  Array terms = truth.wdy.abs() + truth.xhat.abs().colwise() * truth.c1.abs() + truth.c2.abs().replicate(1, dy.cols());
  if (from_h) {
    // c1 = (sum wdy h - mean sum wdy) rstd / N: each sum as c1's own, then the product, the difference, the factors (2) and / N
    // (division). dx from h c1 rstd and mean c1 rstd apart: both as large as their sum of magnitudes.
    c1_error = gamma(row_depth + 6 + division) *
               ((truth.xhat * truth.wdy).abs().rowwise().sum() / columns + 2 * offset * wdy_sum);
    terms += (2 * offset * truth.c1.abs()).replicate(1, dy.cols());
  }
  // xhat (2), wdy (1), the product, two additions, * rstd: 7 roundings of terms no larger than their sum of magnitudes.
  bounds.dx = (gamma(7) * terms + truth.xhat.abs().colwise() * c1_error + c2_error.replicate(1, dy.cols())).colwise() *
              rstd.abs();
  if (from_h) {
    // rstd^3 in b, one factor after the other, may lose what lies below the normal numbers, or leave float32.
    bounds.dx += underflow * (truth.xhat.abs().colwise() * (1 / rstd.abs() + 1 + rstd.abs()));
    const Vector sums =
        columns * (wdy_sum * offset + (truth.xhat * truth.wdy).abs().rowwise().sum() / columns) / rstd.abs();
    const auto leaves = sums * (1 + rstd.abs().cube()) > largest_float;
    bounds.dx = leaves.replicate(1, dy.cols()).select(anything, bounds.dx);
  }
  if (dresidual != nullptr) bounds.dx += u * (truth.dx.abs() + dresidual->abs());
  bounds.dx = second_order * bounds.dx + underflow * (1 + rstd.abs().replicate(1, dy.cols()));
  // dweight: xhat (2), product, sum.
  const Array products = (dy * truth.xhat).abs().colwise() * multiplicity;
  bounds.dweight = gamma(column_depth + 3) * products.colwise().sum().transpose();
  // h rstd - mean rstd: both products round, larger than their difference.
  if (from_h) bounds.dweight += gamma(2) * (dy.abs().colwise() * (offset * multiplicity)).colwise().sum().transpose();
  bounds.dweight = second_order * bounds.dweight + underflow;
  if ((offset > largest_float).any()) bounds.dweight.setConstant(anything);
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
