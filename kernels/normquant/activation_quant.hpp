// activation_quant: per-row 8-bit quantisation of x itself (docs/operations.md, section 3).
//
//   absmax = max|x| over the row     quant_scale = 127 / max(absmax, 1e-5)
//   code = clamp(round(x * quant_scale), -128, 127)     out = code / quant_scale
#pragma once

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant {

/// Arguments of activation_quant. A row with NaN or Inf comes out as NaN (codes 0, dequant_scale NaN).
struct ActivationQuant {
  std::int64_t rows = 0;                    ///< M >= 0
  std::int64_t columns = 0;                 ///< N >= 1
  Rounding rounding = Rounding::half_even;  ///< what the PyTorch function of that name does
  ConstMatrix x;                            ///< [M, N], required
  QuantOutput output;                       ///< [M, N] in one or both forms, required
};

}  // namespace normquant
