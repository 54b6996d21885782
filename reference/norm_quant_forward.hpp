// norm_quant_forward: layer or RMS norm, per-row 8-bit quantisation (docs/operations.md, section 1).
//
//   h = x + residual          mean = sum(h) / N (layer; RMS uses 0)     var = sum((h - mean)^2) / N
//   rstd = 1 / sqrt(var + eps)      y = (h - mean) * rstd * weight + bias      absmax = max|y| over the row
//   quant_scale = 127 / max(absmax, 1e-5)     code = clamp(round(y * quant_scale), -128, 127)
//   out = code / quant_scale
//
// A row whose input, statistics or y are not finite in float32 comes out as NaN (section 5): out and y NaN, code 0,
// absmax and quant_scale NaN; and rstd NaN unless y alone is the cause. "Statistics" are the sums that a float32 kernel
// must hold: sum of (h - mean)^2 and sum of |h|. Other rows are untouched. By a static scale (section 8) rows whose statistics are
// finite are judged element by element.
#pragma once

#include <optional>

#include "reference/types.hpp"

namespace normquant::reference {

/// Switches and parameters of the forward; N columns.
struct NormQuantForward {
  NormKind norm = NormKind::rms;
  Rounding rounding = Rounding::half_away;
  double eps = 0.0;              ///< > 0, added to var
  std::optional<Vector> weight;  ///< [N] the norm's gamma; 1 when not given
  std::optional<Vector> bias;    ///< [N] the norm's beta; 0 when not given
  Quantisation quantisation{};   ///< section 8
};

/// What the forward computes; M rows, N columns. Nothing is rounded to a storage type.
struct NormQuantForwardResult {
  Vector mean;         ///< [M] 0 for rms; in a row that is not finite, what the sum says
  Vector var;          ///< [M] mean of (h - mean)^2 (biased); in a row that is not finite, what the sum says
  Vector rstd;         ///< [M] 1 / sqrt(var + eps)
  Vector absmax;       ///< [M] largest |y| of the row; empty by a static scale
  Vector quant_scale;  ///< [M] 127 / max(absmax, 1e-5)
  Array xhat;          ///< [M, N] (h - mean) * rstd
  Array y;             ///< [M, N] xhat * weight + bias
  Array code;          ///< [M, N] integers in [-128, 127], or numbers of e4m3
  Array out;           ///< [M, N] code / quant_scale
};

/// h [M, N] = x + residual as section 1 defines it: one float32 addition an element, correctly rounded. x itself when
/// `residual` is null.
Array residual_add(const Array& x, const Array* residual);

/// The forward from h [M, N], the values that statistics and y come from: x + residual unrounded, or as stored
/// (round_to_storage), as `h_source` says in section 1.
NormQuantForwardResult norm_quant_forward(const Array& h, const NormQuantForward& forward);

/// The forward's xhat, y, absmax, quant_scale, code and out from h [M, N] and given mean [M] (empty for rms) and rstd
/// [M]: what the backward recomputes (section 2). `mean` and `rstd` of the result are the given ones (mean 0 for rms);
/// `var` is empty, `eps` is not used.
NormQuantForwardResult recompute_output(const Array& h, const Vector& mean, const Vector& rstd,
                                        const NormQuantForward& forward);

}  // namespace normquant::reference
