#include "reference/bit_linear.hpp"

#include <stdexcept>

namespace normquant::reference {
namespace {

NormQuantForward norm_of(const BitLinearLayer& layer) {
  const BitLinearParameters& parameters = layer.parameters;
  return {layer.norm, layer.rounding, layer.eps, parameters.norm_weight, parameters.norm_bias};
}

/// linear_bias, unless there is none or it is to be dropped.
std::optional<Vector> bias_in_use(const BitLinearLayer& layer) {
  return layer.reproduce_dropped_bias ? std::nullopt : layer.parameters.linear_bias;
}

/// a * b as matrices.
Array product(const Array& a, const Array& b) { return (a.matrix() * b.matrix()).array(); }

Vector sum_of_rows(const Array& values) { return values.colwise().sum().transpose(); }

}  // namespace

Storage residual_stream_storage(Storage x, std::optional<Storage> residual, bool residual_in_float32) {
  return residual.value_or(residual_in_float32 ? Storage::float32 : x);
}

BitLinearForwardResult bit_linear_forward(const Array& x, const Array* residual, const BitLinearLayer& layer) {
  const Array h = residual_add(x, residual);
  const Array stored_h = round_to_storage(h, layer.residual_stream);
  const NormQuantForwardResult normed =
      norm_quant_forward(layer.h_source == HSource::stored ? stored_h : h, norm_of(layer));

  BitLinearForwardResult result;
  if (layer.prenorm) result.residual_out = stored_h;
  result.has_residual = residual != nullptr;
  result.h = stored_h;
  result.mean = normed.mean;
  result.rstd = normed.rstd;
  result.y_q = round_to_storage(normed.out, layer.operand);
  result.w_q = round_to_storage(weight_quant(layer.parameters.linear_weight).out, layer.operand);
  result.out = product(result.y_q, result.w_q.transpose());
  if (const auto bias = bias_in_use(layer)) result.out.rowwise() += bias->transpose();
  return result;
}

BitLinearGradients bit_linear_backward(const Array& dout, const Array* dresidual, const BitLinearForwardResult& saved,
                                       const BitLinearLayer& layer) {
  if (dresidual != nullptr && !layer.prenorm) {
    throw std::invalid_argument("bit_linear_backward: dresidual is given but the layer has no prenorm");
  }
  const BitLinearParameters& parameters = layer.parameters;
  const Array dy = product(dout, saved.w_q);
  const Array y_q = recompute_output(saved.h, saved.mean, saved.rstd, norm_of(layer)).out;
  const NormQuantBackwardResult normed =
      norm_quant_backward(dy, saved.h, saved.mean, saved.rstd, dresidual, {layer.norm, parameters.norm_weight});

  BitLinearGradients gradients;
  gradients.dx = normed.dx;
  if (saved.has_residual) gradients.dresidual = normed.dx;
  if (parameters.norm_weight) gradients.dnorm_weight = normed.dweight;
  if (parameters.norm_bias) gradients.dnorm_bias = normed.dbias;
  gradients.dlinear_weight = product(dout.transpose(), round_to_storage(y_q, layer.operand));
  if (bias_in_use(layer)) gradients.dlinear_bias = sum_of_rows(dout);
  return gradients;
}

BitLinearLayer layer_norm_linear_quant(const BitLinearParameters& parameters, double eps, const ResidualStream& stream,
                                       NormKind norm) {
  BitLinearLayer layer;
  layer.parameters = parameters;
  layer.norm = norm;
  layer.eps = eps;
  layer.prenorm = stream.prenorm;
  layer.h_source = stream.h_source;
  layer.residual_stream = stream.storage;
  return layer;
}

BitLinearLayer rms_norm_linear_quant(const BitLinearParameters& parameters, double eps, const ResidualStream& stream) {
  return layer_norm_linear_quant(parameters, eps, stream, NormKind::rms);
}

BitLinearLayer bit_linear(const BitLinearParameters& parameters, double eps) {
  return rms_norm_linear_quant(parameters, eps, {});
}

BitLinearLayer unfused_bit_linear_module(const BitLinearParameters& parameters, double eps,
                                         bool reproduce_dropped_bias) {
  BitLinearLayer layer = bit_linear(parameters, eps);
  layer.rounding = Rounding::half_even;
  layer.reproduce_dropped_bias = reproduce_dropped_bias;
  return layer;
}

BitLinearLayer fused_bit_linear_module(const BitLinearParameters& parameters, double eps) {
  return bit_linear(parameters, eps);
}

}  // namespace normquant::reference
