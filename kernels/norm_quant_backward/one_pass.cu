// norm_quant_backward, one pass: a persistent grid; each block walks over rows, holds a row in registers and the sums of
// dweight and dbias over its rows in registers too.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Bytes an element (bfloat16): 4 read + 2 written, + 2 with the recomputed out, + 2 with dresidual. About 20 float32
// operations. One reduction a row: c1, c2 and absmax travel together.
// The blocks' sums are added by a second kernel. Serves tensors of mixed types and, by element accesses, any alignment.
#include "algorithms.hpp"
#include "device/row_threads.cuh"
#include "norm_quant_backward/backward_steps.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/one_pass_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = backward_one_pass_launch;

/// The block's sum of one column packet over its rows side by side (threadIdx.y), left in `sum` of threadIdx.y == 0.
/// `slots`: [N] floats of shared memory.
template <int V>
__device__ __forceinline__ void add_rows_of_block(float (&sum)[V], std::int64_t column, bool inside, float* slots) {
  for (unsigned y = 1; y < blockDim.y; ++y) {  // one after the other: always the same order
    if (threadIdx.y == y && inside) store_elements<float>(slots, column, sum);
    __syncthreads();
    if (threadIdx.y == 0 && inside) {
      float other[V];
      load_elements<float>(slots, column, other);
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += other[v];
    }
    __syncthreads();
  }
}

/// The block's sum of one column packet to its place among those of the blocks.
template <int V>
__device__ __forceinline__ void store_partial(float* partial, std::int64_t columns, std::int64_t column,
                                              const float (&sum)[V]) {
  store_elements<float>(partial, static_cast<std::int64_t>(blockIdx.x) * columns + column, sum);
}

/// Hands the block's sums over: of its rows side by side, packet by packet. column(k): where packet k begins.
template <int V, int K, class Column>
__device__ __forceinline__ void hand_over(const ColumnPartials& partials, int columns, Column&& column,
                                          float (&dweight)[K][V], float (&dbias)[K][V]) {
  if (partials.dweight == nullptr && partials.dbias == nullptr) return;
  // The reductions' scratch is not used any more once all threads are here.
  __syncthreads();
  float* slots = shared_memory<float>();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const bool inside = column(k) < columns;
    const bool hands_over = inside && threadIdx.y == 0;
    if (partials.dweight != nullptr) {
      add_rows_of_block(dweight[k], column(k), inside, slots);
      if (hands_over) store_partial(partials.dweight, partials.row_length, column(k), dweight[k]);
    }
    if (partials.dbias != nullptr) {
      add_rows_of_block(dbias[k], column(k), inside, slots);
      if (hands_over) store_partial(partials.dbias, partials.row_length, column(k), dbias[k]);
    }
  }
}

template <class H, int V, int K>
__global__ void __launch_bounds__(plan::most_threads(V, K))
    backward_one_pass(const __grid_constant__ NormQuantBackward a, ColumnPartials partials) {
  RowThreads threads = row_threads();
  const int columns = static_cast<int>(a.columns);  // a row that fits registers is short
  const auto column = [&](int k) { return (k * threads.count + threads.lane) * V; };
  const bool recompute = a.recomputed.given();
  const bool absmax_wanted = recompute && a.quant_scale == nullptr;
  float dweight[K][V] = {}, dbias[K][V] = {};

  // Rows past the end keep the barriers company.
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.y;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.y; first < a.rows; first += step) {
    const std::int64_t row = first + threadIdx.y;
    const bool live = row < a.rows;
    const auto inside = [&](int k) { return live && column(k) < columns; };

    Packet<H, V> h[K];
    float xhat[K][V], wdy[K][V];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k)) h[k].load(static_cast<const H*>(a.h.data) + row * a.h.ld + column(k));
    }
    load_packets_typed(
        a.dy.data, a.dy.type, [&](int k) { return row * a.dy.ld + column(k); }, inside, wdy);
    const RowStatistics statistics = live ? row_statistics(a, row) : RowStatistics{0.0F, 0.0F};

    RowSums sums;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!inside(k)) continue;
      h[k].unpack(xhat[k]);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        dbias[k][v] += wdy[k][v];
        dweight[k][v] = fmaf(wdy[k][v], normalised(xhat[k][v], statistics.mean, statistics.rstd), dweight[k][v]);
      }
      accumulate_packet(a, column(k), statistics, absmax_wanted, xhat[k], wdy[k], sums);
    }
    threads.reduce(sums.sums, sums.absmax);
    if (!live) continue;
    const RowCoefficients coefficients = row_coefficients(a, sums);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k)) store_gradient(a, row, column(k), xhat[k], wdy[k], coefficients, statistics.rstd);
    }
    if (!recompute) continue;
    const RowScale scale = recomputed_scale(a, row, sums.absmax);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k)) store_recomputed(a, row, column(k), xhat[k], scale);
    }
    if (threads.lane == 0 && a.recomputed.dequant_scale != nullptr) a.recomputed.dequant_scale[row] = scale.dequant;
  }
  hand_over(partials, columns, column, dweight, dbias);
}

template <class H, int V>
Status launch_packets(int k, const NormQuantBackward& a, const ColumnPartials& partials, dim3 grid, const Tuning& t,
                      Stream stream) {
  const dim3 block{static_cast<unsigned>(t.threads_per_row), static_cast<unsigned>(t.rows_per_block), 1};
  const auto run = [&](auto kernel) {
    return launch_kernel(kernel, grid, block, plan::shared_bytes(t, a), stream, a, partials);
  };
  if (k == 1) return run(backward_one_pass<H, V, 1>);
  if (k == 2) return run(backward_one_pass<H, V, 2>);
  if (k == 4) return run(backward_one_pass<H, V, 4>);
  if constexpr (8 <= plan::most_packets(V) && 8 * V <= plan::most_columns) return run(backward_one_pass<H, V, 8>);
  return Status::unsupported("no kernel with that many packets");
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const std::int64_t blocks = plan::blocks(variant, a, device);
  const ColumnPartials partials = column_partials(a, blocks, workspace);
  return launch_with_sums(a, partials, device, stream, false, [&] {
    const dim3 grid{static_cast<unsigned>(blocks), 1, 1};
    return with_packet_type(a.h.type, plan::elements(variant, a), [&](auto packet) {
      return launch_packets<typename decltype(packet)::element, decltype(packet)::count>(
          plan::packets(variant, a), a, partials, grid, variant.tuning, stream);
    });
  });
}

// Names: t = threads a row, r = rows a block, v = bytes an access (v1: one element).
constexpr VariantRow rows[] = {
    {.name = "one_pass_t32_r4_v16", .summary = "warp a row, any types", .threads_per_row = 32, .rows_per_block = 4},
    {.name = "one_pass_t128_r1_v16", .summary = "4 warps a row, any types", .threads_per_row = 128},
    {.name = "one_pass_t512_r1_v16", .summary = "16 warps a row, any types", .threads_per_row = 512},
    {.name = "one_pass_t256_r1_v1",
     .summary = "element accesses: any alignment, any N",
     .threads_per_row = 256,
     .access_bytes = 1},
    {.name = "one_pass_t1024_r1_v1",
     .summary = "element accesses: any alignment, any N",
     .threads_per_row = 1024,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_one_pass() {
  static const auto table = variant_table<NormQuantBackward>({.why_not = plan::why_not,
                                                              .workspace_bytes = plan::workspace_bytes,
                                                              .requested_bytes = requests_partials_twice,
                                                              .launch = launch,
                                                              .row_invariant = true},
                                                             rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
