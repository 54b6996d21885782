// The forward of one row that a thread holds in registers, K packets of V columns: from h to codes.
//
//   mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// One array of float32 registers serves all steps: h, (h - mean) * weight, y, code. Without a bias max|y| is rstd *
// max|(h - mean) * weight|, so that the sum of squares and the maximum travel in one reduction; with one there are two.
#pragma once

#include "device/forward_steps.cuh"
#include "device/row_output.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Threads of the largest block for that many elements a thread, each a float32 register: a multiprocessor's 65536
/// registers give 64 each to 1024 threads, 85 to 768, 128 to 512.
constexpr int most_row_threads(int elements) { return elements <= 16 ? 1024 : elements <= 32 ? 768 : 512; }

/// A row in which (h - mean) * weight overflows though y may not, for which weights beyond 1e19 are needed: from memory,
/// column by column. Every thread looks at the whole row for the absmax, so that no barrier is needed to which the block's
/// other rows would not come, and writes its share of it.
template <class X>
__device__ RowScale overflowed_row(const NormQuantForward& a, std::int64_t row, unsigned place, unsigned threads,
                                   float mean, float rstd) {
  const auto y_of = [&](std::int64_t column) {
    float h[1], weight[1], bias[1];
    load_h<X>(a, row, column, h);
    load_weights(a.weight, column, weight);
    load_biases(a.bias, column, bias);
    return affine(normalised(h[0], mean, rstd), weight[0], bias[0]);
  };
  float absmax = 0.0F;
#pragma unroll 1
  for (std::int64_t column = 0; column < a.columns; ++column) absmax = larger_magnitude(absmax, y_of(column));
  const RowScale scale = row_scale(magnitude_bits(absmax));
#pragma unroll 1
  for (std::int64_t column = place; column < a.columns; column += threads) {
    const float y[1] = {y_of(column)};
    store_quantised(a.output, row, column, y, scale, a.rounding);
  }
  return scale;
}

/// One row from h = x + residual on, which `v` holds, zero outside the row. `early`: `weights` holds the weight; otherwise
/// it is read here.
template <class X, int V, int K, class Threads, class Columns>
__device__ __forceinline__ void norm_and_quantise(const NormQuantForward& a, float per_column, std::int64_t row,
                                                  Threads& threads, const Columns& columns, bool live, float (&v)[K][V],
                                                  bool early, const Packet<X, V> (&weights)[K]) {
  if (a.residual_out.given()) {
    with_element_type(a.residual_out.type, [&](auto type) {
      using T = typename decltype(type)::type;
      T* out = static_cast<T*>(a.residual_out.data) + row * a.residual_out.ld;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        Packet<T, V> stored;
        stored.pack(v[k]);
        columns.store(out, k, stored);
      }
      if (a.h_source == HSource::unrounded) return;
#pragma unroll
      for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int i = 0; i < V; ++i) v[k][i] = to_float(from_float<T>(v[k][i]));
      }
    });
  }

  // v = h - mean.
  float mean = 0.0F;
  if (a.norm == NormKind::layer) {
    float sum = 0.0F;
#pragma unroll
    for (int k = 0; k < K; ++k) sum += packet_sum(v[k]);
    mean = threads.sum(sum) * per_column;
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        if (columns.has(k, i)) v[k][i] -= mean;
      }
    }
  }

  // v = (h - mean) * weight, so that y = v * rstd + bias.
  float squares = 0.0F, largest = 0.0F;
  const auto take_weight = [&](int k, const float(&weight)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      squares = fmaf(v[k][i], v[k][i], squares);
      v[k][i] *= weight[i];
      largest = larger_magnitude(largest, v[k][i]);
    }
  };
  if (early) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float weight[V];
      weights[k].unpack(weight);
      take_weight(k, weight);
    }
  } else if (a.weight.given()) {
    with_element_type(a.weight.type, [&](auto type) {
      using T = typename decltype(type)::type;
      for_packets<T, V, K>(columns, static_cast<const T*>(a.weight.data), take_weight);
    });
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        squares = fmaf(v[k][i], v[k][i], squares);
        largest = larger_magnitude(largest, v[k][i]);
      }
    }
  }

  // With a bias v becomes y itself, and its maximum takes a second reduction.
  RowScale scale = {0.0F, 0.0F};
  float rstd = 0.0F, to_code = 0.0F;
  if (a.bias.given()) {
    rstd = reciprocal_root(threads.sum(squares) * per_column, a.eps);
    largest = 0.0F;
    with_element_type(a.bias.type, [&](auto type) {
      using T = typename decltype(type)::type;
      for_packets<T, V, K>(columns, static_cast<const T*>(a.bias.data), [&](int k, const float(&bias)[V]) {
#pragma unroll
        for (int i = 0; i < V; ++i) {
          v[k][i] = fmaf(v[k][i], rstd, bias[i]);
          largest = larger_magnitude(largest, v[k][i]);
        }
      });
    });
    largest = threads.largest(largest);
    scale = row_scale(magnitude_bits(largest));
    to_code = scale.quant;
  } else {
    threads.reduce(squares, largest);
    rstd = reciprocal_root(squares * per_column, a.eps);
    scale = row_scale(magnitude_bits(largest * rstd));
    to_code = scale.quant * rstd;
  }

  if (live && is_infinite_magnitude(magnitude_bits(largest)) && is_finite_magnitude(magnitude_bits(rstd))) {
    scale = overflowed_row<X>(a, row, threads.place(), threads.count(), mean, rstd);
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (a.bias.given()) {  // y may be exact: the bias alone, where the weight is 0
        codes_of(v[k], to_code, a.rounding, ScaleOrigin::own, v[k]);
      } else {
        nearest_codes(v[k], code_factor(to_code, a.rounding));
      }
    }
    store_row(a.output, row, columns, v, scale);
  }
  if (live && threads.place() == 0) store_row_results(a, row, mean, rstd, scale);
}

/// v = v + residual, from global memory.
template <int V, int K, class Columns>
__device__ __forceinline__ void add_residual(const ConstMatrix& residual, std::int64_t row, const Columns& columns,
                                             float (&v)[K][V]) {
  with_element_type(residual.type, [&](auto type) {
    using T = typename decltype(type)::type;
    for_packets<T, V, K>(columns, static_cast<const T*>(residual.data) + row * residual.ld,
                         [&](int k, const float(&added)[V]) {
#pragma unroll
                           for (int i = 0; i < V; ++i) v[k][i] += added[i];
                         });
  });
}

}  // namespace normquant::NORMQUANT_BACKEND
