// norm_quant_backward, one pass, persistent: each block walks over rows; while it works on one, asynchronous copies bring
// the next ones into shared memory. The weight and the sums of dweight and dbias over the block's rows stay in registers;
// the row itself is read from shared memory twice, before and after the reduction.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Bytes an element (bfloat16): 4 read + 2 written, + 2 with the recomputed out, + 2 with dresidual. About 20 float32
// operations. One reduction a row: c1, c2 and absmax travel together. The blocks' sums are added by a second kernel, always
// in the same order. Long rows are shared by the blocks of a cluster.
#include "algorithms.hpp"
#include "device/backward_steps.cuh"
#include "device/column_sums.cuh"
#include "device/overlap.cuh"
#include "device/staged_packets.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr int stages = 3;  ///< rows of a block: one at work, two on their way

/// Threads of the largest block: sums of dweight, and of dbias, take a register an element each, the weight half of one,
/// and all else some 50.
constexpr int most_threads(int elements, bool dbias) {
  if (elements <= 8) return dbias ? 768 : 1024;
  if (elements <= 16) return dbias ? 512 : 768;
  return dbias ? 384 : 512;
}

/// Adds the block's rows side by side (threadIdx.y), always in the same order; the sums are left with threadIdx.y == 0.
/// `slots`: one float for every column of the row.
template <int V, int K, class Columns>
__device__ __forceinline__ void add_rows_of_block(float (&sums)[K][V], const Columns& columns, float* slots) {
  for (unsigned y = 1; y < blockDim.y; ++y) {
    __syncthreads();
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (threadIdx.y == y && columns.inside(k)) {
        store_elements<float>(slots, columns.first + columns.offset(k), sums[k]);
      }
    }
    __syncthreads();
    if (threadIdx.y != 0) continue;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!columns.inside(k)) continue;
      float other[V];
      load_elements<float>(slots, columns.first + columns.offset(k), other);
#pragma unroll
      for (int i = 0; i < V; ++i) sums[k][i] += other[i];
    }
  }
}

/// Hands the block's column sums over to the sum over blocks.
template <int V, int K, class Columns>
__device__ __forceinline__ void hand_over(float* partial, std::int64_t part, std::int64_t row_length,
                                          const Columns& columns, float (&sums)[K][V]) {
  if (partial == nullptr) return;
  add_rows_of_block(sums, columns, shared_memory<float>());
  if (threadIdx.y != 0) return;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (columns.inside(k)) {
      store_elements<float>(partial, part * row_length + columns.first + columns.offset(k), sums[k]);
    }
  }
}

/// The reduction that a row needs, no more.
template <class Threads>
__device__ __forceinline__ void reduce_row(Threads& threads, bool layer, bool absmax_wanted, float (&sums)[2],
                                           float& largest) {
  if (layer) {
    absmax_wanted ? threads.template reduce<2>(sums, largest) : threads.template reduce<2, false>(sums, largest);
  } else {
    absmax_wanted ? threads.reduce(sums[0], largest) : static_cast<void>(sums[0] = threads.sum(sums[0]));
  }
}

template <class H, int V, int K, int Lanes, bool Clustered, bool with_dbias>
__global__ void __launch_bounds__(most_threads(V* K, with_dbias))
    backward_staged(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column) {
  overlap_launches();
  TileThreads<Lanes, Clustered> threads(shared_memory<float>() +
                                        threadIdx.y * (tile_scratch_bytes<Clustered>() / sizeof(float)));
  TileColumns<V, Lanes, true> columns(threads.place(), K, static_cast<int>(a.columns), true, 0);
  const int left = columns.left;
  const bool with_dresidual = a.dresidual.given();
  const StagedPackets<K> staged_h(blockDim.y * tile_scratch_bytes<Clustered>()),
      staged_dy = staged_h.behind(stages), staged_dresidual = staged_dy.behind(stages);

  const unsigned set = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  const unsigned sets = Clustered ? gridDim.x / cluster_blocks() : gridDim.x;
  const std::int64_t step = static_cast<std::int64_t>(sets) * blockDim.y;
  std::int64_t row = static_cast<std::int64_t>(set) * blockDim.y + threadIdx.y, next = row;
  const auto at = [&](const ConstMatrix& matrix) {
    return static_cast<const H*>(matrix.data) + next * matrix.ld + columns.first;
  };
  AsyncCopies copies;
  const auto start_next = [&](int stage) {
    if (next < a.rows) {
      staged_h.start(copies, stage, at(a.h), columns, left);
      staged_dy.start(copies, stage, at(a.dy), columns, left);
      if (with_dresidual) staged_dresidual.start(copies, stage, at(a.dresidual), columns, left);
    } else {  // rows past the end keep the barriers company, and add zeros to the sums
      staged_h.clear(stage);
      staged_dy.clear(stage);
    }
    copies.end_group();
    next += step;
  };
#pragma unroll
  for (int stage = 0; stage < stages; ++stage) {
    start_next(stage);
    staged_h.clear_outside(stage, columns, left);
    staged_dy.clear_outside(stage, columns, left);
  }

  const bool layer = a.norm == NormKind::layer, recompute = a.recomputed.given(), biased = a.bias.given();
  const bool saved = a.quant_scale != nullptr, absmax_wanted = recompute && !saved;
  const auto statistics_of = [&](std::int64_t of) {
    return of < a.rows ? row_statistics(a, of) : RowStatistics{0.0F, 0.0F};
  };
  RowStatistics upcoming = statistics_of(row);
  Packet<H, V> weights[K];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    if (a.weight.given()) {
      columns.load(static_cast<const H*>(a.weight.data), k, weights[k]);
    } else {
      float ones[V];
#pragma unroll
      for (int i = 0; i < V; ++i) ones[i] = 1.0F;
      weights[k].pack(ones);
    }
  }
  // h - mean of packet k.
  const auto centred = [&](int stage, int k, float mean, float(&values)[V]) {
    staged_h.template read<H>(stage, k, values);
    if (!layer) return;
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] -= mean;
  };
  // What becomes codes, as in the forward: (h - mean) * weight, or y itself when there is a bias.
  const auto times_weight = [&](int k, const float(&weight)[V], float rstd, float(&values)[V]) {
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] *= weight[i];
    if (!biased) return;
    Packet<H, V> packet;
    float bias[V];
    columns.load(static_cast<const H*>(a.bias.data), k, packet);
    packet.unpack(bias);
#pragma unroll
    for (int i = 0; i < V; ++i) values[i] = fmaf(values[i], rstd, bias[i]);
  };

  float dweight[K][V] = {}, dbias[with_dbias ? K : 1][V] = {};  // NOLINT(bugprone-branch-clone): the same where K is 1
  int stage = 0;
#pragma unroll 1
  for (std::int64_t block_row = row - threadIdx.y; block_row < a.rows; block_row += step, row += step) {
    const bool live = row < a.rows;
    columns.left = live ? left : 0;
    const auto [mean, rstd] = upcoming;
    upcoming = statistics_of(row + step);
    copies.template wait<stages - 1>();

    float sums[2] = {0.0F, 0.0F}, largest = 0.0F;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float h[V], dy[V], weight[V];
      weights[k].stay_packed();
      weights[k].unpack(weight);
      centred(stage, k, mean, h);
      staged_dy.template read<H>(stage, k, dy);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const float xhat = h[i] * rstd, wdy = dy[i] * weight[i];
        dweight[k][i] = fmaf(dy[i], xhat, dweight[k][i]);
        if constexpr (with_dbias) dbias[k][i] += dy[i];
        sums[0] = fmaf(xhat, wdy, sums[0]);
        if (layer) sums[1] += wdy;
      }
      if (!absmax_wanted || !columns.inside(k)) continue;
      times_weight(k, weight, rstd, h);
#pragma unroll
      for (int i = 0; i < V; ++i) largest = larger_magnitude(largest, h[i]);
    }
    reduce_row(threads, layer, absmax_wanted, sums, largest);

    // dx = wdy * rstd - xhat * (c1 * rstd) - c2 * rstd + dresidual
    const float scaled_c1 = -sums[0] * per_column * rstd, scaled_c2 = -sums[1] * per_column * rstd;
    const float in_value = biased ? 1.0F : rstd;  // y = value * in_value
    RowScale scale = {0.0F, 0.0F};
    if (recompute && live) {
      scale = saved ? row_scale_from_saved(a.quant_scale[row]) : row_scale(magnitude_bits(largest * in_value));
    }
    const float factor = code_factor(scale.quant * rstd, a.rounding);
    const bool overflowed = live && absmax_wanted && is_infinite_magnitude(magnitude_bits(largest)) &&
                            is_finite_magnitude(magnitude_bits(rstd));
    H* dx = static_cast<H*>(a.dx.data) + row * a.dx.ld;
    H* out = static_cast<H*>(a.recomputed.out.data) + row * a.recomputed.out.ld;
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (!columns.inside(k)) continue;
      float h[V], dy[V], weight[V];
      weights[k].stay_packed();
      weights[k].unpack(weight);
      centred(stage, k, mean, h);
      staged_dy.template read<H>(stage, k, dy);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        dy[i] = fmaf(h[i] * rstd, scaled_c1, fmaf(dy[i] * weight[i], rstd, scaled_c2));
      }
      if (with_dresidual) {
        float added[V];
        staged_dresidual.template read<H>(stage, k, added);
#pragma unroll
        for (int i = 0; i < V; ++i) dy[i] += added[i];
      }
      Packet<H, V> packet;
      packet.pack(dy);
      columns.store(dx, k, packet);
      if (a.dx_residual.given()) {
        store_typed(a.dx_residual.data, a.dx_residual.type, row * a.dx_residual.ld + columns.first + columns.offset(k),
                    dy);
      }
      if (!recompute || overflowed) continue;
      times_weight(k, weight, rstd, h);
      if (biased) {
        codes_of(h, scale.quant, a.rounding, saved ? ScaleOrigin::saved : ScaleOrigin::own, h);
      } else {
        nearest_codes(h, factor);
        if (saved) clamp_codes(h);
      }
      if (a.recomputed.codes != nullptr) {
        columns.store(a.recomputed.codes + row * a.recomputed.ld_codes, k, packed_codes(h, scale));
      }
      if (a.recomputed.out.given()) {
#pragma unroll
        for (int i = 0; i < V; ++i) h[i] *= scale.dequant;
        packet.pack(h);
        columns.store(out, k, packet);
      }
    }
    if (overflowed) scale = recompute_overflowed<H>(a, row, threads.place(), threads.count(), {mean, rstd});
    if (live && threads.place() == 0 && a.recomputed.dequant_scale != nullptr) {
      a.recomputed.dequant_scale[row] = scale.dequant;
    }
    start_next(stage);
    stage = stage + 1 == stages ? 0 : stage + 1;
  }

  columns.left = left;
  __syncthreads();  // the rows under way and the reductions' scratch are not used any more: their memory adds up rows
  hand_over(partials.dweight, set, a.columns, columns, dweight);
  if constexpr (with_dbias) {
    __syncthreads();
    hand_over(partials.dbias, set, a.columns, columns, dbias);
  }
  threads.finish();
}

template <class Tensor>
bool differs(const Tensor& tensor, DType type) {
  return tensor.given() && tensor.type != type;
}

int elements_per_packet(const NormQuantBackward& a) { return 16 / static_cast<int>(size_of(a.h.type)); }

/// Threads of a row in one block: as many whole tiles as cover the block's share.
std::int64_t row_threads(const Tuning& t, const NormQuantBackward& a) {
  return divide_up(divide_up(a.columns, static_cast<std::int64_t>(t.lanes) * t.elements), t.cluster) * t.lanes;
}

/// Rows of a block: as many as fill eight warps, but not before every multiprocessor has a block.
int block_rows(const Tuning& t, const NormQuantBackward& a, const DeviceInfo& device) {
  if (t.cluster > 1) return 1;
  const std::int64_t threads = row_threads(t, a);
  const int least = t.lanes < warp_threads ? warp_threads / t.lanes : 1;
  int rows = threads >= 256 ? 1 : static_cast<int>(256 / threads);
  while (rows / 2 >= least && divide_up(a.rows, rows) < device.sm_count) rows /= 2;
  return rows < least ? least : rows;
}

/// Scratch of the reductions and rows under way; later the column sums of one row.
std::size_t shared_bytes(const Tuning& t, const NormQuantBackward& a, const DeviceInfo& device) {
  const std::size_t rows = block_rows(t, a, device), threads = row_threads(t, a) * rows;
  const int tensors = a.dresidual.given() ? 3 : 2;
  const std::size_t scratch = rows * (t.cluster > 1 ? tile_scratch_bytes<true>() : tile_scratch_bytes<false>());
  const std::size_t walk = scratch + tensors * staged_bytes(threads, t.elements / elements_per_packet(a), stages);
  const std::size_t sums = rows > 1 ? sizeof(float) * static_cast<std::size_t>(a.columns) : 0;
  return walk > sums ? walk : sums;
}

/// Blocks (or clusters) that walk over the rows: as many as fit the device at a time, shared out so that all have the same
/// number of rows, or one less.
std::int64_t sets(const Tuning& t, const NormQuantBackward& a, const DeviceInfo& device) {
  const int rows = block_rows(t, a, device);
  const std::int64_t by_registers = most_threads(t.elements, a.dbias.given()) / (row_threads(t, a) * rows);
  const auto by_shared = static_cast<std::int64_t>(device.shared_memory_per_block / shared_bytes(t, a, device));
  const std::int64_t a_multiprocessor = by_registers < by_shared ? by_registers : by_shared;
  const std::int64_t resident = (a_multiprocessor < 1 ? 1 : a_multiprocessor) * device.sm_count / t.cluster;
  const std::int64_t row_sets = divide_up(a.rows, rows);
  if (row_sets == 0) return 0;
  return divide_up(row_sets, divide_up(row_sets, resident < 1 ? 1 : resident));
}

std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  const DType type = a.h.type;
  if (differs(a.dy, type) || differs(a.dx, type) || differs(a.dresidual, type) || differs(a.weight, type) ||
      differs(a.bias, type) || differs(a.recomputed.out, type)) {
    return "needs dy, dx, dresidual, weight, bias and out in h's type";
  }
  if (t.cluster > device.max_cluster_blocks) {
    return "needs clusters of " + std::to_string(t.cluster) + " blocks, and the device has " +
           std::to_string(device.max_cluster_blocks);
  }
  const std::int64_t threads = row_threads(t, a);
  if (threads > (t.lanes < warp_threads ? t.lanes : most_threads(t.elements, a.dbias.given()))) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (a.columns <= (t.cluster - 1) * threads * t.elements) {
    return "the row of " + std::to_string(a.columns) + " columns leaves blocks of the cluster without work";
  }
  if (shared_bytes(t, a, device) > device.shared_memory_per_block) {
    return "the rows under way do not fit the shared memory of a block";
  }
  return why_not_packets(elements_per_packet(a), a);
}

std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                            const DeviceInfo& device) {
  return column_partials_bytes(a, sets(variant.tuning, a, device));
}

/// The partial sums are written once and read once.
std::int64_t requested_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                             const DeviceInfo& device) {
  return algorithmic_bytes(a) + 2 * static_cast<std::int64_t>(workspace_bytes(variant, a, device));
}

template <class H, bool with_dbias>
Status launch_for(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials, const LaunchShape& shape,
                  Stream stream) {
  constexpr int V = 16 / sizeof(H);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto run = [&](auto kernel) { return launch_kernel(kernel, shape, stream, a, partials, per_column); };
  if (t.cluster > 1) {
    if (t.elements == 32) return run(backward_staged<H, V, 32 / V, 32, true, with_dbias>);
    return run(backward_staged<H, V, 16 / V, 32, true, with_dbias>);
  }
  if (t.lanes == 8) return run(backward_staged<H, V, 16 / V, 8, false, with_dbias>);
  if (t.elements == 8) return run(backward_staged<H, V, 8 / V, 32, false, with_dbias>);
  if (t.elements == 16) return run(backward_staged<H, V, 16 / V, 32, false, with_dbias>);
  return run(backward_staged<H, V, 32 / V, 32, false, with_dbias>);
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const Tuning& t = variant.tuning;
  const std::int64_t count = sets(t, a, device);
  const ColumnPartials partials = column_partials(a, count, workspace);
  if (a.rows > 0) {
    LaunchShape shape;
    shape.block = dim3{static_cast<unsigned>(row_threads(t, a)), static_cast<unsigned>(block_rows(t, a, device)), 1};
    shape.grid = dim3{static_cast<unsigned>(count * t.cluster), 1, 1};
    shape.shared_bytes = shared_bytes(t, a, device);
    shape.cluster = static_cast<unsigned>(t.cluster);
    shape.overlap = device.compute_capability >= 90;
    const auto run = [&](auto with_dbias) {
      constexpr bool dbias = decltype(with_dbias)::value;
      if (a.h.type == DType::float32) return launch_for<float, dbias>(t, a, partials, shape, stream);
      if (a.h.type == DType::float16) return launch_for<half_t, dbias>(t, a, partials, shape, stream);
      return launch_for<bfloat16_t, dbias>(t, a, partials, shape, stream);
    };
    Status status = a.dbias.given() ? run(std::true_type{}) : run(std::false_type{});
    if (!status.ok()) return status;
  }
  if (!a.dweight.given() && !a.dbias.given()) return {};
  return launch_sum_partials(a, partials, device, stream);
}

constexpr Variant<NormQuantBackward> row(std::string_view name, std::string_view summary, int lanes, int elements,
                                         int cluster = 1) {
  Tuning tuning;
  tuning.lanes = lanes;
  tuning.elements = elements;
  tuning.cluster = cluster;
  tuning.stages = stages;
  return {name, summary, tuning, true, why_not, workspace_bytes, requested_bytes, launch};
}

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_staged() {
  // Names: e = elements a thread, l = threads a row when fewer than a warp, c = blocks a row.
  static const std::vector<Variant<NormQuantBackward>> table = {
      row("staged_l8_e16", "next rows by asynchronous copies, 4 rows a warp, 16 elements a thread", 8, 16),
      row("staged_e8", "next rows by asynchronous copies, 8 elements a thread", 32, 8),
      row("staged_e16", "next rows by asynchronous copies, 16 elements a thread", 32, 16),
      row("staged_e32", "next rows by asynchronous copies, 32 elements a thread", 32, 32),
      row("staged_c2_e16", "16 elements a thread, rows shared by 2 blocks", 32, 16, 2),
      row("staged_c4_e16", "16 elements a thread, rows shared by 4 blocks", 32, 16, 4),
      row("staged_c8_e16", "16 elements a thread, rows shared by 8 blocks", 32, 16, 8),
      row("staged_c16_e16", "16 elements a thread, rows shared by 16 blocks", 32, 16, 16),
      row("staged_c2_e32", "32 elements a thread, rows shared by 2 blocks", 32, 32, 2),
      row("staged_c4_e32", "32 elements a thread, rows shared by 4 blocks", 32, 32, 4),
      row("staged_c8_e32", "32 elements a thread, rows shared by 8 blocks", 32, 32, 8),
      row("staged_c16_e32", "32 elements a thread, rows shared by 16 blocks", 32, 32, 16),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
