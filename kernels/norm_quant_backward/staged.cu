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
#include "algorithms.hpp"
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/staged_launch.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = backward_staged_launch;

/// The calling thread's rows on their way into shared memory: `next` is the first whose copies have not started.
template <class Facts, class H, int V, int K, int Lanes, class Columns>
struct RowsUnderWay {
  const NormQuantBackward& a;
  const StagedRow<K>& staged;
  const Columns& columns;
  int left;           ///< columns from columns.first to the row's end
  std::int64_t step;  ///< from a row of the thread to its next
  bool ahead;         ///< asks for rows before their copies start
  std::int64_t next;
  const H *next_h, *next_dy, *next_dresidual;  ///< where it starts in memory: kept up by additions
  AsyncCopies copies = {};

  /// Asks for what the block reads of a row, h and dy and all.
  __device__ __forceinline__ void prefetch(std::int64_t row) const {
    const int first = columns.first < 0 ? 0 : columns.first, share = static_cast<int>(blockDim.x) * K * V;
    const std::int64_t count = left < share ? left : share;
    const auto prefetch_of = [&](const ConstMatrix& matrix) {
      prefetch_to_l2(static_cast<const H*>(matrix.data) + row * matrix.ld + first, count * sizeof(H));
    };
    prefetch_of(a.h);
    prefetch_of(a.dy);
    if (Facts::dresidual(a)) prefetch_of(a.dresidual);
  }

  __device__ __forceinline__ void start_next(int stage) {
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
  }

  /// Waits until at most `pending` rows, 0 or 1, are still under way.
  __device__ __forceinline__ void wait(int pending) {
    if (pending == 1) {
      copies.template wait<1>();
    } else {
      copies.template wait<0>();
    }
  }
};

/// Places of all tensors behind the scratch of the block's reductions.
template <class Facts, int K>
__device__ __forceinline__ StagedRow<K> staged_row(const NormQuantBackward& a, bool clustered, int stages) {
  const StagedPackets<K> h(blockDim.y * tile_scratch_bytes(clustered)), dy = h.behind(stages);
  const StagedPackets<K> dresidual = dy.behind(stages);
  const StagedPackets<K> weight = dresidual.behind(Facts::dresidual(a) ? stages : 0);
  return {h, dy, dresidual, weight, weight.behind(1)};
}

/// The weight, ones where there is none: to `weights`, or with the bias to shared memory.
template <class Facts, bool vectors_staged, class H, int V, int K, int Kept, class Columns>
__device__ __forceinline__ void load_vectors(const NormQuantBackward& a, const Columns& columns,
                                             const StagedRow<K>& staged, Packet<H, V> (&weights)[Kept]) {
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
}

/// A row that has been looked at once.
struct LookedAt {
  std::int64_t row;
  int stage;
  float mean, rstd;
  float sums[2], largest;
};

template <class H, int V, int K, int Lanes, bool Clustered, bool Aligned, Form form>
__global__ void __launch_bounds__(plan::most_threads(V* K, sizeof(H), Aligned, form, Lanes), 1)
    backward_staged(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column,
                    int cluster_stages, bool early, bool ahead) {
  using Facts = Known<form, H>;
  using Columns = TileColumns<V, Lanes, Aligned>;
  constexpr bool with_dbias = sums_dbias(form), vectors_staged = with_dbias;
  const int stages = Clustered ? cluster_stages : plan::most_stages(false);
  TileThreads<Lanes, Clustered, RowsWait::alone> threads(shared_memory<float>() +
                                                         threadIdx.y * (tile_scratch_bytes(Clustered) / sizeof(float)));

  // Rows one after the other go to different multiprocessors, so that each has as many as the others, or one less. Where
  // rows are not aligned, those of a block all start equally far past an aligned address (rows_alike).
  const unsigned set = Clustered ? blockIdx.x / cluster_blocks() : blockIdx.x;
  const unsigned sets = Clustered ? gridDim.x / cluster_blocks() : gridDim.x;
  const std::int64_t step = static_cast<std::int64_t>(sets) * blockDim.y;
  std::int64_t row = static_cast<std::int64_t>(threadIdx.y) * sets + set;
  const auto lead = [&] {
    return Aligned ? 0U
                   : reinterpret_cast<std::uintptr_t>(static_cast<const H*>(a.h.data) + set * a.h.ld) / sizeof(H) % V;
  };
  Columns columns(threads.place(), K, static_cast<int>(a.columns), true, static_cast<unsigned>(lead()));
  const int left = columns.left;
  const StagedRow<K> staged = staged_row<Facts, K>(a, Clustered, stages);
  const auto at = [&](const auto& matrix) { return static_cast<const H*>(matrix.data) + row * matrix.ld; };
  RowsUnderWay<Facts, H, V, K, Lanes, Columns> under_way = {
      a, staged, columns, left, step, ahead, row, at(a.h), at(a.dy), Facts::dresidual(a) ? at(a.dresidual) : nullptr};
  if (threadIdx.x == 0) {
    for (std::int64_t first = row; first < a.rows && first < row + 2 * step; first += step) under_way.prefetch(first);
  }
  if (early) let_next_launch_start();
  wait_for_earlier_launches();

  for (int stage = 0; stage < stages; ++stage) {
    under_way.start_next(stage);
    staged.h.clear_outside(stage, columns, left);
    staged.dy.clear_outside(stage, columns, left);
  }
  threads.begin();
  const bool recompute = Facts::out(a) || Facts::codes(a), layer = Facts::layer(a);
  RowStatistics upcoming = statistics_or_zeros<Facts>(a, row);
  Packet<H, V> weights[vectors_staged ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  load_vectors<Facts, vectors_staged>(a, columns, staged, weights);
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
    under_way.start_next(one.stage);
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
    upcoming = statistics_or_zeros<Facts>(a, row + step);
    under_way.wait(pending);
    if constexpr (!Aligned) {
      staged.h.template trim<H>(stage, columns);
      staged.dy.template trim<H>(stage, columns);
    }
    const Source source = {staged, weights, stage};
    Row{a, source, columns, row, now.mean, now.rstd}.first_look(recompute, dweight, dbias, now.sums, now.largest);
    reduce_row(threads, layer, recompute, now.sums, now.largest, [&] {
      if (Clustered && before.row >= 0) finish(before);
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

template <class H, Form form>
Status launch_form(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials,
                   const LaunchShape& shape, int stages, bool early, Stream stream) {
  constexpr int V = 16 / sizeof(H);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  const auto run = [&](auto kernel) {
    return launch_kernel(kernel, shape, stream, a, partials, per_column, stages, early, plan::asks_ahead(t, form));
  };
  if (plan::takes_any_alignment(t)) {
    constexpr Form shifted = plan::kernel_form(form, true);
    if (t.elements == 16) return run(backward_staged<H, V, 16 / V, 32, false, false, shifted>);
    return run(backward_staged<H, V, 32 / V, 32, false, false, shifted>);
  }
  if (t.cluster > 1) return run(backward_staged<H, V, 32 / V, 32, true, true, form>);
  if (t.lanes == 8) return run(backward_staged<H, V, 16 / V, 8, false, true, form>);
  if (t.elements == 8) return run(backward_staged<H, V, 8 / V, 32, false, true, form>);
  if (t.elements == 16) return run(backward_staged<H, V, 16 / V, 32, false, true, form>);
  return run(backward_staged<H, V, 32 / V, 32, false, true, form>);
}

Status launch(const Variant<NormQuantBackward>& variant, const NormQuantBackward& a, const DeviceInfo& device,
              void* workspace, Stream stream) {
  const Tuning& t = variant.tuning;
  const Walk walk = plan::walk_of(t, a, device);
  const std::int64_t threads = plan::row_threads(t, a);
  const ColumnPartials partials = column_partials(a, walk.sets, workspace);
  return launch_with_sums(a, partials, device, stream, true, [&] {
    LaunchShape shape;
    shape.block = dim3{static_cast<unsigned>(threads), static_cast<unsigned>(walk.rows), 1};
    shape.grid = dim3{static_cast<unsigned>(walk.sets * t.cluster), 1, 1};
    shape.shared_bytes = plan::shared_bytes(t, a, walk.rows, walk.stages);
    shape.cluster = static_cast<unsigned>(t.cluster);
    shape.overlap = device.compute_capability >= 90;
    const bool early = overlap_of(shape.grid.x, threads * walk.rows, device.sm_count).early;
    return launch_for_type(a.h.type, [&](auto type) {
      using H = typename decltype(type)::type;
      return with_form<Form::rms, Form::rms_residual, Form::layer, Form::rms_gradient>(form_of(a), [&](auto form) {
        return launch_form<H, form>(t, a, partials, shape, walk.stages, early, stream);
      });
    });
  });
}

// Names: e = elements a thread, l = threads a row when fewer than a warp, c = blocks a row.
constexpr VariantRow rows[] = {
    {.name = "staged_l8_e16",
     .summary = "next rows by asynchronous copies, 4 rows a warp, 16 elements a thread",
     .lanes = 8,
     .elements = 16,
     .stages = plan::most_stages(false)},
    {.name = "staged_e8",
     .summary = "next rows by asynchronous copies, 8 elements a thread",
     .lanes = 32,
     .elements = 8,
     .stages = plan::most_stages(false)},
    {.name = "staged_e16",
     .summary = "next rows by asynchronous copies, 16 elements a thread",
     .lanes = 32,
     .elements = 16,
     .stages = plan::most_stages(false)},
    {.name = "staged_e32",
     .summary = "next rows by asynchronous copies, 32 elements a thread",
     .lanes = 32,
     .elements = 32,
     .stages = plan::most_stages(false)},
    {.name = "staged_c2_e32",
     .summary = "32 elements a thread, rows shared by 2 blocks",
     .lanes = 32,
     .elements = 32,
     .cluster = 2,
     .stages = plan::most_stages(true)},
    {.name = "staged_c4_e32",
     .summary = "32 elements a thread, rows shared by 4 blocks",
     .lanes = 32,
     .elements = 32,
     .cluster = 4,
     .stages = plan::most_stages(true)},
    {.name = "staged_c8_e32",
     .summary = "32 elements a thread, rows shared by 8 blocks",
     .lanes = 32,
     .elements = 32,
     .cluster = 8,
     .stages = plan::most_stages(true)},
    {.name = "staged_c16_e32",
     .summary = "32 elements a thread, rows shared by 16 blocks",
     .lanes = 32,
     .elements = 32,
     .cluster = 16,
     .stages = plan::most_stages(true)},
    {.name = "staged_shifted_e16",
     .summary = "any alignment and N, 16 elements a thread",
     .lanes = 32,
     .elements = 16,
     .access_bytes = 1,
     .stages = plan::most_stages(false),
     .sums_follow_alignment = true},
    {.name = "staged_shifted_e32",
     .summary = "any alignment and N, 32 elements a thread",
     .lanes = 32,
     .elements = 32,
     .access_bytes = 1,
     .stages = plan::most_stages(false),
     .sums_follow_alignment = true},
};

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_staged() {
  static const auto table = variant_table<NormQuantBackward>({.why_not = plan::why_not,
                                                              .workspace_bytes = plan::workspace_bytes,
                                                              .requested_bytes = requests_partials_twice,
                                                              .launch = launch,
                                                              .device_lacks = lacks_clusters,
                                                              .row_invariant = true},
                                                             rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
