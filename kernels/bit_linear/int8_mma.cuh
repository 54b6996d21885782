// One step of the tensor cores on bytes: a warp multiplies signed [16, 32] by unsigned [32, 8] into int32 [16, 8].
#pragma once

#include "device/platform.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// sums += a * b. Lane 4g + t holds (PTX ISA, "Matrix Fragments for mma.m16n8k32"):
///   a[0], a[1]   rows g and g + 8, columns 4t to 4t + 3;   a[2], a[3]   the same rows, 16 columns on
///   b[0], b[1]   column g, rows 4t to 4t + 3 and 16 on
///   sums         rows g (0, 1) and g + 8 (2, 3), columns 2t and 2t + 1
/// Which 32 of a longer sum's terms a step takes, and in which order, is free as long as a and b agree.
__device__ __forceinline__ void int8_mma(std::int32_t (&sums)[4], const std::uint32_t (&a)[4],
                                         const std::uint32_t (&b)[2]) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  std::uint64_t low[32], high[32], right[32];  // of all lanes
  const auto exchange = [](std::uint32_t first, std::uint32_t second, std::uint64_t(&all)[32]) {
    std::memcpy(all, warp_exchange(0xffffffffU, first | std::uint64_t{second} << 32, "int8_mma"), sizeof all);
  };
  exchange(a[0], a[1], low);
  exchange(a[2], a[3], high);
  exchange(b[0], b[1], right);
  const unsigned lane = threadIdx.x % 32;
  const auto byte = [](std::uint64_t word, unsigned i) { return static_cast<unsigned char>(word >> 8 * i); };
  for (unsigned s = 0; s < 4; ++s) {
    const unsigned row_half = s / 2, column = lane % 4 * 2 + s % 2;
    for (unsigned t = 0; t < 4; ++t) {
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned from = lane / 4 * 4 + t, to = column * 4 + t;
        sums[s] += static_cast<signed char>(byte(low[from], 4 * row_half + i)) * byte(right[to], i);
        sums[s] += static_cast<signed char>(byte(high[from], 4 * row_half + i)) * byte(right[to], 4 + i);
      }
    }
  }
#endif
}

/// The 16 bytes of four registers transposed as a 4 x 4 matrix: register j gets byte j of each.
__device__ __forceinline__ void transpose_bytes(const uint4& from, std::uint32_t (&to)[4]) {
#if defined(__CUDA_ARCH__)
  const std::uint32_t xy_low = __byte_perm(from.x, from.y, 0x5140), xy_high = __byte_perm(from.x, from.y, 0x7362);
  const std::uint32_t zw_low = __byte_perm(from.z, from.w, 0x5140), zw_high = __byte_perm(from.z, from.w, 0x7362);
  to[0] = __byte_perm(xy_low, zw_low, 0x5410);
  to[1] = __byte_perm(xy_low, zw_low, 0x7632);
  to[2] = __byte_perm(xy_high, zw_high, 0x5410);
  to[3] = __byte_perm(xy_high, zw_high, 0x7632);
#else
  for (unsigned j = 0; j < 4; ++j) {
    const auto byte = [j](std::uint32_t word) { return word >> 8 * j & 0xffU; };
    to[j] = byte(from.x) | byte(from.y) << 8 | byte(from.z) << 16 | byte(from.w) << 24;
  }
#endif
}

}  // namespace normquant::NORMQUANT_BACKEND
