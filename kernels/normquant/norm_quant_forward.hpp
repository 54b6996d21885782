// norm_quant_forward: residual add, layer or RMS norm, per-row 8-bit quantisation (docs/operations.md, section 1).
//
//   h = x + residual          mean = sum(h) / N (layer; RMS uses 0)     var = sum((h - mean)^2) / N
//   rstd = 1 / sqrt(var + eps)      y = (h - mean) * rstd * weight + bias      absmax = max|y| over the row
//   quant_scale = 127 / max(absmax, 1e-5)     code = clamp(round(y * quant_scale), -128, 127)
//   out = code / quant_scale
//
// `quantisation` asks for another format, a given scale or another floor (section 8).
#pragma once

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant {

/// Arguments of the forward. Outputs must not overlap inputs or each other.
/// A row whose input, statistics or y are not finite in float32 comes out as NaN: out, rstd and dequant_scale NaN,
/// int8 codes 0, fp8 codes NaN (0x7F); other rows are untouched by it. By a static scale y is judged element by element:
/// infinity saturates, NaN is code 0 or NaN by itself.
struct NormQuantForward {
  std::int64_t rows = 0;     ///< M >= 0
  std::int64_t columns = 0;  ///< N >= 1
  NormKind norm = NormKind::rms;
  Rounding rounding = Rounding::half_away;
  HSource h_source = HSource::unrounded;
  float eps = 0.0F;  ///< > 0; see default_eps for what the Triton system uses

  ConstMatrix x;         ///< [M, N], required
  ConstMatrix residual;  ///< [M, N], optional, also without residual_out
  ConstVector weight;    ///< [N], optional
  ConstVector bias;      ///< [N], optional

  QuantOutput output;            ///< [M, N] in one or both forms, required
  Matrix residual_out;           ///< [M, N] h, stored in its own type; optional, required when h_source is `stored` and
                                 ///< a residual is given
  float* mean = nullptr;         ///< [M], layer only, optional
  float* rstd = nullptr;         ///< [M], optional
  float* quant_scale = nullptr;  ///< [M] 127 / max(absmax, 1e-5), optional: lets the backward skip the absmax

  Quantisation quantisation;
};

}  // namespace normquant
