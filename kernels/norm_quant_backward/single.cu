// norm_quant_backward, one pass, a block for every row: for few rows, where a walk over many would only cost its set-up. The
// row stays in registers, every input is read once.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Bytes an element (bfloat16): 4 read + 2 written, + 2 with the recomputed out, + 2 with dresidual; and 8 for the sums'
// float32 parts, one a row, written and read again by the second kernel. About 20 float32 operations.
#include "algorithms.hpp"
#include "device/striped_columns.cuh"
#include "device/tile_threads.cuh"
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/single_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = backward_single_launch;

/// A row in registers: where its packets come from.
template <class H, int V, int K>
struct RegisterSource {
  Packet<H, V> h_[K], dy_[K], dresidual_[K], weight_[K], bias_[K];

  __device__ __forceinline__ void h(int k, float (&values)[V]) const { h_[k].unpack(values); }
  __device__ __forceinline__ void dy(int k, float (&values)[V]) const { dy_[k].unpack(values); }
  __device__ __forceinline__ void dresidual(int k, float (&values)[V]) const { dresidual_[k].unpack(values); }
  __device__ __forceinline__ void weight(int k, float (&values)[V]) const { weight_[k].unpack(values); }
  __device__ __forceinline__ void bias(int k, float (&values)[V]) const { bias_[k].unpack(values); }
};

/// Has the totals worked out before what follows. The compiler would put them off till behind the stores of the columns' sums,
/// and the reduction, for which everything waits, with them.
__device__ __forceinline__ void settle(RowTotals& totals) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+f"(totals.sums[0]), "+f"(totals.sums[1]), "+f"(totals.largest));
#else
  static_cast<void>(totals);
#endif
}

template <class H, int V, int K, Form form>
__global__ void __launch_bounds__(plan::most_threads(V* K), 1)
    backward_single(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column,
                    bool early) {
  using Facts = Known<form, H>;
  using Columns = std::conditional_t<V == 1, StripedColumns<warp_threads>, TileColumns<V, warp_threads>>;
  TileThreads<warp_threads> threads(shared_memory<float>());
  const std::int64_t row = blockIdx.x;
  const auto row_of = [&](const ConstMatrix& matrix) { return static_cast<const H*>(matrix.data) + row * matrix.ld; };
  const Columns columns(threads.place(), K, static_cast<int>(a.columns), true);
  if (threadIdx.x == 0) {
    prefetch_to_l2(row_of(a.h), a.columns * static_cast<std::int64_t>(sizeof(H)));
    prefetch_to_l2(row_of(a.dy), a.columns * static_cast<std::int64_t>(sizeof(H)));
  }
  if (early) let_next_launch_start();
  wait_for_earlier_launches();

  RegisterSource<H, V, K> source;
  for_each_packet<K>(columns, [&](const auto& inner, int k) {
    inner.load_row(row_of(a.h), k, source.h_[k]);
    inner.load_row(row_of(a.dy), k, source.dy_[k]);
    if (Facts::dresidual(a)) inner.load_row(row_of(a.dresidual), k, source.dresidual_[k]);
    inner.load(static_cast<const H*>(a.weight.data), k, source.weight_[k]);
    if (Facts::bias(a)) inner.load(static_cast<const H*>(a.bias.data), k, source.bias_[k]);
  });
  const BackwardRow<Facts, H, V, K, const RegisterSource<H, V, K>&, Columns> here = {
      a, source, columns, row, Facts::layer(a) ? a.mean[row] : 0.0F, a.rstd[row], form != Form::rms_gradient};
  if (!early) let_next_launch_start();

  ColumnSums<K, V, false> of_columns;
  RowTotals totals;
  here.sum_up(of_columns, totals);
  settle(totals);
  store_column_packets(a.dweight, partials.dweight, partials, row, a.columns, columns, of_columns.dweight);
  if constexpr (sums_dbias(form)) {  // of one row it is dy: kept beside dweight it would cost registers
    float dbias[K][V];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      source.dy(k, dbias[k]);
#pragma unroll
      for (int i = 0; i < V; ++i) dbias[k][i] += 0.0F;  // -0 becomes 0, as where rows are added up
    }
    store_column_packets(a.dbias, partials.dbias, partials, row, a.columns, columns, dbias);
  }
  here.reduce(threads, totals, [] {});
  here.scale_and_store(threads, per_column, true, totals);
}

template <class H>
Status launch_for(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials, const LaunchShape& shape,
                  bool early, Stream stream) {
  constexpr int V = 16 / sizeof(H);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto launch = [&](auto kernel) { return launch_kernel(kernel, shape, stream, a, partials, per_column, early); };
  return with_form<Form::rms, Form::rms_residual, Form::layer, Form::rms_gradient>(form_of(a), [&](auto form) {
    if constexpr (form == Form::any) {
      return Status::unsupported("no kernel of that form");  // why_not says so
    } else {
      if (plan::is_striped(t)) return launch(backward_single<H, 1, 8, form>);
      return t.elements == 8 ? launch(backward_single<H, V, 8 / V, form>) : launch(backward_single<H, V, 16 / V, form>);
    }
  });
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const Tuning& t = variant.tuning;
  const std::int64_t threads = plan::row_threads(t, a);
  const ColumnPartials partials = column_partials(a, a.rows, workspace);
  return launch_with_sums(a, partials, device, stream, true, [&] {
    LaunchShape shape;
    shape.block = dim3{static_cast<unsigned>(threads), 1, 1};
    shape.grid = dim3{static_cast<unsigned>(a.rows), 1, 1};
    shape.shared_bytes = tile_scratch_bytes();
    shape.overlap = device.compute_capability >= 90;
    const bool early = overlap_of(a.rows, threads, device.sm_count).early;
    return launch_for_type(a.h.type, [&](auto type) {
      return launch_for<typename decltype(type)::type>(t, a, partials, shape, early, stream);
    });
  });
}

// Names: e = elements a thread. Rows have the bits of the walk with as many elements (staged.cu): threads take the same columns.
constexpr VariantRow rows[] = {
    {.name = "single_e8",
     .summary = "a block for every row, 8 elements a thread: for few rows",
     .lanes = warp_threads,
     .elements = 8,
     .row_bits_of = "staged_e8"},
    {.name = "single_e16",
     .summary = "a block for every row, 16 elements a thread: for few rows",
     .lanes = warp_threads,
     .elements = 16,
     .row_bits_of = "staged_e16"},
    {.name = "single_striped_e8",
     .summary = "any alignment and N, a block for every row, 8 elements a thread",
     .lanes = warp_threads,
     .elements = 8,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_single() {
  static const auto table = variant_table<NormQuantBackward>({.why_not = plan::why_not,
                                                              .workspace_bytes = plan::workspace_bytes,
                                                              .requested_bytes = requests_partials_twice,
                                                              .launch = launch,
                                                              .row_invariant = true},
                                                             rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
