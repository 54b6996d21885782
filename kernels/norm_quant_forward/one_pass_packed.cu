// norm_quant_forward, one pass, RMS norm of plain rows: one_pass.cu for x that stays packed in registers.
//
//   rstd = 1 / sqrt(mean of x^2 + eps); y = x * rstd * weight
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// x itself is h, there is neither residual nor bias. Its product with the weight is taken once before and once after the
// reduction: half the registers, twice the rows under way. In another format, or by a given scale, only the last step differs.
#include "norm_quant_forward/forward_row.cuh"
#include "norm_quant_forward/one_pass_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = forward_one_pass_launch;

/// Scale and store as int8 by the row's own scale.
template <class Facts, class X, class Columns, class Threads, class WithWeights>
__device__ __forceinline__ void store_codes(const Row<Facts, X, Columns, Threads>& row, WithWeights&& with_weights,
                                            float rstd, float largest) {
  const NormQuantForward& a = row.a;
  RowScale scale = row_scale(magnitude_bits(largest * rstd));
  const float to_code = code_factor(scale.quant * rstd, a.rounding);

  if (row.live && overflowed(largest, rstd)) {
    scale = overflowed_row<X>(a, row.number, row.threads.place(), row.threads.count(), 0.0F, rstd);
  } else {
    with_weights([&](int k, const auto& h, const auto& weight) {
      std::remove_cvref_t<decltype(h)> z;
#pragma unroll
      for (int i = 0; i < static_cast<int>(std::size(z)); ++i) z[i] = h[i] * weight[i];
      nearest_codes(z, to_code);
      store_packet_of_codes<Facts>(a, row.number, row.columns, k, z, scale);
    });
  }
  if (row.live && row.threads.place() == 0) store_row_results(a, row.number, 0.0F, rstd, scale);
}

/// Scale and store in another format or by a given scale. By a given one each element stands for itself, so that a row in which
/// h * weight is not finite is looked at again, column by column.
template <class Facts, class X, class Columns, class Threads, class WithWeights>
__device__ __forceinline__ void store_otherwise(const Row<Facts, X, Columns, Threads>& row, WithWeights&& with_weights,
                                                float rstd, float largest) {
  const NormQuantForward& a = row.a;
  const Quantisation& q = a.quantisation;
  RowScale scale = row_scale(q, magnitude_bits(largest * rstd));
  const float to_code = scale.quant * rstd;
  // NaN stays NaN: the float32 above may be a zero.
  const float to_int8 = is_finite_magnitude(magnitude_bits(to_code)) ? code_factor(to_code, a.rounding) : to_code;
  const bool alone = q.has_static_scale() && !is_finite_magnitude(magnitude_bits(largest)) &&
                     is_finite_magnitude(magnitude_bits(rstd));
  if (row.live && (alone || (!q.has_static_scale() && overflowed(largest, rstd)))) {
    scale = overflowed_row_otherwise<X>(a, row.number, row.threads.place(), row.threads.count(), rstd);
  } else {
    with_weights([&](int k, const auto& h, const auto& weight) {
      std::remove_cvref_t<decltype(h)> z;
#pragma unroll
      for (int i = 0; i < static_cast<int>(std::size(z)); ++i) z[i] = h[i] * weight[i];
      std::int8_t* const codes = a.output.codes + row.number * a.output.ld_codes;
      if (q.format == QuantFormat::int8) {
        row.columns.template store<std::int8_t, true>(codes, k, clamped_codes(z, to_int8));
      } else {
#pragma unroll
        for (int i = 0; i < static_cast<int>(std::size(z)); ++i) z[i] *= to_code;
        row.columns.template store<std::int8_t, true>(codes, k, packed_e4m3(z));
      }
    });
  }
  if (row.live && row.threads.place() == 0) store_row_results(a, row.number, 0.0F, rstd, scale);
}

/// Reduce, scale and store of a row that `x` holds. The weight is packed in registers too, or where `weights` has room for
/// one packet only read again.
template <class Facts, class X, int V, int K, int KeptWeights, class Columns, class Threads>
__device__ __forceinline__ void quantise_packed_row(const Row<Facts, X, Columns, Threads>& row, Packet<X, V> (&x)[K],
                                                    Packet<X, V> (&weights)[KeptWeights]) {
  const NormQuantForward& a = row.a;
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
      for_packets<X, V, K, 8>(row.columns, static_cast<const X*>(a.weight.data), with_h);
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
  row.threads.reduce(squares, largest);
  const float rstd = reciprocal_root(squares * row.per_column, a.eps);
  if constexpr (Facts::known_form == Form::rms_other_codes) {
    store_otherwise(row, with_weights, rstd, largest);
  } else {
    store_codes(row, with_weights, rstd, largest);
  }
}

template <class X, int V, int K, int Lanes, bool Clustered, Form form>
__global__ void __launch_bounds__(plan::block_limits(V* K, sizeof(X), false, form, Lanes, Clustered).threads,
                                  plan::block_limits(V* K, sizeof(X), false, form, Lanes, Clustered).blocks)
    forward_one_pass_packed(const __grid_constant__ NormQuantForward a, float per_column, Overlap overlap) {
  using Facts = Known<form, X>;
  using Columns = TileColumns<V, Lanes>;
  using Threads = TileThreads<Lanes, Clustered>;
  Threads threads(scratch_of_row(Clustered));
  const std::int64_t number = row_number<Clustered>();
  const bool live = number < a.rows;
  const X* x_row = static_cast<const X*>(a.x.data) + number * a.x.ld;
  const Columns columns(threads.place(), K, static_cast<int>(a.columns), live);
  const Row<Facts, X, Columns, Threads> row = {a, number, live, columns, threads, per_column};

  const bool asks = asks_for_rows<Lanes>();
  const auto prefetch = [&](std::int64_t of) {
    prefetch_row<Facts, Lanes>(a, of, columns.first, static_cast<int>(blockDim.x) * V * K);
  };
  if (blockIdx.x < overlap.prefetching_blocks && asks && live) prefetch(number);
  if (overlap.early) let_next_launch_start();
  wait_for_earlier_launches();

  // All of x is on its way before anything waits for it, and the weight too. Of a long row that leaves no registers for it,
  // it is read twice.
  constexpr bool weight_twice = K * V > 32;
  Packet<X, V> x[K], weights[weight_twice ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  for_each_packet<K>(columns, [&](const auto& inner, int k) { inner.load_row(x_row, k, x[k]); });
  if constexpr (!weight_twice) {
    for_each_packet<K>(
        columns, [&](const auto& inner, int k) { inner.load(static_cast<const X*>(a.weight.data), k, weights[k]); });
  }
  threads.begin();
  if (asks && overlap.rows_ahead > 0 && number + overlap.rows_ahead < a.rows) prefetch(number + overlap.rows_ahead);
  if (!overlap.early) let_next_launch_start();
  quantise_packed_row(row, x, weights);
}

template <class X, Form form>
Status launch_for(const Tuning& t, const NormQuantForward& a, const LaunchShape& shape, Overlap overlap,
                  Stream stream) {
  constexpr int V = 16 / sizeof(X);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  return plan::with_shape<V>(t, [&](auto elements, auto lanes, auto clustered) {
    return launch_kernel(forward_one_pass_packed<X, V, elements / V, lanes, clustered, form>, shape, stream, a,
                         per_column, overlap);
  });
}

}  // namespace

Status launch_packed(const Tuning& t, const NormQuantForward& a, const LaunchShape& shape, Overlap overlap,
                     Stream stream) {
  return launch_for_type(a.x.type, [&](auto type) {
    using X = typename decltype(type)::type;
    if constexpr (sizeof(X) == 2) {
      if (form_of(a) == Form::rms_other_codes)
        return launch_for<X, Form::rms_other_codes>(t, a, shape, overlap, stream);
    }
    return form_of(a) == Form::rms ? launch_for<X, Form::rms>(t, a, shape, overlap, stream)
                                   : launch_for<X, Form::rms_codes>(t, a, shape, overlap, stream);
  });
}

}  // namespace normquant::NORMQUANT_BACKEND
