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
#include "device/shared_place.cuh"

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

constexpr int most_side_by_side = 15;  ///< named barriers of a block beside that of __syncthreads()

/// How the rows of a block wait: `together`, by one barrier of all, or each `alone`, so that they go their own ways. A kernel
/// whose rows wait alone takes all barriers that a block can have, and a multiprocessor has them for four such blocks.
enum class RowsWait { together, alone };

/// The threads of one row. blockDim = (threads a row, rows a block); the threads of a row are `Lanes` < 32 (rows then
/// share a warp, whose threads reduce together) or whole warps. With `Clustered` the row spans the blocks of a cluster.
/// Sums and maxima come out the same, bit for bit, in every thread; their order depends on the launch shape only.
template <int Lanes, bool Clustered = false, RowsWait wait = RowsWait::together>
class TileThreads {
 public:
  static constexpr int most_values = 3;  ///< of one reduction: two sums and a maximum
  static constexpr int turns = Clustered ? 4 : 2;
  static constexpr int slot_floats = turns * most_values * static_cast<int>(warp_threads);
  static constexpr int read_by_all = 8;  ///< up to so many warps every thread adds the warps' values up by itself

  /// `scratch`: tile_scratch_bytes of shared memory for this row. To be made by all threads of a cluster at once.
  __device__ __forceinline__ explicit TileThreads(float* scratch)
      : scratch_(scratch), slots_(shared_place(scratch)), exchange_(scratch + slot_floats) {}

  /// Waits until all blocks of the cluster have begun; to be called once, before the first reduction. A good place is behind
  /// the first loads.
  __device__ __forceinline__ void begin() {
    if constexpr (Clustered) exchange_.open();
  }

  /// This thread's place among the threads of its row.
  __device__ __forceinline__ unsigned place() const {
    unsigned place = threadIdx.x;
    if constexpr (Clustered) place += cluster_rank() * blockDim.x;
    return place;
  }
  /// How many threads the row has.
  __device__ __forceinline__ unsigned count() const { return Clustered ? cluster_blocks() * blockDim.x : blockDim.x; }

  /// sums become the row's sums, largest (a magnitude, see larger_magnitude) the row's maximum.
  template <int S, bool with_largest = true>
  __device__ __forceinline__ void reduce(float (&sums)[S], float& largest) {
    begin_reduce<S, with_largest>(sums, largest);
    end_reduce<S, with_largest>(sums, largest);
  }

  /// The same in two halves, with other work in between where the row spans blocks: the first ends when this block's sums
  /// are on their way to the others, the second waits for theirs.
  template <int S, bool with_largest = true>
  __device__ __forceinline__ void begin_reduce(float (&sums)[S], float& largest) {
    over_lanes<S, with_largest>(sums, largest, Lanes);
    if constexpr (Lanes == warp_threads) {
      const unsigned warps = blockDim.x / warp_threads, lane = threadIdx.x % warp_threads;
      if (warps > 1) {
        const SharedPlace slots = behind(slots_, next_slots() * value_bytes);
        if (lane == 0) put<S, with_largest>(behind(slots, threadIdx.x / warp_threads * value_bytes), sums, largest);
        if (warps <= read_by_all) {
          if (threadIdx.x >= warps && threadIdx.x < read_by_all)
            put_zeros<S, with_largest>(behind(slots, threadIdx.x * value_bytes));
          meet();
          get_all<S, with_largest>(slots, sums, largest);
        } else {
          meet();
          get<S, with_largest>(behind(slots, lane * value_bytes), lane < warps, sums, largest);
          over_lanes<S, with_largest>(sums, largest, warp_threads);
        }
      }
      if constexpr (Clustered) {
        from_blocks_ = next_slots();
        if (threadIdx.x < cluster_blocks()) {
          float* slot = scratch_ + from_blocks_ + cluster_rank();
#pragma unroll
          for (int s = 0; s < S; ++s) exchange_.send(slot + std::ptrdiff_t{s} * warp_threads, threadIdx.x, sums[s]);
          if (with_largest) exchange_.send(slot + std::ptrdiff_t{S} * warp_threads, threadIdx.x, largest);
        }
        constexpr unsigned bytes = sizeof(float) * (S + (with_largest ? 1U : 0U));  // from every block
        exchange_.sent(cluster_blocks() * bytes);
      }
    }
  }
  template <int S, bool with_largest = true>
  __device__ __forceinline__ void end_reduce(float (&sums)[S], float& largest) {
    if constexpr (Clustered) {
      const unsigned lane = threadIdx.x % warp_threads;
      exchange_.receive();
      get<S, with_largest>(behind(slots_, (from_blocks_ + lane) * value_bytes), lane < cluster_blocks(), sums, largest);
      over_lanes<S, with_largest>(sums, largest, warp_threads);
    }
  }
  __device__ __forceinline__ void reduce(float& sum, float& largest) {
    float sums[1] = {sum};
    reduce<1>(sums, largest);
    sum = sums[0];
  }
  __device__ __forceinline__ float sum(float value) {
    float sums[1] = {value}, none = 0.0F;
    reduce<1, false>(sums, none);
    return sums[0];
  }
  __device__ __forceinline__ float largest(float value) {
    float none[1] = {0.0F};
    reduce(none[0], value);
    return value;
  }

  /// Where rows share a warp: whether `mine` is true for any of them. Of a row of whole warps all threads have the same `mine`.
  static __device__ __forceinline__ bool any_of_warp(bool mine) {
    return Lanes == warp_threads ? mine : __reduce_max_sync(0xffffffffU, mine ? 1U : 0U) != 0;
  }

  /// Waits for the threads of this row in the block.
  static __device__ __forceinline__ void meet() {
    if (wait == RowsWait::together || blockDim.y == 1) {
      __syncthreads();
    } else {
      group_barrier(threadIdx.y + 1, blockDim.x);
    }
  }

 private:
  template <int S, bool with_largest>
  static __device__ __forceinline__ void over_lanes(float (&sums)[S], float& largest, int lanes) {
#pragma unroll
    for (int s = 0; s < S; ++s) sums[s] = warp_sum(sums[s], lanes);
    if (with_largest) largest = __uint_as_float(warp_largest(magnitude_bits(largest), lanes));
  }
  static constexpr unsigned value_bytes = sizeof(float);
  /// Where a value of a reduction lies: the warps' first values, then their second, ...
  static __device__ __forceinline__ constexpr unsigned value_slot(int value) {
    return static_cast<unsigned>(value) * warp_threads * value_bytes;
  }
  template <int S, bool with_largest>
  static __device__ __forceinline__ void put(SharedPlace slot, const float (&sums)[S], float largest) {
#pragma unroll
    for (int s = 0; s < S; ++s) store_shared_float(slot + value_slot(s), sums[s]);
    if (with_largest) store_shared_float(slot + value_slot(S), largest);
  }
  template <int S, bool with_largest>
  static __device__ __forceinline__ void get(SharedPlace slot, bool filled, float (&sums)[S], float& largest) {
#pragma unroll
    for (int s = 0; s < S; ++s) sums[s] = filled ? load_shared_float(slot + value_slot(s)) : 0.0F;
    if (with_largest) largest = filled ? load_shared_float(slot + value_slot(S)) : 0.0F;
  }
  template <int S, bool with_largest>
  static __device__ __forceinline__ void put_zeros(SharedPlace slot) {
    const float zeros[S] = {};
    put<S, with_largest>(slot, zeros, 0.0F);
  }
  /// Every thread reads the values of all warps: two accesses a value, where lanes that exchange them wait five times.
  template <int S, bool with_largest>
  static __device__ __forceinline__ void get_all(SharedPlace slots, float (&sums)[S], float& largest) {
    float values[read_by_all];
#pragma unroll
    for (int s = 0; s < S; ++s) {
      get_eight(slots + value_slot(s), values);
      sums[s] =
          ((values[0] + values[1]) + (values[2] + values[3])) + ((values[4] + values[5]) + (values[6] + values[7]));
    }
    if (!with_largest) return;
    get_eight(slots + value_slot(S), values);
    largest = values[0];
#pragma unroll
    for (int i = 1; i < read_by_all; ++i) largest = larger_magnitude(largest, values[i]);
  }
  static __device__ __forceinline__ void get_eight(SharedPlace slots, float (&values)[read_by_all]) {
    const uint4 words[2] = {load_shared(slots), load_shared(slots + sizeof(uint4))};
    memcpy(values, words, sizeof(values));
  }
  /// Two reductions in a row use different slots, so that one barrier each is enough. A cluster's have one turn for the
  /// warps and one for the blocks each.
  __device__ __forceinline__ unsigned next_slots() {
    const auto slots = static_cast<unsigned>(turn_ * most_values * warp_threads);
    turn_ = (turn_ + 1) % turns;
    return slots;
  }

  struct NoExchange {
    __device__ __forceinline__ explicit NoExchange(float*) {}
  };
  float* scratch_;  ///< as the cluster's exchange takes it
  SharedPlace slots_;
  std::conditional_t<Clustered, ClusterExchange, NoExchange> exchange_;
  unsigned from_blocks_ = 0;  ///< from which float on the blocks of the cluster put their sums of the current reduction
  int turn_ = 0;
};

/// Shared memory of TileThreads for one row; a multiple of 16 bytes.
template <bool Clustered = false>
constexpr std::size_t tile_scratch_bytes() {
  using Threads = TileThreads<warp_threads, Clustered>;
  return sizeof(float) * Threads::slot_floats + (Clustered ? ClusterExchange::state_bytes : 0);
}

}  // namespace normquant::NORMQUANT_BACKEND
