// The operators, as library.cpp gives them to torch: schemas and meaning are in docs/python.md. Each allocates its results by
// torch, launches on torch's current stream and does not wait. A result that was not asked for is a tensor without elements.
// `row_invariant`: a row has the same bits whatever the number of rows is (docs/row_invariance.md); refused where that cannot be.
#pragma once

#include <tuple>

#include "tensors.hpp"

namespace normquant::torch_ops {

/// out, mean (layer norm), rstd, residual_out (with a residual_dtype).
std::tuple<Tensor, Tensor, Tensor, Tensor> norm_quant_forward(const Tensor& x, const OptionalTensor& residual,
                                                              const OptionalTensor& weight, const OptionalTensor& bias,
                                                              double eps, bool rms, bool half_even, bool stored,
                                                              std::optional<ScalarType> out_dtype,
                                                              std::optional<ScalarType> residual_dtype,
                                                              bool row_invariant);

/// out alone: what a call without gradient needs, in one allocation.
Tensor norm_quant(const Tensor& x, const OptionalTensor& residual, const OptionalTensor& weight,
                  const OptionalTensor& bias, double eps, bool rms, bool half_even,
                  std::optional<ScalarType> out_dtype);

/// Microseconds that a launch of RMS norm and quantisation into `out` takes the CPU when the library is called by itself, mean of
/// `calls`: what an operator's call is measured against.
double direct_launch_us(const Tensor& x, const Tensor& weight, const Tensor& out, double eps, std::int64_t calls);

/// int8 codes, dequant_scale.
std::tuple<Tensor, Tensor> norm_quant_codes(const Tensor& x, const OptionalTensor& residual,
                                            const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                                            bool rms, bool half_even, bool row_invariant);

/// Codes of int8 or float8_e4m3fn, dequant_scale (without a static scale: 0), residual_out (with a residual_dtype).
std::tuple<Tensor, Tensor, Tensor> norm_quantise(const Tensor& x, const OptionalTensor& residual,
                                                 const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                                                 bool rms, bool half_even, ScalarType codes_dtype, double static_scale,
                                                 double floor, std::optional<ScalarType> residual_dtype);

/// Codes of x itself, dequant_scale.
std::tuple<Tensor, Tensor> quantise(const Tensor& x, bool half_even, ScalarType codes_dtype, double static_scale,
                                    double floor);

/// dx, dweight, dbias, dresidual_in (with a residual_dtype), out (with a recompute_dtype). A mean makes it layer norm.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> norm_quant_backward(
    const Tensor& dy, const Tensor& h, const OptionalTensor& weight, const OptionalTensor& bias,
    const OptionalTensor& mean, const Tensor& rstd, const OptionalTensor& dresidual, ScalarType dx_dtype,
    std::optional<ScalarType> residual_dtype, bool half_even, std::optional<ScalarType> recompute_dtype,
    bool row_invariant);

Tensor activation_quant(const Tensor& x, bool half_even);
Tensor weight_quant(const Tensor& w, std::optional<ScalarType> out_dtype);

/// out alone: what a call without gradient needs, in two allocations.
Tensor bit_linear(const Tensor& x, const OptionalTensor& residual, const OptionalTensor& norm_weight,
                  const OptionalTensor& norm_bias, const Tensor& linear_weight, const OptionalTensor& linear_bias,
                  double eps, bool rms, bool half_even, bool exact, ScalarType operand);

/// out, w_q (with `keep`, for the backward), mean (layer norm), rstd, residual_out (with a residual_dtype). `exact` allows
/// products of integer codes, whose sums are exact; without it the product is one of fake-quantised operands.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> bit_linear_forward(
    const Tensor& x, const OptionalTensor& residual, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
    const Tensor& linear_weight, const OptionalTensor& linear_bias, double eps, bool rms, bool half_even, bool exact,
    bool keep, ScalarType operand, std::optional<ScalarType> residual_dtype, bool row_invariant);

/// dx, dnorm_weight, dnorm_bias, dlinear_weight, dlinear_bias, dresidual_in. A mean makes it layer norm; a dtype that is not
/// given leaves its gradient out.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bit_linear_backward(
    const Tensor& dout, const Tensor& h, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
    const Tensor& w_q, const OptionalTensor& mean, const Tensor& rstd, const OptionalTensor& dresidual, bool half_even,
    ScalarType dx_dtype, std::optional<ScalarType> residual_dtype, std::optional<ScalarType> weight_dtype,
    std::optional<ScalarType> bias_dtype);

/// packed [K_out, ceil(K_in / 4)] uint8, dequant_factor [1].
std::tuple<Tensor, Tensor> pack_weight(const Tensor& w);

/// The layer's forward from packed weights.
Tensor packed_bit_linear(const Tensor& x, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
                         const Tensor& packed, const Tensor& dequant_factor, const OptionalTensor& linear_bias,
                         double eps, bool rms, bool half_even, ScalarType out_dtype, bool row_invariant);

/// The same without a norm: activation_quant(x) by the packed weights.
Tensor packed_linear(const Tensor& x, const Tensor& packed, const Tensor& dequant_factor,
                     const OptionalTensor& linear_bias, bool half_even, ScalarType out_dtype);

}  // namespace normquant::torch_ops
