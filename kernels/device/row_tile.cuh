// A row cut into tiles of registers, and reductions over the threads that share it.
//
// Lanes neighbouring threads (a warp, or a part of one when rows are short) own one tile of Lanes * K * V columns: K
// packets of V columns a thread, packet k of lane l at columns (k * Lanes + l) * V onwards of the tile. A warp's
// accesses are contiguous, and the packets of a thread lie at constant distances, so that one address serves them all.
// A row takes as many tiles as it needs, not a power of two: no N is just too long for a size.
#pragma once

#include "device/cluster.cuh"
#include "device/element.cuh"
#include "device/row_threads.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The columns of the calling thread in its row.
///
/// Aligned: every packet of every tensor is one access of up to 16 bytes (why_not_packets says when), and N is a multiple
/// of V. Otherwise the packets are shifted towards the row's start so that those of x are aligned in memory; packets that
/// the row's ends cut, and tensors whose rows start elsewhere, are moved element by element.
template <int V, int Lanes, bool Aligned>
struct TileColumns {
  int first;      ///< column of packet 0; down to 1 - V when shifted
  int left;       ///< columns from there to the row's end; none (<= 0) when the thread's row lies past the last one
  unsigned lead;  ///< elements by which the row's start lies past a multiple of V elements in memory; 0 when aligned

  __device__ __forceinline__ TileColumns(unsigned place, int packets, int columns, bool live, unsigned row_lead)
      : first(static_cast<int>(place / Lanes * (Lanes * packets * V) + place % Lanes * V) - static_cast<int>(row_lead)),
        left(live ? columns - first : 0),
        lead(row_lead) {}

  static __device__ __forceinline__ constexpr int offset(int k) { return k * Lanes * V; }
  /// Whether packet k has a column in the row.
  __device__ __forceinline__ bool inside(int k) const {
    return offset(k) < left && (Aligned || offset(k) + first > -V);
  }

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
    } else {
      T elements[V];
#pragma unroll
      for (int v = 0; v < V; ++v) elements[v] = has(k, v) ? from[v] : from_float<T>(0.0F);
      memcpy(packet.data, elements, sizeof(elements));
    }
  }
  template <class T>
  __device__ __forceinline__ void store(T* row_start, int k, const Packet<T, V>& packet) const {
    T* to = row_start + first + offset(k);
    if constexpr (Aligned) {
      if (inside(k)) packet.store(to);
    } else if (whole(row_start, k)) {
      packet.store(to);
    } else {
      T elements[V];
      memcpy(elements, packet.data, sizeof(elements));
#pragma unroll
      for (int v = 0; v < V; ++v) {
        if (has(k, v)) to[v] = elements[v];
      }
    }
  }
  /// Whether element v of packet k lies in the row.
  __device__ __forceinline__ bool has(int k, int v) const {
    return offset(k) + v < left && (Aligned || first + offset(k) + v >= 0);
  }

 private:
  /// Whether the row cuts nothing off packet k and the packet is aligned in this tensor too.
  template <class T>
  __device__ __forceinline__ bool whole(const T* row_start, int k) const {
    constexpr unsigned bytes = sizeof(typename Packet<T, V>::word);
    const auto start = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(row_start));
    return first + offset(k) >= 0 && offset(k) + V <= left &&
           (start - lead * static_cast<unsigned>(sizeof(T))) % bytes == 0;
  }
};

/// Loads K packets of elements T from `row_start` and calls use(k, values) for each: as many as fill 16 registers (8 of
/// float32, whose packets beside 16-bit rows are long) are on their way before the first is used.
template <class T, int V, int K, class Columns, class Use>
__device__ __forceinline__ void for_packets(const Columns& columns, const T* row_start, Use&& use) {
  constexpr int registers = V * static_cast<int>(sizeof(T)) / 4, most = V == 8 && sizeof(T) == 4 ? 8 : 16;
  constexpr int together = K * registers <= most ? K : most / registers;
#pragma unroll
  for (int first = 0; first < K; first += together) {
    Packet<T, V> packets[together];
#pragma unroll
    for (int k = 0; k < together; ++k) columns.load(row_start, first + k, packets[k]);
#pragma unroll
    for (int k = 0; k < together; ++k) {
      float values[V];
      packets[k].unpack(values);
      use(first + k, values);
    }
  }
}

/// The threads of one row. blockDim = (threads a row, rows a block); the threads of a row are `Lanes` < 32 (rows then
/// share a warp) or whole warps. With `Clustered` the row spans the blocks of a cluster.
/// Sums and maxima come out the same, bit for bit, in every thread; their order depends on the launch shape only.
template <int Lanes, bool Clustered = false>
class TileThreads {
 public:
  static constexpr int most_values = 2;  ///< of one reduction: a sum and a maximum

  /// `scratch`: tile_scratch_bytes of shared memory for this row.
  __device__ __forceinline__ explicit TileThreads(float* scratch) : scratch_(scratch) {}

  /// This thread's place among the threads of its row.
  __device__ __forceinline__ unsigned place() const {
    unsigned place = threadIdx.x;
    if constexpr (Clustered) place += cluster_rank() * blockDim.x;
    return place;
  }

  /// How many threads the row has.
  __device__ __forceinline__ unsigned count() const { return Clustered ? cluster_blocks() * blockDim.x : blockDim.x; }

  /// sum becomes the row's sum, largest (a magnitude, see larger_magnitude) the row's maximum.
  __device__ __forceinline__ void reduce(float& sum, float& largest) { reduce<true, true>(sum, largest); }
  __device__ __forceinline__ float sum(float value) {
    float none = 0.0F;
    reduce<true, false>(value, none);
    return value;
  }
  __device__ __forceinline__ float largest(float value) {
    float none = 0.0F;
    reduce<false, true>(none, value);
    return value;
  }

  /// To be called by all threads at the kernel's end: other blocks of the cluster may still read this one's sums.
  __device__ __forceinline__ void finish() const {
    if constexpr (Clustered) cluster_barrier();
  }

 private:
  template <bool with_sum, bool with_largest>
  __device__ __forceinline__ void reduce(float& sum, float& largest) {
    over_lanes<with_sum, with_largest>(sum, largest, Lanes);
    if constexpr (Lanes == warp_threads) {
      const unsigned warps = blockDim.x / warp_threads, lane = threadIdx.x % warp_threads;
      if (warps > 1) {
        float* slots = next_slots();
        if (lane == 0) put<with_sum, with_largest>(slots + threadIdx.x / warp_threads, sum, largest);
        __syncthreads();
        get<with_sum, with_largest>(slots + lane, lane < warps, sum, largest);
        over_lanes<with_sum, with_largest>(sum, largest, warp_threads);
      }
      if constexpr (Clustered) {
        float* slots = next_slots();
        const unsigned blocks = cluster_blocks();
        if (threadIdx.x == 0) put<with_sum, with_largest>(slots, sum, largest);
        cluster_barrier();
        get<with_sum, with_largest>(shared_of_block(slots, lane < blocks ? lane : 0), lane < blocks, sum, largest);
        over_lanes<with_sum, with_largest>(sum, largest, warp_threads);
      }
    }
  }

  template <bool with_sum, bool with_largest>
  static __device__ __forceinline__ void over_lanes(float& sum, float& largest, int lanes) {
    if (with_sum) sum = warp_sum(sum, lanes);
    if (with_largest) largest = __uint_as_float(warp_largest(magnitude_bits(largest), lanes));
  }
  template <bool with_sum, bool with_largest>
  static __device__ __forceinline__ void put(float* slot, float sum, float largest) {
    if (with_sum) slot[0] = sum;
    if (with_largest) slot[warp_threads] = largest;
  }
  template <bool with_sum, bool with_largest>
  static __device__ __forceinline__ void get(const float* slot, bool filled, float& sum, float& largest) {
    if (with_sum) sum = filled ? slot[0] : 0.0F;
    if (with_largest) largest = filled ? slot[warp_threads] : 0.0F;
  }
  /// Two reductions in a row use different slots, so that one barrier each is enough. A cluster's slots are read from
  /// elsewhere until the next cluster barrier: four turns keep them apart.
  __device__ __forceinline__ float* next_slots() {
    float* slots = scratch_ + static_cast<std::size_t>(turn_ * most_values * warp_threads);
    turn_ = (turn_ + 1) % turns;
    return slots;
  }

 public:
  static constexpr int turns = Clustered ? 4 : 2;

 private:
  float* scratch_;
  int turn_ = 0;
};

/// Shared memory of TileThreads for one row.
template <bool Clustered = false>
constexpr std::size_t tile_scratch_bytes() {
  using Threads = TileThreads<warp_threads, Clustered>;
  return sizeof(float) * Threads::turns * Threads::most_values * warp_threads;
}

}  // namespace normquant::NORMQUANT_BACKEND
