// packed_product: int8 activation codes times packed ternary weights, exact in int32, scaled.
//
//   out[i, o] = sum over k of code[i, k] * ternary[o, k] * (dequant_scale[i] * dequant_factor) + bias[o]
//
// Bytes: a quarter byte a weight, read once a group of 16 rows: for few rows, where the weights are all that counts. At
// 4096 x 4096 that is 4 MiB, where bfloat16 weights are 32.
//
// A block has 16 rows and 32 output features; its warps share the depth (packed_codes.cuh) and add their sums in shared
// memory.
#include "bit_linear/dequantise.cuh"
#include "bit_linear/int8_mma.cuh"
#include "bit_linear/packed_codes.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::NORMQUANT_BACKEND {
namespace {

/// sums += the products of 16 activation codes of each row with the block's features' codes.
template <int T>
__device__ __forceinline__ void multiply_word(const uint4& low_codes, const uint4& high_codes,
                                              const std::uint32_t (&weights)[T], std::int32_t (&sums)[T][4],
                                              std::int32_t (&row_sums)[4]) {
  std::uint32_t low[4], high[4];
  transpose_bytes(low_codes, low);
  transpose_bytes(high_codes, high);
#pragma unroll
  for (int j = 0; j < 4; j += 2) {
    const std::uint32_t a[4] = {low[j], high[j], low[j + 1], high[j + 1]};
#pragma unroll
    for (int tile = 0; tile < T; ++tile) {
      const std::uint32_t b[2] = {ternary_register(weights[tile], j), ternary_register(weights[tile], j + 1)};
      int8_mma(sums[tile], a, b);
    }
    const std::uint32_t ones[2] = {register_of_ones, register_of_ones};
    int8_mma(row_sums, a, ones);
  }
}

/// What the warps of a block tell each other.
template <int W, int T>
struct Shared {
  std::int32_t sums[W][rows_of_block][features_of_tile * T + 8];  // 8 more keep the banks of the rows apart
  float scales[rows_of_block];
};

template <int W, int T>
__global__ void __launch_bounds__(32 * W, 16 / W) multiply_packed(const __grid_constant__ PackedProduct p) {
  constexpr int features = features_of_tile * T;
  const std::int64_t first_row = std::int64_t{blockIdx.y} * rows_of_block;
  const std::int64_t first_feature = std::int64_t{blockIdx.x} * features;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int g = lane / 4, t = lane % 4;
  if (threadIdx.x < features && first_feature + threadIdx.x < p.columns) {
    prefetch_to_l2(p.packed + (first_feature + threadIdx.x) * p.ld_packed, row_bytes(p));
  }
  overlap_launches();

  auto* shared = shared_memory<Shared<W, T>>();
  if (threadIdx.x < rows_of_block && first_row + threadIdx.x < p.rows) {
    shared->scales[threadIdx.x] = scale_of_row(p.scales, first_row + threadIdx.x);
  }
  std::int32_t sums[T][4] = {}, row_sums[4] = {};
#pragma unroll 1
  for (std::int64_t start = warp * step; start < p.depth; start += W * step) {
    const std::int64_t column = start + std::int64_t{t} * lane_codes;
    std::uint32_t weights[4][T];
    load_weights(p, first_feature, column, packed_aligned(p), weights);
    uint4 low[4], high[4];
    load_codes(p, first_row + g, column, codes_aligned(p), low);
    load_codes(p, first_row + g + 8, column, codes_aligned(p), high);
#pragma unroll
    for (int w = 0; w < 4; ++w) multiply_word(low[w], high[w], weights[w], sums, row_sums);
  }

#pragma unroll
  for (int tile = 0; tile < T; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = 2 * half;  // of the two sums of this lane's row
      const uint2 pair = {static_cast<std::uint32_t>(sums[tile][at] - row_sums[at]),
                          static_cast<std::uint32_t>(sums[tile][at + 1] - row_sums[at + 1])};
      auto& row = shared->sums[warp][g + 8 * half];
      const int feature = tile * features_of_tile + 2 * t;
      memcpy(&row[feature], &pair, sizeof(pair));
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < rows_of_block * features; i += 32 * W) {
    const int row = i / features, feature = i % features;
    if (first_row + row >= p.rows || first_feature + feature >= p.columns) continue;
    std::int32_t sum[1] = {0};
#pragma unroll
    for (int w = 0; w < W; ++w) sum[0] += shared->sums[w][row][feature];
    float out[1];
    dequantise(p.scales, shared->scales[row], first_feature + feature, sum, out);
    store_typed(p.out.data, p.out.type, (first_row + row) * p.out.ld + first_feature + feature, out);
  }
}

template <int W, int T>
Status launch_packed(const PackedProduct& p, const DeviceInfo& device, Stream stream) {
  constexpr std::int64_t features = std::int64_t{features_of_tile} * T, most_groups = 65535;
  for (std::int64_t first = 0; first < p.rows; first += most_groups * rows_of_block) {
    PackedProduct part = p;
    part.rows = p.rows - first < most_groups * rows_of_block ? p.rows - first : most_groups * rows_of_block;
    part.codes = p.codes + first * p.ld_codes;
    part.scales.dequant_scale = p.scales.dequant_scale + first;
    part.out.data = static_cast<char*>(p.out.data) + first * p.out.ld * static_cast<std::int64_t>(size_of(p.out.type));
    LaunchShape shape{dim3{static_cast<unsigned>(divide_up(p.columns, features)),
                           static_cast<unsigned>(divide_up(part.rows, rows_of_block)), 1},
                      dim3{32 * W, 1, 1}};
    shape.shared_bytes = sizeof(Shared<W, T>);
    shape.overlap = device.compute_capability >= 90;
    if (Status status = launch_kernel(multiply_packed<W, T>, shape, stream, part); !status.ok()) return status;
  }
  return {};
}

constexpr int T = 4;  // tiles of a block: 1 and 2 read the activations more often, and were slower at every shape

/// A block of 16 warps has its multiprocessor to itself and all its loads under way at once; where there are several blocks
/// for each, small ones hide each other's beginning and end.
int warps_for(const PackedProduct& p, const DeviceInfo& device) {
  const std::int64_t blocks = p.columns / (std::int64_t{features_of_tile} * T) * divide_up(p.rows, rows_of_block);
  if (2 * blocks >= std::int64_t{3} * device.sm_count || p.depth <= 4 * step) return 4;
  return p.depth <= 8 * step ? 8 : 16;
}

}  // namespace

Status packed_product(const PackedProduct& p, const DeviceInfo& device, Stream stream) {
  if (p.warps == 0 && streams(p, device)) return stream_packed(p, device, stream);
  const int warps = p.warps > 0 ? p.warps : warps_for(p, device);
  if (warps == 16) return launch_packed<16, T>(p, device, stream);
  if (warps == 8) return launch_packed<8, T>(p, device, stream);
  return launch_packed<4, T>(p, device, stream);
}

}  // namespace normquant::NORMQUANT_BACKEND
