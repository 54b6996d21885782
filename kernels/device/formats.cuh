// Quantisation in another format than int8, by a given scale or with another floor (docs/operations.md, section 8).
//
//   quant_scale = largest / max(absmax, floor), or given
//   int8: code = clamp(round(y * quant_scale), -128, 127)     fp8: code = e4m3(clamp(y * quant_scale, -448, 448))
//
// NaN is judged element by element: fp8 has a code for it, and int8's is 0. In a row that is not finite the scale is NaN, or by a
// given scale y is, so that all of its codes are.
#pragma once

#include "device/e4m3.cuh"
#include "device/quantise.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The scales of a row: as given, or of its absmax.
__device__ __forceinline__ RowScale row_scale(const Quantisation& q, std::uint32_t absmax_bits) {
  if (q.has_static_scale()) return {q.static_scale, 1.0F / q.static_scale};
  if (!is_finite_magnitude(absmax_bits)) return {nan_value(), nan_value()};
  const float largest = largest_code(q.format), absmax = fmaxf(__uint_as_float(absmax_bits), q.floor);
  if (absmax > 1e30F || absmax < 1e-5F) return {largest / absmax, absmax / largest};  // quotient's range
  return {quotient(largest, absmax), quotient(absmax, largest)};
}

/// The bits of V codes, of the values times `factor`; `code` becomes the codes as numbers.
template <int V>
__device__ __forceinline__ Packet<std::int8_t, V> codes_in(const Quantisation& q, const float (&values)[V],
                                                           float factor, Rounding rounding, float (&code)[V]) {
  if (q.format == QuantFormat::fp8_e4m3) {
#pragma unroll
    for (int v = 0; v < V; ++v) code[v] = values[v] * factor;
    const Packet<std::int8_t, V> packet = packed_e4m3(code);
#pragma unroll
    for (int v = 0; v < V; ++v) code[v] = e4m3_rounded(code[v]);
    return packet;
  }
  codes_of(values, factor, rounding, ScaleOrigin::own, code);
  float numbers[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    const bool is_nan = magnitude_bits(code[v]) > 0x7f800000U;
    numbers[v] = is_nan ? 0.0F : fminf(fmaxf(code[v], -128.0F), 127.0F);
    if (!is_nan) code[v] = numbers[v];
  }
  return packed_codes(numbers, {1.0F, 1.0F});
}

/// The bits of V codes of int8 alone, V a multiple of 4, of the values times `factor`: as nearest_codes has them, clamped. Rows that
/// are not finite have a factor that is NaN, and codes 0; no value may be NaN otherwise.
template <int V>
__device__ __forceinline__ Packet<std::int8_t, V> clamped_codes(const float (&values)[V], float factor) {
  const std::uint32_t finite = is_finite_magnitude(magnitude_bits(factor)) ? 0xffffffffU : 0U;
  // The lowest byte of code + 1.5 * 2^23 is the code, so the clamp comes before the difference that nobody needs.
  const auto bits = [&](int v) {
    return __float_as_uint(fminf(fmaxf(fmaf(values[v], factor, even_magic), even_magic - 128.0F), even_magic + 127.0F));
  };
  std::uint32_t words[V / 4];
#pragma unroll
  for (int i = 0; i < V / 4; ++i) {
#if defined(__CUDA_ARCH__)
    const std::uint32_t low = __byte_perm(bits(4 * i), bits(4 * i + 1), 0x0040);
    const std::uint32_t high = __byte_perm(bits(4 * i + 2), bits(4 * i + 3), 0x0040);
    words[i] = __byte_perm(low, high, 0x5410) & finite;
#else
    words[i] = 0;
    for (int v = 0; v < 4; ++v) words[i] |= (bits(4 * i + v) & 0xffU & finite) << 8 * v;
#endif
  }
  Packet<std::int8_t, V> packet;
  memcpy(packet.data, words, sizeof(words));
  return packet;
}

/// store_quantised of the values times `factor`, in that format.
template <int V>
__device__ __forceinline__ void store_quantised_in(const Quantisation& q, const QuantOutput& output, std::int64_t row,
                                                   std::int64_t column, const float (&values)[V], float factor,
                                                   RowScale scale, Rounding rounding) {
  float code[V];
  const Packet<std::int8_t, V> packet = codes_in(q, values, factor, rounding, code);
  if (output.codes != nullptr) packet.store(output.codes + row * output.ld_codes + column);
  if (output.out.given()) {
    float out[V];
#pragma unroll
    for (int v = 0; v < V; ++v) out[v] = code[v] * scale.dequant;
    store_typed(output.out.data, output.out.type, row * output.out.ld + column, out);
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
