// activation_quant: per-row 8-bit quantisation (docs/operations.md, section 3).
//
//   absmax = max|x| over the row     quant_scale = 127 / max(absmax, 1e-5)
//   code = clamp(round(x * quant_scale), -128, 127)     out = code / quant_scale
//
// Section 8: quant_scale = largest / max(absmax, floor) with largest 127 or 448, or given; fp8: code = e4m3(x * quant_scale)
#pragma once

#include "reference/types.hpp"

namespace normquant::reference {

/// What activation_quant returns; M rows, N columns.
struct ActivationQuantResult {
  Vector absmax;       ///< [M] largest |x| of the row; empty by a static scale
  Vector quant_scale;  ///< [M] 127 / max(absmax, 1e-5)
  Array code;          ///< [M, N] integers in [-128, 127], or numbers of e4m3
  Array out;           ///< [M, N] code / quant_scale, not rounded to any storage type
};

/// Quantises each row of x [M, N] by itself. A row with a value that is not finite in float32 (NaN, Inf, or beyond the
/// largest float) comes out as NaN: absmax, quant_scale and out NaN, code 0 (fp8: NaN); other rows are untouched by it. By a static
/// scale each element is judged by itself: NaN is NaN, and what is beyond the range saturates.
/// `half_even` is what the PyTorch function of that name does (docs/operations.md, sections 3 and 5).
ActivationQuantResult activation_quant(const Array& x, Rounding rounding = Rounding::half_even,
                                       const Quantisation& quantisation = {});

}  // namespace normquant::reference
