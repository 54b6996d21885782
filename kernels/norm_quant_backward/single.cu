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
#include "device/overlap.cuh"
#include "device/striped_columns.cuh"
#include "device/support.hpp"
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Threads of the largest block: 8 elements a thread keep their registers below 64, 16 below 128.
constexpr int most_threads(int elements) { return elements <= 8 ? 1024 : 512; }
bool is_striped(const Tuning& t) { return t.access_bytes < 16; }
int elements_per_packet(const NormQuantBackward& a) { return 16 / static_cast<int>(size_of(a.h.type)); }

template <class H, int V, int K, Form form>
__global__ void __launch_bounds__(most_threads(V* K), 1)
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
  columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      inner.load_row(row_of(a.h), k, source.h_[k]);
      inner.load_row(row_of(a.dy), k, source.dy_[k]);
      if (Facts::dresidual(a)) inner.load_row(row_of(a.dresidual), k, source.dresidual_[k]);
      inner.load(static_cast<const H*>(a.weight.data), k, source.weight_[k]);
      if (Facts::bias(a)) inner.load(static_cast<const H*>(a.bias.data), k, source.bias_[k]);
    }
  });
  const BackwardRow<Facts, H, V, K, RegisterSource<H, V, K>, Columns> here = {
      a, source, columns, row, Facts::layer(a) ? a.mean[row] : 0.0F, a.rstd[row]};
  if (!early) let_next_launch_start();

  constexpr bool with_dbias = form == Form::layer, recompute = form != Form::rms_gradient;
  float dweight[K][V] = {}, dbias[with_dbias ? K : 1][V] = {};  // NOLINT(bugprone-branch-clone): the same where K is 1
  float sums[2] = {0.0F, 0.0F}, largest = 0.0F;
  const bool absmax_wanted = recompute && a.quant_scale == nullptr;
  here.first_look(absmax_wanted, dweight, dbias, sums, largest);
  store_column_packets(a.dweight, partials.dweight, partials, row, a.columns, columns, dweight);
  if constexpr (with_dbias) {
    store_column_packets(a.dbias, partials.dbias, partials, row, a.columns, columns, dbias);
  }
  with_needs(Facts::layer(a), absmax_wanted, [&](auto count, auto with_largest) {
    float some[count];
#pragma unroll
    for (int i = 0; i < count; ++i) some[i] = sums[i];
    threads.template reduce<count, with_largest>(some, largest);
#pragma unroll
    for (int i = 0; i < count; ++i) sums[i] = some[i];
  });
  finish_row<H>(here, threads, per_column, recompute, Facts::bias(a), true, sums, largest);
}

/// As many as cover the row, and its sums' row.
std::int64_t row_threads(const Tuning& t, const NormQuantBackward& a) {
  return divide_up(partial_row_length(a), static_cast<std::int64_t>(warp_threads) * t.elements) * warp_threads;
}

/// More rows would write more partial sums than they read inputs to any purpose.
constexpr std::int64_t most_rows = 256;

std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo&) {
  if (form_of(a) == Form::any) {
    return "serves the forms that are known when it is compiled: all tensors in h's type, with weight and out, or RMS "
           "norm without out";
  }
  if (a.rows > most_rows) return "is for " + std::to_string(most_rows) + " rows at most";
  if (row_threads(variant.tuning, a) > most_threads(variant.tuning.elements)) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  return is_striped(variant.tuning) ? "" : why_not_packets(elements_per_packet(a), a);
}

std::size_t workspace_bytes(const Variant<NormQuantBackward>&, const NormQuantBackward& a, const DeviceInfo&) {
  return column_partials_bytes(a, a.rows);
}

/// The partial sums are written once and read once.
std::int64_t requested_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                             const DeviceInfo& device) {
  return algorithmic_bytes(a) + 2 * static_cast<std::int64_t>(workspace_bytes(variant, a, device));
}

template <class H>
Status launch_for(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials, const LaunchShape& shape,
                  bool early, Stream stream) {
  constexpr int V = 16 / sizeof(H);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto run = [&](auto form) {
    const auto launch = [&](auto kernel) {
      return launch_kernel(kernel, shape, stream, a, partials, per_column, early);
    };
    if (is_striped(t)) return launch(backward_single<H, 1, 8, form>);
    return t.elements == 8 ? launch(backward_single<H, V, 8 / V, form>) : launch(backward_single<H, V, 16 / V, form>);
  };
  using std::integral_constant;
  switch (form_of(a)) {
    case Form::rms: return run(integral_constant<Form, Form::rms>{});
    case Form::rms_residual: return run(integral_constant<Form, Form::rms_residual>{});
    case Form::layer: return run(integral_constant<Form, Form::layer>{});
    case Form::rms_gradient: return run(integral_constant<Form, Form::rms_gradient>{});
    default: return Status::unsupported("no kernel of that form");  // why_not says so
  }
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const ColumnPartials partials = column_partials(a, a.rows, workspace);
  if (a.rows > 0) {
    LaunchShape shape;
    shape.block = dim3{static_cast<unsigned>(row_threads(variant.tuning, a)), 1, 1};
    shape.grid = dim3{static_cast<unsigned>(a.rows), 1, 1};
    shape.shared_bytes = tile_scratch_bytes();
    shape.overlap = device.compute_capability >= 90;
    const bool early = overlap_of(a.rows, row_threads(variant.tuning, a), device.sm_count).early;
    Status status = a.h.type == DType::float32 ? launch_for<float>(variant.tuning, a, partials, shape, early, stream)
                    : a.h.type == DType::float16
                        ? launch_for<half_t>(variant.tuning, a, partials, shape, early, stream)
                        : launch_for<bfloat16_t>(variant.tuning, a, partials, shape, early, stream);
    if (!status.ok()) return status;
  }
  const bool summed = a.rows == 1;  // by the only block itself
  if (summed || (!a.dweight.given() && !a.dbias.given())) return {};
  return launch_sum_partials(a, partials, device, stream);
}

constexpr Variant<NormQuantBackward> row(std::string_view name, std::string_view summary, int elements,
                                         int access_bytes = 16) {
  Tuning tuning;
  tuning.access_bytes = access_bytes;
  tuning.lanes = warp_threads;
  tuning.elements = elements;
  return {name, summary, tuning, true, why_not, workspace_bytes, requested_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_single() {
  // Names: e = elements a thread.
  static const std::vector<Variant<NormQuantBackward>> table = {
      row("single_e8", "a block for every row, 8 elements a thread: for few rows", 8),
      row("single_e16", "a block for every row, 16 elements a thread: for few rows", 16),
      row("single_striped_e8", "any alignment and N, a block for every row, 8 elements a thread", 8, 1),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
