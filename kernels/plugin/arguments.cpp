#include "plugin/arguments.hpp"

namespace normquant::plugins {
namespace {

static_assert(static_cast<int>(DType::float32) == NORMQUANT_FLOAT32 &&
              static_cast<int>(DType::float16) == NORMQUANT_FLOAT16 &&
              static_cast<int>(DType::bfloat16) == NORMQUANT_BFLOAT16);
static_assert(static_cast<int>(NormKind::layer) == NORMQUANT_LAYER && static_cast<int>(NormKind::rms) == NORMQUANT_RMS);
static_assert(static_cast<int>(Rounding::half_away) == NORMQUANT_HALF_AWAY &&
              static_cast<int>(Rounding::half_even) == NORMQUANT_HALF_EVEN);
static_assert(static_cast<int>(HSource::unrounded) == NORMQUANT_UNROUNDED &&
              static_cast<int>(HSource::stored) == NORMQUANT_STORED);

static_assert(static_cast<int>(QuantFormat::int8) == NORMQUANT_INT8 &&
              static_cast<int>(QuantFormat::fp8_e4m3) == NORMQUANT_FP8_E4M3);

template <class Enum>
std::int32_t number(Enum value) {
  return static_cast<std::int32_t>(value);
}

normquant_const_matrix matrix(const ConstMatrix& m) { return {m.data, m.ld, number(m.type), 0}; }
normquant_matrix matrix(const Matrix& m) { return {m.data, m.ld, number(m.type), 0}; }
normquant_const_vector vector(const ConstVector& v) { return {v.data, number(v.type), 0}; }
normquant_vector vector(const Vector& v) { return {v.data, number(v.type), 0}; }
normquant_quant_output output(const QuantOutput& o) { return {matrix(o.out), o.codes, o.ld_codes, o.dequant_scale}; }
normquant_quantisation quantisation(const Quantisation& q) { return {number(q.format), q.static_scale, q.floor, 0}; }

normquant_bit_linear layer(const BitLinearLayer& l) {
  normquant_bit_linear c{};
  c.size = sizeof c;
  c.norm = number(l.norm);
  c.rounding = number(l.rounding);
  c.h_source = number(l.h_source);
  c.eps = l.eps;
  c.operand = number(l.operand);
  c.k_in = l.k_in;
  c.k_out = l.k_out;
  c.norm_weight = vector(l.norm_weight);
  c.norm_bias = vector(l.norm_bias);
  c.linear_bias = vector(l.linear_bias);
  c.adds_bias = l.adds_bias() ? 1 : 0;
  const BitLinearWeights& w = l.weights;
  c.weights = {matrix(w.operand), w.codes, w.ld_codes, w.packed, w.ld_packed, w.dequant_factor};
  return c;
}

}  // namespace

normquant_forward_args in_c(const NormQuantForward& a) {
  normquant_forward_args c{};
  c.size = sizeof c;
  c.norm = number(a.norm);
  c.rounding = number(a.rounding);
  c.h_source = number(a.h_source);
  c.eps = a.eps;
  c.rows = a.rows;
  c.columns = a.columns;
  c.x = matrix(a.x);
  c.residual = matrix(a.residual);
  c.weight = vector(a.weight);
  c.bias = vector(a.bias);
  c.output = output(a.output);
  c.residual_out = matrix(a.residual_out);
  c.mean = a.mean;
  c.rstd = a.rstd;
  c.quant_scale = a.quant_scale;
  c.quantisation = quantisation(a.quantisation);
  return c;
}

normquant_backward_args in_c(const NormQuantBackward& a) {
  normquant_backward_args c{};
  c.size = sizeof c;
  c.norm = number(a.norm);
  c.rounding = number(a.rounding);
  c.rows = a.rows;
  c.columns = a.columns;
  c.dy = matrix(a.dy);
  c.h = matrix(a.h);
  c.weight = vector(a.weight);
  c.bias = vector(a.bias);
  c.mean = a.mean;
  c.rstd = a.rstd;
  c.quant_scale = a.quant_scale;
  c.dresidual = matrix(a.dresidual);
  c.dx = matrix(a.dx);
  c.dx_residual = matrix(a.dx_residual);
  c.dweight = vector(a.dweight);
  c.dbias = vector(a.dbias);
  c.recomputed = output(a.recomputed);
  return c;
}

normquant_activation_args in_c(const ActivationQuant& a) {
  normquant_activation_args c{};
  c.size = sizeof c;
  c.rounding = number(a.rounding);
  c.rows = a.rows;
  c.columns = a.columns;
  c.x = matrix(a.x);
  c.output = output(a.output);
  c.quantisation = quantisation(a.quantisation);
  return c;
}

normquant_weight_args in_c(const WeightQuant& a) {
  normquant_weight_args c{};
  c.size = sizeof c;
  c.rows = a.rows;
  c.columns = a.columns;
  c.w = matrix(a.w);
  c.out = matrix(a.out);
  c.codes = a.codes;
  c.ld_codes = a.ld_codes;
  c.packed = a.packed;
  c.ld_packed = a.ld_packed;
  c.dequant_factor = a.dequant_factor;
  return c;
}

normquant_bit_linear_forward_args in_c(const BitLinearForward& a) {
  normquant_bit_linear_forward_args c{};
  c.size = sizeof c;
  c.rows = a.rows;
  c.layer = layer(a.layer);
  c.linear_weight = matrix(a.linear_weight);
  c.x = matrix(a.x);
  c.residual = matrix(a.residual);
  c.out = matrix(a.out);
  c.residual_out = matrix(a.residual_out);
  c.mean = a.mean;
  c.rstd = a.rstd;
  c.quant_scale = a.quant_scale;
  c.y_q = output(a.y_q);
  return c;
}

normquant_bit_linear_backward_args in_c(const BitLinearBackward& a) {
  normquant_bit_linear_backward_args c{};
  c.size = sizeof c;
  c.rows = a.rows;
  c.layer = layer(a.layer);
  c.dout = matrix(a.dout);
  c.h = matrix(a.h);
  c.mean = a.mean;
  c.rstd = a.rstd;
  c.quant_scale = a.quant_scale;
  c.dresidual = matrix(a.dresidual);
  c.dx = matrix(a.dx);
  c.dx_residual = matrix(a.dx_residual);
  c.dlinear_weight = matrix(a.dlinear_weight);
  c.dlinear_bias = vector(a.dlinear_bias);
  c.dnorm_weight = vector(a.dnorm_weight);
  c.dnorm_bias = vector(a.dnorm_bias);
  return c;
}

normquant_device in_c(const DeviceInfo& d) {
  normquant_device c{};
  c.size = sizeof c;
  c.kind = d.kind == DeviceKind::host ? NORMQUANT_HOST : NORMQUANT_CUDA;
  c.compute_capability = d.compute_capability;
  c.sm_count = d.sm_count;
  c.shared_memory_per_block = d.shared_memory_per_block;
  c.l2_bytes = d.l2_bytes;
  return c;
}

}  // namespace normquant::plugins
