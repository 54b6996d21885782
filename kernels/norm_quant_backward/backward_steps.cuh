// The steps of the backward on one packet of V neighbouring columns.
#pragma once

#include <normquant/norm_quant_backward.hpp>

#include "device/row_output.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// What one row needs from the forward.
struct RowStatistics {
  float mean, rstd;
};

__device__ __forceinline__ RowStatistics row_statistics(const NormQuantBackward& a, std::int64_t row) {
  return {a.norm == NormKind::layer ? a.mean[row] : 0.0F, a.rstd[row]};
}

/// A thread's share of the row sums: xhat * wdy, wdy, and the absmax of the recomputed y. One reduction serves all.
struct RowSums {
  float sums[2] = {0.0F, 0.0F};
  std::uint32_t absmax = 0;
};

/// h becomes xhat, dy becomes wdy; both are added to the row sums. `absmax_wanted`: y is to be quantised and its scale
/// was not saved.
template <int V>
__device__ __forceinline__ void accumulate_packet(const NormQuantBackward& a, std::int64_t column,
                                                  RowStatistics statistics, bool absmax_wanted, float (&h)[V],
                                                  float (&dy)[V], RowSums& row) {
  float weight[V] = {};
  load_weights(a.weight, column, weight);
#pragma unroll
  for (int v = 0; v < V; ++v) h[v] = normalised(h[v], statistics.mean, statistics.rstd);
  if (absmax_wanted) {
    float bias[V] = {};
    load_biases(a.bias, column, bias);
#pragma unroll
    for (int v = 0; v < V; ++v) row.absmax = max(row.absmax, magnitude_bits(affine(h[v], weight[v], bias[v])));
  }
  float packet[2] = {0.0F, 0.0F};
#pragma unroll
  for (int v = 0; v < V; ++v) {
    dy[v] *= weight[v];
    packet[0] = fmaf(h[v], dy[v], packet[0]);
    packet[1] += dy[v];
  }
  row.sums[0] += packet[0];
  row.sums[1] += packet[1];
}

/// c1 and c2 of the row.
struct RowCoefficients {
  float c1, c2;
};
__device__ __forceinline__ RowCoefficients row_coefficients(const NormQuantBackward& a, const RowSums& row) {
  const float columns = static_cast<float>(a.columns);
  return {row.sums[0] / columns, a.norm == NormKind::layer ? row.sums[1] / columns : 0.0F};
}

/// dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual, written in x's and, when asked, in the residual's type.
template <int V>
__device__ __forceinline__ void store_gradient(const NormQuantBackward& a, std::int64_t row, std::int64_t column,
                                               const float (&xhat)[V], const float (&wdy)[V], RowCoefficients c,
                                               float rstd) {
  float dx[V] = {};
  if (a.dresidual.given()) load_typed(a.dresidual.data, a.dresidual.type, row * a.dresidual.ld + column, dx);
#pragma unroll
  for (int v = 0; v < V; ++v) dx[v] = fmaf(wdy[v] - fmaf(xhat[v], c.c1, c.c2), rstd, dx[v]);
  store_typed(a.dx.data, a.dx.type, row * a.dx.ld + column, dx);
  if (a.dx_residual.given()) {
    store_typed(a.dx_residual.data, a.dx_residual.type, row * a.dx_residual.ld + column, dx);
  }
}

/// The forward's output again, from xhat.
template <int V>
__device__ __forceinline__ void store_recomputed(const NormQuantBackward& a, std::int64_t row, std::int64_t column,
                                                 const float (&xhat)[V], RowScale scale) {
  float weight[V] = {}, bias[V] = {}, y[V];
  load_weights(a.weight, column, weight);
  load_biases(a.bias, column, bias);
#pragma unroll
  for (int v = 0; v < V; ++v) y[v] = affine(xhat[v], weight[v], bias[v]);
  store_quantised(a.recomputed, row, column, y, scale, a.rounding,
                  a.quant_scale != nullptr ? ScaleOrigin::saved : ScaleOrigin::own);
}

/// The recomputed output's scales: from the saved quant_scale, else from the absmax.
__device__ __forceinline__ RowScale recomputed_scale(const NormQuantBackward& a, std::int64_t row,
                                                     std::uint32_t absmax) {
  return a.quant_scale != nullptr ? row_scale_from_saved(a.quant_scale[row]) : row_scale(absmax);
}

/// The recomputed output of a row in which (h - mean) * weight overflows though y may not: as the forward's
/// overflowed_row.
template <class H>
__device__ __attribute__((noinline)) RowScale recompute_overflowed(const NormQuantBackward& a, std::int64_t row,
                                                                   unsigned place, unsigned threads,
                                                                   RowStatistics statistics) {
  const auto y_of = [&](std::int64_t column) {
    float h[1], weight[1], bias[1];
    load_elements<H>(a.h.data, row * a.h.ld + column, h);
    load_weights(a.weight, column, weight);
    load_biases(a.bias, column, bias);
    return affine(normalised(h[0], statistics.mean, statistics.rstd), weight[0], bias[0]);
  };
  if (a.quant_scale == nullptr) return quantise_by_column(a, a.recomputed, row, place, threads, y_of);
  const RowScale scale = row_scale_from_saved(a.quant_scale[row]);
  store_by_column(a, a.recomputed, row, place, threads, scale, ScaleOrigin::saved, y_of);
  return scale;
}

}  // namespace normquant::NORMQUANT_BACKEND
