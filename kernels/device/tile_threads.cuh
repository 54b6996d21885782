// Reductions over the threads that share a row cut into tiles (device/tile_columns.cuh).
#pragma once

#include "device/cluster.cuh"
#include "device/launch_sizes.hpp"
#include "device/row_threads.cuh"
#include "device/shared_place.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// How the rows of a block wait: `together`, by one barrier of all, or each `alone`, so that they go their own ways. A kernel
/// whose rows wait alone takes all barriers that a block can have, and a multiprocessor has them for four such blocks.
enum class RowsWait { together, alone };

/// The threads of one row. blockDim = (threads a row, rows a block); the threads of a row are `Lanes` < 32 (rows then
/// share a warp, whose threads reduce together) or whole warps. With `Clustered` the row spans the blocks of a cluster.
/// Sums and maxima come out the same, bit for bit, in every thread; their order depends on the launch shape only.
template <int Lanes, bool Clustered = false, RowsWait wait = RowsWait::together>
class TileThreads {
 public:
  static constexpr int most_values = most_reduced_values, turns = reduction_turns(Clustered);
  static constexpr int slot_floats = turns * most_values * warp_threads;
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

}  // namespace normquant::NORMQUANT_BACKEND
