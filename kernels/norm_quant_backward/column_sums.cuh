// Sums over rows (dweight, dbias): partial sums of the blocks in scratch memory, then one sum over the partials, always
// in the same order.
#pragma once

#include <algorithm>

#include "device/element.cuh"
#include "device/overlap.cuh"
#include "norm_quant_backward/backward_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {

/// The calling thread's sums over its rows, of K packets of V columns.
template <int K, int V, bool Dbias>
struct ColumnSums {
  static constexpr bool with_dbias = Dbias;
  float dweight[K][V] = {};
  float dbias[Dbias ? K : 1][V] = {};  // NOLINT(bugprone-branch-clone): the same where K is 1
};

/// Where the sums of the columns from `column` on go: to the block's partial sums or, when there is but one part, to the
/// result. Aligned: all are columns of the row, and `column` is a multiple of partial_columns. Otherwise those outside are
/// passed over; sums behind the row's end, up to row_length, are zeros.
template <bool Aligned = true>
__device__ __forceinline__ void store_column_sums(const Vector& result, float* partial, const ColumnPartials& partials,
                                                  std::int64_t part, std::int64_t column, std::int64_t columns,
                                                  const float (&sums)[partial_columns]) {
  float* to_partial = partial + part * partials.row_length + column;
  const bool parts = partials.parts > 1;
  if (Aligned && parts) return store_elements<float>(to_partial, 0, sums);
  if (!Aligned && parts) {
#pragma unroll
    for (int i = 0; i < partial_columns; ++i) {
      if (column + i >= 0 && column + i < partials.row_length) to_partial[i] = sums[i];
    }
    return;
  }
  with_element_type(result.type, [&](auto type) {
    using T = typename decltype(type)::type;
    T* to = static_cast<T*>(result.data) + column;
    Packet<T, partial_columns> packet;
    packet.pack(sums);
    if (Aligned && reinterpret_cast<std::uintptr_t>(to) % sizeof(packet) == 0) return packet.store(to);
#pragma unroll
    for (int i = 0; i < partial_columns; ++i) {
      if (Aligned || (column + i >= 0 && column + i < columns)) to[i] = from_float<T>(sums[i]);
    }
  });
}

/// The same for the packets of the calling thread; striped elements one by one, also those behind the row's end.
template <bool Aligned = true, int V, int K, class Columns>
__device__ __forceinline__ void store_column_packets(const Vector& result, float* partial,
                                                     const ColumnPartials& partials, std::int64_t part,
                                                     std::int64_t row_columns, const Columns& columns,
                                                     const float (&sums)[K][V]) {
  if (partial == nullptr) return;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int first = columns.first + columns.offset(k);
    if constexpr (V < partial_columns) {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float sum[1] = {sums[k][i]};
        const bool stored = first + i >= 0 && first + i < (partials.parts > 1 ? partials.row_length : row_columns);
        if (stored && partials.parts > 1) store_elements<float>(partial, part * partials.row_length + first + i, sum);
        if (stored && partials.parts == 1) store_typed(result.data, result.type, first + i, sum);
      }
    } else if (columns.inside(k)) {
#pragma unroll
      for (int i = 0; i < V; i += partial_columns) {
        float some[partial_columns];
#pragma unroll
        for (int j = 0; j < partial_columns; ++j) some[j] = sums[k][i + j];
        store_column_sums<Aligned>(result, partial, partials, part, first + i, row_columns, some);
      }
    }
  }
}

/// Hands the block's column sums over: every row side by side puts its own into shared memory, and all threads add them up,
/// always in the same order. The rows under way are not used any more.
template <bool Aligned, int V, int K, class Columns>
__device__ __forceinline__ void hand_over(const Vector& result, float* partial, const ColumnPartials& partials,
                                          std::int64_t part, std::int64_t row_columns, unsigned rank,
                                          const Columns& columns, const float (&sums)[K][V]) {
  if (partial == nullptr) return;
  if (blockDim.y == 1) {
    return store_column_packets<Aligned>(result, partial, partials, part, row_columns, columns, sums);
  }
  float* slots = shared_memory<float>();
  const int share = static_cast<int>(blockDim.x) * K * V;
  const int begin = static_cast<int>(rank) * share - static_cast<int>(columns.lead);  // the column of the first slot
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    store_elements<float>(slots, static_cast<int>(threadIdx.y) * share + columns.first - begin + columns.offset(k),
                          sums[k]);
  }
  __syncthreads();
  const int left = static_cast<int>(row_columns) - begin, count = left < share ? left : share;
  const auto thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  const int step = static_cast<int>(blockDim.x * blockDim.y) * partial_columns;
  for (int column = thread * partial_columns; column < count; column += step) {
    float total[partial_columns] = {};
    for (unsigned y = 0; y < blockDim.y; ++y) {
      float values[partial_columns];
      load_elements<float>(slots, static_cast<int>(y) * share + column, values);
#pragma unroll
      for (int i = 0; i < partial_columns; ++i) total[i] += values[i];
    }
    store_column_sums<Aligned>(result, partial, partials, part, begin + column, row_columns, total);
  }
}

/// The same of dweight, and of dbias where it is summed.
template <bool Aligned, class Columns, class Sums>
__device__ __forceinline__ void hand_over(const NormQuantBackward& a, const ColumnPartials& partials, std::int64_t part,
                                          unsigned rank, const Columns& columns, const Sums& sums) {
  hand_over<Aligned>(a.dweight, partials.dweight, partials, part, a.columns, rank, columns, sums.dweight);
  if constexpr (Sums::with_dbias) {
    hand_over<Aligned>(a.dbias, partials.dbias, partials, part, a.columns, rank, columns, sums.dbias);
  }
}

constexpr int sum_columns = 32;   ///< columns of a block of sum_partials: 128 bytes of every part
constexpr int parts_at_once = 4;  ///< that a thread has under way
/// Groups of threads that share the parts: one a part up to 32, then as many as leave each no more than it can have under way,
/// so that the parts of 132 multiprocessors are waited for once.
constexpr std::int64_t some_slices = 32, most_slices = 64;

/// dweight and dbias from their partials, cast at the end. Block: (sum_columns / 4, slices); blockIdx.y: which of the two.
/// The order of the additions depends on the number of parts only.
static __global__ void sum_partials(const __grid_constant__ NormQuantBackward a, ColumnPartials partials) {
  overlap_launches();
  const bool of_dweight = a.dweight.given() && blockIdx.y == 0;
  const Vector result = of_dweight ? a.dweight : a.dbias;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * sum_columns;
  const std::int64_t column = first + static_cast<std::int64_t>(threadIdx.x) * partial_columns;
  float sums[partial_columns] = {};
  if (column < partials.row_length) {
    const float* from = (of_dweight ? partials.dweight : partials.dbias) + threadIdx.y * partials.row_length + column;
    const std::int64_t step = blockDim.y * partials.row_length;
    const unsigned round = parts_at_once * blockDim.y;
#pragma unroll 1
    for (std::int64_t part = threadIdx.y; part < partials.parts; part += round) {
      float values[parts_at_once][partial_columns] = {};
#pragma unroll
      for (int p = 0; p < parts_at_once; ++p, from += step) {
        const unsigned ahead = p * blockDim.y;
        if (part + ahead < partials.parts) load_elements<float>(from, 0, values[p]);
      }
#pragma unroll
      for (int p = 0; p < parts_at_once; ++p) {
#pragma unroll
        for (int i = 0; i < partial_columns; ++i) sums[i] += values[p][i];
      }
    }
  }
  float* slots = shared_memory<float>();
  store_elements<float>(slots, static_cast<int>(threadIdx.y * sum_columns + threadIdx.x * partial_columns), sums);
  __syncthreads();
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
  if (thread >= sum_columns || first + thread >= a.columns) return;
  float total[1] = {0.0F};
#pragma unroll 8
  for (unsigned slice = 0; slice < blockDim.y; ++slice) total[0] += slots[slice * sum_columns + thread];
  store_typed(result.data, result.type, first + thread, total);
}

inline Status launch_sum_partials(const NormQuantBackward& a, const ColumnPartials& partials, const DeviceInfo& device,
                                  Stream stream) {
  LaunchShape shape;
  const unsigned vectors = (a.dweight.given() ? 1 : 0) + (a.dbias.given() ? 1 : 0);
  shape.grid = dim3{static_cast<unsigned>(divide_up(a.columns, sum_columns)), vectors, 1};
  // A warp at least, which writes the results.
  const std::int64_t wanted = std::max(std::min(partials.parts, some_slices), divide_up(partials.parts, parts_at_once));
  const auto slices = static_cast<unsigned>(std::clamp<std::int64_t>(wanted, partial_columns, most_slices));
  shape.block = dim3{sum_columns / partial_columns, slices, 1};
  shape.shared_bytes = sizeof(float) * sum_columns * slices;
  shape.overlap = device.compute_capability >= 90;
  return launch_kernel(sum_partials, shape, stream, a, partials);
}

/// What every algorithm launches: `walk`, and the sum over the parts that it leaves. `alone`: where there is but one part, its
/// block writes dweight and dbias itself.
template <class Walk>
Status launch_with_sums(const NormQuantBackward& a, const ColumnPartials& partials, const DeviceInfo& device,
                        Stream stream, bool alone, Walk&& walk) {
  if (a.rows > 0) {
    if (Status status = walk(); !status.ok()) return status;
  }
  const bool summed = alone && a.rows > 0 && partials.parts == 1;
  if (summed || (!a.dweight.given() && !a.dbias.given())) return {};
  return launch_sum_partials(a, partials, device, stream);
}

}  // namespace normquant::NORMQUANT_BACKEND
