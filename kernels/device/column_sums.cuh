// Sums over rows (dweight, dbias): partial sums of the blocks in scratch memory, then one sum over the partials, always
// in the same order.
#pragma once

#include <algorithm>

#include <normquant/norm_quant_backward.hpp>

#include "device/element.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {

/// The backward's scratch memory: [parts, N] float32 partial sums of dweight, the same of dbias.
struct ColumnPartials {
  float* dweight = nullptr;  ///< null when dweight is not wanted
  float* dbias = nullptr;
  std::int64_t parts = 0;
};

inline std::size_t column_partials_bytes(const NormQuantBackward& a, std::int64_t parts) {
  const std::int64_t vectors = (a.dweight.given() ? 1 : 0) + (a.dbias.given() ? 1 : 0);
  return vectors == 0 ? 0 : sizeof(float) * static_cast<std::size_t>(vectors * parts * a.columns);
}

inline ColumnPartials column_partials(const NormQuantBackward& a, std::int64_t parts, void* workspace) {
  ColumnPartials partials;
  partials.parts = parts;
  float* next = static_cast<float*>(workspace);
  if (a.dweight.given()) {
    partials.dweight = next;
    next += parts * a.columns;
  }
  if (a.dbias.given()) partials.dbias = next;
  return partials;
}

constexpr int sum_columns = 32;  ///< columns of a block of sum_partials: a warp's width, so that it reads 128 bytes
constexpr int most_slices = 32;  ///< threads that share a column, at most; fewer when there are fewer partials

/// Sum over parts of one column, by the threads (threadIdx.y) of that column; the one with threadIdx.y == 0 gets it.
/// `slots` holds a float for every thread of the block in shared memory.
__device__ __forceinline__ float sum_of_parts(const float* partial, std::int64_t parts, std::int64_t columns,
                                              std::int64_t column, float* slots) {
  float sum = 0.0F;
  if (column < columns) {
    const float* from = partial + static_cast<std::int64_t>(threadIdx.y) * columns + column;
#pragma unroll 4
    for (std::int64_t part = threadIdx.y; part < parts; part += blockDim.y, from += blockDim.y * columns) sum += *from;
  }
  slots[threadIdx.y * sum_columns + threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0) {
#pragma unroll 8
    for (unsigned slice = 1; slice < blockDim.y; ++slice) sum += slots[slice * sum_columns + threadIdx.x];
  }
  return sum;
}

/// dweight and dbias from their partials, cast at the end. Block: (sum_columns, slices); blockIdx.y: which of the two.
static __global__ void sum_partials(const __grid_constant__ NormQuantBackward a, ColumnPartials partials) {
  overlap_launches();
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * sum_columns + threadIdx.x;
  const bool of_dweight = a.dweight.given() && blockIdx.y == 0;
  const Vector result = of_dweight ? a.dweight : a.dbias;
  const float total[1] = {sum_of_parts(of_dweight ? partials.dweight : partials.dbias, partials.parts, a.columns,
                                       column, shared_memory<float>())};
  if (threadIdx.y == 0 && column < a.columns) store_typed(result.data, result.type, column, total);
}

inline Status launch_sum_partials(const NormQuantBackward& a, const ColumnPartials& partials, const DeviceInfo& device,
                                  Stream stream) {
  LaunchShape shape;
  const unsigned vectors = (a.dweight.given() ? 1 : 0) + (a.dbias.given() ? 1 : 0);
  shape.grid = dim3{static_cast<unsigned>(divide_up(a.columns, sum_columns)), vectors, 1};
  const auto slices = static_cast<unsigned>(std::clamp<std::int64_t>(partials.parts, 1, most_slices));
  shape.block = dim3{sum_columns, slices, 1};
  shape.shared_bytes = sizeof(float) * sum_columns * slices;
  shape.overlap = device.compute_capability >= 90;
  return launch_kernel(sum_partials, shape, stream, a, partials);
}

}  // namespace normquant::NORMQUANT_BACKEND
