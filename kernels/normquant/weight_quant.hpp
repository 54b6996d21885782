// weight_quant: ternary quantisation of a weight matrix with one scale (docs/operations.md, section 3).
//
//   absmean = sum|w| / (K_out * K_in)      weight_scale = 1 / max(absmean, 1e-5)
//   code = clamp(round_half_even(w * weight_scale), -1, 1)      out = code / weight_scale
#pragma once

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant {

/// Bytes of one row of packed codes.
constexpr std::int64_t packed_row_bytes(std::int64_t columns) { return (columns + 3) / 4; }

/// Arguments of weight_quant. At least one of out, codes, packed must be given. NaN or Inf anywhere in w makes the
/// scale, and with it everything, NaN (codes 0, dequant_factor NaN).
struct WeightQuant {
  std::int64_t rows = 0;     ///< K_out >= 0
  std::int64_t columns = 0;  ///< K_in >= 1
  ConstMatrix w;             ///< [K_out, K_in], required

  Matrix out;                       ///< [K_out, K_in] code / weight_scale
  std::int8_t* codes = nullptr;     ///< [K_out, K_in] codes in {-1, 0, 1}
  std::int64_t ld_codes = 0;        ///< row stride of codes, >= K_in
  std::uint8_t* packed = nullptr;   ///< [K_out, ceil(K_in / 4)] four codes a byte: bits 2i, 2i+1 of byte b hold
                                    ///< code + 1 of column 4b + i; columns past K_in hold code 0
  std::int64_t ld_packed = 0;       ///< row stride of packed in bytes, >= packed_row_bytes(K_in)
  float* dequant_factor = nullptr;  ///< [1] 1 / weight_scale = max(absmean, 1e-5); required with codes or packed
};

}  // namespace normquant
