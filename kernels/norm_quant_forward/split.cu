// norm_quant_forward, a row split over blocks that do not wait for each other: for few rows that are very long, of which a
// block or a cluster each would leave most of the GPU idle. Two kernels: the first leaves the sum of squares and the maximum
// of every piece in scratch memory, the second adds a row's pieces up and writes its own.
//
//   rstd = 1 / sqrt(mean of x^2 + eps); y = x * rstd * weight
//   quant_scale = 127 / max(max|y|, 1e-5); out = clamp(round(y * quant_scale), -128, 127) / quant_scale
//
// Bytes an element (bfloat16, fake-quantised): 2 read + 2 written, and 2 read again, from the L2 when x fits there. Serves
// RMS norm without residual and bias: what else there is needs a row's statistics before its maximum.
#include "algorithms.hpp"
#include "device/overlap.cuh"
#include "device/support.hpp"
#include "device/tile_threads.cuh"
#include "norm_quant_forward/forward_steps.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr int piece_threads = 256;
constexpr int piece_bytes = 64;  ///< of x, a thread: with the weight half of the registers that 1024 threads have
constexpr int piece_elements(std::size_t element_bytes) { return piece_bytes / static_cast<int>(element_bytes); }
constexpr std::int64_t piece_columns(std::size_t element_bytes) {
  return std::int64_t{piece_threads} * piece_elements(element_bytes);
}

/// What a piece of a row contributes.
struct alignas(8) PieceSums {
  float squares, largest;
};

/// The place of the calling block: pieces of one row are neighbours.
template <class X, int V>
struct Piece {
  std::int64_t row, number;
  TileColumns<V, warp_threads, true> columns;

  __device__ __forceinline__ Piece(const NormQuantForward& a, std::int64_t pieces)
      : row(blockIdx.x / pieces),
        number(blockIdx.x % pieces),
        columns(static_cast<unsigned>(number) * piece_threads + threadIdx.x, piece_elements(sizeof(X)) / V,
                static_cast<int>(a.columns), true, 0) {}
};

/// The packets of x and of the weight.
template <class X, int V, int K>
__device__ __forceinline__ void load_piece(const NormQuantForward& a, const Piece<X, V>& piece, Packet<X, V> (&x)[K],
                                           Packet<X, V> (&weights)[K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    piece.columns.load(static_cast<const X*>(a.x.data) + piece.row * a.x.ld, k, x[k]);
    piece.columns.load(static_cast<const X*>(a.weight.data), k, weights[k]);
  }
}

template <class X, int V, int K>
__global__ void __launch_bounds__(piece_threads, 4)
    split_statistics(const __grid_constant__ NormQuantForward a, std::int64_t pieces, PieceSums* sums) {
  const Piece<X, V> piece(a, pieces);
  if (threadIdx.x == 0) {
    prefetch_to_l2(
        static_cast<const X*>(a.x.data) + piece.row * a.x.ld + piece.columns.first,
        static_cast<std::int64_t>(sizeof(X)) * min(piece.columns.left, static_cast<int>(piece_columns(sizeof(X)))));
  }
  wait_for_earlier_launches();
  // Not before the wait: the second kernel reads x without one, because when it runs all blocks are past theirs.
  let_next_launch_start();
  Packet<X, V> x[K], weights[K];
  load_piece(a, piece, x, weights);
  float squares = 0.0F, largest = 0.0F;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    float h[V], weight[V];
    x[k].unpack(h);
    weights[k].unpack(weight);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      squares = fmaf(h[i], h[i], squares);
      largest = larger_magnitude(largest, h[i] * weight[i]);
    }
  }
  TileThreads<warp_threads> threads(shared_memory<float>());
  threads.reduce(squares, largest);
  if (threadIdx.x == 0) sums[blockIdx.x] = {squares, largest};
}

template <class X, int V, int K, Form form>
__global__ void __launch_bounds__(piece_threads, 4)
    split_quantise(const __grid_constant__ NormQuantForward a, float per_column, std::int64_t pieces,
                   const PieceSums* sums) {
  const Piece<X, V> piece(a, pieces);
  Packet<X, V> x[K], weights[K];
  load_piece(a, piece, x, weights);  // see split_statistics
  wait_for_earlier_launches();
  let_next_launch_start();
  float squares = 0.0F, largest = 0.0F;
  for (std::int64_t i = threadIdx.x; i < pieces; i += piece_threads) {
    const PieceSums other = sums[piece.row * pieces + i];
    squares += other.squares;
    largest = larger_magnitude(largest, other.largest);
  }
  TileThreads<warp_threads> threads(shared_memory<float>());
  threads.reduce(squares, largest);
  const float rstd = reciprocal_root(squares * per_column, a.eps);
  RowScale scale = row_scale(magnitude_bits(largest * rstd));
  const float to_code = code_factor(scale.quant * rstd, a.rounding);
  if (overflowed(largest, rstd)) {
    const auto place = static_cast<unsigned>(piece.number) * piece_threads + threadIdx.x;
    scale = overflowed_row<X>(a, piece.row, place, static_cast<unsigned>(pieces) * piece_threads, 0.0F, rstd);
  } else {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      float z[V], weight[V];
      x[k].unpack(z);
      weights[k].unpack(weight);
#pragma unroll
      for (int i = 0; i < V; ++i) z[i] *= weight[i];
      nearest_codes(z, to_code);
      store_packet_of_codes<Known<form, X>>(a, piece.row, piece.columns, k, z, scale);
    }
  }
  if (piece.number == 0 && threadIdx.x == 0) store_row_results(a, piece.row, 0.0F, rstd, scale);
}

std::int64_t pieces_of(const NormQuantForward& a) { return divide_up(a.columns, piece_columns(size_of(a.x.type))); }

std::string why_not(const Variant<NormQuantForward>&, const NormQuantForward& a, const DeviceInfo&) {
  const Form form = form_of(a);
  if (form != Form::rms && form != Form::rms_codes) {
    return "serves RMS norm with a weight of x's type, without residual and bias, with out of x's type or codes, "
           "int8 by the row's own scale and the floor 1e-5";
  }
  if (a.columns > 0x40000000) return "the row of " + std::to_string(a.columns) + " columns is too long for 32 bits";
  if (a.rows > 0x7fffffff / pieces_of(a)) return "needs more blocks than a grid has";
  return why_not_packets(elements_per_access(16, a.x.type), a);
}

std::size_t workspace_bytes(const Variant<NormQuantForward>&, const NormQuantForward& a, const DeviceInfo&) {
  return sizeof(PieceSums) * static_cast<std::size_t>(a.rows * pieces_of(a));
}

/// x is read twice.
std::int64_t requested_bytes(const Variant<NormQuantForward>&, const NormQuantForward& a, const DeviceInfo&) {
  return algorithmic_bytes(a) + a.rows * a.columns * static_cast<std::int64_t>(size_of(a.x.type));
}

template <class X>
Status launch_for(const NormQuantForward& a, const LaunchShape& shape, PieceSums* sums, Stream stream) {
  constexpr int V = 16 / sizeof(X), K = piece_elements(sizeof(X)) / V;
  const std::int64_t pieces = pieces_of(a);
  const float per_column = 1.0F / static_cast<float>(a.columns);
  Status status = launch_kernel(split_statistics<X, V, K>, shape, stream, a, pieces, sums);
  if (!status.ok()) return status;
  const PieceSums* const all = sums;
  return form_of(a) == Form::rms
             ? launch_kernel(split_quantise<X, V, K, Form::rms>, shape, stream, a, per_column, pieces, all)
             : launch_kernel(split_quantise<X, V, K, Form::rms_codes>, shape, stream, a, per_column, pieces, all);
}

Status launch(const Variant<NormQuantForward>&, const NormQuantForward& a, const DeviceInfo& device, void* workspace,
              Stream stream) {
  LaunchShape shape;
  shape.grid = dim3{static_cast<unsigned>(a.rows * pieces_of(a)), 1, 1};
  shape.block = dim3{piece_threads, 1, 1};
  shape.shared_bytes = tile_scratch_bytes();
  shape.overlap = device.compute_capability >= 90;
  auto* sums = static_cast<PieceSums*>(workspace);
  return launch_for_type(a.x.type,
                         [&](auto type) { return launch_for<typename decltype(type)::type>(a, shape, sums, stream); });
}

constexpr VariantRow rows[] = {
    {.name = "split",
     .summary = "rows split over blocks, two kernels: few long rows",
     .threads_per_row = piece_threads,
     .elements = piece_elements(2)},
};

}  // namespace

const std::vector<Variant<NormQuantForward>>& norm_quant_forward_split() {
  static const auto table = variant_table<NormQuantForward>({.why_not = why_not,
                                                             .workspace_bytes = workspace_bytes,
                                                             .requested_bytes = requested_bytes,
                                                             .launch = launch,
                                                             .row_invariant = true},
                                                            rows);
  return table;
}

}  // namespace normquant::NORMQUANT_BACKEND
