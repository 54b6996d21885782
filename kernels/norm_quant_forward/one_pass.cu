// norm_quant_forward, one pass: the row stays in registers, every input is read once. Each block does one set of rows.
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Bytes an element (bfloat16, fake-quantised): 2 read + 2 written; with residual 4 + 4. About 12 float32 operations.
// Long rows are shared by the blocks of a cluster. Rows of any alignment and length are served by striped elements.
#include "algorithms.hpp"
#include "device/overlap.cuh"
#include "device/striped_columns.cuh"
#include "device/support.hpp"
#include "norm_quant_forward/forward_row.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Whether x and the weight stay packed in registers, where a packet of V elements is more than one.
constexpr bool stays_packed(Form form, int V) { return V > 1 && (form == Form::rms || form == Form::rms_codes); }

/// Threads of the largest block, and blocks of that size that a multiprocessor is to hold, so that hardly anything spills
/// (tests/baselines/sm_90_registers.txt) and rows enough are under way. Its 65536 registers give 2048 threads 32 each, 1536 threads
/// 40, 1024 threads 64, 768 threads 80, 512 threads 128. What asks for forms at run time, holds float32 or keeps single
/// elements needs more of them.
struct BlockLimits {
  int threads, blocks;
};
/// `whole_rows`: a row is neither shared by the blocks of a cluster nor one of four in a warp; both take registers too.
constexpr BlockLimits block_limits(int elements, std::size_t element_bytes, bool striped, Form form, bool whole_rows) {
  const bool lean = form != Form::any, narrow = element_bytes == 2, packed = lean && stays_packed(form, 2) && narrow;
  const bool two_blocks = lean && elements > 16 && (elements <= 24 || !narrow);
  if (striped) return {elements <= 8 ? 1024 : elements <= 16 ? 768 : 512, two_blocks ? 2 : 1};
  if (elements <= 8) return {1024, packed ? 2 : 1};
  if (lean && narrow && form == Form::layer && elements <= 16) return {640, 2};
  if (elements <= 16) return packed ? BlockLimits{768, 2} : BlockLimits{lean || !narrow ? 1024 : 768, 1};
  if (elements > 32) return {packed ? 1024 : 512, 1};
  if (packed || (narrow && form == Form::layer && whole_rows)) return {512, 2};
  return {lean && narrow ? 768 : 512, 1};
}
constexpr bool has_whole_rows(int lanes, bool clustered) { return lanes > 8 && !clustered; }

template <class X, int V, int K, int Lanes, bool Clustered, Form form>
__global__ void __launch_bounds__(block_limits(V* K, sizeof(X), V == 1, form, has_whole_rows(Lanes, Clustered)).threads,
                                  block_limits(V* K, sizeof(X), V == 1, form, has_whole_rows(Lanes, Clustered)).blocks)
    forward_one_pass(const __grid_constant__ NormQuantForward a, float per_column, Overlap overlap) {
  using Facts = Known<form, X>;
  TileThreads<Lanes, Clustered> threads(shared_memory<float>() +
                                        threadIdx.y * (tile_scratch_bytes<Clustered>() / sizeof(float)));
  const std::int64_t block = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  const std::int64_t row = block * blockDim.y + threadIdx.y;
  const bool live = row < a.rows;  // threads of rows past the end only keep the barriers company
  const X* x = static_cast<const X*>(a.x.data) + row * a.x.ld;
  using Columns = std::conditional_t<V == 1, StripedColumns<Lanes>, TileColumns<V, Lanes>>;
  const Columns columns(threads.place(), K, static_cast<int>(a.columns), live);

  // Asks for what the block reads of a row, or would read. Rows that share a warp are asked for by one instruction, and with them
  // what lies between them, at most as much again.
  constexpr int rows_of_warp = Lanes < warp_threads ? warp_threads / Lanes : 1;
  const bool asks = threadIdx.x == 0 && threadIdx.y % rows_of_warp == 0;
  const auto prefetch = [&](std::int64_t of) {
    const int first = columns.first < 0 ? 0 : columns.first, share = static_cast<int>(blockDim.x) * V * K;
    const int left = static_cast<int>(a.columns) - first, count = left < share ? left : share;
    const auto ask = [&](const ConstMatrix& matrix) {
      const bool together = rows_of_warp > 1 && matrix.ld < 2 * a.columns && of + rows_of_warp <= a.rows;
      prefetch_of(matrix, of, first, together ? count + (rows_of_warp - 1) * static_cast<int>(matrix.ld) : count);
    };
    ask(a.x);
    if (Facts::residual(a)) ask(a.residual);
  };
  if (blockIdx.x < overlap.prefetching_blocks && asks && live) prefetch(row);
  if (overlap.early) let_next_launch_start();
  wait_for_earlier_launches();

  // All of x is on its way before anything waits for it, and the weight too when it is of x's type and 64 bytes hold
  // it, in which single elements take a register each. (Of a long row that leaves no registers for it, it is read twice.)
  constexpr bool weight_twice = stays_packed(form, V) && K * V > 32;
  Packet<X, V> packets[K], weights[weight_twice ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
    for (int k = 0; k < K; ++k) inner.load_row(x, k, packets[k]);
  });
  constexpr bool many_elements = V == 1 && K > 16;  // of float32 they are more than 64 bytes: the weight comes after x
  const bool early_weight = (Facts::all && !many_elements) ||
                            (sizeof(Packet<X, V>[K]) <= 64 && a.weight.given() && a.weight.type == a.x.type);
  if (early_weight && !weight_twice) {
    columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
      for (int k = 0; k < K; ++k) inner.load(static_cast<const X*>(a.weight.data), k, weights[weight_twice ? 0 : k]);
    });
  }
  threads.begin();
  if (asks && overlap.rows_ahead > 0 && row + overlap.rows_ahead < a.rows) prefetch(row + overlap.rows_ahead);
  if constexpr (stays_packed(form, V)) {
    if (!overlap.early) let_next_launch_start();
    norm_and_quantise_packed<Facts>(a, per_column, row, threads, columns, live, packets, weights);
  } else {
    // 8 registers more; of single elements 16.
    constexpr bool early_bias = form == Form::layer && sizeof(Packet<X, V>[K]) <= 32;
    Packet<X, V> biases[early_bias ? K : 1];  // NOLINT(bugprone-branch-clone): the same where K is 1
    if constexpr (early_bias) {
      columns.template each_of<K>([&](const auto& inner) {
#pragma unroll
        for (int k = 0; k < K; ++k) inner.load(static_cast<const X*>(a.bias.data), k, biases[k]);
      });
    }
    float v[K][V];
#pragma unroll
    for (int k = 0; k < K; ++k) packets[k].unpack(v[k]);
    if (Facts::residual(a)) add_residual<Facts>(a.residual, row, columns, v);
    if (!overlap.early) let_next_launch_start();
    norm_and_quantise<Facts>(a, per_column, row, threads, columns, live, v, early_weight, weights, biases);
  }
}

bool is_striped(const Tuning& t) { return t.access_bytes < 16; }

/// Threads of a row: as many whole tiles as cover it.
std::int64_t row_threads(const Tuning& t, const NormQuantForward& a) {
  const std::int64_t tile = static_cast<std::int64_t>(t.lanes) * t.elements;
  return divide_up(divide_up(a.columns, tile), t.cluster) * t.lanes;
}

/// Rows of a block: short rows fill four warps, but not before every multiprocessor has a block. Rows that may wait once more than others
/// (sums_squares_with_h) have a block each, unless a warp holds them.
int block_rows(const Tuning& t, const NormQuantForward& a, const DeviceInfo& device) {
  const int threads = static_cast<int>(row_threads(t, a));
  const int packet = is_striped(t) ? 1 : elements_per_access(16, a.x.type);
  if (t.cluster > 1 || (threads > warp_threads && sums_squares_with_h(form_of(a), packet, t.elements))) return 1;
  const int least = t.lanes < warp_threads ? warp_threads / t.lanes : 1;
  int rows = threads >= 128 ? 1 : 128 / threads;
  while (rows / 2 >= least && divide_up(a.rows, rows) < device.sm_count) rows /= 2;
  return rows < least ? least : rows;
}

std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (std::string lacking = lacks_clusters(variant, device); !lacking.empty()) return lacking;
  const Form form = form_of(a);
  if (t.elements > 32 && (form == Form::any || a.x.type == DType::float32)) {
    return "keeps 64 elements a thread: only of 16 bits, and in the forms that are known when it is compiled";
  }
  const std::int64_t threads = row_threads(t, a);
  const bool whole_rows = has_whole_rows(t.lanes, t.cluster > 1);
  const int most = block_limits(t.elements, size_of(a.x.type), is_striped(t), form, whole_rows).threads;
  if (threads > (t.lanes < warp_threads ? t.lanes : most)) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (a.columns <= (t.cluster - 1) * threads * t.elements) {
    return "the row of " + std::to_string(a.columns) + " columns leaves blocks of the cluster without work";
  }
  if (t.cluster * a.rows > 0x7fffffff) return "needs more blocks than a grid has";
  return is_striped(t) ? "" : why_not_packets(elements_per_access(16, a.x.type), a);
}

using std::integral_constant;
constexpr std::bool_constant<true> yes;
constexpr std::bool_constant<false> no;
constexpr integral_constant<int, 8> e8;
constexpr integral_constant<int, 16> e16;
constexpr integral_constant<int, 24> e24;
constexpr integral_constant<int, 32> e32;
constexpr integral_constant<int, 64> e64;

/// The compiled shape of a variant of packets, called with `f`: f(elements, lanes, clustered).
template <int V, class F>
Status with_shape(const Tuning& t, F&& f) {
  if (t.lanes == 8) return t.elements == 32 ? f(e32, e8, no) : f(e8, e8, no);
  if (t.lanes == 16) return f(e32, e16, no);
  if constexpr (V == 8) {
    if (t.elements == 64) return t.cluster > 1 ? f(e64, e32, yes) : f(e64, e32, no);
  }
  if (t.cluster > 1) return f(e32, e32, yes);
  return t.elements == 8 ? f(e8, e32, no) : t.elements == 16 ? f(e16, e32, no) : f(e32, e32, no);
}

/// The same of striped elements, whose tiles are a warp's: f(elements, clustered).
template <class F>
Status with_striped_shape(const Tuning& t, F&& f) {
  if (t.cluster > 1) return f(e32, yes);
  return t.elements == 8 ? f(e8, no) : t.elements == 16 ? f(e16, no) : t.elements == 24 ? f(e24, no) : f(e32, no);
}

/// f(form), a form known at compile time, or Form::any.
template <class F>
Status with_form(Form form, F&& f) {
  switch (form) {
    case Form::rms: return f(integral_constant<Form, Form::rms>{});
    case Form::rms_codes: return f(integral_constant<Form, Form::rms_codes>{});
    case Form::rms_residual: return f(integral_constant<Form, Form::rms_residual>{});
    case Form::layer: return f(integral_constant<Form, Form::layer>{});
    case Form::any:
    case Form::rms_gradient: break;  // the second is the backward's
  }
  return f(integral_constant<Form, Form::any>{});
}

template <class X>
Status launch_for(const Tuning& t, const NormQuantForward& a, const LaunchShape& shape, Overlap overlap,
                  Stream stream) {
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto launch = [&](auto kernel) { return launch_kernel(kernel, shape, stream, a, per_column, overlap); };
  return with_form(form_of(a), [&](auto form) {
    if (is_striped(t)) {
      return with_striped_shape(t, [&](auto elements, auto clustered) {
        return launch(forward_one_pass<X, 1, elements, warp_threads, clustered, form>);
      });
    }
    constexpr int V = 16 / sizeof(X);
    return with_shape<V>(t, [&](auto elements, auto lanes, auto clustered) {
      if constexpr (elements > 32 && form == Form::any) {
        return Status::unsupported("no kernel of that form");  // why_not says so
      } else {
        return launch(forward_one_pass<X, V, elements / V, lanes, clustered, form>);
      }
    });
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
  const std::int64_t input_bytes =
      a.columns * (size_of(a.x.type) + (a.residual.given() ? size_of(a.residual.type) : 0));
  const Overlap overlap = overlap_of(shape.grid.x, row_threads(t, a) * rows, device.sm_count, input_bytes);
  if (a.x.type == DType::float32) return launch_for<float>(t, a, shape, overlap, stream);
  if (a.x.type == DType::float16) return launch_for<half_t>(t, a, shape, overlap, stream);
  return launch_for<bfloat16_t>(t, a, shape, overlap, stream);
}

constexpr Variant<NormQuantForward> row(std::string_view name, std::string_view summary, int lanes, int elements,
                                        int cluster = 1, int access_bytes = 16) {
  Tuning tuning;
  tuning.lanes = lanes;
  tuning.elements = elements;
  tuning.cluster = cluster;
  tuning.access_bytes = access_bytes;
  return {name, summary, tuning, true, why_not, no_workspace, requests_algorithmic_bytes, launch, lacks_clusters};
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
      row("cluster_c2_e64", "row in registers of 2 blocks, 64 elements a thread", 32, 64, 2),
      row("striped_e8", "any alignment and N, 8 elements a thread", 32, 8, 1, 1),
      row("striped_e16", "any alignment and N, 16 elements a thread", 32, 16, 1, 1),
      row("striped_e24", "any alignment and N, 24 elements a thread", 32, 24, 1, 1),
      row("striped_e32", "any alignment and N, 32 elements a thread", 32, 32, 1, 1),
      row("striped_c4_e32", "any alignment and N, row in registers of 4 blocks", 32, 32, 4, 1),
      row("striped_c16_e32", "any alignment and N, row in registers of 16 blocks", 32, 32, 16, 1),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
