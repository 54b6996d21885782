// norm_quant_forward, one pass: the row stays in registers, every input is read once. Each block does one set of rows.
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Bytes an element (bfloat16, fake-quantised): 2 read + 2 written; with residual 4 + 4. About 12 float32 operations.
// Long rows are shared by the blocks of a cluster. Rows of any alignment and length are served by shifted packets.
#include "algorithms.hpp"
#include "device/forward_row.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Threads of the largest block; packets that may be cut need registers for that.
constexpr int most_threads(int elements, bool aligned) {
  return aligned || elements <= 8 ? most_row_threads(elements) : 512;
}

template <class X, int V, int K, int Lanes, bool Clustered, bool Aligned>
__global__ void __launch_bounds__(most_threads(V* K, Aligned))
    forward_one_pass(const __grid_constant__ NormQuantForward a, float per_column) {
  overlap_launches();
  TileThreads<Lanes, Clustered> threads(shared_memory<float>() +
                                        threadIdx.y * (tile_scratch_bytes<Clustered>() / sizeof(float)));
  const std::int64_t block = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  const std::int64_t row = block * blockDim.y + threadIdx.y;
  const bool live = row < a.rows;  // threads of rows past the end only keep the barriers company
  const X* x = static_cast<const X*>(a.x.data) + row * a.x.ld;
  const unsigned lead = Aligned ? 0 : reinterpret_cast<std::uintptr_t>(x) / sizeof(X) % V;
  const TileColumns<V, Lanes, Aligned> columns(threads.place(), K, static_cast<int>(a.columns), live, lead);

  // All of x is on its way before anything waits for it, and the weight too when it is of x's type and
  // 16 registers hold it.
  Packet<X, V> packets[K], weights[K];
#pragma unroll
  for (int k = 0; k < K; ++k) columns.template load<X, true>(x, k, packets[k]);
  const bool early = sizeof(Packet<X, V>[K]) <= 64 && a.weight.given() && a.weight.type == a.x.type;
  if (early) {
#pragma unroll
    for (int k = 0; k < K; ++k) columns.load(static_cast<const X*>(a.weight.data), k, weights[k]);
  }
  float v[K][V];
#pragma unroll
  for (int k = 0; k < K; ++k) packets[k].unpack(v[k]);
  if (a.residual.given()) add_residual(a.residual, row, columns, v);
  norm_and_quantise<X>(a, per_column, row, threads, columns, live, v, early, weights);
  threads.finish();
}

/// Threads of a row: as many whole tiles as cover it. Shifted packets may begin before the row.
std::int64_t row_threads(const Tuning& t, const NormQuantForward& a) {
  const std::int64_t shift = t.access_bytes == 1 ? elements_per_access(16, a.x.type) - 1 : 0;
  const std::int64_t tile = static_cast<std::int64_t>(t.lanes) * t.elements;
  return divide_up(divide_up(a.columns + shift, tile), t.cluster) * t.lanes;
}

/// Rows of a block: short rows fill four warps, but not before every multiprocessor has a block.
int block_rows(const Tuning& t, const NormQuantForward& a, const DeviceInfo& device) {
  if (t.cluster > 1) return 1;
  const int threads = static_cast<int>(row_threads(t, a));
  const int least = t.lanes < warp_threads ? warp_threads / t.lanes : 1;
  int rows = threads >= 128 ? 1 : 128 / threads;
  while (rows / 2 >= least && divide_up(a.rows, rows) < device.sm_count) rows /= 2;
  return rows < least ? least : rows;
}

std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (t.cluster > device.max_cluster_blocks) {
    return "needs clusters of " + std::to_string(t.cluster) + " blocks, and the device has " +
           std::to_string(device.max_cluster_blocks);
  }
  if (t.elements > 32 && a.x.type == DType::float32) return "keeps 64 elements a thread, too many for float32";
  const std::int64_t threads = row_threads(t, a);
  if (threads > (t.lanes < warp_threads ? t.lanes : most_threads(t.elements, t.access_bytes != 1))) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (a.columns <= (t.cluster - 1) * threads * t.elements) {
    return "the row of " + std::to_string(a.columns) + " columns leaves blocks of the cluster without work";
  }
  if (t.cluster * a.rows > 0x7fffffff) return "needs more blocks than a grid has";
  return t.access_bytes == 1 ? "" : why_not_packets(elements_per_access(16, a.x.type), a);
}

/// The compiled shape of a variant, called with `f`: f(K, Lanes, Clustered, Aligned) as integral constants.
template <int V, class F>
Status with_shape(const Tuning& t, F&& f) {
  const auto shape = [&](auto elements, auto lanes, auto clustered, auto aligned) {
    return f(std::integral_constant<int, elements / V>{}, lanes, clustered, aligned);
  };
  using std::bool_constant;
  using std::integral_constant;
  constexpr bool_constant<true> yes;
  constexpr bool_constant<false> no;
  constexpr integral_constant<int, 8> e8;
  constexpr integral_constant<int, 16> e16;
  constexpr integral_constant<int, 32> e32;
  constexpr integral_constant<int, 64> e64;
  if (t.access_bytes == 1) {
    if (t.lanes == 8) return shape(e32, e8, no, no);
    if (t.cluster > 1) return shape(e32, e32, yes, no);
    return t.elements == 8 ? shape(e8, e32, no, no) : shape(e32, e32, no, no);
  }
  if (t.lanes == 8) return t.elements == 8 ? shape(e8, e8, no, yes) : shape(e32, e8, no, yes);
  if (t.lanes == 16) return shape(e32, e16, no, yes);
  if constexpr (V == 8) {
    if (t.elements == 64) return t.cluster > 1 ? shape(e64, e32, yes, yes) : shape(e64, e32, no, yes);
  }
  if (t.cluster > 1) return shape(e32, e32, yes, yes);
  return t.elements == 8    ? shape(e8, e32, no, yes)
         : t.elements == 16 ? shape(e16, e32, no, yes)
                            : shape(e32, e32, no, yes);
}

template <class X>
Status launch_for(const Tuning& t, const NormQuantForward& a, const LaunchShape& shape, Stream stream) {
  constexpr int V = 16 / sizeof(X);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  return with_shape<V>(t, [&](auto k, auto lanes, auto clustered, auto aligned) {
    return launch_kernel(forward_one_pass<X, V, k, lanes, clustered, aligned>, shape, stream, a, per_column);
  });
}

Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device, void*,
              Stream stream) {
  const Tuning& t = variant.tuning;
  const int rows = block_rows(t, a, device);
  LaunchShape shape;
  shape.block = dim3{static_cast<unsigned>(row_threads(t, a)), static_cast<unsigned>(rows), 1};
  shape.grid = dim3{static_cast<unsigned>(t.cluster * divide_up(a.rows, rows)), 1, 1};
  shape.shared_bytes = (t.cluster > 1 ? tile_scratch_bytes<true>() : tile_scratch_bytes<false>()) * rows;
  shape.cluster = static_cast<unsigned>(t.cluster);
  shape.overlap = device.compute_capability >= 90;
  if (a.x.type == DType::float32) return launch_for<float>(t, a, shape, stream);
  if (a.x.type == DType::float16) return launch_for<half_t>(t, a, shape, stream);
  return launch_for<bfloat16_t>(t, a, shape, stream);
}

constexpr Variant<NormQuantForward> row(std::string_view name, std::string_view summary, int lanes, int elements,
                                        int cluster = 1, int access_bytes = 16) {
  Tuning tuning;
  tuning.lanes = lanes;
  tuning.elements = elements;
  tuning.cluster = cluster;
  tuning.access_bytes = access_bytes;
  return {name, summary, tuning, true, why_not, no_workspace, requests_algorithmic_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_one_pass() {
  // Names: e = elements a thread, l = threads a row when fewer than a warp, c = blocks a row.
  static const std::vector<Variant<NormQuantForward>> table = {
      row("one_pass_l8_e8", "row in registers, 4 rows a warp, 8 elements a thread", 8, 8),
      row("one_pass_l8_e32", "row in registers, 4 rows a warp, 32 elements a thread", 8, 32),
      row("one_pass_l16_e32", "row in registers, 2 rows a warp, 32 elements a thread", 16, 32),
      row("one_pass_e8", "row in registers, 8 elements a thread", 32, 8),
      row("one_pass_e16", "row in registers, 16 elements a thread", 32, 16),
      row("one_pass_e32", "row in registers, 32 elements a thread", 32, 32),
      row("one_pass_e64", "row in registers, 64 elements a thread", 32, 64),
      row("cluster_c2_e32", "row in registers of 2 blocks", 32, 32, 2),
      row("cluster_c4_e32", "row in registers of 4 blocks", 32, 32, 4),
      row("cluster_c8_e32", "row in registers of 8 blocks", 32, 32, 8),
      row("cluster_c16_e32", "row in registers of 16 blocks", 32, 32, 16),
      row("cluster_c16_e64", "row in registers of 16 blocks, 64 elements a thread", 32, 64, 16),
      row("shifted_l8_e32", "any alignment and N, 4 rows a warp", 8, 32, 1, 1),
      row("shifted_e8", "any alignment and N, 8 elements a thread", 32, 8, 1, 1),
      row("shifted_e32", "any alignment and N, 32 elements a thread", 32, 32, 1, 1),
      row("shifted_c4_e32", "any alignment and N, row in registers of 4 blocks", 32, 32, 4, 1),
      row("shifted_c16_e32", "any alignment and N, row in registers of 16 blocks", 32, 32, 16, 1),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
