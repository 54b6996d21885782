// fp8 e4m3, the finite-only format of OCP FP8: 4 exponent bits, bias 7, 3 mantissa bits; largest 448, smallest 2^-9, NaN 0x7F or
// 0xFF, no infinity (docs/operations.md, section 8).
//
// Rounds to nearest, ties to even, subnormals included, and saturates. NaN becomes 0x7F, whatever its sign. The GPU's instruction
// for pairs (compute capability 8.9 and later) and the software give the same bits for all 2^32 floats (tests/e4m3).
#pragma once

#include "device/element.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The code of a value, in software.
__device__ __forceinline__ std::uint8_t e4m3_in_software(float value) {
  const std::uint32_t bits = __float_as_uint(value), sign = bits >> 24 & 0x80U, magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return 0x7F;
  std::uint32_t code = 0x7E;
  if (magnitude < 0x3c800000U) {
    // Below 2^-6 codes are multiples of 2^-9, the distance of float32's numbers from 2^14 on.
    constexpr float anchor = 16384.0F;
    code = __float_as_uint(__uint_as_float(magnitude) + anchor) - __float_as_uint(anchor);
  } else if (magnitude < 0x43e00000U) {
    // Below 448: 20 bits of the mantissa are rounded off, and the bias 127 becomes 7.
    code = ((magnitude + 0x7ffffU + (magnitude >> 20 & 1U)) >> 20) - (120U << 3);
  }
  return static_cast<std::uint8_t>(sign | code);
}

/// The codes of two values, the first in the lower byte.
__device__ __forceinline__ std::uint16_t e4m3_pair(float first, float second) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  std::uint16_t pair;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return static_cast<std::uint16_t>(e4m3_in_software(first) | e4m3_in_software(second) << 8);
#endif
}

/// The codes of four values, the first in the lowest byte. One block of instructions, whose result is the word alone: ptxas 13.0.88
/// makes one register of two pairs, and what reads a pair beside the word then reads another register.
__device__ __forceinline__ std::uint32_t e4m3_four(float first, float second, float third, float fourth) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  std::uint32_t word;
  asm("{\n\t.reg .b16 low, high;\n\t"
      "cvt.rn.satfinite.e4m3x2.f32 low, %2, %1;\n\t"
      "cvt.rn.satfinite.e4m3x2.f32 high, %4, %3;\n\t"
      "mov.b32 %0, {low, high};\n\t}"
      : "=r"(word)
      : "f"(first), "f"(second), "f"(third), "f"(fourth));
  return word;
#else
  return e4m3_pair(first, second) | static_cast<std::uint32_t>(e4m3_pair(third, fourth)) << 16;
#endif
}

/// The value of a value's code, by additions alone. A kernel takes it from here and not from the code that it has just made: ptxas
/// 13.0.88 gives another register to what reads a byte beside its word.
__device__ __forceinline__ float e4m3_rounded(float value) {
  const std::uint32_t bits = __float_as_uint(value), magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return __uint_as_float(0x7fffffffU);
  const float clamped = fminf(__uint_as_float(magnitude), 448.0F);
  // 1.5 * 2^(e + 20): numbers of its size are 2^(e - 3) apart, as those of e4m3 are from 2^e on, and below 2^-6 as they are there.
  const std::uint32_t exponent = max(__float_as_uint(clamped) & 0x7f800000U, 0x3c800000U);
  const float anchor = __uint_as_float((exponent + (20U << 23)) | 0x00400000U);
  return __uint_as_float(__float_as_uint((clamped + anchor) - anchor) | (bits & 0x80000000U));
}

/// The value of a code. The bits of e4m3 are those of a float32 with another bias, subnormals too.
__device__ __forceinline__ float e4m3_value(std::uint8_t code) {
  if ((code & 0x7fU) == 0x7fU) return __uint_as_float(0x7fffffffU);
  const float magnitude = __uint_as_float((code & 0x7fU) << 20) * 0x1p120F;
  return (code & 0x80U) != 0 ? -magnitude : magnitude;
}

/// The codes of V neighbouring values.
template <int V>
__device__ __forceinline__ Packet<std::int8_t, V> packed_e4m3(const float (&values)[V]) {
  Packet<std::int8_t, V> packet;
  static_assert(V == 1 || V % 4 == 0);
  if constexpr (V == 1) {
    const auto code = static_cast<std::uint8_t>(e4m3_pair(values[0], 0.0F) & 0xffU);
    memcpy(packet.data, &code, sizeof(code));
  } else {
    std::uint32_t words[V / 4];
#pragma unroll
    for (int i = 0; i < V / 4; ++i) {
      words[i] = e4m3_four(values[4 * i], values[4 * i + 1], values[4 * i + 2], values[4 * i + 3]);
    }
    memcpy(packet.data, words, sizeof(words));
  }
  return packet;
}

}  // namespace normquant::NORMQUANT_BACKEND
