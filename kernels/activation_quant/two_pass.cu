// activation_quant, x read twice (absmax, out; by a static scale once): nothing of the row is kept, so N has no limit. One block a row.
//
//   quant_scale = 127 / max(max|x|, 1e-5); out = clamp(round(x * quant_scale), -128, 127) / quant_scale
//
// Bytes an element (bfloat16, fake-quantised): 4 read (the second 2 from the L2 when the rows in flight fit) + 2 written.
#include "algorithms.hpp"
#include "device/formats.cuh"
#include "device/row_threads.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Usual: int8 by the row's own scale and the usual floor, known when it is compiled.
template <class X, int V, bool Usual>
__global__ void __launch_bounds__(1024) activation_two_pass(const __grid_constant__ ActivationQuant a) {
  RowThreads threads = row_threads();
  const std::int64_t row = blockIdx.x;
  const std::int64_t start = static_cast<std::int64_t>(threads.lane) * V;
  const std::int64_t step = static_cast<std::int64_t>(threads.count) * V;

  std::uint32_t absmax = 0;
  if (Usual || !a.quantisation.has_static_scale()) {
    for (std::int64_t column = start; column < a.columns; column += step) {
      float x[V];
      load_elements<X>(a.x.data, row * a.x.ld + column, x);
#pragma unroll
      for (int v = 0; v < V; ++v) absmax = max(absmax, magnitude_bits(x[v]));
    }
    absmax = threads.largest(absmax);
  }
  const RowScale scale = Usual ? row_scale(absmax) : row_scale(a.quantisation, absmax);
  for (std::int64_t column = start; column < a.columns; column += step) {
    float x[V];
    load_elements<X>(a.x.data, row * a.x.ld + column, x);
    if (Usual) {
      store_quantised(a.output, row, column, x, scale, a.rounding);
    } else {
      store_quantised_in(a.quantisation, a.output, row, column, x, scale.quant, scale, a.rounding);
    }
  }
  if (threads.lane == 0 && a.output.dequant_scale != nullptr) a.output.dequant_scale[row] = scale.dequant;
}

int elements(const Variant<ActivationQuant>& variant, const ActivationQuant& a) {
  return elements_per_access(variant.tuning.access_bytes, a.x.type);
}

std::string why_not(const Variant<ActivationQuant>& variant, const ActivationQuant& a, const DeviceInfo&) {
  if (a.rows > 0x7fffffff) return "needs more than 2^31 - 1 blocks";
  return why_not_packets(elements(variant, a), a.columns, a.x, a.output);
}

std::int64_t requested_bytes(const Variant<ActivationQuant>&, const ActivationQuant& a, const DeviceInfo&) {
  const std::int64_t again = a.quantisation.has_static_scale() ? 0 : 1;
  return algorithmic_bytes(a) + again * static_cast<std::int64_t>(size_of(a.x.type)) * a.rows * a.columns;
}

Status launch(const Variant<ActivationQuant>& variant, const ActivationQuant& a, const DeviceInfo&, void*,
              Stream stream) {
  const int count = variant.tuning.threads_per_row;
  return with_packet_type(a.x.type, elements(variant, a), [&](auto packet) {
    using X = typename decltype(packet)::element;
    constexpr int V = decltype(packet)::count;
    const auto kernel = a.quantisation.is_usual() ? activation_two_pass<X, V, true> : activation_two_pass<X, V, false>;
    return launch_kernel(kernel, dim3{static_cast<unsigned>(a.rows), 1, 1}, dim3{static_cast<unsigned>(count), 1, 1},
                         row_scratch_bytes(count, 1), stream, a);
  });
}

constexpr VariantRow rows[] = {
    {.name = "two_pass_t256_v16", .summary = "x read twice, 8 warps a row", .threads_per_row = 256},
    {.name = "two_pass_t1024_v16", .summary = "x read twice, 32 warps a row", .threads_per_row = 1024},
    {.name = "two_pass_t1024_v1",
     .summary = "x read twice, element accesses: any alignment, any N",
     .threads_per_row = 1024,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<ActivationQuant>>& activation_quant_two_pass() {
  // A maximum has one value in whatever order, and every element its own code: all variants give the same bits.
  static const auto table = variant_table<ActivationQuant>({.why_not = why_not,
                                                            .workspace_bytes = no_workspace,
                                                            .requested_bytes = requested_bytes,
                                                            .launch = launch,
                                                            .row_invariant = true,
                                                            .row_bits_of = "two_pass_t1024_v1"},
                                                           rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
