// norm_quant_forward, one pass: the row stays in registers, every input is read once. Each block does one set of rows.
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// One array of float32 registers serves all steps: h, (h - mean) * weight, y, code. Without a bias max|y| is rstd *
// max|(h - mean) * weight|, so that the sum of squares and the maximum travel in one reduction; with one there are two.
//
// RMS norm of plain rows has a kernel that takes fewer registers, in one_pass_packed.cu.
//
// Bytes an element (bfloat16, fake-quantised): 2 read + 2 written; with residual 4 + 4. About 12 float32 operations.
// Long rows are shared by the blocks of a cluster. Rows of any alignment and length are served by striped elements.
#include "algorithms.hpp"
#include "device/striped_columns.cuh"
#include "norm_quant_forward/forward_row.cuh"
#include "norm_quant_forward/one_pass_launch.hpp"
#include "norm_quant_forward/one_pass_variants.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = forward_one_pass_launch;

struct Moments {
  float mean = 0.0F, var = 0.0F;  ///< var is 0 where the squares are still to be added up
};

/// Layer norm: v = h - mean, from v = h.
template <class Facts, class X, int V, int K, class Columns, class Threads>
__device__ __forceinline__ Moments centre(const Row<Facts, X, Columns, Threads>& row, float (&v)[K][V]) {
  Moments m;
  if constexpr (plan::sums_squares_with_h(Facts::known_form, V, K * V)) {
    float sums[2] = {0.0F, 0.0F}, none = 0.0F;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      sums[0] += packet_sum(v[k]);
      sums[1] += packet_squares(v[k], 0.0F);
    }
    row.threads.template reduce<2, false>(sums, none);
    m.mean = sums[0] * row.per_column;
    m.var = fmaf(-m.mean, m.mean, sums[1] * row.per_column);
    const bool centred = 16.0F * m.mean * m.mean <= m.var && is_finite_magnitude(magnitude_bits(m.var));
    if (__builtin_expect(row.threads.any_of_warp(!centred), 0)) {
      float around_mean = 0.0F;
#pragma unroll
      for (int k = 0; k < K; ++k) around_mean += row.columns.inside(k) ? packet_squares(v[k], m.mean) : 0.0F;
      around_mean = row.threads.sum(around_mean) * row.per_column;
      if (!centred) m.var = around_mean;
    }
  } else {
    float sum = 0.0F;
#pragma unroll
    for (int k = 0; k < K; ++k) sum += packet_sum(v[k]);
    m.mean = row.threads.sum(sum) * row.per_column;
  }
  for_each_packet<K>(row.columns, [&](const auto& inner, int k) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (inner.has(k, i)) v[k][i] -= m.mean;
    }
  });
  return m;
}

/// v = (h - mean) * weight, so that y = v * rstd + bias. `squares` gets the thread's sum of (h - mean)^2 where its Moments
/// have no variance, `largest` its max|v|. `early`: `weights` holds the weight; otherwise it is read here.
template <class Facts, class X, int V, int K, class Columns, class Threads>
__device__ __forceinline__ void weigh(const Row<Facts, X, Columns, Threads>& row, bool early,
                                      const Packet<X, V> (&weights)[K], float (&v)[K][V], float& squares,
                                      float& largest) {
  const auto take_weight = [&](int k, const float(&weight)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      if (!plan::sums_squares_with_h(Facts::known_form, V, K * V)) squares = fmaf(v[k][i], v[k][i], squares);
      v[k][i] *= weight[i];
      if (!Facts::bias(row.a)) largest = larger_magnitude(largest, v[k][i]);
    }
  };
  if (early) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float weight[V];
      weights[k].unpack(weight);
      take_weight(k, weight);
    }
  } else if (Facts::weight(row.a)) {
    Facts::with_type(row.a.weight.type, [&](auto type) {
      using T = typename decltype(type)::type;
      for_packets<T, V, K>(row.columns, static_cast<const T*>(row.a.weight.data), take_weight);
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
}

/// v = y = v * rstd + bias; answers the thread's max|y|. In a known form `biases` may hold all of the bias.
template <class Facts, class X, int V, int K, int EarlyBiases, class Columns, class Threads>
__device__ __forceinline__ float add_bias(const Row<Facts, X, Columns, Threads>& row, float rstd,
                                          Packet<X, V> (&biases)[EarlyBiases], float (&v)[K][V]) {
  float largest = 0.0F;
  const auto take_bias = [&](int k, const float(&bias)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      v[k][i] = fmaf(v[k][i], rstd, bias[i]);
      largest = larger_magnitude(largest, v[k][i]);
    }
  };
  if constexpr (Facts::all && EarlyBiases == K) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float bias[V];
      biases[k].unpack(bias);
      take_bias(k, bias);
    }
  } else {
    Facts::with_type(row.a.bias.type, [&](auto type) {
      using T = typename decltype(type)::type;
      for_packets<T, V, K>(row.columns, static_cast<const T*>(row.a.bias.data), take_bias);
    });
  }
  return largest;
}

/// Reduce, scale and store in another format or by a given scale: v becomes y, and by a given scale no maximum is taken.
template <class Facts, class X, int V, int K, class Columns, class Threads>
__device__ __forceinline__ void quantise_row_otherwise(const Row<Facts, X, Columns, Threads>& row, bool early,
                                                       const Packet<X, V> (&weights)[K], float (&v)[K][V]) {
  const NormQuantForward& a = row.a;
  if (Facts::residual_out(a)) store_h(row, v);
  const Moments m = Facts::layer(a) ? centre(row, v) : Moments{};
  float squares = 0.0F;
#pragma unroll
  for (int k = 0; k < K; ++k) squares += packet_squares(v[k], 0.0F);
  const float rstd = reciprocal_root(row.threads.sum(squares) * row.per_column, a.eps);

  const auto take_weight = [&](int k, const float(&weight)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) v[k][i] = v[k][i] * rstd * weight[i];
  };
  const auto take_bias = [&](int k, const float(&bias)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) v[k][i] += bias[i];
  };
  if (early || Facts::weight(a)) {
    with_vector<Facts, V, K>(row, early, weights, a.weight, take_weight);
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int i = 0; i < V; ++i) v[k][i] *= rstd;
    }
  }
  if (Facts::bias(a)) with_vector<Facts, V, K>(row, false, weights, a.bias, take_bias);

  float largest = 0.0F;
  if (!a.quantisation.has_static_scale()) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int i = 0; i < V; ++i) largest = larger_magnitude(largest, v[k][i]);
    }
    largest = row.threads.largest(largest);
  }
  const RowScale scale = row_scale(a.quantisation, magnitude_bits(largest));
  for_each_packet<K>(row.columns, [&](const auto& inner, int k) {
    store_packet_otherwise<Facts>(a, row.number, inner, k, v[k], scale.quant, scale);
  });
  if (row.live && row.threads.place() == 0) store_row_results(a, row.number, m.mean, rstd, scale);
}

/// Reduce, scale and store of a row whose h = x + residual `v` holds, zero outside the row.
template <class Facts, class X, int V, int K, int EarlyBiases, class Columns, class Threads>
__device__ __forceinline__ void quantise_row(const Row<Facts, X, Columns, Threads>& row, bool early,
                                             const Packet<X, V> (&weights)[K], Packet<X, V> (&biases)[EarlyBiases],
                                             float (&v)[K][V]) {
  const NormQuantForward& a = row.a;
  if (Facts::residual_out(a)) store_h(row, v);
  const Moments m = Facts::layer(a) ? centre(row, v) : Moments{};
  float squares = 0.0F, largest = 0.0F;
  weigh(row, early, weights, v, squares, largest);

  // With a bias v becomes y itself, and its maximum takes a second reduction. y may then be exact, the bias alone, where
  // (h - mean) * weight is 0. Of 16 bits it is so far from a tie that it does not meet, or meets it so exactly, that a factor
  // lifted by code_factor gives its code; below the floor of the scale it never meets one (docs/numerics.md).
  constexpr bool lifts_ties = Facts::all && sizeof(X) == 2;
  RowScale scale = {0.0F, 0.0F};
  float rstd = 0.0F, to_code = 0.0F;
  if (Facts::bias(a)) {
    constexpr bool var_is_known = plan::sums_squares_with_h(Facts::known_form, V, K * V);
    rstd = reciprocal_root(var_is_known ? m.var : row.threads.sum(squares) * row.per_column, a.eps);
    largest = row.threads.largest(add_bias(row, rstd, biases, v));
    scale = row_scale(magnitude_bits(largest));
    to_code = lifts_ties && largest >= scale_floor ? code_factor(scale.quant, a.rounding) : scale.quant;
  } else {
    row.threads.reduce(squares, largest);
    rstd = reciprocal_root(squares * row.per_column, a.eps);
    scale = row_scale(magnitude_bits(largest * rstd));
    to_code = code_factor(scale.quant * rstd, a.rounding);
  }

  if (row.live && overflowed(largest, rstd)) {
    scale = overflowed_row<X>(a, row.number, row.threads.place(), row.threads.count(), m.mean, rstd);
  } else {
    for_each_packet<K>(row.columns, [&](const auto& inner, int k) {
      if (Facts::bias(a) && !lifts_ties) {
        codes_of(v[k], to_code, a.rounding, ScaleOrigin::own, v[k]);
      } else {
        nearest_codes(v[k], to_code);
      }
      store_packet_of_codes<Facts>(a, row.number, inner, k, v[k], scale);
    });
  }
  if (row.live && row.threads.place() == 0) store_row_results(a, row.number, m.mean, rstd, scale);
}

template <class X, int V, int K, int Lanes, bool Clustered, Form form>
__global__ void __launch_bounds__(plan::block_limits(V* K, sizeof(X), V == 1, form, Lanes, Clustered).threads,
                                  plan::block_limits(V* K, sizeof(X), V == 1, form, Lanes, Clustered).blocks)
    forward_one_pass(const __grid_constant__ NormQuantForward a, float per_column, Overlap overlap) {
  using Facts = Known<form, X>;
  using Columns = std::conditional_t<V == 1, StripedColumns<Lanes>, TileColumns<V, Lanes>>;
  using Threads = TileThreads<Lanes, Clustered>;
  Threads threads(scratch_of_row(Clustered));
  const std::int64_t number = row_number<Clustered>();
  const bool live = number < a.rows;
  const X* x = static_cast<const X*>(a.x.data) + number * a.x.ld;
  const Columns columns(threads.place(), K, static_cast<int>(a.columns), live);
  const Row<Facts, X, Columns, Threads> row = {a, number, live, columns, threads, per_column};

  const bool asks = asks_for_rows<Lanes>();
  const auto prefetch = [&](std::int64_t of) {
    prefetch_row<Facts, Lanes>(a, of, columns.first, static_cast<int>(blockDim.x) * V * K);
  };
  if (blockIdx.x < overlap.prefetching_blocks && asks && live) prefetch(number);
  if (overlap.early) let_next_launch_start();
  wait_for_earlier_launches();

  // All of x is on its way before anything waits for it, and the weight too when it is of x's type and 64 bytes hold
  // it, in which single elements take a register each. (Of a long row that leaves no registers for it, it is read later.)
  Packet<X, V> packets[K], weights[K];
  for_each_packet<K>(columns, [&](const auto& inner, int k) { inner.load_row(x, k, packets[k]); });
  constexpr bool many_elements = V == 1 && K > 16;  // of float32 they are more than 64 bytes: the weight comes after x
  const bool early_weight = (Facts::all && !many_elements) ||
                            (sizeof(Packet<X, V>[K]) <= 64 && a.weight.given() && a.weight.type == a.x.type);
  if (early_weight) {
    for_each_packet<K>(
        columns, [&](const auto& inner, int k) { inner.load(static_cast<const X*>(a.weight.data), k, weights[k]); });
  }
  threads.begin();
  if (asks && overlap.rows_ahead > 0 && number + overlap.rows_ahead < a.rows) prefetch(number + overlap.rows_ahead);
  // 8 registers more; of single elements 16.
  constexpr bool early_bias = form == Form::layer && sizeof(Packet<X, V>[K]) <= 32;
  Packet<X, V> biases[early_bias ? K : 1];  // NOLINT(bugprone-branch-clone): the same where K is 1
  if constexpr (early_bias) {
    for_each_packet<K>(columns,
                       [&](const auto& inner, int k) { inner.load(static_cast<const X*>(a.bias.data), k, biases[k]); });
  }
  float v[K][V];
#pragma unroll
  for (int k = 0; k < K; ++k) packets[k].unpack(v[k]);
  if (Facts::residual(a)) add_residual<Facts>(a.residual, number, columns, v);
  if (!overlap.early) let_next_launch_start();
  if constexpr (form == Form::any_other) {
    quantise_row_otherwise(row, early_weight, weights, v);
  } else {
    quantise_row(row, early_weight, weights, biases, v);
  }
}

/// The kernel of a problem that stays_packed has its own file.
template <class X>
Status launch_for(const Tuning& t, const NormQuantForward& a, const LaunchShape& shape, Overlap overlap,
                  Stream stream) {
  constexpr int V = 16 / sizeof(X);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto launch = [&](auto kernel) { return launch_kernel(kernel, shape, stream, a, per_column, overlap); };
  return with_form<Form::rms, Form::rms_codes, Form::rms_residual, Form::layer, Form::rms_other_codes, Form::any_other>(
      form_of(a), [&](auto form) {
        constexpr Form of_striped = plan::compiled_form(form, /*striped=*/true);
        if (plan::is_striped(t)) {
          return plan::with_striped_shape(t, [&](auto elements, auto clustered) {
            if constexpr (of_striped == Form::any_other && !plan::serves_any_other(elements, 32, clustered, true)) {
              return Status::unsupported("no kernel of that form");  // why_not says so
            } else {
              return launch(forward_one_pass<X, 1, elements, warp_threads, clustered, of_striped>);
            }
          });
        }
        if constexpr (plan::stays_packed(form, V)) {
          return launch_packed(t, a, shape, overlap, stream);
        } else {
          return plan::with_shape<V>(t, [&](auto elements, auto lanes, auto clustered) {
            constexpr bool missing = form == Form::any_other
                                         ? !plan::serves_any_other(elements, lanes, clustered, false)
                                         : form == Form::any && elements > 32;
            if constexpr (missing) {
              return Status::unsupported("no kernel of that form");  // why_not says so
            } else {
              return launch(forward_one_pass<X, V, elements / V, lanes, clustered, form>);
            }
          });
        }
      });
}

Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device, void*,
              Stream stream) {
  const Tuning& t = variant.tuning;
  const int rows = plan::block_rows(t, a, device);
  const std::int64_t threads = plan::row_threads(t, a);
  LaunchShape shape;
  shape.block = dim3{static_cast<unsigned>(threads), static_cast<unsigned>(rows), 1};
  shape.grid = dim3{static_cast<unsigned>(t.cluster * divide_up(a.rows, rows)), 1, 1};
  shape.shared_bytes = tile_scratch_bytes(t.cluster > 1) * rows;
  shape.cluster = static_cast<unsigned>(t.cluster);
  shape.overlap = device.compute_capability >= 90;
  const Overlap overlap = overlap_of(shape.grid.x, threads * rows, device.sm_count, plan::row_input_bytes(a));
  return launch_for_type(
      a.x.type, [&](auto type) { return launch_for<typename decltype(type)::type>(t, a, shape, overlap, stream); });
}

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_one_pass() {
  static const auto table = variant_table<NormQuantForward>({.why_not = plan::why_not,
                                                             .workspace_bytes = no_workspace,
                                                             .requested_bytes = requests_algorithmic_bytes,
                                                             .launch = launch,
                                                             .device_lacks = lacks_clusters,
                                                             .row_invariant = true},
                                                            one_pass_rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
