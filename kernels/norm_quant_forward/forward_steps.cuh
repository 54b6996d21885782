// The steps of the forward on one packet of V neighbouring columns.
#pragma once

#include <normquant/norm_quant_forward.hpp>

#include "device/row_output.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// h = x + residual, where the statistics and y start from: rounded to its stored type when h_source says so.
template <class X, int V>
__device__ __forceinline__ void load_h(const NormQuantForward& a, std::int64_t row, std::int64_t column,
                                       float (&h)[V]) {
  Packet<X, V> x;
  x.load(static_cast<const X*>(a.x.data) + row * a.x.ld + column);
  float residual[V] = {};
  if (a.residual.given()) load_typed(a.residual.data, a.residual.type, row * a.residual.ld + column, residual);
  x.unpack(h);
  if (a.residual.given()) {
#pragma unroll
    for (int v = 0; v < V; ++v) h[v] += residual[v];
  }
  if (a.residual_out.given() && a.h_source == HSource::stored) {
#pragma unroll
    for (int v = 0; v < V; ++v) h[v] = rounded_to(a.residual_out.type, h[v]);
  }
}

template <int V>
__device__ __forceinline__ float packet_sum(const float (&h)[V]) {
  float sum = 0.0F;
#pragma unroll
  for (int v = 0; v < V; ++v) sum += h[v];
  return sum;
}

/// Sum of (h - mean)^2.
template <int V>
__device__ __forceinline__ float packet_squares(const float (&h)[V], float mean) {
  float sum = 0.0F;
#pragma unroll
  for (int v = 0; v < V; ++v) sum = fmaf(h[v] - mean, h[v] - mean, sum);
  return sum;
}

/// h becomes y = (h - mean) * rstd * weight + bias; answers the largest magnitude.
template <int V>
__device__ __forceinline__ std::uint32_t normalise_packet(float mean, float rstd, const float (&weight)[V],
                                                          const float (&bias)[V], float (&h)[V]) {
  std::uint32_t absmax = 0;
#pragma unroll
  for (int v = 0; v < V; ++v) {
    h[v] = affine(normalised(h[v], mean, rstd), weight[v], bias[v]);
    absmax = max(absmax, magnitude_bits(h[v]));
  }
  return absmax;
}

/// The same with weight and bias loaded here.
template <int V>
__device__ __forceinline__ std::uint32_t normalise_packet(const ConstVector& weight, const ConstVector& bias,
                                                          std::int64_t column, float mean, float rstd, float (&h)[V]) {
  float w[V] = {}, b[V] = {};
  load_weights(weight, column, w);
  load_biases(bias, column, b);
  return normalise_packet(mean, rstd, w, b, h);
}

/// The per-row results; one thread of the row writes them.
__device__ __forceinline__ void store_row_results(const NormQuantForward& a, std::int64_t row, float mean, float rstd,
                                                  RowScale scale) {
  if (a.mean != nullptr) a.mean[row] = mean;
  if (a.rstd != nullptr) a.rstd[row] = rstd;
  if (a.quant_scale != nullptr) a.quant_scale[row] = scale.quant;
  if (a.output.dequant_scale != nullptr) a.output.dequant_scale[row] = scale.dequant;
}

/// y of one column, from memory.
template <class X>
__device__ __forceinline__ float y_of_column(const NormQuantForward& a, std::int64_t row, std::int64_t column,
                                             float mean, float rstd) {
  float h[1], weight[1], bias[1];
  load_h<X>(a, row, column, h);
  load_weights(a.weight, column, weight);
  load_biases(a.bias, column, bias);
  return affine(normalised(h[0], mean, rstd), weight[0], bias[0]);
}

/// A row in which (h - mean) * weight overflows though y may not, for which weights beyond 1e19 are needed: from memory,
/// column by column.
template <class X>
__device__ __attribute__((noinline)) RowScale overflowed_row(const NormQuantForward& a, std::int64_t row,
                                                             unsigned place, unsigned threads, float mean, float rstd) {
  return quantise_by_column(a, a.output, row, place, threads,
                            [&](std::int64_t column) { return y_of_column<X>(a, row, column, mean, rstd); });
}

/// The same in another format or by a given scale.
template <class X>
__device__ __attribute__((noinline)) RowScale overflowed_row_otherwise(const NormQuantForward& a, std::int64_t row,
                                                                       unsigned place, unsigned threads, float rstd) {
  float absmax = 0.0F;
  const std::int64_t looked_at = a.quantisation.has_static_scale() ? 0 : a.columns;
#pragma unroll 1
  for (std::int64_t column = 0; column < looked_at; ++column) {
    absmax = larger_magnitude(absmax, y_of_column<X>(a, row, column, 0.0F, rstd));
  }
  const RowScale scale = row_scale(a.quantisation, magnitude_bits(absmax));
#pragma unroll 1
  for (std::int64_t column = place; column < a.columns; column += threads) {
    const float y[1] = {y_of_column<X>(a, row, column, 0.0F, rstd)};
    store_quantised_in(a.quantisation, a.output, row, column, y, scale.quant, scale, a.rounding);
  }
  return scale;
}

}  // namespace normquant::NORMQUANT_BACKEND
