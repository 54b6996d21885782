// norm_quant_backward, one pass: a persistent grid; each block walks over rows, holds a row in registers and the sums of
// dweight and dbias over its rows in registers too.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Bytes an element (bfloat16): 4 read + 2 written, + 2 with the recomputed out, + 2 with dresidual. About 20 float32
// operations. One reduction a row: c1, c2 and absmax travel together.
// The blocks' sums are added by a second kernel. Serves tensors of mixed types and, by element accesses, any alignment.
#include "algorithms.hpp"
#include "device/row_threads.cuh"
#include "device/support.hpp"
#include "norm_quant_backward/backward_steps.cuh"
#include "norm_quant_backward/column_sums.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Threads of the largest block for that many columns a thread (four float32 each: xhat, wdy and the two sums), so that
/// nothing spills: a multiprocessor has 65536 registers.
constexpr int most_threads(int v, int k) {
  const int columns = v == 4 && k == 2 ? 2 * v * k : v * k;  // two short packets need registers for addresses too
  return columns <= 8 ? 1024 : columns <= 16 ? 512 : 256;
}

/// The block's sum of one column packet over its rows side by side (threadIdx.y), left in `sum` of threadIdx.y == 0.
/// `slots`: [N] floats of shared memory.
template <int V>
__device__ __forceinline__ void add_rows_of_block(float (&sum)[V], std::int64_t column, bool inside, float* slots) {
  for (unsigned y = 1; y < blockDim.y; ++y) {  // one after the other: always the same order
    if (threadIdx.y == y && inside) store_elements<float>(slots, column, sum);
    __syncthreads();
    if (threadIdx.y == 0 && inside) {
      float other[V];
      load_elements<float>(slots, column, other);
#pragma unroll
      for (int v = 0; v < V; ++v) sum[v] += other[v];
    }
    __syncthreads();
  }
}

/// Hands the block's sum of one column packet over to the sum over blocks.
template <int V>
__device__ __forceinline__ void hand_over(float* partial, std::int64_t columns, std::int64_t column,
                                          const float (&sum)[V]) {
  store_elements<float>(partial, static_cast<std::int64_t>(blockIdx.x) * columns + column, sum);
}

template <class H, int V, int K>
__global__ void __launch_bounds__(most_threads(V, K))
    backward_one_pass(const __grid_constant__ NormQuantBackward a, ColumnPartials partials) {
  RowThreads threads = row_threads();
  const int columns = static_cast<int>(a.columns);  // a row that fits registers is short
  const auto column = [&](int k) { return (k * threads.count + threads.lane) * V; };
  const bool recompute = a.recomputed.given();
  const bool absmax_wanted = recompute && a.quant_scale == nullptr;
  float dweight[K][V] = {}, dbias[K][V] = {};

  // Rows past the end keep the barriers company.
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.y;
  for (std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.y; first < a.rows; first += step) {
    const std::int64_t row = first + threadIdx.y;
    const bool live = row < a.rows;
    const auto inside = [&](int k) { return live && column(k) < columns; };

    Packet<H, V> h[K];
    float xhat[K][V], wdy[K][V];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k)) h[k].load(static_cast<const H*>(a.h.data) + row * a.h.ld + column(k));
    }
    load_packets_typed(
        a.dy.data, a.dy.type, [&](int k) { return row * a.dy.ld + column(k); }, inside, wdy);
    const RowStatistics statistics = live ? row_statistics(a, row) : RowStatistics{0.0F, 0.0F};

    RowSums sums;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!inside(k)) continue;
      h[k].unpack(xhat[k]);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        dbias[k][v] += wdy[k][v];
        dweight[k][v] = fmaf(wdy[k][v], normalised(xhat[k][v], statistics.mean, statistics.rstd), dweight[k][v]);
      }
      accumulate_packet(a, column(k), statistics, absmax_wanted, xhat[k], wdy[k], sums);
    }
    threads.reduce(sums.sums, sums.absmax);
    if (!live) continue;
    const RowCoefficients coefficients = row_coefficients(a, sums);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k)) store_gradient(a, row, column(k), xhat[k], wdy[k], coefficients, statistics.rstd);
    }
    if (!recompute) continue;
    const RowScale scale = recomputed_scale(a, row, sums.absmax);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (inside(k)) store_recomputed(a, row, column(k), xhat[k], scale);
    }
    if (threads.lane == 0 && a.recomputed.dequant_scale != nullptr) a.recomputed.dequant_scale[row] = scale.dequant;
  }

  if (partials.dweight == nullptr && partials.dbias == nullptr) return;
  // The reductions' scratch is not used any more once all threads are here.
  __syncthreads();
  float* slots = shared_memory<float>();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const bool inside = column(k) < columns;
    const bool hands_over = inside && threadIdx.y == 0;
    if (partials.dweight != nullptr) {
      add_rows_of_block(dweight[k], column(k), inside, slots);
      if (hands_over) hand_over(partials.dweight, partials.row_length, column(k), dweight[k]);
    }
    if (partials.dbias != nullptr) {
      add_rows_of_block(dbias[k], column(k), inside, slots);
      if (hands_over) hand_over(partials.dbias, partials.row_length, column(k), dbias[k]);
    }
  }
}

constexpr int most_columns = 32;  ///< columns a thread
/// Packets a thread: 8, but 4 of single elements, whose addresses need registers too.
constexpr int most_packets(int elements) { return elements == 1 ? 4 : 8; }

int elements(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a) {
  return elements_per_access(variant.tuning.access_bytes, a.h.type);
}

/// Packets a thread: the smallest compiled K that covers the row; 0 when none does.
int packets(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a) {
  const int v = elements(variant, a);
  const std::int64_t needed = divide_up(a.columns, static_cast<std::int64_t>(variant.tuning.threads_per_row) * v);
  for (int k = 1; k <= most_packets(v) && k * v <= most_columns; k *= 2) {
    if (k >= needed && variant.tuning.threads_per_row * variant.tuning.rows_per_block <= most_threads(v, k)) return k;
  }
  return 0;
}

/// Blocks of the persistent grid: as many as fit the device at a time, no more than there are rows for.
std::int64_t blocks(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  const int resident = most_threads(elements(variant, a), packets(variant, a)) / (t.threads_per_row * t.rows_per_block);
  const std::int64_t most = static_cast<std::int64_t>(device.sm_count) * (resident < 1 ? 1 : resident);
  const std::int64_t useful = divide_up(a.rows, t.rows_per_block);
  return useful < most ? useful : most;
}

std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo&) {
  if (packets(variant, a) == 0) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit the registers of " +
           std::to_string(variant.tuning.threads_per_row) + " threads";
  }
  return why_not_packets(elements(variant, a), a);
}

std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                            const DeviceInfo& device) {
  return column_partials_bytes(a, blocks(variant, a, device));
}

/// The partial sums are written once and read once.
std::int64_t requested_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                             const DeviceInfo& device) {
  return algorithmic_bytes(a) + 2 * static_cast<std::int64_t>(workspace_bytes(variant, a, device));
}

/// Shared memory: the reductions' scratch, later the rows of a block side by side (rows_per_block > 1).
std::size_t shared_bytes(const Tuning& t, const NormQuantBackward& a) {
  const std::size_t scratch = row_scratch_bytes(t.threads_per_row, t.rows_per_block);
  const std::size_t side_by_side = t.rows_per_block > 1 ? sizeof(float) * static_cast<std::size_t>(a.columns) : 0;
  return scratch > side_by_side ? scratch : side_by_side;
}

template <class H, int V>
Status launch_packets(int k, const NormQuantBackward& a, const ColumnPartials& partials, dim3 grid, const Tuning& t,
                      Stream stream) {
  const dim3 block{static_cast<unsigned>(t.threads_per_row), static_cast<unsigned>(t.rows_per_block), 1};
  const auto run = [&](auto kernel) {
    return launch_kernel(kernel, grid, block, shared_bytes(t, a), stream, a, partials);
  };
  if (k == 1) return run(backward_one_pass<H, V, 1>);
  if (k == 2) return run(backward_one_pass<H, V, 2>);
  if (k == 4) return run(backward_one_pass<H, V, 4>);
  if constexpr (8 <= most_packets(V) && 8 * V <= most_columns) return run(backward_one_pass<H, V, 8>);
  return Status::unsupported("no kernel with that many packets");
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const bool sums_wanted = a.dweight.given() || a.dbias.given();
  const ColumnPartials partials = column_partials(a, blocks(variant, a, device), workspace);
  if (a.rows > 0) {
    const dim3 grid{static_cast<unsigned>(blocks(variant, a, device)), 1, 1};
    Status status = with_packet_type(a.h.type, elements(variant, a), [&](auto packet) {
      return launch_packets<typename decltype(packet)::element, decltype(packet)::count>(
          packets(variant, a), a, partials, grid, variant.tuning, stream);
    });
    if (!status.ok()) return status;
  }
  if (!sums_wanted) return {};
  return launch_sum_partials(a, partials, device, stream);
}

constexpr Variant<NormQuantBackward> row(std::string_view name, std::string_view summary, Tuning tuning) {
  return {name, summary, tuning, true, why_not, workspace_bytes, requested_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_one_pass() {
  // Names: t = threads a row, r = rows a block, v = bytes an access (v1: one element).
  static const std::vector<Variant<NormQuantBackward>> table = {
      row("one_pass_t32_r4_v16", "warp a row, any types", {32, 4, 16}),
      row("one_pass_t128_r1_v16", "4 warps a row, any types", {128, 1, 16}),
      row("one_pass_t512_r1_v16", "16 warps a row, any types", {512, 1, 16}),
      row("one_pass_t256_r1_v1", "element accesses: any alignment, any N", {256, 1, 1}),
      row("one_pass_t1024_r1_v1", "element accesses: any alignment, any N", {1024, 1, 1}),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
