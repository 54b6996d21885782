// norm_quant_backward, inputs read again: nothing of a row is kept, so N has no limit.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Three kernels: rows (a block a row: first c1, c2 and absmax, then dx and out), columns (dweight and dbias over chunks
// of rows, reading dy and h once more), and the sum over the chunks. dy and h are read three times.
#include "algorithms.hpp"
#include "device/row_threads.cuh"
#include "norm_quant_backward/backward_steps.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/two_pass_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = backward_two_pass_launch;
using plan::column_threads;

template <class H, int V>
__device__ __forceinline__ void load_h_and_dy(const NormQuantBackward& a, std::int64_t row, std::int64_t column,
                                              float (&h)[V], float (&dy)[V]) {
  Packet<H, V> packet;
  packet.load(static_cast<const H*>(a.h.data) + row * a.h.ld + column);
  load_typed(a.dy.data, a.dy.type, row * a.dy.ld + column, dy);
  packet.unpack(h);
}

template <class H, int V>
__global__ void __launch_bounds__(1024) backward_rows(const __grid_constant__ NormQuantBackward a) {
  RowThreads threads = row_threads();
  const std::int64_t row = blockIdx.x;
  const std::int64_t start = static_cast<std::int64_t>(threads.lane) * V;
  const std::int64_t step = static_cast<std::int64_t>(threads.count) * V;
  const bool recompute = a.recomputed.given();
  const RowStatistics statistics = row_statistics(a, row);

  RowSums sums;
  for (std::int64_t column = start; column < a.columns; column += step) {
    float h[V], dy[V];
    load_h_and_dy<H>(a, row, column, h, dy);
    accumulate_packet(a, column, statistics, recompute && a.quant_scale == nullptr, h, dy, sums);
  }
  threads.reduce(sums.sums, sums.absmax);
  const RowCoefficients coefficients = row_coefficients(a, sums);
  const RowScale scale = recompute ? recomputed_scale(a, row, sums.absmax) : RowScale{1.0F, 1.0F};

  for (std::int64_t column = start; column < a.columns; column += step) {
    float h[V], dy[V];
    RowSums unused;
    load_h_and_dy<H>(a, row, column, h, dy);
    accumulate_packet(a, column, statistics, false, h, dy, unused);
    store_gradient(a, row, column, h, dy, coefficients, statistics.rstd);
    if (recompute) store_recomputed(a, row, column, h, scale);
  }
  if (threads.lane == 0 && a.recomputed.dequant_scale != nullptr) a.recomputed.dequant_scale[row] = scale.dequant;
}

/// Partial sums of dweight and dbias over the rows chunk, chunk + chunks, ... (blockIdx.y = chunk).
template <class H, int V>
__global__ void __launch_bounds__(column_threads)
    backward_columns(const __grid_constant__ NormQuantBackward a, ColumnPartials partials) {
  const std::int64_t column = (static_cast<std::int64_t>(blockIdx.x) * column_threads + threadIdx.x) * V;
  if (column >= a.columns) return;
  float dweight[V] = {}, dbias[V] = {};
  for (std::int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const RowStatistics statistics = row_statistics(a, row);
    float h[V], dy[V];
    load_h_and_dy<H>(a, row, column, h, dy);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      dweight[v] = fmaf(dy[v], normalised(h[v], statistics.mean, statistics.rstd), dweight[v]);
      dbias[v] += dy[v];
    }
  }
  const std::int64_t index = blockIdx.y * partials.row_length + column;
  if (partials.dweight != nullptr) store_elements<float>(partials.dweight, index, dweight);
  if (partials.dbias != nullptr) store_elements<float>(partials.dbias, index, dbias);
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const int count = variant.tuning.threads_per_row;
  const ColumnPartials partials = column_partials(a, plan::chunks(variant, a, device), workspace);
  return launch_with_sums(a, partials, device, stream, false, [&] {
    return with_packet_type(a.h.type, plan::elements(variant, a), [&](auto packet) {
      using H = typename decltype(packet)::element;
      constexpr int V = decltype(packet)::count;
      Status rows = launch_kernel(backward_rows<H, V>, dim3{static_cast<unsigned>(a.rows), 1, 1},
                                  dim3{static_cast<unsigned>(count), 1, 1}, row_scratch_bytes(count, 1), stream, a);
      if (!rows.ok() || (!a.dweight.given() && !a.dbias.given())) return rows;
      const dim3 grid{static_cast<unsigned>(divide_up(a.columns, static_cast<std::int64_t>(column_threads) * V)),
                      static_cast<unsigned>(partials.parts), 1};
      return launch_kernel(backward_columns<H, V>, grid, dim3{column_threads, 1, 1}, 0, stream, a, partials);
    });
  });
}

constexpr VariantRow rows[] = {
    {.name = "two_pass_t1024_v16", .summary = "inputs read again, 32 warps a row", .threads_per_row = 1024},
    {.name = "two_pass_t1024_v1",
     .summary = "inputs read again, element accesses: any alignment, any N",
     .threads_per_row = 1024,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_two_pass() {
  static const auto table = variant_table<NormQuantBackward>({.why_not = plan::why_not,
                                                              .workspace_bytes = plan::workspace_bytes,
                                                              .requested_bytes = plan::requested_bytes,
                                                              .launch = launch,
                                                              .row_invariant = true},
                                                             rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
