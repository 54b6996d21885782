// Per-row 8-bit quantisation of float32 values, and where the result goes.
//
//   quant_scale = 127 / max(absmax, 1e-5)     code = clamp(round(y * quant_scale), -128, 127)
//   out = code * dequant_scale, dequant_scale = max(absmax, 1e-5) / 127
#pragma once

#include "device/element.cuh"
#include "device/row_threads.cuh"

namespace normquant::NORMQUANT_BACKEND {

__device__ __forceinline__ float nan_value() { return __uint_as_float(0x7fffffffU); }

/// y of the norm: every step rounded once, weight and bias in one fused multiply-add. Forward and backward share it, so
/// that from the same h, mean and rstd they get the same bits.
__device__ __forceinline__ float normalised(float h, float mean, float rstd) { return (h - mean) * rstd; }
__device__ __forceinline__ float affine(float xhat, float weight, float bias) { return fmaf(xhat, weight, bias); }

/// rstd = 1 / sqrt(var + eps); NaN when the statistics are not finite (also when finite input overflows them), so that
/// the whole row comes out as NaN.
__device__ __forceinline__ float reciprocal_root(float var, float eps) {
  return is_finite_magnitude(magnitude_bits(var)) ? 1.0F / sqrtf(var + eps) : nan_value();
}

/// The scales of one row; both NaN when the row is not finite.
struct RowScale {
  float quant, dequant;
};

__device__ __forceinline__ RowScale row_scale(std::uint32_t absmax_bits) {
  if (!is_finite_magnitude(absmax_bits)) return {nan_value(), nan_value()};
  const float absmax = fmaxf(__uint_as_float(absmax_bits), scale_floor);
  return {127.0F / absmax, absmax / 127.0F};
}

/// The scales of a row whose quant_scale was saved. The inverse is that of the saved value: within two roundings of
/// the forward's.
__device__ __forceinline__ RowScale row_scale_from_saved(float quant_scale) {
  return {quant_scale, 1.0F / quant_scale};
}

/// The nearest integer, by additions alone: a conversion or rounding instruction has an eighth of their rate. Exact for
/// |value| < 2^22; larger values (a saved scale that does not belong to the row) stay beyond the clamp.
/// Half to even: 1.5 * 2^23 has no bits below 1, so adding it rounds. Half away from zero: the magnitude plus the largest
/// float32 below 1/2, cut off by adding 2^23 rounded towards zero.
__device__ __forceinline__ float rounded_to_integer(float value, Rounding rounding) {
  constexpr float even = 12582912.0F, cut = 8388608.0F, below_half = 0.49999997F;  // 1.5 * 2^23, 2^23, 1/2 - 2^-25
  if (rounding == Rounding::half_even) return (value + even) - even;
  return copysignf(__fadd_rz(fabsf(value) + below_half, cut) - cut, value);
}

__device__ __forceinline__ float code_of(float y, float quant_scale, Rounding rounding) {
  return fminf(fmaxf(rounded_to_integer(y * quant_scale, rounding), -128.0F), 127.0F);
}

/// Writes V neighbouring results of a row in the forms that `output` asks for. A row that is not finite is NaN with
/// codes 0.
template <int V>
__device__ __forceinline__ void store_quantised(const QuantOutput& output, std::int64_t row, std::int64_t column,
                                                const float (&y)[V], RowScale scale, Rounding rounding) {
  float code[V];
#pragma unroll
  for (int v = 0; v < V; ++v) code[v] = code_of(y[v], scale.quant, rounding);
  if (output.codes != nullptr) {
    const bool finite = is_finite_magnitude(magnitude_bits(scale.quant));
    std::int8_t bytes[V];
#pragma unroll
    for (int v = 0; v < V; ++v) bytes[v] = finite ? static_cast<std::int8_t>(code[v]) : std::int8_t{0};
    Packet<std::int8_t, V> packet;
    memcpy(packet.data, bytes, sizeof(bytes));
    packet.store(output.codes + row * output.ld_codes + column);
  }
  if (output.out.given()) {
    float out[V];
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = code[v] * scale.dequant;
    store_typed(output.out.data, output.out.type, row * output.out.ld + column, out);
  }
}

/// V neighbouring weights (1 when there are none) and biases (0 when there are none).
template <int V>
__device__ __forceinline__ void load_weights(const ConstVector& weight, std::int64_t column, float (&values)[V]) {
  if (weight.given()) return load_typed(weight.data, weight.type, column, values);
#pragma unroll
  for (int v = 0; v < V; ++v) values[v] = 1.0F;
}
template <int V>
__device__ __forceinline__ void load_biases(const ConstVector& bias, std::int64_t column, float (&values)[V]) {
  if (bias.given()) return load_typed(bias.data, bias.type, column, values);
#pragma unroll
  for (int v = 0; v < V; ++v) values[v] = 0.0F;
}

/// The same for K packets: all loads are on their way before the first is waited for.
template <int K, int V, class Column, class Inside>
__device__ __forceinline__ void load_vector_packets(const ConstVector& vector, float absent, Column column,
                                                    Inside inside, float (&values)[K][V]) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int v = 0; v < V; ++v) values[k][v] = absent;
  }
  if (vector.given()) load_packets_typed(vector.data, vector.type, column, inside, values);
}

}  // namespace normquant::NORMQUANT_BACKEND
