#include "reference/activation_quant.hpp"

#include <algorithm>
#include <cmath>

namespace normquant::reference {
namespace {

/// max|x| of each row; NaN for a row that float32 cannot hold.
Vector finite_absmax(const Array& x) {
  const Vector absmax = Vector::NullaryExpr(
      x.rows(), [&x](Eigen::Index row) { return x.row(row).abs().maxCoeff<Eigen::PropagateNaN>(); });
  return absmax.cast<float>().isFinite().select(absmax, nan);
}

/// clamp(round(scaled), -128, 127); 0 for NaN.
double code_of(double scaled, Rounding rounding) {
  return std::isnan(scaled) ? 0.0 : std::clamp(round_to_integer(scaled, rounding), -128.0, 127.0);
}

}  // namespace

ActivationQuantResult activation_quant(const Array& x, Rounding rounding) {
  ActivationQuantResult result;
  result.absmax = finite_absmax(x);
  result.quant_scale = 127.0 / (result.absmax < scale_floor).select(scale_floor, result.absmax);  // NaN stays NaN
  result.code = (x.colwise() * result.quant_scale).unaryExpr([rounding](double v) { return code_of(v, rounding); });
  result.out = result.code.colwise() / result.quant_scale;
  return result;
}

}  // namespace normquant::reference
