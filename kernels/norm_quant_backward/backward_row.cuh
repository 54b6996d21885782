// The backward of one row by its threads, in the order of the calls:
//
//   sum_up           each thread's share of the row's totals, c1 and c2 and the largest; and dweight and dbias
//   reduce           the row's totals from those of its threads
//   scale_and_store  dx, and the forward's output by its scale
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
#pragma once

#include <type_traits>

#include "device/known.cuh"
#include "device/tile_columns.cuh"
#include "norm_quant_backward/backward_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {

/// Of a row, or before the reduction of a thread's share of it: the sums of xhat * wdy and, in layer norm, of wdy; and the
/// largest magnitude of what becomes codes.
struct RowTotals {
  float sums[2] = {0.0F, 0.0F};
  float largest = 0.0F;
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

/// A row as one of its threads sees it: K packets of V columns. H: type of all tensors. Source: where the packets come from;
/// its h(k, values), dy, dresidual, weight and bias give packet k.
template <class Facts, class H, int V, int K, class Source, class Columns>
struct BackwardRow {
  const NormQuantBackward& a;
  Source source;
  const Columns& columns;
  std::int64_t row;
  float mean, rstd;
  bool recompute;  ///< the forward's output is computed again

  /// Adds the thread's packets to the sums of their columns (ColumnSums), and to its share of the row's totals.
  template <class Sums>
  __device__ __forceinline__ void sum_up(Sums& of_columns, RowTotals& totals) const {
    for_each_packet<K>(columns, [&](const auto& inner, int k) {
      if (inner.skips(k)) return;
      float h[V], dy[V], weight[V];
      source.weight(k, weight);
      centred(k, h);
      source.dy(k, dy);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = h[i] * rstd, wdy = dy[i] * weight[i];
        of_columns.dweight[k][i] = fmaf(dy[i], xhat, of_columns.dweight[k][i]);
        if constexpr (Sums::with_dbias) of_columns.dbias[k][i] += dy[i];
        totals.sums[0] = fmaf(xhat, wdy, totals.sums[0]);
        if (Facts::layer(a)) totals.sums[1] += wdy;
      }
      if (!recompute || !inner.inside(k)) return;
      before_codes(k, weight, h);
#pragma unroll
      for (int i = 0; i < V; ++i) totals.largest = larger_magnitude(totals.largest, h[i]);
    });
  }

  /// The row's totals from those of its threads. between(): other work, done while the sums travel where the row spans blocks.
  template <class Threads, class Between>
  __device__ __forceinline__ void reduce(Threads& threads, RowTotals& totals, Between&& between) const {
    with_needs(Facts::layer(a), recompute, [&](auto count, auto with_largest) {
      float sums[count];
#pragma unroll
      for (int i = 0; i < count; ++i) sums[i] = totals.sums[i];
      threads.template begin_reduce<count, with_largest>(sums, totals.largest);
      between();
      threads.template end_reduce<count, with_largest>(sums, totals.largest);
#pragma unroll
      for (int i = 0; i < count; ++i) totals.sums[i] = sums[i];
    });
  }

  /// dx and the forward's output of a row whose totals are known. `live`: the row exists.
  template <class Threads>
  __device__ __forceinline__ void scale_and_store(Threads& threads, float per_column, bool live,
                                                  const RowTotals& totals) const {
    RowScale scale = {0.0F, 0.0F};
    if (recompute && live) {
      scale = saved() ? row_scale_from_saved(a.quant_scale[row])
                      : row_scale(magnitude_bits(Facts::bias(a) ? totals.largest : totals.largest * rstd));
    }
    // By a saved scale too: nothing but the largest tells that (h - mean) * weight overflowed.
    const bool overflows = live && recompute && overflowed(totals.largest, rstd);
    store(-totals.sums[0] * per_column * rstd, -totals.sums[1] * per_column * rstd, recompute && !overflows,
          code_factor(scale.quant * rstd, a.rounding), scale);
    if (overflows) scale = recompute_overflowed<H>(a, row, threads.place(), threads.count(), {mean, rstd});
    if (live && threads.place() == 0 && a.recomputed.dequant_scale != nullptr) {
      a.recomputed.dequant_scale[row] = scale.dequant;
    }
  }

 private:
  __device__ __forceinline__ bool saved() const { return a.quant_scale != nullptr; }

  /// h - mean of packet k.
  __device__ __forceinline__ void centred(int k, float (&h)[V]) const {
    source.h(k, h);
    if (!Facts::layer(a)) return;
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] -= mean;
  }

  /// What becomes codes, as in the forward: (h - mean) * weight, or y itself when there is a bias.
  __device__ __forceinline__ void before_codes(int k, const float (&weight)[V], float (&h)[V]) const {
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] *= weight[i];
    if (!Facts::bias(a)) return;
    float bias[V];
    source.bias(k, bias);
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] = fmaf(h[i], rstd, bias[i]);
  }

  /// dx = wdy * rstd - xhat * (c1 * rstd) - c2 * rstd + dresidual, by the coefficients scaled_c1 = -c1 * rstd and scaled_c2
  /// = -c2 * rstd; and, when `with_output`, the output by `factor` (to codes) and `scale`.
  __device__ __forceinline__ void store(float scaled_c1, float scaled_c2, bool with_output, float factor,
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
        dy[i] = fmaf(xhat, scaled_c1, Facts::layer(a) ? fmaf(wdy, rstd, scaled_c2) : wdy * rstd);
      }
      if (Facts::dresidual(a)) {
        float added[V];
        source.dresidual(k, added);
#pragma unroll
        for (int i = 0; i < V; ++i) dy[i] += added[i];
      }
      Packet<H, V> packet;
      packet.pack(dy);
      inner.template store<H, true>(dx, k, packet);
      if (Facts::dx_residual(a)) store_dx_residual(inner, k, dy);
      if (!with_output) return;
      before_codes(k, weight, h);
      store_output(inner, k, factor, scale, h);
    });
  }

  template <class Inner>
  __device__ __forceinline__ void store_dx_residual(const Inner& inner, int k, const float (&dx)[V]) const {
    with_element_type(a.dx_residual.type, [&](auto type) {
      using T = typename decltype(type)::type;
      Packet<T, V> packet;
      packet.pack(dx);
      inner.store(static_cast<T*>(a.dx_residual.data) + row * a.dx_residual.ld, k, packet);
    });
  }

  /// The forward's output again, from what becomes codes.
  template <class Inner>
  __device__ __forceinline__ void store_output(const Inner& inner, int k, float factor, RowScale scale,
                                               float (&h)[V]) const {
    if (Facts::bias(a)) {  // y may be exact: the bias alone, where the weight is 0
      codes_of(h, scale.quant, a.rounding, saved() ? ScaleOrigin::saved : ScaleOrigin::own, h);
    } else {
      nearest_codes(h, factor);
      if (saved()) clamp_codes(h);
    }
    if (Facts::codes(a)) {
      inner.store(a.recomputed.codes + row * a.recomputed.ld_codes, k, packed_codes(h, scale));
    }
    if (!Facts::out(a)) return;
#pragma unroll
    for (int i = 0; i < V; ++i) h[i] *= scale.dequant;
    Packet<H, V> packet;
    packet.pack(h);
    inner.template store<H, true>(static_cast<H*>(a.recomputed.out.data) + row * a.recomputed.out.ld, k, packet);
  }
};

}  // namespace normquant::NORMQUANT_BACKEND
