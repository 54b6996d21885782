// bit_linear_forward, bit_linear_backward, and the forward from packed weights.
#include "operators.hpp"

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>

#include "bit_linear/layer_kernels.hpp"
#include "devices.hpp"

namespace normquant::torch_ops {
namespace {

constexpr float never_read = 0;

BitLinearLayer layer_of(std::int64_t k_in, std::int64_t k_out, bool rms, bool half_even) {
  BitLinearLayer layer = layer_norm_linear_quant(rms ? NormKind::rms : NormKind::layer);
  layer.k_in = k_in;
  layer.k_out = k_out;
  layer.rounding = half_even ? Rounding::half_even : Rounding::half_away;
  return layer;
}

/// The memory of a new tensor of floats; null where it has no elements.
float* floats_of(const Tensor& tensor) { return static_cast<float*>(tensor.mutable_data_ptr()); }

/// Ternary codes that last as long as the call, rows at multiples of 16 bytes.
Tensor give_codes(BitLinearLayer& layer, const Arguments& arguments) {
  layer.weights.ld_codes = (layer.k_in + 15) / 16 * 16;
  Tensor codes = arguments.empty({layer.k_out * layer.weights.ld_codes + 4}, ScalarType::Char);
  layer.weights.codes = static_cast<std::int8_t*>(codes.mutable_data_ptr());
  return codes;
}

std::int64_t rows_of_weight(const Arguments& arguments, const char* name, const Tensor& weight) {
  if (weight.dim() != 2) {
    refuse(arguments.operation(),
           std::string(name) + " must be [K_out, K_in]; it has " + std::to_string(weight.dim()) + " dimensions");
  }
  return weight.size(0);
}

}  // namespace

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> bit_linear_forward(
    const Tensor& x, const OptionalTensor& residual, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
    const Tensor& linear_weight, const OptionalTensor& linear_bias, double eps, bool rms, bool half_even, bool exact,
    bool keep, ScalarType operand, std::optional<ScalarType> residual_dtype, bool row_invariant) {
  Arguments arguments("bit_linear_forward", "x", x);
  const std::int64_t k_in = arguments.first().columns;
  const std::int64_t k_out = rows_of_weight(arguments, "linear_weight", linear_weight);
  const Rows weight = arguments.matrix("linear_weight", linear_weight, k_in);
  std::optional<Rows> residual_rows;
  if (residual) residual_rows = arguments.rows("residual", *residual, k_in);

  BitLinearForward args;
  args.rows = arguments.first().rows;
  BitLinearLayer& layer = args.layer = layer_of(k_in, k_out, rms, half_even);
  layer.eps = static_cast<float>(eps);
  layer.operand = type_of(arguments.operation(), "operand", operand);
  layer.row_invariant = row_invariant;
  if (row_invariant && !exact) {
    refuse(arguments.operation(),
           "row_invariant needs the exact product: that of fake-quantised operands follows the number of rows");
  }
  layer.norm_weight = arguments.vector("norm_weight", norm_weight, k_in);
  layer.norm_bias = arguments.vector("norm_bias", norm_bias, k_in);
  layer.linear_bias = arguments.vector("linear_bias", linear_bias, k_out);
  args.x = arguments.first().matrix;
  args.linear_weight = weight.matrix;
  if (residual_rows) args.residual = residual_rows->matrix;

  const Tensor out = arguments.empty(arguments.shape(k_out), operand);
  args.out = matrix_of(out, layer.operand, k_out);
  const Tensor mean = rms ? arguments.nothing() : arguments.empty({args.rows}, ScalarType::Float);
  const Tensor rstd = arguments.empty({args.rows}, ScalarType::Float);
  if (!rms) args.mean = floats_of(mean);
  args.rstd = floats_of(rstd);
  const Tensor residual_out =
      residual_dtype ? arguments.empty(arguments.shape(k_in), *residual_dtype) : arguments.nothing();
  if (residual_dtype) {
    args.residual_out = matrix_of(residual_out, type_of(arguments.operation(), "residual_out", *residual_dtype), k_in);
  }

  const Place place(arguments);
  args.products = place.products();
  const bool has_operand = keep || !exact;
  const Tensor w_q = has_operand ? arguments.empty({k_out, k_in}, operand) : arguments.nothing();
  if (has_operand) layer.weights.operand = matrix_of(w_q, layer.operand, k_in);
  const Tensor factor = arguments.empty({1}, ScalarType::Float);
  layer.weights.dequant_factor = floats_of(factor);
  OptionalTensor codes;
  if (exact) codes = give_codes(layer, arguments);
  check(check_arguments(args));
  const Variant<BitLinearForward>* variant = &choose_variant(args, place.info(), row_invariant);
  if (!exact && !variant->why_not(*variant, args, place.info()).empty()) {
    // cuBLASLt has no product of these operands with its bias: the exact one serves every shape.
    codes = give_codes(layer, arguments);
    variant = &choose_variant(args, place.info());
  }
  launch_variant(*variant, args, arguments, place);
  return {out, keep ? w_q : arguments.nothing(), mean, rstd, residual_out};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> bit_linear_backward(
    const Tensor& dout, const Tensor& h, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
    const Tensor& w_q, const OptionalTensor& mean, const Tensor& rstd, const OptionalTensor& dresidual, bool half_even,
    ScalarType dx_dtype, std::optional<ScalarType> residual_dtype, std::optional<ScalarType> weight_dtype,
    std::optional<ScalarType> bias_dtype) {
  Arguments arguments("bit_linear_backward", "h", h);
  const std::int64_t k_in = arguments.first().columns;
  const std::int64_t k_out = rows_of_weight(arguments, "w_q", w_q);
  const Rows weight = arguments.matrix("w_q", w_q, k_in);
  const Rows dout_rows = arguments.rows("dout", dout, k_out);
  std::optional<Rows> dresidual_rows;
  if (dresidual) dresidual_rows = arguments.rows("dresidual", *dresidual, k_in);

  BitLinearBackward args;
  args.rows = arguments.first().rows;
  BitLinearLayer& layer = args.layer = layer_of(k_in, k_out, !mean, half_even);
  layer.operand = weight.matrix.type;
  layer.norm_weight = arguments.vector("norm_weight", norm_weight, k_in);
  layer.norm_bias = arguments.vector("norm_bias", norm_bias, k_in);
  layer.weights.operand = {const_cast<void*>(weight.matrix.data), weight.matrix.type, weight.matrix.ld};  // read only
  args.dout = dout_rows.matrix;
  args.h = arguments.first().matrix;
  args.mean = args.rows == 0 && mean ? &never_read : arguments.floats("mean", mean, args.rows);
  args.rstd = args.rows == 0 ? &never_read : arguments.floats("rstd", rstd, args.rows);
  if (dresidual_rows) args.dresidual = dresidual_rows->matrix;

  const auto matrix = [&](const char* name, const std::optional<ScalarType>& type, std::vector<std::int64_t> sizes,
                          Matrix& to) {
    if (!type) return arguments.nothing();
    Tensor tensor = arguments.empty(sizes, *type);
    to = matrix_of(tensor, type_of(arguments.operation(), name, *type), sizes.back());
    return tensor;
  };
  const auto vector = [&](bool wanted, DType type, std::int64_t size, Vector& to) {
    if (!wanted) return arguments.nothing();
    Tensor tensor = arguments.empty({size}, scalar_type_of(type));
    to = {tensor.mutable_data_ptr(), type};
    return tensor;
  };
  const Tensor dx = matrix("dx", dx_dtype, arguments.shape(k_in), args.dx);
  const Tensor dresidual_in = matrix("dresidual_in", residual_dtype, arguments.shape(k_in), args.dx_residual);
  const Tensor dlinear_weight = matrix("dlinear_weight", weight_dtype, {k_out, k_in}, args.dlinear_weight);
  const DType bias_type = bias_dtype ? type_of(arguments.operation(), "dlinear_bias", *bias_dtype) : DType::float32;
  const Tensor dlinear_bias = vector(bias_dtype.has_value(), bias_type, k_out, args.dlinear_bias);
  const Tensor dnorm_weight = vector(layer.norm_weight.given(), layer.norm_weight.type, k_in, args.dnorm_weight);
  const Tensor dnorm_bias = vector(layer.norm_bias.given(), layer.norm_bias.type, k_in, args.dnorm_bias);
  const Place place(arguments);
  args.products = place.products();
  launch_chosen(args, arguments, place);
  return {dx, dnorm_weight, dnorm_bias, dlinear_weight, dlinear_bias, dresidual_in};
}

std::tuple<Tensor, Tensor> pack_weight(const Tensor& w) {
  Arguments arguments("pack_weight", "w", w);
  WeightQuant args;
  args.rows = rows_of_weight(arguments, "w", w);
  args.columns = arguments.first().columns;
  args.w = arguments.first().matrix;
  args.ld_packed = packed_row_bytes(args.columns);
  const Tensor packed = arguments.empty({args.rows, args.ld_packed}, ScalarType::Byte);
  const Tensor factor = arguments.empty({1}, ScalarType::Float);
  args.packed = static_cast<std::uint8_t*>(matrix_of(packed, {}, args.ld_packed).data);
  args.dequant_factor = floats_of(factor);
  const Place place(arguments);
  launch_chosen(args, arguments, place);
  return {packed, factor};
}

Tensor packed_bit_linear(const Tensor& x, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
                         const Tensor& packed, const Tensor& dequant_factor, const OptionalTensor& linear_bias,
                         double eps, bool rms, bool half_even, ScalarType out_dtype, bool row_invariant) {
  Arguments arguments("packed_bit_linear", "x", x);
  const std::int64_t k_in = arguments.first().columns;
  const std::int64_t k_out = rows_of_weight(arguments, "packed", packed);
  BitLinearForward args;
  args.rows = arguments.first().rows;
  BitLinearLayer& layer = args.layer = layer_of(k_in, k_out, rms, half_even);
  layer.eps = static_cast<float>(eps);
  layer.row_invariant = row_invariant;
  layer.norm_weight = arguments.vector("norm_weight", norm_weight, k_in);
  layer.norm_bias = arguments.vector("norm_bias", norm_bias, k_in);
  layer.linear_bias = arguments.vector("linear_bias", linear_bias, k_out);
  layer.weights.ld_packed = packed_row_bytes(k_in);
  layer.weights.packed = static_cast<std::uint8_t*>(
      const_cast<void*>(arguments.bytes("packed", packed, false, k_out, packed_row_bytes(k_in))));
  layer.weights.dequant_factor = const_cast<float*>(arguments.floats("dequant_factor", dequant_factor, 1));
  args.x = arguments.first().matrix;
  const Tensor out = arguments.empty(arguments.shape(k_out), out_dtype);
  args.out = matrix_of(out, type_of(arguments.operation(), "out", out_dtype), k_out);
  const Place place(arguments);
  launch_chosen(args, arguments, place, row_invariant);
  return out;
}

Tensor packed_linear(const Tensor& x, const Tensor& packed, const Tensor& dequant_factor,
                     const OptionalTensor& linear_bias, bool half_even, ScalarType out_dtype) {
  Arguments arguments("packed_linear", "x", x);
  const std::int64_t k_in = arguments.first().columns;
  const std::int64_t k_out = rows_of_weight(arguments, "packed", packed);
  ActivationQuant args;
  args.rows = arguments.first().rows;
  args.columns = k_in;
  args.rounding = half_even ? Rounding::half_even : Rounding::half_away;
  args.x = arguments.first().matrix;
  args.output.ld_codes = (k_in + 15) / 16 * 16;
  const Tensor codes = arguments.empty({args.rows * args.output.ld_codes + 16}, ScalarType::Char);
  const Tensor scales = arguments.empty({args.rows + 1}, ScalarType::Float);
  args.output.codes = static_cast<std::int8_t*>(codes.mutable_data_ptr());
  args.output.dequant_scale = floats_of(scales);

  PackedProduct product;
  product.rows = args.rows;
  product.columns = k_out;
  product.depth = k_in;
  product.codes = args.output.codes;
  product.ld_codes = args.output.ld_codes;
  product.ld_packed = packed_row_bytes(k_in);
  product.packed = static_cast<const std::uint8_t*>(arguments.bytes("packed", packed, false, k_out, product.ld_packed));
  product.scales.dequant_scale = args.output.dequant_scale;
  product.scales.dequant_factor = arguments.floats("dequant_factor", dequant_factor, 1);
  product.scales.bias = arguments.vector("linear_bias", linear_bias, k_out);
  const Tensor out = arguments.empty(arguments.shape(k_out), out_dtype);
  product.out = matrix_of(out, type_of(arguments.operation(), "out", out_dtype), k_out);
  const Place place(arguments);
  launch_chosen(args, arguments, place);
  if (args.rows > 0) check(packed_product(product, place.info(), place.stream()));
  return out;
}

}  // namespace normquant::torch_ops
