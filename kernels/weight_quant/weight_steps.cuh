// What the algorithms of weight_quant share: sums of magnitudes, the scale from them, matrices without gaps.
#pragma once

#include <normquant/weight_quant.hpp>

#include "device/row_threads.cuh"
#include "device/support.hpp"
#include "weight_quant/ternary.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// What the threads of a block tell each other.
struct alignas(16) WeightShared {
  double sums[warp_threads];  ///< of the warps
  TernaryScale scale;
};

/// Sum over the block in a fixed order; the threads of the first warp get it. Once a kernel.
__device__ __forceinline__ double block_sum(double value, double* sums) {
  const auto warp_total = [](double part) {
#pragma unroll
    for (int distance = warp_threads / 2; distance > 0; distance /= 2) {
      part += __shfl_xor_sync(0xffffffffU, part, distance);
    }
    return part;
  };
  value = warp_total(value);
  const unsigned lane = threadIdx.x % warp_threads;
  if (lane == 0) sums[threadIdx.x / warp_threads] = value;
  __syncthreads();
  if (threadIdx.x >= warp_threads) return 0.0;
  return warp_total(lane < blockDim.x / warp_threads ? sums[lane] : 0.0);
}

/// Sum of |w| over a packet.
template <class W, int C>
__device__ __forceinline__ float packet_magnitudes(const Packet<W, C>& packet) {
  float w[C];
  packet.unpack(w);
  float sum = fabsf(w[0]);
#pragma unroll
  for (int c = 1; c < C; ++c) sum += fabsf(w[c]);
  return sum;
}

/// The scale from the sums of all blocks. Its division and its search for the least coded magnitude are one warp's work.
template <class W>
__device__ __forceinline__ TernaryScale scale_of(const WeightQuant& a, const double* partial, double per_element) {
  WeightShared* shared = shared_memory<WeightShared>();
  double sum = 0.0;
  for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x) sum += partial[i];
  sum = block_sum(sum, shared->sums);
  if (threadIdx.x == 0) {
    const float absmean = static_cast<float>(sum * per_element);
    const bool finite = is_finite_magnitude(magnitude_bits(absmean));
    const float factor = finite ? fmaxf(absmean, scale_floor) : nan_value();
    if (blockIdx.x == 0 && a.dequant_factor != nullptr) *a.dequant_factor = factor;
    // By way of registers: docs/races.md, what is not seen.
    const TernaryScale scale = ternary_scale<W>(factor, a.out.type);
    shared->scale = scale;
  }
  __syncthreads();
  return shared->scale;
}

/// The matrix as one long row when there is nothing between its rows; else as it is.
inline WeightQuant flattened(WeightQuant a) {
  const bool gapless = a.w.ld == a.columns && (!a.out.given() || a.out.ld == a.columns) &&
                       (a.codes == nullptr || a.ld_codes == a.columns) &&
                       (a.packed == nullptr || (a.columns % 4 == 0 && a.ld_packed == a.columns / 4));
  if (!gapless) return a;
  a.columns *= a.rows;
  a.rows = 1;
  a.w.ld = a.out.ld = a.ld_codes = a.columns;
  a.ld_packed = packed_row_bytes(a.columns);
  return a;
}

}  // namespace normquant::NORMQUANT_BACKEND
