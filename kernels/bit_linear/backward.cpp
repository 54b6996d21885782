// bit_linear_backward: contract, bytes, variants.
//
//   dy = dout * w_q -> norm_quant_backward (dx, dnorm_weight, dnorm_bias, y_q again) -> dlinear_weight = dout^T * y_q
//   dlinear_bias = sum over rows of dout
#include <normquant/bit_linear.hpp>
#include <normquant/norm_quant_backward.hpp>

#include "bit_linear/layer_arguments.hpp"
#include "bit_linear/layer_kernels.hpp"
#include "bit_linear/matrix_products.hpp"
#include "bit_linear/scratch.hpp"

namespace normquant {
namespace {

/// The norm's arguments but dy and y_q, which are scratch.
NormQuantBackward norm_arguments(const BitLinearBackward& a) {
  NormQuantBackward args;
  args.rows = a.rows;
  args.columns = a.layer.k_in;
  args.norm = a.layer.norm;
  args.rounding = a.layer.rounding;
  args.h = a.h;
  args.weight = a.layer.norm_weight;
  args.bias = a.layer.norm_bias;
  args.mean = a.mean;
  args.rstd = a.rstd;
  args.quant_scale = a.quant_scale;
  args.dresidual = a.dresidual;
  args.dx = a.dx;
  args.dx_residual = a.dx_residual;
  args.dweight = a.dnorm_weight;
  args.dbias = a.dnorm_bias;
  return args;
}

/// All steps with their scratch.
struct Steps {
  MatrixProduct dy, dlinear_weight;
  Step<NormQuantBackward> norm;
  RowSums dlinear_bias;
  void* of_products;

  Steps(const BitLinearBackward& a, const DeviceInfo& device, Scratch& scratch) {
    const BitLinearLayer& layer = a.layer;
    NormQuantBackward args = norm_arguments(a);
    const Matrix dy_out = scratch.take_matrix(layer.operand, a.rows, layer.k_in);
    args.dy = constant(dy_out);
    if (a.dlinear_weight.given()) args.recomputed.out = scratch.take_matrix(layer.operand, a.rows, layer.k_in);
    norm = Step<NormQuantBackward>(args, device, scratch);

    dy.rows = a.rows;
    dy.columns = layer.k_in;
    dy.depth = layer.k_out;
    dy.a = a.dout;
    dy.b = constant(layer.weights.operand);
    dy.d = dy_out;

    dlinear_weight.rows = layer.k_out;
    dlinear_weight.columns = layer.k_in;
    dlinear_weight.depth = a.rows;
    dlinear_weight.transpose_a = true;
    dlinear_weight.a = a.dout;
    dlinear_weight.b = constant(args.recomputed.out);
    dlinear_weight.d = a.dlinear_weight;

    dlinear_bias.rows = a.rows;
    dlinear_bias.columns = layer.k_out;
    dlinear_bias.values = a.dout;
    dlinear_bias.sums = a.dlinear_bias;
    if (a.dlinear_bias.given()) {
      dlinear_bias.partial = static_cast<float*>(scratch.take(row_sums_partial_bytes(a.rows, layer.k_out)));
    }
    of_products = scratch.take(a.products->workspace_bytes());
  }
};

std::string why_not(const Variant<BitLinearBackward>&, const BitLinearBackward& a, const DeviceInfo& device) {
  if (a.rows == 0) return {};
  Scratch scratch;
  const Steps steps(a, device, scratch);
  std::string why = a.products->why_not(steps.dy);
  if (why.empty() && a.dlinear_weight.given()) why = a.products->why_not(steps.dlinear_weight);
  return why;
}

std::size_t workspace_bytes(const Variant<BitLinearBackward>&, const BitLinearBackward& a, const DeviceInfo& device) {
  Scratch scratch;
  (void)Steps(a, device, scratch);
  return scratch.used();
}

std::int64_t requested_bytes(const Variant<BitLinearBackward>&, const BitLinearBackward& a, const DeviceInfo&) {
  return algorithmic_bytes(a);
}

/// The rows of dlinear_weight without what lies between them.
Status zero_rows(const Matrix& matrix, std::int64_t rows, std::int64_t columns, const DeviceInfo& device,
                 Stream stream) {
  const auto bytes = [&](std::int64_t elements) { return static_cast<std::size_t>(elements) * size_of(matrix.type); };
  if (matrix.ld == columns) return fill_zero(matrix.data, bytes(rows * columns), device, stream);
  for (std::int64_t row = 0; row < rows; ++row) {
    void* start = static_cast<unsigned char*>(matrix.data) + bytes(row * matrix.ld);
    if (Status status = fill_zero(start, bytes(columns), device, stream); !status.ok()) return status;
  }
  return {};
}

Status launch_all(const Variant<BitLinearBackward>&, const BitLinearBackward& a, const DeviceInfo& device,
                  void* workspace, Stream stream) {
  Scratch scratch(workspace);
  const Steps steps(a, device, scratch);
  if (a.rows > 0) {
    if (Status status = a.products->multiply(steps.dy, steps.of_products, stream); !status.ok()) return status;
  }
  if (Status status = steps.norm.launch(device, stream); !status.ok()) return status;
  if (a.dlinear_weight.given()) {
    Status status = a.rows > 0 ? a.products->multiply(steps.dlinear_weight, steps.of_products, stream)
                               : zero_rows(a.dlinear_weight, a.layer.k_out, a.layer.k_in, device, stream);
    if (!status.ok()) return status;
  }
  return a.dlinear_bias.given() ? sum_rows(steps.dlinear_bias, device, stream) : Status{};
}

}  // namespace

template <>
Status check_arguments(const BitLinearBackward& a) {
  ArgumentCheck check("bit_linear_backward");
  check.require(a.rows >= 0, "rows is " + std::to_string(a.rows) + "; it must be 0 or more");
  check_layer(check, a.layer);
  check.require(a.products != nullptr, "products is null; open_matrix_products gives them");
  check.require(a.layer.weights.operand.given(), "weights.operand is null");
  check.require(a.dout.given(), "dout is null");
  check.check_matrix("dout", a.dout, a.layer.k_out);
  check.require(a.dout.type == a.layer.operand, "dout's type is not that of the operands");
  check.check_matrix("dlinear_weight", a.dlinear_weight, a.layer.k_in);
  check.check_vector("dlinear_bias", a.dlinear_bias);
  if (!check.status().ok()) return check.status();
  NormQuantBackward norm = norm_arguments(a);  // says the rest; dy is scratch
  norm.dy = {a.dout.data, a.layer.operand, a.layer.k_in};
  return check_arguments(norm);
}

template <>
std::int64_t algorithmic_bytes(const BitLinearBackward& a) {
  const BitLinearLayer& layer = a.layer;
  const std::int64_t matrices =
      element_bytes(a.h) + element_bytes(a.dresidual) + element_bytes(a.dx) + element_bytes(a.dx_residual);
  const std::int64_t weights = element_bytes(layer.weights.operand) + element_bytes(a.dlinear_weight);
  const std::int64_t row_values = 4 + (a.mean != nullptr ? 4 : 0) + (a.quant_scale != nullptr ? 4 : 0);
  const std::int64_t norm_vectors = element_bytes(layer.norm_weight) + element_bytes(layer.norm_bias) +
                                    element_bytes(a.dnorm_weight) + element_bytes(a.dnorm_bias);
  return a.rows * (matrices * layer.k_in + element_bytes(a.dout) * layer.k_out + row_values) +
         weights * layer.k_out * layer.k_in + norm_vectors * layer.k_in + element_bytes(a.dlinear_bias) * layer.k_out;
}

template <>
const std::vector<Variant<BitLinearBackward>>& variants<BitLinearBackward>(DeviceKind) {
  static const std::vector<Variant<BitLinearBackward>> rows = {
      {"fake_quantised",
       "products of fake-quantised operands, as the Triton system's",
       {},
       true,
       why_not,
       workspace_bytes,
       requested_bytes,
       launch_all},
  };
  return rows;
}

template <>
const Variant<BitLinearBackward>& choose_variant(const BitLinearBackward&, const DeviceInfo& device) {
  return variants<BitLinearBackward>(device.kind).front();
}

/// cuBLASLt takes other kernels for other M.
template <>
const Variant<BitLinearBackward>& choose_variant(const BitLinearBackward& a, const DeviceInfo& device, bool) {
  return choose_variant(a, device);
}

/// Also for M = 0: the sums over rows become zeros.
template <>
Status launch(const Variant<BitLinearBackward>& variant, const BitLinearBackward& a, const DeviceInfo& device,
              Workspace workspace, Stream stream) {
  return checked_launch(variant, a, device, workspace, stream);
}

/// A launch first, so that the products find operands to multiply.
Status tune_products(const Variant<BitLinearBackward>& variant, const BitLinearBackward& a, const DeviceInfo& device,
                     Workspace workspace, Stream stream) {
  if (Status status = launch(variant, a, device, workspace, stream); !status.ok() || a.rows == 0) return status;
  Scratch scratch(workspace.data);
  const Steps steps(a, device, scratch);
  Status status = a.products->tune(steps.dy, steps.of_products, stream);
  if (status.ok() && a.dlinear_weight.given()) {
    status = a.products->tune(steps.dlinear_weight, steps.of_products, stream);
  }
  return status;
}

}  // namespace normquant
