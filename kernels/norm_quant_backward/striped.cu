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
#include "norm_quant_backward/backward_row.cuh"
#include "norm_quant_backward/column_sums.cuh"
#include "norm_quant_backward/row_in_shared.cuh"

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

template <class H, int K, Form form>
__global__ void __launch_bounds__(plan::most_threads(K), 1)
    backward_striped(const __grid_constant__ NormQuantBackward a, ColumnPartials partials, float per_column,
                     plan::SharedLayout layout, bool early) {
  using Facts = Known<form, H>;
  using Columns = StripedColumns<warp_threads>;
  constexpr bool with_dbias = sums_dbias(form), vectors_staged = with_dbias;
  using Threads = TileThreads<warp_threads, false, RowsWait::alone>;
  Threads threads(shared_memory<float>() + threadIdx.y * (tile_scratch_bytes() / sizeof(float)));
  unsigned char* const shared = shared_memory<unsigned char>() + blockDim.y * tile_scratch_bytes();

  // Rows one after the other go to different multiprocessors, so that each has as many as the others, or one less.
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.y;
  std::int64_t row = static_cast<std::int64_t>(threadIdx.y) * gridDim.x + blockIdx.x, next = row;
  const auto width = static_cast<int>(a.columns);
  const auto row_of = [](const ConstMatrix& matrix, std::int64_t of) {
    return static_cast<const H*>(matrix.data) + of * matrix.ld;
  };
  const Columns columns(threads.place(), K, width, true);
  if (threadIdx.x == 0) {
    for (std::int64_t first = row; first < a.rows && first < row + 2 * step; first += step) {
      prefetch_to_l2(row_of(a.h, first), width * static_cast<std::int64_t>(sizeof(H)));
      prefetch_to_l2(row_of(a.dy, first), width * static_cast<std::int64_t>(sizeof(H)));
    }
  }
  if (early) let_next_launch_start();
  wait_for_earlier_launches();

  AsyncCopies copies;
  const auto start_next = [&](int stage) {
    if (next < a.rows) {
      const bool between = next > 0 && next + 1 < a.rows && width >= copied_bytes / static_cast<int>(sizeof(H));
      const auto start = [&](const ConstMatrix& matrix, int tensor) {
        start_row_copy(copies, shared + place_of_row(layout, threadIdx.y, stage, tensor), row_of(matrix, next), width,
                       between, threads.place(), threads.count());
      };
      start(a.h, 0);
      start(a.dy, 1);
      if (Facts::dresidual(a)) start(a.dresidual, 2);
    }
    copies.end_group();
    next += step;
  };
  for (int stage = 0; stage + 1 < layout.stages; ++stage) start_next(stage);

  const bool recompute = Facts::out(a) || Facts::codes(a), layer = Facts::layer(a);
  RowStatistics upcoming = statistics_or_zeros<Facts>(a, row);
  Packet<H, 1> weights[vectors_staged ? 1 : K];  // NOLINT(bugprone-branch-clone): the same where K is 1
  H* const staged_weight = reinterpret_cast<H*>(shared + place_of_vector(layout, blockDim.y, 0));
  H* const staged_bias = reinterpret_cast<H*>(shared + place_of_vector(layout, blockDim.y, 1));
  if constexpr (vectors_staged) {
    const int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
    for (int column = thread; column < width; column += static_cast<int>(blockDim.x * blockDim.y)) {
      const auto* weight = static_cast<const H*>(a.weight.data);
      staged_weight[column] = Facts::weight(a) ? weight[column] : from_float<H>(1.0F);
      if (Facts::bias(a)) staged_bias[column] = static_cast<const H*>(a.bias.data)[column];
    }
    __syncthreads();
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) columns.load(static_cast<const H*>(a.weight.data), k, weights[k]);
  }
  if (!early) let_next_launch_start();

  float dweight[K][1] = {}, dbias[with_dbias ? K : 1][1] = {};  // NOLINT(bugprone-branch-clone): the same where K is 1
  using Source = StripedSource<H, K, vectors_staged>;
  int stage = 0, stage_before = layout.stages - 1;
#pragma unroll 1
  for (; row < a.rows; row += step) {
    const RowStatistics statistics = upcoming;
    upcoming = statistics_or_zeros<Facts>(a, row + step);
    if (layout.stages == 3) {
      copies.template wait<1>();
    } else {
      copies.template wait<0>();
    }
    Threads::meet();  // all copies are there, and everyone is done with the row before
    start_next(stage_before);

    const auto staged = [&](const ConstMatrix& matrix, int tensor) {
      const unsigned char* start =
          shared + place_of_row(layout, threadIdx.y, stage, tensor) + bytes_past_aligned(row_of(matrix, row));
      return reinterpret_cast<const H*>(start) + columns.first;
    };
    const Source source = {staged(a.h, 0),
                           staged(a.dy, 1),
                           Facts::dresidual(a) ? staged(a.dresidual, 2) : nullptr,
                           staged_weight + columns.first,
                           staged_bias + columns.first,
                           weights};
    const BackwardRow<Facts, H, 1, K, Source, Columns> here = {a,   source,          columns,
                                                               row, statistics.mean, statistics.rstd};
    float sums[2] = {0.0F, 0.0F}, largest = 0.0F;
    here.first_look(recompute, dweight, dbias, sums, largest);
    reduce_row(threads, layer, recompute, sums, largest, [] {});
    finish_row<H>(here, threads, per_column, recompute, Facts::bias(a), true, sums, largest);
    stage_before = stage;
    stage = stage + 1 == layout.stages ? 0 : stage + 1;
  }

  hand_over<false>(a.dweight, partials.dweight, partials, blockIdx.x, a.columns, 0, columns, dweight);
  if constexpr (with_dbias) {
    hand_over<false>(a.dbias, partials.dbias, partials, blockIdx.x, a.columns, 0, columns, dbias);
  }
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
