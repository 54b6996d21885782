// Columns of rows of any alignment and length: single elements striped over the threads of a row.
//
// Lanes neighbouring threads own a tile of Lanes * K columns, element k of lane l at column k * Lanes + l, so neighbouring
// threads access neighbouring elements, in global memory and, free of bank conflicts, in shared memory. Nothing depends on
// where the row begins: equal rows give equal bits, wherever they lie.
#pragma once

#include "device/element.cuh"
#include "device/row_threads.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The columns of the calling thread in its row, as TileColumns of packets of one element. Whole: all are known to be the
/// row's.
template <int Lanes, bool Whole = false>
struct StripedColumns {
  int first;                      ///< column of element 0
  int left;                       ///< columns from there to the row's end; <= 0 when the thread has none
  static constexpr int lead = 0;  ///< see TileColumns

  __device__ __forceinline__ StripedColumns(unsigned place, int elements, int columns, bool live)
      : first(static_cast<int>(place / Lanes * (Lanes * elements) + place % Lanes)), left(live ? columns - first : 0) {}
  __device__ __forceinline__ StripedColumns(int first_column, int columns_left)
      : first(first_column), left(columns_left) {}

  static __device__ __forceinline__ constexpr int offset(int k) { return k * Lanes; }
  /// Whether element k lies in the row.
  __device__ __forceinline__ bool inside(int k) const { return Whole || offset(k) < left; }
  __device__ __forceinline__ bool has(int k, int) const { return inside(k); }
  /// Whether nothing is to be done about element k.
  __device__ __forceinline__ bool skips(int k) const { return !inside(k); }

  /// f(columns): in all warps but a row's last with columns that are known to be the row's, which saves a comparison an
  /// element. The same for all threads of a warp, not for all of a row: no barrier may be in f.
  template <int K, class F>
  __device__ __forceinline__ void each_of(F&& f) const {
    if constexpr (!Whole) {
      const int of_last_lane = left - (Lanes - 1 - static_cast<int>(threadIdx.x) % Lanes);
      if (offset(K - 1) < of_last_lane) return f(StripedColumns<Lanes, true>(first, left));
      // Kept from one f to the next, the comparisons' results take more registers than there are predicates.
      int compared_anew = left;
#if defined(__CUDA_ARCH__)
      asm volatile("" : "+r"(compared_anew));
#endif
      return f(StripedColumns(first, compared_anew));
    }
    f(*this);
  }

  /// Element k of a row or a vector; zero outside.
  template <class T>
  __device__ __forceinline__ void load(const T* start, int k, Packet<T, 1>& packet) const {
    if (inside(k)) packet.load(start + first + offset(k));
  }
  template <class T>
  __device__ __forceinline__ void load_row(const T* row_start, int k, Packet<T, 1>& packet) const {
    load(row_start, k, packet);
  }
  /// `once` is not heeded: neighbouring warps write parts of the same sectors, which the L2 is not to drop before it has all.
  template <class T, bool once = false>
  __device__ __forceinline__ void store(T* row_start, int k, const Packet<T, 1>& packet) const {
    if (inside(k)) packet.store(row_start + first + offset(k));
  }
};

}  // namespace normquant::NORMQUANT_BACKEND
