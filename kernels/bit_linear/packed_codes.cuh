// Codes and packed ternary codes on their way to the tensor cores, for the kernels of packed_product.
//
// A warp takes 16 rows and tiles of 8 features, 256 columns of the depth a step. Lane 4g + t reads 32 neighbouring codes of
// rows g and g + 8 and of its tiles' features g at a time, twice a step: 8 bytes of weights. A byte holds four ternary codes
// plus 1, so (word >> 2 j) & 0x03030303 is a register of four, of columns j, 4 + j, 8 + j, 12 + j; the activations' bytes are
// transposed to match. The 1 is taken back by one more product, with ones: the sum of a row's codes. Right for every size and
// alignment: what does not lie in whole aligned words is read byte by byte.
#pragma once

#include "bit_linear/int8_mma.cuh"
#include "bit_linear/layer_kernels.hpp"
#include "device/element.cuh"

namespace normquant::NORMQUANT_BACKEND {

constexpr int rows_of_block = 16, features_of_tile = 8;
constexpr std::int64_t step = 256;       // columns that a warp takes at a time
constexpr std::int64_t half_step = 128;  // four lanes with 32 each
constexpr int lane_codes = 32;

__device__ __forceinline__ std::int64_t row_bytes(const PackedProduct& p) { return (p.depth + 3) / 4; }
__device__ __forceinline__ bool codes_aligned(const PackedProduct& p) {
  return reinterpret_cast<std::uintptr_t>(p.codes) % 16 == 0 && p.ld_codes % 16 == 0;
}
__device__ __forceinline__ bool packed_aligned(const PackedProduct& p) {
  return reinterpret_cast<std::uintptr_t>(p.packed) % 8 == 0 && p.ld_packed % 8 == 0;
}

/// `Word` (8 or 16 bytes) from `from` on; bytes past `available` are zero.
template <class Word>
__device__ __forceinline__ Word load_bytes(const std::uint8_t* from, std::int64_t available, bool aligned) {
  constexpr int count = static_cast<int>(sizeof(Word));
  Word word = {};
  if (available >= count && aligned) {
    word = *words_at<Word>(from);
  } else if (available > 0) {
    std::uint8_t bytes[count];
#pragma unroll
    for (int i = 0; i < count; ++i) bytes[i] = i < available ? from[i] : std::uint8_t{0};
    memcpy(&word, bytes, sizeof(word));
  }
  return word;
}

/// The lane's 64 codes of one row in a step, from column `column` on and half a step later, as the products take them.
__device__ __forceinline__ void load_codes(const PackedProduct& p, std::int64_t row, std::int64_t column, bool aligned,
                                           uint4 (&words)[4]) {
  const auto* from = reinterpret_cast<const std::uint8_t*>(p.codes) + row * p.ld_codes + column;
  const std::int64_t available = row < p.rows ? p.depth - column : 0;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const std::int64_t at = w / 2 * half_step + std::int64_t{16} * (w % 2);
    words[w] = load_bytes<uint4>(from + at, available - at, aligned);
  }
}

/// The lane's weights in a step, of its T features from `first_feature` on: 16 columns a word.
template <int T>
__device__ __forceinline__ void load_weights(const PackedProduct& p, std::int64_t first_feature, std::int64_t column,
                                             bool aligned, std::uint32_t (&weights)[4][T]) {
  const int g = static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
  for (int tile = 0; tile < T; ++tile) {
    const std::int64_t feature = first_feature + (tile * features_of_tile + g);
    const std::uint8_t* from = p.packed + feature * p.ld_packed + column / 4;
    const std::int64_t available = feature < p.columns ? row_bytes(p) - column / 4 : 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t at = half * (half_step / 4);
      const uint2 words = load_bytes<uint2>(from + at, available - at, aligned);
      const int word = 2 * half;
      weights[word][tile] = words.x;
      weights[word + 1][tile] = words.y;
    }
  }
}

/// Registers j of the activations (of rows g and g + 8) and of the weights.
__device__ __forceinline__ std::uint32_t ternary_register(std::uint32_t word, int j) {
  return word >> 2 * j & 0x03030303U;
}
constexpr std::uint32_t register_of_ones = 0x01010101U;

/// packed_product for many features and a depth of at most 8192 (packed_product_stream.cu).
bool streams(const PackedProduct& p, const DeviceInfo& device);
Status stream_packed(const PackedProduct& p, const DeviceInfo& device, Stream stream);

}  // namespace normquant::NORMQUANT_BACKEND
