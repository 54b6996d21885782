// activation_quant: per-row 8-bit quantisation of x itself (docs/operations.md, section 3).
//
//   absmax = max|x| over the row     quant_scale = 127 / max(absmax, 1e-5)
//   code = clamp(round(x * quant_scale), -128, 127)     out = code / quant_scale
//
// `quantisation` asks for another format, a given scale or another floor (section 8).
#pragma once

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant {

/// Arguments of activation_quant. A row with NaN or Inf comes out as NaN (int8 codes 0, fp8 codes 0x7F, dequant_scale NaN). By a
/// static scale x is judged element by element: infinity saturates, NaN is code 0 or NaN by itself.
struct ActivationQuant {
  std::int64_t rows = 0;                    ///< M >= 0
  std::int64_t columns = 0;                 ///< N >= 1
  Rounding rounding = Rounding::half_even;  ///< what the PyTorch function of that name does
  ConstMatrix x;                            ///< [M, N], required
  QuantOutput output;                       ///< [M, N] in one or both forms, required
  Quantisation quantisation;
};

}  // namespace normquant
