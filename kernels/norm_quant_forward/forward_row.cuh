// The forward of one row that a thread holds in registers, K packets of V columns: from h to codes.
//
//   mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// One array of float32 registers serves all steps: h, (h - mean) * weight, y, code. Without a bias max|y| is rstd *
// max|(h - mean) * weight|, so that the sum of squares and the maximum travel in one reduction; with one there are two.
#pragma once

#include "device/overlap.cuh"
#include "device/row_output.cuh"
#include "norm_quant_forward/forward_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// A row in which (h - mean) * weight overflows though y may not, for which weights beyond 1e19 are needed: from memory,
/// column by column. Every thread looks at the whole row for the absmax, so that no barrier is needed to which the block's
/// other rows would not come, and writes its share of it.
template <class X>
__device__ __attribute__((noinline)) RowScale overflowed_row(const NormQuantForward& a, std::int64_t row,
                                                             unsigned place, unsigned threads, float mean, float rstd) {
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

/// Whether mean and variance of layer norm travel in one reduction, as sums of h and h^2. Where the mean is not small beside the
/// deviation, var = sum(h^2) / N - mean^2 would lose too much (docs/numerics.md), and (h - mean)^2 is added up in a second one: then
/// the threads of a row wait once more, so rows of several warps have a block each. For up to 16 elements a thread of 16-bit packets;
/// more leave no registers for it.
constexpr bool sums_squares_with_h(Form form, int V, int elements) {
  return form == Form::layer && V == 8 && elements <= 16;
}

/// One row from h = x + residual on, which `v` holds, zero outside the row. `early`: `weights` holds the weight; otherwise
/// it is read here. In a known form with a bias `biases` holds that of the first EarlyBiases packets.
template <class Known, class X, int V, int K, int EarlyBiases, class Threads, class Columns>
__device__ __forceinline__ void norm_and_quantise(const NormQuantForward& a, float per_column, std::int64_t row,
                                                  Threads& threads, const Columns& columns, bool live, float (&v)[K][V],
                                                  bool early, const Packet<X, V> (&weights)[K],
                                                  Packet<X, V> (&biases)[EarlyBiases]) {
  if (Known::residual_out(a)) {
    Known::with_type(a.residual_out.type, [&](auto type) {
      using T = typename decltype(type)::type;
      T* out = static_cast<T*>(a.residual_out.data) + row * a.residual_out.ld;
      columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
          Packet<T, V> stored;
          stored.pack(v[k]);
          inner.template store<T, true>(out, k, stored);
          if (a.h_source == HSource::stored) stored.unpack(v[k]);
        }
      });
    });
  }

  // v = h - mean.
  constexpr bool with_squares = sums_squares_with_h(Known::known_form, V, K * V);
  float mean = 0.0F, var = 0.0F;
  if (Known::layer(a)) {
    if constexpr (with_squares) {
      float sums[2] = {0.0F, 0.0F}, none = 0.0F;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        sums[0] += packet_sum(v[k]);
        sums[1] += packet_squares(v[k], 0.0F);
      }
      threads.template reduce<2, false>(sums, none);
      mean = sums[0] * per_column;
      var = fmaf(-mean, mean, sums[1] * per_column);
      const bool centred = 16.0F * mean * mean <= var && is_finite_magnitude(magnitude_bits(var));
      if (__builtin_expect(threads.any_of_warp(!centred), 0)) {
        float around_mean = 0.0F;
#pragma unroll
        for (int k = 0; k < K; ++k) around_mean += columns.inside(k) ? packet_squares(v[k], mean) : 0.0F;
        around_mean = threads.sum(around_mean) * per_column;
        if (!centred) var = around_mean;
      }
    } else {
      float sum = 0.0F;
#pragma unroll
      for (int k = 0; k < K; ++k) sum += packet_sum(v[k]);
      mean = threads.sum(sum) * per_column;
    }
    columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int i = 0; i < V; ++i) {
          if (inner.has(k, i)) v[k][i] -= mean;
        }
      }
    });
  }

  // v = (h - mean) * weight, so that y = v * rstd + bias.
  float squares = 0.0F, largest = 0.0F;
  const auto take_weight = [&](int k, const float(&weight)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (!with_squares) squares = fmaf(v[k][i], v[k][i], squares);
      v[k][i] *= weight[i];
      if (!Known::bias(a)) largest = larger_magnitude(largest, v[k][i]);
    }
  };
  if (early) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float weight[V];
      weights[k].unpack(weight);
      take_weight(k, weight);
    }
  } else if (Known::weight(a)) {
    Known::with_type(a.weight.type, [&](auto type) {
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

  // With a bias v becomes y itself, and its maximum takes a second reduction. y may then be exact, the bias alone, where
  // (h - mean) * weight is 0. Of 16 bits it is so far from a tie that it does not meet, or meets it so exactly, that a factor
  // lifted by code_factor gives its code; below the floor of the scale it never meets one (docs/numerics.md).
  constexpr bool lifts_ties = Known::all && sizeof(X) == 2;
  RowScale scale = {0.0F, 0.0F};
  float rstd = 0.0F, to_code = 0.0F;
  if (Known::bias(a)) {
    if constexpr (with_squares) {
      rstd = reciprocal_root(var, a.eps);
    } else {
      rstd = reciprocal_root(threads.sum(squares) * per_column, a.eps);
    }
    largest = 0.0F;
    const auto take_bias = [&](int k, const float(&bias)[V]) {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        v[k][i] = fmaf(v[k][i], rstd, bias[i]);
        largest = larger_magnitude(largest, v[k][i]);
      }
    };
    if constexpr (Known::all && EarlyBiases == K) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        float bias[V];
        biases[k].unpack(bias);
        take_bias(k, bias);
      }
    } else {
      Known::with_type(a.bias.type, [&](auto type) {
        using T = typename decltype(type)::type;
        for_packets<T, V, K>(columns, static_cast<const T*>(a.bias.data), take_bias);
      });
    }
    largest = threads.largest(largest);
    scale = row_scale(magnitude_bits(largest));
    to_code = lifts_ties && largest >= scale_floor ? code_factor(scale.quant, a.rounding) : scale.quant;
  } else {
    threads.reduce(squares, largest);
    rstd = reciprocal_root(squares * per_column, a.eps);
    scale = row_scale(magnitude_bits(largest * rstd));
    to_code = code_factor(scale.quant * rstd, a.rounding);
  }

  if (live && overflowed(largest, rstd)) {
    scale = overflowed_row<X>(a, row, threads.place(), threads.count(), mean, rstd);
  } else {
    columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        if (Known::bias(a) && !lifts_ties) {
          codes_of(v[k], to_code, a.rounding, ScaleOrigin::own, v[k]);
        } else {
          nearest_codes(v[k], to_code);
        }
        store_packet_of_codes<Known>(a, row, inner, k, v[k], scale);
      }
    });
  }
  if (live && threads.place() == 0) store_row_results(a, row, mean, rstd, scale);
}

/// The same for RMS norm without residual and bias, where x itself is h: x stays packed in registers as it came from memory,
/// and its product with the weight is taken once before and once after the reduction. Half the registers, twice the rows
/// under way. The weight is packed in registers too, or where `weights` has room for one packet only read again.
template <class Known, class X, int V, int K, int KeptWeights, class Threads, class Columns>
__device__ __forceinline__ void norm_and_quantise_packed(const NormQuantForward& a, float per_column, std::int64_t row,
                                                         Threads& threads, const Columns& columns, bool live,
                                                         Packet<X, V> (&x)[K], Packet<X, V> (&weights)[KeptWeights]) {
  // use(k, h, weight) for every packet.
  const auto with_weights = [&](auto&& use) {
    const auto with_h = [&](int k, const float(&weight)[V]) {
      float h[V];
      x[k].stay_packed();
      x[k].unpack(h);
      use(k, h, weight);
    };
    if constexpr (KeptWeights == K) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        float weight[V];
        weights[k].stay_packed();
        weights[k].unpack(weight);
        with_h(k, weight);
      }
    } else {
      for_packets<X, V, K, 8>(columns, static_cast<const X*>(a.weight.data), with_h);
    }
  };
  float squares = 0.0F, largest = 0.0F;
  with_weights([&](int, const float(&h)[V], const float(&weight)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      squares = fmaf(h[i], h[i], squares);
      largest = larger_magnitude(largest, h[i] * weight[i]);
    }
  });
  threads.reduce(squares, largest);
  const float rstd = reciprocal_root(squares * per_column, a.eps);
  RowScale scale = row_scale(magnitude_bits(largest * rstd));
  const float to_code = code_factor(scale.quant * rstd, a.rounding);

  if (live && overflowed(largest, rstd)) {
    scale = overflowed_row<X>(a, row, threads.place(), threads.count(), 0.0F, rstd);
  } else {
    columns.template each_of<K>([&](const auto& inner) {
      with_weights([&](int k, const float(&h)[V], const float(&weight)[V]) {
        float z[V];
#pragma unroll
        for (int i = 0; i < V; ++i) z[i] = h[i] * weight[i];
        nearest_codes(z, to_code);
        store_packet_of_codes<Known>(a, row, inner, k, z, scale);
      });
    });
  }
  if (live && threads.place() == 0) store_row_results(a, row, 0.0F, rstd, scale);
}

/// Asks for columns first ... first + count - 1 of a row to be brought into the L2.
__device__ __forceinline__ void prefetch_of(const ConstMatrix& matrix, std::int64_t row, int first, int count) {
  const int bytes = static_cast<int>(matrix.type == DType::float32 ? 4 : 2);
  prefetch_to_l2(static_cast<const unsigned char*>(matrix.data) + (row * matrix.ld + first) * bytes,
                 static_cast<std::int64_t>(count) * bytes);
}

/// v = v + residual, from global memory.
template <class Known, int V, int K, class Columns>
__device__ __forceinline__ void add_residual(const ConstMatrix& residual, std::int64_t row, const Columns& columns,
                                             float (&v)[K][V]) {
  Known::with_type(residual.type, [&](auto type) {
    using T = typename decltype(type)::type;
    for_packets<T, V, K>(columns, static_cast<const T*>(residual.data) + row * residual.ld,
                         [&](int k, const float(&added)[V]) {
#pragma unroll
                           for (int i = 0; i < V; ++i) v[k][i] += added[i];
                         });
  });
}

}  // namespace normquant::NORMQUANT_BACKEND
