// weight_quant: ternary quantisation of a weight matrix with one scale (docs/operations.md, section 3).
//
//   absmean = sum|w| / (K_out * K_in)      weight_scale = 1 / max(absmean, 1e-5)
//   code = clamp(round_half_even(w * weight_scale), -1, 1)      out = code / weight_scale
#pragma once

#include <cstdint>

#include "reference/types.hpp"

namespace normquant::reference {

/// What weight_quant returns.
struct WeightQuantResult {
  double absmean = 0.0;         ///< mean of |w|
  double weight_scale = 0.0;    ///< 1 / max(absmean, 1e-5)
  double dequant_factor = 0.0;  ///< 1 / weight_scale = max(absmean, 1e-5)
  Array code;                   ///< [K_out, K_in] in {-1, 0, 1}
  Array out;                    ///< [K_out, K_in] code / weight_scale, not rounded to any storage type
};

/// Quantises w [K_out, K_in]. NaN or Inf anywhere makes everything NaN and every code 0; so does a matrix without
/// elements, whose mean does not exist.
WeightQuantResult weight_quant(const Array& w);

/// The same for some rows of a matrix whose mean of |w| over all rows is `absmean`.
WeightQuantResult weight_quant(const Array& w, double absmean);

/// Codes four to a byte, [K_out, ceil(K_in / 4)].
using PackedCodes = Eigen::Array<std::uint8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Packs codes [K_out, K_in] in {-1, 0, 1}: bits 2i, 2i+1 of byte b hold code + 1 of column 4b + i; the columns past
/// K_in that fill the last byte hold code 0 (section 3; the layout of the public header weight_quant.hpp).
PackedCodes pack_codes(const Array& code);

/// The first `columns` codes of each packed row, [K_out, columns]. The bit pair 3, which no code has, gives 2.
Array unpack_codes(const PackedCodes& packed, Eigen::Index columns);

}  // namespace normquant::reference
