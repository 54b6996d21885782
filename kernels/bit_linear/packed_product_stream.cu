// packed_product for many features: the activations stay in registers, and only weights are read.
//
//   out[i, o] = sum over k of code[i, k] * ternary[o, k] * (dequant_scale[i] * dequant_factor) + bias[o]
//
// Where a block has one tile of features (packed_product.cu), the blocks together read the activations from the L2 more often
// than the weights from memory: 16 rows of 4096 are 64 KB, and the packed weights of 32 features 32 KB. Here a block has its
// multiprocessor to itself and takes tile after tile of features. Its 16 warps share the depth, S steps of 256 columns each;
// a warp's activations are loaded, transposed and summed once. The next tile's weights are under way while this one's sums
// are added.
#include "bit_linear/dequantise.cuh"
#include "bit_linear/packed_codes.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr int W = 16;
constexpr std::int64_t rows_in_l2 = 2;  // tiles ahead that the L2 is asked for

/// Sums of one tile of features, for two tiles in turn.
template <int T>
struct Shared {
  std::int32_t sums[2][W][rows_of_block][features_of_tile * T + 8];  // 8 more keep the banks of the rows apart
  float scales[rows_of_block];
};

/// One warp's activations as the products take them, and the sums of their rows.
template <int S>
struct Activations {
  std::uint32_t low[S][4][4], high[S][4][4];  ///< rows g and g + 8: 16 columns a word, registers j
  std::int32_t row_sums[4] = {};

  __device__ __forceinline__ void load(const PackedProduct& p, std::int64_t first_row, std::int64_t first_column) {
    const int g = static_cast<int>(threadIdx.x) % 32 / 4;
    const bool aligned = codes_aligned(p);
#pragma unroll
    for (int s = 0; s < S; ++s) {
      uint4 words[4];
      load_codes(p, first_row + g, first_column + step * W * s, aligned, words);
#pragma unroll
      for (int w = 0; w < 4; ++w) transpose_bytes(words[w], low[s][w]);
      load_codes(p, first_row + g + 8, first_column + step * W * s, aligned, words);
#pragma unroll
      for (int w = 0; w < 4; ++w) transpose_bytes(words[w], high[s][w]);
    }
#pragma unroll
    for (int s = 0; s < S; ++s) {
#pragma unroll
      for (int pair = 0; pair < 8; ++pair)
        multiply(s, pair / 2, pair % 2 * 2, register_of_ones, register_of_ones, row_sums);
    }
  }
  /// sums += registers j and j + 1 of word w * two registers of weights.
  __device__ __forceinline__ void multiply(int s, int w, int j, std::uint32_t first, std::uint32_t second,
                                           std::int32_t (&sums)[4]) const {
    const std::uint32_t a[4] = {low[s][w][j], high[s][w][j], low[s][w][j + 1], high[s][w][j + 1]},
                        b[2] = {first, second};
    int8_mma(sums, a, b);
  }
};

template <int S, int T>
__global__ void __launch_bounds__(32 * W, 1)
    stream_weights(const __grid_constant__ PackedProduct p, std::int64_t tiles) {
  constexpr int features = features_of_tile * T;
  const std::int64_t first_row = std::int64_t{blockIdx.y} * rows_of_block;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4, t = lane % 4;
  const auto ask_for = [&](std::int64_t tile) {
    const std::int64_t feature = tile * features + threadIdx.x;
    if (threadIdx.x < features && feature < p.columns) prefetch_to_l2(p.packed + feature * p.ld_packed, row_bytes(p));
  };
  for (std::int64_t ahead = 0; ahead < rows_in_l2; ++ahead) ask_for(blockIdx.x + ahead * gridDim.x);
  overlap_launches();

  auto* shared = shared_memory<Shared<T>>();
  if (threadIdx.x < rows_of_block && first_row + threadIdx.x < p.rows) {
    shared->scales[threadIdx.x] = scale_of_row(p.scales, first_row + threadIdx.x);
  }
  const bool aligned = packed_aligned(p);
  const std::int64_t first_column = warp * step + std::int64_t{t} * lane_codes;
  std::uint32_t weights[S][4][T];
  const auto load = [&](std::int64_t tile) {
#pragma unroll
    for (int s = 0; s < S; ++s) load_weights(p, tile * features, first_column + step * W * s, aligned, weights[s]);
  };
  load(blockIdx.x);
  Activations<S> activations;
  activations.load(p, first_row, first_column);

  int buffer = 0;
  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x, buffer ^= 1) {
    ask_for(tile + rows_in_l2 * gridDim.x);
    std::int32_t sums[T][4] = {};
#pragma unroll
    for (int s = 0; s < S; ++s) {
#pragma unroll
      for (int pair = 0; pair < 8; ++pair) {
        const int w = pair / 2, j = pair % 2 * 2;
#pragma unroll
        for (int i = 0; i < T; ++i) {
          const std::uint32_t word = weights[s][w][i];
          activations.multiply(s, w, j, ternary_register(word, j), ternary_register(word, j + 1), sums[i]);
        }
      }
    }
    if (tile + gridDim.x < tiles) load(tile + gridDim.x);
#pragma unroll
    for (int i = 0; i < T; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = 2 * half;  // of the two sums of this lane's row
        const uint2 two = {static_cast<std::uint32_t>(sums[i][at] - activations.row_sums[at]),
                           static_cast<std::uint32_t>(sums[i][at + 1] - activations.row_sums[at + 1])};
        memcpy(&shared->sums[buffer][warp][g + 8 * half][i * features_of_tile + 2 * t], &two, sizeof(two));
      }
    }
    __syncthreads();  // the sums of the tile before last have been read: their buffer is this one's
    for (int i = static_cast<int>(threadIdx.x); i < rows_of_block * features; i += 32 * W) {
      const int row = i / features, feature = i % features;
      const std::int64_t column = tile * features + feature;
      if (first_row + row >= p.rows || column >= p.columns) continue;
      std::int32_t sum[1] = {0};
#pragma unroll
      for (int w = 0; w < W; ++w) sum[0] += shared->sums[buffer][w][row][feature];
      float out[1];
      dequantise(p.scales, shared->scales[row], column, sum, out);
      store_typed(p.out.data, p.out.type, (first_row + row) * p.out.ld + column, out);
    }
  }
}

template <int S, int T>
Status launch_stream(const PackedProduct& p, const DeviceInfo& device, Stream stream) {
  const std::int64_t tiles = divide_up(p.columns, std::int64_t{features_of_tile} * T);
  const std::int64_t blocks = tiles < device.sm_count ? tiles : device.sm_count;
  LaunchShape shape{
      dim3{static_cast<unsigned>(blocks), static_cast<unsigned>(divide_up(p.rows, std::int64_t{rows_of_block})), 1},
      dim3{32 * W, 1, 1}};
  shape.shared_bytes = sizeof(Shared<T>);
  shape.overlap = device.compute_capability >= 90;
  return launch_kernel(stream_weights<S, T>, shape, stream, p, tiles);
}

/// How many columns' worth of tiles the busiest block takes.
std::int64_t most_features(const PackedProduct& p, const DeviceInfo& device, int tile_features) {
  return divide_up(divide_up(p.columns, std::int64_t{tile_features}), std::int64_t{device.sm_count}) * tile_features;
}

}  // namespace

/// From where packed_product.cu's blocks, of 32 features each, no longer all run at the same time.
bool streams(const PackedProduct& p, const DeviceInfo& device) {
  return p.depth <= 2 * step * W && p.rows <= rows_of_block && p.columns > std::int64_t{32} * device.sm_count;
}

Status stream_packed(const PackedProduct& p, const DeviceInfo& device, Stream stream) {
  // Two steps leave registers for two tiles. With one, small tiles where they share the work better.
  if (p.depth > W * step) return launch_stream<2, 2>(p, device, stream);
  if (most_features(p, device, 16) < most_features(p, device, 32)) return launch_stream<1, 2>(p, device, stream);
  return launch_stream<1, 4>(p, device, stream);
}

}  // namespace normquant::NORMQUANT_BACKEND
