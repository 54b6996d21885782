// A matrix shared out among the blocks of a grid, packet by packet of neighbouring columns.
#pragma once

#include "device/element.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Columns of a packet: V in one aligned access, or 4 single elements (V == 1), the codes of one packed byte.
constexpr int packet_columns(int V) { return V == 1 ? 4 : V; }

/// Where a packet lies: in one long row, or in rows with gaps between them.
template <bool Rows>
struct Place {
  std::int64_t row, packet;
  __device__ __forceinline__ std::int64_t at(std::int64_t ld, int elements_per_packet) const {
    return (Rows ? row * ld : 0) + packet * elements_per_packet;
  }
};

/// The packets of a block of T threads, from `first` on, in tiles of K a thread. The last tile has `tail` packets, 1 at
/// least; all others are full.
template <int C, int T, int K, bool Rows>
struct PacketShare {
  std::int64_t packets_per_row, first;
  int last_tile, tail;

  static constexpr std::int64_t tile_packets = static_cast<std::int64_t>(K) * T;

  __device__ __forceinline__ PacketShare(std::int64_t rows, std::int64_t columns, std::int64_t packets_per_block) {
    packets_per_row = (columns + C - 1) / C;
    first = blockIdx.x * packets_per_block;
    const std::int64_t left = rows * packets_per_row - first;
    const std::int64_t count = left < packets_per_block ? left : packets_per_block;
    last_tile = static_cast<int>((count - 1) / tile_packets);
    tail = static_cast<int>(count - static_cast<std::int64_t>(last_tile) * tile_packets);
  }

  /// f(k, place) for the thread's packets of the tile. Without gaps there is no division; with gaps one a tile.
  template <bool Full, class F>
  __device__ __forceinline__ void each(int tile, F f) const {
    const int thread = static_cast<int>(threadIdx.x);
    Place<Rows> place = {0, first + static_cast<std::int64_t>(tile) * tile_packets + thread};
    std::int64_t step_rows = 0, step_packets = T;
    if constexpr (Rows) {
      place = {place.packet / packets_per_row, place.packet % packets_per_row};
      step_rows = step_packets / packets_per_row;
      step_packets %= packets_per_row;
    }
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (Full || thread + k * T < tail) f(k, place);
      place.packet += step_packets;
      if constexpr (Rows) {
        place.row += step_rows;
        if (place.packet >= packets_per_row) place.packet -= packets_per_row, ++place.row;
      }
    }
  }
};

/// A packet from memory; single elements past the `columns` that are left of the row are 0.
template <int V, class T, int C>
__device__ __forceinline__ void load_packet(const T* from, [[maybe_unused]] std::int64_t columns,
                                            Packet<T, C>& packet) {
  if constexpr (V > 1) {
    packet.load_once(from);
  } else {
    typename Word<sizeof(T)>::type bits[C] = {};
#pragma unroll
    for (int c = 0; c < C; ++c) {
      if (c < columns) bits[c] = reinterpret_cast<const typename Word<sizeof(T)>::type*>(from)[c];
    }
    memcpy(packet.data, bits, sizeof(bits));
  }
}

/// A packet to memory, marked as the first that the L2 may drop: what is to be read once more stays.
template <int V, class T, int C>
__device__ __forceinline__ void store_packet(T* to, [[maybe_unused]] std::int64_t columns, const Packet<T, C>& packet) {
  if constexpr (V > 1) {
    packet.store_once(to);
  } else {
    typename Word<sizeof(T)>::type bits[C];
    memcpy(bits, packet.data, sizeof(bits));
#pragma unroll
    for (int c = 0; c < C; ++c) {
      if (c < columns) reinterpret_cast<typename Word<sizeof(T)>::type*>(to)[c] = bits[c];
    }
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
