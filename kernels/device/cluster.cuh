// Thread-block clusters: blocks that run at the same time and reach each other's shared memory (distributed shared
// memory). For kernels launched with LaunchShape::cluster > 1, which needs compute capability 9.0; below it these trap.
#pragma once

#include "device/launch_sizes.hpp"
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

/// Values that all blocks of a cluster send each other, round after round. A value and its arrival travel together: nobody
/// waits for a fence. (The cluster's barrier orders all memory instead: an arrival waits for the stores before it, also those
/// to global memory, and a wait drops what the L1 holds. docs/performance.md says what that cost.)
///
/// Made by all threads of all blocks at once. Then open() by all; and each round: send() by any threads, `bytes` to every
/// block in all; sent() by all; receive() by all. Two rounds in a row use different slots.
class ClusterExchange {
 public:
  /// `state`: cluster_exchange_bytes of shared memory, 8-byte aligned.
  __device__ __forceinline__ explicit ClusterExchange([[maybe_unused]] void* state) {
#if defined(NORMQUANT_CLUSTER_PTX)
    barriers_ = static_cast<std::uint64_t*>(state);
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(barriers_)) : "memory");
      asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(barriers_ + 1)) : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
#elif defined(__CUDACC__)
    cluster_arrive();
#else
    must_be_aligned(state, 8);
    arrive_at_cluster(false);
#endif
  }

  /// Waits until all blocks have begun.
  __device__ __forceinline__ void open() {
#if defined(__CUDACC__)
    cluster_wait();
#else
    wait_for_cluster(false);
#endif
  }

  /// `value` goes to `mine` as the block of that rank sees it.
  __device__ __forceinline__ void send(float* mine, unsigned rank, float value) {
#if defined(NORMQUANT_CLUSTER_PTX)
    asm volatile(
        "{\n"
        ".reg .b32 to, barrier;\n"
        "mapa.shared::cluster.u32 to, %0, %2;\n"
        "mapa.shared::cluster.u32 barrier, %1, %2;\n"
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [to], %3, [barrier];\n"
        "}" ::"r"(shared_address(mine)),
        "r"(shared_address(barriers_ + round_ % 2)), "r"(rank), "r"(__float_as_uint(value))
        : "memory");
#elif defined(__CUDACC__)
    *shared_of_block(mine, rank) = value;
#else
    send_to_block(mine, rank, value);
#endif
  }
  /// All that this block sends in this round is on its way; `bytes`: what it is to receive.
  __device__ __forceinline__ void sent([[maybe_unused]] unsigned bytes) {
#if defined(NORMQUANT_CLUSTER_PTX)
    if (threadIdx.x == 0) {
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barriers_ + round_ % 2)),
                   "r"(bytes)
                   : "memory");
    }
#elif defined(__CUDACC__)
    cluster_arrive();
#else
    arrive_with_sent(threadIdx.x == 0, bytes);
#endif
  }
  /// Waits until all of this round has arrived.
  __device__ __forceinline__ void receive() {
#if defined(NORMQUANT_CLUSTER_PTX)
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}" ::"r"(shared_address(barriers_ + round_ % 2)),
        "r"(round_ / 2 % 2)
        : "memory");
#elif defined(__CUDACC__)
    cluster_wait();
#else
    receive_from_blocks();
#endif
    ++round_;
  }

 private:
#if defined(NORMQUANT_CLUSTER_PTX)
  static __device__ __forceinline__ unsigned shared_address(const void* address) {
    return static_cast<unsigned>(__cvta_generic_to_shared(address));
  }
  std::uint64_t* barriers_ = nullptr;  ///< one for even rounds, one for odd: a block may be a round ahead of another
#endif
  unsigned round_ = 0;
};

#undef NORMQUANT_CLUSTER_PTX

}  // namespace normquant::NORMQUANT_BACKEND
