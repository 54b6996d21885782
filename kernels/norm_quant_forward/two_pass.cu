// norm_quant_forward, inputs read again: nothing of the row is kept, so N has no limit. One block a row.
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Passes over x (and residual): RMS norm 3 (squares, absmax, out); layer norm 4 (the mean first: the squares around it
// lose nothing when the mean is large); one fewer by a static scale. From the second on they come from the L2 when the rows in flight fit there.
#include "algorithms.hpp"
#include "device/row_threads.cuh"
#include "device/support.hpp"
#include "norm_quant_forward/forward_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Usual: int8 by the row's own scale and the usual floor, known when it is compiled.
template <class X, int V, bool Usual>
__global__ void __launch_bounds__(1024) forward_two_pass(const __grid_constant__ NormQuantForward a) {
  RowThreads threads = row_threads();
  const std::int64_t row = blockIdx.x;
  const std::int64_t first = static_cast<std::int64_t>(threads.lane) * V;
  const std::int64_t step = static_cast<std::int64_t>(threads.count) * V;
  const float columns = static_cast<float>(a.columns);

  float mean = 0.0F;
  if (a.norm == NormKind::layer) {
    float sum = 0.0F;
    for (std::int64_t column = first; column < a.columns; column += step) {
      float h[V];
      load_h<X>(a, row, column, h);
      sum += packet_sum(h);
    }
    mean = threads.sum(sum) / columns;
  }

  float squares = 0.0F;
  for (std::int64_t column = first; column < a.columns; column += step) {
    float h[V];
    load_h<X>(a, row, column, h);
    squares += packet_squares(h, mean);
    if (a.residual_out.given()) {
      store_typed(a.residual_out.data, a.residual_out.type, row * a.residual_out.ld + column, h);
    }
  }
  const float rstd = reciprocal_root(threads.sum(squares) / columns, a.eps);

  std::uint32_t absmax = 0;
  if (Usual || !a.quantisation.has_static_scale()) {
    for (std::int64_t column = first; column < a.columns; column += step) {
      float y[V];
      load_h<X>(a, row, column, y);
      absmax = max(absmax, normalise_packet(a.weight, a.bias, column, mean, rstd, y));
    }
    absmax = threads.largest(absmax);
  }
  const RowScale scale = Usual ? row_scale(absmax) : row_scale(a.quantisation, absmax);

  for (std::int64_t column = first; column < a.columns; column += step) {
    float y[V];
    load_h<X>(a, row, column, y);
    normalise_packet(a.weight, a.bias, column, mean, rstd, y);
    if (Usual) {
      store_quantised(a.output, row, column, y, scale, a.rounding);
    } else {
      store_quantised_in(a.quantisation, a.output, row, column, y, scale.quant, scale, a.rounding);
    }
  }
  if (threads.lane == 0) store_row_results(a, row, mean, rstd, scale);
}

int elements(const Variant<NormQuantForward>& variant, const NormQuantForward& a) {
  return elements_per_access(variant.tuning.access_bytes, a.x.type);
}

std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo&) {
  if (a.rows > 0x7fffffff) return "needs more than 2^31 - 1 blocks";
  return why_not_packets(elements(variant, a), a);
}

std::int64_t requested_bytes(const Variant<NormQuantForward>&, const NormQuantForward& a, const DeviceInfo&) {
  const std::int64_t again = (a.norm == NormKind::layer ? 3 : 2) - (a.quantisation.has_static_scale() ? 1 : 0);
  const std::int64_t inputs = size_of(a.x.type) + (a.residual.given() ? size_of(a.residual.type) : 0);
  return algorithmic_bytes(a) + again * inputs * a.rows * a.columns;
}

Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo&, void*,
              Stream stream) {
  const int count = variant.tuning.threads_per_row;
  const dim3 grid{static_cast<unsigned>(a.rows), 1, 1};
  const dim3 block{static_cast<unsigned>(count), 1, 1};
  return with_packet_type(a.x.type, elements(variant, a), [&](auto packet) {
    using X = typename decltype(packet)::element;
    constexpr int V = decltype(packet)::count;
    const auto kernel = a.quantisation.is_usual() ? forward_two_pass<X, V, true> : forward_two_pass<X, V, false>;
    return launch_kernel(kernel, grid, block, row_scratch_bytes(count, 1), stream, a);
  });
}

constexpr VariantRow rows[] = {
    {.name = "two_pass_t1024_v16", .summary = "inputs read again, 32 warps a row", .threads_per_row = 1024},
    {.name = "two_pass_t1024_v1",
     .summary = "inputs read again, element accesses: any alignment, any N",
     .threads_per_row = 1024,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_two_pass() {
  static const auto table = variant_table<NormQuantForward>({.why_not = why_not,
                                                             .workspace_bytes = no_workspace,
                                                             .requested_bytes = requested_bytes,
                                                             .launch = launch,
                                                             .row_invariant = true},
                                                            rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
