// The backward of one row whose packets lie in shared memory: a first look for the row's sums and those of the columns, a
// reduction, and a second look for dx and the forward's output.
#pragma once

#include <type_traits>

#include "device/known.cuh"
#include "device/tile_threads.cuh"
#include "norm_quant_backward/backward_steps.cuh"
#include "norm_quant_backward/staged_packets.cuh"

namespace normquant::NORMQUANT_BACKEND {

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

/// The same from registers.
template <class H, int V, int K>
struct RegisterSource {
  Packet<H, V> h_[K], dy_[K], dresidual_[K], weight_[K], bias_[K];

  __device__ __forceinline__ void h(int k, float (&values)[V]) const { h_[k].unpack(values); }
  __device__ __forceinline__ void dy(int k, float (&values)[V]) const { dy_[k].unpack(values); }
  __device__ __forceinline__ void dresidual(int k, float (&values)[V]) const { dresidual_[k].unpack(values); }
  __device__ __forceinline__ void weight(int k, float (&values)[V]) const { weight_[k].unpack(values); }
  __device__ __forceinline__ void bias(int k, float (&values)[V]) const { bias_[k].unpack(values); }
};

/// The parts of the backward that work on the calling thread's packets. H: type of all tensors.
template <class Known, class H, int V, int K, class Source, class Columns>
struct BackwardRow {
  const NormQuantBackward& a;
  const Source& source;
  const Columns& columns;
  std::int64_t row;
  float mean, rstd;

  /// h - mean of packet k.
  __device__ __forceinline__ void centred(int k, float (&h)[V]) const {
    source.h(k, h);
    if (!Known::layer(a)) return;
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] -= mean;
  }

  /// What becomes codes, as in the forward: (h - mean) * weight, or y itself when there is a bias.
  __device__ __forceinline__ void before_codes(int k, const float (&weight)[V], float (&h)[V]) const {
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] *= weight[i];
    if (!Known::bias(a)) return;
    float bias[V];
    source.bias(k, bias);
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] = fmaf(h[i], rstd, bias[i]);
  }

  /// Adds the row to the columns' sums, its thread's part of c1 and c2 to `sums`, and finds the largest of what becomes
  /// codes.
  template <int DbiasK>
  __device__ __forceinline__ void first_look(bool recompute, float (&dweight)[K][V], float (&dbias)[DbiasK][V],
                                             float (&sums)[2], float& largest) const {
    for_each_packet<K>(columns, [&](const auto& inner, int k) {
      if (inner.skips(k)) return;
      float h[V], dy[V], weight[V];
      source.weight(k, weight);
      centred(k, h);
      source.dy(k, dy);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = h[i] * rstd, wdy = dy[i] * weight[i];
        dweight[k][i] = fmaf(dy[i], xhat, dweight[k][i]);
        if constexpr (DbiasK == K) dbias[k][i] += dy[i];
        sums[0] = fmaf(xhat, wdy, sums[0]);
        if (Known::layer(a)) sums[1] += wdy;
      }
      if (!recompute || !inner.inside(k)) return;
      before_codes(k, weight, h);
#pragma unroll
      for (int i = 0; i < V; ++i) largest = larger_magnitude(largest, h[i]);
    });
  }

  /// dx = wdy * rstd - xhat * (c1 * rstd) - c2 * rstd + dresidual, by the coefficients scaled_c1 = -c1 * rstd and scaled_c2
  /// = -c2 * rstd; and, when `recompute`, the output by `factor` (to codes) and `scale`.
  __device__ __forceinline__ void second_look(float scaled_c1, float scaled_c2, bool recompute, float factor,
                                              RowScale scale) const {
    H* dx = static_cast<H*>(a.dx.data) + row * a.dx.ld;
    for_each_packet<K>(columns, [&](const auto& inner, int k) {
      if (!inner.inside(k)) return;
      float h[V], dy[V], weight[V];
      source.weight(k, weight);
      centred(k, h);
      source.dy(k, dy);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = h[i] * rstd, wdy = dy[i] * weight[i];
        dy[i] = fmaf(xhat, scaled_c1, Known::layer(a) ? fmaf(wdy, rstd, scaled_c2) : wdy * rstd);
      }
      if (Known::dresidual(a)) {
        float added[V];
        source.dresidual(k, added);
#pragma unroll
        for (int i = 0; i < V; ++i) dy[i] += added[i];
      }
      Packet<H, V> packet;
      packet.pack(dy);
      inner.template store<H, true>(dx, k, packet);
      if (Known::dx_residual(a)) {
        with_element_type(a.dx_residual.type, [&](auto type) {
          using T = typename decltype(type)::type;
          Packet<T, V> gradient;
          gradient.pack(dy);
          inner.store(static_cast<T*>(a.dx_residual.data) + row * a.dx_residual.ld, k, gradient);
        });
      }
      if (!recompute) return;
      before_codes(k, weight, h);
      store_recomputed_packet(inner, k, factor, scale, h);
    });
  }

  template <class Inner>
  __device__ __forceinline__ void store_recomputed_packet(const Inner& inner, int k, float factor, RowScale scale,
                                                          float (&h)[V]) const {
    const bool saved = a.quant_scale != nullptr;
    if (Known::bias(a)) {  // y may be exact: the bias alone, where the weight is 0
      codes_of(h, scale.quant, a.rounding, saved ? ScaleOrigin::saved : ScaleOrigin::own, h);
    } else {
      nearest_codes(h, factor);
      if (saved) clamp_codes(h);
    }
    if (Known::codes(a)) {
      inner.store(a.recomputed.codes + row * a.recomputed.ld_codes, k, packed_codes(h, scale));
    }
    if (!Known::out(a)) return;
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] *= scale.dequant;
    Packet<H, V> packet;
    packet.pack(h);
    inner.template store<H, true>(static_cast<H*>(a.recomputed.out.data) + row * a.recomputed.out.ld, k, packet);
  }
};

/// f(S, with_largest) as integral constants: how many sums a row's reduction needs, and whether the maximum too.
template <class F>
__device__ __forceinline__ void with_needs(bool layer, bool recompute, F&& f) {
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, 2> two;
  constexpr std::bool_constant<true> yes;
  constexpr std::bool_constant<false> no;
  if (layer) {
    recompute ? f(two, yes) : f(two, no);
  } else {
    recompute ? f(one, yes) : f(one, no);
  }
}

/// The row's sums and, when `recompute`, its maximum, from those of its threads. between(): other work, done while the sums
/// travel where the row spans blocks.
template <class Threads, class Between>
__device__ __forceinline__ void reduce_row(Threads& threads, bool layer, bool recompute, float (&row_sums)[2],
                                           float& largest, Between&& between) {
  with_needs(layer, recompute, [&](auto count, auto with_largest) {
    float sums[count];
#pragma unroll
    for (int i = 0; i < count; ++i) sums[i] = row_sums[i];
    threads.template begin_reduce<count, with_largest>(sums, largest);
    between();
    threads.template end_reduce<count, with_largest>(sums, largest);
#pragma unroll
    for (int i = 0; i < count; ++i) row_sums[i] = sums[i];
  });
}

/// Mean and rstd of a row, from which on a walk may read past the last one.
template <class Known>
__device__ __forceinline__ RowStatistics statistics_or_zeros(const NormQuantBackward& a, std::int64_t row) {
  return row < a.rows ? RowStatistics{Known::layer(a) ? a.mean[row] : 0.0F, a.rstd[row]} : RowStatistics{0.0F, 0.0F};
}

/// The second look with all that it needs from the row's sums; `live`: the row exists.
template <class H, class Row, class Threads>
__device__ __forceinline__ void finish_row(const Row& row, Threads& threads, float per_column, bool recompute,
                                           bool biased, bool live, const float (&sums)[2], float largest) {
  const NormQuantBackward& a = row.a;
  const bool saved = a.quant_scale != nullptr;
  RowScale scale = {0.0F, 0.0F};
  if (recompute && live) {
    scale = saved ? row_scale_from_saved(a.quant_scale[row.row])
                  : row_scale(magnitude_bits(biased ? largest : largest * row.rstd));
  }
  // By a saved scale too: nothing but the largest tells that (h - mean) * weight overflowed.
  const bool overflows = live && recompute && overflowed(largest, row.rstd);
  row.second_look(-sums[0] * per_column * row.rstd, -sums[1] * per_column * row.rstd, recompute && !overflows,
                  code_factor(scale.quant * row.rstd, a.rounding), scale);
  if (overflows) scale = recompute_overflowed<H>(a, row.row, threads.place(), threads.count(), {row.mean, row.rstd});
  if (live && threads.place() == 0 && a.recomputed.dequant_scale != nullptr) {
    a.recomputed.dequant_scale[row.row] = scale.dequant;
  }
}

}  // namespace normquant::NORMQUANT_BACKEND
