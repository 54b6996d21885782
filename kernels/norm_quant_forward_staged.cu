// norm_quant_forward, one pass, persistent: each block walks over rows, and while it works on one, asynchronous copies
// bring the next ones into shared memory. The weight stays in registers.
//
//   h = x + residual; mean, var; rstd = 1 / sqrt(var + eps); y = (h - mean) * rstd * weight + bias
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Bytes an element of global memory as in the one-pass kernel. A thread copies, reads and works on its own packets only,
// so the copies need no barrier.
#include "algorithms.hpp"
#include "device/forward_row.cuh"
#include "device/overlap.cuh"
#include "device/staged_packets.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr int stages = 2;           ///< rows of a block under way
constexpr int most_threads = 1024;  ///< of the largest block: a thread with 16 elements takes up to 64 registers

template <class X, int V, int K, int Lanes>
__global__ void __launch_bounds__(most_threads)
    forward_staged(const __grid_constant__ NormQuantForward a, float per_column) {
  overlap_launches();
  TileThreads<Lanes> threads(shared_memory<float>() + threadIdx.y * (tile_scratch_bytes() / sizeof(float)));
  TileColumns<V, Lanes, true> columns(threads.place(), K, static_cast<int>(a.columns), true, 0);
  const int left = columns.left;
  const bool with_residual = a.residual.given() && a.residual.type == a.x.type;

  const StagedPackets<K> x(blockDim.y * tile_scratch_bytes()), residual = x.behind(stages);

  AsyncCopies copies;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.y;
  std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y, next = row;
  const auto at = [&](const ConstMatrix& matrix) {
    return static_cast<const X*>(matrix.data) + next * matrix.ld + columns.first;
  };
  const auto start_next = [&](int stage) {
    if (next < a.rows) {
      x.start(copies, stage, at(a.x), columns, left);
      if (with_residual) residual.start(copies, stage, at(a.residual), columns, left);
    }
    copies.end_group();
    next += step;
  };
#pragma unroll
  for (int stage = 0; stage < stages; ++stage) {
    start_next(stage);
    x.clear_outside(stage, columns, left);
    if (with_residual) residual.clear_outside(stage, columns, left);
  }
  Packet<X, V> weights[K];
  const bool early = sizeof(Packet<X, V>[K]) <= 64 && a.weight.given() && a.weight.type == a.x.type;
  if (early) {
#pragma unroll
    for (int k = 0; k < K; ++k) columns.load(static_cast<const X*>(a.weight.data), k, weights[k]);
  }

  int stage = 0;
#pragma unroll 1
  for (std::int64_t block_row = row - threadIdx.y; block_row < a.rows; block_row += step, row += step) {
    const bool live = row < a.rows;  // threads of rows past the end only keep the barriers company
    columns.left = live ? left : 0;
    copies.template wait<stages - 1>();
    float v[K][V];
#pragma unroll
    for (int k = 0; k < K; ++k) {
      weights[k].stay_packed();
      x.template read<X>(stage, k, v[k]);
    }
    if (with_residual) {
#pragma unroll
      for (int k = 0; k < K; ++k) {
        float added[V];
        residual.template read<X>(stage, k, added);
#pragma unroll
        for (int i = 0; i < V; ++i) v[k][i] += added[i];
      }
    } else if (a.residual.given()) {
      add_residual(a.residual, row, columns, v);
    }
    start_next(stage);
    norm_and_quantise<X>(a, per_column, row, threads, columns, live, v, early, weights);
    stage = stage + 1 == stages ? 0 : stage + 1;
  }
}

std::int64_t row_threads(const Tuning& t, const NormQuantForward& a) {
  return divide_up(a.columns, static_cast<std::int64_t>(t.lanes) * t.elements) * t.lanes;
}

/// Rows of a block: as many as fill four warps.
int block_rows(const Tuning& t, const NormQuantForward& a) {
  const std::int64_t threads = row_threads(t, a);
  return threads >= 128 ? 1 : static_cast<int>(128 / threads);
}

std::size_t shared_bytes(const Tuning& t, const NormQuantForward& a) {
  const std::size_t rows = block_rows(t, a), threads = row_threads(t, a) * rows;
  const std::size_t tensors = a.residual.given() && a.residual.type == a.x.type ? 2 : 1;
  return rows * tile_scratch_bytes() + tensors * stages * threads * t.elements * size_of(a.x.type);
}

std::string why_not(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (row_threads(t, a) > (t.lanes < warp_threads ? t.lanes : most_threads)) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (shared_bytes(t, a) > device.shared_memory_per_block) {
    return "the rows under way do not fit the shared memory of a block";
  }
  return why_not_packets(elements_per_access(16, a.x.type), a);
}

/// Blocks that fit the device at a time, shared out so that all have the same number of rows, or one less.
unsigned blocks(const Tuning& t, const NormQuantForward& a, const DeviceInfo& device) {
  const int rows = block_rows(t, a);
  const std::int64_t by_registers = most_threads / (row_threads(t, a) * rows);
  const std::int64_t by_shared = static_cast<std::int64_t>(device.shared_memory_per_block / shared_bytes(t, a));
  const std::int64_t resident = (by_registers < by_shared ? by_registers : by_shared) * device.sm_count;
  const std::int64_t sets = divide_up(a.rows, rows);
  return static_cast<unsigned>(divide_up(sets, divide_up(sets, resident)));
}

template <class X>
Status launch_for(const NormQuantForward& a, const LaunchShape& shape, Stream stream) {
  constexpr int V = 16 / sizeof(X);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  return launch_kernel(forward_staged<X, V, 16 / V, 32>, shape, stream, a, per_column);
}

Status launch(const Variant<NormQuantForward>& variant, const NormQuantForward& a, const DeviceInfo& device, void*,
              Stream stream) {
  const Tuning& t = variant.tuning;
  LaunchShape shape;
  shape.block = dim3{static_cast<unsigned>(row_threads(t, a)), static_cast<unsigned>(block_rows(t, a)), 1};
  shape.grid = dim3{blocks(t, a, device), 1, 1};
  shape.shared_bytes = shared_bytes(t, a);
  shape.overlap = device.compute_capability >= 90;
  if (a.x.type == DType::float32) return launch_for<float>(a, shape, stream);
  if (a.x.type == DType::float16) return launch_for<half_t>(a, shape, stream);
  return launch_for<bfloat16_t>(a, shape, stream);
}

constexpr Variant<NormQuantForward> row(std::string_view name, std::string_view summary, int lanes, int elements) {
  Tuning tuning;
  tuning.lanes = lanes;
  tuning.elements = elements;
  tuning.stages = stages;
  return {name, summary, tuning, true, why_not, no_workspace, requests_algorithmic_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_staged() {
  // Names: e = elements a thread.
  static const std::vector<Variant<NormQuantForward>> table = {
      row("staged_e16", "next rows by asynchronous copies, 16 elements a thread", 32, 16),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
