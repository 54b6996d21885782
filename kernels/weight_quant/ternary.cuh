// Ternary codes of weights, by integer operations on the bits of two neighbouring weights at a time.
//
//   code = clamp(round_half_even(w * scale), -1, 1);  scale = 1 / factor
//
// |w * scale| grows with |w|, so the code is not 0 exactly from one magnitude on, and its sign is w's. Magnitudes order
// like their bits: the code of a 16-bit weight is one comparison, done for both halves of a register by one subtraction
// from the magnitude with the top bit set, where no half can borrow from the other. All outputs follow from two flags a
// weight, and none needs float32 again: about 3 instructions an element where rounding and clamping take 8.
#pragma once

#include "device/quantise.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The top bit of both 16-bit lanes of a register.
constexpr std::uint32_t lane_tops = 0x80008000U;

#if defined(__CUDA_ARCH__)
/// Four bytes of {low, high}; a selector of 8 + i gives byte i's top bit eight times.
template <std::uint32_t selectors>
__device__ __forceinline__ std::uint32_t permuted(std::uint32_t low, std::uint32_t high) {
  std::uint32_t result;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(low), "r"(high), "n"(selectors));
  return result;
}
#endif

/// 0xffff in the lanes whose top bit is set, 0 in the others.
__device__ __forceinline__ std::uint32_t lane_mask(std::uint32_t flags) {
#if defined(__CUDA_ARCH__)
  return permuted<0xbb99>(flags, flags);
#else
  return (flags >> 15 & 0x00010001U) * 0xffffU;
#endif
}

/// All bits as the top bit.
__device__ __forceinline__ std::uint32_t top_mask(std::uint32_t flag) {
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(flag) >> 31);
}

/// A byte a lane: 0xff where the top bit is set, the two lanes of `low` first.
__device__ __forceinline__ std::uint32_t byte_mask(std::uint32_t low, std::uint32_t high) {
#if defined(__CUDA_ARCH__)
  return permuted<0xfdb9>(low, high);
#else
  const std::uint32_t bits = (low >> 15 & 1U) | (low >> 31) << 8 | (high >> 15 & 1U) << 16 | (high >> 31) << 24;
  return bits * 0xffU;
#endif
}

/// Bits of a T, and a T of bits.
template <class T>
using BitsOf = typename Word<sizeof(T)>::type;
template <class T>
__device__ __forceinline__ BitsOf<T> bits_of(T value) {
  BitsOf<T> bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
template <class T>
__device__ __forceinline__ T of_bits(BitsOf<T> bits) {
  T value;
  memcpy(static_cast<void*>(&value), &bits, sizeof(bits));
  return value;
}
/// The same bits in every lane of a register: twice for 16-bit types.
template <class T>
__device__ __forceinline__ std::uint32_t in_every_lane(BitsOf<T> bits) {
  return sizeof(T) == 2 ? bits * 0x00010001U : bits;
}

/// Bits of the least magnitude in W whose code is not 0, decided by the very product that the formula rounds: above 1/2
/// it rounds to at least 1, and 1/2 itself to 0. The loops take a step or two.
template <class W>
__device__ __forceinline__ BitsOf<W> least_coded(float factor, float scale) {
  const auto coded = [&](BitsOf<W> bits) { return to_float(of_bits<W>(bits)) * scale > 0.5F; };
  BitsOf<W> bits = bits_of(from_float<W>(0.5F * factor));
  while (bits > 0 && coded(static_cast<BitsOf<W>>(bits - 1))) --bits;
  while (!coded(bits)) ++bits;  // ends: infinity is coded
  return bits;
}

/// What the codes of a matrix need, the same for every thread. A factor that is not finite (the matrix is not) makes
/// every code 0 and every value NaN.
struct TernaryScale {
  std::uint32_t least;   ///< least_coded in every lane; a lane's top bit alone: no magnitude is coded
  std::uint32_t value;   ///< the factor in out's type, in every lane
  std::uint32_t poison;  ///< NaN in out's type, in every lane, when the factor is not finite; else 0
};

template <class W>
__device__ __forceinline__ TernaryScale ternary_scale(float factor, DType out) {
  const bool finite = is_finite_magnitude(magnitude_bits(factor));
  TernaryScale scale = {sizeof(W) == 2 ? lane_tops : 0x80000000U, 0, 0};
  if (finite) scale.least = in_every_lane<W>(least_coded<W>(factor, 1.0F / factor));
  with_element_type(out, [&](auto type) {
    using T = typename decltype(type)::type;
    const std::uint32_t bits = in_every_lane<T>(bits_of(from_float<T>(factor)));
    (finite ? scale.value : scale.poison) = bits;
  });
  return scale;
}

/// The codes of C neighbouring weights as flags: the top bits of 16-bit lanes, two weights a register. Other bits are
/// arbitrary.
template <int C>
struct TernaryCodes {
  std::uint32_t coded[C / 2], negative[C / 2];

  template <class W>
  __device__ __forceinline__ TernaryCodes(const Packet<W, C>& weights, const TernaryScale& scale) {
    std::uint32_t words[C * sizeof(W) / 4];
    memcpy(words, weights.data, sizeof(words));
#pragma unroll
    for (int i = 0; i < C / 2; ++i) {
      if constexpr (sizeof(W) == 2) {
        coded[i] = (words[i] | lane_tops) - scale.least;
        negative[i] = words[i];
      } else {
        const std::uint32_t even = (words[2 * i] | 0x80000000U) - scale.least;
        const std::uint32_t odd = (words[2 * i + 1] | 0x80000000U) - scale.least;
        coded[i] = even >> 16 | (odd & 0xffff0000U);
        negative[i] = words[2 * i] >> 16 | (words[2 * i + 1] & 0xffff0000U);
      }
    }
  }

  /// code * factor in T, which is scale's output type: the factor with w's sign, or 0.
  template <class T>
  __device__ __forceinline__ Packet<T, C> values(const TernaryScale& scale) const {
    std::uint32_t words[C * sizeof(T) / 4];
#pragma unroll
    for (int i = 0; i < C / 2; ++i) {
      if constexpr (sizeof(T) == 2) {
        words[i] = (lane_mask(coded[i]) & (scale.value | (negative[i] & lane_tops))) | scale.poison;
      } else {
        // Masks by shifts: as lane_mask and a multiplication to widen it, nvcc 13.0 made every mask of float32 weights
        // zero on the GPU, and right ones on the host. The cause was not isolated.
        words[2 * i] = (top_mask(coded[i] << 16) & (scale.value | (negative[i] << 16 & 0x80000000U))) | scale.poison;
        words[2 * i + 1] = (top_mask(coded[i]) & (scale.value | (negative[i] & 0x80000000U))) | scale.poison;
      }
    }
    Packet<T, C> packet;
    memcpy(packet.data, words, sizeof(words));
    return packet;
  }

  /// The codes as int8.
  __device__ __forceinline__ Packet<std::int8_t, C> bytes() const {
    std::uint32_t words[C / 4];
#pragma unroll
    for (int i = 0; i < C / 4; ++i) {
      const std::uint32_t nonzero = byte_mask(coded[2 * i], coded[2 * i + 1]);
      words[i] = nonzero & (byte_mask(negative[2 * i], negative[2 * i + 1]) | 0x01010101U);
    }
    Packet<std::int8_t, C> packet;
    memcpy(packet.data, words, sizeof(words));
    return packet;
  }

  /// Four codes a byte: bits 2i and 2i + 1 hold code + 1 of column 4b + i.
  __device__ __forceinline__ Packet<std::uint8_t, C / 4> packed() const {
    std::uint8_t bytes[C / 4];
#pragma unroll
    for (int b = 0; b < C / 4; ++b) {
      const std::uint32_t nonzero = byte_mask(coded[2 * b], coded[2 * b + 1]);
      const std::uint32_t minus = byte_mask(negative[2 * b], negative[2 * b + 1]);
      const std::uint32_t spread = (nonzero & ~minus & 0x02020202U) | (~nonzero & 0x01010101U);  // a code + 1 a byte
      // The product's top byte is byte 0 + 4 byte 1 + 16 byte 2 + 64 byte 3; what lies below it does not carry.
      bytes[b] = static_cast<std::uint8_t>(spread * 0x01041040U >> 24);
    }
    Packet<std::uint8_t, C / 4> packet;
    memcpy(packet.data, bytes, sizeof(bytes));
    return packet;
  }
};

}  // namespace normquant::NORMQUANT_BACKEND
