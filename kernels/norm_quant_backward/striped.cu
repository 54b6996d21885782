// norm_quant_backward of any alignment and N, one pass, persistent: a block a multiprocessor, whose rows side by side walk
// over the matrix each at its own pace. A row comes into shared memory as it lies in global memory, by asynchronous
// copies of all its threads while they work on the row before; its elements are striped over the threads, so that a thread's
// columns, and with them its weights and its sums of dweight and dbias in registers, are the same in every row.
//
//   xhat = (h - mean) * rstd;  wdy = dy * weight;  c1 = sum(xhat * wdy) / N;  c2 = sum(wdy) / N (layer)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual;  dweight = sum_rows dy * xhat;  dbias = sum_rows dy
//   out = the forward's out again
//
// Bytes an element (bfloat16): 4 read + 2 written, + 2 with the recomputed out, + 2 with dresidual. About 20 float32
// operations. One reduction a row: c1, c2 and absmax travel together. The blocks' sums, one row of float32 each, are added by
// a second kernel, always in the same order.
#include "algorithms.hpp"
#include "device/striped_columns.cuh"
#include "device/tile_threads.cuh"
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/row_in_shared.cuh"
#include "norm_quant_backward/walk.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

namespace plan = backward_striped_launch;

/// Where the elements of a row come from: shared memory, at the calling thread's first column. `vectors_staged`: weight
/// and bias are there too; otherwise the weight is in registers, and there is no bias.
template <class H, int K, bool vectors_staged>
struct StripedSource {
  const H *h_, *dy_, *dresidual_, *weight_, *bias_;
  Packet<H, 1> (&weights)[vectors_staged ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1

  static __device__ __forceinline__ void read(const H* first, int k, float (&value)[1]) {
    load_elements<H>(first, StripedColumns<warp_threads>::offset(k), value);
  }
  __device__ __forceinline__ void h(int k, float (&value)[1]) const { read(h_, k, value); }
  __device__ __forceinline__ void dy(int k, float (&value)[1]) const { read(dy_, k, value); }
  __device__ __forceinline__ void dresidual(int k, float (&value)[1]) const { read(dresidual_, k, value); }
  __device__ __forceinline__ void weight(int k, float (&value)[1]) const {
    if constexpr (vectors_staged) {
      read(weight_, k, value);
    } else {
      weights[k].unpack(value);
    }
  }
  __device__ __forceinline__ void bias(int k, float (&value)[1]) const { read(bias_, k, value); }
};

/// Where a row of a tensor begins, bytes behind the first; and where the weight (0) or the bias (1) does.
__device__ __forceinline__ std::size_t place_of_row(const plan::SharedLayout& layout, unsigned beside, int stage,
                                                    int tensor) {
  return ((beside * layout.stages + stage) * layout.tensors + tensor) * layout.row_bytes;
}
__device__ __forceinline__ std::size_t place_of_vector(const plan::SharedLayout& layout, unsigned rows, int which) {
  return (static_cast<std::size_t>(rows) * layout.stages * layout.tensors + which) * layout.row_bytes;
}

/// The calling thread's rows on their way into shared memory: all threads of a row copy it together.
template <class Facts, class H>
struct RowsUnderWay {
  using Threads = TileThreads<warp_threads, false, RowsWait::alone>;

  const NormQuantBackward& a;
  const plan::SharedLayout& layout;
  const Threads& threads;
  unsigned char* shared = nullptr;  ///< behind the scratch of the block's reductions
  std::int64_t step = 0;            ///< from a row of the thread to its next
  std::int64_t next = 0;            ///< the first row whose copies have not started
  AsyncCopies copies = {};

  static __device__ __forceinline__ const H* start_of(const ConstMatrix& matrix, std::int64_t row) {
    return static_cast<const H*>(matrix.data) + row * matrix.ld;
  }

  /// Asks for the thread's first two rows.
  __device__ __forceinline__ void prefetch_first() const {
    if (threadIdx.x != 0) return;
    for (std::int64_t row = next; row < a.rows && row < next + 2 * step; row += step) {
      prefetch_to_l2(start_of(a.h, row), a.columns * static_cast<std::int64_t>(sizeof(H)));
      prefetch_to_l2(start_of(a.dy, row), a.columns * static_cast<std::int64_t>(sizeof(H)));
    }
  }

  /// Starts the copies of the next row into `stage`.
  __device__ __forceinline__ void start_next(int stage) {
    if (next < a.rows) {
      const auto width = static_cast<int>(a.columns);
      const bool between = next > 0 && next + 1 < a.rows && width >= copied_bytes / static_cast<int>(sizeof(H));
      const auto start = [&](const ConstMatrix& matrix, int tensor) {
        start_row_copy(copies, shared + place_of_row(layout, threadIdx.y, stage, tensor), start_of(matrix, next), width,
                       between, threads.place(), threads.count());
      };
      start(a.h, 0);
      start(a.dy, 1);
      if (Facts::dresidual(a)) start(a.dresidual, 2);
    }
    copies.end_group();
    next += step;
  }

  /// Waits for the next row's copies by all of its threads, which are then done with the row before.
  __device__ __forceinline__ void receive() {
    if (layout.stages == 3) {
      copies.template wait<1>();
    } else {
      copies.template wait<0>();
    }
    Threads::meet();
  }

  /// Where a row that has been received begins.
  __device__ __forceinline__ const H* row_in(int stage, const ConstMatrix& matrix, int tensor, std::int64_t row) const {
    return reinterpret_cast<const H*>(shared + place_of_row(layout, threadIdx.y, stage, tensor) +
                                      bytes_past_aligned(start_of(matrix, row)));
  }
  __device__ __forceinline__ H* vector(int which) const {
    return reinterpret_cast<H*>(shared + place_of_vector(layout, blockDim.y, which));
  }
};

/// Weight, ones where there is none, and bias to shared memory, by all threads of the block.
template <class Facts, class H>
__device__ __forceinline__ void stage_vectors(const NormQuantBackward& a, H* staged_weight, H* staged_bias) {
  const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x), width = static_cast<int>(a.columns);
  for (int column = thread; column < width; column += static_cast<int>(blockDim.x * blockDim.y)) {
    const auto* weight = static_cast<const H*>(a.weight.data);
    staged_weight[column] = Facts::weight(a) ? weight[column] : from_float<H>(1.0F);
    if (Facts::bias(a)) staged_bias[column] = static_cast<const H*>(a.bias.data)[column];
  }
  __syncthreads();
}

template <class H, int K, Form form>
__global__ void __launch_bounds__(plan::most_threads(K), 1)
    backward_striped(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column,
                     plan::SharedLayout layout, bool early) {
  using Facts = Known<form, H>;
  using Columns = StripedColumns<warp_threads>;
  constexpr bool with_dbias = sums_dbias(form);
  const bool recompute = Facts::out(a) || Facts::codes(a);
  TileThreads<warp_threads, false, RowsWait::alone> threads(shared_memory<float>() +
                                                            threadIdx.y * (tile_scratch_bytes() / sizeof(float)));
  const RowsOfThread rows = rows_of_thread();
  const Columns columns(threads.place(), K, static_cast<int>(a.columns), true);
  unsigned char* const shared = shared_memory<unsigned char>() + blockDim.y * tile_scratch_bytes();
  RowsUnderWay<Facts, H> under_way = {a, layout, threads, shared, rows.step, rows.first};
  under_way.prefetch_first();
  if (early) let_next_launch_start();
  wait_for_earlier_launches();

  for (int stage = 0; stage + 1 < layout.stages; ++stage) under_way.start_next(stage);
  RowStatistics upcoming = statistics_or_zeros<Facts>(a, rows.first);
  Packet<H, 1> weights[with_dbias ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  H *const staged_weight = under_way.vector(0), *const staged_bias = under_way.vector(1);
  if constexpr (with_dbias) {
    stage_vectors<Facts>(a, staged_weight, staged_bias);
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) columns.load(static_cast<const H*>(a.weight.data), k, weights[k]);
  }
  if (!early) let_next_launch_start();

  ColumnSums<K, 1, with_dbias> of_columns;
  int stage = 0, stage_before = layout.stages - 1;
#pragma unroll 1
  for (std::int64_t row = rows.first; row < a.rows; row += rows.step) {
    const RowStatistics statistics = upcoming;
    upcoming = statistics_or_zeros<Facts>(a, row + rows.step);
    under_way.receive();
    under_way.start_next(stage_before);
    const auto from = [&](const ConstMatrix& matrix, int tensor) {
      return under_way.row_in(stage, matrix, tensor, row) + columns.first;
    };
    using Source = StripedSource<H, K, with_dbias>;
    const Source source = {from(a.h, 0),
                           from(a.dy, 1),
                           Facts::dresidual(a) ? from(a.dresidual, 2) : nullptr,
                           staged_weight + columns.first,
                           staged_bias + columns.first,
                           weights};
    const BackwardRow<Facts, H, 1, K, Source, Columns> here = {
        a, source, columns, row, statistics.mean, statistics.rstd, recompute};
    RowTotals totals;
    here.sum_up(of_columns, totals);
    here.reduce(threads, totals, [] {});
    here.scale_and_store(threads, per_column, true, totals);
    stage_before = stage;
    stage = stage + 1 == layout.stages ? 0 : stage + 1;
  }
  hand_over<false>(a, partials, blockIdx.x, 0, columns, of_columns);
}

template <class H>
Status launch_for(const Tuning& t, const NormQuantBackward& a, const ColumnPartials& partials, const LaunchShape& shape,
                  const plan::SharedLayout& layout, bool early, Stream stream) {
  const float per_column = 1.0F / static_cast<float>(a.columns);
  return with_form<Form::rms, Form::layer>(plan::kernel_form(a), [&](auto form) {
    const auto launch = [&](auto kernel) {
      return launch_kernel(kernel, shape, stream, a, partials, per_column, layout, early);
    };
    return t.elements == 16 ? launch(backward_striped<H, 16, form>) : launch(backward_striped<H, 32, form>);
  });
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
    shape.grid = dim3{static_cast<unsigned>(walk.sets), 1, 1};
    shape.shared_bytes = plan::shared_bytes(t, a, walk.rows, walk.stages);
    shape.overlap = device.compute_capability >= 90;
    const plan::SharedLayout layout = plan::layout_of(a, walk.stages);
    const bool early = overlap_of(shape.grid.x, threads * walk.rows, device.sm_count).early;
    return launch_for_type(a.h.type, [&](auto type) {
      return launch_for<typename decltype(type)::type>(t, a, partials, shape, layout, early, stream);
    });
  });
}

// Names: e = elements a thread.
constexpr VariantRow rows[] = {
    {.name = "striped_e16",
     .summary = "any alignment and N, next rows by asynchronous copies, 16 elements a thread",
     .lanes = warp_threads,
     .elements = 16,
     .access_bytes = 1,
     .stages = plan::most_stages},
    {.name = "striped_e32",
     .summary = "any alignment and N, next rows by asynchronous copies, 32 elements a thread",
     .lanes = warp_threads,
     .elements = 32,
     .access_bytes = 1,
     .stages = plan::most_stages},
};

}  // namespace

const std::vector<Variant<NormQuantBackward>>& norm_quant_backward_striped() {
  static const auto table = variant_table<NormQuantBackward>({.why_not = plan::why_not,
                                                              .workspace_bytes = plan::workspace_bytes,
                                                              .requested_bytes = requests_partials_twice,
                                                              .launch = launch,
                                                              .row_invariant = true},
                                                             rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
