// bit_linear: the layer (docs/operations.md, section 4): norm, 8-bit activations, ternary weights, matrix product.
//
//   y_q  = norm_quant_forward(x, residual).out       w_q = weight_quant(linear_weight).out
//   out  = y_q * w_q^T + linear_bias
//   dy   = dout * w_q      dlinear_weight = dout^T * y_q (computed again)      dlinear_bias = sum over rows of dout
//   dx, dnorm_weight, dnorm_bias = norm_quant_backward(dy, dresidual)
//
// Every form that users of the Triton system have is this layer with its own switches: see the functions at the end.
// M rows, K_in input features (the norm's N), K_out output features.
#pragma once

#include <optional>

#include "reference/norm_quant_backward.hpp"
#include "reference/norm_quant_forward.hpp"
#include "reference/types.hpp"
#include "reference/weight_quant.hpp"

namespace normquant::reference {

/// Where the forward's statistics and y come from: x + residual, or that sum as stored (section 1).
enum class HSource { unrounded, stored };

/// What a model learns.
struct BitLinearParameters {
  std::optional<Vector> norm_weight;  ///< [K_in]
  std::optional<Vector> norm_bias;    ///< [K_in]
  Array linear_weight;                ///< [K_out, K_in]
  std::optional<Vector> linear_bias;  ///< [K_out]
};

/// The layer: parameters and switches. Tensors that a later step reads again (h, y_q, w_q) are rounded to the type they
/// are stored in; what the layer returns is not.
struct BitLinearLayer {
  BitLinearParameters parameters;
  NormKind norm = NormKind::rms;
  Rounding rounding = Rounding::half_away;  ///< of the activations; weights are rounded half to even
  double eps = 0.0;                         ///< > 0; always explicit, default_eps says what each form uses
  bool prenorm = false;                     ///< whether residual_out is returned, and dresidual may arrive at it
  HSource h_source = HSource::unrounded;
  Storage residual_stream = Storage::float64;  ///< type of the stored h: see residual_stream_storage
  Storage operand = Storage::float64;          ///< type of y_q and w_q in the product
  bool reproduce_dropped_bias = false;  ///< the Triton system's unfused module never adds linear_bias (section 5)
};

/// What the forward computes and what the backward reads.
struct BitLinearForwardResult {
  Array out;                          ///< [M, K_out]
  std::optional<Array> residual_out;  ///< [M, K_in] h as stored; with prenorm only
  bool has_residual = false;          ///< whether a residual came in, so that its gradient goes out
  Array h;                            ///< [M, K_in] x + residual as stored: what the backward starts from
  Vector mean;                        ///< [M] 0 for rms
  Vector rstd;                        ///< [M]
  Array y_q;                          ///< [M, K_in] fake-quantised activations, in the operand type
  Array w_q;                          ///< [K_out, K_in] fake-quantised weights, in the operand type
};

/// Gradients of the layer. An optional one is given when the layer has (and uses) what it belongs to.
struct BitLinearGradients {
  Array dx;                            ///< [M, K_in]
  std::optional<Array> dresidual;      ///< [M, K_in] equals dx
  std::optional<Vector> dnorm_weight;  ///< [K_in]
  std::optional<Vector> dnorm_bias;    ///< [K_in]
  Array dlinear_weight;                ///< [K_out, K_in] straight-through: at linear_weight, as if it were w_q
  std::optional<Vector> dlinear_bias;  ///< [K_out]
};

/// Type of the stored residual stream (section 1): an incoming residual's own; without one float32 when that was asked,
/// else x's.
Storage residual_stream_storage(Storage x, std::optional<Storage> residual, bool residual_in_float32);

/// The forward from x [M, K_in] and residual [M, K_in] (null: none).
BitLinearForwardResult bit_linear_forward(const Array& x, const Array* residual, const BitLinearLayer& layer);

/// The backward from dout [M, K_out], dresidual [M, K_in] at residual_out (null: none; refused by std::invalid_argument
/// without prenorm) and what the forward left. It is also what autograd derives for the unfused module's
/// q = v + (quant(v) - v).detach(): the product's gradients use the quantised operands, and q passes its gradient to v.
BitLinearGradients bit_linear_backward(const Array& dout, const Array* dresidual, const BitLinearForwardResult& saved,
                                       const BitLinearLayer& layer);

/// Defaults of eps in the Triton system (section 5); here every eps is passed explicitly.
namespace default_eps {
inline constexpr double layer_norm_linear_quant = 1e-6;  ///< signature of layer_norm_linear_quant_fn
inline constexpr double rms_norm_linear_quant = 1e-5;    ///< signature of rms_norm_linear_quant
inline constexpr double bit_linear = 1e-6;      ///< signature says 1e-8, never used: layer_norm_linear_quant_fn's acts
inline constexpr double unfused_module = 1e-8;  ///< class BitLinear: its RMSNorm
inline constexpr double fused_module = 1e-6;    ///< class FusedBitLinear: layer_norm_linear_quant_fn's, not its norm's
}  // namespace default_eps

/// How a form with a residual treats the stream.
struct ResidualStream {
  bool prenorm = false;
  HSource h_source = HSource::unrounded;
  Storage storage = Storage::float64;  ///< see residual_stream_storage
};

/// layer_norm_linear_quant_fn: the general form, with residual, prenorm and either norm.
BitLinearLayer layer_norm_linear_quant(const BitLinearParameters& parameters, double eps, const ResidualStream& stream,
                                       NormKind norm = NormKind::layer);

/// rms_norm_linear_quant: the general form with the RMS norm.
BitLinearLayer rms_norm_linear_quant(const BitLinearParameters& parameters, double eps, const ResidualStream& stream);

/// bit_linear: the RMS form without a residual stream.
BitLinearLayer bit_linear(const BitLinearParameters& parameters, double eps);

/// class BitLinear, the definition: RMS norm, activation_quant and weight_quant (both half to even), F.linear, with
/// straight-through gradients.
BitLinearLayer unfused_bit_linear_module(const BitLinearParameters& parameters, double eps,
                                         bool reproduce_dropped_bias = false);

/// class FusedBitLinear: as bit_linear, parameters taken from the module.
BitLinearLayer fused_bit_linear_module(const BitLinearParameters& parameters, double eps);

}  // namespace normquant::reference
