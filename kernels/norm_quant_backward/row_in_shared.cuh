// Rows in shared memory as they lie in global memory, whatever their alignment: brought by asynchronous copies of all their
// threads, read element by element. For elements striped over the threads (StripedColumns), whose reads are
// free of bank conflicts then.
#pragma once

#include "device/async_copy.cuh"
#include "device/element.cuh"
#include "norm_quant_backward/striped_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {

/// Bytes by which a row lies past an aligned address, in global and in shared memory.
__device__ __forceinline__ unsigned bytes_past_aligned(const void* row_start) {
  return static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(row_start) % copied_bytes);
}

/// Starts the copies of a row of `columns` elements to `to`, shared out over the `threads` of the row of which the caller is
/// the one at `place`; its first element then lies bytes_past_aligned(row_start) behind `to`. `between`: there are rows
/// on both sides, and what lies beside the row may be copied with it; otherwise its ends come element by element, at
/// once, with zeros beside them.
/// To be read when every thread has waited for its copies and all have met.
template <class X>
__device__ __forceinline__ void start_row_copy(AsyncCopies& copies, unsigned char* to, const X* row_start, int columns,
                                               bool between, unsigned place, unsigned threads) {
  constexpr int per_copy = copied_bytes / static_cast<int>(sizeof(X));
  const int lead = static_cast<int>(bytes_past_aligned(row_start) / sizeof(X));
  const X* aligned = row_start - lead;
  const int end = lead + columns;
  for (int first = static_cast<int>(place) * per_copy; first < end; first += static_cast<int>(threads) * per_copy) {
    const int offset = first * static_cast<int>(sizeof(X));
    unsigned char* const copy = to + offset;
    if (between || (first >= lead && first + per_copy <= end)) {
      copies.start(copy, aligned + first);
    } else {
#pragma unroll 1
      for (int i = 0; i < per_copy; ++i) {
        const bool inside = first + i >= lead && first + i < end;
        reinterpret_cast<X*>(copy)[i] = inside ? aligned[first + i] : from_float<X>(0.0F);
      }
    }
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
