// Rows on their way to a block that still works on others: their packets in shared memory, by asynchronous copies.
#pragma once

#include "device/async_copy.cuh"
#include "device/launch_sizes.hpp"
#include "device/tile_columns.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// The packets of the calling thread in one tensor: packet k of stage s lies s * stage_bytes() + k * 512 bytes behind the
/// first. A warp's packets are contiguous, so there are no bank conflicts, and the distances are constant. A thread copies
/// and reads its own packets only: no barrier is needed.
template <int K>
class StagedPackets {
 public:
  /// Packets that begin `offset` bytes into the block's shared memory.
  __device__ __forceinline__ explicit StagedPackets(std::size_t offset) {
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    const unsigned place = thread / warp_threads * (K * warp_bytes) + thread % warp_threads * 16;
    packets_ = shared_place(shared_memory<unsigned char>() + offset + place);
  }
  /// The packets of another tensor, behind those of `stages` stages of this one.
  __device__ __forceinline__ StagedPackets behind(int stages) const {
    StagedPackets other = *this;
    const int bytes = stages * stage_bytes();
    other.packets_ += bytes;
    return other;
  }

  /// Starts the copies of a row that starts at `row_start`; `left` columns are left from columns.first. Packets that cannot
  /// be copied whole (see TileColumns::copies_whole) come element by element, at once.
  template <class X, class Columns>
  __device__ __forceinline__ void start(AsyncCopies& copies, int stage, const X* row_start, const Columns& columns,
                                        int left, bool between) const {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (columns.offset(k) >= left) continue;
      if (columns.copies_whole(row_start, k, between)) {
        copies.start_at(at(stage, k), row_start + columns.first + columns.offset(k));
      } else {
        Packet<X, 16 / sizeof(X)> packet;
        columns.load(row_start, k, packet);
        put(stage, k, packet);
      }
    }
  }
  /// Takes off what was copied and is not the row's.
  template <class X, class Columns>
  __device__ __forceinline__ void trim(int stage, const Columns& columns) const {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!columns.cut(k)) continue;
      auto packet_of_row = packet<X, 16 / static_cast<int>(sizeof(X))>(stage, k);
      columns.trim(k, packet_of_row);
      put(stage, k, packet_of_row);
    }
  }
  /// Zeros where a row would have been, when there is none left.
  __device__ __forceinline__ void clear(int stage) const {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      store_shared(at(stage, k), uint4{0, 0, 0, 0});
    }
  }
  /// Packets outside the row are never copied and always zero.
  template <class Columns>
  __device__ __forceinline__ void clear_outside(int stage, const Columns& columns, int left) const {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (columns.offset(k) >= left) store_shared(at(stage, k), uint4{0, 0, 0, 0});
    }
  }
  template <class X, int V>
  __device__ __forceinline__ void put(int stage, int k, const Packet<X, V>& packet) const {
    store_shared(at(stage, k), packet.data[0]);
  }
  template <class X, int V>
  __device__ __forceinline__ Packet<X, V> packet(int stage, int k) const {
    Packet<X, V> packet;
    packet.data[0] = load_shared(at(stage, k));
    return packet;
  }
  template <class X, int V>
  __device__ __forceinline__ void read(int stage, int k, float (&values)[V]) const {
    packet<X, V>(stage, k).unpack(values);
  }

 private:
  static constexpr int warp_bytes = 16 * warp_threads;
  /// Whole warps' packets: sub-warp rows fill their block's warps.
  static __device__ __forceinline__ int stage_bytes() {
    return static_cast<int>((blockDim.x * blockDim.y + warp_threads - 1) / warp_threads) * K * warp_bytes;
  }

  __device__ __forceinline__ SharedPlace at(int stage, int k) const {
    const int bytes = stage * stage_bytes() + k * warp_bytes;
    return packets_ + bytes;
  }

  SharedPlace packets_;
};

/// The tensors of rows in shared memory, all of h's type, and the weight and bias where registers do not hold them.
template <int K>
struct StagedRow {
  StagedPackets<K> h, dy, dresidual, weight, bias;
};

/// Where the packets of a row come from: a stage of shared memory. `vectors_staged`: weight and bias are there too, as one
/// stage; otherwise the weight is in registers, and there is no bias.
template <class H, int V, int K, bool vectors_staged>
struct StagedSource {
  const StagedRow<K>& staged;
  /// Ones where there is no weight.
  Packet<H, V> (&weights)[vectors_staged ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  int stage;

  __device__ __forceinline__ void h(int k, float (&values)[V]) const { staged.h.template read<H>(stage, k, values); }
  __device__ __forceinline__ void dy(int k, float (&values)[V]) const { staged.dy.template read<H>(stage, k, values); }
  __device__ __forceinline__ void dresidual(int k, float (&values)[V]) const {
    staged.dresidual.template read<H>(stage, k, values);
  }
  __device__ __forceinline__ void weight(int k, float (&values)[V]) const {
    if constexpr (vectors_staged) {
      staged.weight.template read<H>(0, k, values);
    } else {
      weights[k].stay_packed();
      weights[k].unpack(values);
    }
  }
  __device__ __forceinline__ void bias(int k, float (&values)[V]) const { staged.bias.template read<H>(0, k, values); }
};

}  // namespace normquant::NORMQUANT_BACKEND
