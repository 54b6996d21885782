// Programmatic dependent launch: a kernel's blocks may start while the launch before it in the stream still runs.
// For kernels launched with LaunchShape::overlap. Below compute capability 9.0 launches do not overlap, and all of this
// does nothing.
//
// A kernel's order of steps, each found by measurement (docs/performance.md):
//   prefetch_to_l2                   its first rows: memory works while the launch before drains
//   wait_for_earlier_launches        before it a kernel touches no global memory (norm_quant_forward_split's second
//                                    kernel reads its inputs, and says why it may)
//   (its first loads)
//   prefetch_to_l2                   rows that later blocks will read
//   let_next_launch_start            once its own loads are under way
#pragma once

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Lets the next launch in the stream start its blocks as soon as every block of this one has said so or ended, and there
/// is room.
__device__ __forceinline__ void let_next_launch_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Waits until everything that earlier launches wrote can be read.
__device__ __forceinline__ void wait_for_earlier_launches() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Both at once, where a kernel has nothing to do before.
__device__ __forceinline__ void overlap_launches() {
  let_next_launch_start();
  wait_for_earlier_launches();
}

/// Asks for `bytes` bytes from `from` on to be brought into the L2, those of them that whole 16-byte words hold. A hint: it
/// returns nothing, so it may come before wait_for_earlier_launches(): what an earlier launch still writes there it writes
/// in the L2, where all of the GPU meets.
__device__ __forceinline__ void prefetch_to_l2([[maybe_unused]] const void* from, [[maybe_unused]] std::int64_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  const auto start = reinterpret_cast<std::uintptr_t>(from), first = (start + 15) / 16 * 16;
  const std::int64_t whole = (static_cast<std::int64_t>(start - first) + bytes) / 16 * 16;
  if (whole <= 0) return;
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(first), "r"(static_cast<unsigned>(whole)) : "memory");
#endif
}

/// What a kernel is told about its place among the launches.
struct Overlap {
  unsigned prefetching_blocks = 0;  ///< the first so many blocks prefetch their first rows
  int rows_ahead = 0;  ///< each block asks for the row so many further on, once its own is on its way; 0: for none
  bool early = false;  ///< the next launch may start before this one's first loads: pays for a few blocks only
};

/// Of all inputs, a multiprocessor: enough for the memory never to wait, and so little that the L2 drops nothing before it is
/// read (128 KB, 17 MB in all, is too much). Long rows, of which a multiprocessor works on one or two, take more
/// (docs/performance.md).
constexpr std::int64_t bytes_ahead(std::int64_t row_bytes) {
  constexpr std::int64_t kb = 1024;
  return row_bytes < 32 * kb ? 32 * kb : 64 * kb;
}

/// Blocks of half the threads that the multiprocessors hold prefetch: the rows that are worked on first, and no more than
/// the L2 takes beside what it has to do. A grid that leaves half the multiprocessors without a block lets the next
/// launch in early; the blocks of larger ones would be in the way. row_bytes: of all inputs that a row is read from; 0 where
/// nothing is to be asked for ahead.
inline Overlap overlap_of(std::int64_t blocks, std::int64_t block_threads, int sm_count, std::int64_t row_bytes = 0) {
  const std::int64_t rows_ahead = row_bytes == 0 ? 0 : (bytes_ahead(row_bytes) * sm_count + row_bytes - 1) / row_bytes;
  return {static_cast<unsigned>(1024 / block_threads * sm_count), static_cast<int>(rows_ahead), blocks <= sm_count / 2};
}

}  // namespace normquant::NORMQUANT_BACKEND
