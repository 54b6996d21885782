// The threads that share one row, and reductions over them.
#pragma once

#include "device/launch_sizes.hpp"
#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Bits of |value|: as integers they order like the values, with NaN above Inf above every finite number, so that a
/// maximum over them keeps NaN (fmaxf would lose it).
__device__ __forceinline__ std::uint32_t magnitude_bits(float value) { return __float_as_uint(value) & 0x7fffffffU; }
__device__ __forceinline__ bool is_finite_magnitude(std::uint32_t bits) { return bits < 0x7f800000U; }
__device__ __forceinline__ bool is_infinite_magnitude(std::uint32_t bits) { return bits == 0x7f800000U; }

/// max(largest, |value|), NaN if either is.
__device__ __forceinline__ float larger_magnitude(float largest, float value) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(largest), "f"(fabsf(value)));  // fmaxf would lose NaN
  return result;
#else
  return __uint_as_float(magnitude_bits(largest) > magnitude_bits(value) ? magnitude_bits(largest)
                                                                         : magnitude_bits(value));
#endif
}

/// Reductions over `width` neighbouring lanes, a power of two. A butterfly: addition commutes, so all lanes end with the
/// same bits. The full warp, which nearly every row uses, is unrolled: these instructions are a fixed cost of every warp.
__device__ __forceinline__ float warp_sum(float value, int width) {
  if (width == warp_threads) {
#pragma unroll
    for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
      value += __shfl_xor_sync(0xffffffffU, value, distance);
    }
    return value;
  }
  for (int distance = width / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xffffffffU, value, distance);
  return value;
}
__device__ __forceinline__ std::uint32_t warp_largest(std::uint32_t bits, int width) {
  if (width == warp_threads) return __reduce_max_sync(0xffffffffU, bits);
  for (int distance = width / 2; distance > 0; distance /= 2) {
    bits = max(bits, __shfl_xor_sync(0xffffffffU, bits, distance));
  }
  return bits;
}

/// One thread's view of its row. blockDim = (threads of a row, rows of a block); threads of a row are a power of two up
/// to 32 (rows then share a warp) or a multiple of 32. All threads of the block reduce together, also those whose row
/// lies past the end. The order of the sums depends on the launch shape only.
struct RowThreads {
  static constexpr int most_values = most_reduced_values;

  int lane;        ///< this thread's place in its row
  int count;       ///< threads of the row
  float* scratch;  ///< this row's part of the shared memory, see row_scratch_bytes
  int turn;        ///< which half of the scratch the next reduction uses; with two halves one barrier each is enough

  /// Sums of `sums` and, if `with_largest`, maximum of `largest` over the row; every thread gets them, bit for bit the
  /// same.
  template <int S, bool with_largest = true>
  __device__ __forceinline__ void reduce(float (&sums)[S], std::uint32_t& largest) {
    const int width = count < warp_threads ? count : warp_threads;
#pragma unroll
    for (int s = 0; s < S; ++s) sums[s] = warp_sum(sums[s], width);
    if (with_largest) largest = warp_largest(largest, width);
    if (count <= warp_threads) return;
    float* slots = next_slots();
    if (lane % warp_threads == 0) {
#pragma unroll
      for (int s = 0; s < S; ++s) slots[s * warps() + lane / warp_threads] = sums[s];
      if (with_largest) slots[S * warps() + lane / warp_threads] = __uint_as_float(largest);
    }
    __syncthreads();
    const bool reads = lane % warp_threads < warps();
#pragma unroll
    for (int s = 0; s < S; ++s) {
      sums[s] = warp_sum(reads ? slots[s * warps() + lane % warp_threads] : 0.0F, warp_threads);
    }
    if (!with_largest) return;
    const std::uint32_t seen = reads ? __float_as_uint(slots[S * warps() + lane % warp_threads]) : 0U;
    largest = warp_largest(seen, warp_threads);
  }

  __device__ __forceinline__ float sum(float value) {
    float sums[1] = {value};
    std::uint32_t none = 0;
    reduce<1, false>(sums, none);
    return sums[0];
  }

  __device__ __forceinline__ std::uint32_t largest(std::uint32_t bits) {
    bits = warp_largest(bits, count < warp_threads ? count : warp_threads);
    if (count <= warp_threads) return bits;
    float* slots = next_slots();
    if (lane % warp_threads == 0) slots[lane / warp_threads] = __uint_as_float(bits);
    __syncthreads();
    const bool reads = lane % warp_threads < warps();
    return warp_largest(reads ? __float_as_uint(slots[lane % warp_threads]) : 0U, warp_threads);
  }

 private:
  __device__ __forceinline__ int warps() const { return count / warp_threads; }
  __device__ __forceinline__ float* next_slots() {
    float* slots = scratch + static_cast<std::size_t>(turn * most_values * warps());
    turn ^= 1;
    return slots;
  }
};

/// The view of the calling thread.
__device__ __forceinline__ RowThreads row_threads() {
  const int count = static_cast<int>(blockDim.x);
  const int words = count <= warp_threads ? 0 : 2 * RowThreads::most_values * (count / warp_threads);
  return {static_cast<int>(threadIdx.x), count, shared_memory<float>() + static_cast<std::size_t>(threadIdx.y) * words,
          0};
}

}  // namespace normquant::NORMQUANT_BACKEND
