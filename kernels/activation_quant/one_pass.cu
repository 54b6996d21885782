// activation_quant, one pass: the row stays in registers, x is read once.
//
//   quant_scale = 127 / max(max|x|, 1e-5); out = clamp(round(x * quant_scale), -128, 127) / quant_scale
//
// Bytes an element (bfloat16, fake-quantised): 2 read + 2 written. About 6 float32 operations.
#include "algorithms.hpp"
#include "device/formats.cuh"
#include "device/row_threads.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// As in norm_quant_forward_one_pass: 65536 registers a multiprocessor.
constexpr int most_threads(int values) { return values <= 16 ? 1024 : values <= 32 ? 512 : 256; }

/// Usual: int8 by the row's own scale and the usual floor, known when it is compiled.
template <class X, int V, int K, bool Usual>
__global__ void __launch_bounds__(most_threads(V* K)) activation_one_pass(const __grid_constant__ ActivationQuant a) {
  RowThreads threads = row_threads();
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const bool live = row < a.rows;
  const int columns = static_cast<int>(a.columns);  // a row that fits registers is short
  const auto column = [&](int k) { return (k * threads.count + threads.lane) * V; };
  const auto inside = [&](int k) { return live && column(k) < columns; };

  float x[K][V] = {};
  load_packets<X>(
      a.x.data, [&](int k) { return row * a.x.ld + column(k); }, inside, x);
  std::uint32_t absmax = 0;
  if (Usual || !a.quantisation.has_static_scale()) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int v = 0; v < V; ++v) absmax = max(absmax, magnitude_bits(x[k][v]));
    }
    absmax = threads.largest(absmax);
  }
  const RowScale scale = Usual ? row_scale(absmax) : row_scale(a.quantisation, absmax);
  if (!live) return;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (!inside(k)) continue;
    if (Usual) {
      store_quantised(a.output, row, column(k), x[k], scale, a.rounding);
    } else {
      store_quantised_in(a.quantisation, a.output, row, column(k), x[k], scale.quant, scale, a.rounding);
    }
  }
  if (threads.lane == 0 && a.output.dequant_scale != nullptr) a.output.dequant_scale[row] = scale.dequant;
}

constexpr int most_packets = 8;

int elements(const Variant<ActivationQuant>& variant, const ActivationQuant& a) {
  return elements_per_access(variant.tuning.access_bytes, a.x.type);
}

/// Packets a thread: the smallest compiled K that covers the row; 0 when none does.
int packets(const Variant<ActivationQuant>& variant, const ActivationQuant& a) {
  const int v = elements(variant, a);
  const std::int64_t needed = divide_up(a.columns, static_cast<std::int64_t>(variant.tuning.threads_per_row) * v);
  for (int k = 1; k <= most_packets; k *= 2) {
    if (k >= needed && variant.tuning.threads_per_row * variant.tuning.rows_per_block <= most_threads(v * k)) return k;
  }
  return 0;
}

std::string why_not(const Variant<ActivationQuant>& variant, const ActivationQuant& a, const DeviceInfo&) {
  if (packets(variant, a) == 0) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit the registers of " +
           std::to_string(variant.tuning.threads_per_row) + " threads";
  }
  if (divide_up(a.rows, variant.tuning.rows_per_block) > 0x7fffffff) return "needs more than 2^31 - 1 blocks";
  return why_not_packets(elements(variant, a), a.columns, a.x, a.output);
}

template <class X, int V, bool Usual>
Status launch_packets(int k, const ActivationQuant& a, dim3 grid, dim3 block, std::size_t shared, Stream stream) {
  switch (k) {
    case 1: return launch_kernel(activation_one_pass<X, V, 1, Usual>, grid, block, shared, stream, a);
    case 2: return launch_kernel(activation_one_pass<X, V, 2, Usual>, grid, block, shared, stream, a);
    case 4: return launch_kernel(activation_one_pass<X, V, 4, Usual>, grid, block, shared, stream, a);
    default: return launch_kernel(activation_one_pass<X, V, 8, Usual>, grid, block, shared, stream, a);
  }
}

Status launch(const Variant<ActivationQuant>& variant, const ActivationQuant& a, const DeviceInfo&, void*,
              Stream stream) {
  const Tuning& t = variant.tuning;
  const dim3 grid{static_cast<unsigned>(divide_up(a.rows, t.rows_per_block)), 1, 1};
  const dim3 block{static_cast<unsigned>(t.threads_per_row), static_cast<unsigned>(t.rows_per_block), 1};
  const std::size_t shared = row_scratch_bytes(t.threads_per_row, t.rows_per_block);
  return with_packet_type(a.x.type, elements(variant, a), [&](auto packet) {
    using X = typename decltype(packet)::element;
    constexpr int V = decltype(packet)::count;
    const auto launch = a.quantisation.is_usual() ? launch_packets<X, V, true> : launch_packets<X, V, false>;
    return launch(packets(variant, a), a, grid, block, shared, stream);
  });
}

// Names: t = threads a row, r = rows a block, v = bytes an access (v1: one element).
constexpr VariantRow rows[] = {
    {.name = "one_pass_t16_r8_v16",
     .summary = "row in registers, 2 rows a warp",
     .threads_per_row = 16,
     .rows_per_block = 8},
    {.name = "one_pass_t32_r4_v16",
     .summary = "row in registers, a warp a row",
     .threads_per_row = 32,
     .rows_per_block = 4},
    {.name = "one_pass_t128_r1_v16", .summary = "row in registers, 4 warps a row", .threads_per_row = 128},
    {.name = "one_pass_t256_r1_v16", .summary = "row in registers, 8 warps a row", .threads_per_row = 256},
    {.name = "one_pass_t1024_r1_v16", .summary = "row in registers, 32 warps a row", .threads_per_row = 1024},
    {.name = "one_pass_t256_r1_v1",
     .summary = "row in registers, element accesses: any alignment, any N",
     .threads_per_row = 256,
     .access_bytes = 1},
};

}  // namespace

const std::vector<Variant<ActivationQuant>>& activation_quant_one_pass() {
  // A maximum has one value in whatever order, and every element its own code: all variants give the same bits.
  static const auto table = variant_table<ActivationQuant>({.why_not = why_not,
                                                            .workspace_bytes = no_workspace,
                                                            .requested_bytes = requests_algorithmic_bytes,
                                                            .launch = launch,
                                                            .row_invariant = true,
                                                            .row_bits_of = "two_pass_t1024_v1"},
                                                           rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
