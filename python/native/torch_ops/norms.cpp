// norm_quant_forward, norm_quant_codes, norm_quantise, quantise, norm_quant_backward, activation_quant, weight_quant.
#include "operators.hpp"

#include <chrono>

#include <normquant/activation_quant.hpp>
#include <normquant/norm_quant_backward.hpp>
#include <normquant/norm_quant_forward.hpp>
#include <normquant/weight_quant.hpp>

#include "devices.hpp"

namespace normquant::torch_ops {
namespace {

Rounding rounding_of(bool half_even) { return half_even ? Rounding::half_even : Rounding::half_away; }

float* floats_of(const Tensor& tensor) { return static_cast<float*>(tensor.mutable_data_ptr()); }

Vector vector_of(const Tensor& tensor, DType type) { return {tensor.mutable_data_ptr(), type}; }

/// static_scale 0: each row has its own.
Quantisation quantisation_of(const char* operation, ScalarType codes_dtype, double static_scale, double floor) {
  Quantisation q;
  if (codes_dtype == ScalarType::Float8_e4m3fn) {
    q.format = QuantFormat::fp8_e4m3;
  } else if (codes_dtype != ScalarType::Char) {
    refuse(operation, "codes are int8 or float8_e4m3fn");
  }
  q.static_scale = static_cast<float>(static_scale);
  q.floor = static_cast<float>(floor);
  return q;
}

/// Codes and their scales as two new tensors; with a static scale the second has no elements.
std::tuple<Tensor, Tensor> add_codes(const Arguments& arguments, ScalarType type, const Quantisation& quantisation,
                                     QuantOutput& output) {
  const std::int64_t columns = arguments.first().columns;
  const Tensor codes = arguments.empty(arguments.shape(columns), type);
  output.codes = static_cast<std::int8_t*>(matrix_of(codes, {}, columns).data);
  output.ld_codes = columns;
  if (quantisation.has_static_scale()) return {codes, arguments.nothing()};
  const Tensor dequant_scale = arguments.empty({arguments.first().rows}, ScalarType::Float);
  output.dequant_scale = static_cast<float*>(matrix_of(dequant_scale, {}, 1).data);
  return {codes, dequant_scale};
}

/// What all forms of the forward share. `residual` and `arguments` live until the launch.
NormQuantForward forward_arguments(Arguments& arguments, const std::optional<Rows>& residual,
                                   const OptionalTensor& weight, const OptionalTensor& bias, double eps, bool rms,
                                   bool half_even) {
  NormQuantForward args;
  args.rows = arguments.first().rows;
  args.columns = arguments.first().columns;
  args.norm = rms ? NormKind::rms : NormKind::layer;
  args.rounding = rounding_of(half_even);
  args.eps = static_cast<float>(eps);
  args.x = arguments.first().matrix;
  if (residual) args.residual = residual->matrix;
  args.weight = arguments.vector("weight", weight, args.columns);
  args.bias = arguments.vector("bias", bias, args.columns);
  return args;
}

}  // namespace

Tensor norm_quant(const Tensor& x, const OptionalTensor& residual, const OptionalTensor& weight,
                  const OptionalTensor& bias, double eps, bool rms, bool half_even,
                  std::optional<ScalarType> out_dtype) {
  Arguments arguments("norm_quant", "x", x);
  std::optional<Rows> residual_rows;
  if (residual) residual_rows = arguments.rows("residual", *residual, arguments.first().columns);
  NormQuantForward args = forward_arguments(arguments, residual_rows, weight, bias, eps, rms, half_even);
  const ScalarType out_type = out_dtype.value_or(x.scalar_type());
  const Tensor out = arguments.empty(arguments.shape(args.columns), out_type);
  args.output.out = matrix_of(out, type_of(arguments.operation(), "out", out_type), args.columns);
  launch_chosen(args, arguments, Place(arguments));
  return out;
}

double direct_launch_us(const Tensor& x, const Tensor& weight, const Tensor& out, double eps, std::int64_t calls) {
  Arguments arguments("direct_launch_us", "x", x);
  NormQuantForward args = forward_arguments(arguments, {}, weight, {}, eps, true, false);
  args.output.out = matrix_of(out, type_of(arguments.operation(), "out", out), args.columns);
  const Place place(arguments);
  const Variant<NormQuantForward>& first = choose_variant(args, place.info());
  const ScratchMemory scratch(arguments, first.workspace_bytes(first, args, place.info()));
  const auto launch_once = [&] {
    const Variant<NormQuantForward>& variant = choose_variant(args, place.info());
    check(normquant::launch(variant, args, place.info(), scratch.workspace(), place.stream()));
  };
  launch_once();
  const auto begin = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < calls; ++i) launch_once();
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - begin;
  return taken.count() / static_cast<double>(calls);
}

std::tuple<Tensor, Tensor, Tensor, Tensor> norm_quant_forward(const Tensor& x, const OptionalTensor& residual,
                                                              const OptionalTensor& weight, const OptionalTensor& bias,
                                                              double eps, bool rms, bool half_even, bool stored,
                                                              std::optional<ScalarType> out_dtype,
                                                              std::optional<ScalarType> residual_dtype,
                                                              bool row_invariant) {
  Arguments arguments("norm_quant_forward", "x", x);
  std::optional<Rows> residual_rows;
  if (residual) residual_rows = arguments.rows("residual", *residual, arguments.first().columns);
  NormQuantForward args = forward_arguments(arguments, residual_rows, weight, bias, eps, rms, half_even);
  args.h_source = stored ? HSource::stored : HSource::unrounded;
  const ScalarType out_type = out_dtype.value_or(x.scalar_type());
  const Tensor out = arguments.empty(arguments.shape(args.columns), out_type);
  args.output.out = matrix_of(out, type_of(arguments.operation(), "out", out_type), args.columns);
  const Tensor mean = rms ? arguments.nothing() : arguments.empty({args.rows}, ScalarType::Float);
  const Tensor rstd = arguments.empty({args.rows}, ScalarType::Float);
  if (!rms) args.mean = floats_of(mean);
  args.rstd = floats_of(rstd);
  Tensor residual_out =
      residual_dtype ? arguments.empty(arguments.shape(args.columns), *residual_dtype) : arguments.nothing();
  if (residual_dtype) {
    const DType type = type_of(arguments.operation(), "residual_out", *residual_dtype);
    args.residual_out = matrix_of(residual_out, type, args.columns);
  }
  const Place place(arguments);
  launch_chosen(args, arguments, place, row_invariant);
  return {out, mean, rstd, residual_out};
}

std::tuple<Tensor, Tensor> norm_quant_codes(const Tensor& x, const OptionalTensor& residual,
                                            const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                                            bool rms, bool half_even, bool row_invariant) {
  Arguments arguments("norm_quant_codes", "x", x);
  std::optional<Rows> residual_rows;
  if (residual) residual_rows = arguments.rows("residual", *residual, arguments.first().columns);
  NormQuantForward args = forward_arguments(arguments, residual_rows, weight, bias, eps, rms, half_even);
  const auto [codes, dequant_scale] = add_codes(arguments, ScalarType::Char, args.quantisation, args.output);
  const Place place(arguments);
  launch_chosen(args, arguments, place, row_invariant);
  return {codes, dequant_scale};
}

std::tuple<Tensor, Tensor, Tensor> norm_quantise(const Tensor& x, const OptionalTensor& residual,
                                                 const OptionalTensor& weight, const OptionalTensor& bias, double eps,
                                                 bool rms, bool half_even, ScalarType codes_dtype, double static_scale,
                                                 double floor, std::optional<ScalarType> residual_dtype) {
  Arguments arguments("norm_quantise", "x", x);
  std::optional<Rows> residual_rows;
  if (residual) residual_rows = arguments.rows("residual", *residual, arguments.first().columns);
  NormQuantForward args = forward_arguments(arguments, residual_rows, weight, bias, eps, rms, half_even);
  args.quantisation = quantisation_of(arguments.operation(), codes_dtype, static_scale, floor);
  const auto [codes, dequant_scale] = add_codes(arguments, codes_dtype, args.quantisation, args.output);
  const Tensor residual_out =
      residual_dtype ? arguments.empty(arguments.shape(args.columns), *residual_dtype) : arguments.nothing();
  if (residual_dtype) {
    const DType type = type_of(arguments.operation(), "residual_out", *residual_dtype);
    args.residual_out = matrix_of(residual_out, type, args.columns);
  }
  const Place place(arguments);
  launch_chosen(args, arguments, place);
  return {codes, dequant_scale, residual_out};
}

std::tuple<Tensor, Tensor> quantise(const Tensor& x, bool half_even, ScalarType codes_dtype, double static_scale,
                                    double floor) {
  Arguments arguments("quantise", "x", x);
  ActivationQuant args;
  args.rows = arguments.first().rows;
  args.columns = arguments.first().columns;
  args.rounding = rounding_of(half_even);
  args.x = arguments.first().matrix;
  args.quantisation = quantisation_of(arguments.operation(), codes_dtype, static_scale, floor);
  const auto [codes, dequant_scale] = add_codes(arguments, codes_dtype, args.quantisation, args.output);
  const Place place(arguments);
  launch_chosen(args, arguments, place);
  return {codes, dequant_scale};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> norm_quant_backward(
    const Tensor& dy, const Tensor& h, const OptionalTensor& weight, const OptionalTensor& bias,
    const OptionalTensor& mean, const Tensor& rstd, const OptionalTensor& dresidual, ScalarType dx_dtype,
    std::optional<ScalarType> residual_dtype, bool half_even, std::optional<ScalarType> recompute_dtype,
    bool row_invariant) {
  Arguments arguments("norm_quant_backward", "h", h);
  NormQuantBackward args;
  args.rows = arguments.first().rows;
  args.columns = arguments.first().columns;
  args.norm = mean ? NormKind::layer : NormKind::rms;
  args.rounding = rounding_of(half_even);
  args.h = arguments.first().matrix;
  const Rows dy_rows = arguments.rows("dy", dy, args.columns);
  args.dy = dy_rows.matrix;
  args.weight = arguments.vector("weight", weight, args.columns);
  args.bias = arguments.vector("bias", bias, args.columns);
  args.mean = arguments.floats("mean", mean, args.rows);
  static constexpr float never_read = 0;
  args.rstd = args.rows == 0 ? &never_read : arguments.floats("rstd", rstd, args.rows);
  if (args.rows == 0 && mean) args.mean = &never_read;
  std::optional<Rows> dresidual_rows;
  if (dresidual) {
    dresidual_rows = arguments.rows("dresidual", *dresidual, args.columns);
    args.dresidual = dresidual_rows->matrix;
  }
  const auto matrix = [&](const char* name, ScalarType type, Matrix& to) {
    Tensor tensor = arguments.empty(arguments.shape(args.columns), type);
    to = matrix_of(tensor, type_of(arguments.operation(), name, type), args.columns);
    return tensor;
  };
  const auto sums = [&](const ConstVector& of, Vector& to) {
    if (!of.given()) return arguments.nothing();
    Tensor tensor = arguments.empty({args.columns}, scalar_type_of(of.type));
    to = vector_of(tensor, of.type);
    return tensor;
  };
  const Tensor dx = matrix("dx", dx_dtype, args.dx);
  const Tensor dresidual_in =
      residual_dtype ? matrix("dresidual_in", *residual_dtype, args.dx_residual) : arguments.nothing();
  const Tensor out = recompute_dtype ? matrix("out", *recompute_dtype, args.recomputed.out) : arguments.nothing();
  const Tensor dweight = sums(args.weight, args.dweight);
  const Tensor dbias = sums(args.bias, args.dbias);
  const Place place(arguments);
  launch_chosen(args, arguments, place, row_invariant);
  return {dx, dweight, dbias, dresidual_in, out};
}

Tensor activation_quant(const Tensor& x, bool half_even) {
  Arguments arguments("activation_quant", "x", x);
  ActivationQuant args;
  args.rows = arguments.first().rows;
  args.columns = arguments.first().columns;
  args.rounding = rounding_of(half_even);
  args.x = arguments.first().matrix;
  const Tensor out = arguments.empty(arguments.shape(args.columns), x.scalar_type());
  args.output.out = matrix_of(out, args.x.type, args.columns);
  const Place place(arguments);
  launch_chosen(args, arguments, place);
  return out;
}

Tensor weight_quant(const Tensor& w, std::optional<ScalarType> out_dtype) {
  Arguments arguments("weight_quant", "w", w);
  WeightQuant args;
  args.rows = arguments.first().rows;
  args.columns = arguments.first().columns;
  args.w = arguments.first().matrix;
  const ScalarType type = out_dtype.value_or(w.scalar_type());
  const Tensor out = arguments.empty(arguments.shape(args.columns), type);
  args.out = matrix_of(out, type_of(arguments.operation(), "out", type), args.columns);
  const Place place(arguments);
  launch_chosen(args, arguments, place);
  return out;
}

}  // namespace normquant::torch_ops
