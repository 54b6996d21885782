// bit_linear_forward, bit_linear_backward, and the forward from packed weights.
#include "operators.hpp"

#include <normquant/activation_quant.hpp>
#include <normquant/bit_linear.hpp>

#include "bit_linear/layer_kernels.hpp"
#include "bit_linear/scratch.hpp"
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

std::int64_t rows_of_weight(const Arguments& arguments, const char* name, const Tensor& weight) {
  if (weight.dim() != 2) {
    refuse(arguments.operation(),
           std::string(name) + " must be [K_out, K_in]; it has " + std::to_string(weight.dim()) + " dimensions");
  }
  return weight.size(0);
}

/// The weights' forms that only the call needs, the layer's and the variant's scratch, in one piece of memory.
class LayerScratch {
 public:
  LayerScratch(BitLinearLayer& layer, bool with_codes)
      : weights_(layer.weights),
        k_in_(layer.k_in),
        k_out_(layer.k_out),
        type_(layer.operand),
        with_codes_(with_codes),
        with_operand_(!with_codes && !layer.weights.operand.given()) {
    bytes_ = lay_out(nullptr);
  }
  /// Now the product has fake-quantised operands to read, and codes too.
  void add_codes() {
    with_codes_ = true;
    bytes_ = lay_out(nullptr);
  }
  std::size_t bytes() const { return bytes_; }
  /// Null: the addresses of nothing, by which a variant is chosen.
  std::size_t lay_out(void* memory) {
    Scratch scratch(memory);
    weights_.dequant_factor = static_cast<float*>(scratch.take(sizeof(float)));
    if (with_codes_) {
      weights_.ld_codes = (k_in_ + 15) / 16 * 16;  // rows at multiples of 16 bytes
      weights_.codes = static_cast<std::int8_t*>(scratch.take(static_cast<std::size_t>(k_out_ * weights_.ld_codes)));
    }
    if (with_operand_) weights_.operand = scratch.take_matrix(type_, k_out_, k_in_);
    return scratch.used();
  }

 private:
  BitLinearWeights& weights_;
  std::int64_t k_in_, k_out_;
  DType type_;
  bool with_codes_, with_operand_;
  std::size_t bytes_ = 0;
};

/// A call of the forward: its tensors, and all arguments but the outputs.
struct ForwardCall {
  Arguments arguments;
  std::int64_t k_in, k_out;
  Rows weight;  ///< it and the residual may be copies: they live until the launch
  std::optional<Rows> residual;
  BitLinearForward args;

  ForwardCall(const char* operation, const Tensor& x, const OptionalTensor& residual_of_x,
              const OptionalTensor& norm_weight, const OptionalTensor& norm_bias, const Tensor& linear_weight,
              const OptionalTensor& linear_bias, double eps, bool rms, bool half_even, ScalarType operand)
      : arguments(operation, "x", x),
        k_in(arguments.first().columns),
        k_out(rows_of_weight(arguments, "linear_weight", linear_weight)),
        weight(arguments.matrix("linear_weight", linear_weight, k_in)) {
    if (residual_of_x) residual = arguments.rows("residual", *residual_of_x, k_in);
    args.rows = arguments.first().rows;
    BitLinearLayer& layer = args.layer = layer_of(k_in, k_out, rms, half_even);
    layer.eps = static_cast<float>(eps);
    layer.operand = type_of(arguments.operation(), "operand", operand);
    layer.norm_weight = arguments.vector("norm_weight", norm_weight, k_in);
    layer.norm_bias = arguments.vector("norm_bias", norm_bias, k_in);
    layer.linear_bias = arguments.vector("linear_bias", linear_bias, k_out);
    args.x = arguments.first().matrix;
    args.linear_weight = weight.matrix;
    if (residual) args.residual = residual->matrix;
  }
};

/// With `exact` a product of integer codes.
void launch_forward(BitLinearForward& args, bool exact, const Arguments& arguments, const Place& place) {
  args.products = place.products();
  LayerScratch scratch(args.layer, exact);
  check(check_arguments(args));
  const Variant<BitLinearForward>* variant = &choose_variant(args, place.info(), args.layer.row_invariant);
  if (!exact && !variant->why_not(*variant, args, place.info()).empty()) {
    // cuBLASLt has no product of these operands with its bias: the exact one serves every shape.
    scratch.add_codes();
    variant = &choose_variant(args, place.info());
  }
  const std::size_t bytes = variant->workspace_bytes(*variant, args, place.info());
  const ScratchMemory memory(arguments, scratch.bytes() + bytes);
  (void)scratch.lay_out(memory.workspace().data);
  launch_checked(*variant, args, {static_cast<unsigned char*>(memory.workspace().data) + scratch.bytes(), bytes},
                 place);
}

}  // namespace

Tensor bit_linear(const Tensor& x, const OptionalTensor& residual, const OptionalTensor& norm_weight,
                  const OptionalTensor& norm_bias, const Tensor& linear_weight, const OptionalTensor& linear_bias,
                  double eps, bool rms, bool half_even, bool exact, ScalarType operand) {
  ForwardCall call("bit_linear", x, residual, norm_weight, norm_bias, linear_weight, linear_bias, eps, rms, half_even,
                   operand);
  BitLinearForward& args = call.args;
  const Tensor out = call.arguments.empty(call.arguments.shape(call.k_out), operand);
  args.out = matrix_of(out, args.layer.operand, call.k_out);
  launch_forward(args, exact, call.arguments, Place(call.arguments));
  return out;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> bit_linear_forward(
    const Tensor& x, const OptionalTensor& residual, const OptionalTensor& norm_weight, const OptionalTensor& norm_bias,
    const Tensor& linear_weight, const OptionalTensor& linear_bias, double eps, bool rms, bool half_even, bool exact,
    bool keep, ScalarType operand, std::optional<ScalarType> residual_dtype, bool row_invariant) {
  ForwardCall call("bit_linear_forward", x, residual, norm_weight, norm_bias, linear_weight, linear_bias, eps, rms,
                   half_even, operand);
  Arguments& arguments = call.arguments;
  BitLinearForward& args = call.args;
  const std::int64_t k_in = call.k_in, k_out = call.k_out;
  const DType type = args.layer.operand;
  args.layer.row_invariant = row_invariant;
  if (row_invariant && !exact) {
    refuse(arguments.operation(),
           "row_invariant needs the exact product: that of fake-quantised operands follows the number of rows");
  }

  const Tensor out = arguments.empty(arguments.shape(k_out), operand);
  args.out = matrix_of(out, type, k_out);
  const Tensor mean = rms ? arguments.nothing() : arguments.empty({args.rows}, ScalarType::Float);
  const Tensor rstd = arguments.empty({args.rows}, ScalarType::Float);
  if (!rms) args.mean = floats_of(mean);
  args.rstd = floats_of(rstd);
  const Tensor residual_out =
      residual_dtype ? arguments.empty(arguments.shape(k_in), *residual_dtype) : arguments.nothing();
  if (residual_dtype) {
    args.residual_out = matrix_of(residual_out, type_of(arguments.operation(), "residual_out", *residual_dtype), k_in);
  }

  const Tensor w_q = keep ? arguments.empty({k_out, k_in}, operand) : arguments.nothing();
  if (keep) args.layer.weights.operand = matrix_of(w_q, type, k_in);
  launch_forward(args, exact, arguments, Place(arguments));
  return {out, w_q, mean, rstd, residual_out};
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
