// norm_quant_backward: gradient of norm_quant_forward, quantisation taken as the identity (straight-through;
// docs/operations.md, section 2).
//
//   xhat = (h - mean) * rstd      wdy = dy * weight
//   c1 = sum(xhat * wdy) / N      c2 = sum(wdy) / N (layer; RMS uses 0)
//   dx = (wdy - (xhat * c1 + c2)) * rstd + dresidual
//   dweight = sum over rows of dy * xhat      dbias = sum over rows of dy
//
// The forward's out, computed again from h, is recompute_output of norm_quant_forward.hpp.
#pragma once

#include <optional>

#include "reference/types.hpp"

namespace normquant::reference {

/// Switches and parameters of the backward; N columns.
struct NormQuantBackward {
  NormKind norm = NormKind::rms;
  std::optional<Vector> weight;  ///< [N] the norm's gamma; 1 when not given
};

/// What the backward computes; M rows, N columns. Nothing is rounded to a storage type.
struct NormQuantBackwardResult {
  Array xhat;      ///< [M, N] (h - mean) * rstd
  Array wdy;       ///< [M, N] dy * weight
  Array dx;        ///< [M, N] gradient at x, and at the residual
  Vector c1;       ///< [M] mean of xhat * wdy
  Vector c2;       ///< [M] mean of wdy; 0 for rms
  Vector dweight;  ///< [N] zeros when M = 0; also computed when no weight is given
  Vector dbias;    ///< [N] zeros when M = 0
};

/// The backward from dy [M, N], h [M, N] (x, or the stored residual_out), the forward's mean [M] (empty for rms) and
/// rstd [M], and dresidual [M, N], the gradient that arrives at residual_out (null: none). `row_multiplicity` [M] says
/// how often each row counts in the sums over rows, at least once (null: once each). NaN spreads as the sums say.
NormQuantBackwardResult norm_quant_backward(const Array& dy, const Array& h, const Vector& mean, const Vector& rstd,
                                            const Array* dresidual, const NormQuantBackward& backward,
                                            const Vector* row_multiplicity = nullptr);

}  // namespace normquant::reference
