// Hopper's asynchronous units, a function an instruction: the tensor copy engine, its barriers, the tensor cores' products
// of a warpgroup. For code compiled for sm_90a only. PTX ISA 8.0, sections of the instructions' names.
#pragma once

#include <cstdint>
#include <cuda.h>

namespace normquant::cuda {

__device__ __forceinline__ unsigned shared_address(const void* address) {
  return static_cast<unsigned>(__cvta_generic_to_shared(address));
}

// ---- Barriers in shared memory, that count arrivals and bytes.

__device__ __forceinline__ void init_barrier(std::uint64_t* barrier, unsigned arrivals) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
/// After init_barrier, before the cluster's barrier: so that the other blocks and the copy engine see them too.
__device__ __forceinline__ void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Arrives, and says how many bytes copies will bring in this phase.
__device__ __forceinline__ void arrive_expecting(std::uint64_t* barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
/// Arrives at the same barrier of the cluster's block `rank`, and orders no memory: for threads whose products have been
/// waited for, which is what frees the memory they read. (With release.cluster a stage took 1.7 times as long: a fence.)
__device__ __forceinline__ void arrive_at_block(std::uint64_t* barrier, unsigned rank) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, [there];\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}
/// Waits for the end of the phase of that parity; a barrier that was just made is in phase 0, after one of parity 1.
__device__ __forceinline__ void wait_for_phase(std::uint64_t* barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// ---- Copies of boxes of a matrix that a tensor map describes; what lies outside it comes as zeros.

__device__ __forceinline__ void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}
/// The box at (column, row) goes to `to`, and its bytes count at `barrier`.
__device__ __forceinline__ void copy_box(void* to, const CUtensorMap& map, int column, int row,
                                         std::uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
}
/// The same to the same places of all blocks of the cluster whose bits are set in `blocks`.
__device__ __forceinline__ void copy_box_to_blocks(void* to, const CUtensorMap& map, int column, int row,
                                                   std::uint64_t* barrier, std::uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(&map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
      : "memory");
}

// ---- Products of a warpgroup.

/// Where a matrix lies whose rows are 128 bytes, swizzled in atoms of 8 rows ("Matrix Descriptor Format"): the address in
/// units of 16 bytes, 1024 bytes from one atom to the next, 128-byte swizzling. 32 bytes further along the rows: + 2.
__device__ __forceinline__ std::uint64_t swizzled_rows(const void* matrix) {
  constexpr std::uint64_t units = 16, atom = 1024, swizzle_128_bytes = 1;
  return std::uint64_t{shared_address(matrix)} / units | std::uint64_t{1} << 16 | atom / units << 32 |
         swizzle_128_bytes << 62;
}

__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most `pending` of the committed groups are unfinished.
template <int pending>
__device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

#define NORMQUANT_4(i) "+r"(sums[i]), "+r"(sums[(i) + 1]), "+r"(sums[(i) + 2]), "+r"(sums[(i) + 3])
#define NORMQUANT_16(i) NORMQUANT_4(i), NORMQUANT_4((i) + 4), NORMQUANT_4((i) + 8), NORMQUANT_4((i) + 12)
#define NORMQUANT_64(i) NORMQUANT_16(i), NORMQUANT_16((i) + 16), NORMQUANT_16((i) + 32), NORMQUANT_16((i) + 48)

/// sums = a [64, 32] * b [256, 32]^T + (adds ? sums : 0), in int32. Thread 32w + 4g + t of the warpgroup holds, at 4j + 2h
/// and 4j + 2h + 1, row 16w + g + 8h, columns 8j + 2t and 8j + 2t + 1.
__device__ __forceinline__ void multiply_int8(std::int32_t (&sums)[128], std::uint64_t a, std::uint64_t b, bool adds) {
  asm volatile(
      "{\n"
      ".reg .pred adds;\n"
      "setp.ne.b32 adds, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
      "%128, %129, adds;\n"
      "}"
      : NORMQUANT_64(0), NORMQUANT_64(64)
      : "l"(a), "l"(b), "r"(static_cast<int>(adds)));
}

#undef NORMQUANT_64
#undef NORMQUANT_16
#undef NORMQUANT_4

/// Gives registers to, or takes them from, every thread of the calling warpgroup.
template <int registers>
__device__ __forceinline__ void raise_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}
template <int registers>
__device__ __forceinline__ void lower_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

}  // namespace normquant::cuda
