// bit_linear: the layer: norm, 8-bit activations, ternary weights, matrix product, bias. Sections
// are those of docs/operations.md; the layer is section 4.
//
//   y_q = norm_quant_forward(x, residual).out       w_q = weight_quant(linear_weight).out
//   out = y_q * w_q^T + linear_bias
//   dy  = dout * w_q      dlinear_weight = dout^T * y_q (computed again)
//   dlinear_bias = sum over rows of dout
//   dx, dnorm_weight, dnorm_bias = norm_quant_backward(dy, dresidual)
//
// M rows, K_in input features (the norm's N), K_out output features. Link normquant::layer.
#pragma once

#include <memory>
#include <string>

#include <normquant/types.hpp>
#include <normquant/variant.hpp>
#include <normquant/weight_quant.hpp>

namespace normquant {

/// The library of matrix products on one device. On a GPU it is cuBLASLt's handle and the
/// algorithms chosen so far, on the host it is Eigen. Any thread may use it.
/// The first question about a product (why_not, workspace_bytes) chooses its algorithm, and a
/// launch then finds it. tune_products replaces it by the fastest measured.
class MatrixProducts;

/// Those of the device, which must be the calling thread's current one; null with a sentence in `why` when this build has
/// no cuBLASLt. Release it after the last launch that uses it.
std::shared_ptr<MatrixProducts> open_matrix_products(const DeviceInfo& device, std::string& why);

/// Ternary weights in the forms that the products read. The memory is the caller's, filled by
/// weight_quant, and right as long as linear_weight is unchanged. Nothing else is remembered
/// between calls. Who reads which form:
///   operand   variant fake_quantised of the forward; the backward
///   codes     variant integer
///   packed    variant packed; a quarter byte a weight, so also the form to store
struct BitLinearWeights {
  Matrix operand;                   ///< [K_out, K_in] w_q, rounded to the type of the product's operands
  std::int8_t* codes = nullptr;     ///< [K_out, K_in] in {-1, 0, 1}
  std::int64_t ld_codes = 0;        ///< row stride of codes, >= K_in
  std::uint8_t* packed = nullptr;   ///< [K_out, ceil(K_in / 4)], see weight_quant.hpp
  std::int64_t ld_packed = 0;       ///< row stride of packed in bytes, >= packed_row_bytes(K_in)
  float* dequant_factor = nullptr;  ///< [1] max(absmean, 1e-5); required with codes or packed
};

/// What forward and backward of a layer share: sizes, switches, parameters.
struct BitLinearLayer {
  std::int64_t k_in = 0;   ///< >= 1
  std::int64_t k_out = 0;  ///< >= 1
  NormKind norm = NormKind::rms;
  Rounding rounding = Rounding::half_away;  ///< of the activations; weights are rounded half to even
  HSource h_source = HSource::unrounded;
  float eps = 0.0F;                 ///< > 0; default_eps says what each form of the Triton system uses
  DType operand = DType::bfloat16;  ///< type of y_q and w_q in the products, and of dy between them
  /// The norm's variant does not follow M, so that the forward's variants of codes give a row the same bits whatever M is
  /// (docs/row_invariance.md). Those of fake-quantised operands do not: cuBLASLt takes other kernels for other M.
  bool row_invariant = false;
  bool reproduce_dropped_bias = false;  ///< the Triton system's unfused module never adds linear_bias (section 5)
  ConstVector norm_weight, norm_bias;   ///< [K_in], each optional
  ConstVector linear_bias;              ///< [K_out], optional
  BitLinearWeights weights;

  bool adds_bias() const { return linear_bias.given() && !reproduce_dropped_bias; }
};

/// Arguments of the forward. Outputs must not overlap inputs or each other.
/// A prenorm layer asks for residual_out and hands it on. A residual in float32 is residual_out in
/// that type. Rows that are not finite come out as NaN, and a weight that is not finite makes
/// everything NaN.
struct BitLinearForward {
  std::int64_t rows = 0;  ///< M >= 0
  BitLinearLayer layer;
  MatrixProducts* products = nullptr;  ///< of the device; variant packed needs none
  ConstMatrix
      linear_weight;     ///< [K_out, K_in]; given: first quantised into every form of layer.weights that has memory;
                         ///< not given: layer.weights are as an earlier call left them
  ConstMatrix x;         ///< [M, K_in], required
  ConstMatrix residual;  ///< [M, K_in], optional

  Matrix out;                    ///< [M, K_out], required; fake_quantised on a GPU: the operands' type or float32
  Matrix residual_out;           ///< [M, K_in] h as stored, optional: see norm_quant_forward.hpp; the backward's h
  float* mean = nullptr;         ///< [M], layer norm only, optional; the backward needs it
  float* rstd = nullptr;         ///< [M], optional; the backward needs it
  float* quant_scale = nullptr;  ///< [M], optional
  QuantOutput y_q;  ///< [M, K_in] the product's activations, each of its tensors optional (else they are scratch, but
                    ///< dequant_scale is required with codes); y_q.out has the operands' type
};

/// Arguments of the backward. Straight-through: gradients of the products at the quantised operands, which then pass to
/// x and linear_weight unchanged. Outputs must not overlap inputs or each other.
struct BitLinearBackward {
  std::int64_t rows = 0;               ///< M >= 0
  BitLinearLayer layer;                ///< weights.operand required
  MatrixProducts* products = nullptr;  ///< of the device, required
  ConstMatrix dout;                    ///< [M, K_out] in the operands' type, required
  ConstMatrix h;                       ///< [M, K_in] x, or the forward's residual_out; required
  const float* mean = nullptr;         ///< [M], required for layer norm, null for rms
  const float* rstd = nullptr;         ///< [M], required
  const float* quant_scale = nullptr;  ///< [M] from the forward, optional
  ConstMatrix dresidual;               ///< [M, K_in] gradient that arrives at residual_out (prenorm), optional

  Matrix dx;              ///< [M, K_in] in x's type, required
  Matrix dx_residual;     ///< [M, K_in] dx once more in the residual's type, optional
  Matrix dlinear_weight;  ///< [K_out, K_in], optional; on a GPU in the operands' type or float32
  Vector dlinear_bias;    ///< [K_out], optional
  Vector dnorm_weight;    ///< [K_in], optional
  Vector dnorm_bias;      ///< [K_in], optional
};

// Both are used like every operation (variant.hpp): variants, choose_variant, workspace_bytes of
// the variant, launch. They allocate nothing on the device, do not synchronise, and can be captured
// in a CUDA graph.
// M = 0 succeeds. The forward then quantises the weights that it is given and writes nothing else.
// The backward writes zeros to dlinear_weight, dlinear_bias, dnorm_weight and dnorm_bias.

/// The weight_quant that fills every form of layer.weights that has memory, for callers that quantise once.
WeightQuant weight_quant_of(const BitLinearLayer& layer, const ConstMatrix& linear_weight);

/// Times cuBLASLt's candidates for the products of these arguments, and remembers the fastest in
/// `products` in place of its own first choice. Call it once, before the calls that matter: it
/// synchronises, and it overwrites outputs and workspace (as large as the variant's
/// workspace_bytes).
Status tune_products(const Variant<BitLinearForward>& variant, const BitLinearForward& a, const DeviceInfo& device,
                     Workspace workspace, Stream stream);
Status tune_products(const Variant<BitLinearBackward>& variant, const BitLinearBackward& a, const DeviceInfo& device,
                     Workspace workspace, Stream stream);

/// The forms that users of the Triton system have (section 4): the layer's switches; sizes, parameters and weights are
/// still to be given. Residual, prenorm and residual in float32 are tensors of the calls.
BitLinearLayer layer_norm_linear_quant(NormKind norm = NormKind::layer,
                                       float eps = default_eps::layer_norm_linear_quant);
BitLinearLayer rms_norm_linear_quant(float eps = default_eps::rms_norm_linear_quant);
BitLinearLayer bit_linear(float eps = default_eps::bit_linear);
/// class BitLinear, the definition: activation_quant rounds half to even.
BitLinearLayer unfused_bit_linear_module(float eps = default_eps::unfused_module, bool reproduce_dropped_bias = false);
/// class FusedBitLinear.
BitLinearLayer fused_bit_linear_module(float eps = default_eps::fused_module);

template <>
Status check_arguments(const BitLinearForward& a);
template <>
Status check_arguments(const BitLinearBackward& a);
template <>
std::int64_t algorithmic_bytes(const BitLinearForward& a);
template <>
std::int64_t algorithmic_bytes(const BitLinearBackward& a);
template <>
const std::vector<Variant<BitLinearForward>>& variants<BitLinearForward>(DeviceKind kind);
template <>
const std::vector<Variant<BitLinearBackward>>& variants<BitLinearBackward>(DeviceKind kind);
template <>
const Variant<BitLinearForward>& choose_variant(const BitLinearForward& a, const DeviceInfo& device);
template <>
const Variant<BitLinearBackward>& choose_variant(const BitLinearBackward& a, const DeviceInfo& device);
template <>
const Variant<BitLinearForward>& choose_variant(const BitLinearForward& a, const DeviceInfo& device,
                                                bool row_invariant);
template <>
const Variant<BitLinearBackward>& choose_variant(const BitLinearBackward& a, const DeviceInfo& device,
                                                 bool row_invariant);
template <>
Status launch(const Variant<BitLinearForward>& variant, const BitLinearForward& a, const DeviceInfo& device,
              Workspace workspace, Stream stream);
template <>
Status launch(const Variant<BitLinearBackward>& variant, const BitLinearBackward& a, const DeviceInfo& device,
              Workspace workspace, Stream stream);

}  // namespace normquant
