// The operators' schemas, and their kernels for the CPU and for CUDA. What they return without data (meta), and their gradients,
// are in python/normquant/ops.py.
#include "operators.hpp"

namespace {

namespace ops = normquant::torch_ops;

void give_kernels(torch::stable::detail::StableLibrary& library) {
  library.impl("norm_quant", TORCH_BOX(&ops::norm_quant));
  library.impl("direct_launch_us", TORCH_BOX(&ops::direct_launch_us));
  library.impl("bit_linear", TORCH_BOX(&ops::bit_linear));
  library.impl("norm_quant_forward", TORCH_BOX(&ops::norm_quant_forward));
  library.impl("norm_quant_codes", TORCH_BOX(&ops::norm_quant_codes));
  library.impl("norm_quantise", TORCH_BOX(&ops::norm_quantise));
  library.impl("quantise", TORCH_BOX(&ops::quantise));
  library.impl("norm_quant_backward", TORCH_BOX(&ops::norm_quant_backward));
  library.impl("activation_quant", TORCH_BOX(&ops::activation_quant));
  library.impl("weight_quant", TORCH_BOX(&ops::weight_quant));
  library.impl("bit_linear_forward", TORCH_BOX(&ops::bit_linear_forward));
  library.impl("bit_linear_backward", TORCH_BOX(&ops::bit_linear_backward));
  library.impl("pack_weight", TORCH_BOX(&ops::pack_weight));
  library.impl("packed_bit_linear", TORCH_BOX(&ops::packed_bit_linear));
  library.impl("packed_linear", TORCH_BOX(&ops::packed_linear));
}

}  // namespace

STABLE_TORCH_LIBRARY(normquant, library) {
  library.def(
      "norm_quant(Tensor x, Tensor? residual, Tensor? weight, Tensor? bias, float eps, bool rms, bool half_even, "
      "ScalarType? out_dtype) -> Tensor");
  library.def("direct_launch_us(Tensor x, Tensor weight, Tensor(a!) out, float eps, int calls) -> float");
  library.def(
      "bit_linear(Tensor x, Tensor? residual, Tensor? norm_weight, Tensor? norm_bias, Tensor linear_weight, "
      "Tensor? linear_bias, float eps, bool rms, bool half_even, bool exact, ScalarType operand) -> Tensor");
  library.def(
      "norm_quant_forward(Tensor x, Tensor? residual, Tensor? weight, Tensor? bias, float eps, bool rms, bool "
      "half_even, "
      "bool stored, ScalarType? out_dtype, ScalarType? residual_dtype, bool row_invariant=False) -> "
      "(Tensor out, Tensor mean, Tensor rstd, Tensor residual_out)");
  library.def(
      "norm_quant_codes(Tensor x, Tensor? residual, Tensor? weight, Tensor? bias, float eps, bool rms, bool half_even, "
      "bool row_invariant=False) -> "
      "(Tensor codes, Tensor dequant_scale)");
  library.def(
      "norm_quantise(Tensor x, Tensor? residual, Tensor? weight, Tensor? bias, float eps, bool rms, bool half_even, "
      "ScalarType codes_dtype, float static_scale, float floor, ScalarType? residual_dtype) -> "
      "(Tensor codes, Tensor dequant_scale, Tensor residual_out)");
  library.def(
      "quantise(Tensor x, bool half_even, ScalarType codes_dtype, float static_scale, float floor) -> "
      "(Tensor codes, Tensor dequant_scale)");
  library.def(
      "norm_quant_backward(Tensor dy, Tensor h, Tensor? weight, Tensor? bias, Tensor? mean, Tensor rstd, "
      "Tensor? dresidual, ScalarType dx_dtype, ScalarType? residual_dtype, bool half_even, ScalarType? "
      "recompute_dtype, bool row_invariant=False) -> "
      "(Tensor dx, Tensor dweight, Tensor dbias, Tensor dresidual_in, Tensor out)");
  library.def("activation_quant(Tensor x, bool half_even) -> Tensor");
  library.def("weight_quant(Tensor w, ScalarType? out_dtype) -> Tensor");
  library.def(
      "bit_linear_forward(Tensor x, Tensor? residual, Tensor? norm_weight, Tensor? norm_bias, Tensor linear_weight, "
      "Tensor? linear_bias, float eps, bool rms, bool half_even, bool exact, bool keep, ScalarType operand, "
      "ScalarType? residual_dtype, bool row_invariant=False) -> (Tensor out, Tensor w_q, Tensor mean, Tensor rstd, "
      "Tensor residual_out)");
  library.def(
      "bit_linear_backward(Tensor dout, Tensor h, Tensor? norm_weight, Tensor? norm_bias, Tensor w_q, Tensor? mean, "
      "Tensor rstd, Tensor? dresidual, bool half_even, ScalarType dx_dtype, ScalarType? residual_dtype, "
      "ScalarType? weight_dtype, ScalarType? bias_dtype) -> (Tensor dx, Tensor dnorm_weight, Tensor dnorm_bias, "
      "Tensor dlinear_weight, Tensor dlinear_bias, Tensor dresidual_in)");
  library.def("pack_weight(Tensor w) -> (Tensor packed, Tensor dequant_factor)");
  library.def(
      "packed_bit_linear(Tensor x, Tensor? norm_weight, Tensor? norm_bias, Tensor packed, Tensor dequant_factor, "
      "Tensor? linear_bias, float eps, bool rms, bool half_even, ScalarType out_dtype, bool row_invariant=False) -> "
      "Tensor");
  library.def(
      "packed_linear(Tensor x, Tensor packed, Tensor dequant_factor, Tensor? linear_bias, bool half_even, "
      "ScalarType out_dtype) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(normquant, CPU, library) { give_kernels(library); }
STABLE_TORCH_LIBRARY_IMPL(normquant, CUDA, library) { give_kernels(library); }
