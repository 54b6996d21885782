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
#include "device/tile_threads.cuh"
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/staged_launch.hpp"
#include "norm_quant_backward/staged_packets.cuh"
#include "norm_quant_backward/walk.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = backward_staged_launch;

/// The calling thread's rows on their way into shared memory: `next` is the first whose copies have not started.
template <class Facts, class H, int V, int K, int Lanes, bool Aligned>
struct RowsUnderWay {
  const NormQuantBackward& a;
  const StagedRow<K>& staged;
  const TileColumns<V, Lanes, Aligned>& columns;
  int left;           ///< columns from columns.first to the row's end
  std::int64_t step;  ///< from a row of the thread to its next
  bool ahead;         ///< asks for rows before their copies start
  std::int64_t next;
  const H *next_h, *next_dy, *next_dresidual = nullptr;  ///< where it starts in memory: kept up by additions
  AsyncCopies copies = {};

  __device__ __forceinline__ RowsUnderWay(const NormQuantBackward& args, const StagedRow<K>& staged_rows,
                                          const TileColumns<V, Lanes, Aligned>& columns_of_thread,
                                          const RowsOfThread& rows, bool asks_ahead)
      : a(args),
        staged(staged_rows),
        columns(columns_of_thread),
        left(columns.left),
        step(rows.step),
        ahead(asks_ahead),
        next(rows.first),
        next_h(start_of(a.h, next)),
        next_dy(start_of(a.dy, next)) {
    if (Facts::dresidual(a)) next_dresidual = start_of(a.dresidual, next);
  }

  static __device__ __forceinline__ const H* start_of(const ConstMatrix& matrix, std::int64_t row) {
    return static_cast<const H*>(matrix.data) + row * matrix.ld;
  }

  /// Asks for the thread's first two rows.
  __device__ __forceinline__ void prefetch_first() const {
    if (threadIdx.x != 0) return;
    for (std::int64_t row = next; row < a.rows && row < next + 2 * step; row += step) prefetch(row);
  }
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

  /// Starts the copies of the next row into `stage`.
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

  /// Fills all stages. Packets outside the row are never copied: they become zeros once for all rows.
  __device__ __forceinline__ void start_first(int stages) {
    for (int stage = 0; stage < stages; ++stage) {
      start_next(stage);
      staged.h.clear_outside(stage, columns, left);
      staged.dy.clear_outside(stage, columns, left);
    }
  }

  /// Waits for the row in `stage`, behind which `pending` others, 0 or 1, may still be under way.
  __device__ __forceinline__ void receive(int stage, int pending) {
    if (pending == 1) {
      copies.template wait<1>();
    } else {
      copies.template wait<0>();
    }
    if constexpr (!Aligned) {
      staged.h.template trim<H>(stage, columns);
      staged.dy.template trim<H>(stage, columns);
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

/// A row in a stage of shared memory, and what is known of it.
struct RowAtWork {
  std::int64_t row = -1;
  int stage = 0;
  RowStatistics statistics = {0.0F, 0.0F};
  RowTotals totals = {};
};

template <class H, int V, int K, int Lanes, bool Clustered, bool Aligned, Form form>
__global__ void __launch_bounds__(plan::most_threads(V* K, sizeof(H), Aligned, form, Lanes), 1)
    backward_staged(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column,
                    int cluster_stages, bool early, bool ahead) {
  using Facts = Known<form, H>;
  using Columns = TileColumns<V, Lanes, Aligned>;
  constexpr bool with_dbias = sums_dbias(form);
  const bool recompute = Facts::out(a) || Facts::codes(a);
  const int stages = Clustered ? cluster_stages : plan::most_stages(false);
  TileThreads<Lanes, Clustered, RowsWait::alone> threads(shared_memory<float>() +
                                                         threadIdx.y * (tile_scratch_bytes(Clustered) / sizeof(float)));
  const RowsOfThread rows = rows_of_thread<Clustered>();
  Columns columns(threads.place(), K, static_cast<int>(a.columns), true, lead_of_rows<H, V, Aligned>(a, rows));
  const int left = columns.left;
  const StagedRow<K> staged = staged_row<Facts, K>(a, Clustered, stages);
  RowsUnderWay<Facts, H, V, K, Lanes, Aligned> under_way(a, staged, columns, rows, ahead);
  under_way.prefetch_first();
  if (early) let_next_launch_start();
  wait_for_earlier_launches();

  under_way.start_first(stages);
  threads.begin();
  RowStatistics upcoming = statistics_or_zeros<Facts>(a, rows.first);
  Packet<H, V> weights[with_dbias ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  load_vectors<Facts, with_dbias>(a, columns, staged, weights);
  if (!early) let_next_launch_start();

  ColumnSums<K, V, with_dbias> of_columns;
  const auto packets_of = [&](const RowAtWork& one) {
    columns.left = Lanes == warp_threads || one.row < a.rows ? left : 0;
    return BackwardRow<Facts, H, V, K, StagedSource<H, V, K, with_dbias>, Columns>{
        a, {staged, weights, one.stage}, columns, one.row, one.statistics.mean, one.statistics.rstd, recompute};
  };
  // A row whose totals are known; then its place in shared memory is free for another.
  const auto finish = [&](const RowAtWork& one) {
    const bool live = Lanes == warp_threads || one.row < a.rows;
    packets_of(one).scale_and_store(threads, per_column, live, one.totals);
    under_way.start_next(one.stage);
  };

  // In a cluster the sums of a row travel between the blocks while the row before is finished.
  RowAtWork before;
  const int pending = Clustered ? stages - 2 : stages - 1;  // rows under way beside the one that is needed now
  int stage = 0;
  std::int64_t row = rows.first;
#pragma unroll 1
  for (std::int64_t first = rows.first_of_warp<Lanes>(); first < a.rows; first += rows.step, row += rows.step) {
    RowAtWork now = {row, stage, upcoming};
    upcoming = statistics_or_zeros<Facts>(a, row + rows.step);
    const auto here = packets_of(now);
    under_way.receive(stage, pending);
    here.sum_up(of_columns, now.totals);
    here.reduce(threads, now.totals, [&] {
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

  columns.left = left;
  hand_over<Aligned>(a, partials, rows.set, Clustered ? cluster_rank() : 0, columns, of_columns);
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
