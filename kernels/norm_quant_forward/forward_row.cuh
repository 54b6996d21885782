// What the kernels of the one pass share: where a block's rows are, what is asked for ahead, and the moves of a row.
#pragma once

#include "device/overlap.cuh"
#include "device/tile_threads.cuh"
#include "norm_quant_forward/forward_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// A row as the calling thread sees it, which holds K packets of V columns of it. X: type of x.
template <class Facts, class X, class Columns, class Threads>
struct Row {
  const NormQuantForward& a;
  std::int64_t number;
  bool live;  ///< threads of rows past the end only keep the barriers company
  const Columns& columns;
  Threads& threads;
  float per_column;
};

/// The number of the calling thread's row: a row, or the rows side by side, of every block or cluster.
template <bool Clustered>
__device__ __forceinline__ std::int64_t row_number() {
  const std::int64_t block = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  return block * blockDim.y + threadIdx.y;
}

/// The row's part of the block's shared memory, for its reductions.
__device__ __forceinline__ float* scratch_of_row(bool clustered) {
  return shared_memory<float>() + threadIdx.y * (tile_scratch_bytes(clustered) / sizeof(float));
}

/// Whether the calling thread asks for its block's rows, of which several may share a warp.
template <int Lanes>
__device__ __forceinline__ bool asks_for_rows() {
  return threadIdx.x == 0 && threadIdx.y % (Lanes < warp_threads ? warp_threads / Lanes : 1) == 0;
}

/// Asks for `count` columns of a row from `first` on to be brought into the L2.
__device__ __forceinline__ void prefetch_of(const ConstMatrix& matrix, std::int64_t row, int first, int count) {
  const int bytes = static_cast<int>(matrix.type == DType::float32 ? 4 : 2);
  prefetch_to_l2(static_cast<const unsigned char*>(matrix.data) + (row * matrix.ld + first) * bytes,
                 static_cast<std::int64_t>(count) * bytes);
}

/// Asks for what the block reads of a row, or would read: `share` columns from its first on. Rows that share a warp are asked
/// for by one instruction, and with them what lies between them, at most as much again.
template <class Facts, int Lanes>
__device__ __forceinline__ void prefetch_row(const NormQuantForward& a, std::int64_t row, int first_column, int share) {
  constexpr int rows_of_warp = Lanes < warp_threads ? warp_threads / Lanes : 1;
  const int first = first_column < 0 ? 0 : first_column;
  const int left = static_cast<int>(a.columns) - first, count = left < share ? left : share;
  const auto ask = [&](const ConstMatrix& matrix) {
    const bool together = rows_of_warp > 1 && matrix.ld < 2 * a.columns && row + rows_of_warp <= a.rows;
    prefetch_of(matrix, row, first, together ? count + (rows_of_warp - 1) * static_cast<int>(matrix.ld) : count);
  };
  ask(a.x);
  if (Facts::residual(a)) ask(a.residual);
}

/// v = v + residual, from global memory.
template <class Facts, int V, int K, class Columns>
__device__ __forceinline__ void add_residual(const ConstMatrix& residual, std::int64_t row, const Columns& columns,
                                             float (&v)[K][V]) {
  Facts::with_type(residual.type, [&](auto type) {
    using T = typename decltype(type)::type;
    const T* row_start = static_cast<const T*>(residual.data) + row * residual.ld;
    for_packets<T, V, K>(columns, row_start, [&](int k, const float(&added)[V]) {
#pragma unroll
      for (int i = 0; i < V; ++i) v[k][i] += added[i];
    });
  });
}

/// residual_out = h, which v holds; and where the statistics start from stored h, v as it was stored.
template <class Facts, class X, int V, int K, class Columns, class Threads>
__device__ __forceinline__ void store_h(const Row<Facts, X, Columns, Threads>& row, float (&v)[K][V]) {
  const Matrix& residual_out = row.a.residual_out;
  Facts::with_type(residual_out.type, [&](auto type) {
    using T = typename decltype(type)::type;
    T* out = static_cast<T*>(residual_out.data) + row.number * residual_out.ld;
    for_each_packet<K>(row.columns, [&](const auto& inner, int k) {
      Packet<T, V> stored;
      stored.pack(v[k]);
      inner.template store<T, true>(out, k, stored);
      if (row.a.h_source == HSource::stored) stored.unpack(v[k]);
    });
  });
}

/// The launch of one_pass_packed.cu, for problems of Form::rms, Form::rms_codes and Form::rms_other_codes.
Status launch_packed(const Tuning& t, const NormQuantForward& a, const LaunchShape& shape, Overlap overlap,
                     Stream stream);

/// take(k, values) for every packet of the weight or the bias: of `packets` where they hold it, else read here.
template <class Facts, int V, int K, class X, class Columns, class Threads, class Take>
__device__ __forceinline__ void with_vector(const Row<Facts, X, Columns, Threads>& row, bool early,
                                            const Packet<X, V> (&packets)[K], const ConstVector& vector, Take&& take) {
  if (early) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float values[V];
      packets[k].unpack(values);
      take(k, values);
    }
  } else {
    Facts::with_type(vector.type, [&](auto type) {
      using T = typename decltype(type)::type;
      for_packets<T, V, K>(row.columns, static_cast<const T*>(vector.data), take);
    });
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
