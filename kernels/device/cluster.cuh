// Thread-block clusters: blocks that run at the same time and reach each other's shared memory (distributed shared
// memory). For kernels launched with LaunchShape::cluster > 1, which needs compute capability 9.0; below it these trap.
#pragma once

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

#if defined(__CUDACC__) && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define NORMQUANT_CLUSTER_PTX 1
#endif

/// This block's rank in its cluster: neighbours along x have neighbouring ranks.
__device__ __forceinline__ unsigned cluster_rank() {
  unsigned rank = 0;
#if !defined(__CUDACC__)
  rank = rank_of_this_block();
#elif defined(NORMQUANT_CLUSTER_PTX)
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#else
  __trap();
#endif
  return rank;
}

/// How many blocks the cluster has.
__device__ __forceinline__ unsigned cluster_blocks() {
  unsigned blocks = 1;
#if !defined(__CUDACC__)
  blocks = blocks_of_this_cluster();
#elif defined(NORMQUANT_CLUSTER_PTX)
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(blocks));
#else
  __trap();
#endif
  return blocks;
}

/// The cluster's barrier in two halves: says that this thread is here, and waits until all threads of all blocks have said
/// so. What they wrote to shared or global memory before they arrived, all of them see after the wait. Every thread takes
/// turns: arrive, wait, arrive, wait.
__device__ __forceinline__ void cluster_arrive() {
#if !defined(__CUDACC__)
  arrive_at_cluster();
#elif defined(NORMQUANT_CLUSTER_PTX)
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#else
  __trap();
#endif
}
__device__ __forceinline__ void cluster_wait() {
#if !defined(__CUDACC__)
  wait_for_cluster();
#elif defined(NORMQUANT_CLUSTER_PTX)
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#else
  __trap();
#endif
}

/// Both: waits until all threads of all blocks of the cluster are here. Includes __syncthreads().
__device__ __forceinline__ void cluster_barrier() {
  cluster_arrive();
  cluster_wait();
}

/// Where the block of that rank has what this block has at `mine` in its shared memory: an address for plain loads,
/// stores and atomics. A block's shared memory exists only while it runs. So there must be a cluster_barrier() before
/// the first access, by which all blocks have begun, and one after the last, before which none may end.
template <class T>
__device__ __forceinline__ T* shared_of_block(T* mine, unsigned rank) {
#if !defined(__CUDACC__)
  return static_cast<T*>(shared_memory_of_block(mine, rank));
#elif defined(NORMQUANT_CLUSTER_PTX)
  std::uint64_t theirs = 0;
  asm("mapa.u64 %0, %1, %2;" : "=l"(theirs) : "l"(reinterpret_cast<std::uint64_t>(mine)), "r"(rank));
  return reinterpret_cast<T*>(theirs);
#else
  __trap();
  return mine;
#endif
}

#undef NORMQUANT_CLUSTER_PTX

}  // namespace normquant::NORMQUANT_BACKEND
