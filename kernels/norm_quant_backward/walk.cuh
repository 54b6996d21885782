// The rows of a thread where blocks, or clusters, walk over the matrix.
#pragma once

#include "device/cluster.cuh"
#include "norm_quant_backward/backward_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The rows of the calling thread: first, first + step, ... Rows one after the other go to different multiprocessors, so that
/// each has as many as the others, or one less.
struct RowsOfThread {
  unsigned set, sets;  ///< which of the blocks or clusters that walk, of how many
  std::int64_t first, step;

  /// The first row of the thread's warp, whose rows go on together until this one would be past the end.
  template <int Lanes>
  __device__ __forceinline__ std::int64_t first_of_warp() const {
    return Lanes < warp_threads ? first - static_cast<std::int64_t>(threadIdx.y % (warp_threads / Lanes)) * sets
                                : first;
  }
};

template <bool Clustered = false>
__device__ __forceinline__ RowsOfThread rows_of_thread() {
  const unsigned set = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  const unsigned sets = Clustered ? gridDim.x / cluster_blocks() : gridDim.x;
  return {set, sets, static_cast<std::int64_t>(threadIdx.y) * sets + set, static_cast<std::int64_t>(sets) * blockDim.y};
}

/// Elements by which the rows of a block start past an aligned address: all of them by as many (rows_alike).
template <class H, int V, bool Aligned>
__device__ __forceinline__ unsigned lead_of_rows(const NormQuantBackward& a, const RowsOfThread& rows) {
  const H* start = static_cast<const H*>(a.h.data) + rows.set * a.h.ld;
  return Aligned ? 0 : static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(start) / sizeof(H) % V);
}

/// The statistics of a row; zeros for one past the last.
template <class Facts>
__device__ __forceinline__ RowStatistics statistics_or_zeros(const NormQuantBackward& a, std::int64_t row) {
  return row < a.rows ? RowStatistics{Facts::layer(a) ? a.mean[row] : 0.0F, a.rstd[row]} : RowStatistics{0.0F, 0.0F};
}

}  // namespace normquant::NORMQUANT_BACKEND
