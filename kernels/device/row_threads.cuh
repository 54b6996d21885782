// The threads that share one row, and reductions over them.
#pragma once

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

constexpr int warp_threads = 32;

/// Bits of |value|: as integers they order like the values, with NaN above Inf above every finite number, so that a
/// maximum over them keeps NaN (fmaxf would lose it).
__device__ __forceinline__ std::uint32_t magnitude_bits(float value) { return __float_as_uint(value) & 0x7fffffffU; }
__device__ __forceinline__ bool is_finite_magnitude(std::uint32_t bits) { return bits < 0x7f800000U; }

/// One thread's view of its row. blockDim = (threads of a row, rows of a block); threads of a row are a power of two up
/// to 32 (rows then share a warp) or a multiple of 32. All threads of the block reduce together, also those whose row
/// lies past the end. The order of the sums depends on the launch shape only.
struct RowThreads {
  int lane;        ///< this thread's place in its row
  int count;       ///< threads of the row
  float* scratch;  ///< this row's part of the shared memory, see row_scratch_bytes
  int turn;        ///< which half of the scratch the next reduction uses; with two halves one barrier each is enough

  /// Sums of `sums` and maximum of `largest` over the row; every thread gets them, bit for bit the same.
  template <int S>
  __device__ __forceinline__ void reduce(float (&sums)[S], std::uint32_t& largest) {
    const int width = count < warp_threads ? count : warp_threads;
    reduce_in_warp(sums, largest, width);
    if (count <= warp_threads) return;
    const int warps = count / warp_threads;
    float* slots = scratch + turn * (S + 1) * warps;
    turn ^= 1;
    const int warp_lane = lane % warp_threads;
    if (warp_lane == 0) {
#pragma unroll
      for (int s = 0; s < S; ++s) slots[s * warps + lane / warp_threads] = sums[s];
      slots[S * warps + lane / warp_threads] = __uint_as_float(largest);
    }
    __syncthreads();
#pragma unroll
    for (int s = 0; s < S; ++s) sums[s] = warp_lane < warps ? slots[s * warps + warp_lane] : 0.0F;
    largest = warp_lane < warps ? __float_as_uint(slots[S * warps + warp_lane]) : 0U;
    reduce_in_warp(sums, largest, warp_threads);
  }

  __device__ __forceinline__ float sum(float value) {
    float sums[1] = {value};
    std::uint32_t none = 0;
    reduce(sums, none);
    return sums[0];
  }
  __device__ __forceinline__ std::uint32_t largest(std::uint32_t bits) {
    float none[1] = {0.0F};
    reduce(none, bits);
    return bits;
  }

 private:
  template <int S>
  static __device__ __forceinline__ void reduce_in_warp(float (&sums)[S], std::uint32_t& largest, int width) {
    // A butterfly: addition commutes, so all lanes end with the same bits.
    for (int distance = width / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (int s = 0; s < S; ++s) sums[s] += __shfl_xor_sync(0xffffffffU, sums[s], distance);
      largest = max(largest, __shfl_xor_sync(0xffffffffU, largest, distance));
    }
  }
};

/// Shared memory of RowThreads::reduce for reductions of up to `sums` sums and a maximum: two turns, one word a warp.
constexpr std::size_t row_scratch_bytes(int threads_per_row, int rows_per_block, int sums) {
  return threads_per_row <= warp_threads ? 0
                                         : sizeof(float) * 2 * static_cast<std::size_t>(sums + 1) *
                                               (threads_per_row / warp_threads) * rows_per_block;
}

/// The view of the calling thread; `sums` as given to row_scratch_bytes.
__device__ __forceinline__ RowThreads row_threads(int sums) {
  const int count = static_cast<int>(blockDim.x);
  const int words = count <= warp_threads ? 0 : 2 * (sums + 1) * (count / warp_threads);
  return {static_cast<int>(threadIdx.x), count, shared_memory<float>() + threadIdx.y * words, 0};
}

}  // namespace normquant::NORMQUANT_BACKEND
