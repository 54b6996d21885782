#include "reference/norm_quant_forward.hpp"

#include <limits>
#include <utility>

#include "reference/activation_quant.hpp"

namespace normquant::reference {
namespace {

constexpr double largest_float = std::numeric_limits<float>::max();

Array affine(const Array& xhat, const NormQuantForward& forward) {
  Array y = xhat;
  if (forward.weight) y.rowwise() *= forward.weight->transpose();
  if (forward.bias) y.rowwise() += forward.bias->transpose();
  return y;
}

/// 1 / sqrt(var + eps); NaN where a sum that leads to it is NaN or exceeds the largest float.
Vector finite_rstd(const Array& h, const Vector& var, double eps) {
  const Vector sum_of_squares = var * static_cast<double>(h.cols());
  const Vector sum_of_magnitudes = h.abs().rowwise().sum();
  return (sum_of_squares <= largest_float && sum_of_magnitudes <= largest_float).select(1.0 / (var + eps).sqrt(), nan);
}

}  // namespace

Array residual_add(const Array& x, const Array* residual) {
  if (residual == nullptr) return x;
  return (x.cast<float>() + residual->cast<float>()).cast<double>();
}

NormQuantForwardResult recompute_output(const Array& h, const Vector& mean, const Vector& rstd,
                                        const NormQuantForward& forward) {
  NormQuantForwardResult result;
  result.mean = forward.norm == NormKind::layer ? mean : Vector::Zero(h.rows());
  result.rstd = rstd;
  result.xhat = (h.colwise() - result.mean).colwise() * rstd;
  result.y = affine(result.xhat, forward);

  ActivationQuantResult quantised = activation_quant(result.y, forward.rounding, forward.quantisation);
  if (quantised.absmax.size() > 0) result.y = quantised.absmax.isNaN().replicate(1, h.cols()).select(nan, result.y);
  result.absmax = std::move(quantised.absmax);
  result.quant_scale = std::move(quantised.quant_scale);
  result.code = std::move(quantised.code);
  result.out = std::move(quantised.out);
  return result;
}

NormQuantForwardResult norm_quant_forward(const Array& h, const NormQuantForward& forward) {
  const Vector mean = forward.norm == NormKind::layer ? row_mean(h) : Vector::Zero(h.rows());
  const Vector var = row_mean((h.colwise() - mean).square());
  NormQuantForwardResult result = recompute_output(h, mean, finite_rstd(h, var, forward.eps), forward);
  result.var = var;
  return result;
}

}  // namespace normquant::reference
