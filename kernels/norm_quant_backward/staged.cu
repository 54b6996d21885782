// norm_quant_backward, one pass, persistent: a block a multiprocessor, whose rows side by side walk over the matrix each at
// its own pace; while threads work on one row, asynchronous copies bring their next ones into shared memory. The weight and
// the sums of dweight and dbias stay in registers; the row itself is read from shared memory twice, before and after the
// reduction.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Bytes an element (bfloat16): 4 read + 2 written, + 2 with the recomputed out, + 2 with dresidual. About 20 float32
// operations. One reduction a row: c1, c2 and absmax travel together. The blocks' sums, one row of float32 each, are added by
// a second kernel, always in the same order. Long rows are shared by the blocks of a cluster. Rows of any alignment and length
// are served by shifted packets: a block takes rows that all start equally far past an aligned address, so that its columns,
// and with them the sums in registers, stay the same.
#include <algorithm>
#include <numeric>

#include "algorithms.hpp"
#include "device/overlap.cuh"
#include "device/support.hpp"
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// Rows that a thread has at work and under way. A cluster looks at a row while it finishes the one before: 3 where shared memory
/// holds them. Elsewhere a third row brought nothing (docs/experiments/2026-11-29-short-rows-and-layer-norm.md).
constexpr int most_stages(bool clustered) { return clustered ? 3 : 2; }

/// Threads of the largest block: sums of dweight, and of dbias, take a register an element each; without dbias the weight
/// half of one (a whole one in float32), with it the weight is in shared memory; and all else takes some 60. At 32 elements
/// of 16 bits 512 threads have 128 each, and nothing spills.
constexpr int most_threads(int elements, std::size_t element_bytes, bool aligned, Form form, int lanes) {
  const bool heavy = sums_dbias(form), wide = element_bytes == 4;
  if (!aligned) return elements <= 16 ? (heavy ? 384 : 512) : heavy ? 256 : 384;
  if (elements <= 8) return heavy || wide ? 640 : 1024;
  if (elements <= 16) return heavy || wide ? 512 : lanes < warp_threads && form == Form::rms_gradient ? 640 : 768;
  if (form == Form::any) return wide ? 256 : 384;
  return heavy && wide ? 256 : wide ? 384 : 512;
}

/// A row that has been looked at once.
struct LookedAt {
  std::int64_t row;
  int stage;
  float mean, rstd;
  float sums[2], largest;
};

template <class H, int V, int K, int Lanes, bool Clustered, bool Aligned, Form form>
__global__ void __launch_bounds__(most_threads(V* K, sizeof(H), Aligned, form, Lanes), 1)
    backward_staged(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column,
                    int cluster_stages, bool early, bool ahead) {
  using Facts = Known<form, H>;
  using Columns = TileColumns<V, Lanes, Aligned>;
  constexpr bool with_dbias = sums_dbias(form), vectors_staged = with_dbias;
  const int stages = Clustered ? cluster_stages : most_stages(false);
  TileThreads<Lanes, Clustered, RowsWait::alone> threads(
      shared_memory<float>() + threadIdx.y * (tile_scratch_bytes<Clustered>() / sizeof(float)));

  // Rows one after the other go to different multiprocessors, so that each has as many as the others, or one less. Where
  // rows are not aligned, those of a block all start equally far past an aligned address (rows_alike).
  const unsigned set = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  const unsigned sets = Clustered ? gridDim.x / cluster_blocks() : gridDim.x;
  const std::int64_t step = static_cast<std::int64_t>(sets) * blockDim.y;
  std::int64_t row = static_cast<std::int64_t>(threadIdx.y) * sets + set, next = row;
  const auto lead = [&] {
    return Aligned ? 0U
                   : reinterpret_cast<std::uintptr_t>(static_cast<const H*>(a.h.data) + set * a.h.ld) / sizeof(H) % V;
  };
  Columns columns(threads.place(), K, static_cast<int>(a.columns), true, static_cast<unsigned>(lead()));
  const int left = columns.left;
  const StagedPackets<K> staged_h(blockDim.y * tile_scratch_bytes<Clustered>()), staged_dy = staged_h.behind(stages);
  const StagedPackets<K> staged_dresidual = staged_dy.behind(stages);
  const StagedPackets<K> staged_weight = staged_dresidual.behind(Facts::dresidual(a) ? stages : 0);
  const StagedRow<K> staged = {staged_h, staged_dy, staged_dresidual, staged_weight, staged_weight.behind(1)};

  // Where the rows that come next start in memory: kept up by additions.
  const auto at = [&](const auto& matrix) { return static_cast<const H*>(matrix.data) + row * matrix.ld; };
  const H *next_h = at(a.h), *next_dy = at(a.dy), *next_dresidual = Facts::dresidual(a) ? at(a.dresidual) : nullptr;
  // Asks for what the block reads of a row, h and dy and all.
  const auto prefetch = [&](std::int64_t of) {
    const int first = columns.first < 0 ? 0 : columns.first, share = static_cast<int>(blockDim.x) * K * V;
    const std::int64_t count = left < share ? left : share;
    const auto prefetch_of = [&](const ConstMatrix& matrix) {
      prefetch_to_l2(static_cast<const H*>(matrix.data) + of * matrix.ld + first, count * sizeof(H));
    };
    prefetch_of(a.h);
    prefetch_of(a.dy);
    if (Facts::dresidual(a)) prefetch_of(a.dresidual);
  };
  if (threadIdx.x == 0) {
    for (std::int64_t first = row; first < a.rows && first < row + 2 * step; first += step) prefetch(first);
  }
  if (early) let_next_launch_start();
  wait_for_earlier_launches();

  AsyncCopies copies;
  const auto start_next = [&](int stage) {
    if (next < a.rows) {
      const bool between = next > 0 && next + 1 < a.rows && a.columns >= V;  // there are rows on both sides
      staged.h.start(copies, stage, next_h, columns, left, between);
      staged.dy.start(copies, stage, next_dy, columns, left, between);
      if (Facts::dresidual(a)) staged.dresidual.start(copies, stage, next_dresidual, columns, left, between);
    } else if (Lanes < warp_threads) {  // rows past the end keep the others of their warp company, and add zeros
      staged.h.clear(stage);
      staged.dy.clear(stage);
    }
    copies.end_group();
    next += step;
    next_h += step * a.h.ld;
    next_dy += step * a.dy.ld;
    if (Facts::dresidual(a)) next_dresidual += step * a.dresidual.ld;
    if (ahead && threadIdx.x == 0 && next < a.rows) prefetch(next);
  };
  for (int stage = 0; stage < stages; ++stage) {
    start_next(stage);
    staged.h.clear_outside(stage, columns, left);
    staged.dy.clear_outside(stage, columns, left);
  }
  threads.begin();

  const bool recompute = Facts::out(a) || Facts::codes(a), layer = Facts::layer(a);
  const bool absmax_wanted = recompute && a.quant_scale == nullptr;
  const auto statistics_of = [&](std::int64_t of) {
    return of < a.rows ? RowStatistics{layer ? a.mean[of] : 0.0F, a.rstd[of]} : RowStatistics{0.0F, 0.0F};
  };
  RowStatistics upcoming = statistics_of(row);
  Packet<H, V> weights[vectors_staged ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
#pragma unroll
  for (int k = 0; k < K; ++k) {
    Packet<H, V> weight;
    if (Facts::weight(a)) {
      columns.load(static_cast<const H*>(a.weight.data), k, weight);
    } else {
      float ones[V];
#pragma unroll
      for (int i = 0; i < V; ++i) ones[i] = columns.has(k, i) ? 1.0F : 0.0F;
      weight.pack(ones);
    }
    if constexpr (vectors_staged) {
      Packet<H, V> bias;
      if (Facts::bias(a)) columns.load(static_cast<const H*>(a.bias.data), k, bias);
      staged.weight.put(0, k, weight);
      staged.bias.put(0, k, bias);
    } else {
      weights[k] = weight;
    }
  }
  if (!early) let_next_launch_start();

  float dweight[K][V] = {}, dbias[with_dbias ? K : 1][V] = {};  // NOLINT(bugprone-branch-clone): the same where K is 1
  using Source = StagedSource<H, V, K, vectors_staged>;
  using Row = BackwardRow<Facts, H, V, K, Source, Columns>;
  // dx and the output of a row whose sums are known; then its place in shared memory is free for another.
  const auto finish = [&](const LookedAt& one) {
    const bool live = Lanes == warp_threads || one.row < a.rows;
    columns.left = live ? left : 0;
    const Source source = {staged, weights, one.stage};
    const Row looked_at = {a, source, columns, one.row, one.mean, one.rstd};
    finish_row<H>(looked_at, threads, per_column, recompute, Facts::bias(a), live, one.sums, one.largest);
    start_next(one.stage);
  };

  // In a cluster the sums of a row travel between the blocks while the row before is finished.
  LookedAt before = {-1, 0, 0.0F, 0.0F, {0.0F, 0.0F}, 0.0F};
  const int pending = Clustered ? stages - 2 : stages - 1;  // rows under way beside the one that is needed now
  int stage = 0;
  // The rows of a warp go on together: until the first of them is past the end.
  const std::int64_t first_of_warp =
      Lanes < warp_threads ? row - static_cast<std::int64_t>(threadIdx.y % (warp_threads / Lanes)) * sets : row;
#pragma unroll 1
  for (std::int64_t leader = first_of_warp; leader < a.rows; leader += step, row += step) {
    columns.left = Lanes == warp_threads || row < a.rows ? left : 0;
    LookedAt now = {row, stage, upcoming.mean, upcoming.rstd, {0.0F, 0.0F}, 0.0F};
    upcoming = statistics_of(row + step);
    if (pending == 2) {
      copies.template wait<2>();
    } else if (pending == 1) {
      copies.template wait<1>();
    } else {
      copies.template wait<0>();
    }
    if constexpr (!Aligned) {
      staged.h.template trim<H>(stage, columns);
      staged.dy.template trim<H>(stage, columns);
    }
    const Source source = {staged, weights, stage};
    Row{a, source, columns, row, now.mean, now.rstd}.first_look(absmax_wanted, dweight, dbias, now.sums, now.largest);
    with_needs(layer, absmax_wanted, [&](auto count, auto with_largest) {
      float sums[count];
#pragma unroll
      for (int i = 0; i < count; ++i) sums[i] = now.sums[i];
      threads.template begin_reduce<count, with_largest>(sums, now.largest);
      if (Clustered && before.row >= 0) finish(before);
      threads.template end_reduce<count, with_largest>(sums, now.largest);
#pragma unroll
      for (int i = 0; i < count; ++i) now.sums[i] = sums[i];
    });
    if constexpr (Clustered) {
      before = now;
    } else {
      finish(now);
    }
    stage = stage + 1 == stages ? 0 : stage + 1;
  }
  if (Clustered && before.row >= 0) finish(before);

  const unsigned rank = Clustered ? cluster_rank() : 0;
  columns.left = left;
  hand_over<Aligned>(a.dweight, partials.dweight, partials, set, a.columns, rank, columns, dweight);
  if constexpr (with_dbias) hand_over<Aligned>(a.dbias, partials.dbias, partials, set, a.columns, rank, columns, dbias);
}

int elements_per_packet(const NormQuantBackward& a) { return 16 / static_cast<int>(size_of(a.h.type)); }
bool takes_any_alignment(const Tuning& t) { return t.access_bytes == 1; }

/// Threads of a row in one block: as many whole tiles as cover the block's share. Shifted packets may begin before the row.
std::int64_t row_threads(const Tuning& t, const NormQuantBackward& a) {
  const std::int64_t shift = takes_any_alignment(t) ? elements_per_packet(a) - 1 : 0;
  return divide_up(divide_up(a.columns + shift, static_cast<std::int64_t>(t.lanes) * t.elements), t.cluster) * t.lanes;
}

/// After so many rows the next starts as far past an aligned address as the first did.
std::int64_t rows_alike(const Tuning& t, const NormQuantBackward& a) {
  return takes_any_alignment(t) ? elements_per_packet(a) / std::gcd<std::int64_t>(a.h.ld, elements_per_packet(a)) : 1;
}

/// The form of the kernel that serves the problem: of those for any alignment some forms have none of their own.
constexpr Form kernel_form(Form form, bool any_alignment) {
  return any_alignment && (form == Form::rms_residual || form == Form::rms_gradient) ? Form::any : form;
}
Form kernel_form(const Tuning& t, const NormQuantBackward& a) {
  return kernel_form(form_of(a), takes_any_alignment(t));
}

int most_threads(const Tuning& t, const NormQuantBackward& a) {
  return most_threads(t.elements, size_of(a.h.type), !takes_any_alignment(t), kernel_form(t, a), t.lanes);
}

std::size_t scratch_bytes(const Tuning& t) {
  return t.cluster > 1 ? tile_scratch_bytes<true>() : tile_scratch_bytes<false>();
}

/// Shared memory of `rows` rows side by side: scratch of the reductions and rows under way, later the rows' column sums.
std::size_t shared_bytes(const Tuning& t, const NormQuantBackward& a, int rows, int stages) {
  const std::size_t threads = row_threads(t, a) * rows;
  const int tensors = a.dresidual.given() ? 3 : 2, vectors = sums_dbias(kernel_form(t, a)) ? 2 : 0;
  const int packets = t.elements / elements_per_packet(a);
  const std::size_t walk = rows * scratch_bytes(t) + tensors * staged_bytes(threads, packets, stages) +
                           staged_bytes(threads, packets, vectors);
  const std::size_t sums = sizeof(float) * threads * t.elements;
  return walk > sums ? walk : sums;
}

/// How a problem is shared out. rows: side by side in a block, as many as registers and shared memory hold, but not before
/// every multiprocessor has a block. sets: blocks, or clusters, that walk over the matrix, a multiple of
/// rows_alike; 0 when there are no rows.
struct Plan {
  int rows = 1, stages = 2;
  std::int64_t sets = 0;
};

Plan plan_for(const Tuning& t, const NormQuantBackward& a, const DeviceInfo& device) {
  const std::int64_t threads = row_threads(t, a);
  const auto fits = [&](int rows, int stages) {
    return shared_bytes(t, a, rows, stages) <= device.shared_memory_per_block;
  };
  Plan plan;
  const int least = t.lanes < warp_threads ? warp_threads / t.lanes : 1;
  const std::int64_t resident = std::max(resident_clusters(device, t.cluster), 1);
  std::int64_t most = t.cluster > 1 ? 1 : most_threads(t, a) / threads;
  if (threads > warp_threads) most = std::min<std::int64_t>(most, most_side_by_side);
  most = std::min(most, divide_up(a.rows, resident));
  plan.rows = std::max(least, static_cast<int>(most / least) * least);
  while (plan.rows > least && !fits(plan.rows, 2)) plan.rows -= least;
  plan.stages = fits(plan.rows, most_stages(t.cluster > 1)) ? most_stages(t.cluster > 1) : 2;
  const std::int64_t alike = rows_alike(t, a), sets = std::min(resident, divide_up(a.rows, plan.rows));
  plan.sets = sets == 0 ? 0 : std::max(alike, sets / alike * alike);
  return plan;
}

std::string why_not(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device) {
  const Tuning& t = variant.tuning;
  if (std::string other = why_not_one_type(a); !other.empty()) return other;
  if (std::string lacking = lacks_clusters(variant, device); !lacking.empty()) return lacking;
  const std::int64_t threads = row_threads(t, a);
  if (threads > (t.lanes < warp_threads ? t.lanes : most_threads(t, a))) {
    return "the row of " + std::to_string(a.columns) + " columns does not fit its registers";
  }
  if (a.columns <= (t.cluster - 1) * threads * t.elements) {
    return "the row of " + std::to_string(a.columns) + " columns leaves blocks of the cluster without work";
  }
  if (shared_bytes(t, a, t.lanes < warp_threads ? warp_threads / t.lanes : 1, 2) > device.shared_memory_per_block) {
    return "the rows under way do not fit the shared memory of a block";
  }
  return takes_any_alignment(t) ? "" : why_not_packets(elements_per_packet(a), a);
}

std::size_t workspace_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                            const DeviceInfo& device) {
  return column_partials_bytes(a, plan_for(variant.tuning, a, device).sets);
}

/// The partial sums are written once and read once.
std::int64_t requested_bytes(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a,
                             const DeviceInfo& device) {
  return algorithmic_bytes(a) + 2 * static_cast<std::int64_t>(workspace_bytes(variant, a, device));
}

/// Whether rows are brought into the L2 before their copies start. Pays where few rows are under way, by 3 to 4% in clusters
/// of 4 blocks and more and by 2% in layer norm; elsewhere it costs as much.
constexpr bool asks_ahead(const Tuning& t, Form form) { return t.cluster >= 4 || form == Form::layer; }

template <class H, Form form>
Status launch_form(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials,
                   const LaunchShape& shape, const Plan& plan, bool early, Stream stream) {
  constexpr int V = 16 / sizeof(H);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto run = [&](auto kernel) {
    return launch_kernel(kernel, shape, stream, a, partials, per_column, plan.stages, early, asks_ahead(t, form));
  };
  if (takes_any_alignment(t)) {
    constexpr Form shifted = kernel_form(form, true);
    if (t.elements == 16) return run(backward_staged<H, V, 16 / V, 32, false, false, shifted>);
    return run(backward_staged<H, V, 32 / V, 32, false, false, shifted>);
  }
  if (t.cluster > 1) return run(backward_staged<H, V, 32 / V, 32, true, true, form>);
  if (t.lanes == 8) return run(backward_staged<H, V, 16 / V, 8, false, true, form>);
  if (t.elements == 8) return run(backward_staged<H, V, 8 / V, 32, false, true, form>);
  if (t.elements == 16) return run(backward_staged<H, V, 16 / V, 32, false, true, form>);
  return run(backward_staged<H, V, 32 / V, 32, false, true, form>);
}

template <class H>
Status launch_for(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials, const LaunchShape& shape,
                  const Plan& plan, bool early, Stream stream) {
  switch (form_of(a)) {
    case Form::rms: return launch_form<H, Form::rms>(t, a, partials, shape, plan, early, stream);
    case Form::rms_residual: return launch_form<H, Form::rms_residual>(t, a, partials, shape, plan, early, stream);
    case Form::layer: return launch_form<H, Form::layer>(t, a, partials, shape, plan, early, stream);
    case Form::rms_gradient: return launch_form<H, Form::rms_gradient>(t, a, partials, shape, plan, early, stream);
    default: return launch_form<H, Form::any>(t, a, partials, shape, plan, early, stream);
  }
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const Tuning& t = variant.tuning;
  const Plan plan = plan_for(t, a, device);
  const ColumnPartials partials = column_partials(a, plan.sets, workspace);
  if (a.rows > 0) {
    LaunchShape shape;
    shape.block = dim3{static_cast<unsigned>(row_threads(t, a)), static_cast<unsigned>(plan.rows), 1};
    shape.grid = dim3{static_cast<unsigned>(plan.sets * t.cluster), 1, 1};
    shape.shared_bytes = shared_bytes(t, a, plan.rows, plan.stages);
    shape.cluster = static_cast<unsigned>(t.cluster);
    shape.overlap = device.compute_capability >= 90;
    const bool early = overlap_of(shape.grid.x, row_threads(t, a) * plan.rows, device.sm_count).early;
    Status status = a.h.type == DType::float32   ? launch_for<float>(t, a, partials, shape, plan, early, stream)
                    : a.h.type == DType::float16 ? launch_for<half_t>(t, a, partials, shape, plan, early, stream)
                                                 : launch_for<bfloat16_t>(t, a, partials, shape, plan, early, stream);
    if (!status.ok()) return status;
  }
  const bool summed = a.rows > 0 && partials.parts == 1;  // by the only block itself
  if (summed || (!a.dweight.given() && !a.dbias.given())) return {};
  return launch_sum_partials(a, partials, device, stream);
}

constexpr Variant<NormQuantBackward> row(std::string_view name, std::string_view summary, int lanes, int elements,
                                         int cluster = 1, int access_bytes = 16) {
  Tuning tuning;
  tuning.access_bytes = access_bytes;
  tuning.lanes = lanes;
  tuning.elements = elements;
  tuning.cluster = cluster;
  tuning.stages = most_stages(cluster > 1);
  return {name, summary, tuning, true, why_not, workspace_bytes, requested_bytes, launch, lacks_clusters};
}

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_staged() {
  // Names: e = elements a thread, l = threads a row when fewer than a warp, c = blocks a row.
  static const std::vector<Variant<NormQuantBackward>> table = {
      row("staged_l8_e16", "next rows by asynchronous copies, 4 rows a warp, 16 elements a thread", 8, 16),
      row("staged_e8", "next rows by asynchronous copies, 8 elements a thread", 32, 8),
      row("staged_e16", "next rows by asynchronous copies, 16 elements a thread", 32, 16),
      row("staged_e32", "next rows by asynchronous copies, 32 elements a thread", 32, 32),
      row("staged_c2_e32", "32 elements a thread, rows shared by 2 blocks", 32, 32, 2),
      row("staged_c4_e32", "32 elements a thread, rows shared by 4 blocks", 32, 32, 4),
      row("staged_c8_e32", "32 elements a thread, rows shared by 8 blocks", 32, 32, 8),
      row("staged_c16_e32", "32 elements a thread, rows shared by 16 blocks", 32, 32, 16),
      row("staged_shifted_e16", "any alignment and N, 16 elements a thread", 32, 16, 1, 1),
      row("staged_shifted_e32", "any alignment and N, 32 elements a thread", 32, 32, 1, 1),
  };
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
