// The forms that users of the Triton system have, and what they share.
#include <normquant/bit_linear.hpp>

namespace normquant {

BitLinearLayer layer_norm_linear_quant(NormKind norm, float eps) {
  BitLinearLayer layer;
  layer.norm = norm;
  layer.eps = eps;
  return layer;
}

BitLinearLayer rms_norm_linear_quant(float eps) { return layer_norm_linear_quant(NormKind::rms, eps); }

BitLinearLayer bit_linear(float eps) { return rms_norm_linear_quant(eps); }

BitLinearLayer unfused_bit_linear_module(float eps, bool reproduce_dropped_bias) {
  BitLinearLayer layer = bit_linear(eps);
  layer.rounding = Rounding::half_even;
  layer.reproduce_dropped_bias = reproduce_dropped_bias;
  return layer;
}

BitLinearLayer fused_bit_linear_module(float eps) { return bit_linear(eps); }

WeightQuant weight_quant_of(const BitLinearLayer& layer, const ConstMatrix& linear_weight) {
  WeightQuant args;
  args.rows = layer.k_out;
  args.columns = layer.k_in;
  args.w = linear_weight;
  args.out = layer.weights.operand;
  args.codes = layer.weights.codes;
  args.ld_codes = layer.weights.ld_codes;
  args.packed = layer.weights.packed;
  args.ld_packed = layer.weights.ld_packed;
  args.dequant_factor = layer.weights.dequant_factor;
  return args;
}

}  // namespace normquant
