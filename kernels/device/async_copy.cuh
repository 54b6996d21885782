// Asynchronous copies from global to shared memory: a thread starts copies of 16 bytes into its own part of shared memory
// and goes on; when it has waited for them, it (and no other thread, unless they meet at a barrier) may read them.
// Compute capability 8.0 has them in hardware.
#pragma once

#include <vector>

#include "device/shared_place.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The copies of one thread, in groups. On the host device a copy happens when it is waited for, at the latest possible
/// time, and until then the place holds 0xFF: a read too early is found.
class AsyncCopies {
 public:
  /// Starts a copy of 16 bytes; both addresses are multiples of 16.
  __device__ __forceinline__ void start(void* to_shared, const void* from_global) {
#if defined(__CUDA_ARCH__)
    start_at(static_cast<SharedPlace>(__cvta_generic_to_shared(to_shared)), from_global);
#else
    start_at(static_cast<unsigned char*>(to_shared), from_global);
#endif
  }
  __device__ __forceinline__ void start_at(SharedPlace to_shared, const void* from_global) {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to_shared), "l"(from_global) : "memory");
#elif !defined(__CUDACC__)
    copy_begins(to_shared, from_global);
    started_.push_back({to_shared, from_global, group_});
#endif
  }

  /// Ends a group: the copies started since the last one. Groups may be empty.
  __device__ __forceinline__ void end_group() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
    ++group_;
#endif
  }

  /// Waits until at most the last `pending` groups are still under way.
  template <int pending>
  __device__ __forceinline__ void wait() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#elif !defined(__CUDACC__)
    std::vector<Copy> later;
    for (const Copy& copy : started_) {
      if (copy.group + pending < group_) {
        copy_ends(copy.to, copy.from);
      } else {
        later.push_back(copy);
      }
    }
    started_.swap(later);
#endif
  }

#if !defined(__CUDACC__)
 private:
  struct Copy {
    void* to;
    const void* from;
    int group;
  };
  std::vector<Copy> started_;
  int group_ = 0;
#endif
};

}  // namespace normquant::NORMQUANT_BACKEND
