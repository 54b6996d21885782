#include "reference/activation_quant.hpp"

#include <cmath>

namespace normquant::reference {
namespace {

/// max|x| of each row; NaN for a row that float32 cannot hold.
Vector finite_absmax(const Array& x) {
  const Vector absmax = Vector::NullaryExpr(
      x.rows(), [&x](Eigen::Index row) { return x.row(row).abs().maxCoeff<Eigen::PropagateNaN>(); });
  return absmax.cast<float>().isFinite().select(absmax, nan);
}

/// quant_scale of each row.
Vector quant_scale_of(const Vector& absmax, const Quantisation& q) {
  const double largest = q.format == Format::int8 ? 127.0 : e4m3::largest;
  return largest / (absmax < q.floor).select(q.floor, absmax);  // NaN stays NaN
}

}  // namespace

ActivationQuantResult activation_quant(const Array& x, Rounding rounding, const Quantisation& quantisation) {
  const Quantisation& q = quantisation;
  ActivationQuantResult result;
  if (!q.has_static_scale()) result.absmax = finite_absmax(x);
  result.quant_scale =
      q.has_static_scale() ? Vector::Constant(x.rows(), q.static_scale) : quant_scale_of(result.absmax, q);
  const Array scaled = x.colwise() * result.quant_scale;
  result.code = scaled.unaryExpr([&](double v) { return code_of(v, q.format, rounding); });
  result.out = result.code.colwise() / result.quant_scale;
  if (q.has_static_scale()) result.out = x.isNaN().select(nan, result.out);  // int8's code does not say so
  return result;
}

}  // namespace normquant::reference
