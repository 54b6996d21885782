// packed_product: int8 activation codes times packed ternary weights, exact in int32, scaled.
//
//   out[i, o] = sum over k of code[i, k] * ternary[o, k] * (dequant_scale[i] * dequant_factor) + bias[o]
//
// Bytes: a quarter byte a weight, read once a group of 16 rows: for few rows, where the weights are all that counts. At
// 4096 x 4096 that is 4 MiB, where bfloat16 weights are 32.
//
// A block has 16 rows and 8 T output features; its warps share the depth in steps of 256 and add their sums in shared
// memory. Lane 4g + t reads 64 neighbouring codes of its features: 16 bytes of weights. A byte holds four ternary codes
// plus 1, so (word >> 2 j) & 0x03030303 is a register of four, of columns j, 4 + j, 8 + j, 12 + j; the activations'
// bytes are transposed to match. The 1 is taken back by one more product, with ones: the sum of a row's codes.
// Right for every size and alignment: what does not lie in whole aligned words is read byte by byte.
#include "dequantise.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"
#include "int8_mma.cuh"

namespace normquant::NORMQUANT_BACKEND {
namespace {

constexpr int rows_of_block = 16, features_of_tile = 8;
constexpr int lane_codes = 64;                 // codes of a row that a lane has in a step
constexpr std::int64_t step = 4 * lane_codes;  // four lanes share a row
constexpr std::int64_t most_warps = 16;

/// Up to 16 bytes from `from` on; those past `available` are zero.
__device__ __forceinline__ uint4 load_bytes(const std::uint8_t* from, std::int64_t available, bool aligned) {
  if (available >= 16 && aligned) {
    Packet<std::uint8_t, 16> packet;
    packet.load(from);
    return packet.data[0];
  }
  std::uint8_t bytes[16];
#pragma unroll
  for (int i = 0; i < 16; ++i) bytes[i] = i < available ? from[i] : std::uint8_t{0};
  uint4 words;
  memcpy(&words, bytes, sizeof(words));
  return words;
}

/// The lane's 64 codes of one row, from column `column` on, as the products take them.
__device__ __forceinline__ void load_codes(const PackedProduct& p, std::int64_t row, std::int64_t column, bool aligned,
                                           std::uint32_t (&codes)[4][4]) {
  const auto* from = reinterpret_cast<const std::uint8_t*>(p.codes) + row * p.ld_codes + column;
  const std::int64_t available = row < p.rows ? p.depth - column : 0;
  uint4 words[4];
#pragma unroll
  for (int w = 0; w < 4; ++w) words[w] = load_bytes(from + 16 * w, available - 16 * w, aligned);
#pragma unroll
  for (int w = 0; w < 4; ++w) transpose_bytes(words[w], codes[w]);
}

/// sums += the products of 4 activation registers with T features' codes, two registers a step.
template <int T>
__device__ __forceinline__ void multiply_word(const std::uint32_t (&low)[4], const std::uint32_t (&high)[4],
                                              const std::uint32_t (&weights)[T], std::int32_t (&sums)[T][4],
                                              std::int32_t (&row_sums)[4]) {
#pragma unroll
  for (int j = 0; j < 4; j += 2) {
    const std::uint32_t a[4] = {low[j], high[j], low[j + 1], high[j + 1]};
#pragma unroll
    for (int tile = 0; tile < T; ++tile) {
      const std::uint32_t b[2] = {weights[tile] >> 2 * j & 0x03030303U, weights[tile] >> 2 * (j + 1) & 0x03030303U};
      int8_mma(sums[tile], a, b);
    }
    const std::uint32_t ones[2] = {0x01010101U, 0x01010101U};
    int8_mma(row_sums, a, ones);
  }
}

template <int T>
__global__ void __launch_bounds__(32 * most_warps) multiply_packed(const __grid_constant__ PackedProduct p) {
  constexpr int features = features_of_tile * T;
  const std::int64_t first_row = std::int64_t{blockIdx.y} * rows_of_block;
  const std::int64_t first_feature = std::int64_t{blockIdx.x} * features;
  const std::int64_t row_bytes = (p.depth + 3) / 4;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warps = static_cast<int>(blockDim.x) / 32, g = lane / 4, t = lane % 4;
  if (threadIdx.x < features && first_feature + threadIdx.x < p.columns) {
    prefetch_to_l2(p.packed + (first_feature + threadIdx.x) * p.ld_packed, row_bytes);
  }
  overlap_launches();

  const bool codes_aligned = reinterpret_cast<std::uintptr_t>(p.codes) % 16 == 0 && p.ld_codes % 16 == 0;
  const bool packed_aligned = reinterpret_cast<std::uintptr_t>(p.packed) % 16 == 0 && p.ld_packed % 16 == 0;
  std::int32_t sums[T][4] = {}, row_sums[4] = {};
#pragma unroll 1
  for (std::int64_t start = warp * step; start < p.depth; start += warps * step) {
    const std::int64_t column = start + t * lane_codes;
    uint4 weights[T];
#pragma unroll
    for (int tile = 0; tile < T; ++tile) {
      const std::int64_t feature = first_feature + tile * features_of_tile + g;
      weights[tile] = load_bytes(p.packed + feature * p.ld_packed + column / 4,
                                 feature < p.columns ? row_bytes - column / 4 : 0, packed_aligned);
    }
    std::uint32_t low[4][4], high[4][4];
    load_codes(p, first_row + g, column, codes_aligned, low);
    load_codes(p, first_row + g + 8, column, codes_aligned, high);
    std::uint32_t words[4][T];
#pragma unroll
    for (int tile = 0; tile < T; ++tile) {
      words[0][tile] = weights[tile].x, words[1][tile] = weights[tile].y;
      words[2][tile] = weights[tile].z, words[3][tile] = weights[tile].w;
    }
#pragma unroll
    for (int w = 0; w < 4; ++w) multiply_word(low[w], high[w], words[w], sums, row_sums);
  }

  auto* shared = shared_memory<std::int32_t>();  // [warps, rows_of_block, features]
#pragma unroll
  for (int tile = 0; tile < T; ++tile) {
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      const int row = g + s / 2 * 8, feature = tile * features_of_tile + 2 * t + s % 2;
      shared[(warp * rows_of_block + row) * features + feature] = sums[tile][s] - row_sums[s];
    }
  }
  __syncthreads();
  for (unsigned i = threadIdx.x; i < rows_of_block * features; i += blockDim.x) {
    const std::int64_t row = first_row + i / features, feature = first_feature + i % features;
    if (row >= p.rows || feature >= p.columns) continue;
    std::int32_t sum[1] = {0};
    for (int w = 0; w < warps; ++w) sum[0] += shared[w * rows_of_block * features + i];
    float out[1];
    dequantise(p.scales, scale_of_row(p.scales, row), feature, sum, out);
    store_typed(p.out.data, p.out.type, row * p.out.ld + feature, out);
  }
}

template <int T>
Status launch_packed(const PackedProduct& p, const DeviceInfo& device, Stream stream) {
  constexpr std::int64_t features = features_of_tile * T, most_groups = 65535;
  std::int64_t warps = divide_up(p.depth, step);
  warps = warps < most_warps ? warps : most_warps;
  for (std::int64_t first = 0; first < p.rows; first += most_groups * rows_of_block) {
    PackedProduct part = p;
    part.rows = p.rows - first < most_groups * rows_of_block ? p.rows - first : most_groups * rows_of_block;
    part.codes = p.codes + first * p.ld_codes;
    part.scales.dequant_scale = p.scales.dequant_scale + first;
    part.out.data = static_cast<char*>(p.out.data) + first * p.out.ld * static_cast<std::int64_t>(size_of(p.out.type));
    LaunchShape shape{dim3{static_cast<unsigned>(divide_up(p.columns, features)),
                           static_cast<unsigned>(divide_up(part.rows, rows_of_block)), 1},
                      dim3{static_cast<unsigned>(32 * warps), 1, 1}};
    shape.shared_bytes = sizeof(std::int32_t) * static_cast<std::size_t>(warps * rows_of_block * features);
    shape.overlap = device.compute_capability >= 90;
    if (Status status = launch_kernel(multiply_packed<T>, shape, stream, part); !status.ok()) return status;
  }
  return {};
}

}  // namespace

/// More features a block share the activations; fewer give every multiprocessor a block.
Status packed_product(const PackedProduct& p, const DeviceInfo& device, Stream stream) {
  const std::int64_t tiles = p.columns / features_of_tile * divide_up(p.rows, rows_of_block);
  const std::int64_t tiles_of_processor = tiles / device.sm_count;
  if (tiles_of_processor >= 3) return launch_packed<4>(p, device, stream);
  if (tiles_of_processor >= 2) return launch_packed<2>(p, device, stream);
  return launch_packed<1>(p, device, stream);
}

}  // namespace normquant::NORMQUANT_BACKEND
