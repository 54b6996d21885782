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

/// 1 / sqrt(value) for a positive value. On the GPU the approximate instruction (2^-22.4 off at most, CUDA C++ Programming
/// Guide, "Mathematical Functions") and one Newton step: a third of the instructions of a root and a division.
__device__ __forceinline__ float reciprocal_root_of(float value) {
#if defined(__CUDA_ARCH__)
  const float root = rsqrtf(value);
  return fmaf(root, fmaf(-0.5F * value * root, root, 0.5F), root);
#else
  return 1.0F / sqrtf(value);
#endif
}

/// rstd = 1 / sqrt(var + eps); NaN when the statistics are not finite (also when finite input overflows them), so that
/// the whole row comes out as NaN.
__device__ __forceinline__ float reciprocal_root(float var, float eps) {
  return is_finite_magnitude(magnitude_bits(var)) ? reciprocal_root_of(var + eps) : nan_value();
}

/// Whether (h - mean) * weight overflowed in a row whose statistics are finite.
__device__ __forceinline__ bool overflowed(float largest, float rstd) {
  return is_infinite_magnitude(magnitude_bits(largest)) && is_finite_magnitude(magnitude_bits(rstd));
}

#if defined(__CUDA_ARCH__)
/// 1 / value, one unit in the last place off at most.
__device__ __forceinline__ float approximate_reciprocal(float value) {
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
}
#endif

/// a / b for b from 1e-5 to 1e30: quotient by an approximate reciprocal and one correction, exact where a / b is.
__device__ __forceinline__ float quotient(float a, float b) {
#if defined(__CUDA_ARCH__)
  const float reciprocal = approximate_reciprocal(b);
  const float first = a * reciprocal;
  return fmaf(fmaf(-first, b, a), reciprocal, first);
#else
  return a / b;
#endif
}

/// The scales of one row; both NaN when the row is not finite.
struct RowScale {
  float quant, dequant;
};

__device__ __forceinline__ RowScale row_scale(std::uint32_t absmax_bits) {
  if (!is_finite_magnitude(absmax_bits)) return {nan_value(), nan_value()};
  const float absmax = fmaxf(__uint_as_float(absmax_bits), scale_floor);
  if (absmax > 1e30F) return {127.0F / absmax, absmax / 127.0F};  // the reciprocal would not be a normal number
  return {quotient(127.0F, absmax), quotient(absmax, 127.0F)};
}

/// The scales of a row whose quant_scale was saved. The inverse is that of the saved value: within two roundings of
/// the forward's.
__device__ __forceinline__ RowScale row_scale_from_saved(float quant_scale) {
  return {quant_scale, 1.0F / quant_scale};
}

/// The nearest integer, by additions alone: a conversion or rounding instruction has an eighth of their rate. Exact for
/// |value| < 2^22; larger values (a saved scale that does not belong to the row) stay beyond the clamp.
/// Half to even: 1.5 * 2^23 has no bits below 1, so adding it rounds. Half away from zero: the magnitude plus 1/2, cut
/// off by adding 2^23 rounded towards zero.
constexpr float even_magic = 12582912.0F, cut_magic = 8388608.0F;  // 1.5 * 2^23, 2^23

/// What values of a norm are multiplied by, so that rounding to nearest, ties to even, gives codes in the rounding that is
/// asked for. Half away from zero: the next float32 above, which lifts a tie over the edge. That is an error of 2 u in the
/// factor (docs/numerics.md), which the values' own errors exceed. Where values may be exact, codes_of rounds exactly.
__device__ __forceinline__ float code_factor(float factor, Rounding rounding) {
  return rounding == Rounding::half_even ? factor : __uint_as_float(__float_as_uint(factor) + 1);
}

/// The values become their codes: round(value * factor), the product exact inside the rounding; two additions and no branch.
/// For rows with their own scale, in which no code exceeds 127 and the clamp cannot bind.
template <int V>
__device__ __forceinline__ void nearest_codes(float (&values)[V], float factor) {
#pragma unroll
  for (int v = 0; v < V; ++v) values[v] = fmaf(values[v], factor, even_magic) - even_magic;
}

/// For codes by a saved scale, which may belong to other values (h after rounding).
template <int V>
__device__ __forceinline__ void clamp_codes(float (&codes)[V]) {
#pragma unroll
  for (int v = 0; v < V; ++v) codes[v] = fminf(fmaxf(codes[v], -128.0F), 127.0F);
}

/// Whether a row's scale is that of its own absmax: then |y * quant_scale| stays below 127.5 and the clamp cannot bind.
/// A saved scale may belong to other values (h after rounding), so there it can.
enum class ScaleOrigin { own, saved };

/// Codes of V values: round(y * quant_scale), the product exact inside the rounding.
template <int V>
__device__ __forceinline__ void codes_of(const float (&y)[V], float quant_scale, Rounding rounding, ScaleOrigin origin,
                                         float (&code)[V]) {
  if (rounding == Rounding::half_even) {
#pragma unroll
    for (int v = 0; v < V; ++v) code[v] = fmaf(y[v], quant_scale, even_magic) - even_magic;
  } else {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const float magnitude = __fadd_rz(__fmaf_rz(fabsf(y[v]), quant_scale, 0.5F), cut_magic) - cut_magic;
      code[v] = copysignf(magnitude, y[v]);
    }
  }
  if (origin == ScaleOrigin::saved) clamp_codes(code);
}

/// V neighbouring codes as int8. In code + 1.5 * 2^23 the lowest byte is the code in two's complement.
template <int V>
__device__ __forceinline__ Packet<std::int8_t, V> packed_codes(const float (&code)[V], RowScale scale) {
  const std::uint32_t finite = is_finite_magnitude(magnitude_bits(scale.quant)) ? 0xffffffffU : 0U;
  Packet<std::int8_t, V> packet;
  const auto bits = [&](int v) { return __float_as_uint(code[v] + even_magic); };
#if defined(__CUDA_ARCH__)
  if constexpr (V % 4 == 0) {
    std::uint32_t words[V / 4];
#pragma unroll
    for (int i = 0; i < V / 4; ++i) {
      const std::uint32_t low = __byte_perm(bits(4 * i), bits(4 * i + 1), 0x0040);
      const std::uint32_t high = __byte_perm(bits(4 * i + 2), bits(4 * i + 3), 0x0040);
      words[i] = __byte_perm(low, high, 0x5410) & finite;
    }
    memcpy(packet.data, words, sizeof(words));
  } else
#endif
  {
    std::uint8_t bytes[V];
#pragma unroll
    for (int v = 0; v < V; ++v) bytes[v] = static_cast<std::uint8_t>(bits(v) & finite);
    memcpy(packet.data, bytes, sizeof(bytes));
  }
  return packet;
}

/// Writes V neighbouring results of a row in the forms that `output` asks for. A row that is not finite is NaN with
/// codes 0.
template <int V>
__device__ __forceinline__ void store_quantised(const QuantOutput& output, std::int64_t row, std::int64_t column,
                                                const float (&y)[V], RowScale scale, Rounding rounding,
                                                ScaleOrigin origin = ScaleOrigin::own) {
  float code[V];
  codes_of(y, scale.quant, rounding, origin, code);
  if (output.codes != nullptr) packed_codes(code, scale).store(output.codes + row * output.ld_codes + column);
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

}  // namespace normquant::NORMQUANT_BACKEND
