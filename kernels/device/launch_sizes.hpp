// Sizes that launches and kernels agree upon: threads, and the shared memory of a row's reductions.
#pragma once

#include <cstddef>

namespace normquant {

constexpr int warp_threads = 32;
constexpr int most_side_by_side = 15;  ///< named barriers of a block beside that of __syncthreads()

constexpr int most_reduced_values = 3;  ///< of one reduction: two sums and a maximum
/// Reductions whose values lie in shared memory at a time. A cluster's have one turn for the warps and one for the blocks.
constexpr int reduction_turns(bool clustered) { return clustered ? 4 : 2; }
constexpr std::size_t cluster_exchange_bytes = 16;  ///< state of ClusterExchange (device/cluster.cuh), 8-byte aligned

/// Shared memory of TileThreads for one row (device/tile_threads.cuh): a value a warp. A multiple of 16 bytes.
constexpr std::size_t tile_scratch_bytes(bool clustered = false) {
  return sizeof(float) * reduction_turns(clustered) * most_reduced_values * warp_threads +
         (clustered ? cluster_exchange_bytes : 0);
}

/// Shared memory of RowThreads (device/row_threads.cuh): a value a warp; none where rows share a warp.
constexpr std::size_t row_scratch_bytes(int threads_per_row, int rows_per_block) {
  if (threads_per_row <= warp_threads) return 0;
  return sizeof(float) * reduction_turns(false) * most_reduced_values *
         static_cast<std::size_t>(threads_per_row / warp_threads) * rows_per_block;
}

}  // namespace normquant
