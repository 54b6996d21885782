#include "validate/product_bounds.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::validate {
namespace {

using namespace float32_arithmetic;

/// The farthest that an admissible code times a scale within its error lies from `value`, once rounded to the type.
double slack_of(double value, double first_code, double last_code, double scale, double scale_error,
                reference::Storage type) {
  double most = 0;
  for (double code : {first_code, last_code}) {
    for (double sign : {-1.0, 1.0}) {
      const double other = reference::round_to_storage(code * scale * (1 + sign * scale_error), type);
      most = std::max(most, std::abs(other - value));
    }
  }
  return most;
}

/// scale_error(i) counts the product's own rounding already.
template <class Scale, class ScaleError>
Operand operand_of(const Array& t, const Array& t_error, const Scale& scale, const ScaleError& scale_error,
                   double least, double most, reference::Rounding rounding, reference::Storage type) {
  Operand operand{t, Array::Zero(t.rows(), t.cols())};
  for (Eigen::Index i = 0; i < t.rows(); ++i) {
    for (Eigen::Index j = 0; j < t.cols(); ++j) {
      if (std::isnan(t(i, j))) continue;  // NaN, and every product with it
      const auto code = [&](double value) {
        return std::clamp(reference::round_to_integer(value, rounding), least, most);
      };
      const double error = std::min(t_error(i, j), 2 * (most - least));
      operand.value(i, j) = reference::round_to_storage(code(t(i, j)) * scale(i), type);
      operand.slack(i, j) =
          slack_of(operand.value(i, j), code(t(i, j) - error), code(t(i, j) + error), scale(i), scale_error(i), type);
    }
  }
  return operand;
}

Array product(const Array& a, const Array& b) { return (a.matrix() * b.matrix().transpose()).array(); }

}  // namespace

Operand activation_operand(const QuantBounds& bounds, reference::Rounding rounding, reference::Storage type) {
  return operand_of(
      bounds.t, bounds.t_error, [&](Eigen::Index i) { return bounds.dequant_scale(i); },
      [&](Eigen::Index i) { return bounds.scale_error(i) + u; }, -128, 127, rounding, type);
}

Operand weight_operand(const WeightBounds& bounds, double dequant_factor, reference::Storage type) {
  return operand_of(
      bounds.t, bounds.t_error, [&](Eigen::Index) { return dequant_factor; },
      [&](Eigen::Index) { return bounds.scale_error + u; }, -1, 1, reference::Rounding::half_even, type);
}

Operand exact_operand(const Array& values) { return {values, Array::Zero(values.rows(), values.cols())}; }

ProductBounds product_bounds(const Operand& a, const Operand& b) {
  // Tensor cores may cut a sum off where float32 rounds: twice u an addition; float32 operands' products round too.
  const double rounding = gamma(2 * static_cast<double>(a.value.cols()) + 1);
  const Array largest_a = a.value.abs() + a.slack, largest_b = b.value.abs() + b.slack;
  ProductBounds result;
  result.value = product(a.value, b.value);
  // |a' b' - a b| <= slack_a |b'| + |a| slack_b for every term, and the rounding of |a'| |b'|.
  result.bound = product(a.slack + rounding * largest_a, largest_b) + product(a.value.abs(), b.slack) + underflow;
  return result;
}

ProductBounds code_product_bounds(const Operand& a, const Operand& b) {
  ProductBounds result;
  result.value = product(a.value, b.value);
  result.bound = product(a.slack, b.value.abs() + b.slack) + product(a.value.abs(), b.slack) + underflow;
  result.bound +=
      gamma(3) * (result.value.abs() + result.bound);  // the sum as float32, the scales' product, the product
  return result;
}

void add_bias(ProductBounds& product, const Vector& bias) {
  product.value.rowwise() += bias.transpose();
  product.bound += 2 * u * (product.value.abs() + product.bound);
}

void add_error_of_dy(BackwardBounds& bounds, const Array& error, const Array& xhat, const Vector& rstd,
                     const reference::NormQuantBackward& backward, const Vector& multiplicity) {
  const auto columns = static_cast<double>(error.cols());
  Array wdy = error;
  if (backward.weight) wdy.rowwise() *= backward.weight->abs().transpose();
  const Vector c1 = (xhat.abs() * wdy).rowwise().sum() / columns;
  Array dx = wdy + xhat.abs().colwise() * c1;
  if (backward.norm == reference::NormKind::layer) dx.colwise() += Vector(wdy.rowwise().sum() / columns);
  bounds.dx += second_order * (dx.colwise() * rstd.abs());
  bounds.dweight += second_order * ((error * xhat.abs()).colwise() * multiplicity).colwise().sum().transpose();
  bounds.dbias += second_order * (error.colwise() * multiplicity).colwise().sum().transpose();
}

Array rounding_error(const Array& values, const Array& bound, DType type) {
  return unit_roundoff(type) * (values.abs() + bound) + half_smallest(type);
}

Array folded_columns(const Array& values, Eigen::Index period) {
  Array folded = Array::Zero(values.rows(), period);
  for (Eigen::Index j = 0; j < values.cols(); ++j) folded.col(j % period) += values.col(j);
  return folded;
}

}  // namespace normquant::validate
