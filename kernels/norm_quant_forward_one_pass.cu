// norm_quant_forward, one pass: the row stays in registers, every input is read once.
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Bytes an element (bfloat16, fake-quantised): 2 read + 2 written; with residual 4 + 4. About 12 float32 operations.
// A thread holds K packets of V columns: packet k of thread t covers columns (k * threads + t) * V onwards, so that a
// warp's accesses are contiguous. K and V are compile-time (registers need it); the number of threads is not.
#include "algorithms.hpp"
#include "device/forward_steps.cuh"
#include "device/row_threads.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Threads of the largest block for K packets of V values a thread, so that nothing spills: a multiprocessor's 65536
/// registers give 64 each to 1024 threads, 128 to 512, 255 to 256. Many short packets need registers for addresses too.
constexpr int most_threads(int v, int k) {
  const int values = v == 4 && k >= 4 ? 2 * v * k : v * k;
  return values <= 16 ? 1024 : values <= 32 ? 512 : 256;
}

template <class X, int V, int K>
__global__ void __launch_bounds__(most_threads(V, K)) forward_one_pass(const __grid_constant__ NormQuantForward a) {
  RowThreads threads = row_threads();
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const bool live = row < a.rows;                   // threads of rows past the end only keep the barriers company
  const int columns = static_cast<int>(a.columns);  // a row that fits registers is short
  const auto column = [&](int k) { return (k * threads.count + threads.lane) * V; };
  const auto inside = [&](int k) { return live && column(k) < columns; };

  // h = x + residual. All of x is on its way before anything waits for it.
  Packet<X, V> x[K];
  float h[K][V];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (inside(k)) x[k].load(static_cast<const X*>(a.x.data) + row * a.x.ld + column(k));
#pragma unroll
    for (int v = 0; v < V; ++v) h[k][v] = 0.0F;
  }
  // The weight too, so that its latency passes with x's.
  float weight[K][V];
  load_vector_packets(a.weight, 1.0F, column, inside, weight);
  if (a.residual.given()) {
    load_packets_typed(
        a.residual.data, a.residual.type, [&](int k) { return row * a.residual.ld + column(k); }, inside, h);
  }
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (!inside(k)) continue;
    float value[V];
    x[k].unpack(value);
#pragma unroll
    for (int v = 0; v < V; ++v) h[k][v] = a.residual.given() ? value[v] + h[k][v] : value[v];
    if (!a.residual_out.given()) continue;
    store_typed(a.residual_out.data, a.residual_out.type, row * a.residual_out.ld + column(k), h[k]);
    if (a.h_source == HSource::stored) {
#pragma unroll
      for (int v = 0; v < V; ++v) h[k][v] = rounded_to(a.residual_out.type, h[k][v]);
    }
  }

  // Statistics. Columns past the end hold 0 and are left out of the squares around the mean.
  float mean = 0.0F;
  if (a.norm == NormKind::layer) {
    float sum = 0.0F;
#pragma unroll
    for (int k = 0; k < K; ++k) sum += packet_sum(h[k]);
    mean = threads.sum(sum) / static_cast<float>(columns);
  }
  float squares = 0.0F;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (inside(k)) squares += packet_squares(h[k], mean);
  }
  const float rstd = reciprocal_root(threads.sum(squares) / static_cast<float>(columns), a.eps);

  // y over h, and its absmax.
  std::uint32_t absmax = 0;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (!inside(k)) continue;
    float bias[V] = {};
    load_biases(a.bias, column(k), bias);
    absmax = max(absmax, normalise_packet(mean, rstd, weight[k], bias, h[k]));
  }
  const RowScale scale = row_scale(threads.largest(absmax));
  if (!live) return;

#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (inside(k)) store_quantised(a.output, row, column(k), h[k], scale, a.rounding);
  }
  if (threads.lane == 0) store_row_results(a, row, mean, rstd, scale);
}

constexpr int most_packets = 8;

int elements(const Variant<NormQuantForward>& variant, const NormQuantForward& a) {
  return elements_per_access(variant.tuning.access_bytes, a.x.type);
}

/// Packets a thread: the smallest compiled K that covers the row; 0 when none does.
int packets(const Variant<NormQuantForward>& variant, const NormQuantForward& a) {
  const int v = elements(variant, a);
  const std::int64_t needed = divide_up(a.columns, static_cast<std::int64_t>(variant.tuning.threads_per_row) * v);
  for (int k = 1; k <= most_packets; k *= 2) {
    if (k >= needed && variant.tuning.threads_per_row * variant.tuning.rows_per_block <= most_threads(v, k)) return k;
  }
  return 0;
}

std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo&) {
  if (packets(variant, a) == 0) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit the registers of " +
           std::to_string(variant.tuning.threads_per_row) + " threads";
  }
  if (divide_up(a.rows, variant.tuning.rows_per_block) > 0x7fffffff) return "needs more than 2^31 - 1 blocks";
  return why_not_packets(elements(variant, a), a);
}

template <class X, int V>
Status launch_packets(int k, const NormQuantForward& a, dim3 grid, dim3 block, std::size_t shared, Stream stream) {
  switch (k) {
    case 1: return launch_kernel(forward_one_pass<X, V, 1>, grid, block, shared, stream, a);
    case 2: return launch_kernel(forward_one_pass<X, V, 2>, grid, block, shared, stream, a);
    case 4: return launch_kernel(forward_one_pass<X, V, 4>, grid, block, shared, stream, a);
    default: return launch_kernel(forward_one_pass<X, V, 8>, grid, block, shared, stream, a);
  }
}

Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo&, void*,
              Stream stream) {
  const Tuning& t = variant.tuning;
  const dim3 grid{static_cast<unsigned>(divide_up(a.rows, t.rows_per_block)), 1, 1};
  const dim3 block{static_cast<unsigned>(t.threads_per_row), static_cast<unsigned>(t.rows_per_block), 1};
  const std::size_t shared = row_scratch_bytes(t.threads_per_row, t.rows_per_block);
  return with_packet_type(a.x.type, elements(variant, a), [&](auto packet) {
    return launch_packets<typename decltype(packet)::element, decltype(packet)::count>(packets(variant, a), a, grid,
                                                                                       block, shared, stream);
  });
}

constexpr Variant<NormQuantForward> row(std::string_view name, std::string_view summary, Tuning tuning) {
  return {name, summary, tuning, true, why_not, no_workspace, requests_algorithmic_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_one_pass() {
  // Names: t = threads a row, r = rows a block, v = bytes an access (v1: one element).
  static const std::vector<Variant<NormQuantForward>> table = {
      row("one_pass_t8_r16_v16", "row in registers, 4 rows a warp", {8, 16, 16}),
      row("one_pass_t16_r8_v16", "row in registers, 2 rows a warp", {16, 8, 16}),
      row("one_pass_t32_r1_v16", "row in registers, a warp a row, small blocks", {32, 1, 16}),
      row("one_pass_t32_r4_v16", "row in registers, a warp a row", {32, 4, 16}),
      row("one_pass_t64_r2_v16", "row in registers, 2 warps a row", {64, 2, 16}),
      row("one_pass_t128_r1_v16", "row in registers, 4 warps a row", {128, 1, 16}),
      row("one_pass_t256_r1_v16", "row in registers, 8 warps a row", {256, 1, 16}),
      row("one_pass_t512_r1_v16", "row in registers, 16 warps a row", {512, 1, 16}),
      row("one_pass_t1024_r1_v16", "row in registers, 32 warps a row", {1024, 1, 16}),
      row("one_pass_t32_r4_v1", "row in registers, element accesses: any alignment, any N", {32, 4, 1}),
      row("one_pass_t256_r1_v1", "row in registers, element accesses: any alignment, any N", {256, 1, 1}),
      row("one_pass_t1024_r1_v1", "row in registers, element accesses: any alignment, any N", {1024, 1, 1}),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
