// Grids whose blocks all run at the same time and can wait for each other. For kernels launched with
// LaunchShape::cooperative, which the launch refuses when the GPU does not hold all blocks at once.
#pragma once

#include "device/platform.cuh"

#if defined(__CUDACC__)
#include <cooperative_groups.h>
#endif

namespace normquant::NORMQUANT_BACKEND {

/// Waits until all threads of the grid are here. What they wrote before it, all of them see after it.
__device__ __forceinline__ void grid_barrier() {
#if defined(__CUDA_ARCH__)
  cooperative_groups::this_grid().sync();
#elif !defined(__CUDACC__)
  arrive_at_cluster();  // the host device runs a cooperative grid as one cluster
  wait_for_cluster();
#endif
}

}  // namespace normquant::NORMQUANT_BACKEND
