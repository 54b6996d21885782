// The layer's own kernels, for both backends. Each launcher enqueues on `stream`; nothing is allocated, nothing waits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include <normquant/device.hpp>
#include <normquant/status.hpp>
#include <normquant/types.hpp>

namespace normquant {

/// How a product of codes becomes out: out[i, j] = sum[i, j] * (dequant_scale[i] * *dequant_factor) + bias[j], rounded in
/// float32 as float(sum), the product of the scales, and one fused multiply-add (without a bias: one product).
struct CodeScales {
  const float* dequant_scale = nullptr;   ///< [M]
  const float* dequant_factor = nullptr;  ///< [1]
  ConstVector bias;                       ///< [K_out], optional
};

/// out [rows, columns] from the exact products of an IntegerProduct.
struct ScaleProduct {
  std::int64_t rows = 0, columns = 0;
  const std::int32_t* sums = nullptr;  ///< [rows, columns], packed, aligned to 16 bytes
  CodeScales scales;
  Matrix out;
};

/// out [rows, columns] = the product of int8 codes [rows, depth] and packed ternary codes [columns, depth], scaled.
struct PackedProduct {
  std::int64_t rows = 0, columns = 0, depth = 0;
  const std::int8_t* codes = nullptr;
  std::int64_t ld_codes = 0;
  const std::uint8_t* packed = nullptr;
  std::int64_t ld_packed = 0;
  CodeScales scales;
  Matrix out;
  int warps = 0;  ///< that share the depth: 4, 8 or 16; 0: packed_product chooses
};

/// out [rows, columns] = the product of codes a [rows, depth] and ternary codes b [columns, depth], scaled; nothing else is
/// written. For GPUs of compute capability 9.0.
struct FusedProduct {
  std::int64_t rows = 0, columns = 0, depth = 0;  ///< depth: at most most_integer_depth
  const std::int8_t* a = nullptr;
  std::int64_t lda = 0;
  const std::int8_t* b = nullptr;
  std::int64_t ldb = 0;
  CodeScales scales;
  Matrix out;
};

/// A cluster of fused_product has this many rows and features at a time.
inline constexpr std::int64_t fused_product_rows = 256, fused_product_features = 256;
/// Tiles of the product over the clusters that the device runs at a time: below 1 some have nothing to do.
constexpr double fused_product_load(std::int64_t rows, std::int64_t columns, const DeviceInfo& device) {
  const std::int64_t tiles = (rows + fused_product_rows - 1) / fused_product_rows *
                             ((columns + fused_product_features - 1) / fused_product_features);
  return static_cast<double>(tiles) / std::max(1, resident_clusters(device, 2));
}

/// sums [columns] = the sum of values [rows, columns] over its rows, in float32, in an order that depends on the sizes only.
struct RowSums {
  std::int64_t rows = 0, columns = 0;
  ConstMatrix values;
  Vector sums;
  float* partial = nullptr;  ///< row_sums_partial_bytes of scratch
};
std::size_t row_sums_partial_bytes(std::int64_t rows, std::int64_t columns);

#define NORMQUANT_DECLARE_LAYER_KERNELS                                                         \
  Status scale_product(const ScaleProduct& product, const DeviceInfo& device, Stream stream);   \
  Status packed_product(const PackedProduct& product, const DeviceInfo& device, Stream stream); \
  Status sum_rows(const RowSums& sums, const DeviceInfo& device, Stream stream);                \
  Status fill_zero(void* memory, std::size_t bytes, Stream stream);

namespace host {
NORMQUANT_DECLARE_LAYER_KERNELS
}
namespace cuda {
NORMQUANT_DECLARE_LAYER_KERNELS
}

#undef NORMQUANT_DECLARE_LAYER_KERNELS

namespace cuda {
std::string lacks_fused_product(const DeviceInfo& device);
std::string why_not_fused_product(const FusedProduct& product, const DeviceInfo& device);
Status fused_product(const FusedProduct& product, const DeviceInfo& device, Stream stream);
}  // namespace cuda

/// The same on the backend of the device's kind. fill_zero: device memory becomes zero bytes.
Status scale_product(const ScaleProduct& product, const DeviceInfo& device, Stream stream);
Status packed_product(const PackedProduct& product, const DeviceInfo& device, Stream stream);
Status sum_rows(const RowSums& sums, const DeviceInfo& device, Stream stream);
/// What the device, or this build, lacks for any fused_product, as a sentence; empty when nothing.
std::string lacks_fused_product(const DeviceInfo& device);
/// Why fused_product cannot compute it on this device, as a sentence; empty when it can.
std::string why_not_fused_product(const FusedProduct& product, const DeviceInfo& device);
Status fused_product(const FusedProduct& product, const DeviceInfo& device, Stream stream);
Status fill_zero(void* memory, std::size_t bytes, const DeviceInfo& device, Stream stream);

}  // namespace normquant
