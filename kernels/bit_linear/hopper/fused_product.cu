// fused_product: exact products of int8 codes on Hopper's tensor cores, scaled in the same kernel.
//
//   out[i, j] = sum over k of a[i, k] * b[j, k] * (dequant_scale[i] * dequant_factor) + bias[j]
//
// The sums never leave the registers: out is written once, where a product in int32 is written, read and written again.
//
// A block has 128 rows and 256 features at a time, 128 codes of the depth a stage. One warp feeds four stages by the tensor
// copy engine; two warpgroups multiply, 64 rows each. Two neighbouring blocks are a cluster: they have the same features and
// each copies half of their codes for both, so a block's stage costs the L2 32 KB, not 48. As many clusters as the GPU holds
// take tile after tile, and the copies for the next tile run ahead while the last one is scaled.
#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>

#include "bit_linear/dequantise.cuh"
#include "bit_linear/hopper/async_units.cuh"
#include "bit_linear/layer_kernels.hpp"
#include "device/cluster.cuh"
#include "device/overlap.cuh"
#include "device/support.hpp"

namespace normquant::cuda {
namespace {

constexpr int tile_rows = fused_product_rows / 2, tile_features = fused_product_features;
constexpr int tile_depth = 128;  // codes: the widest swizzled row
constexpr int stages = 4;        // of 48 KB: all that 227 KB hold
constexpr int multiplying_groups = 2, group_rows = tile_rows / multiplying_groups;
constexpr int cluster_size = 2, box_rows = 128;  // a box of b is one block's half of the features
constexpr unsigned group_threads = 128, block_threads = group_threads * (1 + multiplying_groups);
constexpr unsigned warps_that_read = 4 * multiplying_groups * cluster_size;
/// 64 Ki registers: 128 threads with 40, 256 with 232.
constexpr int copying_registers = 40, multiplying_registers = 232;
/// Clusters that work at the same time read the same few rows of a and features of b, which the L2 then holds.
constexpr std::int64_t pairs_together = 8;

struct Stage {
  std::int8_t a[tile_rows * tile_depth];
  std::int8_t b[tile_features * tile_depth];
};
struct Shared {
  Stage stage[stages];  // first: the swizzle needs 1024 bytes of alignment
  float bias[multiplying_groups][tile_features];
  std::uint64_t full[stages], empty[stages];
};
static_assert(sizeof(Stage) % 1024 == 0);

/// Tiles of the whole product: pairs of row tiles (a cluster's) by tiles of features.
struct Tiles {
  std::int64_t pairs = 0, features = 0;
  int steps = 0;  ///< along the depth
};

struct Place {
  std::int64_t pair = 0, features = 0;
};
/// The order of tiles: groups of pairs_together pairs; within one, all its pairs have the first features, then the next.
__device__ __forceinline__ Place place_of(const Tiles& tiles, std::int64_t index) {
  const std::int64_t in_group = pairs_together * tiles.features, first = index / in_group * pairs_together;
  const std::int64_t pairs = min(pairs_together, tiles.pairs - first), within = index % in_group;
  return {first + within % pairs, within / pairs};
}

/// Which stage is next, and the parity of its phase.
struct Turn {
  unsigned stage = 0, parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == stages) stage = 0, parity ^= 1U;
  }
};

/// One thread: fills stage after stage as soon as both blocks have read what was in it.
__device__ __forceinline__ void copy_tiles(Shared& shared, const CUtensorMap& a, const CUtensorMap& b,
                                           const Tiles& tiles) {
  const unsigned rank = cluster_rank();
  Turn turn;
  for (std::int64_t index = blockIdx.x / cluster_size; index < tiles.pairs * tiles.features;
       index += gridDim.x / cluster_size) {
    const Place place = place_of(tiles, index);
    const int row = static_cast<int>((place.pair * cluster_size + rank) * tile_rows);
    const int feature = static_cast<int>(place.features * tile_features + rank * box_rows);
    for (int step = 0; step < tiles.steps; ++step, turn.next()) {
      Stage& stage = shared.stage[turn.stage];
      wait_for_phase(&shared.empty[turn.stage], turn.parity ^ 1U);
      arrive_expecting(&shared.full[turn.stage], sizeof(Stage));
      copy_box(stage.a, a, step * tile_depth, row, &shared.full[turn.stage]);
      copy_box_to_blocks(stage.b + rank * box_rows * tile_depth, b, step * tile_depth, feature,
                         &shared.full[turn.stage], 3);
    }
  }
}

/// Lanes 0 and 1 of every warp that multiplied tell one block each that the stage may be overwritten.
__device__ __forceinline__ void give_back(Shared& shared, unsigned stage) {
  const unsigned lane = threadIdx.x % 32;
  if (lane < cluster_size) arrive_at_block(&shared.empty[stage], lane);
}

/// The sums of this warpgroup's 64 rows of a tile.
__device__ __forceinline__ void multiply_tile(Shared& shared, int steps, unsigned group, Turn& turn,
                                              std::int32_t (&sums)[128]) {
  unsigned before = 0;
  for (int step = 0; step < steps; ++step, turn.next()) {
    const Stage& stage = shared.stage[turn.stage];
    const std::uint64_t a = swizzled_rows(stage.a + group * group_rows * tile_depth), b = swizzled_rows(stage.b);
    wait_for_phase(&shared.full[turn.stage], turn.parity);
    begin_products();
#pragma unroll
    for (unsigned i = 0; i < tile_depth / 32; ++i) multiply_int8(sums, a + 2 * i, b + 2 * i, step > 0 || i > 0);
    commit_products();
    if (step > 0) {
      wait_for_products<1>();
      give_back(shared, before);
    }
    before = turn.stage;
  }
  wait_for_products<0>();
  give_back(shared, before);
#pragma unroll
  for (int i = 0; i < 128; ++i) asm volatile("" : "+r"(sums[i])::"memory");  // nothing reads them before
}

/// Two neighbouring values of a 16-bit type in a word.
template <class T>
__device__ __forceinline__ std::uint32_t pair_of(float first, float second) {
  const T values[2] = {from_float<T>(first), from_float<T>(second)};
  std::uint32_t word = 0;
  memcpy(&word, values, sizeof(word));
  return word;
}

/// Lane t of four has word t of four packets; afterwards it has all words of packet t.
__device__ __forceinline__ void transpose_words(std::uint32_t (&words)[4]) {
  const unsigned t = threadIdx.x % 4;
#pragma unroll
  for (int apart = 1; apart <= 2; apart *= 2) {
    const bool upper = (t & static_cast<unsigned>(apart)) != 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if ((i & apart) != 0) continue;
      const std::uint32_t kept = upper ? words[i + apart] : words[i];
      const std::uint32_t got = __shfl_xor_sync(0xffffffffU, upper ? words[i] : words[i + apart], apart);
      words[i] = upper ? got : kept;
      words[i + apart] = upper ? kept : got;
    }
  }
}

/// Eight neighbouring outputs, those of them that the row has.
template <class T>
__device__ __forceinline__ void store_packet(T* to, int available, const std::uint32_t (&words)[4]) {
  if (available >= 8) {
    *reinterpret_cast<uint4*>(to) = {words[0], words[1], words[2], words[3]};
    return;
  }
  T values[8];
  memcpy(values, words, sizeof(words));
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (i < available) to[i] = values[i];
  }
}

/// Scales this warpgroup's 64 rows of sums, from `first_row` on, and stores them.
template <class T>
__device__ __forceinline__ void store_tile(const FusedProduct& p, const float* bias, std::int64_t first_row,
                                           std::int64_t first_feature, const std::int32_t (&sums)[128]) {
  const unsigned thread = threadIdx.x % group_threads;
  const int t = static_cast<int>(thread % 4);
  const bool adds_bias = p.scales.bias.given();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t row = first_row + thread / 32 * 16 + thread % 32 / 4 + 8 * half;
    const int available =
        row < p.rows ? static_cast<int>(min(p.columns - first_feature, std::int64_t{tile_features})) : 0;
    const float scale = available > 0 ? scale_of_row(p.scales, row) : 0;
    T* out = static_cast<T*>(p.out.data) + (row * p.out.ld + first_feature);
#pragma unroll
    for (int quad = 0; quad < 8; ++quad) {  // of packets of eight features
      std::uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int packet = 4 * quad + i, at = 4 * packet + 2 * half, feature = 8 * packet + 2 * t;
        float first = dequantised(sums[at], scale), second = dequantised(sums[at + 1], scale);
        if (adds_bias) {
          first = dequantised(sums[at], scale, bias[feature]);
          second = dequantised(sums[at + 1], scale, bias[feature + 1]);
        }
        if constexpr (sizeof(T) == 4) {
          if (feature + 2 <= available) {
            *reinterpret_cast<float2*>(out + feature) = {first, second};
          } else if (feature < available) {
            out[feature] = first;
          }
        } else {
          words[i] = pair_of<T>(first, second);
        }
      }
      if constexpr (sizeof(T) == 2) {
        transpose_words(words);
        const int feature = 8 * (4 * quad + t);
        store_packet(out + feature, available - feature, words);
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(block_threads, 1)
    multiply_and_scale(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b,
                       const __grid_constant__ FusedProduct p, const Tiles tiles) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char storage[];
  Shared& shared = *reinterpret_cast<Shared*>(storage);
  const unsigned group = threadIdx.x / group_threads;
  if (threadIdx.x == 0) {
    prefetch_map(a);
    prefetch_map(b);
    for (int stage = 0; stage < stages; ++stage) {
      init_barrier(&shared.full[stage], 1);
      init_barrier(&shared.empty[stage], warps_that_read);
    }
    publish_barriers();
  }
  cluster_barrier();
  overlap_launches();

  if (group == multiplying_groups) {
    lower_registers<copying_registers>();
    if (threadIdx.x == multiplying_groups * group_threads) copy_tiles(shared, a, b, tiles);
  } else {
    raise_registers<multiplying_registers>();
    const unsigned thread = threadIdx.x % group_threads;
    Turn turn;
    for (std::int64_t index = blockIdx.x / cluster_size; index < tiles.pairs * tiles.features;
         index += gridDim.x / cluster_size) {
      const Place place = place_of(tiles, index);
      const std::int64_t first_feature = place.features * tile_features;
      const std::int64_t first_row = (place.pair * cluster_size + cluster_rank()) * tile_rows + group * group_rows;
      std::int32_t sums[128];
      multiply_tile(shared, tiles.steps, group, turn, sums);
      if (p.scales.bias.given()) {
        group_barrier(1 + group, group_threads);  // the last tile's bias has been read
        for (unsigned i = thread; i < tile_features; i += group_threads) {
          float value[1] = {0};
          if (first_feature + i < p.columns)
            load_typed(p.scales.bias.data, p.scales.bias.type, first_feature + i, value);
          shared.bias[group][i] = value[0];
        }
        group_barrier(1 + group, group_threads);
      }
      store_tile<T>(p, shared.bias[group], first_row, first_feature, sums);
    }
  }
  __syncwarp();
  cluster_barrier();  // nobody ends while the other block copies into its memory or arrives at its barriers
#endif
}

using EncodeTiled = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                                 const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/// The driver's function that makes tensor maps; null where the driver has none.
EncodeTiled encode_tiled() {
  static const auto found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result = {};
#if CUDART_VERSION >= 12050
    const cudaError_t error =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
#else
    const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &result);
#endif
    if (error != cudaSuccess) (void)cudaGetLastError();
    const bool usable = error == cudaSuccess && result == cudaDriverEntryPointSuccess;
    return usable ? reinterpret_cast<EncodeTiled>(function) : nullptr;
  }();
  return found;
}

/// A matrix of codes [rows, depth] in boxes of 128 codes of 128 rows.
bool describe(CUtensorMap& map, const std::int8_t* codes, std::int64_t rows, std::int64_t depth, std::int64_t ld) {
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(depth), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(ld)};
  const cuuint32_t box[] = {tile_depth, box_rows}, every[] = {1, 1};
  return encode_tiled()(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<std::int8_t*>(codes), sizes, strides, box,
                        every, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

bool aligned_to_16(const void* data, std::int64_t row_bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && row_bytes % 16 == 0;
}

}  // namespace

std::string lacks_fused_product(const DeviceInfo& device) {
  if (device.compute_capability != 90) return "needs a GPU of compute capability 9.0 (Hopper)";
  return encode_tiled() == nullptr ? "needs a driver of CUDA 12.0 or later" : "";
}

std::string why_not_fused_product(const FusedProduct& p, const DeviceInfo& device) {
  constexpr std::int64_t most = std::int64_t{1} << 31;  // the copy engine's coordinates are int32
  if (std::string lacking = cuda::lacks_fused_product(device); !lacking.empty()) return lacking;
  if (p.rows >= most - 2 * tile_rows || p.columns >= most - tile_features)
    return "needs fewer than 2^31 rows and features";
  if (!aligned_to_16(p.a, p.lda) || !aligned_to_16(p.b, p.ldb)) {
    return "needs rows of codes that start at multiples of 16 bytes";
  }
  if (!aligned_to_16(p.out.data, p.out.ld * static_cast<std::int64_t>(size_of(p.out.type)))) {
    return "needs rows of out that start at multiples of 16 bytes";
  }
  return {};
}

Status fused_product(const FusedProduct& p, const DeviceInfo& device, Stream stream) {
  if (p.rows == 0) return {};
  CUtensorMap a, b;
  if (!describe(a, p.a, p.rows, p.depth, p.lda) || !describe(b, p.b, p.columns, p.depth, p.ldb)) {
    return Status::infrastructure("fused_product: the driver refused to describe the codes to the copy engine");
  }
  Tiles tiles;
  tiles.pairs = divide_up(p.rows, std::int64_t{cluster_size} * tile_rows);
  tiles.features = divide_up(p.columns, std::int64_t{tile_features});
  tiles.steps = static_cast<int>(divide_up(p.depth, std::int64_t{tile_depth}));
  const std::int64_t clusters = std::min<std::int64_t>(tiles.pairs * tiles.features, resident_clusters(device, 2));
  LaunchShape shape{dim3{static_cast<unsigned>(clusters * cluster_size), 1, 1}, dim3{block_threads, 1, 1}};
  shape.shared_bytes = sizeof(Shared);
  shape.cluster = cluster_size;
  shape.overlap = true;
  if (p.out.type == DType::float32) return launch_kernel(multiply_and_scale<float>, shape, stream, a, b, p, tiles);
  if (p.out.type == DType::float16) return launch_kernel(multiply_and_scale<half_t>, shape, stream, a, b, p, tiles);
  return launch_kernel(multiply_and_scale<bfloat16_t>, shape, stream, a, b, p, tiles);
}

}  // namespace normquant::cuda
