// Operands and results of the layer's products, as `normquant products` multiplies them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <normquant/device.hpp>
#include <normquant/status.hpp>

#include "bit_linear/layer_kernels.hpp"
#include "bit_linear/matrix_products.hpp"

namespace normquant::bench {

struct ProductSizes {
  std::int64_t rows = 0, k_in = 0, k_out = 0;
};

/// Memory on the device, given back at the end.
class Memory {
 public:
  /// Throws a Refusal where there is none.
  Memory(Device& device, std::size_t bytes);
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { device_.release(data_); }
  template <class T = void>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Device& device_;
  void* data_;
};

/// Throws a Refusal where it is not ok.
void must(const Status& status);

/// Drawn bytes, repeated: what a product multiplies decides how fast it may go (power), so they are not zeros.
class Filler {
 public:
  explicit Filler(Device& device);
  void fill(void* memory, std::size_t bytes, const std::vector<unsigned char>& with);

  std::vector<unsigned char> y, w, y_codes, w_codes, packed;

 private:
  static constexpr std::int64_t drawn = std::int64_t{1} << 20;
  Device& device_;
};

/// Operands and results of one product in every form. bfloat16; rows without gaps.
struct Slot {
  ProductSizes sizes;
  Memory y, w, y_codes, w_codes, packed, dequant_scale, dequant_factor, out, sums, dx, dw;

  Slot(Device& device, Filler& filler, ProductSizes s);

  MatrixProduct forward() const {
    return {sizes.rows,
            sizes.k_out,
            sizes.k_in,
            false,
            true,
            matrix(y, sizes.k_in),
            matrix(w, sizes.k_in),
            {out.as(), DType::bfloat16, sizes.k_out},
            {}};
  }
  MatrixProduct dy() const {
    return {sizes.rows,
            sizes.k_in,
            sizes.k_out,
            false,
            false,
            matrix(out, sizes.k_out),
            matrix(w, sizes.k_in),
            {dx.as(), DType::bfloat16, sizes.k_in},
            {}};
  }
  MatrixProduct dlinear_weight() const {
    return {sizes.k_out,
            sizes.k_in,
            sizes.rows,
            true,
            false,
            matrix(out, sizes.k_out),
            matrix(y, sizes.k_in),
            {dw.as(), DType::bfloat16, sizes.k_in},
            {}};
  }
  IntegerProduct integer(std::int64_t first, std::int64_t rows) const {
    return {rows,       sizes.k_out,
            sizes.k_in, y_codes.as<std::int8_t>() + first * sizes.k_in,
            sizes.k_in, w_codes.as<std::int8_t>(),
            sizes.k_in, sums.as<std::int32_t>()};
  }
  ScaleProduct scale(std::int64_t first, std::int64_t rows) const {
    return {rows,
            sizes.k_out,
            sums.as<std::int32_t>(),
            scales(first),
            {out.as<std::uint16_t>() + first * sizes.k_out, DType::bfloat16, sizes.k_out}};
  }
  FusedProduct fused_product() const {
    return {sizes.rows,
            sizes.k_out,
            sizes.k_in,
            y_codes.as<std::int8_t>(),
            sizes.k_in,
            w_codes.as<std::int8_t>(),
            sizes.k_in,
            scales(0),
            {out.as(), DType::bfloat16, sizes.k_out}};
  }
  PackedProduct packed_product() const {
    return {sizes.rows,
            sizes.k_out,
            sizes.k_in,
            y_codes.as<std::int8_t>(),
            sizes.k_in,
            packed.as<std::uint8_t>(),
            sizes.k_in / 4,
            scales(0),
            {out.as(), DType::bfloat16, sizes.k_out}};
  }

 private:
  static std::size_t bytes(std::int64_t count) { return static_cast<std::size_t>(count); }
  static ConstMatrix matrix(const Memory& memory, std::int64_t ld) { return {memory.as(), DType::bfloat16, ld}; }
  CodeScales scales(std::int64_t first) const {
    return {dequant_scale.as<float>() + first, dequant_factor.as<float>(), {}};
  }
};

}  // namespace normquant::bench
