// norm_quant_backward: gradient of norm_quant_forward, quantisation taken as the identity (straight-through;
// docs/operations.md, section 2).
//
//   xhat = (h - mean) * rstd      wdy = dy * weight
//   c1 = sum(xhat * wdy) / N      c2 = sum(wdy) / N (layer; RMS uses 0)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual
//   dweight = sum over rows of dy * xhat      dbias = sum over rows of dy
//   out = the forward's out, computed again from h
#pragma once

#include <normquant/types.hpp>
#include <normquant/variant.hpp>

namespace normquant {

/// Arguments of the backward. Outputs must not overlap inputs or each other.
struct NormQuantBackward {
  std::int64_t rows = 0;     ///< M >= 0
  std::int64_t columns = 0;  ///< N >= 1
  NormKind norm = NormKind::rms;
  Rounding rounding = Rounding::half_away;  ///< of the recomputed out

  ConstMatrix dy;                      ///< [M, N], required
  ConstMatrix h;                       ///< [M, N] x, or the forward's residual_out; required
  ConstVector weight;                  ///< [N], optional
  ConstVector bias;                    ///< [N], optional; needed only for the recomputed out
  const float* mean = nullptr;         ///< [M], required for layer, must be null for rms
  const float* rstd = nullptr;         ///< [M], required
  const float* quant_scale = nullptr;  ///< [M] from the forward, optional; used only for the recomputed out
  ConstMatrix dresidual;               ///< [M, N] gradient that arrives at residual_out, optional

  Matrix dx;               ///< [M, N] in x's type, required
  Matrix dx_residual;      ///< [M, N] dx once more in the residual's type, optional
  Vector dweight;          ///< [N], optional, also without a weight
  Vector dbias;            ///< [N], optional, also without a bias
  QuantOutput recomputed;  ///< [M, N] the forward's output again, optional; a dequant_scale needs out or codes
};

}  // namespace normquant
