// The columns of a row cut into tiles of registers.
//
// Lanes neighbouring threads (a warp, or a part of one when rows are short) own one tile of Lanes * K * V columns: K
// packets of V columns a thread, packet k of lane l at columns (k * Lanes + l) * V onwards of the tile. A warp's
// accesses are contiguous, and the packets of a thread lie at constant distances, so that one address serves them all.
// A row takes as many tiles as it needs, not a power of two: no N is just too long for a size.
#pragma once

#include "device/element.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The columns of the calling thread in its row.
///
/// Aligned: every packet of every tensor is one access of up to 16 bytes (why_not_packets says when), and N is a multiple
/// of V. Otherwise (the backward's h) the packets are shifted towards the row's start so that they are aligned in memory;
/// packets that the row's ends cut, and tensors whose rows start elsewhere, are moved element by element.
template <int V, int Lanes, bool Aligned = true>
struct TileColumns {
  int first;      ///< column of packet 0; down to 1 - V when shifted
  int left;       ///< columns from there to the row's end; none (<= 0) when the thread's row lies past the last one
  unsigned lead;  ///< elements by which the row's start lies past a multiple of V elements in memory; 0 when aligned

  __device__ __forceinline__ TileColumns(unsigned place, int packets, int columns, bool live, unsigned row_lead = 0)
      : first(static_cast<int>(place / Lanes * (Lanes * packets * V) + place % Lanes * V) - static_cast<int>(row_lead)),
        left(live ? columns - first : 0),
        lead(row_lead) {}

  static __device__ __forceinline__ constexpr int offset(int k) { return k * Lanes * V; }
  /// Whether packet k has a column in the row.
  __device__ __forceinline__ bool inside(int k) const {
    return offset(k) < left && (Aligned || offset(k) + first > -V);
  }

  /// f(columns), see StripedColumns.
  template <int K, class F>
  __device__ __forceinline__ void each_of(F&& f) const {
    f(*this);
  }
  /// Packets outside the row are zeros, and no branch around them pays.
  static __device__ __forceinline__ constexpr bool skips(int) { return false; }

  /// Packet k of a row that starts at `row_start`; columns past the row's ends become zero.
  template <class T, bool once = false>
  __device__ __forceinline__ void load(const T* row_start, int k, Packet<T, V>& packet) const {
    const T* from = row_start + first + offset(k);
    if constexpr (Aligned) {
      if (!inside(k)) return;
      if constexpr (once) {
        packet.load_once(from);
      } else {
        packet.load(from);
      }
    } else if (whole(row_start, k)) {
      packet.load(from);
    } else if (in_the_midst(k)) {
      packet.load_shifted(from);
    } else {
      T elements[V];
#pragma unroll
      for (int v = 0; v < V; ++v) elements[v] = has(k, v) ? from[v] : from_float<T>(0.0F);
      memcpy(packet.data, elements, sizeof(elements));
    }
  }
  /// Packet k of a matrix's row, read once.
  template <class T>
  __device__ __forceinline__ void load_row(const T* row_start, int k, Packet<T, V>& packet) const {
    load<T, true>(row_start, k, packet);
  }
  template <class T>
  __device__ __forceinline__ void trim(int k, Packet<T, V>& packet) const {
    if (!cut(k)) return;
    T elements[V];
    memcpy(elements, packet.data, sizeof(elements));
#pragma unroll
    for (int v = 0; v < V; ++v) {
      if (!has(k, v)) elements[v] = from_float<T>(0.0F);
    }
    memcpy(packet.data, elements, sizeof(elements));
  }
  /// `once`: the L2 may drop it first.
  template <class T, bool once = false>
  __device__ __forceinline__ void store(T* row_start, int k, const Packet<T, V>& packet) const {
    T* to = row_start + first + offset(k);
    if (Aligned ? inside(k) : whole(row_start, k)) {
      if constexpr (once) {
        packet.store_once(to);
      } else {
        packet.store(to);
      }
    } else if constexpr (!Aligned) {
      T elements[V];
      memcpy(elements, packet.data, sizeof(elements));
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (has(k, v)) to[v] = elements[v];
      }
    }
  }
  /// Whether packet k may be copied in one access: it is the row's, or the matrix has rows on both sides (`between`) and
  /// trim() takes off what is not.
  template <class T>
  __device__ __forceinline__ bool copies_whole(const T* row_start, int k, bool between) const {
    return Aligned || (aligned_in(row_start) && (between || !cut(k)));
  }
  /// Whether one of the row's ends cuts packet k.
  __device__ __forceinline__ bool cut(int k) const {
    return !Aligned && inside(k) && (first + offset(k) < 0 || offset(k) + V > left);
  }
  /// Whether element v of packet k lies in the row.
  __device__ __forceinline__ bool has(int k, int v) const {
    return Aligned ? inside(k) : offset(k) + v < left && first + offset(k) + v >= 0;
  }

 private:
  /// Whether packet k has V columns of the row on both sides: so many that aligned words around it lie in the row too.
  __device__ __forceinline__ bool in_the_midst(int k) const {
    return first + offset(k) >= V && offset(k) + 2 * V <= left;
  }
  /// Whether packets of a tensor whose row starts there are aligned too.
  template <class T>
  __device__ __forceinline__ bool aligned_in(const T* row_start) const {
    constexpr unsigned bytes = sizeof(typename Packet<T, V>::word);
    const auto start = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(row_start));
    return (start - lead * static_cast<unsigned>(sizeof(T))) % bytes == 0;
  }
  /// Whether the row cuts nothing off packet k and the packet is aligned in this tensor too.
  template <class T>
  __device__ __forceinline__ bool whole(const T* row_start, int k) const {
    return first + offset(k) >= 0 && offset(k) + V <= left && aligned_in(row_start);
  }
};

/// f(columns, k) for each of the K packets, with the columns that each_of gives.
template <int K, class Columns, class F>
__device__ __forceinline__ void for_each_packet(const Columns& columns, F&& f) {
  columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
    for (int k = 0; k < K; ++k) f(inner, k);
  });
}

/// The most packets, `most` or fewer, into equal groups of which K can be cut.
constexpr int packets_together(int K, int most) {
  int together = K < most ? K : most;
  while (K % together != 0) --together;
  return together;
}

/// Loads K packets of elements T from `row_start` and calls use(k, values) for each: as many as fill 16 registers (8 of
/// single elements, and of float32 beside 16-bit rows, whose packets are long; or `most_registers`) are on their way
/// before the first is used.
template <class T, int V, int K, int most_registers = 16, class Columns, class Use>
__device__ __forceinline__ void for_packets(const Columns& columns, const T* row_start, Use&& use) {
  constexpr int registers = (V * static_cast<int>(sizeof(T)) + 3) / 4;
  constexpr int most =
      V == 1 || (V == 8 && sizeof(T) == 4) ? 8 : most_registers;  // NOLINT(bugprone-branch-clone): may be the same
  constexpr int together = packets_together(K, most / registers);
#pragma unroll
  for (int first = 0; first < K; first += together) {
    Packet<T, V> packets[together];
    columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
      for (int k = 0; k < together; ++k) inner.load(row_start, first + k, packets[k]);
    });
#pragma unroll
    for (int k = 0; k < together; ++k) {
      float values[V];
      packets[k].unpack(values);
      use(first + k, values);
    }
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
